//! What the agent of one node is given, and what it does with it: the whole way from plans to the
//! kernel and back.

use anyhow::{Result, ensure};
use causeway_dataplane::desired::{self, HostFacts};
use causeway_dataplane::diff::each_step;
use causeway_dataplane::netlink::LinuxKernel;
use causeway_dataplane::{Desired, Kernel, Observed, Step};
use causeway_model::{Family, LinkPlan, NodeId, NodePlan, Role, Scope, SlicePlan, Via};
use causeway_planner::Plan;
use serde::{Deserialize, Serialize};

use crate::clock::{Spent, timed};

/// Steps that are held and applied at a time. All of them at once would be larger than the states
/// that they lead between.
const STEPS_AT_A_TIME: usize = 4096;

/// The plans that concern one node.
#[derive(Clone, Debug)]
pub struct Inputs {
    /// Its own.
    pub node: NodePlan,
    /// Its cluster's links.
    pub links: Vec<LinkPlan>,
    /// The slices that its role needs.
    pub slices: Vec<SlicePlan>,
}

impl Inputs {
    /// What of `plan` concerns the node `id`; `None` if it takes no part.
    pub fn of(plan: &Plan, id: &NodeId) -> Option<Inputs> {
        let node = plan.nodes.get(id)?.clone();
        let links: Vec<LinkPlan> =
            plan.links.values().filter(|link| link.id.source == id.cluster).cloned().collect();
        let needed = |slice: &&SlicePlan| {
            let (cluster, scope) = (&slice.id.cluster, slice.id.scope);
            let own = *cluster == id.cluster;
            let via = if scope == Scope::Nodes { Via::Nodes } else { Via::Gateways };
            match node.role {
                Role::Internal => own && scope == Scope::Gateways,
                Role::Gateway if own => scope == Scope::Nodes,
                Role::Node | Role::Gateway => links
                    .iter()
                    .any(|link| link.id.remote == *cluster && link.prefixes.iter().any(|p| p.via == via)),
            }
        };
        let slices = plan.slices.values().filter(needed).cloned().collect();
        Some(Inputs { node, links, slices })
    }

    /// The node's underlay addresses, as `ip address add` takes them.
    pub fn underlay(&self) -> Vec<String> {
        let addresses = self.node.vtep.underlay.addresses();
        addresses.map(|address| format!("{address}/{}", Family::of(address).bits())).collect()
    }

    /// How many peers the slices list.
    pub fn peers(&self) -> usize {
        self.slices.iter().map(|slice| slice.peers.len()).sum()
    }

    /// The state that follows on `host`.
    ///
    /// # Errors
    /// If something of the plan cannot be had on this host, since the figures would be of less.
    pub fn desired(&self, host: &HostFacts) -> Result<Desired> {
        let (desired, notices) = desired::desired(&self.node, &self.links, &self.slices, host);
        ensure!(notices.is_empty(), "the node lacks something: {}", notices[0]);
        Ok(desired)
    }
}

/// What one convergence took, part by part.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Convergence {
    /// Reading the state.
    pub observe: Spent,
    /// From plans to the desired state.
    pub desired: Spent,
    /// Finding the steps, without doing them.
    pub diff: Spent,
    /// Doing them.
    pub apply: Spent,
    /// Reading the state again.
    pub again: Spent,
    /// How many steps there were.
    pub steps: usize,
}

impl Convergence {
    /// All of it, in seconds that passed.
    pub fn seconds(&self) -> f64 {
        self.parts().iter().map(|(_, spent)| spent.wall).sum()
    }

    /// All of it, in seconds that a processor worked.
    pub fn processor_seconds(&self) -> f64 {
        self.parts().iter().map(|(_, spent)| spent.cpu).sum()
    }

