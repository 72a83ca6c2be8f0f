//! What a directory of objects holds: facts, allocations, planned objects, and what of it could not be
//! used. Reads and converts; the planner decides.

use std::collections::BTreeMap;
use std::path::Path;

use causeway_api::{
    CLUSTER_SET_NAME, CausewayObject, Cluster, ClusterLink, ClusterNode, ClusterSet, Conversion, FieldError,
    InvalidObject, NodeConfig, ObjectRef, PeerSlice,
};
use causeway_model::{
    ClusterFacts, ClusterName, ClusterPlan, ClusterSetFacts, Finding, NodeFacts, NodeId, Reason, Subject,
};
use causeway_objects::Store;
use causeway_planner::{Adopted, Event, Plan, Planner};
use serde::Serialize;

use crate::error::Error;
use crate::report::{Page, Table};

/// A document or a value that is not used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Problem {
    /// The file.
    pub file: String,
    /// The line in it, counted from 1; 0 for the file as a whole.
    pub line: usize,
    /// The object, as far as it is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object: Option<String>,
    /// What is wrong, with the field.
    pub message: String,
}

/// Adds the section on what was not used.
pub fn show_problems(page: &mut Page, problems: &[Problem]) {
    let mut table = Table::new(&[]);
    for problem in problems {
        let place = match problem.line {
            0 => problem.file.clone(),
            line => format!("{}:{line}", problem.file),
        };
        table.row([place, problem.object.clone().unwrap_or_default()]);
        table.detail([problem.message.clone()]);
    }
    page.section("NOT USED", table);
}

/// The objects of a directory, converted.
pub struct Inventory {
    /// The directory, as it was given.
    pub directory: String,
    /// What all clusters share, if it is stated.
    pub cluster_set: Option<ClusterSetFacts>,
    /// Facts of clusters.
    pub clusters: BTreeMap<ClusterName, ClusterFacts>,
    /// Facts of nodes.
    pub nodes: BTreeMap<NodeId, NodeFacts>,
    /// What the planned objects say. It has no findings.
    pub written: Plan,
    /// What is not used, and why.
    pub problems: Vec<Problem>,
    /// Allocations, also from objects that can be used for nothing else.
    adopted: Vec<Adopted>,
    /// What could not be read of facts, as the planner's findings say it.
    unread: BTreeMap<ObjectRef, Vec<Finding>>,
    store: Store,
}

impl Inventory {
    /// Reads all objects below `directory`.
    pub fn read(directory: &Path) -> Result<Inventory, Error> {
        let store = Store::open(directory).map_err(|source| Error::Open { source })?;
        let mut inventory = Inventory::new(store, directory.display().to_string());
        inventory.read_facts();
        inventory.read_planned();
        let problems = inventory.store.problems();
        inventory.problems.extend(problems.into_iter().map(|problem| Problem {
            file: problem.location.file.display().to_string(),
            line: problem.location.line,
            object: problem.object.as_ref().map(ToString::to_string),
            message: problem.cause.to_string(),
        }));
        inventory.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        inventory.problems.dedup();
        if inventory.clusters.is_empty() {
            return Err(inventory.empty());
        }
        Ok(inventory)
    }

    fn new(store: Store, directory: String) -> Inventory {
        Inventory {
            directory,
            cluster_set: None,
            clusters: BTreeMap::new(),
            nodes: BTreeMap::new(),
            written: Plan::default(),
            problems: Vec::new(),
            adopted: Vec::new(),
            unread: BTreeMap::new(),
            store,
        }
    }

    /// The objects of one kind.
    pub fn all<K: CausewayObject>(&self) -> impl Iterator<Item = &K> {
        self.store.all::<K>()
    }

