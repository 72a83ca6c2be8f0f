//! Cluster: a linked cluster.

use causeway_model::{Family, Mode, Transport};
use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::choice::{Choice, choices};
use crate::selector::NodeSelector;
use crate::status::status;
use crate::text::{Cidr, Ip};

/// A linked cluster. Its name is a DNS label of at most 46 characters.
#[derive(CustomResource, Clone, PartialEq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[kube(
    group = "causeway.dev",
    version = "v1alpha1",
    kind = "Cluster",
    plural = "clusters",
    shortname = "cwc",
    category = "causeway",
    status = "ClusterStatus",
    derive = "PartialEq",
    doc = "A linked cluster: how it is reached, and what it shows to the others.",
    validation = Rule::new("size(self.metadata.name) <= 46 && !self.metadata.name.contains('.')").message("a cluster's name has at most 46 characters and no dot, so that causeway-cluster-NAME is a namespace"),
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode", description = "How its pods are reached"),
    printcolumn(name = "CNI", type_ = "string", json_path = ".status.cni", description = "The CNI that was found"),
    printcolumn(name = "Pods", type_ = "string", json_path = ".status.podCIDRs[*].cidr", description = "Pod CIDRs that were found", priority = 1),
    printcolumn(name = "Services", type_ = "string", json_path = ".status.serviceCIDRs[*].cidr", description = "Service CIDRs that were found", priority = 1),
    printcolumn(name = "Gateways", type_ = "string", json_path = ".status.gateways", description = "Nodes that any prefix of it is reached through", priority = 1),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes.total", description = "Nodes that take part"),
    printcolumn(name = "Accepted", type_ = "string", json_path = ".status.conditions[?(@.type==\"Accepted\")].status", description = "Whether every value is in use"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type==\"Ready\")].status", description = "Whether it takes part"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterSpec {
    /// How the cluster's pods are reached: `P2P`, straight to the pod's own node, or `Gateway`,
    /// through the cluster's gateways. May be changed at any time. Default: that of the ClusterSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Choice<Mode>>,
    /// IP families that its pods and Services use. Default: the families of its pod and service
    /// CIDRs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2), extend("x-kubernetes-list-type" = "set"))]
    pub ip_families: Vec<Choice<Family>>,
    /// Which CNI gives pods their addresses, and so where CIDRs are found. Default: found out.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cni: Option<ClusterCni>,
    /// Pod CIDRs, used instead of those that were found (`status.podCIDRs`). Default: those found.
    #[serde(rename = "podCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "set"))]
    pub pod_cidrs: Vec<Cidr>,
    /// Service CIDRs, used instead of those that were found (`status.serviceCIDRs`). Default: those
    /// found.
    #[serde(rename = "serviceCIDRs", skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16), extend("x-kubernetes-list-type" = "set"))]
    pub service_cidrs: Vec<Cidr>,
    /// Which nodes become gateways when the mode is Gateway.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gateways: Option<ClusterGateways>,
    /// Which nodes take part. Default: all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<NodeSelector>,
    /// Under which prefixes other clusters see this one. Default: under its own.
    #[serde(rename = "globalCIDRs", skip_serializing_if = "Option::is_none")]
    pub global_cidrs: Option<ClusterGlobalCidrs>,
    /// The network between the nodes. Default: the nodes' InternalIP addresses, and the MTU that
    /// their devices show.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub underlay: Option<ClusterUnderlay>,
    /// How packets to this cluster are carried: `VXLAN` (UDP, not encrypted). Default: that of the
    /// ClusterSet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transport: Option<Choice<Transport>>,
}

/// Which CNI gives pods their addresses.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterCni {
    /// The CNI: `auto` finds out which is there, `generic` uses what Node objects say, the others
    /// read that CNI's own objects. Default: auto.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub type_: Option<Choice<CniType>>,
}

/// A CNI whose addresses can be found.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CniType {
    /// Whichever is there.
    Auto,
    /// Project Calico.
    Calico,
    /// Flannel.
    Flannel,
    /// Cilium.
    Cilium,
    /// Kube-OVN.
    KubeOvn,
    /// Antrea.
    Antrea,
    /// Any that uses the pod CIDRs of Node objects.
    Generic,
}

choices!(
    CniType,
    "a CNI",
    [
        ("auto", CniType::Auto),
        ("calico", CniType::Calico),
        ("flannel", CniType::Flannel),
        ("cilium", CniType::Cilium),
        ("kube-ovn", CniType::KubeOvn),
        ("antrea", CniType::Antrea),
        ("generic", CniType::Generic),
    ]
);

/// Which nodes become gateways.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ClusterGateways {
    /// How many gateways, 1 to 64. All of them carry traffic. If fewer nodes are eligible, those
    /// are used and a condition says so. Default: that of the ClusterSet, else 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 64))]
    pub count: Option<i64>,
    /// Which of the nodes that take part may be gateways. Default: all of them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_selector: Option<NodeSelector>,
}

/// Under which prefixes other clusters see this one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "(has(self.mode) && self.mode == 'Map') == (has(self.map) && size(self.map) > 0)",
        "message": "mode Map needs map, and map needs mode Map",
    },
]))]
pub struct ClusterGlobalCidrs {
    /// `Off`: always under its own prefixes. `Auto`: each pod or service CIDR that overlaps another
    /// cluster's under a prefix from the ClusterSet's pool. `Map`: those in `map` as it says, the
    /// others as they are. Default: Off.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mode: Option<Choice<GlobalCidrMode>>,
    /// For mode Map: own prefixes, and what other clusters use in their place. At most 64.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(
        length(max = 64),
        extend("x-kubernetes-list-type" = "map", "x-kubernetes-list-map-keys" = ["cidr"])
    )]
    pub map: Vec<GlobalCidr>,
}

