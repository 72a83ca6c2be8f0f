//! What an agent knows of its plan, and where it reads it: one NodeConfig, its cluster's
//! ClusterLinks, and the PeerSlices that its role needs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use causeway_api::{
    CLUSTER_LABEL, ClusterLink, Conversion, FieldError, InvalidObject, NodeConfig, PeerSlice, SCOPE_LABEL,
    cluster_link, link_plan, node_plan, peer_slice, scope_label, slice_plan,
};
use causeway_model::{
    ClusterName, LinkPlan, NodeId, NodePlan, Scope, SlicePlan, cluster_namespace, needed_slices,
};
use causeway_objects::{CausewayObject, Filter, Header, Hint, Kind, ObjectRef, OpenError, Store};

/// The plans that one node's kernel state follows from.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Inputs {
    node: NodePlan,
    links: Vec<LinkPlan>,
    slices: Vec<SlicePlan>,
}

impl Inputs {
    /// The node's own plan.
    pub fn node(&self) -> &NodePlan {
        &self.node
    }

    /// The links of its cluster.
    pub fn links(&self) -> &[LinkPlan] {
        &self.links
    }

    /// The slices that it needs.
    pub fn slices(&self) -> &[SlicePlan] {
        &self.slices
    }
}

type Need = BTreeSet<(ClusterName, Scope)>;

/// What is known of the node's plan.
#[derive(Clone, PartialEq, Debug, Default)]
pub enum Known {
    /// Nothing yet. Whatever the kernel holds stays.
    #[default]
    Nothing,
    /// The node takes part.
    Plan(Box<Inputs>),
    /// The node took part, and its NodeConfig was removed while we watched.
    Removed,
}

/// Reads an agent's objects from a directory.
#[derive(Debug)]
pub struct Source {
    root: PathBuf,
    id: NodeId,
    store: Store,
    need: Need,
    known: Known,
    complaints: Vec<String>,
    /// Whether the objects may say something else than what is known.
    stale: bool,
}

impl Source {
    /// Reads what there is below `root` for the node `id`.
    ///
    /// # Errors
    /// [`OpenError`] if `root` cannot be read.
    pub fn open(root: PathBuf, id: NodeId) -> Result<Source, OpenError> {
        let need = Need::new();
        let store = Store::open_filtered(&root, filter(&id, &need))?;
        let mut source =
            Source { root, id, store, need, known: Known::Nothing, complaints: Vec::new(), stale: false };
        source.read()?;
        Ok(source)
    }

    /// What is known now.
    pub fn known(&self) -> &Known {
        &self.known
    }

    /// The node's NodeConfig.
    pub fn config(&self) -> Option<&NodeConfig> {
        self.store.get(&config_key(&self.id)).and_then(|object| NodeConfig::from_object(object))
    }

    /// Forgets that the node took part, after everything of it was removed.
    pub fn forget(&mut self) {
        self.known = Known::Nothing;
    }

    /// Looks where `hint` says. Returns whether what is known changed.
    ///
    /// # Errors
    /// [`OpenError`] if the directory cannot be read any more; what was known stays.
    pub fn refresh(&mut self, hint: &Hint) -> Result<bool, OpenError> {
        self.stale |= !self.store.refresh_hinted(hint).is_empty() || unreadable(&self.store);
        if !self.stale {
            return Ok(false);
        }
        let before = self.known.clone();
        self.read()?;
        // What cannot be read now may be readable next time, without another change.
        self.stale = unreadable(&self.store);
        Ok(self.known != before)
    }

