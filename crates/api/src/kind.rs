//! The kinds of this group, how objects are named and labelled, and references to objects.

use std::fmt;

use causeway_model::{ClusterName, Scope, SliceId};

/// The API group of all objects.
pub const GROUP: &str = "causeway.dev";
/// The API version of all objects.
pub const VERSION: &str = "v1alpha1";
/// The `apiVersion` of all objects.
pub const API_VERSION: &str = "causeway.dev/v1alpha1";
/// The name that the one ClusterSet must have.
pub const CLUSTER_SET_NAME: &str = "default";
/// Label on what network-manager writes: the cluster that it is about.
pub const CLUSTER_LABEL: &str = "causeway.dev/cluster";
/// Label on PeerSlices: their scope, as [`scope_label`] writes it.
pub const SCOPE_LABEL: &str = "causeway.dev/scope";
/// Label on PeerSlices: cluster and scope in one, as [`peers_label`] writes it, so that one label selector
/// takes any choice of them.
pub const PEERS_LABEL: &str = "causeway.dev/peers";
/// The namespace of Causeway's programs, and of what a member's agents read.
pub const SYSTEM_NAMESPACE: &str = "causeway-system";
/// Secret of a member that holds the kubeconfig of the hub, under the key `kubeconfig`.
pub const HUB_SECRET: &str = "causeway-hub";
/// Finalizer on Clusters: what the hub made for the cluster is removed before it goes.
pub const REGISTRATION_FINALIZER: &str = "causeway.dev/registration";
/// Finalizer on the NodeConfigs of a member: the node's kernel is cleaned up before they go. The agent answers
/// in the status, with [`CLEANED_UP`](crate::conditions::CLEANED_UP).
pub const CLEANUP_FINALIZER: &str = "causeway.dev/cleanup";
/// Label on what controller-manager copies from the hub to its member: `true`. Nothing else is removed there.
pub const COPIED_LABEL: &str = "causeway.dev/copied";
/// Label on the copy of a NodeConfig whose node is asked to test: another value for each request of its Diagnosis.
/// The agent, which watches its NodeConfig anyway, reads the Diagnosis then.
pub const ASKED_LABEL: &str = "causeway.dev/asked";
/// Annotation on a Cluster that is being removed: with value `true`, it goes although its nodes have not
/// cleaned up.
pub const FORCE_LEAVE_ANNOTATION: &str = "causeway.dev/force-leave";

/// The value of [`SCOPE_LABEL`]: `nodes` or `gateways`.
pub fn scope_label(scope: Scope) -> &'static str {
    match scope {
        Scope::Nodes => "nodes",
        Scope::Gateways => "gateways",
    }
}

/// The value of [`PEERS_LABEL`]: `CLUSTER.nodes` or `CLUSTER.gateways`; at most 55 characters.
pub fn peers_label(cluster: &ClusterName, scope: Scope) -> String {
    format!("{cluster}.{}", scope_label(scope))
}

/// A label selector for the PeerSlices of these clusters and scopes.
pub fn peers_selector<'a>(peers: impl IntoIterator<Item = &'a (ClusterName, Scope)>) -> String {
    let labels: Vec<String> =
        peers.into_iter().map(|(cluster, scope)| peers_label(cluster, *scope)).collect();
    // No selector has an empty choice; no PeerSlice has this value, which lacks a dot.
    let choice = if labels.is_empty() { "none".to_owned() } else { labels.join(",") };
    format!("{PEERS_LABEL} in ({choice})")
}

/// The name of the PeerSlice `id`: `CLUSTER.nodes.N` or `CLUSTER.gateways.N`. A cluster's name has no
/// dot, so two slices never share a name.
pub fn slice_name(id: &SliceId) -> String {
    format!("{}.{}.{}", id.cluster, scope_label(id.scope), id.index)
}

/// A kind of this group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Kind {
    /// What all clusters share.
    ClusterSet,
    /// A linked cluster.
    Cluster,
    /// Facts of one node.
    ClusterNode,
    /// What is particular to one node.
    NodeConfig,
    /// How one cluster reaches another.
    ClusterLink,
    /// Tunnel ends of one cluster.
    PeerSlice,
    /// What one node's agent is asked to test.
    Diagnosis,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Kind; 7] = [
        Kind::ClusterSet,
        Kind::Cluster,
        Kind::ClusterNode,
        Kind::NodeConfig,
        Kind::ClusterLink,
        Kind::PeerSlice,
        Kind::Diagnosis,
    ];

    /// The kind as objects write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Kind::ClusterSet => "ClusterSet",
            Kind::Cluster => "Cluster",
            Kind::ClusterNode => "ClusterNode",
            Kind::NodeConfig => "NodeConfig",
            Kind::ClusterLink => "ClusterLink",
            Kind::PeerSlice => "PeerSlice",
            Kind::Diagnosis => "Diagnosis",
        }
    }

    /// The plural in URLs and folder names.
    pub fn plural(self) -> &'static str {
        match self {
            Kind::ClusterSet => "clustersets",
            Kind::Cluster => "clusters",
            Kind::ClusterNode => "clusternodes",
            Kind::NodeConfig => "nodeconfigs",
            Kind::ClusterLink => "clusterlinks",
            Kind::PeerSlice => "peerslices",
            Kind::Diagnosis => "diagnoses",
        }
    }

    /// Whether its objects live in namespaces.
    pub fn namespaced(self) -> bool {
        !matches!(self, Kind::ClusterSet | Kind::Cluster)
    }

    /// The kind with this `apiVersion` and `kind`; `None` for those of other groups and versions.
    pub fn of(api_version: &str, kind: &str) -> Option<Kind> {
        if api_version != API_VERSION {
            return None;
        }
        Kind::ALL.into_iter().find(|k| k.as_str() == kind)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Which object: what tells it from all others.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ObjectRef {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; `None` for cluster-scoped kinds, and for objects that do not state one.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectRef {
    /// The Cluster of this name.
    pub fn cluster(name: &ClusterName) -> ObjectRef {
        ObjectRef { kind: Kind::Cluster, namespace: None, name: name.to_string() }
    }
}

impl fmt::Display for ObjectRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.namespace {
            Some(namespace) => write!(f, "{} {namespace}/{}", self.kind, self.name),
            None => write!(f, "{} {}", self.kind, self.name),
        }
    }
}
