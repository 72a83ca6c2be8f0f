//! Rewrites `docs/resources.md`: `cargo run -p causeway-api --example docs`.

use std::path::Path;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/resources.md");
    Ok(std::fs::write(file, causeway_api::reference::page()?)?)
}
