//! Planning a clusterset whose objects are in a directory.

use std::path::PathBuf;
use std::time::Duration;

use causeway_api::{NodeConfig, PeerSlice};
use causeway_objects::{Hint, Kind, ObjectRef, OpenError, Outcome, Store, Watcher, WriteError, Writer};
use tokio::time::timeout;

use crate::outputs::Output;
use crate::planning::Planning;
use crate::run::RunError;

/// How long until what could not be written is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Plans what is below `root` until asked to stop, or once.
///
/// # Errors
/// [`RunError`] if it cannot work at all; what may pass is logged and tried again.
pub async fn run(root: PathBuf, once: bool) -> Result<(), RunError> {
    let mut directory = Directory::open(root.clone())?;
    if once {
        let round = directory.round();
        directory.log(round);
        let findings = directory.planning.findings().count() + directory.unreadable();
        let incomplete = RunError::Incomplete { findings, failed: round.failed };
        return if findings == 0 && round.failed == 0 { Ok(()) } else { Err(incomplete) };
    }
    let mut watcher = Watcher::new(&root)?;
    // What changed between the reading and the watch.
    directory.refresh(&Hint::Everything);
    let stop = causeway_daemon::stop_requested();
    tokio::pin!(stop);
    loop {
        if directory.has_waited() {
            // What was not read then may hold facts and allocations: everything is read again.
            directory = Directory::open(root.clone())?;
        }
        let round = directory.round();
        directory.log(round);
        let wait = if round.failed == 0 { Duration::MAX } else { RETRY };
        tokio::select! {
            result = &mut stop => return result.map_err(|error| RunError::System("signals", error)),
            hint = timeout(wait, watcher.changed()) => {
                if let Ok(hint) = hint {
                    directory.refresh(&hint);
                }
            }
        }
    }
}

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Round {
    /// Objects and statuses written.
    written: usize,
    /// Objects and statuses removed.
    removed: usize,
    /// Objects that could not be written or removed; they are tried again.
    failed: usize,
}

struct Directory {
    store: Store,
    writer: Writer,
    planning: Planning,
    /// Whether nothing is planned yet, since facts or allocations of earlier plans may be missing.
    waiting: bool,
}

impl Directory {
    /// Reads what is below `root`: facts, and the allocations of earlier plans.
    fn open(root: PathBuf) -> Result<Directory, OpenError> {
        let store = Store::open(&root)?;
        let planning = Planning::new(store.objects());
        let mut directory = Directory { store, writer: Writer::new(root), planning, waiting: false };
        // Unknown is not gone: a plan that was made with more than can be read now stays as it is.
        directory.waiting = directory.unreadable() > 0 && directory.has_plans();
        if directory.waiting {
            tracing::warn!("plans stay as they are until every document can be read");
        }
        Ok(directory)
    }

    /// Whether it waited for what could not be read, see [`Directory::round`], and now can read it: then
    /// it is to be opened anew.
    fn has_waited(&self) -> bool {
        self.waiting && self.unreadable() == 0
    }

    /// How many documents cannot be read.
    fn unreadable(&self) -> usize {
        self.store.problems().iter().filter(|problem| !problem.cause.is_warning()).count()
    }

    fn has_plans(&self) -> bool {
        self.store.all::<NodeConfig>().next().is_some() || self.store.all::<PeerSlice>().next().is_some()
    }

    /// Takes in what changed where `hint` says.
    fn refresh(&mut self, hint: &Hint) {
        let changes = self.store.refresh_hinted(hint);
        self.planning.handle(&changes);
    }

    /// Plans, and writes what differs. After a start on a directory that holds plans and documents that
    /// cannot be read, nothing is written until they can: what they hold is in those plans.
    fn round(&mut self) -> Round {
        let problems = self.store.problems();
        let problems = problems.iter().map(ToString::to_string);
        if self.waiting {
            self.planning.say_problems(problems);
            return Round::default();
        }
        self.planning.plan();
        self.planning.say_problems(problems);
        let hold = self.facts_may_be_missing();
        let mut round = Round::default();
        for key in self.planning.take_open() {
            match self.settle(&key, hold) {
                Ok(Settled::Unchanged) => {}
                Ok(Settled::Written) => round.written += 1,
                Ok(Settled::Removed) => round.removed += 1,
                Ok(Settled::Held) => self.planning.reopen(key),
                Err(error) => {
                    tracing::error!(object = %key, error = &error as &dyn std::error::Error, "not written; trying again");
                    round.failed += 1;
                    self.planning.reopen(key);
                }
            }
        }
        round
    }

    fn settle(&self, key: &ObjectRef, hold: bool) -> Result<Settled, WriteError> {
        let (outcome, settled) = match self.planning.wanted(key, self.store.objects()) {
            Output::Whole(object) => (self.writer.write(&object)?, Settled::Written),
            Output::Status(object) => (self.writer.write_status(&object)?, Settled::Written),
            Output::NoStatus => (self.writer.remove_status(key)?, Settled::Removed),
            Output::NotOurs => return Ok(Settled::Unchanged),
            Output::Absent if hold => return Ok(Settled::Held),
            Output::Absent => (self.writer.remove(key)?, Settled::Removed),
        };
        Ok(if outcome == Outcome::Changed { settled } else { Settled::Unchanged })
    }

    /// Whether a document that cannot be read may hold facts. What it said before this program started
    /// is not known then, and unknown is not gone: plans are not removed.
    fn facts_may_be_missing(&self) -> bool {
        self.store.problems().iter().any(|problem| {
            let plan =
                |key: &ObjectRef| matches!(key.kind, Kind::NodeConfig | Kind::ClusterLink | Kind::PeerSlice);
            !problem.cause.is_warning() && !problem.object.as_ref().is_some_and(plan)
        })
    }

    fn log(&self, Round { written, removed, failed }: Round) {
        if written + removed + failed > 0 {
            let (nodes, links, slices) = self.planning.size();
            tracing::info!(nodes, links, slices, written, removed, failed, "planned");
        }
    }
}

enum Settled {
    Unchanged,
    Written,
    Removed,
    Held,
}
