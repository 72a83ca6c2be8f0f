//! From facts to what is said of them. Nothing is read and no clock is looked at.

use std::collections::BTreeMap;

use causeway_api::{
    Cluster, ClusterLink, ClusterSet, ClusterStatus, Kind, NodeConfig, NodeCount, conditions, loss_average,
    loss_text, rtt_median, rtt_text,
};
use causeway_model::{ClusterName, Mode, Transport};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::JsonSchema;
use serde::Serialize;

use super::facts::{Facts, cluster_set_key};
use super::wrong::{Wrong, wrong};
use crate::inventory::Problem;

/// A clusterset at a glance.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct StatusReport {
    /// The directory, or the hub, that was looked at.
    pub source: String,
    /// Why that does not answer any more, if so: all the rest is then as it was before.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trouble: Option<String>,
    /// Whether nothing is wrong.
    pub healthy: bool,
    /// How many there are, and how many of them work.
    pub summary: Summary,
    /// What is wrong, the worst first.
    pub wrong: Vec<Wrong>,
    /// The clusters, by name.
    pub clusters: Vec<ClusterRow>,
    /// The links, those that do not work first, then by name.
    pub links: Vec<LinkRow>,
    /// How many ClusterNodes there are that were not looked at.
    pub nodes_not_looked_at: usize,
    /// Documents and values that are not used.
    pub problems: Vec<Problem>,
}

/// How many there are, and how many of them work.
#[derive(Serialize, JsonSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Summary {
    /// Clusters.
    pub clusters: Count,
    /// Nodes that take part.
    pub nodes: Count,
    /// Links, one for each ordered pair of clusters.
    pub links: Count,
}

/// How many work of how many.
#[derive(Serialize, JsonSchema, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Count {
    /// Those that work.
    pub ready: u64,
    /// All.
    pub total: u64,
}

impl Count {
    /// What is told of both: that there are nodes does not say how they are.
    fn of(count: Option<&NodeCount>) -> Option<Count> {
        let number = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
        let count = count?;
        Some(Count { ready: number(count.ready)?, total: number(count.total)? })
    }

    fn add(&mut self, other: Count) {
        self.ready += other.ready;
        self.total += other.total;
    }

    /// In words, such as `3/4`.
    pub fn words(self) -> String {
        format!("{}/{}", self.ready, self.total)
    }
}

/// How it is with a cluster or a link.
#[derive(Serialize, JsonSchema, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum State {
    /// It does not work.
    NotReady,
    /// Nobody has said.
    Unknown,
    /// It works in part.
    Degraded,
    /// It is being removed.
    Leaving,
    /// It works.
    Ready,
}

impl State {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            State::NotReady => "NotReady",
            State::Unknown => "Unknown",
            State::Degraded => "Degraded",
            State::Leaving => "Leaving",
            State::Ready => "Ready",
        }
    }
}

/// A cluster.
#[derive(Serialize, JsonSchema, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ClusterRow {
    /// Its name.
    pub name: String,
    /// How its pods are reached: `P2P` or `Gateway`.
    pub mode: String,
    /// The CNI that was found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cni: Option<String>,
    /// How it is.
    pub state: State,
    /// Its nodes: those whose kernel state is as planned, of those that take part. Absent if nobody has said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Count>,
    /// Links from it that work, of all.
    pub links: Count,
    /// Nodes that its prefixes are reached through.
    pub gateways: Vec<String>,
    /// Its pod CIDRs.
    #[serde(rename = "podCIDRs")]
    pub pod_cidrs: Vec<String>,
    /// Its service CIDRs.
    #[serde(rename = "serviceCIDRs")]
    pub service_cidrs: Vec<String>,
    /// Prefixes that others see under another one, `PREFIX as GLOBAL`.
    #[serde(rename = "globalCIDRs")]
    pub global_cidrs: Vec<String>,
    /// When it was made (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
}

/// A link: how one cluster reaches another.
#[derive(Serialize, JsonSchema, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LinkRow {
    /// The cluster whose nodes send.
    pub from: String,
    /// The cluster that they reach.
    pub to: String,
    /// How its pods are reached: `Nodes` or `Gateways`.
    pub via: String,
    /// How packets are carried.
    pub transport: String,
    /// How it is.
    pub state: State,
    /// Since when its nodes say so, if they do (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Nodes of the source cluster that have a way that works, of all. Absent if nobody has said.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nodes: Option<Count>,
    /// Median round-trip time, such as `0.42ms`. Absent if nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt: Option<String>,
    /// Share of probes that are lost, such as `2.5%`, or `<0.5%`. Absent if nothing was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub loss: Option<String>,
    /// Largest inner packet in bytes, where the underlay carries less than the devices.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mtu: Option<i64>,
    /// Remote prefixes that the source cluster reaches.
    pub prefixes: Vec<String>,
}

