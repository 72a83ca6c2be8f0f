//! A full plan: time of one processor, and the memory of a planner that has made it.

use anyhow::Result;
use causeway_planner::{Changes, Event, Plan, Planner};
use serde::{Deserialize, Serialize};

use crate::child::{Measurement, Place};
use crate::clock::{Spent, memory, peak_memory, timed};
use crate::measure::clusterset::{ClusterSet, ensure_sound};

/// Measures the full plan of a clusterset.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FullPlan {
    /// Of which.
    pub clusterset: ClusterSet,
    /// How often.
    pub rounds: usize,
}

/// What it took.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Planned {
    /// Each round.
    pub spent: Vec<Spent>,
    /// Peak memory in bytes of a process that plans once and holds planner and plan, without the facts
    /// that went in.
    pub peak: u64,
    /// Memory in bytes of that process before it began.
    pub before: u64,
    /// Objects in the plan.
    pub objects: usize,
}

impl Measurement for FullPlan {
    const NAME: &'static str = "full-plan";
    const PLACE: Place = Place::Here;
    type Outcome = Planned;

    fn measure(&self) -> Result<Planned> {
        let before = memory()?;
        // The first plan takes the facts one by one, as a daemon gets them, and is measured for memory.
        let mut planner = Planner::new();
        for event in self.clusterset.events() {
            planner.handle(event?);
        }
        let changes = planner.plan();
        let peak = peak_memory()?;
        let objects = count(&changes);
        drop(planner);
        let mut plan = Plan::default();
        plan.apply(changes);
        ensure_sound(&plan)?;
        drop(plan);
        let spent = (0..self.rounds).map(|_| self.round()).collect::<Result<_>>()?;
        Ok(Planned { spent, peak, before, objects })
    }
}

impl FullPlan {
    fn round(&self) -> Result<Spent> {
        let events: Vec<Event> = self.clusterset.events().collect::<Result<_>>()?;
        let ((_planner, _changes), spent) = timed(|| {
            let mut planner = Planner::new();
            events.into_iter().for_each(|event| planner.handle(event));
            let changes = planner.plan();
            (planner, changes)
        })?;
        Ok(spent)
    }
}

/// How many objects are written or removed.
pub fn count(changes: &Changes) -> usize {
    let Changes {
        nodes,
        nodes_gone,
        links,
        links_gone,
        slices,
        slices_gone,
        clusters,
        clusters_gone,
        node_findings: _,
        clusterset_findings: _,
    } = changes;
    nodes.len()
        + nodes_gone.len()
        + links.len()
        + links_gone.len()
        + slices.len()
        + slices_gone.len()
        + clusters.len()
        + clusters_gone.len()
}
