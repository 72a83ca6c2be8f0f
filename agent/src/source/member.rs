//! An agent's objects at the API server of its own cluster: one NodeConfig, the ClusterLinks, by label just
//! the PeerSlices that the node's role needs, and the ClusterNode in which it may be asked for its addresses.

use std::time::Duration;

use causeway_api::{
    CausewayObject, Change, Diagnosis, DiagnosisStatus, Kind, NodeConfig, Object, ObjectRef, StatusWriter,
    own_status, peers_selector,
};
use causeway_daemon::Complaints;
use causeway_daemon::health::Health;
use causeway_kubernetes::{Client, Failures, Meter, Problem, Replica, RequestError, Selection, Writer};
use causeway_metrics::Metrics;
use causeway_model::NodeName;
use futures::future::{BoxFuture, FutureExt};
use serde_json::Value;
use tokio::time::{Instant, sleep_until};

use crate::plans::{Known, Need, Plans};
use crate::report::Report;
use crate::source::asking::Asking;
use crate::source::underlay::Underlay;

/// The name under which fields are owned.
const MANAGER: &str = "causeway-agent";
/// Statuses of many nodes that change for the same reason are spread over this time.
const SPREAD: Duration = Duration::from_millis(1000);
/// First and longest wait until a status that could not be written is tried again.
const RETRY: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));

/// A status that was written, and how that ended.
type Told = (ObjectRef, Value, Result<(), RequestError>);

/// Reads an agent's objects from an API server.
pub struct Member {
    replica: Replica,
    writer: Writer,
    health: Health,
    namespace: String,
    /// What is known whole.
    plans: Plans,
    /// Role and links as they were last said: which slices will be needed.
    ahead: Plans,
    /// What was said since the plans were last whole.
    pending: Vec<Change>,
    complaints: Complaints,
    status: Status,
    failures: Failures<ObjectRef>,
    underlay: Underlay,
    asking: Asking,
    /// Whether everything was read at least once.
    heard: bool,
}

/// The status that is to be written.
#[derive(Default)]
struct Status {
    report: Option<Report>,
    /// What was written last, until it is seen.
    written: Option<Value>,
    due: Option<Instant>,
    under_way: Option<BoxFuture<'static, Told>>,
}

impl Member {
    /// Starts to watch the objects of `node` in `namespace`.
    pub fn new(
        client: Client,
        namespace: &str,
        node: &NodeName,
        health: Health,
        metrics: &Metrics,
    ) -> Member {
        let meter = Meter::new(metrics.clone(), "member");
        let mut replica = Replica::passing_on(client.clone()).metered(meter.clone());
        let here = Selection { namespace: Some(namespace.to_owned()), ..Selection::default() };
        for kind in [Kind::NodeConfig, Kind::ClusterNode] {
            replica.select(kind, Selection { name: Some(node.to_string()), ..here.clone() });
        }
        replica.select(Kind::ClusterLink, here);
        health.not_ready("plan", "not read yet");
        Member {
            replica,
            writer: Writer::new(client, MANAGER).metered(meter),
            health,
            namespace: namespace.to_owned(),
            plans: Plans::default(),
            ahead: Plans::default(),
            pending: Vec::new(),
            complaints: Complaints::default(),
            status: Status::default(),
            failures: Failures::default(),
            underlay: Underlay::default(),
            asking: Asking::default(),
            heard: false,
        }
    }

    /// The plans as they are known.
    pub fn plans(&self) -> &Plans {
        &self.plans
    }

    /// See [`crate::source::Source::has_told`].
    pub fn has_told(&self) -> bool {
        // A config that is there and says nothing usable.
        let waiting = |config: &NodeConfig| config.metadata.deletion_timestamp.is_none();
        let unclear = self.replica.has_unusable() || self.plans.config().is_some_and(waiting);
        self.heard && !(unclear && matches!(self.plans.known(), Known::Nothing))
    }

    /// See [`crate::source::Source::cleaned_up`].
    pub fn cleaned_up(&mut self) {
        self.plans.cleaned_up();
        self.ahead.cleaned_up();
    }

    /// See [`crate::source::Source::report`].
    pub fn report(&mut self, report: Report) {
        self.status.report = Some(report);
        self.schedule();
    }

    /// See [`crate::source::Source::asked`].
    pub fn asked(&self) -> Option<&Diagnosis> {
        self.asking.asked()
    }

    /// See [`crate::source::Source::answer`].
    pub fn answer(&mut self, status: DiagnosisStatus) {
        self.asking.answer(&self.writer, status);
    }