/// What is said of `facts`.
pub fn report(facts: &Facts) -> StatusReport {
    let nodes = NodeSums::of(facts);
    let mut links: Vec<LinkRow> =
        facts.objects.all::<ClusterLink>().map(|link| link_row(link, &nodes)).collect();
    links.sort_by(|a, b| (a.state, &a.from, &a.to).cmp(&(b.state, &b.from, &b.to)));
    let mut by_source: BTreeMap<&str, Count> = BTreeMap::new();
    for link in &links {
        by_source.entry(&link.from).or_default().add(working(link.state));
    }
    let set = facts.objects.get_as::<ClusterSet>(&cluster_set_key());
    let clusters: Vec<ClusterRow> =
        facts.objects.all::<Cluster>().map(|cluster| cluster_row(cluster, set, &by_source, &nodes)).collect();
    let mut summary =
        Summary { clusters: Count::default(), nodes: Count::default(), links: Count::default() };
    for cluster in &clusters {
        summary.clusters.add(working(cluster.state));
        summary.nodes.add(cluster.nodes.unwrap_or_default());
    }
    by_source.values().for_each(|count| summary.links.add(*count));
    let wrong = wrong(facts, &clusters, &links);
    StatusReport {
        source: facts.source.clone(),
        trouble: None,
        healthy: wrong.is_empty() && facts.problems.is_empty(),
        summary,
        wrong,
        clusters,
        links,
        nodes_not_looked_at: facts.nodes_left_out,
        problems: facts.problems.clone(),
    }
}

fn working(state: State) -> Count {
    Count { ready: u64::from(matches!(state, State::Ready | State::Degraded)), total: 1 }
}

/// The condition of a type.
pub fn condition<'a>(all: &'a [Condition], type_: &str) -> Option<&'a Condition> {
    all.iter().find(|condition| condition.type_ == type_)
}

fn cluster_row(
    cluster: &Cluster,
    set: Option<&ClusterSet>,
    links: &BTreeMap<&str, Count>,
    sums: &NodeSums,
) -> ClusterRow {
    let name = cluster.metadata.name.clone().unwrap_or_default();
    let status = cluster.status.clone().unwrap_or_default();
    let spec = &cluster.spec;
    let defaults = set.and_then(|set| set.spec.defaults.as_ref());
    let mode = spec.mode.as_ref().or_else(|| defaults.and_then(|defaults| defaults.mode.as_ref()));
    let nodes = Count::of(status.nodes.as_ref()).or_else(|| sums.clusters.get(&name).copied());
    let found = |found: &[causeway_api::DiscoveredCidr], stated: &[causeway_api::Cidr]| -> Vec<String> {
        let stated = stated.iter().map(ToString::to_string);
        if stated.len() > 0 {
            stated.collect()
        } else {
            found.iter().map(|one| one.cidr.to_string()).collect()
        }
    };
    ClusterRow {
        mode: mode.map_or_else(|| word(Mode::P2p), |mode| mode.as_str().to_owned()),
        cni: status.cni.clone(),
        state: cluster_state(cluster, &status, nodes),
        nodes,
        links: links.get(name.as_str()).copied().unwrap_or_default(),
        gateways: status.gateways.clone(),
        pod_cidrs: found(&status.pod_cidrs, &spec.pod_cidrs),
        service_cidrs: found(&status.service_cidrs, &spec.service_cidrs),
        global_cidrs: status
            .global_cidrs
            .iter()
            .map(|one| format!("{} as {}", one.cidr, one.global))
            .collect(),
        since: cluster.metadata.creation_timestamp.as_ref().map(|time| time.0.to_string()),
        name,
    }
}

fn word<T: causeway_api::Choices>(of: T) -> String {
    causeway_api::Choice::from(of).as_str().to_owned()
}

