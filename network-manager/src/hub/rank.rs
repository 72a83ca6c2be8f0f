//! In which order objects are written.

use causeway_api::{Kind, ObjectRef};

/// When an object's turn is. Whatever has a lower rank is finished first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rank {
    /// What a restart needs to know: allocations of clusters.
    Allocations,
    /// Peers and links, so that a node that learns of its role finds them.
    Peers,
    /// Roles of nodes.
    Nodes,
    /// What is said about facts.
    Findings,
    /// What is no more: last, so that the new way is there before the old one goes.
    Removals,
}

/// The rank of an object that is, or is not, part of the plan.
pub fn rank(key: &ObjectRef, planned: bool) -> Rank {
    match key.kind {
        Kind::ClusterSet | Kind::Cluster => Rank::Allocations,
        Kind::ClusterNode | Kind::Diagnosis => Rank::Findings,
        Kind::NodeConfig | Kind::ClusterLink | Kind::PeerSlice if !planned => Rank::Removals,
        Kind::NodeConfig => Rank::Nodes,
        Kind::ClusterLink | Kind::PeerSlice => Rank::Peers,
    }
}
