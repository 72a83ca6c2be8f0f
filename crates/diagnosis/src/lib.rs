//! What is wrong with a network of linked clusters, by the evidence that nodes found: a coded list of causes, and the
//! judgement that names some of them.
//!
//! ```text
//! Diagnoses (what each node was asked, what it found), what the plan refused ─ diagnose ─▶ [Finding]
//! ```
//!
//! Pure: no I/O, no clock.

pub mod cause;
pub mod docs;
pub mod targets;

mod finding;
mod judge;
mod nodes;
mod paths;
mod services;

pub use cause::Cause;
pub use finding::Finding;
pub use judge::{Evidence, NodeEvidence, Refused, diagnose};
