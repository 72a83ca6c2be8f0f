//! ClusterSet: what all clusters share.

use causeway_model::{Mode, Transport};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::status::status;
use crate::text::Cidr;

/// What all linked clusters share. There is at most one, named `default`; without it, every default
/// below holds.
#[derive(CustomResource, Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "causeway.dev",
    version = "v1alpha1",
    kind = "ClusterSet",
    plural = "clustersets",
    shortname = "cwset",
    category = "causeway",
    status = "ClusterSetStatus",
    derive = "PartialEq",
    doc = "What all linked clusters share. There is at most one, named default; without it, every default of its fields holds.",
    validation = Rule::new("self.metadata.name == 'default'").message("the one ClusterSet is named default"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.defaults.mode", description = "How clusters are reached that do not say it themselves"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type==\"Accepted\")].status", description = "Whether every value is in use"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSetSpec {
    /// Ranges that node addresses inside the tunnels come from, in order of use; IPv4 ranges of /24
    /// or larger, IPv6 ranges of /120 or larger. Append to make room. They must not be used by
    /// anything else. Default: 198.18.0.0/15 and fd63:6175:7365:1::/64, each where no range of
    /// its family is given.
    #[serde(rename = "overlayCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub overlay_cidrs: Vec<Cidr>,
    /// Ranges that global CIDRs of mode Auto come from, in order of use. Default: 100.64.0.0/10 and
    /// fd63:6176::/32, each where no range of its family is given.
    #[serde(rename = "globalCIDRPool", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub global_cidr_pool: Vec<Cidr>,
    /// VXLAN network identifiers and UDP ports. A change interrupts traffic until every node has
    /// followed it. Default: bridge 54 and 4876, local 55 and 4877.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tunnels: Option<Tunnels>,
    /// What holds for clusters that do not say it themselves.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub defaults: Option<ClusterDefaults>,
}

/// The two overlays of the clusterset.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "(has(self.bridge) ? self.bridge.port : 4876) != (has(self.local) ? self.local.port : 4877)",
        "message": "bridge and local need different UDP ports (defaults: 4876 and 4877)",
    },
]))]
pub struct Tunnels {
    /// Between clusters (device vx-bridge). Default: VNI 54, port 4876.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bridge: Option<TunnelNumbers>,
    /// Between a Gateway cluster's internal nodes and its gateways (device vx-local). Default: VNI
    /// 55, port 4877.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub local: Option<TunnelNumbers>,
}

/// What both ends of a VXLAN tunnel must agree on.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TunnelNumbers {
    /// The VXLAN network identifier, 1 to 16777215.
    #[schemars(range(min = 1, max = 16_777_215))]
    pub vni: i64,
    /// The UDP destination port, 1 to 65535.
    #[schemars(range(min = 1, max = 65_535))]
    pub port: i64,
}

/// What holds for clusters that do not say it themselves.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterDefaults {
    /// How pods are reached: `P2P`, straight to the pod's own node, or `Gateway`, through gateways
    /// of the cluster. Default: P2P.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Choice<Mode>>,
    /// Gateways of a cluster in Gateway mode, 1 to 64. Default: 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub gateway_count: Option<i64>,
    /// How packets are carried between clusters: `VXLAN` (UDP, not encrypted). Default: VXLAN.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Choice<Transport>>,
}

status!(
    /// What network-manager made of the ClusterSet.
    ClusterSetStatus {}
);
