//! Whose an address is.

use std::fmt;
use std::net::IpAddr;

use causeway_model::{ClusterName, NodeId};

use crate::inventory::Inventory;
use crate::node_state::View;

/// What an address is to its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum What {
    /// A pod, or at least inside the pod CIDRs.
    Pod,
    /// Inside the service CIDRs.
    Service,
    /// Inside the tunnels, of a node.
    Overlay,
    /// Of a node in the network between the nodes.
    Underlay,
    /// What other clusters call this address of the cluster.
    Global(IpAddr),
}

/// An owner of an address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Owner {
    /// Its cluster.
    pub cluster: ClusterName,
    /// Its node, where one is known.
    pub node: Option<NodeId>,
    /// What the address is.
    pub what: What,
}

impl fmt::Display for Owner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let cluster = &self.cluster;
        match (self.what, &self.node) {
            (What::Pod, Some(node)) => write!(f, "pod of cluster {cluster}, on {node}"),
            (What::Pod, None) => write!(f, "pod of cluster {cluster}"),
            (What::Service, _) => write!(f, "Service of cluster {cluster}"),
            (What::Overlay, Some(node)) => write!(f, "overlay address of node {node}"),
            (What::Overlay, None) => write!(f, "overlay address of cluster {cluster}"),
            (What::Underlay, Some(node)) => write!(f, "underlay address of node {node}"),
            (What::Underlay, None) => write!(f, "underlay address of cluster {cluster}"),
            (What::Global(real), Some(node)) => write!(f, "{real} of cluster {cluster}, on {node}"),
            (What::Global(real), None) => write!(f, "{real} of cluster {cluster}"),
        }
    }
}

/// Everybody who says that `address` is theirs, also where the plan refused it: nodes, then clusters in
/// order.
pub fn owners(inventory: &Inventory, view: &View, address: IpAddr) -> Vec<Owner> {
    let mut owners = of_nodes(inventory, view, address);
    for (cluster, facts) in &inventory.clusters {
        let owner = |node, what| Owner { cluster: cluster.clone(), node, what };
        // A node's own word counts too: the plan says why it was refused.
        let node = pod_node(inventory, cluster, address);
        if node.is_some() || facts.pods.iter().any(|prefix| prefix.contains(address)) {
            owners.push(owner(node, What::Pod));
        }
        if facts.services.iter().any(|prefix| prefix.contains(address)) {
            owners.push(owner(None, What::Service));
        }
        let translations = view.plan.clusters.get(cluster).map(|plan| plan.translations.as_slice());
        for translation in translations.unwrap_or_default() {
            if let Some(real) = translation.global.translate(&translation.real, address) {
                owners.push(owner(pod_node(inventory, cluster, real), What::Global(real)));
            }
        }
    }
    owners
}

fn of_nodes(inventory: &Inventory, view: &View, address: IpAddr) -> Vec<Owner> {
    let mut owners = Vec::new();
    let owner = |id: &NodeId, what| Owner { cluster: id.cluster.clone(), node: Some(id.clone()), what };
    for (id, facts) in &inventory.nodes {
        if facts.underlay.addresses().any(|own| own == address) {
            owners.push(owner(id, What::Underlay));
        }
    }
    for (id, plan) in &view.plan.nodes {
        if plan.vtep.overlay.v4 == address || plan.vtep.overlay.v6 == address {
            owners.push(owner(id, What::Overlay));
        }
    }
    owners
}

/// The node that says it has the pods around `address`.
pub fn pod_node(inventory: &Inventory, cluster: &ClusterName, address: IpAddr) -> Option<NodeId> {
    inventory
        .nodes
        .iter()
        .filter(|(id, _)| id.cluster == *cluster)
        .find(|(_, facts)| facts.pods.iter().any(|prefix| prefix.contains(address)))
        .map(|(id, _)| id.clone())
}
