//! What was heard from all sources so far.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_api::{ClusterNodeSpec, ClusterSpec, CniType};
use causeway_model::Prefix;
use serde_json::Value;

use crate::cluster::{self, ClusterFindings};
use crate::cni::{self, Cni};
use crate::loans::Loans;
use crate::node::{Node, POD_CIDRS, clusternode};
use crate::prefixes::aggregated;
use crate::read::{Statement, statement};
use crate::source::{SourceId, sources};

/// How far a source was heard.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) enum Heard {
    /// Not yet.
    #[default]
    Nothing,
    /// All that it has.
    All,
    /// It cannot be read: its definition is not there, or it is not allowed.
    Unavailable(String),
}

/// What is there, as far as it was heard. Knows nothing of the cluster's spec: that is asked with.
#[derive(Debug, Default)]
pub struct Found {
    nodes: BTreeMap<String, Node>,
    nodes_heard: bool,
    pub(crate) heard: BTreeMap<SourceId, Heard>,
    statements: BTreeMap<(SourceId, String), Statement>,
    /// Static Pods that are gone and still count, until another says the same sort.
    kept: BTreeSet<(SourceId, String)>,
    /// Borrowed addresses, by who says so.
    loans: BTreeMap<SourceId, Loans>,
    /// Prefixes of nodes, by node and by who says so.
    of_nodes: BTreeMap<String, BTreeMap<(SourceId, String), Vec<Prefix>>>,
    pub(crate) node_findings: BTreeMap<String, Vec<String>>,
}

impl Found {
    /// A Node is so now. Returns whether anything that is used of it changed.
    pub fn node_applied(&mut self, name: &str, object: &Value) -> bool {
        let (node, findings) = Node::read(object);
        if findings.is_empty() {
            self.node_findings.remove(name);
        } else {
            self.node_findings.insert(name.to_owned(), findings);
        }
        if self.nodes.get(name) == Some(&node) {
            return false;
        }
        self.nodes.insert(name.to_owned(), node);
        true
    }

    /// A Node is gone.
    pub fn node_deleted(&mut self, name: &str) {
        self.nodes.remove(name);
        self.node_findings.remove(name);
    }

    /// All Nodes have been said.
    pub fn nodes_complete(&mut self) {
        self.nodes_heard = true;
    }

    /// Whether all Nodes have been said once.
    pub fn has_nodes(&self) -> bool {
        self.nodes_heard
    }

    /// The names of the Nodes.
    pub fn node_names(&self) -> impl Iterator<Item = &str> {
        self.nodes.keys().map(String::as_str)
    }

    /// Whether there is a Node of this name.
    pub fn has_node(&self, name: &str) -> bool {
        self.nodes.contains_key(name)
    }

