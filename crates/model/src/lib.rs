//! The nouns of Causeway: names, IP families, prefixes, MAC addresses, VXLAN numbers, the *facts*
//! that a clusterset states about itself, and the *plan* that follows from them.
//!
//! Values only. This crate does no I/O, knows no clock and no randomness, and depends neither on
//! Kubernetes nor on netlink; everything else in the workspace speaks through these types.

mod address_set;
mod facts;
mod family;
mod finding;
mod mac;
mod names;
mod plan;
mod prefix;
mod selector;
mod vxlan;

pub use address_set::PrefixSet;
pub use facts::{
    Age, ClusterFacts, ClusterSetFacts, EXCLUDE_LABEL, GatewayPolicy, GlobalCidrs, Mode, NodeFacts, Readiness,
};
pub use family::{DualStack, Families, Family};
pub use finding::{Finding, Reason, Subject};
pub use mac::Mac;
pub use names::{ClusterName, InvalidName, NodeId, NodeName, SHARED_NAMESPACE, cluster_namespace};
pub use plan::{
    ClusterPlan, LinkId, LinkPlan, LinkPrefix, NodePlan, OverlayAddresses, OwnPrefixes, Peer, PrefixKind,
    Role, SLICE_CAPACITY, Scope, SliceId, SlicePlan, Translation, Transport, Tunnels, Via, Vtep,
    needed_slices,
};
pub use prefix::{InvalidPrefix, Prefix};
pub use selector::{LabelOperator, LabelRequirement, LabelSelector};
pub use vxlan::{Tunnel, TunnelPair, UdpPort, Vni, vxlan_overhead};
