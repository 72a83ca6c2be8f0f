//! Any number of watches in one place. Whatever happens to the connection, each says in the end only:
//! this is so now, that is gone, and all has been said.

use std::collections::{BTreeMap, BTreeSet};
use std::future::poll_fn;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::stream::BoxStream;
use futures::{FutureExt, Stream, StreamExt};
use kube::core::{ApiResource, GroupVersionKind};
use kube_client::core::DynamicObject;
use kube_client::{Api, Client};
use kube_runtime::watcher::{self, Event};
use tokio::time::{Instant, Sleep, sleep};

use crate::Trouble;

/// First and longest wait before a watch that failed is started again.
const RETRY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(10));

/// How long troubles wait for those of watches that are still asked for their first answer: one cause makes
/// many of them fail, and is told once.
const GATHER: Duration = Duration::from_secs(1);

/// What to watch.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Resource {
    /// API group; empty for the core one.
    pub group: String,
    /// Version.
    pub version: String,
    /// Kind.
    pub kind: String,
    /// Plural, as in URLs.
    pub plural: String,
    /// Only objects of this namespace.
    pub namespace: Option<String>,
    /// No objects of this namespace.
    pub not_namespace: Option<String>,
    /// Only the object of this name.
    pub name: Option<String>,
    /// Only objects that this label selector takes.
    pub labels: Option<String>,
}

impl Resource {
    /// All objects of a kind.
    pub fn all(group: &str, version: &str, kind: &str, plural: &str) -> Resource {
        Resource {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            namespace: None,
            not_namespace: None,
            name: None,
            labels: None,
        }
    }

    pub(crate) fn api_resource(&self) -> ApiResource {
        let kind = GroupVersionKind::gvk(&self.group, &self.version, &self.kind);
        ApiResource::from_gvk_with_plural(&kind, &self.plural)
    }

    fn api(&self, client: Client) -> Api<DynamicObject> {
        match &self.namespace {
            Some(namespace) => Api::namespaced_with(client, namespace, &self.api_resource()),
            None => Api::all_with(client, &self.api_resource()),
        }
    }

    fn config(&self) -> watcher::Config {
        let mut config = watcher::Config::default();
        let name = self.name.iter().map(|name| format!("metadata.name={name}"));
        let others = self.not_namespace.iter().map(|not| format!("metadata.namespace!={not}"));
        let fields: Vec<String> = name.chain(others).collect();
        if !fields.is_empty() {
            config = config.fields(&fields.join(","));
        }
        if let Some(labels) = &self.labels {
            config = config.labels(labels);
        }
        config
    }
}

/// Namespace, where there is one, and name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ObjectName {
    /// Its namespace.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
}

impl ObjectName {
    pub(crate) fn of(object: &DynamicObject) -> ObjectName {
        ObjectName {
            namespace: object.metadata.namespace.clone(),
            name: object.metadata.name.clone().unwrap_or_default(),
        }
    }
}

/// What a watch says.
#[derive(Clone, Debug)]
pub enum Update {
    /// The object is so now.
    Applied(Box<DynamicObject>),
    /// The object is gone.
    Deleted(ObjectName),
    /// Everything that there is has been said, and what is gone was said to be gone.
    Complete,
    /// It cannot go on for now, and tries again by itself. What it said before may be out of date.
    Trouble(Trouble),
}

type Events = BoxStream<'static, Result<Event<DynamicObject>, watcher::Error>>;

/// One watch, which remembers what it spoke of.
struct Watch {
    /// Begins anew, with a list.
    begin: Box<dyn Fn() -> Events + Send>,
    events: Events,
    known: BTreeSet<ObjectName>,
    listed: BTreeSet<ObjectName>,
    /// Updates that are due before the next event.
    due: Vec<Update>,
    /// How often it failed since it last said something of the objects.
    failures: u32,
    /// The wait before it tries again.
    pause: Option<Pin<Box<Sleep>>>,
    /// Whether it has begun, and not yet said all or failed.
    listing: bool,
}

impl Watch {
    fn new(client: Client, resource: &Resource, known: BTreeSet<ObjectName>) -> Watch {
        let resource = resource.clone();
        let begin = move || watcher::watcher(resource.api(client.clone()), resource.config()).boxed();
        Watch::of(Box::new(begin), known)
    }

