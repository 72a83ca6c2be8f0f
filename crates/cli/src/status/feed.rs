//! The facts of a status again and again, whenever they change and now and then: for `status --watch` and the
//! dashboard. A source that does not answer any more is told of beside what was last known of it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use causeway_api::{Kind, Object};
use causeway_kubernetes::{Replica, Selection};
use causeway_objects::Store;
use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use super::facts::{self, Facts, NODES};
use crate::error::Error;
use crate::inventory::Problem;
use crate::live::{self, Want};
use crate::source::{Hub, Source};

/// How long changes are gathered before they are told, and how often files are looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// How often facts are told without a change: ages go on, and whether the source answers.
pub const TICK: Duration = Duration::from_secs(5);

/// How often the first nodes of a hub are listed anew, whose watch would be long in a large clusterset.
const NODES_PERIOD: Duration = Duration::from_secs(30);

/// How long the hub may take to answer a small question.
const ANSWER: Duration = Duration::from_secs(5);

/// What is there, and whether that is so now.
pub struct News {
    /// What is there, as far as it is known.
    pub facts: Facts,
    /// Why the source does not answer, if so: the facts are then those of before.
    pub trouble: Option<String>,
}

/// A source that is followed.
pub enum Feed {
    /// Files.
    Directory(Box<Directory>),
    /// An API server.
    Hub(Box<Live>),
}

/// A directory that is followed.
pub struct Directory {
    path: PathBuf,
    store: Store,
    told: Option<Instant>,
}

/// A hub that is followed.
pub struct Live {
    hub: Arc<Hub>,
    replica: Replica,
    nodes: Nodes,
    last: Facts,
    told: bool,
}

/// The nodes that are looked at where they are not watched.
struct Nodes {
    listed: Instant,
    objects: Vec<Arc<Object>>,
    left_out: usize,
}

impl Feed {
    /// Follows `source`; at a hub every ClusterNode if `all_nodes` is asked for.
    ///
    /// # Errors
    /// If the source cannot be read at first. What goes wrong later is told with the facts.
    pub async fn open(source: Source, all_nodes: bool) -> Result<Feed, Error> {
        match source {
            Source::Directory(path) => {
                let store = Store::open(&path).map_err(|source| Error::Open { source })?;
                Ok(Feed::Directory(Box::new(Directory { path, store, told: None })))
            }
            Source::Hub(hub) => {
                Live::open(Arc::new(hub), all_nodes).await.map(|live| Feed::Hub(Box::new(live)))
            }
        }
    }

    /// The hub, if it is one.
    pub fn hub(&self) -> Option<Arc<Hub>> {
        match self {
            Feed::Directory(_) => None,
            Feed::Hub(live) => Some(live.hub.clone()),
        }
    }

    /// Waits until there is something to tell: at first at once, then for a change, at most for [`TICK`].
    pub async fn next(&mut self) -> News {
        match self {
            Feed::Directory(directory) => directory.next().await,
            Feed::Hub(live) => live.next().await,
        }
    }
}

impl Directory {
    async fn next(&mut self) -> News {
        if let Some(told) = self.told {
            loop {
                sleep(PAUSE).await;
                if !self.store.refresh().is_empty() || told.elapsed() >= TICK {
                    break;
                }
            }
        }
        self.told = Some(Instant::now());
        let gone = std::fs::read_dir(&self.path).err();
        let trouble = gone.map(|error| format!("{}: {error}", self.path.display()));
        News { facts: Facts::read(&self.path, &self.store), trouble }
    }
}

impl Live {
    async fn open(hub: Arc<Hub>, all_nodes: bool) -> Result<Live, Error> {
        // A first answer tells what is wrong with the source itself, in words for the command line.
        let first = Facts::at_hub(&hub, all_nodes).await?;
        let mut replica = Replica::new(hub.client.clone());
        let mut kinds = vec![Kind::ClusterSet, Kind::Cluster, Kind::ClusterLink];
        if all_nodes {
            kinds.push(Kind::ClusterNode);
        }
        for kind in kinds {
            let not_namespace = kind.namespaced().then(|| causeway_api::SYSTEM_NAMESPACE.to_owned());
            replica.select(kind, Selection { not_namespace, ..Selection::default() });
        }
        let nodes = first.objects.iter().filter(|object| object.kind() == Kind::ClusterNode && !all_nodes);
        let nodes = Nodes {
            listed: Instant::now(),
            objects: nodes.cloned().collect(),
            left_out: first.nodes_left_out,
        };
        Ok(Live { hub, replica, nodes, last: first, told: false })
    }

    async fn next(&mut self) -> News {
        if !std::mem::replace(&mut self.told, true) {
            return News { facts: self.last.clone(), trouble: None };
        }
        gather(&mut self.replica).await;
        let mut trouble = self.ask().await.err();
        let problems = self.replica.problems("").into_iter().map(|problem| self.problem(problem.text));
        let problems: Vec<Problem> = problems.collect();
        if self.replica.is_troubled() {
            trouble = trouble.or_else(|| problems.first().map(|problem| problem.message.clone()));
        }
        // Before all was heard once, what was listed at first is more than what the watches have.
        if self.replica.is_complete() {
            let mut objects = self.replica.objects().clone();
            for node in &self.nodes.objects {
                objects.put(node.clone());
            }
            self.last.objects = objects;
            self.last.problems = problems;
            self.last.nodes_left_out = self.nodes.left_out;
        }
        self.last.now = Timestamp::now();
        News { facts: self.last.clone(), trouble }
    }

    fn problem(&self, message: String) -> Problem {
        Problem { file: self.hub.name.clone(), line: 0, object: None, message }
    }

    /// What is asked for and not watched. Its failure is the first that tells of a hub that has gone.
    async fn ask(&mut self) -> Result<(), String> {
        let silent = |_| format!("{} has not answered for {} s", self.hub.name, ANSWER.as_secs());
        let manager = timeout(ANSWER, facts::manager(&self.hub)).await.map_err(silent)?;
        self.last.manager = manager.map_err(|error| error.to_string())?;
        let watched = self.replica.has(Kind::ClusterNode);
        if !watched && self.nodes.listed.elapsed() >= NODES_PERIOD {
            let want = [Want { kind: Kind::ClusterNode, at_most: Some(NODES) }];
            let list = live::list(&self.hub.client, &self.hub.name, &want);
            let listed =
                timeout(ANSWER * 2, list).await.map_err(silent)?.map_err(|error| error.to_string())?;
            self.nodes = Nodes {
                listed: Instant::now(),
                objects: listed.objects.iter().cloned().collect(),
                left_out: listed.left_out.get(&Kind::ClusterNode).copied().unwrap_or_default(),
            };
        }
        Ok(())
    }
}

/// Waits for a change, and takes in what else comes soon.
async fn gather(replica: &mut Replica) {
    // A change in time or none: both are looked at.
    let _ = timeout(TICK, replica.changed()).await;
    let end = Instant::now() + PAUSE;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        let _ = timeout(left, replica.changed()).await;
    }
}
