//! The clustersets that are measured, and their plans.

use anyhow::Result;
use causeway_model::{ClusterFacts, ClusterSetFacts, Families, Family, Mode, NodeFacts, NodeId};
use causeway_planner::synth::{Modes, Shape};
use causeway_planner::{Event, Plan, Planner};
use serde::{Deserialize, Serialize};

/// Which modes the clusters have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Mix {
    /// All P2P.
    P2p,
    /// All Gateway.
    Gateway,
    /// Every other one P2P, the others Gateway.
    Half,
}

impl Mix {
    /// All mixes.
    pub const ALL: [Mix; 3] = [Mix::P2p, Mix::Gateway, Mix::Half];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Mix::P2p => "P2P",
            Mix::Gateway => "Gateway",
            Mix::Half => "half and half",
        }
    }
}

/// Which families clusters and nodes have.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Stack {
    /// IPv4.
    Single,
    /// IPv6.
    Six,
    /// IPv4 and IPv6, inside and as underlay.
    Dual,
}

impl Stack {
    /// Its families.
    pub fn families(self) -> Families {
        match self {
            Stack::Single => [Family::V4].into_iter().collect(),
            Stack::Six => [Family::V6].into_iter().collect(),
            Stack::Dual => Families::DUAL,
        }
    }

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Stack::Single => "IPv4",
            Stack::Six => "IPv6",
            Stack::Dual => "dual stack",
        }
    }
}

/// The shape of a clusterset.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSet {
    /// Nodes of all clusters together.
    pub nodes: usize,
    /// Clusters, at most 126 with at most 8,000 nodes in one; of IPv6 alone 999 with at most 65,000.
    pub clusters: usize,
    /// Their modes.
    pub mix: Mix,
    /// Their families.
    pub stack: Stack,
}

impl Default for ClusterSet {
    /// 1,000 nodes in 20 dual-stack P2P clusters.
    fn default() -> Self {
        ClusterSet { nodes: 1_000, clusters: 20, mix: Mix::P2p, stack: Stack::Dual }
    }
}

/// How many nodes the default range of overlay addresses is enough for, in as many clusters as IPv4 ones are made.
const BY_DEFAULT: usize = 100_000;
/// Number of the cluster whose single node looks on the others.
const WATCHING: usize = 127;

/// The single node of a P2P cluster of its own, which sees all others as peers.
pub struct Watcher;

/// The watching node.
pub const WATCHER: Watcher = Watcher;

impl Watcher {
    /// Which node.
    ///
    /// # Errors
    /// None; its name is right.
    pub fn id(&self) -> Result<NodeId> {
        Ok(ClusterSet::default().node(WATCHING, 0)?.id)
    }
}

impl ClusterSet {
    fn shape(&self) -> Shape {
        let modes = match self.mix {
            Mix::P2p => Modes::P2p,
            Mix::Gateway => Modes::Gateway,
            Mix::Half => Modes::Half,
        };
        Shape { clusters: self.clusters, nodes: self.nodes, modes, families: self.stack.families() }
    }

    /// How many nodes cluster `cluster` begins with.
    pub fn nodes_of(&self, cluster: usize) -> usize {
        self.shape().nodes_of(cluster)
    }

    /// The facts of cluster `cluster`.
    pub fn cluster(&self, cluster: usize) -> ClusterFacts {
        let facts = self.shape().cluster(cluster);
        if cluster == WATCHING { ClusterFacts { mode: Some(Mode::P2p), ..facts } } else { facts }
    }

    /// The facts of node `index` of cluster `cluster`, which may be beyond those that it begins with.
    /// Its name is as long as a cloud provider's.
    ///
    /// # Errors
    /// None; its name is right.
    pub fn node(&self, cluster: usize, index: usize) -> Result<NodeFacts> {
        let mut facts = self.shape().node(cluster, index);
        facts.id.node = format!("{}.eu-central-1.compute.internal", facts.id.node).parse()?;
        Ok(facts)
    }

