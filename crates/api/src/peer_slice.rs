//! PeerSlice: tunnel ends of one cluster.

use causeway_model::{Family, Scope};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::status::status;
use crate::text::{Cidr, Ip};

/// Up to 256 tunnel ends of one cluster, named `CLUSTER.nodes.N` or `CLUSTER.gateways.N`.
#[derive(CustomResource, Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "causeway.dev",
    version = "v1alpha1",
    kind = "PeerSlice",
    plural = "peerslices",
    namespaced,
    shortname = "cwps",
    category = "causeway",
    status = "PeerSliceStatus",
    derive = "PartialEq",
    doc = "Up to 256 tunnel ends of one cluster, named CLUSTER.nodes.N or CLUSTER.gateways.N. Written by network-manager.",
    validation = Rule::new("self.metadata.name.startsWith(self.spec.cluster + (self.spec.scope == 'Nodes' ? '.nodes.' : '.gateways.')) && int(self.metadata.name.substring(self.metadata.name.lastIndexOf('.') + 1)) == self.spec.index").message("a PeerSlice is named CLUSTER.nodes.N or CLUSTER.gateways.N after its cluster, scope and index"),
    printcolumn(name = "Cluster", type_ = "string", json_path = ".spec.cluster", description = "The cluster whose nodes it lists"),
    printcolumn(name = "Scope", type_ = "string", json_path = ".spec.scope", description = "What they stand for"),
    printcolumn(name = "Index", type_ = "integer", json_path = ".spec.index", description = "Which slice", priority = 1),
    printcolumn(name = "Peers", type_ = "string", json_path = ".spec.peers[*].node", description = "Their nodes", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct PeerSliceSpec {
    /// The cluster whose nodes it lists. Never changes.
    #[schemars(length(min = 1, max = 46), extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "a slice does not move to another cluster"},
    ]))]
    pub cluster: String,
    /// What the peers stand for: `Nodes`, each reaches its own prefixes, or `Gateways`, any of them
    /// reaches the cluster's prefixes. Never changes.
    #[schemars(extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "a slice does not change its scope"},
    ]))]
    pub scope: Choice<Scope>,
    /// Which slice of this cluster and scope, counted from 0. Never changes.
    #[schemars(range(min = 0, max = 4_294_967_295_u32), extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "a slice does not change its index"},
    ]))]
    pub index: i64,
    /// The peers, sorted by node. A peer keeps its slice while it lives. At most 256.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub peers: Vec<PeerSlicePeer>,
}

/// A tunnel end, and what lies behind it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PeerSlicePeer {
    /// Its node.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
    /// Where tunnel packets to it are sent: at most one address of each family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub underlay: Vec<Ip>,
    /// Its addresses inside the tunnels: one IPv4 and one IPv6 address. Its MAC address follows from
    /// the IPv4 one: 02:c5 and its four bytes.
    #[schemars(length(min = 2, max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub overlay: Vec<Ip>,
    /// IP families that it carries. Default: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub families: Option<Vec<Choice<Family>>>,
    /// Its own pod prefixes as other clusters see them; none in scope Gateways. At most 64.
    #[serde(default, rename = "podCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub pod_cidrs: Vec<Cidr>,
}

status!(
    /// What was made of the slice.
    PeerSliceStatus {}
);
