//! Why a command cannot be served at all. What is merely wrong with the clusterset is a finding of a
//! report, not an error.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use causeway_kubernetes::{ConnectError, RequestError, Trouble};
use causeway_model::{ClusterName, NodeId};
use causeway_objects::OpenError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The directory of objects cannot be read.
    #[error("{source}: {}", reason(source))]
    Open {
        /// What is wrong.
        source: OpenError,
    },
    /// The directory holds nothing that could be planned.
    #[error("{source_name} holds no Cluster that can be used; {}{hint}", where_clusters_come_from(*files))]
    Empty {
        /// The directory, or the hub.
        source_name: String,
        /// Whether it is a directory.
        files: bool,
        /// What kept objects from being used; empty or beginning with a line break.
        hint: String,
    },
    /// No such cluster.
    #[error("there is no cluster {name} in {source_name}; it has {known}")]
    UnknownCluster {
        /// What was asked for.
        name: ClusterName,
        /// Where.
        source_name: String,
        /// Those that there are.
        known: String,
    },
    /// No such node.
    #[error("cluster {} has no node {} in {source_name}; it has {known}", id.cluster, id.node)]
    UnknownNode {
        /// What was asked for.
        id: NodeId,
        /// Where.
        source_name: String,
        /// Those that there are.
        known: String,
    },
    /// The node is there, but has no part in the plan.
    #[error("node {id} takes no part: {why}")]
    NodeNotPlanned {
        /// Which node.
        id: NodeId,
        /// Why, and what to do.
        why: String,
    },
    /// The source cannot be where a packet comes from.
    #[error("no packet comes from {address}: {why}")]
    NoSource {
        /// The address given.
        address: IpAddr,
        /// Why, and what to write instead.
        why: String,
    },
    /// The node that was named does not have the address.
    #[error("{address} is not on node {id}: {why}")]
    NotOnNode {
        /// The address given.
        address: IpAddr,
        /// The node given.
        id: NodeId,
        /// Where it is, and what to write instead.
        why: String,
    },
    /// Source and destination are of different families.
    #[error("{from} cannot send to {to}: one is IPv4, the other IPv6; give two addresses of one family")]
    FamiliesDiffer {
        /// The source.
        from: IpAddr,
        /// The destination.
        to: IpAddr,
    },
    /// There is no way to an API server.
    #[error(transparent)]
    Connect(ConnectError),
    /// An API server refused a request, or did not answer it.
    #[error(transparent)]
    Request(RequestError),
    /// A kubeconfig does not say how others reach the hub.
    #[error("the hub cannot be made known to the member: {0}")]
    Endpoint(String),
    /// The API server that should be the hub knows no Clusters.
    #[error(
        "{at}, given as the hub, knows no Clusters; name the context of the hub with --context or --hub-context (kubectl config get-contexts), or make it a hub with: causeway install hub"
    )]
    NoHub {
        /// Which API server.
        at: String,
    },
    /// The kubeconfig has no such context.
    #[error("the kubeconfig has no context \"{name}\"; it has {known}")]
    UnknownContext {
        /// What was asked for.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// No context is asked for, and the kubeconfig has no current one.
    #[error("the kubeconfig has no current context; give one with --context: it has {known}")]
    NoContext {
        /// Those that there are.
        known: String,
    },
    /// An API server does not let objects be read, or does not answer.
    #[error("cannot {what} at {at}: {}", advised(what, trouble))]
    Read {
        /// What was tried, such as `list clusters.causeway.dev`.
        what: String,
        /// Which API server.
        at: String,
        /// Why.
        trouble: Trouble,
    },
    /// An API server's answer is not what was asked for.
    #[error("cannot {what}: the answer is not what this program knows ({error}); is it of another version?")]
    Answer {
        /// What was tried.
        what: String,
        /// What is wrong with it.
        error: serde_json::Error,
    },
    /// A path of a request cannot be one; a defect of this program.
    #[error("cannot ask: {0}")]
    Path(http::Error),
    /// A file that was named cannot be read.
    #[error("cannot read {file}: {error}")]
    File {
        /// Which.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write {file}: {error}")]
    Written {
        /// Which.
        file: String,
        /// Why.
        error: std::io::Error,
    },
    /// An API server holds no node of a linked cluster.
    #[error(
        "{at} holds no NodeConfig that can be used: it is neither a linked cluster nor the hub of some, or they have not been planned yet; choose one with --context"
    )]
    NotAMember {
        /// How the API server is called.
        at: String,
    },
    /// There is no node to test.
    #[error(
        "{at} holds no NodeConfig: nothing is planned there yet, so nobody can test; see what would be with: causeway plan --objects DIR, and run causeway-network-manager"
    )]
    NothingPlanned {
        /// Where.
        at: String,
    },
    /// Another `doctor` has begun at the same time.
    #[error(
        "another doctor has asked {0} to test meanwhile, which a node does for one at a time; run it again"
    )]
    AskedByAnother(NodeId),
    /// The user has interrupted it.
    #[error("interrupted; what was written for it has been removed again")]
    Interrupted,
    /// An object could not be written into a directory, or removed.
    #[error(transparent)]
    Object {
        /// Which, and why.
        source: causeway_objects::WriteError,
    },
    /// A program that is needed does not run, or fails.
    #[error("{program} fails: {why}")]
    Program {
        /// The program and its arguments.
        program: String,
        /// Why, and what to do.
        why: String,
    },
    /// Nothing could be measured.
    #[error("{0}")]
    Bench(String),
    /// Flags that make no sense together.
    #[error("{0}")]
    Usage(String),
    /// Nothing at all could be gathered.
    #[error("nothing could be had: {0}")]
    Nothing(String),
    /// A change has nothing in it.
    #[error(
        "{0} holds no object of Causeway to change; give a file with a ClusterSet, Clusters or ClusterNodes"
    )]
    NoChange(String),
    /// An object that is to go is not there.
    #[error("{source_name} has no {object}; write KIND/NAME or KIND/NAMESPACE/NAME, such as cluster/east")]
    NoSuchObject {
        /// What was asked for.
        object: String,
        /// Where.
        source_name: String,
    },
    /// The member has another name already.
    #[error(
        "this cluster is joined as {joined}, not as {asked}; to give it another name, first run: causeway leave --cluster {joined}"
    )]
    OtherCluster {
        /// What was asked for.
        asked: ClusterName,
        /// Its name.
        joined: ClusterName,
    },
    /// The Cluster is being removed.
    #[error("cluster {0} is just leaving; wait until it is gone, or see: causeway leave --cluster {0}")]
    Leaving(ClusterName),
    /// Something did not come about in time.
    #[error("waited {}s in vain until {what}: {missing}", after.as_secs())]
    Timeout {
        /// What was waited for.
        what: String,
        /// For how long.
        after: Duration,
        /// What is missing.
        missing: String,
    },
    /// The manifests in this program are broken; a defect of it.
    #[error("the built-in manifests cannot be used: {0}")]
    Manifest(String),
    /// An address cannot be listened on.
    #[error("cannot listen on {address}: {error}; choose another with --port, or 0 for any that is free")]
    Listen {
        /// Which.
        address: SocketAddr,
        /// Why.
        error: std::io::Error,
    },
    /// The asynchronous runtime cannot be started.
    #[error("cannot start: {0}")]
    Runtime(std::io::Error),
    /// The report cannot be written as JSON; a defect of this program.
    #[error("the answer cannot be written as JSON: {0}")]
    Json(serde_json::Error),
    /// The report cannot be written as YAML; a defect of this program.
    #[error("the answer cannot be written as YAML: {0}")]
    Yaml(Box<serde_saphyr::SerializeError>),
    /// Standard output refused the answer.
    #[error("cannot write the answer: {0}")]
    Output(std::io::Error),
}

