//! What the page shows, as a value: a clusterset's status with its history, and what is looked at closely. Pure.

use causeway_api::{
    Cluster, ClusterLink, ClusterNode, Kind, LinkState, NodeConfig, ObjectRef, Objects, conditions,
    rtt_of_text,
};
use causeway_model::ClusterName;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::history::{History, LINKS, Moment, SPAN, Seen};
use crate::status::{LinkRow, StatusReport, TICK, advice};

/// With more links than this only the history of the one that is looked at is told.
const HISTORIES: usize = 240;

/// What `GET /dashboard.json` answers.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Dashboard<'a> {
    /// Version of the program that answers.
    pub version: &'static str,
    /// When the source was last read whole (RFC 3339). Not part of the entity tag.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// Why the source does not answer. Absent if it does; else all that is said is as of `asOf`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<&'a str>,
    /// The clusterset, as `causeway status -o json` has it.
    pub status: &'a StatusReport,
    /// What is remembered.
    pub memory: Memory,
    /// How links were, where they are few.
    pub histories: Vec<LinkHistory>,
    /// What was asked to be shown closely, if it is there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub focus: Option<Focus>,
    /// Why what was asked to be shown closely is not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub missing: Option<String>,
}

/// What is remembered, in memory only.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Memory {
    /// How far back, in seconds.
    pub seconds: i64,
    /// How often it is looked at, at least, in seconds.
    pub period: u64,
    /// Of how many links at most.
    pub links: usize,
}

/// How a link was, the oldest first.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkHistory {
    /// The source cluster.
    pub from: String,
    /// The remote cluster.
    pub to: String,
    /// From when on it was how.
    pub moments: Vec<Moment>,
}

/// Something that is shown closely.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Focus {
    /// The ways between two clusters: one, or both.
    Link {
        /// The way that was asked for, then the way back.
        ways: Vec<Way>,
    },
    /// A cluster and its nodes.
    Cluster(ClusterView),
    /// A node.
    Node(Box<NodeView>),
}

/// How one cluster reaches another.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Way {
    /// As `causeway status -o json` has it.
    pub link: LinkRow,
    /// Conditions of the ClusterLink.
    pub conditions: Vec<ConditionView>,
    /// What nodes of the source cluster say of gateways that they use, where that is at hand and not well.
    pub gateways: Vec<NodeSays>,
    /// How it was, the oldest first.
    pub moments: Vec<Moment>,
}

/// A condition of a node.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeSays {
    /// The node.
    pub node: String,
    /// What it says.
    pub condition: ConditionView,
}

/// A condition.
#[derive(Serialize, JsonSchema, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ConditionView {
    /// The kind of object that has it.
    pub of: String,
    /// Its type.
    #[serde(rename = "type")]
    pub type_: String,
    /// `True`, `False` or `Unknown`.
    pub status: String,
    /// Whether that is as it should be.
    pub good: bool,
    /// Why, as one word.
    pub reason: String,
    /// Why, in words; may be empty.
    pub message: String,
    /// Since when (RFC 3339).
    pub since: String,
    /// What to do, if it is not as it should be.
    #[serde(rename = "do", skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

/// A cluster and its nodes.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterView {
    /// Its name.
    pub name: String,
    /// Conditions of the Cluster.
    pub conditions: Vec<ConditionView>,
    /// Its nodes that take part, by name.
    pub nodes: Vec<NodeRow>,
    /// How many more nodes there are that are not listed.
    pub nodes_left_out: usize,
}

/// A node of a cluster.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// `Node`, `Gateway` or `Internal`.
    pub role: String,
    /// Addresses that tunnel packets to it are sent to.
    pub underlay: Vec<String>,
    /// Its addresses inside the tunnels.
    pub overlay: Vec<String>,
    /// Whether its kernel state is as planned. Absent if that is not told here.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub programmed: Option<bool>,
}

/// A node.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeView {
    /// Its cluster.
    pub cluster: String,
    /// Its name.
    pub name: String,
    /// `Node`, `Gateway` or `Internal`. Absent if it takes no part.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Whether Kubernetes counts it as ready. Absent if it does not say.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_ready: Option<bool>,
    /// Addresses that tunnel packets to it are sent to.
    pub underlay: Vec<String>,
    /// Its addresses inside the tunnels.
    pub overlay: Vec<String>,
    /// Prefixes of its own pods.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
    /// Nodes that its cluster's prefixes are reached through.
    pub cluster_gateways: Vec<String>,
    /// Conditions of its ClusterNode and of its NodeConfig.
    pub conditions: Vec<ConditionView>,
    /// How it sees the way to other clusters; only where its agent reports to the same place.
    pub links: Vec<LinkState>,
    /// Its NodeConfig.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node_config: Option<Value>,
    /// Its ClusterNode.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster_node: Option<Value>,
}

/// How links of `status` are, for the history.
pub fn seen(status: &StatusReport) -> impl Iterator<Item = Seen<'_>> {
    status.links.iter().map(|link| Seen {
        from: &link.from,
        to: &link.to,
        state: link.state,
        rtt_microseconds: link.rtt.as_deref().and_then(rtt_of_text).and_then(|rtt| u32::try_from(rtt).ok()),
    })
}

/// What is remembered at all.
pub fn memory() -> Memory {
    Memory { seconds: SPAN, period: TICK.as_secs(), links: LINKS }
}

/// How all links were, where they are few.
pub fn histories(status: &StatusReport, history: &History) -> Vec<LinkHistory> {
    if status.links.len() > HISTORIES {
        return Vec::new();
    }
    let one = |link: &LinkRow| LinkHistory {
        from: link.from.clone(),
        to: link.to.clone(),
        moments: history.of(&link.from, &link.to),
    };
    status.links.iter().map(one).collect()
}

