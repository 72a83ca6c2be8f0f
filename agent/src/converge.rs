//! One pass from plan to kernel: observe, decide, act, and observe again until nothing is left to do.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use causeway_dataplane::desired::fast_path::forget_flows;
use causeway_dataplane::desired::{HostFacts, Notice, desired, nothing};
use causeway_dataplane::device::Device;
use causeway_dataplane::diff::{self, conflicts, diff};
use causeway_dataplane::nft::Transaction;
use causeway_dataplane::nft::foreign::ForeignChain;
use causeway_dataplane::state::Carrier;
use causeway_dataplane::{ApplyError, Desired, Kernel, KernelError, Observed, Step};

use crate::drift::Interests;
use crate::last_known::first_loss;
use crate::plans::Inputs;
use crate::restore::Restore;

/// How often a pass acts and looks again before it leaves the rest to a later one. The first round
/// does the work; a second one finds what changed meanwhile, or what Linux removed along with
/// something else.
const ROUNDS: u32 = 4;

/// What a node's kernel is to become.
#[derive(Clone, Copy, Debug)]
pub enum Goal<'a> {
    /// What its plan says, without these gateways as far as there are others.
    Plan(Inputs<'a>, OutOfUse<'a>),
    /// Nothing of ours.
    Nothing,
}

/// Gateways that are kept out of groups.
#[derive(Clone, Copy, Debug)]
pub enum OutOfUse<'a> {
    /// Those that do not answer probes.
    Dead(&'a BTreeSet<IpAddr>),
    /// Nobody was probed yet: those that the groups in the kernel leave out. So an agent that starts does not send into
    /// what the one before it had found dead. One that is new to a group waits for its first answers, too.
    LeftOut,
}

impl OutOfUse<'_> {
    /// Where nobody probes.
    pub const NOBODY: OutOfUse<'static> = OutOfUse::Dead(&BTreeSet::new());
}

/// How a pass ended.
#[derive(Debug)]
pub struct Pass {
    /// Steps taken.
    pub steps: usize,
    /// The same by [kind](Step::kind).
    pub kinds: BTreeMap<&'static str, u64>,
    /// How long all of it took.
    pub took: Duration,
    /// What this host cannot have of its plan.
    pub notices: Vec<Notice>,
    /// Device names of ours that somebody else's links have.
    pub conflicts: Vec<Device>,
    /// Foreign chains that one of our rules stands in.
    pub foreign_chains: Vec<String>,
    /// Who may be in groups.
    pub carriers: Vec<Carrier>,
    /// Who of them is in none.
    pub left_out: BTreeSet<IpAddr>,
    /// Peers that tunnels lead to.
    pub peers: usize,
    /// Routes.
    pub routes: usize,
    /// Whether there is a fast path.
    pub fast_path: bool,
    /// What has it forget the flows that routes lead.
    pub forget_flows: Option<Transaction>,
    /// What changes matter from now on.
    pub interests: Interests,
}

impl Pass {
    /// Steps taken, without those of the fast path, which follows pods that come and go.
    pub fn steps_of_plan(&self) -> usize {
        let of_pods = self.kinds.get(Step::FAST_PATH).copied().unwrap_or(0);
        self.steps.saturating_sub(usize::try_from(of_pods).unwrap_or(usize::MAX))
    }
}

/// Why a pass left the kernel other than it should be. The kernel is whole in any case: each step
/// stands for itself.
#[derive(Debug, thiserror::Error)]
pub enum ConvergeError {
    /// The kernel could not be read; nothing was changed on a guess.
    #[error(transparent)]
    Observe(#[from] KernelError),
    /// Steps failed, and go on failing.
    #[error(transparent)]
    Apply(#[from] ApplyError),
    /// Steps succeed but what they do does not last.
    #[error(
        "{remaining} changes are still to do after {ROUNDS} rounds, first: {first}; is another program undoing them?"
    )]
    Unsettled {
        /// How many.
        remaining: usize,
        /// The first of them.
        first: String,
    },
    /// The original values of host sysctls could not be kept; nothing was changed.
    #[error("cannot keep original sysctl values in the state directory: {0}")]
    Remember(std::io::Error),
}

impl ConvergeError {
    /// All that [`ConvergeError::reason`] may be.
    pub const REASONS: [&str; 4] = ["KernelUnreadable", "ChangesFailed", "ChangesUndone", "StateDirectory"];

    /// The reason of the condition that tells it.
    pub fn reason(&self) -> &'static str {
        let [unreadable, failed, undone, directory] = ConvergeError::REASONS;
        match self {
            ConvergeError::Observe(_) => unreadable,
            ConvergeError::Apply(_) => failed,
            ConvergeError::Unsettled { .. } => undone,
            ConvergeError::Remember(_) => directory,
        }
    }
}

