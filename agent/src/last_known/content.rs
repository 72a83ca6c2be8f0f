//! What is kept of a plan, and whether what was kept may be used: it must be whole, and of this very node.

use std::path::Path;
use std::sync::Arc;

use causeway_api::{Change, Object, cluster_link, node_config, peer_slice};
use causeway_model::{LinkPlan, NodeName, NodePlan, SlicePlan};

use crate::last_known::codec::{CodecError, Origin, fingerprint};
use crate::plans::{Inputs, Known, Plans};

/// As what this agent runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// Its node.
    pub node: NodeName,
    /// Fingerprints of the authorities that its API server's certificate is to be signed by.
    pub authorities: Vec<String>,
}

impl Identity {
    /// Of `node`, whose API server's certificate is to be signed by one of `authorities` (DER).
    pub fn new(node: NodeName, authorities: &[Vec<u8>]) -> Identity {
        Identity {
            node,
            authorities: authorities.iter().map(|certificate| fingerprint(certificate)).collect(),
        }
    }
}

/// A plan to be kept, apart from its source, which goes on.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot {
    node: NodePlan,
    links: Vec<LinkPlan>,
    slices: Vec<SlicePlan>,
    authorities: Vec<String>,
}

impl Snapshot {
    /// Of the plan of the agent that runs as `identity`.
    pub fn of(inputs: Inputs<'_>, identity: &Identity) -> Snapshot {
        Snapshot {
            node: inputs.node().clone(),
            links: inputs.links().to_vec(),
            slices: inputs.slices().to_vec(),
            authorities: identity.authorities.clone(),
        }
    }

    /// Whose it is.
    pub fn origin(&self) -> Origin {
        Origin {
            node: self.node.id.node.to_string(),
            cluster: self.node.id.cluster.to_string(),
            authorities: self.authorities.clone(),
        }
    }

    /// The plan as objects of the API.
    pub fn objects(&self) -> impl Iterator<Item = Object> {
        let links = self.links.iter().map(|link| cluster_link(link).into());
        let slices = self.slices.iter().map(|slice| peer_slice(slice).into());
        std::iter::once(node_config(&self.node).into()).chain(links).chain(slices)
    }
}

/// Why a file is of no use.
#[derive(Debug, thiserror::Error)]
pub enum Unusable {
    /// The file system does not give it.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// There is something else under its name.
    #[error("it is no regular file; remove it")]
    NoFile,
    /// It is not as it was written.
    #[error(transparent)]
    Codec(#[from] CodecError),
    /// It was written on another node, or before this one was made anew.
    #[error("it is of node {found:?}, and this is {here}")]
    OtherNode {
        /// Whose it is.
        found: String,
        /// This node.
        here: NodeName,
    },
    /// The node was in another cluster when it was written.
    #[error(
        "it was written while node {0} belonged to another cluster, whose API server has another certificate authority"
    )]
    OtherAuthority(NodeName),
    /// A link of one cluster beside a node of another.
    #[error("it holds objects of the clusters {0} and {1}")]
    TwoClusters(String, String),
    /// It holds no NodeConfig.
    #[error("it holds no NodeConfig")]
    NoPlan,
    /// A part of the plan cannot be used, and half a plan is none.
    #[error("it holds what this agent cannot use: {0}")]
    Part(String),
}

/// The plan in `objects`, if all of it can be used and it is that of the node `here`.
///
/// # Errors
/// [`Unusable`] otherwise.
pub fn plans(origin: &Origin, objects: Vec<Object>, here: &Identity) -> Result<Plans, Unusable> {
    let other = |found: &str| Unusable::OtherNode { found: found.to_owned(), here: here.node.clone() };
    if !origin.node.is_empty() && origin.node != here.node.as_str() {
        return Err(other(&origin.node));
    }
    // Authorities change one at a time, so the old ones and the new ones have one in common. Who does not
    // say which it trusts is not told apart.
    let strangers = |one: &[String], two: &[String]| {
        !one.is_empty() && !two.is_empty() && !one.iter().any(|authority| two.contains(authority))
    };
    if strangers(&origin.authorities, &here.authorities) {
        return Err(Unusable::OtherAuthority(here.node.clone()));
    }
    let mut plans = Plans::default();
    objects.into_iter().for_each(|object| plans.handle(&Change::Applied(Arc::new(object))));
    plans.settle();
    if let Some(complaint) = plans.complaints().next() {
        return Err(Unusable::Part(complaint.clone()));
    }
    let Known::Plan(inputs) = plans.known() else { return Err(Unusable::NoPlan) };
    let id = &inputs.node().id;
    if id.node != here.node {
        return Err(other(id.node.as_str()));
    }
    let sources = inputs.links().iter().map(|link| link.id.source.as_str());
    let stated = Some(origin.cluster.as_str()).filter(|cluster| !cluster.is_empty());
    if let Some(stranger) = sources.chain(stated).find(|cluster| *cluster != id.cluster.as_str()) {
        return Err(Unusable::TwoClusters(id.cluster.to_string(), stranger.to_owned()));
    }
    Ok(plans)
}

/// The name of the file in the state directory.
pub fn path(state_dir: &Path) -> std::path::PathBuf {
    state_dir.join("last-known-state")
}
