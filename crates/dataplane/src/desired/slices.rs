//! The PeerSlices of a node, found by cluster and scope.

use causeway_model::{ClusterName, LinkPlan, Peer, Scope, SlicePlan, Via};

/// Whether a node with `vx-bridge` needs the remote cluster's slices of this scope.
pub(super) fn needs(link: &LinkPlan, scope: Scope) -> bool {
    let via = match scope {
        Scope::Nodes => Via::Nodes,
        Scope::Gateways => Via::Gateways,
    };
    link.prefixes.iter().any(|prefix| prefix.via == via)
}

/// Slices in the order of their names, so that the result does not depend on the order they came in.
pub(super) struct Slices<'a>(Vec<&'a SlicePlan>);

impl<'a> Slices<'a> {
    pub fn new(slices: impl IntoIterator<Item = &'a SlicePlan>) -> Self {
        let mut slices: Vec<&SlicePlan> = slices.into_iter().collect();
        slices.sort_unstable_by_key(|slice| &slice.id);
        Slices(slices)
    }

    /// How many peers there are in all slices together.
    pub fn peers_in_all(&self) -> usize {
        self.0.iter().map(|slice| slice.peers.len()).sum()
    }

    /// The peers of one cluster and scope.
    pub fn peers(&self, cluster: &ClusterName, scope: Scope) -> impl Iterator<Item = &'a Peer> + use<'a> {
        let from = self.0.partition_point(|slice| (&slice.id.cluster, slice.id.scope) < (cluster, scope));
        let len =
            self.0[from..].partition_point(|slice| (&slice.id.cluster, slice.id.scope) == (cluster, scope));
        let slices: Vec<&'a SlicePlan> = self.0[from..from + len].to_vec();
        slices.into_iter().flat_map(|slice| &slice.peers)
    }
}
