//! Why a command cannot be served at all. What is merely wrong with the clusterset is a finding of a
//! report, not an error.

use std::net::IpAddr;

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
    #[error(
        "{directory} holds no Cluster that can be used; give a directory with Cluster and ClusterNode objects{hint}"
    )]
    Empty {
        /// The directory.
        directory: String,
        /// What kept objects from being used; empty or beginning with a line break.
        hint: String,
    },
    /// No such cluster.
    #[error("there is no cluster {name} in {directory}; it has {known}")]
    UnknownCluster {
        /// What was asked for.
        name: ClusterName,
        /// Where.
        directory: String,
        /// Those that there are.
        known: String,
    },
    /// No such node.
    #[error("cluster {} has no node {} in {directory}; it has {known}", id.cluster, id.node)]
    UnknownNode {
        /// What was asked for.
        id: NodeId,
        /// Where.
        directory: String,
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
    /// Source and destination are of different families.
    #[error("{from} cannot send to {to}: one is IPv4, the other IPv6; give two addresses of one family")]
    FamiliesDiffer {
        /// The source.
        from: IpAddr,
        /// The destination.
        to: IpAddr,
    },
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
        !matches!(self, Error::Json(_) | Error::Yaml(_) | Error::Output(_) | Error::NodeNotPlanned { .. })
    }
}

fn reason(error: &OpenError) -> String {
    std::error::Error::source(error).map(ToString::to_string).unwrap_or_default()
}