/// The desired state for `goal` on the observed host.
fn decide(goal: Goal<'_>, observed: &Observed, restore: &Restore) -> (Desired, Vec<Notice>) {
    match goal {
        Goal::Nothing => (nothing(&restore.originals()), Vec::new()),
        Goal::Plan(inputs, out_of_use) => {
            let mut host = HostFacts::from(observed);
            let plan = |host: &HostFacts| desired(inputs.node(), inputs.links(), inputs.slices(), host);
            match out_of_use {
                OutOfUse::Dead(dead) => host.dead = dead.clone(),
                OutOfUse::LeftOut if observed.groups.is_empty() => {}
                OutOfUse::LeftOut => host.dead = left_out(&plan(&host).0.carriers, observed),
            }
            let (mut desired, notices) = plan(&host);
            // What is on a device of somebody else is not in the kernel.
            let foreign = &observed.foreign_devices;
            desired.carriers.retain(|carrier| !foreign.contains(&carrier.hop.device));
            (desired, notices)
        }
    }
}

fn left_out(carriers: &[Carrier], observed: &Observed) -> BTreeSet<IpAddr> {
    diff::left_out(carriers, &observed.next_hops, &observed.groups)
}

fn interests(observed: &Observed) -> Interests {
    let chain = |chain: &ForeignChain| (chain.id.table.clone(), chain.id.chain.clone());
    Interests {
        devices: observed.devices.values().map(|device| device.index).collect(),
        chains: observed.firewall.foreign_forward.iter().map(chain).collect(),
    }
}

/// The steps that a pass would take now.
///
/// # Errors
/// [`KernelError`] if the kernel cannot be read.
pub fn preview(
    kernel: &mut impl Kernel,
    goal: Goal<'_>,
    restore: &Restore,
) -> Result<Vec<Step>, KernelError> {
    Ok(look(kernel, goal, restore)?.0)
}

/// The steps that a pass would take now, and what they follow from.
fn look(
    kernel: &mut impl Kernel,
    goal: Goal<'_>,
    restore: &Restore,
) -> Result<(Vec<Step>, Observed), KernelError> {
    let observed = kernel.observe()?;
    let (desired, _) = decide(goal, &observed, restore);
    Ok((diff(&desired, &observed), observed))
}

/// The first step towards `goal` that would take away or change what the kernel holds.
///
/// # Errors
/// [`KernelError`] if the kernel cannot be read.
pub fn loss(
    kernel: &mut impl Kernel,
    goal: Goal<'_>,
    restore: &Restore,
) -> Result<Option<String>, KernelError> {
    let (steps, observed) = look(kernel, goal, restore)?;
    Ok(first_loss(&steps, &observed).map(ToString::to_string))
}

/// Brings the kernel to `goal`.
///
/// # Errors
/// [`ConvergeError`] if the kernel is not, or not known to be, as it should be.
pub fn converge<K: Kernel>(
    kernel: &mut K,
    goal: Goal<'_>,
    restore: &mut Restore,
) -> Result<Pass, ConvergeError> {
    let started = Instant::now();
    let (mut taken, mut kinds) = (0, BTreeMap::new());
    let mut failure: Option<ApplyError> = None;
    let mut remaining = Vec::new();
    for round in 0..=ROUNDS {
        let observed = kernel.observe()?;
        let (desired, notices) = decide(goal, &observed, restore);
        let steps = diff(&desired, &observed);
        if steps.is_empty() {
            return Ok(Pass {
                steps: taken,
                kinds,
                took: started.elapsed(),
                notices,
                conflicts: conflicts(&observed),
                foreign_chains: observed
                    .firewall
                    .foreign_forward
                    .iter()
                    .filter(|chain| chain.has_ours())
                    .map(|chain| chain.id.to_string())
                    .collect(),
                peers: desired.fdb.len(),
                routes: desired.routes.len(),
                fast_path: desired.fast_path.is_some(),
                forget_flows: desired.fast_path.as_ref().and_then(|table| forget_flows(table, |_| true)),
                left_out: left_out(&desired.carriers, &observed),
                carriers: desired.carriers,
                interests: interests(&observed),
            });
        }
        if round == ROUNDS {
            remaining = steps;
            break;
        }
        if matches!(goal, Goal::Plan(..)) {
            restore.remember(&steps, &observed).map_err(ConvergeError::Remember)?;
        }
        taken += steps.len();
        for step in &steps {
            tracing::debug!(%step, "to the kernel");
            *kinds.entry(step.kind()).or_default() += 1;
        }
        failure = kernel.apply(&steps).err();
    }
    Err(match failure {
        Some(error) => error.into(),
        None => ConvergeError::Unsettled {
            remaining: remaining.len(),
            first: remaining.first().map(ToString::to_string).unwrap_or_default(),
        },
    })
}
