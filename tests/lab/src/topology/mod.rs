//! What a bed is made of: clusters, nodes, pods and Services with all their names and addresses.
//!
//! A [`Topology`] comes from a lab file, every default filled in, and leaves no choice open to
//! those who build it. Values only: nothing here touches the machine.

mod endpoint;
mod file;
mod members;
mod problem;
mod resolve;

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{ClusterName, Families, Family, NodeId, NodeName, Prefix};
use serde::{Deserialize, Serialize};
use serde_json::Value;

pub use endpoint::{Endpoint, InvalidEndpoint, PodId, ServiceId};
pub use problem::TopologyError;

/// A bed to build, complete and consistent.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Topology {
    /// The bed's name, a DNS label; that of the file where the file says none.
    pub name: String,
    /// Where its objects are.
    #[serde(default)]
    pub control_plane: ControlPlane,
    /// Which Kubernetes real control planes are of.
    #[serde(default)]
    pub kubernetes: KubernetesVersion,
    /// The `spec` of the ClusterSet, passed through; `None` writes no ClusterSet.
    pub cluster_set: Option<Value>,
    /// Its clusters in the order of the file, which is also the order of their age.
    pub clusters: Vec<Cluster>,
    /// Exceptions from "all that share a family reach each other"; the last that fits decides.
    pub expectations: Vec<Expectation>,
}

/// Where the objects of a bed are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ControlPlane {
    /// In files; the lab stands where controller-manager would.
    #[default]
    Files,
    /// At real API servers: a hub, and one for each cluster.
    Kubernetes,
}

/// The two versions of Kubernetes that control planes can be of.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KubernetesVersion {
    /// The oldest that Causeway is tried on.
    Oldest,
    /// The newest.
    #[default]
    Newest,
}

/// A cluster of the bed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name.
    pub name: ClusterName,
    /// Its place in the file, counted from 0; the default prefixes follow from it.
    pub index: u16,
    /// The `spec` of its Cluster object, passed through.
    pub spec: Value,
    /// How its pods are networked.
    pub cni: Cni,
    /// Who carries its Services.
    #[serde(default)]
    pub kube_proxy: KubeProxy,
    /// Its pod CIDRs.
    pub pod_cidrs: Vec<Prefix>,
    /// Its service CIDRs.
    pub service_cidrs: Vec<Prefix>,
    /// Whether Causeway is to link it. If not, it has no objects and no agents.
    #[serde(default = "yes")]
    pub linked: bool,
    /// The subnets of its nodes, at most one of each family.
    pub subnets: Vec<Prefix>,
    /// The network segment that its nodes are on: its own `index`, or that of the first cluster with the same subnets.
    #[serde(default)]
    pub segment: u16,
    /// Subnets of the families that its pods use and `subnets` have not. Its nodes reach each other
    /// there; the router knows nothing of them, and they are not announced.
    pub private_subnets: Vec<Prefix>,
    /// The largest IP packet in bytes on its part of the underlay.
    pub mtu: u32,
    /// Its nodes.
    pub nodes: Vec<Node>,
    /// Its Services.
    pub services: Vec<Service>,
}

fn yes() -> bool {
    true
}

/// What a CNI does to the nodes of its cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Cni {
    /// How pods of different nodes reach each other.
    pub kind: CniKind,
    /// Whether packets that leave the pod CIDRs are masqueraded.
    pub masquerade: bool,
    /// Whether forwarding is accepted from and to the pod CIDRs whatever the other end. If not, it
    /// is accepted among pods and nodes of the cluster only.
    pub forward_accept: bool,
}

/// The kinds of CNI that the lab imitates.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CniKind {
    /// Each node has prefixes of its own and the others have routes to them (flannel's host-gw,
    /// kindnet).
    #[default]
    Routed,
    /// Each node has prefixes of its own, reached through a VXLAN (flannel).
    Vxlan,
    /// Pods have addresses from the whole pod CIDR wherever they run (kube-ovn).
    ClusterWide,
    /// flannel itself, and the CNI plugins; kube-controller-manager gives nodes their prefixes. Prefixes of nodes
    /// and addresses of pods are what was given out, once the bed is up.
    Flannel,
}

/// Who translates the Services of a cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KubeProxy {
    /// The lab, with rules like those of kube-proxy.
    #[default]
    Imitated,
    /// kube-proxy itself, in its nftables mode.
    Nftables,
    /// kube-proxy itself, in its iptables mode.
    Iptables,
}

