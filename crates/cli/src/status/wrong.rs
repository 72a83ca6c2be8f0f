//! What is wrong: conditions that are not as they should be, what nobody has reported, and who is not at work.
//! What is wrong in the same way with many objects is said once.

use std::collections::BTreeMap;
use std::time::Duration;

use causeway_api::{Kind, Object, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;

use super::advice::advice;
use super::facts::{Facts, LEASE, Manager};
use super::report::{ClusterRow, Count, LinkRow, State, object_name};

/// Something that is wrong with one object or with many.
#[derive(Serialize, JsonSchema, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Wrong {
    /// The objects, such as `Cluster east` or `ClusterLink east/west`.
    pub objects: Vec<String>,
    /// The condition, such as `Ready=False`.
    pub condition: String,
    /// Why, as one word.
    pub reason: String,
    /// Why, in words.
    pub message: String,
    /// Since when, at the earliest of them (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// What to do.
    #[serde(rename = "do")]
    pub remedy: String,
}

/// Reasons of conditions that an operator has asked for.
const MEANT: [&str; 3] = ["NodeExcluded", "Leaving", "CleaningUp"];

/// What is wrong, by what it is: managers, then what all share, then clusters, nodes and links.
pub fn wrong(facts: &Facts, clusters: &[ClusterRow], links: &[LinkRow]) -> Vec<Wrong> {
    let mut all: Vec<Wrong> = manager(&facts.manager, facts.now).into_iter().collect();
    let mut groups: BTreeMap<Key, Wrong> = BTreeMap::new();
    for object in facts.objects.iter() {
        for condition in object.conditions().iter().filter(|condition| is_wrong(object, condition)) {
            add(&mut groups, object, condition);
        }
    }
    for cluster in clusters.iter().filter(|cluster| cluster.state == State::Unknown) {
        not_reported(&mut groups, Kind::Cluster, "Ready", format!("Cluster {}", cluster.name));
    }
    for link in links {
        let name = format!("ClusterLink {}/{}", link.from, link.to);
        match (link.state, link.nodes) {
            (State::Unknown, _) => not_reported(&mut groups, Kind::ClusterLink, "Ready", name),
            (State::Degraded, Some(nodes)) if nodes.ready < nodes.total => {
                partly_ready(&mut groups, name, &link.from, nodes);
            }
            _ => {}
        }
    }
    all.extend(groups.into_values());
    all
}

/// What makes two things the same: rank of the kind, condition, reason, and what the message is about.
type Key = (u8, String, String, String);

fn rank(kind: Kind) -> u8 {
    match kind {
        Kind::ClusterSet => 0,
        Kind::Cluster => 1,
        Kind::ClusterNode => 2,
        Kind::NodeConfig => 3,
        Kind::ClusterLink => 4,
        Kind::PeerSlice => 5,
        Kind::Diagnosis => 6,
    }
}

fn is_wrong(object: &Object, condition: &Condition) -> bool {
    // A node's agent says so of what it was told to clean up.
    let cleaned = condition.reason == conditions::CLEANED_UP && object.meta().deletion_timestamp.is_some();
    let left = condition.type_ == conditions::LEFT;
    !conditions::is_good(condition) && !cleaned && !left && !MEANT.contains(&condition.reason.as_str())
}

fn add(groups: &mut BTreeMap<Key, Wrong>, object: &Object, condition: &Condition) {
    let (kind, meta) = (object.kind(), object.meta());
    let name = object_name(kind, meta.namespace.as_deref(), meta.name.as_deref().unwrap_or_default());
    let stated = format!("{}={}", condition.type_, condition.status);
    // Links of one cluster, and nodes of one cluster, fail together; clusters each have their own words.
    let about = match kind {
        Kind::ClusterLink | Kind::ClusterNode | Kind::NodeConfig => {
            meta.namespace.clone().unwrap_or_default()
        }
        _ => condition.message.clone(),
    };
    let key = (rank(kind), stated.clone(), condition.reason.clone(), about);
    let since = condition.last_transition_time.0;
    let group = groups.entry(key).or_insert_with(|| Wrong {
        objects: Vec::new(),
        condition: stated,
        reason: condition.reason.clone(),
        message: condition.message.clone(),
        since: Some(since.to_string()),
        remedy: advice(kind, &condition.type_, &condition.reason),
    });
    group.objects.push(name);
    let earlier = group.since.as_ref().and_then(|text| text.parse::<Timestamp>().ok());
    if earlier.is_some_and(|earlier| since < earlier) {
        group.since = Some(since.to_string());
    }
}

fn not_reported(groups: &mut BTreeMap<Key, Wrong>, kind: Kind, type_: &str, name: String) {
    let stated = format!("{type_}=Unknown");
    let key = (rank(kind), stated.clone(), "NotReported".to_owned(), String::new());
    let message = match kind {
        Kind::ClusterLink => "controller-manager of the source cluster has not said how its nodes see it",
        _ => "network-manager has not said anything of it",
    };
    let group = groups.entry(key).or_insert_with(|| Wrong {
        objects: Vec::new(),
        condition: stated,
        reason: "NotReported".to_owned(),
        message: message.to_owned(),
        since: None,
        remedy: advice(kind, type_, "NotReported"),
    });
    group.objects.push(name);
}

fn partly_ready(groups: &mut BTreeMap<Key, Wrong>, name: String, from: &str, nodes: Count) {
    let key = (rank(Kind::ClusterLink), "Ready=True".to_owned(), "PartlyReady".to_owned(), from.to_owned());
    let group = groups.entry(key).or_insert_with(|| Wrong {
        objects: Vec::new(),
        condition: "Ready=True".to_owned(),
        reason: "PartlyReady".to_owned(),
        message: format!("{} of {} nodes of {from} have a way that works", nodes.ready, nodes.total),
        since: None,
        remedy: advice(Kind::ClusterLink, conditions::READY, "PartlyReady"),
    });
    group.objects.push(name);
}

/// What is wrong with network-manager. Without it nothing that is there changes, and nothing new is planned.
fn manager(manager: &Manager, now: Timestamp) -> Option<Wrong> {
    let (reason, message, since) = match manager {
        Manager::Unknown => return None,
        Manager::Never => ("NeverStarted", "network-manager has never run at this hub".to_owned(), None),
        Manager::Held { renewed: None, .. } => {
            ("NotActive", "nobody holds the Lease of network-manager".to_owned(), None)
        }
        Manager::Held { holder, renewed: Some(renewed), duration } => {
            // Clocks of this machine and of the hub may differ a little.
            let grace = *duration * 3 + Duration::from_secs(30);
            let age = now.duration_since(*renewed);
            let silent = u64::try_from(age.as_secs()).is_ok_and(|seconds| seconds > grace.as_secs());
            if !silent {
                return None;
            }
            let message = format!(
                "the last network-manager ({holder}) has not renewed its Lease since {renewed}, or the clock of this machine is ahead"
            );
            ("NotActive", message, Some(renewed.to_string()))
        }
    };
    Some(Wrong {
        objects: vec![format!("Lease {}/{LEASE}", causeway_api::SYSTEM_NAMESPACE)],
        condition: "Active=False".to_owned(),
        reason: reason.to_owned(),
        message: format!("{message}; what is linked stays linked, but no change is planned"),
        since,
        remedy: "look at its Pods at the hub: kubectl -n causeway-system get pods; or install it: causeway install hub"
            .to_owned(),
    })
}
