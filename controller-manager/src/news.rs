//! What a person at the member must know, as Events there: who looks after this cluster often has no access to
//! the hub.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use causeway_api::{Change, Kind, Object};
use causeway_discovery::ClusterFindings;
use causeway_kubernetes::{Client, Events, Held, News, news};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tokio::time::Instant;

use crate::run::MANAGER;

/// How long the hub may be away before that is told: a restart is nobody's business.
const HUB_AWAY: Duration = Duration::from_secs(60);

/// Publishes what is new. Only the active one does.
pub struct Bulletin {
    events: Events,
    held: Held,
    /// What Events about the cluster as a whole are attached to.
    whole: ObjectReference,
    hub: Hub,
    /// What the hub says of each node, where it says something.
    nodes: BTreeMap<String, Vec<Condition>>,
    under_way: FuturesUnordered<BoxFuture<'static, ()>>,
}

/// How it is with the hub.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Hub {
    Well,
    AwaySince(Instant),
    /// It is away, and that was told.
    Told,
}

impl Bulletin {
    /// Publishes with the member's `client`, about controller-manager's Deployment in `namespace` and about Nodes.
    pub fn new(client: Client, namespace: &str, held: Held) -> Bulletin {
        let whole = ObjectReference {
            api_version: Some("apps/v1".to_owned()),
            kind: Some("Deployment".to_owned()),
            name: Some(MANAGER.to_owned()),
            namespace: Some(namespace.to_owned()),
            ..ObjectReference::default()
        };
        Bulletin {
            events: Events::new(client, MANAGER, "Follow"),
            held,
            whole,
            hub: Hub::Well,
            nodes: BTreeMap::new(),
            under_way: FuturesUnordered::new(),
        }
    }

    /// This is the active one from now on: tells what is wrong already.
    pub fn begin(&mut self, found: Option<&ClusterFindings>) {
        if let Some(found) = found {
            self.found(None, found);
        }
        let nodes = std::mem::take(&mut self.nodes);
        for (name, conditions) in nodes {
            self.node(&name, conditions);
        }
    }

    /// What was found of the cluster is another.
    pub fn found(&mut self, before: Option<&ClusterFindings>, after: &ClusterFindings) {
        for news in discovery_news(before, after) {
            self.publish(self.whole.clone(), news);
        }
    }

    /// Whether something keeps the hub from being followed, and what.
    pub fn hub(&mut self, trouble: Option<&str>, now: Instant) {
        let (next, news) = hub_news(self.hub, trouble, now);
        self.hub = next;
        if let Some(news) = news {
            self.publish(self.whole.clone(), news);
        }
    }

    /// What the hub says of a node may be another.
    pub fn handle(&mut self, change: &Change) {
        match change {
            Change::Applied(object) => {
                let Object::ClusterNode(node) = &**object else { return };
                let conditions = node.status.iter().flat_map(|status| status.conditions.clone()).collect();
                self.node(node.metadata.name.as_deref().unwrap_or_default(), conditions);
            }
            Change::Deleted(key) if key.kind == Kind::ClusterNode => drop(self.nodes.remove(&key.name)),
            Change::Deleted(_) => {}
        }
    }

    fn node(&mut self, name: &str, after: Vec<Condition>) {
        let before = self.nodes.get(name).map(Vec::as_slice).unwrap_or_default();
        for news in news(before, &after) {
            let about = ObjectReference {
                api_version: Some("v1".to_owned()),
                kind: Some("Node".to_owned()),
                name: Some(name.to_owned()),
                // As kubelet does it, and as `kubectl describe node` looks for it.
                uid: Some(name.to_owned()),
                ..ObjectReference::default()
            };
            self.publish(about, news);
        }
        self.nodes.insert(name.to_owned(), after);
    }

    fn publish(&mut self, about: ObjectReference, news: News) {
        if self.held.is_held() {
            let events = self.events.clone();
            self.under_way.push(async move { events.publish_about(&about, &news).await }.boxed());
        }
    }

    /// When something is to be told though nothing changes.
    pub fn next_due(&self) -> Option<Instant> {
        match self.hub {
            Hub::AwaySince(since) => Some(since + HUB_AWAY),
            Hub::Well | Hub::Told => None,
        }
    }

    /// Goes on with what is being published. Giving up waiting loses nothing.
    pub async fn progress(&mut self) {
        if self.under_way.next().await.is_none() {
            pending().await
        }
    }
}

