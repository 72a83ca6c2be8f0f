//! Single changes in a standing clusterset: what planning each costs, and what is written.

use anyhow::{Context, Result, ensure};
use causeway_model::{Mode, NodeId, Readiness};
use causeway_planner::{Changes, Event, Plan, Planner};
use serde::{Deserialize, Serialize};

use crate::child::{Measurement, Place};
use crate::clock::{Spent, timed};
use crate::measure::clusterset::{ClusterSet, ensure_sound};
use crate::measure::full_plan::count;

/// Measures single changes.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SingleChanges {
    /// In which clusterset.
    pub clusterset: ClusterSet,
    /// How often each.
    pub rounds: usize,
}

/// A kind of change.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// A node joins.
    Join,
    /// The node that joined leaves.
    Leave,
    /// A node that is no gateway becomes unready, or ready again.
    Readiness,
    /// A gateway leaves and another takes its place, or it comes back.
    Gateway,
    /// A cluster joins, of one node.
    ClusterJoin,
    /// That cluster leaves.
    ClusterLeave,
}

impl Change {
    /// All kinds.
    pub const ALL: [Change; 6] = [
        Change::Join,
        Change::Leave,
        Change::Readiness,
        Change::Gateway,
        Change::ClusterJoin,
        Change::ClusterLeave,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Change::Join => "a node joins",
            Change::Leave => "a node leaves",
            Change::Readiness => "a node's readiness changes",
            Change::Gateway => "a gateway comes or goes",
            Change::ClusterJoin => "a cluster joins",
            Change::ClusterLeave => "a cluster leaves",
        }
    }
}

/// What one change took.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Changed {
    /// Which.
    pub change: Change,
    /// How long it was planned.
    pub spent: Spent,
    /// Objects written or removed.
    pub objects: usize,
    /// Of those, NodeConfigs.
    pub nodes: usize,
    /// Of those, PeerSlices.
    pub slices: usize,
    /// Of those, ClusterLinks.
    pub links: usize,
    /// Of those, Cluster statuses.
    pub clusters: usize,
    /// Objects that the planner looked at.
    pub work: u64,
}

impl Measurement for SingleChanges {
    const NAME: &'static str = "single-changes";
    const PLACE: Place = Place::Here;
    type Outcome = Vec<Changed>;

    fn measure(&self) -> Result<Vec<Changed>> {
        let mut bed = Bed::new(&self.clusterset)?;
        // Nobody pays for the first touch of cold memory: it is no part of what a change costs.
        for round in 0..self.rounds + self.rounds / 10 + 1 {
            if round == self.rounds / 10 + 1 {
                bed.changed.clear();
            }
            bed.node_comes_and_goes(round)?;
            bed.readiness_changes(round)?;
        }
        for round in 0..self.rounds.div_ceil(10) {
            bed.gateway_goes_and_comes(round)?;
            bed.cluster_comes_and_goes()?;
        }
        Ok(bed.changed)
    }
}

struct Bed<'a> {
    shape: &'a ClusterSet,
    planner: Planner,
    plan: Plan,
    changed: Vec<Changed>,
}

impl<'a> Bed<'a> {
    fn new(shape: &'a ClusterSet) -> Result<Bed<'a>> {
        let mut planner = Planner::new();
        for event in shape.events() {
            planner.handle(event?);
        }
        let mut plan = Plan::default();
        plan.apply(planner.plan());
        ensure_sound(&plan)?;
        Ok(Bed { shape, planner, plan, changed: Vec::new() })
    }

    fn change(&mut self, change: Change, events: Vec<Event>) -> Result<()> {
        let before = self.planner.work().total();
        let planner = &mut self.planner;
        let (changes, spent) = timed(|| {
            events.into_iter().for_each(|event| planner.handle(event));
            planner.plan()
        })?;
        let work = self.planner.work().total() - before;
        self.changed.push(Changed {
            change,
            spent,
            objects: count(&changes),
            nodes: changes.nodes.len() + changes.nodes_gone.len(),
            slices: changes.slices.len() + changes.slices_gone.len(),
            links: changes.links.len() + changes.links_gone.len(),
            clusters: changes.clusters.len() + changes.clusters_gone.len(),
            work,
        });
        self.apply(changes)
    }

    fn apply(&mut self, changes: Changes) -> Result<()> {
        ensure!(changes.node_findings.iter().all(|(_, findings)| findings.is_empty()), "{changes:?}");
        self.plan.apply(changes);
        Ok(())
    }

    fn node_comes_and_goes(&mut self, round: usize) -> Result<()> {
        let cluster = round % self.shape.clusters;
        let node = self.shape.nodes_of(cluster) + round % 7;
        let facts = self.shape.node(cluster, node)?;
        let id = facts.id.clone();
        self.change(Change::Join, vec![Event::Node(facts)])?;
        ensure!(self.plan.nodes.contains_key(&id), "{id} joined and has no plan");
        self.change(Change::Leave, vec![Event::NodeGone(id.clone())])?;
        ensure!(!self.plan.nodes.contains_key(&id), "{id} left and has a plan");
        Ok(())
    }

    fn readiness_changes(&mut self, round: usize) -> Result<()> {
        let cluster = round % self.shape.clusters;
        let gateways = &self.plan.clusters[&self.shape.cluster(cluster).name].gateways;
        let mut facts = self.shape.node(cluster, self.shape.nodes_of(cluster) * 2 / 3)?;
        ensure!(!gateways.contains(&facts.id.node), "{} is a gateway", facts.id);
        for readiness in [Readiness::NotReady, Readiness::Ready] {
            facts.readiness = readiness;
            self.change(Change::Readiness, vec![Event::Node(facts.clone())])?;
        }
        Ok(())
    }

    fn gateway_goes_and_comes(&mut self, round: usize) -> Result<()> {
        let modes = (0..self.shape.clusters).cycle().skip(round).take(self.shape.clusters);
        let Some(cluster) = modes.into_iter().find(|c| self.shape.cluster(*c).mode == Some(Mode::Gateway))
        else {
            return Ok(());
        };
        let name = self.shape.cluster(cluster).name;
        let gateway = self.plan.clusters[&name].gateways.first().context("there is no gateway")?.clone();
        let mut places = 0..self.shape.nodes_of(cluster);
        let facts =
            places.find_map(|place| self.shape.node(cluster, place).ok().filter(|f| f.id.node == gateway));
        let facts = facts.context("the gateway is none of the nodes")?;
        let id = NodeId { cluster: name, node: gateway };
        self.change(Change::Gateway, vec![Event::NodeGone(id)])?;
        self.change(Change::Gateway, vec![Event::Node(facts)])
    }

    fn cluster_comes_and_goes(&mut self) -> Result<()> {
        let cluster = self.shape.clusters;
        let facts = self.shape.cluster(cluster);
        let (name, node) = (facts.name.clone(), self.shape.node(cluster, 0)?);
        let id = node.id.clone();
        self.change(Change::ClusterJoin, vec![Event::Cluster(facts), Event::Node(node)])?;
        self.change(Change::ClusterLeave, vec![Event::ClusterGone(name), Event::NodeGone(id)])
    }
}
