//! Diagnosis: what a node's agent is asked to test, and the evidence that it found.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::status::status;
use crate::text::Ip;

/// What one node's agent is asked to test, named like the node. The agent tests once for each new
/// `request`, writes what it found in the status, and does nothing more.
#[derive(CustomResource, Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "causeway.dev",
    version = "v1alpha1",
    kind = "Diagnosis",
    plural = "diagnoses",
    namespaced,
    shortname = "cwd",
    category = "causeway",
    status = "DiagnosisStatus",
    derive = "PartialEq",
    doc = "What one node's agent is asked to test, named like the node, and the evidence that it found. Written by `causeway doctor`, at the member or at the hub, from where controller-manager passes it on; status by the node's agent, at the hub by controller-manager.",
    printcolumn(
        name = "Request",
        type_ = "string",
        json_path = ".spec.request",
        description = "Which request it is"
    ),
    printcolumn(
        name = "Answered",
        type_ = "string",
        json_path = ".status.request",
        description = "Which request the evidence answers"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", default)]
pub struct DiagnosisSpec {
    /// Tells this request from earlier ones: the agent tests once for each.
    #[schemars(length(min = 1, max = 63))]
    pub request: String,
    /// When it was asked for, by the clock of who asks. Default: not said, and clocks are not compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requested_at: Option<Time>,
    /// Nodes of other clusters to which packets are sent, and from which they are awaited. At most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub targets: Vec<DiagnosisTarget>,
    /// Services to which connections are opened: of the node's own cluster and of others. At most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub services: Vec<DiagnosisService>,
}

/// A Service that takes TCP connections.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosisService {
    /// The cluster that it belongs to.
    #[schemars(length(min = 1, max = 46))]
    pub cluster: String,
    /// What it is called in its cluster, the same for all nodes that are asked.
    #[schemars(length(min = 1, max = 128))]
    pub name: String,
    /// Its address, as this node's cluster sees it.
    pub address: Ip,
    /// Its TCP port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: i64,
}

/// A node of another cluster.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiagnosisTarget {
    /// Its cluster.
    #[schemars(length(min = 1, max = 46))]
    pub cluster: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub node: String,
    /// Its underlay addresses.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub underlay: Vec<Ip>,
    /// Its addresses inside the tunnels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "atomic"))]
    pub overlay: Vec<Ip>,
    /// Addresses of pods on it, as this node's cluster sees them. At most 4.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "atomic"))]
    pub pods: Vec<Ip>,
}

status!(
    /// What the node's agent found.
    DiagnosisStatus {
        /// The request that this answers.
        #[serde(skip_serializing_if = "String::is_empty")]
        #[schemars(length(max = 63))]
        request: String,
        /// When the tests began, by the node's clock.
        #[serde(skip_serializing_if = "Option::is_none")]
        began_at: Option<Time>,
        /// How packets to the targets ended. At most 96.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 96), extend("x-kubernetes-list-type" = "atomic"))]
        paths: Vec<PathEvidence>,
        /// What arrived from the targets. At most 16.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
        heard: Vec<HeardEvidence>,
        /// How connections to Services ended. At most 16.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
        services: Vec<ServiceEvidence>,
        /// What the node itself looks like.
        #[serde(skip_serializing_if = "Option::is_none")]
        host: Option<HostEvidence>,
    }
);

/// Where packets were sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub enum PathKind {
    /// To the node's underlay address, outside the tunnels.
    #[default]
    Underlay,
    /// To the node's address inside the tunnels.
    Overlay,
    /// To a pod of the node.
    Pod,
}

/// How echo requests to one address ended.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PathEvidence {
    /// The target's cluster.
    #[schemars(length(max = 46))]
    pub cluster: String,
    /// The target.
    #[schemars(length(max = 253))]
    pub node: String,
    /// What the address is.
    pub kind: PathKind,
    /// The address.
    pub address: Ip,
    /// The address that the kernel sends from. Absent if it has no route.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Ip>,
    /// Small echo requests that were sent.
    #[schemars(range(min = 0))]
    pub sent: i64,
    /// How many were answered.
    #[schemars(range(min = 0))]
    pub answered: i64,
    /// Bytes of the IP packets of full size. Absent if none were sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub full_size: Option<i64>,
    /// Echo requests of full size that were sent.
    #[schemars(range(min = 0))]
    pub full_sent: i64,
    /// How many were answered.
    #[schemars(range(min = 0))]
    pub full_answered: i64,
    /// The shortest round-trip time in microseconds. Absent if nothing was answered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub rtt_microseconds: Option<i64>,
    /// Why the kernel would not send, in its words. Absent if it sent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub refused: Option<String>,
}

