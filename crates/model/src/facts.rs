//! What a clusterset states about itself: the planner's input.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use crate::{
    ClusterName, DualStack, Families, LabelSelector, NodeId, Prefix, Translation, Transport, TunnelPair,
};
use std::net::IpAddr;

/// When an object came into being, in seconds of the Unix epoch. One without a known age is newer
/// than any that has one; equal ages are decided by name.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Age {
    /// `metadata.creationTimestamp`.
    Created(i64),
    /// Not stated, as in a hand-written file.
    Unknown,
}

/// What all clusters share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterSetFacts {
    /// Ranges that overlay blocks are cut from, in order of use.
    pub overlay: DualStack<Vec<Prefix>>,
    /// Ranges that global CIDRs are cut from, in order of use.
    pub global_pool: DualStack<Vec<Prefix>>,
    /// VNIs and ports.
    pub tunnels: TunnelPair,
    /// How clusters are reached that do not say it themselves.
    pub default_mode: Mode,
    /// Gateways of a cluster that does not say how many it wants.
    pub default_gateways: NonZeroU32,
    /// The transport of clusters that do not name one.
    pub default_transport: Transport,
}

/// How the pods of a cluster are reached.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Mode {
    /// Straight to the pod's own node.
    #[default]
    P2p,
    /// Through the cluster's gateways.
    Gateway,
}

/// Which and how many nodes of a cluster are gateways.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct GatewayPolicy {
    /// How many; `None` takes [`ClusterSetFacts::default_gateways`].
    pub count: Option<NonZeroU32>,
    /// Which nodes may be one.
    pub selector: LabelSelector,
}

/// How a cluster shows its prefixes to the others.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum GlobalCidrs {
    /// Always as they are.
    #[default]
    Off,
    /// Those that overlap another cluster's under a prefix from the pool.
    Auto,
    /// Those listed under the prefix given.
    Map(Vec<Translation>),
}

/// Facts of one cluster.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ClusterFacts {
    /// Its name.
    pub name: ClusterName,
    /// Its age: of two clusters with the same prefix, the older one keeps it.
    pub age: Age,
    /// How it is reached; `None` takes [`ClusterSetFacts::default_mode`].
    pub mode: Option<Mode>,
    /// IP families of its pods and services.
    pub families: Families,
    /// Its pod CIDRs.
    pub pods: Vec<Prefix>,
    /// Its service CIDRs.
    pub services: Vec<Prefix>,
    /// Its gateways, in Gateway mode.
    pub gateways: GatewayPolicy,
    /// Which of its nodes take part.
    pub nodes: LabelSelector,
    /// Translation of its prefixes.
    pub globals: GlobalCidrs,
    /// How packets to it are carried; `None` takes [`ClusterSetFacts::default_transport`].
    pub transport: Option<Transport>,
    /// The largest IP packet in bytes that its underlay carries to other clusters, where that is
    /// less than what the nodes' devices show.
    pub underlay_mtu: Option<u32>,
}

/// Whether Kubernetes counts a node as ready.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Readiness {
    /// Ready, or not stated.
    #[default]
    Ready,
    /// Not ready, or not heard of. Its traffic goes on; it becomes no gateway while another can.
    NotReady,
}

/// Facts of one node.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NodeFacts {
    /// Which node.
    pub id: NodeId,
    /// Addresses at which other nodes reach it.
    pub underlay: DualStack<Option<IpAddr>>,
    /// Prefixes of its own pods; none where the CNI gives nodes no prefix of their own.
    pub pods: Vec<Prefix>,
    /// Its readiness.
    pub readiness: Readiness,
    /// Its failure domain (`topology.kubernetes.io/zone`).
    pub zone: Option<String>,
    /// Its labels, as far as selectors of its cluster name them.
    pub labels: BTreeMap<String, String>,
}
