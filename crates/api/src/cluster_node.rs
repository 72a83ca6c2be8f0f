//! ClusterNode: facts of one node.

use std::collections::BTreeMap;

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::status;
use crate::text::{Cidr, Ip};

/// Facts of one node, named like the node, in the namespace of its cluster.
///
/// The cluster is told by the namespace alone: a member's credential reaches no other one, so that no
/// member can announce nodes for another.
#[derive(CustomResource, Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "causeway.dev",
    version = "v1alpha1",
    kind = "ClusterNode",
    plural = "clusternodes",
    namespaced,
    shortname = "cwn",
    category = "causeway",
    status = "ClusterNodeStatus",
    derive = "PartialEq",
    doc = "Facts of one node of a linked cluster, named like the node, in the namespace of its cluster.",
    printcolumn(
        name = "Underlay",
        type_ = "string",
        json_path = ".spec.underlay",
        description = "Addresses at which other nodes reach it"
    ),
    printcolumn(
        name = "Pods",
        type_ = "string",
        json_path = ".spec.podCIDRs",
        description = "Prefixes of its own pods"
    ),
    printcolumn(
        name = "Zone",
        type_ = "string",
        json_path = ".spec.zone",
        description = "Its failure domain",
        priority = 1
    ),
    printcolumn(
        name = "NodeReady",
        type_ = "boolean",
        json_path = ".spec.ready",
        description = "Whether Kubernetes counts it as ready"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status",
        description = "Whether it takes part"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterNodeSpec {
    /// Addresses at which other nodes reach it, at most one of each family. A node without one does
    /// not take part.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend(
        "x-kubernetes-list-type" = "atomic",
        "x-kubernetes-validations" = [{
            "rule": "size(self) != 2 || !self.all(a, isIP(a)) || ip(self[0]).family() != ip(self[1]).family()",
            "message": "at most one address of each family",
        }],
    ))]
    pub underlay: Vec<Ip>,
    /// Prefixes of its own pods. Default: none, for CNIs that give nodes no prefix of their own. At
    /// most 64.
    #[serde(rename = "podCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub pod_cidrs: Vec<Cidr>,
    /// Whether Kubernetes counts it as ready. A node that is not keeps its traffic, but becomes no
    /// gateway while another can. Default: true.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<bool>,
    /// Whether it is cordoned (`spec.unschedulable` of the Node), as one that is to be drained is. It keeps its
    /// traffic, but is no gateway while another can be. Default: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cordoned: Option<bool>,
    /// Its failure domain, from the label topology.kubernetes.io/zone. Default: none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub zone: Option<String>,
    /// How the node's agent is to find its underlay addresses. Only on the copy at the node's own cluster,
    /// where the Cluster's underlay source is Interface or CanReach. Default: they are not to be found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resolve: Option<ClusterNodeResolve>,
    /// Its labels, as far as selectors of its Cluster name them. At most 64.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 64))]
    pub labels: BTreeMap<String, String>,
}

/// How a node's agent finds its underlay addresses: by exactly one of the two.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "has(self.interface) != has(self.canReach)", "message": "exactly one of interface and canReach"},
]))]
pub struct ClusterNodeResolve {
    /// The addresses of the interface of this name.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub interface: Option<String>,
    /// The address that the node sends from to this one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_reach: Option<Ip>,
}

status!(
    /// What network-manager made of the node, and what its agent found.
    ClusterNodeStatus {
        /// Underlay addresses that the node's agent found, at most one of each family.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "atomic"))]
        underlay: Vec<Ip>,
    }
);
