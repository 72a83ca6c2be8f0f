//! What a source of objects holds: facts, allocations, planned objects, and what of it could not be
//! used. Reads and converts; the planner decides.

use std::collections::BTreeMap;
use std::path::Path;

use causeway_api::{
    CLUSTER_SET_NAME, CausewayObject, Cluster, ClusterLink, ClusterNode, ClusterSet, Conversion, FieldError,
    InvalidObject, NodeConfig, ObjectRef, Objects, PeerSlice,
};
use causeway_model::{
    ClusterFacts, ClusterName, ClusterPlan, ClusterSetFacts, Finding, NodeFacts, NodeId, Reason, Subject,
};
use causeway_objects::Store;
use causeway_planner::{Adopted, Event, Plan, Planner};
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::report::{Page, Table};
use crate::source::Origin;

/// A document or a value that is not used.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Problem {
    /// The file, or the hub.
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

/// The objects of a source, converted.
pub struct Inventory {
    /// The source: a directory as it was given, or the hub.
    pub source: String,
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
    objects: Objects,
    origin: Origin,
}

impl From<causeway_objects::Problem> for Problem {
    fn from(problem: causeway_objects::Problem) -> Problem {
        Problem {
            file: problem.location.file.display().to_string(),
            line: problem.location.line,
            object: problem.object.as_ref().map(ToString::to_string),
            message: problem.cause.to_string(),
        }
    }
}

impl Inventory {
    /// Reads all objects below `directory`.
    ///
    /// # Errors
    /// [`Error::Open`], [`Error::Empty`].
    pub fn read(directory: &Path) -> Result<Inventory, Error> {
        let store = Store::open(directory).map_err(|source| Error::Open { source })?;
        let problems = store.problems().into_iter().map(Problem::from).collect();
        let objects = store.objects().clone();
        Inventory::of(directory.display().to_string(), Origin::Directory(Box::new(store)), objects, problems)
    }

    /// Converts `objects`, which came out of `origin`. `problems` are those that came up before.
    ///
    /// # Errors
    /// [`Error::Empty`] if no Cluster can be used.
    pub fn of(
        source: String,
        origin: Origin,
        objects: Objects,
        problems: Vec<Problem>,
    ) -> Result<Inventory, Error> {
        let mut inventory = Inventory::new(source, origin, objects);
        inventory.read_facts();
        inventory.read_planned();
        inventory.problems.extend(problems);
        inventory.problems.sort_by(|a, b| (&a.file, a.line).cmp(&(&b.file, b.line)));
        inventory.problems.dedup();
        if inventory.clusters.is_empty() {
            return Err(inventory.empty());
        }
        Ok(inventory)
    }

    /// What it is with `objects` in place of its own, called `source`.
    ///
    /// # Errors
    /// [`Error::Empty`] if no Cluster is left.
    pub fn changed(
        &self,
        objects: Objects,
        source: String,
        problems: Vec<Problem>,
    ) -> Result<Inventory, Error> {
        Inventory::of(source, Origin::Server, objects, problems)
    }

    /// All its objects.
    pub fn objects_of_all_kinds(&self) -> &Objects {
        &self.objects
    }

    fn new(source: String, origin: Origin, objects: Objects) -> Inventory {
        Inventory {
            source,
            cluster_set: None,
            clusters: BTreeMap::new(),
            nodes: BTreeMap::new(),
            written: Plan::default(),
            problems: Vec::new(),
            adopted: Vec::new(),
            unread: BTreeMap::new(),
            objects,
            origin,
        }
    }

    /// The objects of one kind.
    pub fn all<K: CausewayObject>(&self) -> impl Iterator<Item = &K> {
        self.objects.all::<K>()
    }

    /// What of an object could not be read.
    pub fn unread(&self, key: &ObjectRef) -> &[Finding] {
        self.unread.get(key).map(Vec::as_slice).unwrap_or_default()
    }

    fn empty(&self) -> Error {
        let lines = self.problems.iter().take(5).map(|p| format!("\n  {}:{}: {}", p.file, p.line, p.message));
        Error::Empty {
            source_name: self.source.clone(),
            files: matches!(self.origin, Origin::Directory(_)),
            hint: lines.collect(),
        }
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
        let source_name = || self.source.clone();
        let has_cluster = self.clusters.contains_key(&id.cluster)
            || self.written.nodes.keys().any(|known| known.cluster == id.cluster);
        if !has_cluster {
            let known = self.cluster_names();
            return Err(Error::UnknownCluster {
                name: id.cluster.clone(),
                source_name: source_name(),
                known,
            });
        }
        if !self.nodes.contains_key(id) && !self.written.nodes.contains_key(id) {
            let known = self.node_names(&id.cluster);
            return Err(Error::UnknownNode { id: id.clone(), source_name: source_name(), known });
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
        let (file, line) = self.origin.locate(&object, &field).unwrap_or_else(|| match self.origin {
            Origin::Directory(_) => (String::new(), 0),
            Origin::Server => (self.source.clone(), 0),
        });
        self.problems.push(Problem {
            file,
            line,
            object: Some(object.to_string()),
            message: format!("{field}: {message}{consequence}"),
        });
        // Only the reason and the words become part of a condition, which the object itself carries.
        let finding = Finding { subject: Subject::ClusterSet, field, reason: Reason::InvalidValue, message };
        self.unread.entry(object).or_default().push(finding);
    }

    fn objects<K: CausewayObject>(&self) -> Vec<K> {
        self.objects.all::<K>().cloned().collect()
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