    pub(crate) fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values()
    }

    /// An object of a source is so now. `name` tells it from others of the source. Returns the nodes whose
    /// own facts may have changed with it, or `None` if nothing did.
    pub fn applied(&mut self, source: SourceId, name: &str, object: &Value) -> Option<BTreeSet<String>> {
        let key = (source, name.to_owned());
        let now = statement(source, object);
        if self.statements.get(&key) == Some(&now) {
            return None;
        }
        let mut touched = self.withdraw(&key);
        for (node, prefix) in &now.nodes {
            let said = self.of_nodes.entry(node.clone()).or_default().entry(key.clone()).or_default();
            said.push(*prefix);
        }
        for loan in &now.loans {
            self.loans.entry(source).or_default().insert(name, loan);
        }
        touched.extend(self.around(&now));
        if is_static_pods(source) && now.says_prefixes() {
            let kept: Vec<_> = self.kept.iter().filter(|(of, _)| *of == source).cloned().collect();
            for old in kept.iter().filter(|old| **old != key) {
                self.withdraw(old);
            }
            self.kept.retain(|(of, _)| *of != source);
        }
        self.statements.insert(key, now);
        Some(touched)
    }

    /// An object of a source is gone. As [`Found::applied`].
    pub fn deleted(&mut self, source: SourceId, name: &str) -> Option<BTreeSet<String>> {
        let key = (source, name.to_owned());
        let statement = self.statements.get(&key)?;
        // A static Pod is made anew with each change of it. Its flags count on until another is there.
        let others = || self.statements(source).any(|(other, said)| other != name && said.says_prefixes());
        if is_static_pods(source) && statement.says_prefixes() && !others() {
            self.kept.insert(key);
            return None;
        }
        Some(self.withdraw(&key))
    }

    fn withdraw(&mut self, key: &(SourceId, String)) -> BTreeSet<String> {
        let Some(statement) = self.statements.remove(key) else { return BTreeSet::new() };
        let touched = self.around(&statement);
        for (node, _) in &statement.nodes {
            if let Some(said) = self.of_nodes.get_mut(node) {
                said.remove(key);
                if said.is_empty() {
                    self.of_nodes.remove(node);
                }
            }
        }
        if let Some(loans) = self.loans.get_mut(&key.0) {
            for loan in &statement.loans {
                loans.remove(&key.1, loan.address);
            }
            // A source without any gives way to one that stands in for it.
            if loans.is_empty() {
                self.loans.remove(&key.0);
            }
        }
        touched
    }

    /// The nodes whose own facts follow from a statement.
    fn around(&self, statement: &Statement) -> BTreeSet<String> {
        let nodes = statement.nodes.iter().map(|(node, _)| node);
        let sides = statement.loans.iter().flat_map(|loan| loan.lender.iter().chain([&loan.borrower]));
        let nodes: BTreeSet<String> = nodes.chain(sides).cloned().collect();
        self.loans.values().fold(nodes, |nodes, loans| loans.around(&nodes))
    }

    /// What the objects of a source say, by name.
    pub(crate) fn statements(&self, source: SourceId) -> impl Iterator<Item = (&str, &Statement)> {
        let first = (source, String::new());
        self.statements
            .range(first..)
            .take_while(move |((at, _), _)| *at == source)
            .map(|((_, name), statement)| (name.as_str(), statement))
    }

    pub(crate) fn is_there(&self, source: SourceId) -> bool {
        self.statements(source).next().is_some()
    }

    /// Whether a source counts: one that stands in for another does where that one has nothing.
    pub fn counts(&self, source: SourceId) -> bool {
        source.stands_in_for().is_none_or(|first| !self.is_there(first))
    }

    /// A source has said all that it has.
    pub fn complete(&mut self, source: SourceId) {
        self.heard.insert(source, Heard::All);
    }

    /// A source cannot be read, and why. What it said before stays.
    pub fn unavailable(&mut self, source: SourceId, why: &str) {
        let heard = self.heard.entry(source).or_default();
        if *heard != Heard::All {
            *heard = Heard::Unavailable(why.to_owned());
        }
    }

    /// Whether every source that `spec` asks for was heard, or cannot be.
    pub fn is_known(&self, spec: &ClusterSpec) -> bool {
        self.nodes_heard
            && sources(cni_type(spec))
                .iter()
                .filter(|source| self.counts(source.id))
                .all(|source| self.heard.get(&source.id).is_some_and(|heard| *heard != Heard::Nothing))
    }

    /// What was found of the cluster; `None` while a source that counts was not heard.
    pub fn cluster(&self, spec: &ClusterSpec) -> Option<ClusterFindings> {
        self.is_known(spec).then(|| cluster::findings(self, spec))
    }

    /// Which CNI gives pods their addresses; `None` while a source that counts was not heard, or if
    /// nothing tells.
    pub fn cni(&self, spec: &ClusterSpec) -> Option<Cni> {
        if !self.is_known(spec) {
            return None;
        }
        cni::detect(self, spec)
    }

    /// What a ClusterNode says of a node; `None` if there is no such Node, or while a source that counts
    /// was not heard. `cni` is what [`Found::cni`] says.
    pub fn node(
        &self,
        name: &str,
        spec: &ClusterSpec,
        cni: Option<&Cni>,
        resolved: &[IpAddr],
    ) -> Option<ClusterNodeSpec> {
        let node = self.nodes.get(name)?;
        let pods = cni.map(|cni| self.prefixes(name, cni)).unwrap_or_default();
        Some(clusternode(node, spec, &pods, resolved))
    }

    /// The pod prefixes of a node's own.
    fn prefixes(&self, name: &str, cni: &Cni) -> Vec<Prefix> {
        match self.loans(cni) {
            Some(loans) => {
                let mut all = loans.settled(name, &|name| self.own(name, cni));
                all.retain(|prefix| cni.has_pods_in(prefix));
                all
            }
            None => self.own(name, cni),
        }
    }

    /// The same, whatever is borrowed.
    fn own(&self, name: &str, cni: &Cni) -> Vec<Prefix> {
        let said = self.of_nodes.get(name).into_iter().flatten();
        let said = said.filter(|((source, _), _)| cni.sources.contains(source));
        let said = said.flat_map(|(_, prefixes)| prefixes).filter(|prefix| cni.has_pods_in(prefix));
        let node = self.nodes.get(name).filter(|_| cni.node_pod_cidrs);
        aggregated(said.chain(node.into_iter().flat_map(|node| &node.pod_cidrs)).copied())
    }

    /// The borrowed addresses that count. Where a CNI's own objects say nothing of nodes, there are none.
    fn loans(&self, cni: &Cni) -> Option<&Loans> {
        let sources = cni.sources.iter().filter(|_| !cni.node_pod_cidrs);
        sources.filter_map(|source| self.loans.get(source)).next()
    }

    /// Prefixes of nodes that there is no room for, in words.
    pub(crate) fn left_out(&self, cni: &Cni) -> Vec<String> {
        let loans = self.loans(cni).map(|loans| loans.left_out(&|name| self.own(name, cni)));
        let borrowed = loans.into_iter().flatten().map(|(node, count)| {
            format!("Node {node}: announces {count} of the addresses that it borrowed not by itself, for lack of room: a node has at most {POD_CIDRS} prefixes")
        });
        // Counted before they are joined: that is cheap, and rarely too many.
        let many =
            self.of_nodes.iter().filter(|(_, said)| said.values().map(Vec::len).sum::<usize>() > POD_CIDRS);
        let prefixes = many.map(|(name, _)| (name, self.prefixes(name, cni).len()));
        let beyond = prefixes.filter(|(_, count)| *count > POD_CIDRS).map(|(name, count)| {
            format!("Node {name}: has {count} pod prefixes; those beyond {POD_CIDRS} are not used")
        });
        borrowed.chain(beyond).collect()
    }

    /// What cannot be used of what was heard, in words.
    pub fn findings(&self) -> impl Iterator<Item = String> {
        let nodes = self.node_findings.iter().flat_map(|(name, findings)| {
            findings.iter().map(move |finding| format!("Node {name}: {finding}"))
        });
        let objects = self.statements.iter().filter(|((source, _), _)| self.counts(*source));
        let objects = objects.flat_map(|((source, name), statement)| {
            statement.findings.iter().map(move |finding| format!("{}: {finding}", source.subject(name)))
        });
        nodes.chain(objects)
    }
}

/// The CNI that the spec names.
pub(crate) fn cni_type(spec: &ClusterSpec) -> CniType {
    let given = spec.cni.as_ref().and_then(|cni| cni.type_.as_ref());
    given.and_then(|choice| choice.get()).unwrap_or(CniType::Auto)
}

fn is_static_pods(source: SourceId) -> bool {
    matches!(source, SourceId::ApiServerPods | SourceId::ControllerManagerPods)
}
