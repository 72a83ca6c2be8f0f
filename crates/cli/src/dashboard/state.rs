//! What the server knows: the last news of the source and what is remembered of those before. What is shown closely and
//! is not among them is asked for when somebody looks.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use causeway_api::{ClusterNode, Kind, NodeConfig, ObjectRef};
use causeway_model::{ClusterName, NodeName, cluster_namespace};
use hyper::body::Bytes;
use k8s_openapi::jiff::Timestamp;
use kube_client::Api;
use kube_client::api::ListParams;
use tokio::time::timeout;

use super::history::History;
use super::request::Closely;
use super::server::{Tag, Told};
use super::view::{self, Dashboard, Focus};
use crate::error::Error;
use crate::source::Hub;
use crate::status::{Facts, News, StatusReport, report};

/// Nodes of a cluster that are listed.
const NODES: u32 = 500;
/// How long the hub may take to tell of a node.
const ANSWER: Duration = Duration::from_secs(5);

/// What the server knows.
pub struct State {
    hub: Option<Arc<Hub>>,
    known: Mutex<Known>,
}

struct Known {
    seen: Arc<Sight>,
    history: History,
    /// The answer to who looks at nothing closely; made when it is first asked for.
    told: Option<Told>,
}

/// What was seen of the source.
struct Sight {
    facts: Facts,
    status: StatusReport,
    as_of: Timestamp,
    trouble: Option<String>,
}

impl State {
    /// What is known from the first news. `hub` is asked for what is not among news.
    pub fn new(hub: Option<Arc<Hub>>, news: News) -> State {
        let as_of = news.facts.now;
        let status = report(&news.facts);
        let seen = Arc::new(Sight { facts: news.facts, status, as_of, trouble: news.trouble });
        let state = State { hub, known: Mutex::new(Known { seen, history: History::default(), told: None }) };
        state.known().note(as_of);
        state
    }

    /// Takes in what is new.
    pub fn take(&self, news: News) {
        let mut known = self.known();
        let now = news.facts.now;
        let as_of = if news.trouble.is_some() { known.seen.as_of } else { now };
        let status = report(&news.facts);
        known.seen = Arc::new(Sight { facts: news.facts, status, as_of, trouble: news.trouble });
        known.note(now);
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What the page shows.
    ///
    /// # Errors
    /// [`Error::Json`], a defect of this program.
    pub async fn dashboard(&self, closely: Option<Closely>) -> Result<Told, Error> {
        let Some(closely) = closely else {
            let mut known = self.known();
            if let Some(told) = &known.told {
                return Ok(told.clone());
            }
            let told = tell(&known.seen, &known.history, None, None)?;
            known.told = Some(told.clone());
            return Ok(told);
        };
        let seen = self.known().seen.clone();
        let (focus, missing) = match self.focus(&seen, closely).await {
            Ok(Some(focus)) => (Some(focus), None),
            Ok(None) => (None, Some("there is no such object, or no longer".to_owned())),
            Err(why) => (None, Some(why)),
        };
        tell(&seen, &self.known().history, focus, missing)
    }

    async fn focus(&self, sight: &Sight, closely: Closely) -> Result<Option<Focus>, String> {
        let objects = &sight.facts.objects;
        match closely {
            Closely::Link { from, to } => {
                Ok(view::link(&from, &to, &sight.status, objects, &self.known().history))
            }
            Closely::Cluster(name) => {
                let Ok(cluster) = name.parse::<ClusterName>() else { return Ok(None) };
                let (nodes, left_out) = match &self.hub {
                    Some(hub) => nodes_at(hub, &cluster).await?,
                    None => {
                        let of = |config: &&NodeConfig| config.spec.cluster == name;
                        (objects.all::<NodeConfig>().filter(of).cloned().collect(), 0)
                    }
                };
                Ok(view::cluster(&name, objects, &nodes, left_out).map(Focus::Cluster))
            }
            Closely::Node { cluster, node } => {
                let (Ok(cluster), Ok(node)) = (cluster.parse::<ClusterName>(), node.parse::<NodeName>())
                else {
                    return Ok(None);
                };
                let (facts, config) = match &self.hub {
                    Some(hub) => node_at(hub, &cluster, &node).await?,
                    None => node_of(sight, &cluster, &node),
                };
                let view = view::node(&cluster, node.as_str(), objects, facts.as_ref(), config.as_ref());
                Ok(view.map(|view| Focus::Node(Box::new(view))))
            }
        }
    }
}

impl Known {
    /// Remembers how links are at `now`.
    fn note(&mut self, now: Timestamp) {
        let seen = self.seen.clone();
        match seen.trouble {
            Some(_) => self.history.blind(now.as_second()),
            None => self.history.note(now.as_second(), view::seen(&seen.status)),
        }
        self.told = None;
    }
}

fn tell(
    sight: &Sight,
    history: &History,
    focus: Option<Focus>,
    missing: Option<String>,
) -> Result<Told, Error> {
    let as_of = sight.as_of.to_string();
    let mut dashboard = Dashboard {
        version: env!("CARGO_PKG_VERSION"),
        as_of: None,
        trouble: sight.trouble.as_deref(),
        status: &sight.status,
        memory: view::memory(),
        histories: view::histories(&sight.status, history),
        focus,
        missing,
    };
    let mut tag = Tag::default();
    serde_json::to_writer(&mut tag, &dashboard).map_err(Error::Json)?;
    dashboard.as_of = Some(as_of.clone());
    let json = serde_json::to_vec(&dashboard).map_err(Error::Json)?;
    Ok(Told { json: Bytes::from(json), tag: tag.text(), as_of })
}

type NodeObjects = (Option<ClusterNode>, Option<NodeConfig>);

fn node_of(sight: &Sight, cluster: &ClusterName, node: &NodeName) -> NodeObjects {
    let key = |kind| ObjectRef { kind, namespace: Some(cluster_namespace(cluster)), name: node.to_string() };
    let objects = &sight.facts.objects;
    (objects.get_as(&key(Kind::ClusterNode)).cloned(), objects.get_as(&key(Kind::NodeConfig)).cloned())
}

async fn node_at(hub: &Hub, cluster: &ClusterName, node: &NodeName) -> Result<NodeObjects, String> {
    let namespace = cluster_namespace(cluster);
    let facts: Api<ClusterNode> = Api::namespaced(hub.client.clone(), &namespace);
    let configs: Api<NodeConfig> = Api::namespaced(hub.client.clone(), &namespace);
    let both = async { tokio::try_join!(facts.get_opt(node.as_str()), configs.get_opt(node.as_str())) };
    answered(hub, both).await
}

async fn nodes_at(hub: &Hub, cluster: &ClusterName) -> Result<(Vec<NodeConfig>, usize), String> {
    let configs: Api<NodeConfig> = Api::namespaced(hub.client.clone(), &cluster_namespace(cluster));
    let list = answered(hub, configs.list(&ListParams::default().limit(NODES))).await?;
    let left_out = list.metadata.remaining_item_count.and_then(|left| usize::try_from(left).ok());
    Ok((list.items, left_out.unwrap_or(0)))
}

async fn answered<T>(
    hub: &Hub,
    question: impl Future<Output = Result<T, kube_client::Error>>,
) -> Result<T, String> {
    match timeout(ANSWER, question).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(error)) => Err(format!("{} does not tell: {error}", hub.name)),
        Err(_) => Err(format!("{} has not answered for {} s", hub.name, ANSWER.as_secs())),
    }
}