impl Error {
    /// Whether the caller can mend it by asking for something else.
    pub fn is_input(&self) -> bool {
        match self {
            Error::Open { .. }
            | Error::NotAMember { .. }
            | Error::NothingPlanned { .. }
            | Error::Empty { .. }
            | Error::UnknownCluster { .. }
            | Error::UnknownNode { .. }
            | Error::NoSource { .. }
            | Error::NotOnNode { .. }
            | Error::FamiliesDiffer { .. }
            | Error::Connect(_)
            | Error::Endpoint(_)
            | Error::NoHub { .. }
            | Error::UnknownContext { .. }
            | Error::NoContext { .. }
            | Error::File { .. }
            | Error::NoChange(_)
            | Error::Usage(_)
            | Error::NoSuchObject { .. }
            | Error::Listen { .. }
            | Error::OtherCluster { .. } => true,
            Error::NodeNotPlanned { .. }
            | Error::Interrupted
            | Error::AskedByAnother(_)
            | Error::Request(_)
            | Error::Read { .. }
            | Error::Answer { .. }
            | Error::Path(_)
            | Error::Written { .. }
            | Error::Object { .. }
            | Error::Nothing(_)
            | Error::Bench(_)
            | Error::Program { .. }
            | Error::Leaving(_)
            | Error::Timeout { .. }
            | Error::Manifest(_)
            | Error::Runtime(_)
            | Error::Json(_)
            | Error::Yaml(_)
            | Error::Output(_) => false,
        }
    }
}

fn reason(error: &OpenError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}

fn where_clusters_come_from(files: bool) -> &'static str {
    if files {
        "give a directory with Cluster and ClusterNode objects"
    } else {
        "join clusters with: causeway join --cluster NAME"
    }
}

/// What is wrong, with what somebody at a command line can do about it.
fn advised(what: &str, trouble: &Trouble) -> String {
    match trouble {
        Trouble::Forbidden(message) => format!(
            "{message}; ask for the right to {what} (a ClusterRole with that verb and resource), or name another context with --context"
        ),
        other => other.to_string(),
    }
}
