//! Paths between pods and nodes of a bed: what a round trip, a connection and a byte cost on each.
//!
//! All paths stand at once. Short slices of all of them follow each other in random order, so that what changes
//! on the machine meanwhile meets all alike; a figure of one slice is only ever compared with one of the same round.

mod bulk;
mod exchange;
mod namespace;
mod walk;

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

pub use bulk::{Bulk, Transfer};
pub use exchange::{Exchanges, Mode, Placement, Protocol, Slice};
pub use walk::{Counter, Walk};

/// A path: from where to where, and under which address.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Path {
    /// Network namespace of the client, by its name in `/run/netns`.
    pub from: String,
    /// That of the server.
    pub to: String,
    /// Where the client sends to; for a Service this is not an address of `to`.
    pub address: IpAddr,
}

/// The network namespaces of all servers, each once.
fn servers(paths: &[Path]) -> Vec<&str> {
    let mut found: Vec<&str> = paths.iter().map(|path| path.to.as_str()).collect();
    found.sort_unstable();
    found.dedup();
    found
}