    /// The parts with their names, in order.
    pub fn parts(&self) -> [(&'static str, Spent); 5] {
        [
            ("observe", self.observe),
            ("desired", self.desired),
            ("diff", self.diff),
            ("apply", self.apply),
            ("observe again", self.again),
        ]
    }
}

/// A kernel that is as it should be.
pub struct Converged {
    /// How it should be.
    pub desired: Desired,
    /// How it is.
    pub observed: Observed,
    /// What getting there took.
    pub took: Convergence,
}

/// Brings the kernel to `wanted` of what it reads of the host: observe, decide, diff, apply, observe
/// again.
///
/// # Errors
/// If the kernel refuses a step or is not as wanted afterwards.
pub fn converge(
    kernel: &mut LinuxKernel,
    wanted: impl FnOnce(&HostFacts) -> Result<Desired>,
) -> Result<Converged> {
    let (observed, observe) = timed(|| kernel.observe())?;
    let observed = observed?;
    let (desired, spent_desired) = timed(|| wanted(&HostFacts::from(&observed)))?;
    let desired = desired?;
    let (steps, diff, apply) = apply_difference(kernel, &desired, &observed)?;
    drop(observed);
    let (observed, again) = timed(|| kernel.observe())?;
    let observed = observed?;
    let left = steps_between(&desired, &observed);
    ensure!(left == 0, "{left} steps are left after all {steps} were done");
    let took = Convergence { observe, desired: spent_desired, diff, apply, again, steps };
    Ok(Converged { desired, observed, took })
}

/// A change found against a state that was read before, without reading it anew.
///
/// # Errors
/// As [`converge`].
pub fn follow(
    kernel: &mut LinuxKernel,
    remembered: &Observed,
    wanted: impl FnOnce(&HostFacts) -> Result<Desired>,
) -> Result<Spent> {
    let (desired, spent) = timed(|| wanted(&HostFacts::from(remembered)))?;
    let desired = desired?;
    let (steps, diff, apply) = apply_difference(kernel, &desired, remembered)?;
    let left = steps_between(&desired, &kernel.observe()?);
    ensure!(left == 0, "{left} steps are left after {steps} were done");
    Ok(Spent { wall: spent.wall + diff.wall + apply.wall, cpu: spent.cpu + diff.cpu + apply.cpu })
}

/// Finds the steps and does them; says how many there were, and what both took.
fn apply_difference(
    kernel: &mut LinuxKernel,
    desired: &Desired,
    observed: &Observed,
) -> Result<(usize, Spent, Spent)> {
    let (applied, all) = timed(|| apply_in_parts(kernel, desired, observed))?;
    let (steps, apply) = applied?;
    Ok((steps, Spent { wall: all.wall - apply.wall, cpu: all.cpu - apply.cpu }, apply))
}

/// How many steps lead from `observed` to `desired`.
pub fn steps_between(desired: &Desired, observed: &Observed) -> usize {
    let mut steps = 0;
    each_step(desired, observed, &mut |_| steps += 1);
    steps
}

/// Does the steps as they are found; says how many there were, and what doing them took.
fn apply_in_parts(
    kernel: &mut LinuxKernel,
    desired: &Desired,
    observed: &Observed,
) -> Result<(usize, Spent)> {
    let mut held: Vec<Step> = Vec::with_capacity(STEPS_AT_A_TIME);
    let (mut steps, mut spent, mut failure) = (0, Spent { wall: 0.0, cpu: 0.0 }, Ok(()));
    let mut flush = |held: &mut Vec<Step>| -> Result<()> {
        let (done, part) = timed(|| kernel.apply(held))?;
        spent = Spent { wall: spent.wall + part.wall, cpu: spent.cpu + part.cpu };
        steps += held.len();
        held.clear();
        Ok(done?)
    };
    each_step(desired, observed, &mut |step| {
        held.push(step);
        if held.len() == STEPS_AT_A_TIME && failure.is_ok() {
            failure = flush(&mut held);
        }
    });
    failure.and_then(|()| flush(&mut held))?;
    Ok((steps, spent))
}
