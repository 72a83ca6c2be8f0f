//! What was heard from all sources so far.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_api::{ClusterNodeSpec, ClusterSpec, CniType};
use causeway_model::Prefix;
use serde_json::Value;

use crate::cluster::{self, ClusterFindings, Cni};
use crate::node::{Node, clusternode};
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
    pub(crate) statements: BTreeMap<(SourceId, String), Statement>,
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
            touched.insert(node.clone());
        }
        self.statements.insert(key, now);
        Some(touched)
    }

    /// An object of a source is gone. As [`Found::applied`].
    pub fn deleted(&mut self, source: SourceId, name: &str) -> Option<BTreeSet<String>> {
        let key = (source, name.to_owned());
        self.statements.contains_key(&key).then(|| self.withdraw(&key))
    }

    fn withdraw(&mut self, key: &(SourceId, String)) -> BTreeSet<String> {
        let Some(statement) = self.statements.remove(key) else { return BTreeSet::new() };
        let touched: BTreeSet<String> = statement.nodes.into_iter().map(|(node, _)| node).collect();
        for node in &touched {
            if let Some(said) = self.of_nodes.get_mut(node) {
                said.remove(key);
                if said.is_empty() {
                    self.of_nodes.remove(node);
                }
            }
        }
        touched
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
        cluster::detect(self, spec)
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
        let mut pods: Vec<Prefix> = Vec::new();
        if let Some(cni) = cni {
            let said = self.of_nodes.get(name).into_iter().flatten();
            pods.extend(
                said.filter(|((source, _), _)| cni.sources.contains(source))
                    .flat_map(|(_, prefixes)| prefixes),
            );
            if cni.node_pod_cidrs {
                pods.extend(&node.pod_cidrs);
            }
        }
        Some(clusternode(node, spec, &cluster::aggregated(pods), resolved))
    }

    /// What cannot be used of what was heard, in words.
    pub fn findings(&self) -> impl Iterator<Item = String> {
        let nodes = self.node_findings.iter().flat_map(|(name, findings)| {
            findings.iter().map(move |finding| format!("Node {name}: {finding}"))
        });
        let objects = self.statements.iter().flat_map(|((source, name), statement)| {
            statement.findings.iter().map(move |finding| format!("{} {name}: {finding}", source.describe()))
        });
        nodes.chain(objects)
    }
}

/// The CNI that the spec names.
pub(crate) fn cni_type(spec: &ClusterSpec) -> CniType {
    let given = spec.cni.as_ref().and_then(|cni| cni.type_.as_ref());
    given.and_then(|choice| choice.get()).unwrap_or(CniType::Auto)
}
