//! What a clusterset states about itself: the planner's input.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use crate::{
    ClusterName, DualStack, Families, LabelSelector, NodeId, Prefix, Translation, Transport, TunnelPair,
};

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

/// What holds without a ClusterSet: overlay ranges 198.18.0.0/15 (RFC 2544) and
/// fd63:6175:7365:1::/64, pools of global CIDRs 100.64.0.0/10 (RFC 6598) and fd63:6176::/32 (RFC 4193;
/// room for many a /48), P2P, two gateways, VXLAN.
impl Default for ClusterSetFacts {
    fn default() -> Self {
        let range = |address: IpAddr, len| Prefix::containing(address, len).into_iter().collect();
        let v4 = |a, b| IpAddr::V4(Ipv4Addr::new(a, b, 0, 0));
        let ula = |b, c, d| IpAddr::V6(Ipv6Addr::new(0xfd63, b, c, d, 0, 0, 0, 0));
        ClusterSetFacts {
            overlay: DualStack { v4: range(v4(198, 18), 15), v6: range(ula(0x6175, 0x7365, 1), 64) },
            global_pool: DualStack { v4: range(v4(100, 64), 10), v6: range(ula(0x6176, 0, 0), 32) },
            tunnels: TunnelPair::default(),
            default_mode: Mode::default(),
            default_gateways: NonZeroU32::MIN.saturating_add(1),
            default_transport: Transport::default(),
        }
    }
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

/// A node with this label set to `true` is always left out.
pub const EXCLUDE_LABEL: &str = "causeway.dev/exclude";

/// Whether Kubernetes counts a node as ready, and means to keep it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Default)]
pub enum Readiness {
    /// Ready, or not stated.
    #[default]
    Ready,
    /// Ready, and cordoned: it is to be emptied and may go down soon. Its traffic goes on; it becomes no gateway
    /// while another can.
    Cordoned,
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