/// A node of the bed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// A number that no other node of the bed has; device names follow from it.
    pub number: u32,
    /// Its place in its cluster, counted from 0; default addresses follow from it.
    pub index: u16,
    /// Its underlay addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// Addresses that it does not announce, of the families that its pods use and `addresses` have
    /// not: what its CNI and kube-proxy work with.
    pub private_addresses: Vec<IpAddr>,
    /// The prefixes of its pods; none where the CNI gives nodes no prefix.
    pub pod_cidrs: Vec<Prefix>,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Whether it is announced as ready.
    pub ready: bool,
    /// Its zone.
    pub zone: Option<String>,
    /// Its pods.
    pub pods: Vec<Pod>,
}

/// A pod of the bed.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Pod {
    /// Its name, unique on its node.
    pub name: String,
    /// Its addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
}

/// A Service of the bed. It forwards TCP and UDP on [`ECHO_PORT`](crate::ECHO_PORT).
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Service {
    /// Its name.
    pub name: String,
    /// Its cluster addresses, at most one of each family.
    pub addresses: Vec<IpAddr>,
    /// The pods behind it.
    pub backends: Vec<PodId>,
}

/// What is expected of some pairs, other than the default.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Expectation {
    /// Sources: an endpoint, or a cluster or node for all that is in it.
    pub from: String,
    /// Destinations, likewise.
    pub to: String,
    /// The families that it speaks of.
    pub families: Vec<Family>,
    /// Whether they are expected to reach each other.
    pub reachable: bool,
}

impl Topology {
    /// The cluster of that name.
    pub fn cluster(&self, name: &ClusterName) -> Option<&Cluster> {
        self.clusters.iter().find(|c| c.name == *name)
    }

    /// The cluster and the node of that name.
    pub fn node(&self, id: &NodeId) -> Option<(&Cluster, &Node)> {
        let cluster = self.cluster(&id.cluster)?;
        Some((cluster, cluster.nodes.iter().find(|n| n.name == id.node)?))
    }

    /// The pod of that name.
    pub fn pod(&self, id: &PodId) -> Option<&Pod> {
        self.node(&id.node)?.1.pods.iter().find(|p| p.name == id.pod)
    }

    /// All nodes with their clusters.
    pub fn nodes(&self) -> impl Iterator<Item = (&Cluster, &Node)> {
        self.clusters.iter().flat_map(|cluster| cluster.nodes.iter().map(move |node| (cluster, node)))
    }
}

impl Cluster {
    /// The name of one of its nodes in the whole clusterset.
    pub fn node_id(&self, node: &Node) -> NodeId {
        NodeId { cluster: self.name.clone(), node: node.name.clone() }
    }

    /// The families of its pods.
    pub fn families(&self) -> Families {
        self.pod_cidrs.iter().map(Prefix::family).collect()
    }

    /// All subnets that its nodes have addresses in.
    pub(crate) fn all_subnets(&self) -> Vec<Prefix> {
        self.subnets.iter().chain(&self.private_subnets).copied().collect()
    }

    /// Whether a Service has a backend on this node.
    pub(crate) fn has_backend_on(&self, node: &NodeId) -> bool {
        self.services.iter().flat_map(|s| &s.backends).any(|pod| pod.node == *node)
    }

    /// Whether a node needs its API server before its pods have a network.
    pub(crate) fn needs_api_server(&self) -> bool {
        self.cni.kind == CniKind::Flannel || self.kube_proxy != KubeProxy::Imitated
    }

    /// The router's address in its subnet of `family`.
    pub(crate) fn router(&self, family: Family) -> Option<(IpAddr, Prefix)> {
        let subnet = self.subnets.iter().find(|s| s.family() == family)?;
        Some((subnet.nth(1)?, *subnet))
    }

    /// The underlay family in which all its nodes can reach each other, IPv4 if both do.
    pub(crate) fn common_underlay(&self) -> Option<Family> {
        Family::BOTH.into_iter().find(|f| self.nodes.iter().all(|n| n.address(*f).is_some()))
    }
}

impl Node {
    /// Its underlay address of `family`.
    pub fn address(&self, family: Family) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|a| Family::of(*a) == family)
    }

    /// Its address of `family` among the nodes of its cluster, announced or not.
    pub(crate) fn internal_address(&self, family: Family) -> Option<IpAddr> {
        let private = self.private_addresses.iter().copied().find(|a| Family::of(*a) == family);
        self.address(family).or(private)
    }

    /// The families of its pods; where it has no prefix of its own, those of its addresses.
    pub fn families(&self) -> Families {
        match self.pod_cidrs.is_empty() {
            true => self.addresses.iter().map(|a| Family::of(*a)).collect(),
            false => self.pod_cidrs.iter().map(Prefix::family).collect(),
        }
    }
}
