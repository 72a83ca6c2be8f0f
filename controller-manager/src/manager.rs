//! The loop: one owner of what is known, and any wake-up does the same work.

use std::collections::{BTreeMap, BTreeSet};
use std::convert::Infallible;
use std::time::Duration;

use causeway_api::{
    CausewayObject, Change, Cluster, ClusterLink, ClusterSpec, Diagnosis, Kind, NodeConfig, NodeCount,
    ObjectRef, peers_selector,
};
use causeway_daemon::Complaints;
use causeway_daemon::health::Health;
use causeway_discovery::{ClusterFindings, Cni, SourceId, impossible_services, sources, valid_range};
use causeway_kubernetes::{
    Client, Failures, Held, LeaseTrouble, Meter, Problem, Queue, Replica, RequestError, Selection, Update,
    Watches, Writer, dry_run_error,
};
use causeway_metrics::Metrics;
use causeway_metrics::catalogue::{MEMBER_NODES, QUEUE_FAILED, QUEUE_WAITING};
use causeway_model::{ClusterName, LinkPlan, Role, SHARED_NAMESPACE, cluster_namespace, needed_slices};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};

use crate::item::{Item, Rank};
use crate::member::{COPIED, MEMBER, Member, WatchId, resource};
use crate::news::Bulletin;
use crate::requests::{Ended, send};
use crate::resting::Resting;
use crate::view::View;

/// How many requests are under way at once at most.
const REQUESTS: usize = 32;
/// How many updates of the member are taken in at once at most.
const BATCH: usize = 2048;
/// In front of what is wrong with the hub's API server.
const HUB: &str = "hub: ";
/// How long until the API server is asked for its service CIDRs again.
const ASK: Duration = Duration::from_secs(30);

/// What comes from outside of the two API servers.
pub struct Signals {
    /// Whether this is the active one.
    pub activity: watch::Receiver<bool>,
    /// How asking for the Lease ended, each time that it was asked for.
    pub lease: mpsc::Receiver<Result<(), RequestError>>,
    /// New clients for the hub.
    pub clients: mpsc::Receiver<Client>,
}

/// Keeps hub and member as they should be.
pub struct Manager {
    name: ClusterName,
    namespace: String,
    hub: Replica,
    hub_writer: Writer,
    watches: Watches<WatchId>,
    watched: BTreeSet<SourceId>,
    member: Member,
    member_writer: Writer,
    held: Held,
    health: Health,
    metrics: Metrics,
    /// Of the member.
    meter: Meter,
    complaints: Complaints,
    bulletin: Bulletin,
    queue: Queue<Rank, Item>,
    requests: FuturesUnordered<BoxFuture<'static, Ended>>,
    /// Writes that failed, by whether they are at the hub and what they are of.
    failures: [Failures<Item>; 2],
    lease: LeaseTrouble,
    resting: Resting,
    found: Option<ClusterFindings>,
    cni: Option<Cni>,
    /// Whether what was found may be another.
    stale: bool,
    whole: bool,
    asking: Option<BoxFuture<'static, Vec<Option<String>>>>,
    /// Whether the last questions all had an answer.
    answered: bool,
    /// When the API server may be asked for its service CIDRs.
    ask_next: Option<Instant>,
    /// Whether roles or links may ask for other slices.
    reselect: bool,
}

impl Manager {
    /// Starts to watch.
    pub fn new(
        name: ClusterName,
        namespace: String,
        hub_writer: Writer,
        member_writer: Writer,
        held: Held,
        health: Health,
        metrics: Metrics,
    ) -> Manager {
        let mut hub = Replica::new(hub_writer.client().clone()).metered(Meter::new(metrics.clone(), "hub"));
        hub.select(Kind::Cluster, Selection { name: Some(name.to_string()), ..Selection::default() });
        let own = Selection { namespace: Some(cluster_namespace(&name)), ..Selection::default() };
        for kind in [Kind::ClusterNode, Kind::NodeConfig, Kind::ClusterLink] {
            hub.select(kind, own.clone());
        }
        hub.select_if_served(Kind::Diagnosis, own);
        let mut watches = Watches::new(member_writer.client().clone());
        let ids =
            COPIED.map(WatchId::Copies).into_iter().chain([WatchId::Nodes, WatchId::Resolve, WatchId::Asked]);
        for id in ids {
            watches.watch(id, &resource(id, &namespace));
        }
        health.not_ready("hub", "not read yet");
        let bulletin = Bulletin::new(member_writer.client().clone(), &namespace, held.clone());
        Manager {
            name,
            namespace,
            hub,
            hub_writer,
            watches,
            watched: BTreeSet::new(),
            member: Member::default(),
            member_writer,
            held,
            health,
            meter: Meter::new(metrics.clone(), "member"),
            metrics,
            complaints: Complaints::default(),
            bulletin,
            queue: Queue::default(),
            requests: FuturesUnordered::new(),
            failures: [Failures::default(), Failures::default()],
            lease: LeaseTrouble::default(),
            resting: Resting::default(),
            found: None,
            cni: None,
            stale: true,
            whole: false,
            asking: None,
            answered: true,
            ask_next: None,
            reselect: true,
        }
    }