fn cluster_state(cluster: &Cluster, status: &ClusterStatus, nodes: Option<Count>) -> State {
    if cluster.metadata.deletion_timestamp.is_some() {
        return State::Leaving;
    }
    let all = &status.conditions;
    let partly = all.iter().any(|one| !conditions::is_good(one));
    match condition(all, conditions::READY).map(|ready| ready.status.as_str()) {
        Some("True") if partly || nodes.is_some_and(|nodes| nodes.ready < nodes.total) => State::Degraded,
        Some("True") => State::Ready,
        Some("False") => State::NotReady,
        _ => State::Unknown,
    }
}

fn link_row(link: &ClusterLink, sums: &NodeSums) -> LinkRow {
    let spec = &link.spec;
    let status = link.status.clone().unwrap_or_default();
    let sum = sums.links.get(&(spec.source_cluster.clone(), spec.remote_cluster.clone()));
    let nodes = Count::of(status.nodes.as_ref()).or_else(|| sum.map(|sum| sum.nodes));
    LinkRow {
        from: spec.source_cluster.clone(),
        to: spec.remote_cluster.clone(),
        via: spec.via.as_str().to_owned(),
        transport: spec.transport.as_ref().map_or_else(|| word(Transport::Vxlan), |t| t.as_str().to_owned()),
        state: link_state(&status.conditions, nodes),
        since: condition(&status.conditions, conditions::READY)
            .map(|ready| ready.last_transition_time.0.to_string()),
        nodes,
        rtt: status.rtt.or_else(|| sum.and_then(LinkSum::rtt)),
        loss: status.loss.or_else(|| sum.and_then(LinkSum::loss)),
        mtu: spec.mtu,
        prefixes: spec.prefixes.iter().map(|prefix| prefix.cidr.to_string()).collect(),
    }
}

fn link_state(all: &[Condition], nodes: Option<Count>) -> State {
    let says = |type_, what| condition(all, type_).is_some_and(|one| one.status == what);
    if says(conditions::ACCEPTED, "False") || says(conditions::READY, "False") {
        return State::NotReady;
    }
    match nodes {
        Some(Count { ready: 0, .. }) => State::NotReady,
        Some(nodes) if nodes.ready < nodes.total || says(conditions::DEGRADED, "True") => State::Degraded,
        Some(_) => State::Ready,
        None => State::Unknown,
    }
}

/// What the nodes say themselves, where their NodeConfigs are at hand and nobody sums them up: in a directory.
#[derive(Default)]
struct NodeSums {
    clusters: BTreeMap<String, Count>,
    links: BTreeMap<(String, String), LinkSum>,
}

#[derive(Default)]
struct LinkSum {
    nodes: Count,
    microseconds: Vec<i64>,
    lost_per_mille: Vec<i64>,
}

impl LinkSum {
    fn rtt(&self) -> Option<String> {
        rtt_median(self.microseconds.iter().copied()).map(rtt_text)
    }

    fn loss(&self) -> Option<String> {
        loss_average(self.lost_per_mille.iter().copied()).map(loss_text)
    }
}

impl NodeSums {
    fn of(facts: &Facts) -> NodeSums {
        let mut sums = NodeSums::default();
        for config in facts.objects.all::<NodeConfig>().filter(|config| config.status.is_some()) {
            let Some(status) = &config.status else { continue };
            let programmed = condition(&status.conditions, conditions::PROGRAMMED);
            let ready = u64::from(programmed.is_some_and(|one| one.status == "True"));
            let cluster = &config.spec.cluster;
            sums.clusters.entry(cluster.clone()).or_default().add(Count { ready, total: 1 });
            for link in &status.links {
                let sum = sums.links.entry((cluster.clone(), link.remote_cluster.clone())).or_default();
                sum.nodes.add(Count { ready: u64::from(link.ready), total: 1 });
                sum.microseconds.extend(link.rtt_microseconds);
                sum.lost_per_mille.extend(link.loss_per_mille);
            }
        }
        sums
    }
}

/// How findings call an object: with its cluster in place of the namespace that stands for it.
pub fn object_name(kind: Kind, namespace: Option<&str>, name: &str) -> String {
    match namespace.map(|namespace| (namespace, ClusterName::from_namespace(namespace))) {
        Some((_, Ok(cluster))) => format!("{kind} {cluster}/{name}"),
        Some((namespace, Err(_))) => format!("{kind} {namespace}/{name}"),
        None => format!("{kind} {name}"),
    }
}