/// What is to be told when `before` was found and now `after` is.
fn discovery_news(before: Option<&ClusterFindings>, after: &ClusterFindings) -> Vec<News> {
    let is_found = |findings: &ClusterFindings| findings.verdict.holds == Some(true);
    let told = |good: bool, reason: &str, message: String| News { good, reason: reason.to_owned(), message };
    let reason = after.verdict.reason.as_str();
    let Some(before) = before else {
        let bad = !is_found(after);
        return bad.then(|| told(false, reason, after.verdict.message.clone())).into_iter().collect();
    };
    if is_found(before) != is_found(after) || before.verdict.reason != after.verdict.reason {
        let good = is_found(after) && reason == "Found";
        return vec![told(good, reason, after.verdict.message.clone())];
    }
    let (old, new) = (sources(before), sources(after));
    if is_found(after) && (old != new || before.cni != after.cni) {
        let list = |sources: &BTreeSet<&str>| sources.iter().copied().collect::<Vec<_>>().join(", ");
        let message = format!("CIDRs come from {} now, and came from {} before", list(&new), list(&old));
        return vec![told(true, "SourceChanged", message)];
    }
    Vec::new()
}

fn sources(findings: &ClusterFindings) -> BTreeSet<&str> {
    let all = findings.pod_cidrs.iter().chain(&findings.service_cidrs);
    all.map(|cidr| cidr.source.as_str()).collect()
}

/// How it is with the hub now, and what is to be told.
fn hub_news(before: Hub, trouble: Option<&str>, now: Instant) -> (Hub, Option<News>) {
    match (before, trouble) {
        (Hub::Told, None) => {
            let message = "the hub can be followed again".to_owned();
            (Hub::Well, Some(News { good: true, reason: "HubFollowed".to_owned(), message }))
        }
        (_, None) => (Hub::Well, None),
        (Hub::Well, Some(_)) => (Hub::AwaySince(now), None),
        (Hub::AwaySince(since), Some(trouble)) if now.duration_since(since) >= HUB_AWAY => {
            let message = format!(
                "the hub cannot be followed for {} s: {trouble}; what is planned stays in force",
                HUB_AWAY.as_secs()
            );
            (Hub::Told, Some(News { good: false, reason: "HubNotFollowed".to_owned(), message }))
        }
        (away, Some(_)) => (away, None),
    }
}

#[cfg(test)]
mod tests {
    use causeway_api::conditions::{DISCOVERED, Verdict};
    use causeway_api::{Cidr, DiscoveredCidr};

    use super::*;

    fn findings(found: bool, source: &str) -> ClusterFindings {
        let cidr = DiscoveredCidr { cidr: Cidr("10.1.0.0/16".to_owned()), source: source.to_owned() };
        let reason = if found { "Found" } else { "NotFound" };
        ClusterFindings {
            cni: None,
            pod_cidrs: if found { vec![cidr] } else { Vec::new() },
            service_cidrs: Vec::new(),
            verdict: Verdict::new(DISCOVERED, found, reason, "why"),
        }
    }

    #[test]
    fn what_is_found_lost_and_found_elsewhere_is_told() {
        let (nothing, nodes, pool) =
            (findings(false, ""), findings(true, "Nodes"), findings(true, "IPPool a"));
        let told = |before: Option<&ClusterFindings>, after: &ClusterFindings| {
            discovery_news(before, after).into_iter().map(|news| (news.good, news.reason)).collect::<Vec<_>>()
        };
        let one = |good: bool, reason: &str| vec![(good, reason.to_owned())];
        assert_eq!(told(None, &nothing), one(false, "NotFound"));
        assert_eq!(told(None, &nodes), []);
        assert_eq!(told(Some(&nothing), &nothing), []);
        assert_eq!(told(Some(&nothing), &nodes), one(true, "Found"));
        assert_eq!(told(Some(&nodes), &nothing), one(false, "NotFound"));
        assert_eq!(told(Some(&nodes), &pool), one(true, "SourceChanged"));
        assert_eq!(told(Some(&pool), &pool), []);
    }

    #[test]
    fn a_hub_that_is_away_for_long_is_told_once() {
        let start = Instant::now();
        let (away, news) = hub_news(Hub::Well, Some("x"), start);
        assert_eq!((away, news), (Hub::AwaySince(start), None));
        assert_eq!(hub_news(away, None, start), (Hub::Well, None));
        let (still, news) = hub_news(away, Some("x"), start + HUB_AWAY - Duration::from_millis(1));
        assert_eq!((still, news), (away, None));
        let (told, news) = hub_news(away, Some("x"), start + HUB_AWAY);
        assert!(told == Hub::Told && news.is_some_and(|news| !news.good && news.message.contains("x")));
        assert_eq!(hub_news(told, Some("y"), start + HUB_AWAY * 2), (Hub::Told, None));
        let (well, news) = hub_news(told, None, start + HUB_AWAY * 2);
        assert!(well == Hub::Well && news.is_some_and(|news| news.good));
    }
}
