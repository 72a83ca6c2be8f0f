//! NodeConfig: what is particular to one node.

use causeway_model::{Family, Role};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::cluster::GlobalCidr;
use crate::cluster_set::TunnelNumbers;
use crate::status::status;
use crate::text::{Cidr, Ip};

/// What is particular to one node, named like the node. Everything else that its agent needs is in
/// ClusterLinks and PeerSlices, so this stays small whatever the size of the clusterset.
#[derive(CustomResource, Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "causeway.dev",
    version = "v1alpha1",
    kind = "NodeConfig",
    plural = "nodeconfigs",
    namespaced,
    shortname = "cwnc",
    category = "causeway",
    status = "NodeConfigStatus",
    derive = "PartialEq",
    doc = "What is particular to one node, named like the node. Written by network-manager; status by the node's agent.",
    printcolumn(
        name = "Cluster",
        type_ = "string",
        json_path = ".spec.cluster",
        description = "Its cluster"
    ),
    printcolumn(name = "Role", type_ = "string", json_path = ".spec.role", description = "What it does"),
    printcolumn(
        name = "Underlay",
        type_ = "string",
        json_path = ".spec.underlay",
        description = "Where tunnel packets to it are sent"
    ),
    printcolumn(
        name = "Overlay",
        type_ = "string",
        json_path = ".spec.overlay",
        description = "Its addresses inside the tunnels",
        priority = 1
    ),
    printcolumn(
        name = "Programmed",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Programmed\")].status",
        description = "Whether the kernel is as planned"
    ),
    printcolumn(
        name = "Degraded",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Degraded\")].status",
        description = "Whether something is missing"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "has(self.tunnels.bridge) == (self.role != 'Internal')",
        "message": "roles Node and Gateway have the tunnel bridge, role Internal has not",
    },
    {
        "rule": "has(self.tunnels.local) == (self.role != 'Node')",
        "message": "roles Gateway and Internal have the tunnel local, role Node has not",
    },
]))]
pub struct NodeConfigSpec {
    /// The node's cluster. Never changes.
    #[schemars(length(min = 1, max = 46), extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "a node does not move to another cluster"},
    ]))]
    pub cluster: String,
    /// What the node does: `Node` (of a P2P cluster), `Gateway`, or `Internal` (of a Gateway cluster
    /// and no gateway).
    pub role: Choice<Role>,
    /// Where tunnel packets to it are sent: at most one address of each family.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub underlay: Vec<Ip>,
    /// Its addresses inside the tunnels: one IPv4 and one IPv6 address.
    #[schemars(length(min = 2, max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub overlay: Vec<Ip>,
    /// IP families that it carries. Default: both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub families: Option<Vec<Choice<Family>>>,
    /// The tunnels that it takes part in.
    pub tunnels: NodeTunnels,
    /// Prefixes of its cluster, as the cluster itself uses them.
    #[serde(default)]
    pub own: OwnCidrs,
    /// Prefixes of its own pods. At most 64.
    #[serde(default, rename = "localPodCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub local_pod_cidrs: Vec<Cidr>,
    /// Prefixes of its cluster that other clusters see under a global CIDR. At most 64.
    #[serde(default, rename = "globalCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub global_cidrs: Vec<GlobalCidr>,
}

/// The tunnels that a node takes part in.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeTunnels {
    /// Towards other clusters: device vx-bridge. Roles Node and Gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<TunnelNumbers>,
    /// Between internal nodes and gateways: device vx-local. Roles Gateway and Internal.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<TunnelNumbers>,
}

/// Prefixes of a cluster, as the cluster itself uses them.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnCidrs {
    /// Pod CIDRs. At most 64.
    #[serde(rename = "podCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub pod_cidrs: Vec<Cidr>,
    /// Service CIDRs. At most 64.
    #[serde(rename = "serviceCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub service_cidrs: Vec<Cidr>,
    /// Blocks of overlay addresses. At most 256.
    #[serde(rename = "overlayCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
    pub overlay_cidrs: Vec<Cidr>,
}

/// How a node sees the way to another cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkState {
    /// The cluster at the other end.
    #[schemars(length(min = 1, max = 46))]
    pub remote_cluster: String,
    /// Whether at least one way to it works.
    pub ready: bool,
    /// Round-trip time to it in microseconds, as last reported. Absent if nothing was measured, and while no way works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub rtt_microseconds: Option<i64>,
    /// Share of probes to it that were lost, in thousandths, as last reported: 0 below 5. Probes to gateways that are out of
    /// use do not count. Absent if nothing was measured, and while no way works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub loss_per_mille: Option<i64>,
}

status!(
    /// What the node's agent did.
    NodeConfigStatus {
        /// How the node sees the way to each other cluster. At most 256.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
        links: Vec<LinkState>,
        /// Chains of other programs in which a rule of ours stands, for example `ip filter FORWARD`,
        /// because they drop by policy what we would forward. At most 32.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 32), extend("x-kubernetes-list-type" = "atomic"))]
        foreign_chains: Vec<String>,
    }
);
