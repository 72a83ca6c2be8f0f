//! The objects of Causeway, group `causeway.dev`, version `v1alpha1`: their Rust types, the custom
//! resource definitions generated from them, and the conversion between objects and the values of
//! `causeway-model`.
//!
//! Two rules shape the crate. *Reading is lenient*: a value that cannot be right (a mistyped CIDR, an
//! unknown mode) does not keep the object from being read; conversion judges each value by itself,
//! reports the bad ones with object, field path and what would be right, and uses the rest.
//! *Nothing is defaulted in the schema*: a field that the user left out stays out, and its default
//! is applied where it is used, so that objects mean the same with and without an API server.
//!
//! This crate holds no client, does no I/O and knows no clock.

#![allow(clippy::duplicated_attributes, reason = "printer columns of one kind repeat type and priority")]

mod choice;
mod cluster;
mod cluster_link;
mod cluster_node;
mod cluster_set;
mod collection;
pub mod conditions;
mod convert;
pub mod crd;
mod diagnosis;
mod figure;
mod kind;
mod loss;
mod node_config;
mod object;
mod ownership;
mod peer_slice;
pub mod reference;
mod rtt;
mod selector;
mod status;
mod text;
pub mod unknown;

pub use choice::{Choice, Choices};
pub use cluster::{
    Cluster, ClusterCni, ClusterGateways, ClusterGlobalCidrs, ClusterSpec, ClusterStatus, ClusterUnderlay,
    CniType, DiscoveredCidr, GlobalCidr, GlobalCidrMode, NodeCount, UnderlaySource,
};
pub use cluster_link::{ClusterLink, ClusterLinkPrefix, ClusterLinkSpec, ClusterLinkStatus};
pub use cluster_node::{ClusterNode, ClusterNodeResolve, ClusterNodeSpec, ClusterNodeStatus};
pub use cluster_set::{
    ClusterDefaults, ClusterSet, ClusterSetSpec, ClusterSetStatus, TunnelNumbers, Tunnels,
};
pub use collection::{Change, Objects};
pub use convert::{
    Conversion, FieldError, InvalidObject, cluster, cluster_facts, cluster_link, cluster_node, cluster_plan,
    cluster_set_facts, cluster_status, link_plan, node_config, node_facts, node_overlay, node_plan,
    peer_slice, slice_members, slice_plan,
};
pub use diagnosis::{
    CounterGrowth, Diagnosis, DiagnosisService, DiagnosisSpec, DiagnosisStatus, DiagnosisTarget,
    HeardEvidence, HostEvidence, Obstacle, ObstacleKind, PathEvidence, PathKind, ServiceEvidence,
};
pub use kind::{
    API_VERSION, ASKED_LABEL, CLEANUP_FINALIZER, CLUSTER_LABEL, CLUSTER_SET_NAME, COPIED_LABEL,
    FORCE_LEAVE_ANNOTATION, GROUP, HUB_SECRET, Kind, ObjectRef, PEERS_LABEL, REGISTRATION_FINALIZER,
    SCOPE_LABEL, SYSTEM_NAMESPACE, VERSION, peers_label, peers_selector, scope_label, slice_name,
};
pub use loss::{loss_average, loss_differs, loss_of_text, loss_per_mille, loss_text, loss_told};
pub use node_config::{LinkState, NodeConfig, NodeConfigSpec, NodeConfigStatus, NodeTunnels, OwnCidrs};
pub use object::{CausewayObject, Object, StatusOnly};
pub use ownership::{StatusWriter, own_status, status_fields};
pub use peer_slice::{PeerSlice, PeerSlicePeer, PeerSliceSpec, PeerSliceStatus};
pub use rtt::{rtt_differs, rtt_median, rtt_of_text, rtt_text};
pub use selector::{NodeSelector, NodeSelectorExpression, SelectorOperator};
pub use text::{Cidr, Ip};