    /// Everything that the clusterset states about itself.
    pub fn events(&self) -> impl Iterator<Item = Result<Event>> {
        let clusters = (0..self.clusters).flat_map(move |cluster| {
            let nodes =
                (0..self.nodes_of(cluster)).map(move |node| Ok(Event::Node(self.node(cluster, node)?)));
            std::iter::once(Ok(Event::Cluster(self.cluster(cluster)))).chain(nodes)
        });
        let large = self.nodes > BY_DEFAULT || self.stack == Stack::Six;
        large.then(|| Ok(Event::ClusterSet(Some(with_more_overlay()?)))).into_iter().chain(clusters)
    }

    /// The plan of the clusterset and of the cluster that the watching node is in.
    ///
    /// # Errors
    /// If the planner finds fault with the facts.
    pub fn plan_with_watcher(&self) -> Result<Plan> {
        let mut planner = Planner::new();
        for event in self.events() {
            planner.handle(event?);
        }
        planner.handle(Event::Cluster(self.cluster(WATCHING)));
        planner.handle(Event::Node(self.node(WATCHING, 0)?));
        let mut plan = Plan::default();
        plan.apply(planner.plan());
        ensure_sound(&plan)?;
        Ok(plan)
    }
}

/// The defaults with one more range of overlay addresses, which an administrator has to add for so many nodes. Half of
/// the range that global addresses would come from, of which the clusters have none; the nodes' own are in the other half.
fn with_more_overlay() -> Result<ClusterSetFacts> {
    let mut facts = ClusterSetFacts::default();
    facts.overlay.v4.push("100.96.0.0/11".parse()?);
    facts.global_pool.v4.clear();
    Ok(facts)
}

/// # Errors
/// If the plan has a finding: the facts made here are without fault, and figures of a plan that lacks
/// something would be too good.
pub fn ensure_sound(plan: &Plan) -> Result<()> {
    match plan.findings().next() {
        Some(finding) => anyhow::bail!("the planner finds fault: {finding}"),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_watcher_sees_every_node_as_a_peer() {
        let clusterset = ClusterSet { nodes: 100, clusters: 7, ..ClusterSet::default() };
        let plan = clusterset.plan_with_watcher().unwrap();
        let inputs = crate::measure::node::Inputs::of(&plan, &WATCHER.id().unwrap()).unwrap();
        let others = |slice: &&causeway_model::SlicePlan| slice.id.scope == causeway_model::Scope::Nodes;
        let peers: usize = inputs.slices.iter().filter(others).map(|slice| slice.peers.len()).sum();
        assert_eq!(peers, 100);
    }

    #[test]
    fn as_many_clusters_and_nodes_as_are_counted_have_no_fault() {
        let clusterset = ClusterSet { nodes: 100_001, clusters: 125, ..ClusterSet::default() };
        let mut planner = Planner::new();
        for event in clusterset.events() {
            planner.handle(event.unwrap());
        }
        // The last address of the largest cluster that is counted.
        planner.handle(Event::Node(clusterset.node(124, 7_999).unwrap()));
        let mut plan = Plan::default();
        plan.apply(planner.plan());
        ensure_sound(&plan).unwrap();
    }

    #[test]
    fn few_large_clusters_and_many_small_ones_have_no_fault() {
        for clusters in [2, 200] {
            let clusterset =
                ClusterSet { nodes: 100_000, clusters, stack: Stack::Six, ..ClusterSet::default() };
            let mut planner = Planner::new();
            for event in clusterset.events() {
                planner.handle(event.unwrap());
            }
            let mut plan = Plan::default();
            plan.apply(planner.plan());
            ensure_sound(&plan).unwrap();
        }
    }

    #[test]
    fn facts_with_a_fault_are_not_measured() {
        let clusterset = ClusterSet { nodes: 3, clusters: 1, mix: Mix::Gateway, ..ClusterSet::default() };
        let mut planner = Planner::new();
        planner.handle(Event::Cluster(clusterset.cluster(0)));
        let mut plan = Plan::default();
        plan.apply(planner.plan());
        assert!(ensure_sound(&plan).is_err(), "a Gateway cluster without a node");
    }
}
