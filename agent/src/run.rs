//! The agent's loop: one owner of the state, and any wake-up does the same work.

use std::collections::BTreeSet;
use std::io;
use std::time::Duration;

use causeway_api::{DiagnosisStatus, Obstacle};
use causeway_daemon::health::{self, Health};
use causeway_dataplane::diff::failover;
use causeway_dataplane::netlink::LinuxKernel;
use causeway_dataplane::nft::Transaction;
use causeway_dataplane::{Kernel, KernelError};
use causeway_kubernetes::{Access, ConnectError, authorities, connect};
use causeway_metrics::{Metrics, Program};
use causeway_model::{NodeId, NodeName};
use tokio::time::{Instant, sleep_until, timeout};

use crate::args::{CleanupArgs, ExamineArgs, FastPath, RunArgs};
use crate::converge::{ConvergeError, Goal, OutOfUse, Pass, converge, loss, preview};
use crate::drift::{Drift, Interests};
use crate::examination::{Examination, alone, left_to_do, obstacles};
use crate::gateways::Gateways;
use crate::last_known::{self, Basis, Identity, LastKnown};
use crate::plans::Known;
use crate::quality::Quality;
use crate::report::Report;
use crate::restore::Restore;
use crate::source::{Directory, Member, Source};
use crate::telemetry::Telemetry;

/// How often the kernel is looked at though nothing was notified: the safety net.
const SLOW: Duration = Duration::from_secs(60);
/// First and longest wait before a pass that failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));
/// How long after a change of gateways the whole kernel is looked at: time for the next change, which
/// must not wait for that.
const SETTLE: Duration = Duration::from_millis(300);
/// How long a single run waits for the API server to tell the plan.
const TELL: Duration = Duration::from_secs(30);

/// Why the agent does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Flags are missing.
    #[error("--node is needed")]
    Usage,
    /// There is no API server to speak to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// The objects cannot be read.
    #[error(transparent)]
    Objects(#[from] causeway_objects::OpenError),
    /// The objects cannot be watched.
    #[error(transparent)]
    Watch(#[from] causeway_objects::WatchError),
    /// The kernel cannot be spoken to.
    #[error(transparent)]
    Kernel(#[from] KernelError),
    /// The kernel could not be made as it should be.
    #[error(transparent)]
    Converge(#[from] ConvergeError),
    /// There is no plan for this node.
    #[error(
        "there is no usable NodeConfig for {0}; nothing was changed. Are the managers running, and are cluster and node named right?"
    )]
    NoPlan(String),
    /// What the node is cannot be read.
    #[error(
        "the last known state of {0} cannot be used: {1}; give --objects and --cluster, or ask the agent by `causeway doctor`"
    )]
    LastKnown(NodeName, String),
    /// The state directory or a notification socket failed.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

impl RunError {
    /// Whether the command line or the directory that it names is at fault.
    pub fn is_input(&self) -> bool {
        matches!(self, RunError::Usage | RunError::Objects(_) | RunError::Connect(_))
    }
}

/// Runs until asked to stop, or once. Stopping leaves the kernel as it is.
///
/// # Errors
/// [`RunError`] if the agent cannot work at all; what may pass is logged and tried again.
pub async fn run(args: RunArgs) -> Result<(), RunError> {
    let node = args.node.clone().ok_or(RunError::Usage)?;
    let health = Health::new();
    let last_known = LastKnown::new(&args.state_dir, identity(&args, &node).await?, health.clone());
    let metrics = Metrics::new(Program::Agent, env!("CARGO_PKG_VERSION"));
    let mut source = open_source(&args, &node, &health, &metrics).await?;
    let mut restore = open_restore(&args.state_dir)?;
    let mut kernel = LinuxKernel::open(causeway_dataplane::desired::sysctls::all([]))?;
    match args.fast_path {
        FastPath::Never => kernel.forgo_fast_path(),
        // What it asks is a change, though it leaves nothing.
        FastPath::Auto if args.dry_run => kernel.leave_fast_path(),
        FastPath::Auto => {}
    }
    if args.once || args.dry_run {
        return once(&args, &node, &mut source, &mut kernel, &mut restore).await;
    }
    if let Source::Directory(directory) = &mut source {
        directory.watch()?;
    }
    let served = health::serve(args.listen, health.clone(), metrics.clone());
    let gateways = Gateways::start(args.probe_interval);
    let telemetry = Telemetry::new(metrics);
    gateways.prober().into_iter().for_each(|prober| telemetry.watch(prober));
    let quality = Quality::new(seed(&node), Instant::now());
    let agent = Agent {
        source,
        last_known,
        restore,
        kernel,
        gateways,
        forget_flows: None,
        failures: 0,
        health,
        telemetry,
        quality,
        reported: None,
        examination: Examination::default(),
        trouble: Vec::new(),
    };
    tokio::select! {
        result = agent.run() => result,
        // A directory serves hosts outside Kubernetes, where nobody asks.
        result = served, if args.objects.is_none() => {
            Err(RunError::System("--listen", result.err().unwrap_or_else(|| io::Error::other("closed"))))
        }
    }
}

