//! Facts in few words, and a planner that is checked at each step.
#![allow(dead_code, reason = "each test program uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test may panic")]

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::num::NonZeroU32;

use causeway_model::{
    Age, ClusterFacts, ClusterName, DualStack, Families, Family, Finding, GatewayPolicy, GlobalCidrs,
    LabelOperator, LabelRequirement, LabelSelector, LinkId, LinkPlan, Mode, NodeFacts, NodeId, NodePlan,
    Prefix, Readiness, Reason, Subject, Translation,
};
use causeway_pathbench::statistics;
use causeway_planner::checker::{Facts, check};
use causeway_planner::{Changes, Event, Plan, Planner};

pub fn p(text: &str) -> Prefix {
    text.parse().unwrap()
}

pub fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| p(text)).collect()
}

pub fn name(text: &str) -> ClusterName {
    text.parse().unwrap()
}

pub fn id(text: &str) -> NodeId {
    text.parse().unwrap()
}

pub fn link_id(source: &str, remote: &str) -> LinkId {
    LinkId { source: name(source), remote: name(remote) }
}

pub fn translation(real: &str, global: &str) -> Translation {
    Translation { real: p(real), global: p(global) }
}

/// A selector for nodes with this label.
pub fn label(key: &str, value: &str) -> LabelSelector {
    let operator = LabelOperator::In(vec![value.to_owned()]);
    LabelSelector(vec![LabelRequirement { key: key.to_owned(), operator }])
}

pub fn v4() -> Families {
    [Family::V4].into_iter().collect()
}

pub fn v6() -> Families {
    [Family::V6].into_iter().collect()
}

/// A P2P cluster with these pod and service CIDRs, of the families that they have. Its age is that of
/// its name: `a` is older than `b`.
pub fn cluster(text: &str, pods: &[&str], services: &[&str]) -> ClusterFacts {
    let (pods, services) = (prefixes(pods), prefixes(services));
    ClusterFacts {
        name: name(text),
        age: Age::Created(i64::from(text.as_bytes()[0])),
        mode: Some(Mode::P2p),
        families: pods.iter().chain(&services).map(Prefix::family).collect(),
        pods,
        services,
        gateways: GatewayPolicy::default(),
        nodes: LabelSelector::default(),
        globals: GlobalCidrs::Off,
        transport: None,
        underlay_mtu: None,
    }
}

/// A Gateway cluster.
pub fn gateway_cluster(text: &str, pods: &[&str], services: &[&str], gateways: u32) -> ClusterFacts {
    let policy = GatewayPolicy { count: NonZeroU32::new(gateways), selector: LabelSelector::default() };
    ClusterFacts { mode: Some(Mode::Gateway), gateways: policy, ..cluster(text, pods, services) }
}

/// A ready node at these addresses with these pod prefixes.
pub fn node(text: &str, underlay: &[&str], pods: &[&str]) -> NodeFacts {
    NodeFacts {
        id: id(text),
        underlay: DualStack::first_of_each(underlay.iter().map(|a| a.parse::<IpAddr>().unwrap())),
        pods: prefixes(pods),
        readiness: Readiness::Ready,
        zone: None,
        labels: BTreeMap::new(),
    }
}

pub fn labelled(mut node: NodeFacts, key: &str, value: &str) -> NodeFacts {
    node.labels.insert(key.to_owned(), value.to_owned());
    node
}

/// A planner with the facts it was given and a mirror of its changes. Each step is checked: the
/// mirror is the snapshot, the checker finds nothing, and a restart changes nothing.
pub struct Bed {
    pub planner: Planner,
    pub facts: Facts,
    pub plan: Plan,
}

impl Bed {
    pub fn new() -> Bed {
        Bed { planner: Planner::new(), facts: Facts::default(), plan: Plan::default() }
    }

    pub fn with(events: impl IntoIterator<Item = Event>) -> Bed {
        let mut bed = Bed::new();
        bed.step(events);
        bed
    }

    pub fn step(&mut self, events: impl IntoIterator<Item = Event>) -> Changes {
        for event in events {
            self.facts.apply(event.clone());
            self.planner.handle(event);
        }
        let changes = self.planner.plan();
        self.plan.apply(changes.clone());
        assert_eq!(self.plan, self.planner.snapshot(), "the changes lead to the snapshot");
        let violations: Vec<String> =
            check(&self.facts, &self.plan).iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{violations:#?}");
        assert_eq!(self.restarted().snapshot(), self.plan, "a restart changes nothing");
        changes
    }

    /// A new planner that knows what the objects say.
    pub fn restarted(&self) -> Planner {
        restart(&self.plan, self.facts.events())
    }

    pub fn node(&self, text: &str) -> &NodePlan {
        &self.plan.nodes[&id(text)]
    }

    pub fn link(&self, source: &str, remote: &str) -> &LinkPlan {
        &self.plan.links[&link_id(source, remote)]
    }

    /// Prefixes on a link, without overlay blocks, as text.
    pub fn reached(&self, source: &str, remote: &str) -> Vec<String> {
        let own = |p: &Prefix| {
            let overlay = &self.plan.clusters[&name(remote)].overlay;
            !overlay.get(p.family()).contains(p)
        };
        let link = self.link(source, remote).prefixes.iter();
        link.map(|entry| entry.prefix).filter(own).map(|prefix| prefix.to_string()).collect()
    }

    pub fn gateways(&self, cluster: &str) -> Vec<String> {
        self.plan.clusters[&name(cluster)].gateways.iter().map(ToString::to_string).collect()
    }

    /// Reasons of the findings on a cluster with their fields.
    pub fn on_cluster(&self, cluster: &str) -> Vec<(Reason, String)> {
        reasons(&self.plan.clusters[&name(cluster)].findings)
    }

    pub fn on_node(&self, node: &str) -> Vec<(Reason, String)> {
        self.plan.node_findings.get(&id(node)).map_or(Vec::new(), |findings| reasons(findings))
    }

    pub fn on_link(&self, source: &str, remote: &str) -> Vec<Reason> {
        self.link(source, remote).findings.iter().map(|f| f.reason).collect()
    }

    /// All findings but those on links.
    pub fn findings(&self) -> Vec<String> {
        let own = |f: &&Finding| !matches!(f.subject, Subject::Link(_));
        self.plan.findings().filter(own).map(ToString::to_string).collect()
    }
}

fn reasons(findings: &[Finding]) -> Vec<(Reason, String)> {
    findings.iter().map(|finding| (finding.reason, finding.field.clone())).collect()
}

/// A planner that read back `plan` and was fed `events` at once.
pub fn restart(plan: &Plan, events: impl Iterator<Item = Event>) -> Planner {
    let mut planner = Planner::new();
    plan.adopted().for_each(|adopted| planner.adopt(adopted));
    events.for_each(|event| planner.handle(event));
    planner.plan();
    planner
}

/// Choices that look random: the same seed gives the same ones everywhere.
pub struct Random(statistics::Random);

impl Random {
    pub fn new(seed: u64) -> Random {
        Random(statistics::Random::new(seed))
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.0.below(end)
    }

    /// True once in `times`.
    pub fn once_in(&mut self, times: usize) -> bool {
        self.below(times) == 0
    }

    pub fn pick<T: Clone>(&mut self, items: &[T]) -> T {
        items[self.below(items.len())].clone()
    }

    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        self.0.shuffle(items);
    }
}