/// The ways between `from` and `to`; `None` if there is none from there.
pub fn link(
    from: &str,
    to: &str,
    status: &StatusReport,
    objects: &Objects,
    history: &History,
) -> Option<Focus> {
    let way = |from: &str, to: &str| {
        let row = status.links.iter().find(|link| link.from == from && link.to == to)?;
        Some(Way {
            link: row.clone(),
            conditions: link_conditions(from, to, objects),
            gateways: gateways(from, objects),
            moments: history.of(from, to),
        })
    };
    let there = way(from, to)?;
    Some(Focus::Link { ways: [Some(there), way(to, from)].into_iter().flatten().collect() })
}

fn link_conditions(from: &str, to: &str, objects: &Objects) -> Vec<ConditionView> {
    let is = |link: &&ClusterLink| link.spec.source_cluster == from && link.spec.remote_cluster == to;
    let status = objects.all::<ClusterLink>().find(is).and_then(|link| link.status.as_ref());
    views(Kind::ClusterLink, status.map_or(&[], |status| &status.conditions))
}

/// Reasons of GatewaysReachable with which all is well.
const WELL: [&str; 2] = ["AllGatewaysAnswer", "NoGatewaysUsed"];

fn gateways(cluster: &str, objects: &Objects) -> Vec<NodeSays> {
    let configs = objects.all::<NodeConfig>().filter(|config| config.spec.cluster == cluster);
    let say = |config: &NodeConfig| {
        let all = &config.status.as_ref()?.conditions;
        let said = all.iter().find(|one| one.type_ == conditions::GATEWAYS_REACHABLE)?;
        let node = config.metadata.name.clone().unwrap_or_default();
        (!WELL.contains(&said.reason.as_str()))
            .then(|| NodeSays { node, condition: view(Kind::NodeConfig, said) })
    };
    configs.filter_map(say).collect()
}

/// A cluster, if it is there, with these nodes.
pub fn cluster(name: &str, objects: &Objects, nodes: &[NodeConfig], left_out: usize) -> Option<ClusterView> {
    let key = ObjectRef { kind: Kind::Cluster, namespace: None, name: name.to_owned() };
    let cluster = objects.get_as::<Cluster>(&key)?;
    let conditions = cluster.status.as_ref().map_or(&[][..], |status| &status.conditions);
    Some(ClusterView {
        name: name.to_owned(),
        conditions: views(Kind::Cluster, conditions),
        nodes: nodes.iter().map(node_row).collect(),
        nodes_left_out: left_out,
    })
}

fn node_row(config: &NodeConfig) -> NodeRow {
    let all = config.status.as_ref().map_or(&[][..], |status| &status.conditions);
    let programmed = all.iter().find(|one| one.type_ == conditions::PROGRAMMED);
    NodeRow {
        name: config.metadata.name.clone().unwrap_or_default(),
        role: config.spec.role.as_str().to_owned(),
        underlay: texts(&config.spec.underlay),
        overlay: texts(&config.spec.overlay),
        programmed: programmed.map(|one| one.status == "True"),
    }
}

/// A node of which at least one object is there.
pub fn node(
    cluster: &ClusterName,
    name: &str,
    objects: &Objects,
    facts: Option<&ClusterNode>,
    config: Option<&NodeConfig>,
) -> Option<NodeView> {
    facts.map(|_| ()).or(config.map(|_| ()))?;
    let key = ObjectRef { kind: Kind::Cluster, namespace: None, name: cluster.to_string() };
    let of_cluster = objects.get_as::<Cluster>(&key).and_then(|cluster| cluster.status.as_ref());
    let status = config.and_then(|config| config.status.as_ref());
    let of_facts = facts.and_then(|node| node.status.as_ref()).map_or(&[][..], |status| &status.conditions);
    let mut conditions = views(Kind::ClusterNode, of_facts);
    conditions.extend(views(Kind::NodeConfig, status.map_or(&[], |status| &status.conditions)));
    Some(NodeView {
        cluster: cluster.to_string(),
        name: name.to_owned(),
        role: config.map(|config| config.spec.role.as_str().to_owned()),
        kubernetes_ready: facts.and_then(|node| node.spec.ready),
        underlay: match config {
            Some(config) => texts(&config.spec.underlay),
            None => facts.map(|node| texts(&node.spec.underlay)).unwrap_or_default(),
        },
        overlay: config.map(|config| texts(&config.spec.overlay)).unwrap_or_default(),
        pod_cidrs: facts.map(|node| texts(&node.spec.pod_cidrs)).unwrap_or_default(),
        cluster_gateways: of_cluster.map(|status| status.gateways.clone()).unwrap_or_default(),
        conditions,
        links: status.map(|status| status.links.clone()).unwrap_or_default(),
        node_config: config.and_then(without_managers),
        cluster_node: facts.and_then(without_managers),
    })
}

fn texts<T: ToString>(values: &[T]) -> Vec<String> {
    values.iter().map(ToString::to_string).collect()
}

/// An object without the record of who wrote which field, which is most of it.
fn without_managers(object: &impl Serialize) -> Option<Value> {
    let mut value = serde_json::to_value(object).ok()?;
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
    }
    Some(value)
}

fn views(kind: Kind, all: &[Condition]) -> Vec<ConditionView> {
    all.iter().map(|one| view(kind, one)).collect()
}

fn view(kind: Kind, one: &Condition) -> ConditionView {
    let good = conditions::is_good(one);
    ConditionView {
        of: kind.to_string(),
        type_: one.type_.clone(),
        status: one.status.clone(),
        good,
        reason: one.reason.clone(),
        message: one.message.clone(),
        since: one.last_transition_time.0.to_string(),
        remedy: (!good).then(|| advice(kind, &one.type_, &one.reason)),
    }
}