/// Different for each node and each time.
fn seed(node: &NodeName) -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    let start = u64::from(since.subsec_nanos());
    node.as_str().bytes().fold(start, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()))
}

async fn open_source(
    args: &RunArgs,
    node: &NodeName,
    health: &Health,
    metrics: &Metrics,
) -> Result<Source, RunError> {
    if let (Some(objects), Some(cluster)) = (&args.objects, &args.cluster) {
        let id = NodeId { cluster: cluster.clone(), node: node.clone() };
        return Ok(Source::Directory(Box::new(Directory::open(objects.clone(), id)?)));
    }
    let client = connect(&access(args)).await?;
    let member = Member::new(client, &args.namespace, node, health.clone(), metrics);
    Ok(Source::Member(Box::new(member)))
}

fn access(args: &RunArgs) -> Access {
    Access { kubeconfig: args.kubeconfig.clone(), context: None }
}

/// As what the agent runs; `None` without an API server.
async fn identity(args: &RunArgs, node: &NodeName) -> Result<Option<Identity>, RunError> {
    if args.objects.is_some() {
        return Ok(None);
    }
    Ok(Some(Identity::new(node.clone(), &authorities(&access(args)).await?)))
}

/// Where the node's plan should be.
fn place(args: &RunArgs, node: &NodeName) -> String {
    match (&args.objects, &args.cluster) {
        (Some(objects), Some(cluster)) => format!("{cluster}/{node} in {}", objects.display()),
        _ => format!("{node} in namespace {}", args.namespace),
    }
}

async fn once(
    args: &RunArgs,
    node: &NodeName,
    source: &mut Source,
    kernel: &mut LinuxKernel,
    restore: &mut Restore,
) -> Result<(), RunError> {
    if args.objects.is_none() {
        // A plan that is not told in time is reported below.
        let told = async {
            while matches!(source.known(), Known::Nothing) {
                source.changed().await;
            }
        };
        let _ = timeout(TELL, told).await;
    }
    let known = source.known();
    let Known::Plan(inputs) = known else { return Err(RunError::NoPlan(place(args, node))) };
    if args.dry_run {
        return print_steps(kernel, Goal::Plan(inputs, OutOfUse::LeftOut), restore);
    }
    // Nobody probes after it, so nobody would bring back what it leaves out.
    let result = converge(kernel, Goal::Plan(inputs, OutOfUse::NOBODY), restore);
    let report = Report::of(known, &result, None, &BTreeSet::new());
    source.report(report);
    log(result?);
    Ok(())
}

/// Removes everything of ours.
///
/// # Errors
/// [`RunError`] if something of it is left.
pub fn cleanup(args: &CleanupArgs) -> Result<(), RunError> {
    let mut restore = open_restore(&args.state_dir)?;
    let mut kernel = LinuxKernel::open(causeway_dataplane::desired::sysctls::all([]))?;
    kernel.leave_fast_path();
    if args.dry_run {
        return print_steps(&mut kernel, Goal::Nothing, &restore);
    }
    // First, so that nothing brings back what is cleaned up.
    let removed = last_known::remove_from(&args.state_dir);
    log(converge(&mut kernel, Goal::Nothing, &mut restore)?);
    removed.and_then(|()| restore.forget()).map_err(|error| RunError::System("state directory", error))
}

/// Tests this node by what it is, and prints the evidence. Nothing is changed.
///
/// # Errors
/// [`RunError`] if it is not known what the node is.
pub fn examine(args: &ExamineArgs) -> Result<(), RunError> {
    let unusable = |why: String| RunError::LastKnown(args.node.clone(), why);
    let plans = match (&args.objects, &args.cluster) {
        (Some(objects), Some(cluster)) => {
            let id = NodeId { cluster: cluster.clone(), node: args.node.clone() };
            Directory::open(objects.clone(), id)?.into_plans()
        }
        _ => last_known::plans_in(&args.state_dir, &args.node)
            .map_err(|error| unusable(error.to_string()))?
            .ok_or_else(|| unusable(format!("{} has none", args.state_dir.display())))?,
    };
    let Known::Plan(inputs) = plans.known() else { return Err(RunError::NoPlan(args.node.to_string())) };
    let mut kernel = LinuxKernel::open(causeway_dataplane::desired::sysctls::all([]))?;
    kernel.leave_fast_path();
    let steps = preview(&mut kernel, Goal::Plan(inputs, OutOfUse::LeftOut), &Restore::unknown())?;
    let diagnosis = alone(inputs, left_to_do(&steps));
    let text = serde_json::to_string_pretty(&diagnosis).map_err(io::Error::other);
    println!("{}", text.map_err(|error| RunError::System("evidence", error))?);
    Ok(())
}

