//! What planning cost, in objects looked at.

/// Objects looked at since the planner was made. An event's cost is the difference of two readings;
/// it follows from what the event changes, never from the size of the clusterset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Work {
    /// Nodes judged.
    pub nodes: u64,
    /// Peers written into slices, or copied out with a slice that changed.
    pub peers: u64,
    /// Clusters judged.
    pub clusters: u64,
    /// Links computed.
    pub links: u64,
}

impl Work {
    /// The sum of all counters.
    pub fn total(&self) -> u64 {
        self.nodes + self.peers + self.clusters + self.links
    }
}
