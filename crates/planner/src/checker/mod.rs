//! Judges a finished plan against the facts it was made from.
//!
//! Shares no code with the planner but the model: it knows what must hold, not how to bring it about.
//! Each check sorts and sweeps, so that it serves clustersets of 100,000 nodes as well.

mod addresses;
mod links;
mod routes;
mod slices;

use std::collections::BTreeMap;

use causeway_model::{ClusterFacts, ClusterName, ClusterSetFacts, NodeFacts, NodeId, Subject};

use crate::{Event, Plan};

/// Facts of a whole clusterset.
#[derive(Clone, Default, Debug)]
pub struct Facts {
    /// The ClusterSet; `None` where there is none.
    pub cluster_set: Option<ClusterSetFacts>,
    /// Every Cluster.
    pub clusters: BTreeMap<ClusterName, ClusterFacts>,
    /// Every ClusterNode.
    pub nodes: BTreeMap<NodeId, NodeFacts>,
}

impl Facts {
    /// Brings the facts from before an event to after it.
    pub fn apply(&mut self, event: Event) {
        match event {
            Event::ClusterSet(facts) => self.cluster_set = facts,
            Event::Cluster(facts) => {
                self.clusters.insert(facts.name.clone(), facts);
            }
            Event::ClusterGone(name) => {
                self.clusters.remove(&name);
            }
            Event::Node(facts) => {
                self.nodes.insert(facts.id.clone(), facts);
            }
            Event::NodeGone(id) => {
                self.nodes.remove(&id);
            }
        }
    }

    /// The events that state these facts.
    pub fn events(&self) -> impl Iterator<Item = Event> {
        let clusters = self.clusters.values().cloned().map(Event::Cluster);
        let nodes = self.nodes.values().cloned().map(Event::Node);
        std::iter::once(Event::ClusterSet(self.cluster_set.clone())).chain(clusters).chain(nodes)
    }
}

/// A rule that a plan breaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Rule {
    /// A plan belongs to an object that the facts state.
    KnownObject,
    /// No two nodes have an overlay or underlay address or a MAC in common, and an overlay address
    /// lies in a block of the node's cluster.
    DistinctAddresses,
    /// No two clusters' overlay blocks overlap.
    DistinctBlocks,
    /// A node is in exactly one slice of its cluster, with the same tunnel end as in its own plan.
    NodeInSlice,
    /// A slice holds 1 to 256 peers, sorted, none twice.
    SliceShape,
    /// The gateway slices of a Gateway cluster list exactly the nodes with the role.
    GatewayRoles,
    /// Every ordered pair of clusters has a link, and a link needs two.
    LinkForEachPair,
    /// Both directions of a link have the same MTU.
    SymmetricLinks,
    /// A link without prefixes, or one that lacks a prefix, says why.
    Explained,
    /// Every prefix of a cluster is on the links of all who can use it.
    Reachable,
    /// What goes through nodes has one owner, what goes through gateways has at least one.
    Carried,
    /// In the view of a cluster no address belongs to two others, or to another and itself.
    OneOwner,
    /// No route covers an address that tunnel packets are sent to.
    UnderlayUncovered,
}

/// A rule that is broken, where, and how.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Violation {
    /// Which rule.
    pub rule: Rule,
    /// The object at which it was noticed.
    pub subject: Subject,
    /// What is wrong there.
    pub detail: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {:?}: {}", self.subject, self.rule, self.detail)
    }
}

/// Collects violations.
#[derive(Default)]
struct Report(Vec<Violation>);

impl Report {
    fn add(&mut self, rule: Rule, subject: Subject, detail: String) {
        self.0.push(Violation { rule, subject, detail });
    }

    fn node(&mut self, rule: Rule, id: &NodeId, detail: String) {
        self.add(rule, Subject::Node(id.clone()), detail);
    }

    fn cluster(&mut self, rule: Rule, name: &ClusterName, detail: String) {
        self.add(rule, Subject::Cluster(name.clone()), detail);
    }
}

/// All rules that `plan` breaks, sorted; none if it is sound.
pub fn check(facts: &Facts, plan: &Plan) -> Vec<Violation> {
    let mut report = Report::default();
    known_objects(facts, plan, &mut report);
    addresses::check(plan, &mut report);
    slices::check(plan, &mut report);
    links::check(facts, plan, &mut report);
    routes::check(facts, plan, &mut report);
    report.0.sort_unstable();
    report.0
}

fn known_objects(facts: &Facts, plan: &Plan, report: &mut Report) {
    for id in plan.nodes.keys() {
        if !facts.nodes.contains_key(id) || !facts.clusters.contains_key(&id.cluster) {
            report.node(Rule::KnownObject, id, "has a plan, but no facts".to_owned());
        }
    }
    for name in plan.clusters.keys().filter(|name| !facts.clusters.contains_key(*name)) {
        report.cluster(Rule::KnownObject, name, "has a plan, but no facts".to_owned());
    }
    for name in facts.clusters.keys().filter(|name| !plan.clusters.contains_key(*name)) {
        report.cluster(Rule::KnownObject, name, "has facts, but no plan".to_owned());
    }
    for (id, node) in &facts.nodes {
        if !plan.nodes.contains_key(id) && !plan.node_findings.contains_key(id) {
            let detail =
                format!("is left out without a reason ({} addresses)", node.underlay.addresses().count());
            report.node(Rule::Explained, id, detail);
        }
    }
}