/// What arrived from one node of another cluster during the tests.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HeardEvidence {
    /// Its cluster.
    #[schemars(length(max = 46))]
    pub cluster: String,
    /// Its name.
    #[schemars(length(max = 253))]
    pub node: String,
    /// Tunnel packets from its underlay addresses that a link of this node received, before any filter. Absent if
    /// links could not be listened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub on_link: Option<i64>,
    /// The link that received them.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15))]
    pub link: Option<String>,
    /// Echo messages from its addresses inside the tunnels that came through every filter of this node.
    #[schemars(range(min = 0))]
    pub delivered: i64,
}

/// How connections to one Service ended, opened on the node itself.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceEvidence {
    /// The cluster that it belongs to.
    #[schemars(length(max = 46))]
    pub cluster: String,
    /// What it is called there.
    #[schemars(length(max = 128))]
    pub name: String,
    /// Its address, as this node's cluster sees it.
    pub address: Ip,
    /// Its TCP port.
    #[schemars(range(min = 0, max = 65535))]
    pub port: i64,
    /// Connections that were tried.
    #[schemars(range(min = 0))]
    pub tried: i64,
    /// How many were accepted, or refused as a Service without endpoints refuses.
    #[schemars(range(min = 0))]
    pub answered: i64,
    /// Requests for connections, of any sender, that left this node with the Service's own address as destination, though the
    /// Service is of this node's cluster. Absent for Services of other clusters, and if links could not be listened to.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub untranslated: Option<i64>,
    /// The link over which the last of them left.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 15))]
    pub link: Option<String>,
    /// Why the kernel would not connect, in its words. Absent if it only waited.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 256))]
    pub refused: Option<String>,
}

/// What a node looks like to its agent.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct HostEvidence {
    /// Addresses of its links. At most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub addresses: Vec<Ip>,
    /// Addresses of some pods on it: neighbours inside the node's own pod prefixes. At most 4.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 4), extend("x-kubernetes-list-type" = "atomic"))]
    pub pods: Vec<Ip>,
    /// What of kube-proxy shows on it: its nftables tables, its chains of iptables, its IPVS device. That nothing shows
    /// does not say that Services are not translated: some CNIs do that elsewhere. At most 8.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8), extend("x-kubernetes-list-type" = "atomic"))]
    pub kube_proxy: Vec<String>,
    /// What of its settings and of other programs' state is in the way. At most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub obstacles: Vec<Obstacle>,
    /// Counters of the kernel that grew during the tests. At most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
    pub counters: Vec<CounterGrowth>,
    /// What could not be looked at, and why. At most 16.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "atomic"))]
    pub unknown: Vec<String>,
}

/// What kind of thing on a node may keep packets from passing.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, JsonSchema)]
pub enum ObstacleKind {
    /// A link filters strictly by the way back (`rp_filter` 1).
    #[default]
    StrictReversePathFilter,
    /// The kernel does not forward in a family.
    ForwardingOff,
    /// No link of the node has the underlay address that its plan gives it.
    UnderlayNotOnHost,
    /// A chain of another program translates sources before ours does.
    EarlyMasquerade,
    /// The kernel sends what is for a remote prefix elsewhere.
    ForeignRoute,
    /// A socket of another program has the UDP port of a tunnel.
    PortTaken,
    /// The kernel lacks what is needed.
    MissingFeature,
    /// The agent could not bring the kernel to its plan, for another reason.
    NotProgrammed,
}

/// One thing on a node that may keep packets from passing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Obstacle {
    /// What kind of thing.
    pub kind: ObstacleKind,
    /// Which: a link, a chain, a prefix, a port.
    #[schemars(length(max = 256))]
    pub subject: String,
    /// What was seen.
    #[schemars(length(max = 1024))]
    pub detail: String,
}

/// A counter of the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct CounterGrowth {
    /// Its name, for example `IPReversePathFilter` of /proc/net/netstat, or `drop unknown VTEP` of our firewall.
    #[schemars(length(max = 128))]
    pub name: String,
    /// By how much it grew.
    #[schemars(range(min = 0))]
    pub growth: i64,
}
