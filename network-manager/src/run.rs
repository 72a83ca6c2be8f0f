//! The network manager's loop: any wake-up does the same work.

use std::io;
use std::time::Duration;

use causeway_objects::{Hint, OpenError, WatchError, Watcher};
use tokio::time::timeout;

use crate::args::Cli;
use crate::manager::{Manager, Round};

/// How long until what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Why the network manager does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The objects cannot be read.
    #[error(transparent)]
    Objects(#[from] OpenError),
    /// The objects cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// `--once` ended with something refused or not written.
    #[error("{findings} findings, {failed} objects not written; see above")]
    Incomplete {
        /// How much was refused.
        findings: usize,
        /// How much could not be written.
        failed: usize,
    },
    /// The system refused something.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

impl RunError {
    /// Whether the directory that the command line names is at fault.
    pub fn is_input(&self) -> bool {
        matches!(self, RunError::Objects(_))
    }
}

/// Runs until asked to stop, or once.
///
/// # Errors
/// [`RunError`] if it cannot work at all; what may pass is logged and tried again.
pub async fn run(args: Cli) -> Result<(), RunError> {
    let mut manager = Manager::open(args.objects.clone())?;
    if args.once {
        let round = manager.round();
        log(&manager, round);
        let findings = manager.findings().count() + manager.unreadable();
        let incomplete = RunError::Incomplete { findings, failed: round.failed };
        return if findings == 0 && round.failed == 0 { Ok(()) } else { Err(incomplete) };
    }
    let mut watcher = Watcher::new(&args.objects)?;
    // What changed between the reading and the watch.
    manager.refresh(&Hint::Everything);
    let stop = causeway_daemon::stop_requested();
    tokio::pin!(stop);
    loop {
        if manager.has_waited() {
            // What was not read then may hold facts and allocations: everything is read again.
            manager = Manager::open(args.objects.clone())?;
        }
        let round = manager.round();
        log(&manager, round);
        let wait = if round.failed == 0 { Duration::MAX } else { RETRY };
        tokio::select! {
            result = &mut stop => return result.map_err(|error| RunError::System("signals", error)),
            hint = timeout(wait, watcher.changed()) => {
                if let Ok(hint) = hint {
                    manager.refresh(&hint);
                }
            }
        }
    }
}

fn log(manager: &Manager, Round { written, removed, failed }: Round) {
    if written + removed + failed > 0 {
        let (nodes, links, slices) = manager.size();
        tracing::info!(nodes, links, slices, written, removed, failed, "planned");
    }
}
