//! `causeway-controller-manager`.
fn main() {}