    /// Works until it is dropped.
    pub async fn work(&mut self, mut signals: Signals) -> Infallible {
        loop {
            self.settle();
            self.start_requests();
            self.say();
            let may_ask = self.asking.is_none();
            let due = [
                self.queue.next_due(),
                self.resting.next_due(Instant::now()),
                self.ask_next.filter(|_| may_ask),
                self.bulletin.next_due(),
            ];
            // Nothing is due for one that stands by.
            let due = due.into_iter().flatten().min().filter(|_| self.held.is_held());
            let asking = async {
                match &mut self.asking {
                    Some(asking) => asking.await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changes = self.hub.changed() => self.hub_changed(&changes),
                (id, update) = self.watches.next() => {
                    let spec = spec(&self.hub, &self.name);
                    let mut items = self.member_changed(id, update, &spec);
                    for _ in 1..BATCH {
                        let Some((id, update)) = self.watches.ready() else { break };
                        items.extend(self.member_changed(id, update, &spec));
                    }
                    self.stale |= !items.is_empty();
                    self.open(items);
                }
                Some(ended) = self.requests.next() => self.finish(ended),
                answer = asking => self.answered(answer),
                () = self.bulletin.progress() => {}
                Ok(()) = signals.activity.changed() => self.activity_changed(*signals.activity.borrow_and_update()),
                Some(result) = signals.lease.recv() => self.lease.asked(result.as_ref().copied()),
                Some(client) = signals.clients.recv() => {
                    self.hub_writer = self.hub_writer.with_client(client.clone());
                    self.hub.reconnect(client);
                }
                () = async { sleep_until(due.unwrap_or_else(Instant::now)).await }, if due.is_some() => {}
            }
        }
    }

    fn member_changed(&mut self, id: WatchId, update: Update, spec: &ClusterSpec) -> Vec<Item> {
        if let Update::Trouble(trouble) = &update {
            self.meter.watch_failed(&resource(id, &self.namespace).plural, trouble);
        }
        if let Some(item) = Item::written_at_member(id, &update) {
            self.queue.heard(&item);
        }
        let tests_are_known =
            id == WatchId::Asked && matches!(update, Update::Complete) && !self.member.has(id);
        let mut items = self.member.take(id, update, spec);
        if tests_are_known {
            // Nothing could be decided about them before.
            let at_hub = self.hub.objects().all::<Diagnosis>().flat_map(|test| Item::of_hub(&test.key()));
            let copies = self.member.copies.keys().filter(|(kind, _)| *kind == Kind::Diagnosis);
            items.extend(at_hub.chain(copies.map(|(kind, name)| Item::Copy(*kind, name.clone()))));
        }
        items
    }

    /// The queue, and the nodes as the hub's Cluster has them.
    fn measure(&self) {
        self.metrics.set(&QUEUE_WAITING, &[], self.queue.depth() as f64);
        self.metrics.set(&QUEUE_FAILED, &[], self.queue.failures() as f64);
        let nodes = self.cluster().and_then(|cluster| cluster.status.as_ref()?.nodes.as_ref());
        if let Some(NodeCount { ready: Some(ready), total: Some(total) }) = nodes {
            let states = [("programmed", *ready), ("not_programmed", total - ready)];
            self.metrics.set_all(&MEMBER_NODES, states.map(|(state, count)| (state, count as f64)));
        }
    }

    fn open(&mut self, items: impl IntoIterator<Item = Item>) {
        for item in items {
            let gone = self.view(&now()).is_gone(&item);
            self.queue.add(item.rank(gone), item);
        }
    }

    /// Everything is to be looked at.
    fn open_all(&mut self) {
        let hub =
            self.hub.objects().iter().flat_map(|object| Item::of_hub(&object.key())).collect::<Vec<_>>();
        let copies = self.member.copies.keys().map(|(kind, name)| Item::Copy(*kind, name.clone()));
        let items: Vec<Item> = copies.chain(self.member.all_nodes()).chain(hub).collect();
        self.open(items);
    }

    fn hub_changed(&mut self, changes: &[Change]) {
        // That a watch is complete is told without a change.
        self.reselect |= changes.is_empty();
        for change in changes {
            self.bulletin.handle(change, Instant::now());
            let key = change.key();
            if let Some(item) = Item::written_at_hub(&key) {
                self.queue.heard(&item);
            }
            self.reselect |= matches!(key.kind, Kind::NodeConfig | Kind::ClusterLink);
            if key.kind == Kind::Cluster {
                // Its spec may ask for other sources, labels and addresses.
                self.stale = true;
                self.open(self.member.all_nodes());
            }
            self.open(Item::of_hub(&key));
        }
    }

    fn activity_changed(&mut self, active: bool) {
        // Nothing that was begun under a Lease that is lost goes on.
        self.requests.clear();
        self.queue = Queue::default();
        self.resting.clear();
        self.failures = [Failures::default(), Failures::default()];
        if active {
            self.bulletin.begin(self.found.as_ref());
            self.open_all();
        }
    }

    /// Brings up to date what follows from what is known.
    fn settle(&mut self) {
        self.watch_sources();
        self.select_slices();
        if self.stale {
            self.stale = false;
            let spec = spec(&self.hub, &self.name);
            let (found, cni) = (self.member.found.cluster(&spec), self.member.found.cni(&spec));
            if (found.is_some(), &cni) != (self.found.is_some(), &self.cni) {
                self.open(self.member.all_nodes());
            }
            if found != self.found {
                // Others route by what was found: that does not wait as a sum does.
                self.resting.wake(&Item::ClusterStatus);
                self.open([Item::ClusterStatus]);
                if let Some(after) = &found {
                    self.bulletin.found(self.found.as_ref(), after);
                }
            }
            let lacks_services = found.as_ref().is_some_and(|found| found.service_cidrs.is_empty());
            (self.found, self.cni) = (found, cni);
            // One family may have an answer before the other.
            let asks = lacks_services || !self.answered;
            self.ask_next = self.ask_next.or(Some(Instant::now())).filter(|_| asks);
        }
        if self.asking.is_none()
            && self.held.is_held()
            && self.ask_next.is_some_and(|at| at <= Instant::now())
        {
            self.ask_next = Some(Instant::now() + ASK);
            self.asking = Some(ask_for_services(self.member_writer.client().clone(), self.namespace.clone()));
        }
        let whole = self.hub.is_complete() && self.hub.has(Kind::PeerSlice) && self.member.has_copies();
        if whole && !self.whole {
            self.open_all();
        }
        self.whole = whole;
    }

    /// Watches the sources of CIDRs that the Cluster asks for, once it is known.
    fn watch_sources(&mut self) {
        if self.cluster().is_none() {
            return;
        }
        let spec = spec(&self.hub, &self.name);
        let cni = spec.cni.and_then(|cni| cni.type_).and_then(|choice| choice.get());
        let wanted: BTreeSet<SourceId> =
            sources(cni.unwrap_or(causeway_api::CniType::Auto)).iter().map(|source| source.id).collect();
        for id in self.watched.difference(&wanted) {
            self.watches.forget(&WatchId::Source(*id));
        }
        for id in wanted.difference(&self.watched) {
            let id = WatchId::Source(*id);
            self.watches.watch(id, &resource(id, &self.namespace));
        }
        self.watched = wanted;
    }

    /// Reads the slices that any node of this cluster needs.
    fn select_slices(&mut self) {
        let read = self.hub.has(Kind::ClusterLink) && self.hub.has(Kind::NodeConfig);
        if !read || !std::mem::take(&mut self.reselect) {
            return;
        }
        let links: Vec<LinkPlan> = self
            .hub
            .objects()
            .all::<ClusterLink>()
            .filter_map(|link| causeway_api::link_plan(link).ok().map(|read| read.value))
            .collect();
        let mut roles: BTreeMap<Role, _> = BTreeMap::new();
        for config in self.hub.objects().all::<NodeConfig>() {
            if let Some(role) = config.spec.role.get()
                && !roles.contains_key(&role)
                && let Ok(read) = causeway_api::node_plan(config)
            {
                roles.insert(role, read.value.id);
            }
        }
        let need: BTreeSet<_> =
            roles.iter().flat_map(|(role, id)| needed_slices(id, *role, &links)).collect();
        let labels = Some(peers_selector(&need));
        let namespace = Some(SHARED_NAMESPACE.to_owned());
        self.hub.select(Kind::PeerSlice, Selection { namespace, labels, ..Selection::default() });
    }

    fn cluster(&self) -> Option<&Cluster> {
        self.hub.objects().get_as(&ObjectRef::cluster(&self.name))
    }

    fn view<'a>(&'a self, now: &'a Time) -> View<'a> {
        View {
            name: &self.name,
            namespace: &self.namespace,
            hub: self.hub.objects(),
            hub_complete: self.hub.is_complete() && self.hub.has(Kind::PeerSlice),
            member: &self.member,
            found: self.found.as_ref(),
            cni: self.cni.as_ref(),
            now,
        }
    }

    fn start_requests(&mut self) {
        let now = now();
        while self.requests.len() < REQUESTS && self.held.is_held() {
            let resting = &self.resting;
            let at = Instant::now();
            let Some(item) = self.queue.next(at, |item| resting.may(item, at)) else { return };
            self.take_note(&item, &now, at);
            match self.view(&now).action(&item) {
                Some(action) => {
                    let (hub, member) = (self.hub_writer.clone(), self.member_writer.clone());
                    let held = self.held.clone();
                    self.requests.push(send(hub, member, held, item, action));
                }
                None => {
                    // It is as it should be by now, whatever failed before.
                    self.failures.iter_mut().for_each(|failures| failures.ended(&item, Ok(())));
                    self.queue.fine(&item);
                }
            }
        }
    }

    /// What is to be told of an item besides what is written of it.
    fn take_note(&mut self, item: &Item, now: &Time, at: Instant) {
        match item {
            Item::ClusterStatus => {
                if let Some(troubles) = self.view(now).troubles() {
                    self.bulletin.troubles(troubles, at);
                }
            }
            Item::Copy(Kind::ClusterLink, remote) => {
                let copy = self.member.copies.get(&(Kind::ClusterLink, remote.clone()));
                self.bulletin.copied(remote, copy.and_then(|copy| copy.uid.clone()));
            }
            _ => {}
        }
    }

    fn finish(&mut self, (place, item, result): Ended) {
        let at = Instant::now();
        match result {
            Ok(()) => {
                if item.is_sum() {
                    self.resting.written(&item, at);
                }
                self.queue.written(&item, at);
            }
            Err(_) => self.queue.failed(&item, at),
        }
        self.failures[place as usize].ended(&item, result);
    }

    fn answered(&mut self, answers: Vec<Option<String>>) {
        self.asking = None;
        self.answered = answers.iter().all(Option::is_some);
        for error in answers.into_iter().flatten() {
            let ranges = valid_range(&error);
            if ranges.is_empty() {
                self.member.found.unavailable(SourceId::ServiceError, &error);
            } else {
                // Each answer names ranges of one family, and maybe not all: they add up.
                let name = format!("{ranges:?}");
                self.member.found.applied(SourceId::ServiceError, &name, &Value::String(error));
            }
        }
        self.stale = true;
    }

    fn say(&mut self) {
        self.measure();
        let mut hub = self.hub.problems(HUB);
        let troubled = self.hub.is_troubled();
        self.bulletin.hub(hub.first().filter(|_| troubled).map(|first| first.text.as_str()), Instant::now());
        let mut member = self.member.problems();
        let absent = self.hub.has(Kind::Cluster) && self.cluster().is_none();
        hub.extend(absent.then(|| {
            let name = &self.name;
            format!("{HUB}there is no Cluster {name}; nothing is changed here until there is one").into()
        }));
        self.lease.add_to(MEMBER, &mut member);
        let tell = |check: &'static str, problems: &[Problem], read: bool| match (problems.first(), read) {
            (Some(_), _) => self.health.not_ready(check, texts(problems)),
            (None, false) => self.health.not_ready(check, "not read yet"),
            (None, true) => self.health.ready(check),
        };
        tell("hub", &hub, self.hub.is_complete());
        tell("member", &member, self.member.has_copies() && self.member.has(WatchId::Nodes));
        match self.lease.error() {
            Some(error) => self.health.not_ready("lease", error.to_string()),
            None => self.health.ready("lease"),
        }
        let [at_hub, at_member] = &self.failures;
        let writes = [at_hub.problems(HUB), at_member.problems(MEMBER)].concat();
        match self.queue.failures() {
            0 => self.health.ready("writes"),
            failed => {
                let text = format!("{failed} objects could not be written: {}", texts(&writes));
                self.health.not_ready("writes", text);
            }
        }
        self.complaints.say([hub, member, writes].concat());
    }
}

fn texts(problems: &[Problem]) -> String {
    problems.iter().map(|problem| problem.text.as_str()).collect::<Vec<_>>().join("; ")
}

fn spec(hub: &Replica, name: &ClusterName) -> ClusterSpec {
    let cluster: Option<&Cluster> = hub.objects().get_as(&ObjectRef::cluster(name));
    cluster.map(|cluster| cluster.spec.clone()).unwrap_or_default()
}

fn now() -> Time {
    Time(Timestamp::now())
}

fn ask_for_services(client: Client, namespace: String) -> BoxFuture<'static, Vec<Option<String>>> {
    async move {
        let mut answers = Vec::new();
        for service in impossible_services(&namespace) {
            answers.push(dry_run_error(&client, &service).await);
        }
        answers
    }
    .boxed()
}