fn open_restore(state_dir: &std::path::Path) -> Result<Restore, RunError> {
    Restore::open(state_dir).map_err(|error| RunError::System("state directory", error))
}

fn print_steps(kernel: &mut LinuxKernel, goal: Goal<'_>, restore: &Restore) -> Result<(), RunError> {
    let steps = preview(kernel, goal, restore)?;
    steps.iter().for_each(|step| println!("{step}"));
    Ok(())
}

fn log(pass: Pass) {
    if pass.steps_of_plan() > 0 {
        let took_ms = pass.took.as_millis() as u64;
        tracing::info!(
            steps = pass.steps,
            took_ms,
            peers = pass.peers,
            routes = pass.routes,
            "kernel changed"
        );
    }
}

struct Agent {
    source: Source,
    last_known: LastKnown,
    restore: Restore,
    kernel: LinuxKernel,
    gateways: Gateways,
    /// What has the fast path forget the flows that routes lead, if there is one.
    forget_flows: Option<Transaction>,
    failures: u32,
    health: Health,
    telemetry: Telemetry,
    quality: Quality,
    /// What was told last.
    reported: Option<Report>,
    /// Tests that somebody asked for.
    examination: Examination,
    /// What keeps the kernel from being as planned.
    trouble: Vec<Obstacle>,
}

/// Why the loop woke up.
enum Wake {
    Stop,
    /// Whether what is known of the plan changed.
    Plan(bool),
    /// The plan is to be kept on disk.
    Keep,
    Kernel,
    /// A gateway is dead or alive.
    Gateways,
    /// Round-trip times and losses are to be looked at.
    Quality,
    Timer,
    /// A test that somebody asked for is over.
    Examined(Box<DiagnosisStatus>),
}

impl Agent {
    async fn run(mut self) -> Result<(), RunError> {
        let drift = Drift::listen()?;
        drift.heed(&self.kernel, &Interests::default())?;
        let stop = causeway_daemon::stop_requested();
        tokio::pin!(stop);
        if matches!(self.source.known(), Known::Nothing) {
            tracing::info!("waiting for this node's NodeConfig; the kernel stays as it is");
        }
        let mut next = Instant::now() + self.pass(&drift);
        loop {
            self.examination.consider(self.source.asked(), self.source.known(), &self.trouble);
            let wake = tokio::select! {
                // What packets wait for goes first. Any other wake-up does all that there is to do.
                biased;
                () = self.gateways.changed() => Wake::Gateways,
                result = &mut stop => match result {
                    Ok(()) => Wake::Stop,
                    Err(error) => return Err(RunError::System("signals", error)),
                },
                changed = self.source.changed() => Wake::Plan(changed),
                () = self.last_known.due() => Wake::Keep,
                result = drift.seen() => match result {
                    Ok(()) => Wake::Kernel,
                    Err(error) => return Err(error.into()),
                },
                () = sleep_until(self.quality.due()) => Wake::Quality,
                () = sleep_until(next) => Wake::Timer,
                status = self.examination.finished() => Wake::Examined(Box::new(status)),
            };
            match wake {
                Wake::Stop => return Ok(()),
                Wake::Examined(status) => {
                    self.source.answer(*status);
                    continue;
                }
                Wake::Plan(false) => continue,
                Wake::Plan(true) => {
                    self.telemetry.asked_anew();
                    self.last_known.plan_changed();
                }
                Wake::Keep => {
                    self.last_known.save(self.source.known());
                    continue;
                }
                Wake::Quality => {
                    self.look_at_quality();
                    continue;
                }
                Wake::Kernel | Wake::Timer => {}
                Wake::Gateways => {
                    if self.fail_over() {
                        next = next.min(Instant::now() + SETTLE);
                    }
                    continue;
                }
            }
            next = Instant::now() + self.pass(&drift);
        }
    }

    /// A node that takes part no more is done once nothing of it is left: from then on its host's
    /// settings are its administrator's.
    fn finish_removal(&mut self) {
        if matches!(self.source.known(), Known::Removed) {
            match self.last_known.forget().and_then(|()| self.restore.forget()) {
                Ok(()) => self.source.cleaned_up(),
                Err(error) => tracing::warn!(%error, "state directory not cleaned up"),
            }
        }
    }

