//! What the active network manager does: plans what changed, and brings the hub's objects up to the plan,
//! many at a time.

use std::collections::BTreeMap;
use std::convert::Infallible;

use causeway_api::{Change, Cluster, Object, ObjectRef};
use causeway_daemon::Complaints;
use causeway_daemon::health::Health;
use causeway_kubernetes::{Events, Failures, Held, News, Queue, Replica, RequestError, Writer, news};
use causeway_metrics::Metrics;
use causeway_metrics::catalogue::{
    FINDINGS, PLANNER_DURATION, PLANNER_EVENTS, PLANNER_OBJECTS, QUEUE_FAILED, QUEUE_WAITING,
};
use causeway_model::ClusterName;
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use tokio::time::{Instant, sleep_until};

use crate::hub::bulletin::Bulletin;
use crate::hub::rank::{Rank, rank};
use crate::hub::registration::Registrar;
use crate::hub::request::{Request, request};
use crate::hub::{MANAGER, report};
use crate::outputs::Output;
use crate::planning::Planning;

/// How many requests are under way at once at most.
const REQUESTS: usize = 32;

/// How a request ended.
type Written = (ObjectRef, Result<bool, RequestError>);

/// The active network manager.
pub struct Active<'a> {
    replica: &'a mut Replica,
    health: &'a Health,
    complaints: &'a mut Complaints,
    metrics: &'a Metrics,
    writer: Writer,
    events: Events,
    bulletin: Bulletin,
    held: Held,
    planning: Planning,
    queue: Queue<Rank, ObjectRef>,
    requests: FuturesUnordered<BoxFuture<'static, Written>>,
    failures: Failures<ObjectRef>,
    registrar: Registrar,
    /// Objects written since it was last told.
    written: usize,
    /// Whether it was told at all.
    told: bool,
    /// Whether something changed since it was last planned.
    stale: bool,
}

impl<'a> Active<'a> {
    /// Starts from what the replica holds, which has to be complete.
    pub fn new(
        replica: &'a mut Replica,
        health: &'a Health,
        complaints: &'a mut Complaints,
        metrics: &'a Metrics,
        writer: Writer,
        held: Held,
    ) -> Active<'a> {
        replica.objects().iter().for_each(|object| event(metrics, object.kind()));
        let planning = Planning::new(replica.objects());
        let registrar = Registrar::new(writer.clone(), held.clone());
        let events = Events::new(writer.client().clone(), MANAGER, "Plan");
        let mut bulletin = Bulletin::new(events.clone(), held.clone());
        replica.objects().iter().for_each(|object| bulletin.look(object, Instant::now()));
        Active {
            replica,
            health,
            complaints,
            metrics,
            events,
            bulletin,
            writer,
            held,
            planning,
            queue: Queue::default(),
            requests: FuturesUnordered::new(),
            failures: Failures::default(),
            registrar,
            written: 0,
            told: false,
            stale: true,
        }
    }

    /// Works until it is dropped.
    pub async fn work(mut self) -> Infallible {
        loop {
            self.plan();
            self.start_requests();
            self.bulletin.publish_due(self.replica.objects(), Instant::now());
            self.say();
            let due = self
                .queue
                .next_due()
                .into_iter()
                .chain(self.registrar.next_due())
                .chain(self.bulletin.next_due())
                .min()
                .filter(|_| self.held.is_held());
            tokio::select! {
                changes = self.replica.changed() => {
                    self.planning.handle(&changes);
                    self.stale |= !changes.is_empty();
                    for change in &changes {
                        let key = change.key();
                        event(self.metrics, key.kind);
                        self.queue.heard(&key);
                        self.bulletin.handle(change, Instant::now());
                    }
                    // Perhaps it went with its namespace.
                    changes.iter().filter_map(deleted).for_each(|of| self.registrar.suspect(&of));
                }
                Some((key, result)) = self.requests.next() => self.finish(&key, result),
                () = self.registrar.progress() => {}
                () = self.bulletin.progress() => {}
                () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {}
            }
            // What is ready by now is taken in before the next plan.
            while let Some(Some((key, result))) = self.requests.next().now_or_never() {
                self.finish(&key, result);
            }
        }
    }

    fn plan(&mut self) {
        let started = Instant::now();
        self.planning.plan();
        if std::mem::take(&mut self.stale) {
            self.metrics.observe(&PLANNER_DURATION, &[], started.elapsed().as_secs_f64());
            self.measure();
        }
        for key in self.planning.take_open() {
            self.queue.add(rank(&key, self.planning.is_planned(&key)), key);
        }
        let clusters: Vec<&Cluster> = self.replica.objects().all::<Cluster>().collect();
        let planning = &self.planning;
        self.registrar.look(&clusters, self.replica.objects(), |cluster| planning.has_anything_of(cluster));
    }

    /// What is planned, and what is refused.
    fn measure(&self) {
        let (nodes, links, slices) = self.planning.size();
        let sizes = [("NodeConfig", nodes), ("ClusterLink", links), ("PeerSlice", slices)];
        self.metrics.set_all(&PLANNER_OBJECTS, sizes.map(|(kind, count)| (kind, count as f64)));
        let mut reasons: BTreeMap<&str, f64> = BTreeMap::new();
        for finding in self.planning.findings() {
            *reasons.entry(finding.reason.as_str()).or_default() += 1.0;
        }
        self.metrics.set_all(&FINDINGS, reasons);
    }

    fn start_requests(&mut self) {
        while self.requests.len() < REQUESTS && self.held.is_held() {
            let registrar = &self.registrar;
            let may = |key: &ObjectRef| namespace_is_there(key, registrar);
            let Some(key) = self.queue.next(Instant::now(), may) else { return };
            let objects = self.replica.objects();
            let wanted = self.planning.wanted(&key, objects);
            let existing = objects.get(&key).map(|object| &**object);
            if matches!(wanted, Output::Absent) && existing.is_some() && self.replica.has_unusable() {
                // What cannot be read may be a fact that this follows from: unknown is not gone.
                self.queue.failed(&key, Instant::now());
                continue;
            }
            let tell = tell(&wanted, existing);
            match request(wanted, existing) {
                Some(request) => {
                    let events = self.events.clone();
                    self.requests.push(send(
                        self.writer.clone(),
                        events,
                        self.held.clone(),
                        key,
                        request,
                        tell,
                    ))
                }
                None => {
                    // It is as it should be by now, whatever failed before.
                    self.failures.ended(&key, Ok(()));
                    self.queue.fine(&key);
                }
            }
        }
    }

    fn finish(&mut self, key: &ObjectRef, result: Result<bool, RequestError>) {
        match result {
            Ok(true) => {
                self.written += 1;
                self.queue.written(key, Instant::now());
            }
            Ok(false) => self.queue.fine(key),
            Err(_) => self.queue.failed(key, Instant::now()),
        }
        self.failures.ended(key, result);
    }

    fn say(&mut self) {
        self.metrics.set(&QUEUE_WAITING, &[], self.queue.depth() as f64);
        self.metrics.set(&QUEUE_FAILED, &[], self.queue.failures() as f64);
        report(self.health, self.replica);
        let writes = [self.failures.problems(""), self.registrar.problems()].concat();
        let reasons: Vec<String> = writes.iter().map(|problem| problem.text.clone()).collect();
        let mut problems = self.replica.problems("");
        problems.extend(writes);
        self.complaints.say(problems);
        self.planning.say_findings();
        // Once also where nothing was to be written: all is known and as planned.
        if self.queue.is_idle() && (self.written > 0 || !self.told) {
            let (nodes, links, slices) = self.planning.size();
            tracing::info!(nodes, links, slices, written = self.written, "planned");
            self.written = 0;
            self.told = true;
        }
        match self.queue.failures() {
            0 if reasons.is_empty() => self.health.ready("writes"),
            0 => self.health.not_ready("writes", reasons.join("; ")),
            failed => {
                let text = format!("{failed} objects could not be written: {}", reasons.join("; "));
                self.health.not_ready("writes", text);
            }
        }
    }
}

