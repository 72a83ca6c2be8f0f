//! From what a cluster's API server shows to what the clusterset needs to know of the cluster: its pod and
//! service CIDRs, each with its source, and the facts of each node.
//!
//! [`sources`] says what to watch. Whoever watches it tells [`Found`] what is there, object by object; each
//! is [read](read::statement) once into the few facts that count, and one that cannot be read is a finding that
//! disturbs nothing else. [`Found::cluster`] and [`Found::node`] then say what follows, at any time.
//!
//! Unknown is not empty: nothing is said to be missing before every source that could have it was heard.
//! A source that cannot be read any more keeps what it said.
//!
//! Pure: no client, no I/O, no clock.

mod cluster;
mod cni;
mod found;
mod loans;
mod node;
mod prefixes;
pub mod read;
mod service;
mod source;

pub use cluster::ClusterFindings;
pub use cni::Cni;
pub use found::Found;
pub use loans::Loan;
pub use node::{Node, clusternode, node_selector_keys};
pub use service::{impossible_services, valid_range};
pub use source::{Source, SourceId, sources};
