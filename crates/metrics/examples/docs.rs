//! Rewrites `docs/metrics.md`: `cargo run -p causeway-metrics --example docs`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/metrics.md");
    std::fs::write(file, causeway_metrics::docs::page())
}
