//! One node's whole way from plans to the kernel: from empty, one change, no change, removal.

use std::collections::BTreeMap;

use anyhow::{Context, Result, ensure};
use causeway_dataplane::desired::{self, sysctls};
use causeway_dataplane::netlink::LinuxKernel;
use causeway_dataplane::{Desired, Kernel};
use causeway_model::{NodeName, Scope};
use serde::{Deserialize, Serialize};

use crate::child::{Measurement, Place};
use crate::clock::{Spent, timed};
use crate::measure::clusterset::{ClusterSet, Stack, WATCHER};
use crate::measure::network::make_underlay;
use crate::measure::node::{Convergence, Inputs, converge, follow, steps_between};

/// Measures a P2P node with this many peers.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pipeline {
    /// Peers of the node.
    pub peers: usize,
    /// Families of all of them.
    pub stack: Stack,
    /// How often everything is done.
    pub rounds: usize,
}

/// What one round took.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Round {
    /// From an empty kernel.
    pub from_empty: Convergence,
    /// Reading and comparing when nothing has changed.
    pub check: Vec<Check>,
    /// One peer joined.
    pub join: Convergence,
    /// One peer joined, and the state read last was remembered: no reading, which grows with the peers.
    pub follow: Spent,
    /// One peer's underlay address changed.
    pub change: Convergence,
    /// One peer left.
    pub leave: Convergence,
    /// Everything removed.
    pub removal: Convergence,
}

/// A check that finds nothing to do.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Check {
    /// Reading the state.
    pub observe: Spent,
    /// Comparing it with the desired one.
    pub diff: Spent,
}

impl Check {
    /// Reads and compares.
    ///
    /// # Errors
    /// If there is anything to do.
    pub fn of(kernel: &mut LinuxKernel, desired: &Desired) -> Result<Check> {
        let (observed, observe) = timed(|| kernel.observe())?;
        let observed = observed?;
        let (steps, diff) = timed(|| steps_between(desired, &observed))?;
        ensure!(steps == 0, "nothing changed, and yet there are {steps} steps");
        Ok(Check { observe, diff })
    }

    /// Both, in seconds that passed.
    pub fn seconds(&self) -> f64 {
        self.observe.wall + self.diff.wall
    }
}

impl Measurement for Pipeline {
    const NAME: &'static str = "pipeline";
    const PLACE: Place = Place::OwnNetwork;
    type Outcome = Vec<Round>;

    fn measure(&self) -> Result<Vec<Round>> {
        let clusterset = ClusterSet { nodes: self.peers, stack: self.stack, ..ClusterSet::default() };
        let plan = clusterset.plan_with_watcher()?;
        let inputs = Inputs::of(&plan, &WATCHER.id()?).context("the watching node has no plan")?;
        drop(plan);
        ensure!(inputs.peers() >= self.peers, "{} peers instead of {}", inputs.peers(), self.peers);
        make_underlay(&inputs.underlay())?;
        let mut kernel = LinuxKernel::open(sysctls::all([]))?;
        (0..self.rounds).map(|_| round(&mut kernel, &inputs)).collect()
    }
}

fn round(kernel: &mut LinuxKernel, inputs: &Inputs) -> Result<Round> {
    let (slice, place) = some_peer(inputs).context("there is no slice with a plain peer")?;
    let mut lacking = inputs.clone();
    let newcomer = lacking.slices[slice].peers.remove(place);
    let from_empty = converge(kernel, |host| inputs.desired(host))?.took;
    ensure!(from_empty.steps > inputs.peers() * 2, "only {} steps from empty", from_empty.steps);
    let left = converge(kernel, |host| lacking.desired(host))?;
    let (leave, remembered) = (left.took, left.observed);
    let follow = follow(kernel, &remembered, |host| inputs.desired(host))?;
    drop(remembered);
    converge(kernel, |host| lacking.desired(host))?;
    let joined = converge(kernel, |host| inputs.desired(host))?;
    let (join, desired) = (joined.took, joined.desired);
    ensure!((2..20).contains(&join.steps), "{} steps for one peer {newcomer:?}", join.steps);
    let check = (0..3).map(|_| Check::of(kernel, &desired)).collect::<Result<_>>()?;
    // The underlay address of another, as when a node is made anew elsewhere.
    let mut moved = inputs.clone();
    moved.slices[slice].peers[place].vtep.underlay = moved.slices[slice].peers[0].vtep.underlay;
    let change = converge(kernel, |host| moved.desired(host))?.took;
    ensure!(change.steps >= 1, "a peer that moved changed nothing");
    let removal = converge(kernel, |_| Ok(desired::nothing(&BTreeMap::new())))?.took;
    Ok(Round { from_empty, check, join, follow, change, leave, removal })
}

/// A peer that carries nothing but its own prefixes: its slice and its place there.
fn some_peer(inputs: &Inputs) -> Option<(usize, usize)> {
    let carries = |node: &NodeName| {
        let carriers = inputs.slices.iter().filter(|slice| slice.id.scope == Scope::Gateways);
        carriers.flat_map(|slice| &slice.peers).any(|peer| peer.node == *node)
    };
    let slice =
        inputs.slices.iter().position(|slice| slice.id.scope == Scope::Nodes && slice.peers.len() > 9)?;
    let place = inputs.slices[slice].peers.iter().rposition(|peer| !carries(&peer.node))?;
    Some((slice, place))
}
