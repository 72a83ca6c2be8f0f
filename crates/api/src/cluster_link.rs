//! ClusterLink: how one cluster reaches another.

use causeway_model::{PrefixKind, Transport, Via};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::Choice;
use crate::cluster::NodeCount;
use crate::status::status;
use crate::text::Cidr;

/// How the nodes of one cluster reach another, named like the remote cluster. There is one for each
/// ordered pair of clusters, also where nothing can pass.
#[derive(CustomResource, Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "causeway.dev",
    version = "v1alpha1",
    kind = "ClusterLink",
    plural = "clusterlinks",
    namespaced,
    shortname = "cwl",
    category = "causeway",
    status = "ClusterLinkStatus",
    derive = "PartialEq",
    doc = "How the nodes of one cluster reach another, named like the remote cluster. Written by network-manager.",
    validation = Rule::new("self.metadata.name == self.spec.remoteCluster").message("a ClusterLink is named like its remote cluster"),
    printcolumn(name = "Source", type_ = "string", json_path = ".spec.sourceCluster", description = "The cluster whose nodes send", priority = 1),
    printcolumn(name = "Remote", type_ = "string", json_path = ".spec.remoteCluster", description = "The cluster that they reach"),
    printcolumn(name = "Via", type_ = "string", json_path = ".spec.via", description = "How its pods are reached"),
    printcolumn(name = "Transport", type_ = "string", json_path = ".spec.transport", description = "How packets are carried"),
    printcolumn(name = "Prefixes", type_ = "string", json_path = ".spec.prefixes[*].cidr", description = "Remote prefixes", priority = 1),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether the nodes have a way that works"),
    printcolumn(name = "RTT", type_ = "string", json_path = ".status.rtt", description = "Median round-trip time"),
    printcolumn(name = "Loss", type_ = "string", json_path = ".status.loss", description = "Share of probes that are lost", priority = 1),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {"rule": "self.sourceCluster != self.remoteCluster", "message": "a cluster has no link to itself"},
]))]
pub struct ClusterLinkSpec {
    /// The cluster whose nodes send. Never changes.
    #[schemars(length(min = 1, max = 46), extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "a link does not change its ends"},
    ]))]
    pub source_cluster: String,
    /// The cluster that they reach. Never changes.
    #[schemars(length(min = 1, max = 46), extend("x-kubernetes-validations" = [
        {"rule": "self == oldSelf", "message": "a link does not change its ends"},
    ]))]
    pub remote_cluster: String,
    /// How pods of the remote cluster are reached: `Nodes`, straight to the pod's own node, or
    /// `Gateways`.
    pub via: Choice<Via>,
    /// How packets are carried: `VXLAN` (UDP, not encrypted). Default: VXLAN.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub transport: Option<Choice<Transport>>,
    /// Remote prefixes that the nodes can reach. None if there is no way; a condition says why. At
    /// most 1024.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "atomic"))]
    pub prefixes: Vec<ClusterLinkPrefix>,
    /// The largest inner packet in bytes, 506 to 65535, where the underlay between the two carries
    /// less than the nodes' devices. Default: left to the devices.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 506, max = 65_535))]
    pub mtu: Option<i64>,
}

/// A prefix of the remote cluster, as the source cluster sees it.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ClusterLinkPrefix {
    /// The prefix.
    pub cidr: Cidr,
    /// What it holds: `Pod`, `Service`, or `Overlay` (addresses of nodes inside the tunnels).
    pub kind: Choice<PrefixKind>,
    /// How it is reached: `Nodes`, each part through the node that owns the part, or `Gateways`, all
    /// of it through any peer of scope Gateways.
    pub via: Choice<Via>,
}

status!(
    /// How the source cluster's nodes see the link, summed up.
    ClusterLinkStatus {
        /// Nodes of the source cluster, and how many of them have a way that works.
        #[serde(skip_serializing_if = "Option::is_none")]
        nodes: Option<NodeCount>,
        /// Median round-trip time of the nodes that measure it, for example 0.42ms.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(length(max = 32))]
        rtt: Option<String>,
        /// Share of probes that the nodes lose on average, for example 2.5%, or `<0.5%`. Absent if nothing was measured.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(length(max = 32))]
        loss: Option<String>,
    }
);