    fn of(begin: Box<dyn Fn() -> Events + Send>, known: BTreeSet<ObjectName>) -> Watch {
        let events = begin();
        Watch {
            begin,
            events,
            known,
            listed: BTreeSet::new(),
            due: Vec::new(),
            failures: 0,
            pause: None,
            listing: true,
        }
    }

    fn handle(&mut self, event: Result<Event<DynamicObject>, watcher::Error>) {
        // That it begins to list says nothing yet of whether it can.
        if !matches!(event, Ok(Event::Init) | Err(_)) {
            self.failures = 0;
        }
        match event {
            Ok(Event::Init) => self.listed.clear(),
            Ok(Event::InitApply(object)) => {
                self.listed.insert(ObjectName::of(&object));
                self.applied(object);
            }
            Ok(Event::InitDone) => {
                let gone: Vec<ObjectName> = self.known.difference(&self.listed).cloned().collect();
                self.known = std::mem::take(&mut self.listed);
                self.listing = false;
                // Taken from the end.
                self.due.push(Update::Complete);
                self.due.extend(gone.into_iter().map(Update::Deleted));
            }
            Ok(Event::Apply(object)) => self.applied(object),
            Ok(Event::Delete(object)) => {
                let name = ObjectName::of(&object);
                self.known.remove(&name);
                self.listed.remove(&name);
                self.due.push(Update::Deleted(name));
            }
            Err(error) => {
                let trouble = trouble(&error);
                if trouble.is_some() {
                    self.listing = false;
                    self.pause = Some(Box::pin(sleep(retry_after(self.failures))));
                    self.failures = self.failures.saturating_add(1);
                }
                self.due.extend(trouble.map(Update::Trouble));
            }
        }
    }

    /// Whether it is about to say how it is.
    fn answers_soon(&self) -> bool {
        let until = self.pause.as_ref().map(|pause| pause.deadline());
        self.listing || until.is_some_and(|until| until <= Instant::now() + GATHER)
    }

    fn applied(&mut self, mut object: DynamicObject) {
        // Who wrote which field is of no use here, and often more than the object itself.
        object.metadata.managed_fields = None;
        self.known.insert(ObjectName::of(&object));
        self.due.push(Update::Applied(Box::new(object)));
    }
}

impl Stream for Watch {
    type Item = Update;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Update>> {
        loop {
            if let Some(update) = self.due.pop() {
                return Poll::Ready(Some(update));
            }
            if let Some(pause) = &mut self.pause {
                if pause.poll_unpin(cx).is_pending() {
                    return Poll::Pending;
                }
                self.pause = None;
                // With a list, so that it ends in saying that all is well again: a watch that is taken up
                // where it broke off says nothing until something changes.
                self.events = (self.begin)();
                self.listing = true;
            }
            match self.events.poll_next_unpin(cx) {
                Poll::Ready(Some(event)) => self.handle(event),
                Poll::Ready(None) => return Poll::Ready(None),
                Poll::Pending => return Poll::Pending,
            }
        }
    }
}

/// `None` for what is part of a watch's life: the server forgot where it stood, and it lists again.
fn trouble(error: &watcher::Error) -> Option<Trouble> {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => Some(Trouble::of(error)),
        watcher::Error::WatchError(status) if status.code == 410 => None,
        watcher::Error::WatchError(status) => Some(Trouble::of_status(status)),
        watcher::Error::NoResourceVersion => Some(Trouble::Unreachable(error.to_string())),
    }
}

/// Doubling waits.
fn retry_after(failures: u32) -> Duration {
    (RETRY.0 * 2u32.saturating_pow(failures.min(16))).min(RETRY.1)
}

/// Watches, each under an identifier.
pub struct Watches<I> {
    client: Client,
    watches: BTreeMap<I, Watch>,
    /// Where to look first next time, so that a busy watch does not starve the others.
    turn: usize,
    /// Troubles that wait for others, and until when.
    troubles: BTreeMap<I, Trouble>,
    gather: Option<Pin<Box<Sleep>>>,
    /// Whether those that were gathered are being told.
    telling: bool,
}

impl<I: Ord + Clone> Watches<I> {
    /// None yet.
    pub fn new(client: Client) -> Watches<I> {
        Watches {
            client,
            watches: BTreeMap::new(),
            turn: 0,
            troubles: BTreeMap::new(),
            gather: None,
            telling: false,
        }
    }

