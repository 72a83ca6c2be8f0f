//! Facts in, plans out: reads objects, lets the planner decide, and writes what differs.

use std::collections::BTreeSet;
use std::path::PathBuf;

use causeway_api::{NodeConfig, PeerSlice};
use causeway_model::Finding;
use causeway_objects::{Change, Hint, Kind, ObjectRef, OpenError, Outcome, Store, WriteError, Writer};
use causeway_planner::Planner;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::facts::{Unread, adopted};
use crate::outputs::{Output, Outputs, touched};

/// What one round did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Round {
    /// Objects and statuses written.
    pub written: usize,
    /// Objects and statuses removed.
    pub removed: usize,
    /// Objects that could not be written or removed; they are tried again.
    pub failed: usize,
}

/// Plans a clusterset whose objects are in a directory.
pub struct Manager {
    store: Store,
    writer: Writer,
    planner: Planner,
    unread: Unread,
    outputs: Outputs,
    /// Objects that may not be as they should.
    open: BTreeSet<ObjectRef>,
    said: BTreeSet<String>,
    /// Whether nothing is planned yet, since facts or allocations of earlier plans may be missing.
    waiting: bool,
}

impl Manager {
    /// Reads what is below `root`: facts, and the allocations of earlier plans.
    ///
    /// # Errors
    /// [`OpenError`] if `root` cannot be read.
    pub fn open(root: PathBuf) -> Result<Manager, OpenError> {
        let store = Store::open(&root)?;
        let mut planner = Planner::new();
        adopted(&store).into_iter().for_each(|allocation| planner.adopt(allocation));
        let mut manager = Manager {
            store,
            writer: Writer::new(root),
            planner,
            unread: Unread::default(),
            outputs: Outputs::default(),
            open: BTreeSet::new(),
            said: BTreeSet::new(),
            waiting: false,
        };
        // Unknown is not gone: a plan that was made with more than can be read now stays as it is.
        manager.waiting = manager.unreadable() > 0 && manager.has_plans();
        if manager.waiting {
            tracing::warn!("plans stay as they are until every document can be read");
        }
        let all: Vec<Change> = manager.store.objects().cloned().map(Change::Applied).collect();
        manager.handle(&all);
        Ok(manager)
    }

    /// Whether it waited for what could not be read, see [`Manager::round`], and now can read it: then it
    /// is to be opened anew.
    pub fn has_waited(&self) -> bool {
        self.waiting && self.unreadable() == 0
    }

    /// How many documents cannot be read.
    pub fn unreadable(&self) -> usize {
        self.store.problems().iter().filter(|problem| !problem.cause.is_warning()).count()
    }

    fn has_plans(&self) -> bool {
        self.store.all::<NodeConfig>().next().is_some() || self.store.all::<PeerSlice>().next().is_some()
    }

    /// Takes in what changed where `hint` says.
    pub fn refresh(&mut self, hint: &Hint) {
        let changes = self.store.refresh_hinted(hint);
        self.handle(&changes);
    }

    /// Every change makes the object one to look at, whoever made it: plans that somebody edited are
    /// put right, and a status follows its object.
    fn handle(&mut self, changes: &[Change]) {
        for change in changes {
            let key = match change {
                Change::Applied(object) => object.key(),
                Change::Deleted(key) => key.clone(),
            };
            if let Some(event) = self.unread.event(change) {
                self.planner.handle(event);
            }
            self.open.insert(key);
        }
    }

    /// Plans, and writes what differs. After a start on a directory that holds plans and documents that
    /// cannot be read, nothing is written until they can: what they hold is in those plans.
    pub fn round(&mut self) -> Round {
        if self.waiting {
            self.say_problems();
            return Round::default();
        }
        let changes = self.planner.plan();
        self.open.extend(touched(&changes));
        self.outputs.plan.apply(changes);
        self.say_problems();
        let hold = self.facts_may_be_missing();
        let now = Time(Timestamp::now());
        let mut round = Round::default();
        for key in std::mem::take(&mut self.open) {
            match self.settle(&key, hold, &now) {
                Ok(Settled::Unchanged) => {}
                Ok(Settled::Written) => round.written += 1,
                Ok(Settled::Removed) => round.removed += 1,
                Ok(Settled::Held) => drop(self.open.insert(key)),
                Err(error) => {
                    tracing::error!(object = %key, error = &error as &dyn std::error::Error, "not written; trying again");
                    round.failed += 1;
                    self.open.insert(key);
                }
            }
        }
        round
    }

    fn settle(&self, key: &ObjectRef, hold: bool, now: &Time) -> Result<Settled, WriteError> {
        let (outcome, settled) = match self.outputs.wanted(key, &self.store, &self.unread, now) {
            Output::Whole(object) => (self.writer.write(&object)?, Settled::Written),
            Output::Status(object) => (self.writer.write_status(&object)?, Settled::Written),
            Output::NoStatus => (self.writer.remove_status(key)?, Settled::Removed),
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

    /// Everything that was refused or could not be read.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.unread.all().chain(self.outputs.plan.findings())
    }

    /// How many nodes, links and slices are planned.
    pub fn size(&self) -> (usize, usize, usize) {
        let plan = &self.outputs.plan;
        (plan.nodes.len(), plan.links.len(), plan.slices.len())
    }

    /// Says what is wrong, once.
    fn say_problems(&mut self) {
        let problems: BTreeSet<String> = self
            .store
            .problems()
            .iter()
            .map(ToString::to_string)
            .chain(self.findings().map(ToString::to_string))
            .collect();
        for problem in problems.difference(&self.said) {
            tracing::warn!("{problem}");
        }
        for problem in self.said.difference(&problems) {
            tracing::info!("no longer: {problem}");
        }
        self.said = problems;
    }
}

enum Settled {
    Unchanged,
    Written,
    Removed,
    Held,
}
