//! Whom a node tests against, as peer lists tell them.

use std::collections::BTreeMap;

use causeway_api::{DiagnosisTarget, Ip};
use causeway_model::{ClusterName, NodeName, NodePlan, Peer, SlicePlan, Vtep};

/// Targets of one node at most: what a Diagnosis holds.
pub const TARGETS: usize = 16;
/// Nodes of a cluster that is not asked itself.
const OF_CLUSTER: usize = 4;

/// Some nodes of each cluster that `slices` tell of, apart from the node itself, as `node` sees them.
pub fn of_slices<'a>(
    node: &NodePlan,
    slices: impl IntoIterator<Item = &'a SlicePlan>,
) -> Vec<DiagnosisTarget> {
    let own = (&node.id.cluster, &node.id.node);
    let mut peers: BTreeMap<&ClusterName, Vec<&Peer>> = BTreeMap::new();
    for slice in slices {
        let others = slice.peers.iter().filter(|peer| (&slice.id.cluster, &peer.node) != own);
        peers.entry(&slice.id.cluster).or_default().extend(others);
    }
    let some = peers.into_iter().flat_map(|(cluster, mut peers)| {
        // Nodes of a slice of scope Gateways may stand in one of scope Nodes too.
        peers.sort_by(|a, b| a.node.cmp(&b.node));
        peers.dedup_by(|a, b| a.node == b.node);
        peers.into_iter().take(OF_CLUSTER).map(move |peer| target(node, (cluster, &peer.node), &peer.vtep))
    });
    some.take(TARGETS).collect()
}

/// The node at a tunnel end as `node` sees it: in the families that both use inside tunnels, without pods.
pub fn target(node: &NodePlan, (cluster, name): (&ClusterName, &NodeName), vtep: &Vtep) -> DiagnosisTarget {
    let families = vtep.families.intersection(node.vtep.families);
    DiagnosisTarget {
        cluster: cluster.to_string(),
        node: name.to_string(),
        underlay: vtep.underlay.addresses().map(Ip::from).collect(),
        overlay: families.iter().map(|family| Ip::from(vtep.overlay.get(family))).collect(),
        pods: Vec::new(),
    }
}
