//! The agent's loop: one owner of the state, and any wake-up does the same work.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use causeway_dataplane::KernelError;
use causeway_dataplane::netlink::LinuxKernel;
use causeway_model::NodeId;
use causeway_objects::{Hint, Watcher};
use tokio::time::{Instant, sleep_until};

use crate::args::{CleanupArgs, RunArgs};
use crate::converge::{ConvergeError, Goal, Pass, converge, preview};
use crate::drift::{Drift, Interests};
use crate::inputs::{Known, Source};
use crate::report;
use crate::restore::Restore;

/// How often the kernel is looked at though nothing was notified: the safety net.
const SLOW: Duration = Duration::from_secs(60);
/// First and longest wait before a pass that failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// Why the agent does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Flags are missing.
    #[error("--objects, --cluster and --node are needed")]
    Usage,
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
        "there is no usable NodeConfig for {0} in {1}; nothing was changed. Is network-manager running, and are cluster and node named right?"
    )]
    NoPlan(NodeId, PathBuf),
    /// The state directory or a notification socket failed.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

impl RunError {
    /// Whether the command line or the directory that it names is at fault.
    pub fn is_input(&self) -> bool {
        matches!(self, RunError::Usage | RunError::Objects(_))
    }
}

/// Runs until asked to stop, or once. Stopping leaves the kernel as it is.
///
/// # Errors
/// [`RunError`] if the agent cannot work at all; what may pass is logged and tried again.
pub async fn run(args: RunArgs) -> Result<(), RunError> {
    let (objects, id) = args.source().ok_or(RunError::Usage)?;
    let mut source = Source::open(objects.clone(), id.clone())?;
    let mut restore = open_restore(&args.state_dir)?;
    let mut kernel = LinuxKernel::open(causeway_dataplane::desired::sysctls::all([]))?;
    if args.once || args.dry_run {
        let Known::Plan(inputs) = source.known() else { return Err(RunError::NoPlan(id, objects)) };
        if args.dry_run {
            return print_steps(&mut kernel, Goal::Plan(inputs), &restore);
        }
        let result = converge(&mut kernel, Goal::Plan(inputs), &mut restore);
        write_status(&objects, &source, &result);
        log(result?);
        return Ok(());
    }
    let watcher = Watcher::new(&objects)?;
    // What changed between the reading and the watch.
    source.refresh(&Hint::Everything)?;
    Agent { objects, watcher, source, restore, kernel, failures: 0 }.run().await
}

/// Removes everything of ours.
///
/// # Errors
/// [`RunError`] if something of it is left.
pub fn cleanup(args: &CleanupArgs) -> Result<(), RunError> {
    let mut restore = open_restore(&args.state_dir)?;
    let mut kernel = LinuxKernel::open(causeway_dataplane::desired::sysctls::all([]))?;
    if args.dry_run {
        return print_steps(&mut kernel, Goal::Nothing, &restore);
    }
    log(converge(&mut kernel, Goal::Nothing, &mut restore)?);
    restore.forget().map_err(|error| RunError::System("state directory", error))
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
    if pass.steps > 0 {
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

fn write_status(objects: &std::path::Path, source: &Source, result: &Result<Pass, ConvergeError>) {
    let Some(config) = source.config() else { return };
    if let Err(error) = report::write_status(objects, config, result) {
        tracing::warn!(%error, "status not written");
    }
}

struct Agent {
    objects: PathBuf,
    watcher: Watcher,
    source: Source,
    restore: Restore,
    kernel: LinuxKernel,
    failures: u32,
}

/// Why the loop woke up.
enum Wake {
    Stop,
    Objects(Hint),
    Kernel,
    Timer,
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
            let wake = tokio::select! {
                result = &mut stop => match result {
                    Ok(()) => Wake::Stop,
                    Err(error) => return Err(RunError::System("signals", error)),
                },
                hint = self.watcher.changed() => Wake::Objects(hint),
                result = drift.seen() => match result {
                    Ok(()) => Wake::Kernel,
                    Err(error) => return Err(error.into()),
                },
                () = sleep_until(next) => Wake::Timer,
            };
            match wake {
                Wake::Stop => return Ok(()),
                Wake::Objects(hint) => match self.source.refresh(&hint) {
                    Ok(true) => {}
                    Ok(false) => continue,
                    Err(error) => {
                        tracing::warn!(%error, "objects cannot be read; the last known plan stays in force");
                        continue;
                    }
                },
                Wake::Kernel | Wake::Timer => {}
            }
            next = Instant::now() + self.pass(&drift);
        }
    }

    /// A node that takes part no more is done once nothing of it is left: from then on its host's
    /// settings are its administrator's.
    fn finish_removal(&mut self) {
        if matches!(self.source.known(), Known::Removed) {
            match self.restore.forget() {
                Ok(()) => self.source.forget(),
                Err(error) => tracing::warn!(%error, "original sysctls not forgotten"),
            }
        }
    }

    /// Makes the kernel as it should be, and says how long to wait for the next look at most.
    fn pass(&mut self, drift: &Drift) -> Duration {
        let goal = match self.source.known() {
            Known::Nothing => return SLOW,
            Known::Plan(inputs) => Goal::Plan(inputs),
            Known::Removed => Goal::Nothing,
        };
        let result = converge(&mut self.kernel, goal, &mut self.restore);
        write_status(&self.objects, &self.source, &result);
        match result {
            Ok(pass) => {
                self.failures = 0;
                if let Err(error) = drift.heed(&self.kernel, &pass.interests) {
                    tracing::warn!(%error, "changes of the kernel are noticed late");
                }
                log(pass);
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
