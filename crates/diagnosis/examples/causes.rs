//! Rewrites `docs/troubleshooting.md`: `cargo run -p causeway-diagnosis --example causes`.

use std::path::Path;

fn main() -> std::io::Result<()> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/troubleshooting.md");
    std::fs::write(file, causeway_diagnosis::docs::page())
}