    /// What of an object could not be read.
    pub fn unread(&self, key: &ObjectRef) -> &[Finding] {
        self.unread.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    fn empty(&self) -> Error {
        let lines = self.problems.iter().take(5).map(|p| format!("\n  {}:{}: {}", p.file, p.line, p.message));
        Error::Empty { directory: self.directory.clone(), hint: lines.collect() }
    }

    /// The plan of the facts. `earlier` are allocations that hold where this directory has none.
    pub fn plan(&self, earlier: impl IntoIterator<Item = Adopted>) -> Plan {
        let mut planner = Planner::new();
        for adopted in self.adopted.iter().cloned().chain(earlier) {
            planner.adopt(adopted);
        }
        planner.handle(Event::ClusterSet(self.cluster_set.clone()));
        for facts in self.clusters.values() {
            planner.handle(Event::Cluster(facts.clone()));
        }
        for facts in self.nodes.values() {
            planner.handle(Event::Node(facts.clone()));
        }
        let mut plan = Plan::default();
        plan.apply(planner.plan());
        plan
    }

    /// The names of all clusters, for people.
    pub fn cluster_names(&self) -> String {
        listed(self.clusters.keys())
    }

    /// The names of all nodes of a cluster, for people.
    pub fn node_names(&self, cluster: &ClusterName) -> String {
        let names = self.nodes.keys().chain(self.written.nodes.keys()).filter(|id| id.cluster == *cluster);
        let mut names: Vec<_> = names.map(|id| &id.node).collect();
        names.sort_unstable();
        names.dedup();
        listed(names.into_iter())
    }

    /// That there is such a node.
    pub fn check_node(&self, id: &NodeId) -> Result<(), Error> {
        let directory = || self.directory.clone();
        let has_cluster = self.clusters.contains_key(&id.cluster)
            || self.written.nodes.keys().any(|known| known.cluster == id.cluster);
        if !has_cluster {
            let known = self.cluster_names();
            return Err(Error::UnknownCluster { name: id.cluster.clone(), directory: directory(), known });
        }
        if !self.nodes.contains_key(id) && !self.written.nodes.contains_key(id) {
            let known = self.node_names(&id.cluster);
            return Err(Error::UnknownNode { id: id.clone(), directory: directory(), known });
        }
        Ok(())
    }
}

/// A few names, and how many more there are.
fn listed<T: ToString>(names: impl ExactSizeIterator<Item = T>) -> String {
    const SHOWN: usize = 10;
    let count = names.len();
    let shown: Vec<String> = names.take(SHOWN).map(|name| name.to_string()).collect();
    match count {
        0 => "none".to_owned(),
        _ if count > SHOWN => format!("{} and {} more", shown.join(", "), count - SHOWN),
        _ => shown.join(", "),
    }
}

/// Reading, kind by kind.
impl Inventory {
    /// The value, if the object can be used; what cannot is noted.
    fn take<T>(&mut self, conversion: Result<Conversion<T>, InvalidObject>) -> Option<T> {
        match conversion {
            Ok(Conversion { value, errors }) => {
                errors.into_iter().for_each(|error| self.note(error, ""));
                Some(value)
            }
            Err(InvalidObject(error)) => {
                self.note(error, "; the object is not used");
                None
            }
        }
    }

    fn note(&mut self, error: FieldError, consequence: &str) {
        let FieldError { object, field, message } = error;
        let place = self.store.locate(&object, &field);
        self.problems.push(Problem {
            file: place.as_ref().map_or_else(String::new, |place| place.file.display().to_string()),
            line: place.map_or(0, |place| place.line),
            object: Some(object.to_string()),
            message: format!("{field}: {message}{consequence}"),
        });
        // Only the reason and the words become part of a condition, which the object itself carries.
        let finding = Finding { subject: Subject::ClusterSet, field, reason: Reason::InvalidValue, message };
        self.unread.entry(object).or_default().push(finding);
    }

    fn objects<K: CausewayObject>(&self) -> Vec<K> {
        self.store.all::<K>().cloned().collect()
    }

    fn read_facts(&mut self) {
        for object in self.objects::<ClusterSet>() {
            let facts = self.take(Ok(causeway_api::cluster_set_facts(Some(&object))));
            if object.metadata.name.as_deref() == Some(CLUSTER_SET_NAME) {
                self.cluster_set = facts;
            }
        }
        for object in self.objects::<Cluster>() {
            if let Some(facts) = self.take(causeway_api::cluster_facts(&object)) {
                self.clusters.insert(facts.name.clone(), facts);
            }
            if object.status.is_some()
                && let Some(plan) = self.take(causeway_api::cluster_plan(&object))
            {
                self.read_cluster_plan(plan);
            }
        }
        for object in self.objects::<ClusterNode>() {
            if let Some(facts) = self.take(causeway_api::node_facts(&object)) {
                self.nodes.insert(facts.id.clone(), facts);
            }
        }
    }

    fn read_cluster_plan(&mut self, plan: ClusterPlan) {
        self.adopted.push(Adopted::Cluster {
            name: plan.name.clone(),
            overlay: plan.overlay.clone(),
            translations: plan.translations.clone(),
            gateways: plan.gateways.clone(),
        });
        self.written.clusters.insert(plan.name.clone(), plan);
    }

    fn read_planned(&mut self) {
        for object in self.objects::<NodeConfig>() {
            if let Some((id, overlay)) = causeway_api::node_overlay(&object) {
                self.adopted.push(Adopted::Node { id, overlay });
            }
            if let Some(plan) = self.take(causeway_api::node_plan(&object)) {
                self.written.nodes.insert(plan.id.clone(), plan);
            }
        }
        for object in self.objects::<ClusterLink>() {
            if let Some(plan) = self.take(causeway_api::link_plan(&object)) {
                self.written.links.insert(plan.id.clone(), plan);
            }
        }
        for object in self.objects::<PeerSlice>() {
            if let Some((id, nodes)) = causeway_api::slice_members(&object) {
                self.adopted.push(Adopted::Slice { id, nodes });
            }
            if let Some(plan) = self.take(causeway_api::slice_plan(&object)) {
                self.written.slices.insert(plan.id.clone(), plan);
            }
        }
    }
}

/// The node of a ClusterNode.
pub fn node_id(object: &ClusterNode) -> Option<NodeId> {
    let meta = &object.metadata;
    let cluster = ClusterName::from_namespace(meta.namespace.as_deref()?).ok()?;
    Some(NodeId { cluster, node: meta.name.as_deref()?.parse().ok()? })
}
