//! The documentation says what the code does.

use std::path::Path;

#[test]
fn the_page_of_causes_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/troubleshooting.md");
    let there = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(
        there,
        causeway_diagnosis::docs::page(),
        "docs/troubleshooting.md is not current; run: cargo run -p causeway-diagnosis --example causes"
    );
}
