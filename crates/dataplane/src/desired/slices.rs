//! The PeerSlices of a node, found by cluster and scope.

use std::collections::BTreeSet;

use causeway_model::{ClusterName, LinkPlan, NodePlan, Peer, Role, Scope, SlicePlan, Via};

/// Whether a node with `vx-bridge` needs the remote cluster's slices of this scope.
pub(super) fn needs(link: &LinkPlan, scope: Scope) -> bool {
    let via = match scope {
        Scope::Nodes => Via::Nodes,
        Scope::Gateways => Via::Gateways,
    };
    link.prefixes.iter().any(|prefix| prefix.via == via)
}

/// The slices that a node's role needs, as cluster and scope: what an agent should watch.
pub fn needed<'a>(
    node: &NodePlan,
    links: impl IntoIterator<Item = &'a LinkPlan>,
) -> BTreeSet<(ClusterName, Scope)> {
    let own = &node.id.cluster;
    let of_links = links.into_iter().filter(|link| link.id.source == *own).flat_map(|link| {
        let scopes = [Scope::Nodes, Scope::Gateways].into_iter();
        scopes.filter(|scope| needs(link, *scope)).map(|scope| (link.id.remote.clone(), scope))
    });
    match node.role {
        Role::Node => of_links.collect(),
        Role::Gateway => of_links.chain([(own.clone(), Scope::Nodes)]).collect(),
        Role::Internal => [(own.clone(), Scope::Gateways)].into(),
    }
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