    /// See [`crate::source::Source::changed`].
    pub async fn changed(&mut self) -> bool {
        loop {
            self.start_writing();
            let Status { due, under_way, .. } = &mut self.status;
            let due = *due;
            let writing = async {
                match under_way {
                    Some(writing) => writing.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changes = self.replica.changed() => {
                    if self.take(changes) {
                        return true;
                    }
                }
                (key, status, result) = writing => {
                    self.wrote(&key, status, result);
                    self.say_problems();
                }
                () = self.underlay.progress(&self.writer) => self.say_problems(),
                // Nothing of the plan changed, but there is something to test.
                () = self.asking.changed() => return false,
                () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {}
            }
        }
    }

    /// Takes in what was said. Returns whether what is known changed.
    fn take(&mut self, changes: Vec<Change>) -> bool {
        for change in &changes {
            if change.key().kind != Kind::PeerSlice {
                self.ahead.handle(change);
            }
            self.underlay.handle(change);
            self.asking.handle(change, &self.writer);
        }
        self.pending.extend(changes);
        self.say_problems();
        let (config, links) = (self.replica.has(Kind::NodeConfig), self.replica.has(Kind::ClusterLink));
        if !(config && links) {
            return false;
        }
        self.ahead.settle();
        if let Some(need) = self.ahead.need() {
            // The new slices are read before anything that needs them counts.
            self.replica.select(Kind::PeerSlice, self.selection(&need));
        }
        if !self.replica.is_complete() {
            return false;
        }
        for change in self.pending.drain(..) {
            if change.key().kind == Kind::NodeConfig {
                self.status.written = None;
            }
            self.plans.handle(&change);
        }
        // That there is nothing is news too, the first time.
        let changed = self.plans.settle() | !self.heard;
        self.heard = true;
        self.schedule();
        changed
    }

    fn selection(&self, need: &Need) -> Selection {
        let labels = Some(peers_selector(need));
        Selection { namespace: Some(self.namespace.clone()), labels, ..Selection::default() }
    }

    fn say_problems(&mut self) {
        let mut problems = self.replica.problems("");
        let texts = |problems: &[Problem]| {
            problems.iter().map(|problem| problem.text.clone()).collect::<Vec<_>>().join("; ")
        };
        // A node that takes no part has no NodeConfig, and nothing is wrong with it.
        if !problems.is_empty() {
            self.health.not_ready("plan", texts(&problems));
        } else if self.replica.is_complete() {
            self.health.ready("plan");
        }
        let writes = [self.failures.problems(""), self.underlay.problems()].concat();
        match writes.is_empty() {
            true => self.health.ready("status"),
            false => self.health.not_ready("status", texts(&writes)),
        }
        problems.extend(writes);
        problems.extend(self.plans.complaints().cloned().map(Problem::from));
        self.complaints.say(problems);
    }

    /// The status that should be, if it is not.
    fn missing_status(&self) -> Option<(ObjectRef, Value)> {
        let config = self.plans.config()?;
        let report = self.status.report.as_ref()?;
        let wanted = NodeConfig { status: Some(report.status(config)), ..config.clone() };
        let key = wanted.key();
        let wanted = own_status(&Object::NodeConfig(wanted), StatusWriter::Agent);
        let there = match &self.status.written {
            Some(written) => written.clone(),
            None => own_status(&Object::NodeConfig(config.clone()), StatusWriter::Agent),
        };
        (wanted != there).then_some((key, wanted))
    }

    /// Sees to it that a status that differs is written soon: not at once, since what changes on this
    /// node often changes on all.
    fn schedule(&mut self) {
        if self.status.due.is_none() && self.status.under_way.is_none() && self.missing_status().is_some() {
            self.status.due = Some(Instant::now() + self.spread());
        }
    }

    /// Different for each node and each time.
    fn spread(&self) -> Duration {
        let nanos = u64::from(
            std::time::SystemTime::now()
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default()
                .subsec_nanos(),
        );
        let name = self.plans.config().and_then(|config| config.metadata.name.as_deref()).unwrap_or_default();
        let seed = name.bytes().fold(nanos, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
        Duration::from_millis(seed % u64::try_from(SPREAD.as_millis()).unwrap_or(1))
    }

    fn start_writing(&mut self) {
        if self.status.under_way.is_some() || self.status.due.is_none_or(|due| due > Instant::now()) {
            return;
        }
        self.status.due = None;
        let Some((key, status)) = self.missing_status() else {
            // Nothing is to be written any more that could fail.
            self.failures = Failures::default();
            return;
        };
        let writer = self.writer.clone();
        let write = async move {
            let result = writer.apply_status(&key, &status).await;
            (key, status, result)
        };
        self.status.under_way = Some(write.boxed());
    }

    fn wrote(&mut self, key: &ObjectRef, status: Value, result: Result<(), RequestError>) {
        self.status.under_way = None;
        if result.is_ok() {
            self.status.written = Some(status);
            self.schedule();
        } else {
            let failed = self.failures.count(key);
            let wait = (RETRY.0 * 2u32.saturating_pow(failed.min(16))).min(RETRY.1);
            self.status.due = Some(Instant::now() + wait);
        }
        self.failures.ended(key, result);
    }
}