    /// Starts a watch. One that had the identifier ends; what it spoke of and the new one does not find
    /// is said to be deleted before the new one is complete, and not sooner.
    pub fn watch(&mut self, id: I, resource: &Resource) {
        let known = self.watches.remove(&id).map(|old| old.known).unwrap_or_default();
        self.troubles.remove(&id);
        self.watches.insert(id, Watch::new(self.client.clone(), resource, known));
    }

    /// Speaks to the server with another client from now on. Every watch lists anew.
    pub fn reconnect(&mut self, client: Client, resources: impl IntoIterator<Item = (I, Resource)>) {
        self.client = client;
        for (id, resource) in resources {
            self.watch(id, &resource);
        }
    }

    /// Ends a watch, and says nothing more of what it spoke of.
    pub fn forget(&mut self, id: &I) {
        self.watches.remove(id);
        self.troubles.remove(id);
    }

    /// Whether there is a watch of this identifier.
    pub fn has(&self, id: &I) -> bool {
        self.watches.contains_key(id)
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<(I, Update)> {
        let count = self.watches.len();
        let first = if count == 0 { 0 } else { self.turn % count };
        for round in 0..2 {
            for (place, (id, watch)) in self.watches.iter_mut().enumerate() {
                if (place >= first) != (round == 0) {
                    continue;
                }
                while let Poll::Ready(Some(update)) = watch.poll_next_unpin(cx) {
                    if let Update::Trouble(trouble) = update {
                        self.troubles.insert(id.clone(), trouble);
                        continue;
                    }
                    self.troubles.remove(id);
                    self.turn = place + 1;
                    return Poll::Ready((id.clone(), update));
                }
            }
        }
        self.poll_troubles(cx)
    }

    /// The next trouble, once all watches have said how they are, or that takes too long.
    fn poll_troubles(&mut self, cx: &mut Context<'_>) -> Poll<(I, Update)> {
        if self.troubles.is_empty() {
            (self.gather, self.telling) = (None, false);
            return Poll::Pending;
        }
        let quiet = |(id, watch): (&I, &Watch)| !self.troubles.contains_key(id) && watch.answers_soon();
        if !self.telling && self.watches.iter().any(quiet) {
            let gather = self.gather.get_or_insert_with(|| Box::pin(sleep(GATHER)));
            if gather.poll_unpin(cx).is_pending() {
                return Poll::Pending;
            }
        }
        self.telling = true;
        match self.troubles.pop_first() {
            Some((id, trouble)) => Poll::Ready((id, Update::Trouble(trouble))),
            None => Poll::Pending,
        }
    }

    /// The next thing that any watch says. Giving up waiting loses nothing.
    pub async fn next(&mut self) -> (I, Update) {
        poll_fn(|cx| self.poll(cx)).await
    }

    /// What a watch says already, if anything.
    pub fn ready(&mut self) -> Option<(I, Update)> {
        self.next().now_or_never()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str) -> DynamicObject {
        let mut object = DynamicObject::new(name, &Resource::all("", "v1", "Node", "nodes").api_resource());
        object.metadata.managed_fields = Some(Vec::new());
        object
    }

    fn watch() -> Watch {
        Watch::of(Box::new(|| futures::stream::pending().boxed()), BTreeSet::new())
    }

    fn refused() -> Result<Event<DynamicObject>, watcher::Error> {
        let status = kube_client::core::Status::failure("no", "Forbidden").with_code(403);
        Err(watcher::Error::InitialListFailed(kube_client::Error::Api(status.boxed())))
    }

    fn said(watch: &mut Watch, events: Vec<Event<DynamicObject>>) -> Vec<String> {
        let mut said = Vec::new();
        for event in events {
            watch.handle(Ok(event));
            while let Some(update) = watch.due.pop() {
                said.push(match update {
                    Update::Applied(object) => format!("+{}", ObjectName::of(&object).name),
                    Update::Deleted(name) => format!("-{}", name.name),
                    Update::Complete => "complete".to_owned(),
                    Update::Trouble(trouble) => trouble.to_string(),
                });
            }
        }
        said
    }

    #[test]
    fn what_a_new_list_lacks_is_deleted_before_it_is_complete() {
        let mut watch = watch();
        let first =
            vec![Event::Init, Event::InitApply(object("a")), Event::InitApply(object("b")), Event::InitDone];
        assert_eq!(said(&mut watch, first), ["+a", "+b", "complete"]);
        assert_eq!(said(&mut watch, vec![Event::Apply(object("c"))]), ["+c"]);
        let again = vec![Event::Init, Event::InitApply(object("b")), Event::InitDone];
        assert_eq!(said(&mut watch, again), ["+b", "-c", "-a", "complete"]);
    }

    #[test]
    fn a_list_that_breaks_off_deletes_nothing() {
        let mut watch = watch();
        said(&mut watch, vec![Event::Init, Event::InitApply(object("a")), Event::InitDone]);
        let torn = vec![Event::Init, Event::InitApply(object("b")), Event::Init];
        assert_eq!(said(&mut watch, torn), ["+b"]);
        let whole = vec![Event::InitApply(object("a")), Event::InitDone];
        assert_eq!(said(&mut watch, whole), ["+a", "-b", "complete"]);
    }

    #[test]
    fn a_deleted_object_is_said_to_be_deleted_once() {
        let mut watch = watch();
        said(&mut watch, vec![Event::Init, Event::InitApply(object("a")), Event::InitDone]);
        assert_eq!(said(&mut watch, vec![Event::Delete(object("a"))]), ["-a"]);
        assert_eq!(said(&mut watch, vec![Event::Init, Event::InitDone]), ["complete"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_cannot_list_waits_longer_each_time() {
        let begin = || futures::stream::iter([Ok(Event::Init), refused()]).boxed();
        let mut watch = Watch::of(Box::new(begin), BTreeSet::new());
        let mut at = Vec::new();
        let start = tokio::time::Instant::now();
        for _ in 0..8 {
            assert!(matches!(watch.next().await, Some(Update::Trouble(Trouble::Forbidden(_)))));
            at.push(start.elapsed().as_millis());
        }
        let waits: Vec<u128> = at.windows(2).map(|pair| pair[1] - pair[0]).collect();
        assert_eq!(waits, [200, 400, 800, 1600, 3200, 6400, 10_000]);
    }

    /// A watch that is refused whenever it lists, each time after a while.
    fn refused_after(wait: Duration) -> Watch {
        let begin = move || {
            let answer = async move {
                sleep(wait).await;
                refused()
            };
            futures::stream::once(answer).boxed()
        };
        Watch::of(Box::new(begin), BTreeSet::new())
    }

    #[tokio::test(start_paused = true)]
    async fn troubles_of_one_cause_are_told_together_and_wait_for_no_one_for_long() {
        let mut watches: Watches<u8> = Watches::new(nobody());
        let start = tokio::time::Instant::now();
        for (id, millis) in [(1, 0), (2, 300), (3, 60_000)] {
            watches.watches.insert(id, refused_after(Duration::from_millis(millis)));
        }
        // The third does not answer.
        for id in [1, 2] {
            assert!(matches!(watches.next().await, (told, Update::Trouble(_)) if told == id));
            assert_eq!(start.elapsed(), GATHER);
        }
        // Where all have answered nobody waits.
        let mut watches: Watches<u8> = Watches::new(nobody());
        watches.watches.insert(1, refused_after(Duration::ZERO));
        watches.watches.insert(2, refused_after(Duration::from_millis(300)));
        let start = tokio::time::Instant::now();
        watches.next().await;
        assert!(watches.ready().is_some_and(|(id, _)| id == 2));
        assert_eq!(start.elapsed().as_millis(), 300);
    }

    /// A client that is asked nothing.
    fn nobody() -> Client {
        let config = kube_client::Config::new("http://127.0.0.1:9".parse().unwrap());
        Client::try_from(config).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn after_trouble_it_says_that_all_is_well_though_nothing_changed() {
        let begin = || {
            let list = [Ok(Event::Init), Ok(Event::InitApply(object("a"))), Ok(Event::InitDone), refused()];
            futures::stream::iter(list).boxed()
        };
        let mut watch = Watch::of(Box::new(begin), BTreeSet::new());
        for _ in 0..2 {
            assert!(matches!(watch.next().await, Some(Update::Applied(_))));
            assert!(matches!(watch.next().await, Some(Update::Complete)));
            assert!(matches!(watch.next().await, Some(Update::Trouble(_))));
        }
    }
}
