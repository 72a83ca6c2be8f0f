//! Whom a node tests against, as peer lists tell them.

use std::collections::BTreeMap;

use causeway_api::{DiagnosisTarget, Ip};
use causeway_model::{ClusterName, NodeId, NodeName, Peer, SlicePlan, Vtep};

/// Targets of one node at most: what a Diagnosis holds.
pub const TARGETS: usize = 16;
/// Nodes of a cluster that is not asked itself.
const OF_CLUSTER: usize = 4;

/// Some nodes of each cluster that `slices` tell of, apart from the node itself.
pub fn of_slices<'a>(node: &NodeId, slices: impl IntoIterator<Item = &'a SlicePlan>) -> Vec<DiagnosisTarget> {
    let mut peers: BTreeMap<&ClusterName, Vec<&Peer>> = BTreeMap::new();
    for slice in slices {
        let others =
            slice.peers.iter().filter(|peer| (&slice.id.cluster, &peer.node) != (&node.cluster, &node.node));
        peers.entry(&slice.id.cluster).or_default().extend(others);
    }
    let some = peers.into_iter().flat_map(|(cluster, mut peers)| {
        // Nodes of a slice of scope Gateways may stand in one of scope Nodes too.
        peers.sort_by(|a, b| a.node.cmp(&b.node));
        peers.dedup_by(|a, b| a.node == b.node);
        peers.into_iter().take(OF_CLUSTER).map(move |peer| target(cluster, &peer.node, &peer.vtep))
    });
    some.take(TARGETS).collect()
}

/// The node at a tunnel end, without pods.
pub fn target(cluster: &ClusterName, node: &NodeName, vtep: &Vtep) -> DiagnosisTarget {
    DiagnosisTarget {
        cluster: cluster.to_string(),
        node: node.to_string(),
        underlay: vtep.underlay.addresses().map(Ip::from).collect(),
        overlay: vtep.families.iter().map(|family| Ip::from(vtep.overlay.get(family))).collect(),
        pods: Vec::new(),
    }
}