/// How a cluster shows its prefixes to the others.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum GlobalCidrMode {
    /// As they are.
    Off,
    /// Those that overlap under one from the pool.
    Auto,
    /// As listed.
    Map,
}

choices!(
    GlobalCidrMode,
    "a mode of global CIDRs",
    [("Off", GlobalCidrMode::Off), ("Auto", GlobalCidrMode::Auto), ("Map", GlobalCidrMode::Map)]
);

/// A prefix, and what other clusters use in its place, translated 1:1.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "!isCIDR(self.cidr) || !isCIDR(self.global) || (cidr(self.cidr).prefixLength() == cidr(self.global).prefixLength() && cidr(self.cidr).ip().family() == cidr(self.global).ip().family())",
        "message": "cidr and global need the same family and the same length",
    },
]))]
pub struct GlobalCidr {
    /// A prefix of the cluster, or a part of one.
    pub cidr: Cidr,
    /// The prefix of the same family and length that other clusters use in its place.
    pub global: Cidr,
}

/// The network between the nodes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-validations" = [
    {
        "rule": "(has(self.source) && self.source == 'Interface') == has(self.interface)",
        "message": "source Interface needs interface, and interface needs source Interface",
    },
    {
        "rule": "(has(self.source) && self.source == 'CanReach') == has(self.canReach)",
        "message": "source CanReach needs canReach, and canReach needs source CanReach",
    },
    {
        "rule": "!has(self.annotation) || (has(self.source) && self.source == 'Annotation')",
        "message": "annotation needs source Annotation",
    },
]))]
pub struct ClusterUnderlay {
    /// Where a node's underlay addresses come from: `InternalIP` or `ExternalIP` of its Node,
    /// `Annotation` on its Node, the addresses of an `Interface`, or `CanReach`, the address that
    /// the node would send from to a target. Default: InternalIP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<Choice<UnderlaySource>>,
    /// For source Annotation: its key; the value is one address, or two joined by a comma. Default:
    /// causeway.dev/underlay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 317))]
    pub annotation: Option<String>,
    /// For source Interface: its name, for example eth1.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 15))]
    pub interface: Option<String>,
    /// For source CanReach: an address outside the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub can_reach: Option<Ip>,
    /// The largest IP packet in bytes, 576 to 65535, that the network carries to other clusters,
    /// where that is less than what the nodes' devices show. Default: what the devices show.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 576, max = 65_535))]
    pub mtu: Option<i64>,
}

/// Where a node's underlay addresses come from.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum UnderlaySource {
    /// Node addresses of type InternalIP.
    InternalIp,
    /// Node addresses of type ExternalIP.
    ExternalIp,
    /// An annotation on the Node.
    Annotation,
    /// The addresses of a network interface.
    Interface,
    /// The source address towards a target.
    CanReach,
}

choices!(
    UnderlaySource,
    "a source of underlay addresses",
    [
        ("InternalIP", UnderlaySource::InternalIp),
        ("ExternalIP", UnderlaySource::ExternalIp),
        ("Annotation", UnderlaySource::Annotation),
        ("Interface", UnderlaySource::Interface),
        ("CanReach", UnderlaySource::CanReach),
    ]
);

/// A CIDR that was found, and where.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DiscoveredCidr {
    /// The prefix.
    pub cidr: Cidr,
    /// Where it was found, for example `IPPool default-ipv4-ippool` or `spec`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 256))]
    pub source: String,
}

/// How many nodes.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeCount {
    /// Nodes whose kernel state is as planned.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub ready: Option<i64>,
    /// Nodes that take part.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub total: Option<i64>,
}

status!(
    /// What is known of the cluster, and what was given to it.
    ClusterStatus {
        /// The CNI that was found.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[schemars(length(max = 64))]
        cni: Option<String>,
        /// Pod CIDRs that were found. At most 256.
        #[serde(rename = "podCIDRs", skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
        pod_cidrs: Vec<DiscoveredCidr>,
        /// Service CIDRs that were found. At most 64.
        #[serde(rename = "serviceCIDRs", skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 64), extend("x-kubernetes-list-type" = "atomic"))]
        service_cidrs: Vec<DiscoveredCidr>,
        /// Blocks that the overlay addresses of its nodes come from, in order of allocation. Kept
        /// for good: they are how a restarted network-manager knows what it gave. At most 1024.
        #[serde(rename = "overlayCIDRs", skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 1024), extend("x-kubernetes-list-type" = "atomic"))]
        overlay_cidrs: Vec<Cidr>,
        /// Nodes that any prefix of the cluster is reached through: in Gateway mode its gateways, in
        /// P2P mode the nodes that carry its Services. At most 256.
        #[serde(skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
        gateways: Vec<String>,
        /// Prefixes of the cluster that others see under a global CIDR. At most 256.
        #[serde(rename = "globalCIDRs", skip_serializing_if = "Vec::is_empty")]
        #[schemars(length(max = 256), extend("x-kubernetes-list-type" = "atomic"))]
        global_cidrs: Vec<GlobalCidr>,
        /// How many of its nodes take part.
        #[serde(skip_serializing_if = "Option::is_none")]
        nodes: Option<NodeCount>,
    }
);