    /// Turns the objects into plans. If the node turns out to need other slices than those that are
    /// kept, everything is read again with those.
    fn read(&mut self) -> Result<(), OpenError> {
        let mut complaints: Vec<String> = self.store.problems().iter().map(ToString::to_string).collect();
        let node = self.config().cloned().and_then(|config| keep(node_plan(&config), &mut complaints));
        // Unknown is not empty: nothing is programmed from a part of a first reading.
        if matches!(self.known, Known::Nothing) && unreadable(&self.store) {
            self.complain(complaints);
            return Ok(());
        }
        let (old_links, old_slices) = match &self.known {
            Known::Plan(inputs) => (inputs.links.clone(), inputs.slices.clone()),
            Known::Nothing | Known::Removed => Default::default(),
        };
        // An object that is there and cannot be used leaves in force what it was before.
        let mut links: Vec<LinkPlan> = Vec::new();
        for link in self.store.all::<ClusterLink>() {
            let before = || old_links.iter().find(|old| cluster_link(old).key() == link.key()).cloned();
            links.extend(keep(link_plan(link), &mut complaints).or_else(before));
        }
        if let Some(node) = &node {
            let need = needed_slices(&self.id, node.role, &links);
            if need != self.need {
                let store = Store::open_filtered(&self.root, filter(&self.id, &need))?;
                if unreadable(&store) {
                    complaints.extend(store.problems().iter().map(ToString::to_string));
                    self.complain(complaints);
                    return Ok(());
                }
                (self.store, self.need) = (store, need);
                return self.read();
            }
        }
        let mut slices: Vec<SlicePlan> = Vec::new();
        for slice in self.store.all::<PeerSlice>() {
            let before = || old_slices.iter().find(|old| peer_slice(old).key() == slice.key()).cloned();
            slices.extend(keep(slice_plan(slice), &mut complaints).or_else(before));
        }
        self.known = match (node, std::mem::take(&mut self.known)) {
            (Some(node), _) => Known::Plan(Box::new(Inputs { node, links, slices })),
            // An object that is there and cannot be used is not an object that was removed.
            (None, known) if self.config().is_some() => known,
            (None, Known::Nothing) => Known::Nothing,
            (None, known) if unreadable(&self.store) => known,
            (None, Known::Plan(_) | Known::Removed) => Known::Removed,
        };
        self.complain(complaints);
        Ok(())
    }

    /// Logs what is wrong, once.
    fn complain(&mut self, complaints: Vec<String>) {
        for complaint in complaints.iter().filter(|c| !self.complaints.contains(c)) {
            tracing::warn!("{complaint}");
        }
        self.complaints = complaints;
    }
}

/// Whether a document of the store cannot be read at all.
fn unreadable(store: &Store) -> bool {
    store.problems().iter().any(|problem| !problem.cause.is_warning())
}

/// The value, with complaints about what of it could not be used.
fn keep<T>(result: Result<Conversion<T>, InvalidObject>, complaints: &mut Vec<String>) -> Option<T> {
    match result {
        Ok(Conversion { value, errors }) => {
            complaints.extend(errors.iter().map(FieldError::to_string));
            Some(value)
        }
        Err(error) => {
            complaints.push(error.to_string());
            None
        }
    }
}

fn config_key(id: &NodeId) -> ObjectRef {
    ObjectRef {
        kind: Kind::NodeConfig,
        namespace: Some(cluster_namespace(&id.cluster)),
        name: id.node.to_string(),
    }
}

/// The objects of one agent.
fn filter(id: &NodeId, need: &Need) -> Filter {
    let (config, namespace) = (config_key(id), cluster_namespace(&id.cluster));
    let slices: BTreeSet<(String, &'static str)> =
        need.iter().map(|(cluster, scope)| (cluster.to_string(), scope_label(*scope))).collect();
    let wanted_slice = move |header: &Header<'_>| {
        let (cluster, scope) = (header.label(CLUSTER_LABEL), header.label(SCOPE_LABEL));
        slices.iter().any(|(c, s)| cluster == Some(c.as_str()) && scope == Some(s))
    };
    Filter::new(move |header| match header.key.kind {
        Kind::NodeConfig => *header.key == config,
        Kind::ClusterLink => header.key.namespace.as_deref() == Some(namespace.as_str()),
        Kind::PeerSlice => wanted_slice(header),
        Kind::ClusterSet | Kind::Cluster | Kind::ClusterNode => false,
    })
}