/// Counts what the planner is told.
fn event(metrics: &Metrics, kind: causeway_api::Kind) {
    metrics.add(&PLANNER_EVENTS, &[kind.as_str()], 1);
}

/// In which cluster's namespace it is.
fn cluster(key: &ObjectRef) -> Option<ClusterName> {
    key.namespace.as_deref().and_then(|namespace| ClusterName::from_namespace(namespace).ok())
}

/// In which cluster's namespace something was deleted.
fn deleted(change: &Change) -> Option<ClusterName> {
    match change {
        Change::Deleted(key) => cluster(key),
        Change::Applied(_) => None,
    }
}

/// A cluster's namespace is made before anything is written in it.
fn namespace_is_there(key: &ObjectRef, registrar: &Registrar) -> bool {
    cluster(key).is_none_or(|cluster| registrar.has_namespace(&cluster))
}

/// What is to be told of an object that becomes as it is wanted. Links are left out: what keeps one from
/// working is told of the clusters and nodes that cause it.
fn tell(wanted: &Output, existing: Option<&Object>) -> Option<(Object, Vec<News>)> {
    let (Output::Status(object), Some(existing)) = (wanted, existing) else { return None };
    let news = news(existing.conditions(), object.conditions());
    (!news.is_empty()).then(|| (existing.clone(), news))
}

/// Sends a request; `false` if the Lease was lost before.
fn send(
    writer: Writer,
    events: Events,
    held: Held,
    key: ObjectRef,
    request: Request,
    tell: Option<(Object, Vec<News>)>,
) -> BoxFuture<'static, Written> {
    async move {
        if !held.is_held() {
            return (key, Ok(false));
        }
        let result = perform(&writer, &key, request).await;
        if let (Ok(()), Some((object, news))) = (&result, tell) {
            for news in &news {
                events.publish(&object, news).await;
            }
        }
        (key, result.map(|()| true))
    }
    .boxed()
}

async fn perform(writer: &Writer, key: &ObjectRef, request: Request) -> Result<(), RequestError> {
    match request {
        Request::Apply(object, status) => {
            writer.apply(&object).await?;
            match status {
                Some(status) => writer.apply_status(key, &status).await,
                None => Ok(()),
            }
        }
        Request::Status(status) => writer.apply_status(key, &status).await,
        Request::Delete(uid) => writer.delete(key, uid).await,
    }
}