    /// Changes the groups of gateways that died or came back, and nothing else. Returns whether there is
    /// something to do or to tell.
    fn fail_over(&mut self) -> bool {
        let changed = self.gateways.hear();
        if !changed {
            return false;
        }
        self.telemetry.asked_anew();
        if let Some(report) = &self.reported {
            self.telemetry.links(report.links(), &self.gateways.unreachable());
        }
        let started = Instant::now();
        let steps = match self.kernel.observe_next_hops() {
            Ok(now) => {
                let forget_flows = self.forget_flows.as_ref();
                failover(self.gateways.carriers(), self.gateways.dead(), &now, forget_flows)
            }
            Err(error) => {
                tracing::error!(%error, "groups of gateways cannot be read");
                return true;
            }
        };
        let took_us = |from: Instant| from.elapsed().as_micros() as u64;
        match self.kernel.apply(&steps) {
            Ok(()) if steps.is_empty() => {}
            Ok(()) => {
                self.telemetry.failed_over();
                tracing::info!(steps = steps.len(), took_us = took_us(started), "groups of gateways changed")
            }
            // The pass that follows puts groups right; flows that were not forgotten are after their time.
            Err(error) => tracing::error!(%error, "groups of gateways are not as they should be"),
        }
        true
    }

    /// Tells round-trip times and losses, if there are others to tell.
    fn look_at_quality(&mut self) {
        if self.quality.look(&self.gateways.tallies(), Instant::now())
            && let Some(report) = &mut self.reported
        {
            report.tell(&self.quality);
            self.source.report(report.clone());
        }
    }

    /// Makes the kernel as it should be, and says how long to wait for the next look at most.
    fn pass(&mut self, drift: &Drift) -> Duration {
        let basis = self.last_known.basis(&self.source);
        if let Basis::Wait(rest) = basis {
            return rest;
        }
        if matches!(self.source.known(), Known::Removed)
            && let Err(error) = self.last_known.forget()
        {
            tracing::warn!(%error, "a start without the API server would bring back what is removed now");
        }
        self.gateways.hear();
        let known = self.last_known.known(&self.source);
        let (goal, overlay) = match known {
            Known::Nothing => return SLOW,
            Known::Plan(inputs) => {
                (Goal::Plan(inputs, self.gateways.out_of_use()), Some(inputs.node().vtep.overlay))
            }
            Known::Removed => (Goal::Nothing, None),
        };
        let started = Instant::now();
        let mut result =
            match self.last_known.is_on_trial().then(|| loss(&mut self.kernel, goal, &self.restore)) {
                Some(Ok(Some(loss))) => {
                    self.last_known.contradicted(&loss);
                    return SLOW;
                }
                Some(Err(error)) => Err(error.into()),
                Some(Ok(None)) | None => converge(&mut self.kernel, goal, &mut self.restore),
            };
        self.telemetry.passed(&result, started.elapsed());
        self.trouble = obstacles(&result);
        if let Ok(pass) = &mut result {
            let (carriers, left_out) =
                (std::mem::take(&mut pass.carriers), std::mem::take(&mut pass.left_out));
            self.gateways.watch(carriers, left_out, overlay);
            self.forget_flows = pass.forget_flows.take();
        }
        if let Known::Plan(inputs) = known {
            self.telemetry.planned(inputs.links());
        }
        let mut report = Report::of(known, &result, self.gateways.verdict(), &self.gateways.cut_off());
        self.telemetry.links(report.links(), &self.gateways.unreachable());
        if basis == Basis::Source {
            self.quality.adopt(self.source.told_links());
            report.tell(&self.quality);
            self.reported = Some(report.clone());
            self.source.report(report);
        }
        match &result {
            Ok(_) => self.health.ready("kernel"),
            Err(error) => self.health.not_ready("kernel", error.to_string()),
        }
        match result {
            Ok(pass) => {
                self.failures = 0;
                if let Err(error) = drift.heed(&self.kernel, &pass.interests) {
                    tracing::warn!(%error, "changes of the kernel are noticed late");
                }
                log(pass);
                self.last_known.passed();
                self.finish_removal();
                SLOW
            }
            Err(error) => {
                let wait = (RETRY.0 * 2u32.saturating_pow(self.failures)).min(RETRY.1);
                self.failures = self.failures.saturating_add(1).min(16);
                tracing::error!(%error, retry_ms = wait.as_millis() as u64, "kernel is not as planned");
                wait
            }
        }
    }
}
