//! Rewrites `deploy/crds/<plural>.yaml`: `cargo run -p causeway-api --example crds`.

use std::path::Path;

use causeway_api::{Kind, crd};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
    std::fs::create_dir_all(&folder)?;
    for kind in Kind::ALL {
        std::fs::write(folder.join(format!("{}.yaml", kind.plural())), crd::yaml(kind)?)?;
    }
    Ok(())
}
