//! What a person at the member must know, as Events there: who looks after this cluster often has no access to
//! the hub.

use std::collections::{BTreeMap, BTreeSet};

use causeway_api::conditions::{READY, is_good};
use causeway_api::{API_VERSION, Change, ClusterLink, Kind, Object};
use causeway_discovery::ClusterFindings;
use causeway_kubernetes::{Client, Events, Held, LASTS, Lasting, News, Publisher, news};
use k8s_openapi::api::core::v1::ObjectReference;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use tokio::time::Instant;

use crate::run::MANAGER;

/// What is told when it lasts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Matter {
    /// The hub cannot be followed.
    Hub,
    /// Nodes are in trouble for this reason.
    Nodes(String),
    /// There is no way to this cluster.
    Link(String),
}

/// Publishes what is new. Only the active one does.
pub struct Bulletin {
    publisher: Publisher,
    /// What Events about the cluster as a whole are attached to.
    whole: ObjectReference,
    /// What copies of links are attached to: where they are.
    namespace: String,
    lasting: Lasting<Matter>,
    /// The incarnations of the copies of links, by remote cluster.
    links: BTreeMap<String, Option<String>>,
    /// What the hub says of each node, where it says something.
    nodes: BTreeMap<String, Vec<Condition>>,
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
            publisher: Publisher::new(Events::new(client, MANAGER, "Follow"), held),
            whole,
            namespace: namespace.to_owned(),
            lasting: Lasting::default(),
            links: BTreeMap::new(),
            nodes: BTreeMap::new(),
        }
    }

    /// This is the active one from now on: tells what is wrong already.
    pub fn begin(&mut self, found: Option<&ClusterFindings>) {
        if let Some(found) = found {
            self.found(None, found);
        }
        self.lasting.untold();
        let nodes = std::mem::take(&mut self.nodes);
        for (name, conditions) in nodes {
            self.node(&name, conditions);
        }
    }

    /// What was found of the cluster is another.
    pub fn found(&mut self, before: Option<&ClusterFindings>, after: &ClusterFindings) {
        for news in discovery_news(before, after) {
            self.publisher.publish(self.whole.clone(), news);
        }
    }

    /// Whether something keeps the hub from being followed, and what.
    pub fn hub(&mut self, trouble: Option<&str>, now: Instant) {
        self.matter(Matter::Hub, hub_news(trouble), now);
    }

    /// What nodes are in trouble with, by reason.
    pub fn troubles(&mut self, troubles: BTreeMap<String, String>, now: Instant) {
        let over = self.lasting.bad().filter_map(|matter| match matter {
            Matter::Nodes(reason) if !troubles.contains_key(reason) => Some(reason.clone()),
            _ => None,
        });
        for reason in over.collect::<Vec<_>>() {
            let message = "no node says so any more".to_owned();
            self.matter(Matter::Nodes(reason.clone()), News { good: true, reason, message }, now);
        }
        for (reason, message) in troubles {
            self.matter(Matter::Nodes(reason.clone()), News { good: false, reason, message }, now);
        }
    }

    /// The copy of the link to `remote` is this incarnation.
    pub fn copied(&mut self, remote: &str, uid: Option<String>) {
        self.links.insert(remote.to_owned(), uid);
    }

    /// How the link is that the hub has.
    fn link(&mut self, link: &ClusterLink, now: Instant) {
        let remote = link.metadata.name.clone().unwrap_or_default();
        let mut conditions = link.status.iter().flat_map(|status| &status.conditions);
        let Some(ready) = conditions.find(|condition| condition.type_ == READY) else { return };
        self.matter(Matter::Link(remote.clone()), link_news(&remote, ready), now);
    }

    fn matter(&mut self, matter: Matter, news: News, now: Instant) {
        if let Some(news) = self.lasting.is(matter.clone(), news, now) {
            self.publisher.publish(self.about(&matter), news);
        }
        for (matter, news) in self.lasting.due(now) {
            self.publisher.publish(self.about(&matter), news);
        }
    }

    fn about(&self, matter: &Matter) -> ObjectReference {
        match matter {
            Matter::Hub | Matter::Nodes(_) => self.whole.clone(),
            Matter::Link(remote) => ObjectReference {
                api_version: Some(API_VERSION.to_owned()),
                kind: Some(Kind::ClusterLink.as_str().to_owned()),
                name: Some(remote.clone()),
                namespace: Some(self.namespace.clone()),
                uid: self.links.get(remote).cloned().flatten(),
                ..ObjectReference::default()
            },
        }
    }

    /// What the hub says of a node or of a link may be another.
    pub fn handle(&mut self, change: &Change, now: Instant) {
        match change {
            Change::Applied(object) => match &**object {
                Object::ClusterNode(node) => {
                    let conditions =
                        node.status.iter().flat_map(|status| status.conditions.clone()).collect();
                    self.node(node.metadata.name.as_deref().unwrap_or_default(), conditions);
                }
                Object::ClusterLink(link) => self.link(link, now),
                _ => {}
            },
            Change::Deleted(key) if key.kind == Kind::ClusterNode => drop(self.nodes.remove(&key.name)),
            Change::Deleted(key) if key.kind == Kind::ClusterLink => {
                self.lasting.forget(&Matter::Link(key.name.clone()));
                self.links.remove(&key.name);
            }
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
            self.publisher.publish(about, news);
        }
        self.nodes.insert(name.to_owned(), after);
    }

    /// When something is to be told though nothing changes.
    pub fn next_due(&self) -> Option<Instant> {
        self.lasting.next_due()
    }

    /// Goes on with what is being published. Giving up waiting loses nothing.
    pub async fn progress(&mut self) {
        self.publisher.progress().await;
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

/// How it is with the hub.
fn hub_news(trouble: Option<&str>) -> News {
    let seconds = LASTS.as_secs();
    let (good, reason, message) = match trouble {
        None => (true, "HubFollowed", "the hub can be followed again".to_owned()),
        Some(trouble) => {
            let message = format!(
                "the hub cannot be followed for {seconds} s: {trouble}; what is planned stays in force"
            );
            (false, "HubNotFollowed", message)
        }
    };
    News { good, reason: reason.to_owned(), message }
}

/// How it is with the link to `remote`, by its condition `Ready`.
fn link_news(remote: &str, ready: &Condition) -> News {
    let good = is_good(ready);
    let message = match good {
        true => format!("cluster {remote} is reached again"),
        false => format!("cluster {remote} is not reached: {}", ready.message),
    };
    News { good, reason: ready.reason.clone(), message }
}

#[cfg(test)]
mod tests {
    use causeway_api::conditions::{DISCOVERED, Verdict};
    use causeway_api::{Cidr, DiscoveredCidr};
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;

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
    fn what_is_told_of_hub_and_links_says_what_goes_on() {
        let away = hub_news(Some("x"));
        assert!(!away.good && away.message.contains("x") && away.message.contains("stays in force"));
        assert!(hub_news(None).good);
        let ready = |status: &str, reason: &str| Condition {
            type_: READY.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: "why".to_owned(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        let lost = link_news("west", &ready("False", "NoWay"));
        assert_eq!((lost.good, lost.reason.as_str()), (false, "NoWay"));
        assert_eq!(lost.message, "cluster west is not reached: why");
        assert!(link_news("west", &ready("True", "PartlyReady")).good);
    }
}
