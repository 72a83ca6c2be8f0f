//! Which objects two plans differ in, and which statuses a plan changes.

use std::collections::BTreeMap;
use std::sync::Arc;

use causeway_api::conditions::{Verdict, link_verdicts, update, verdicts};
use causeway_api::{
    CausewayObject, Cluster, ClusterLink, ClusterNode, ClusterSet, Kind, Object, ObjectRef, Objects,
    cluster_link, cluster_status, link_plan, node_config, peer_slice,
};
use causeway_model::Finding;
use causeway_planner::Plan;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta, Time};
use k8s_openapi::jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::fields::{FieldChange, differences};
use crate::inventory::{Inventory, node_id};

/// How many peers of a new slice are named.
const SHOWN: usize = 8;

/// What happens to an object.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Create,
    /// Its spec changes.
    Change,
    /// Its status changes; its spec has another writer, or stays.
    Status,
    /// It goes.
    Delete,
}

impl Action {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            Action::Create => "create",
            Action::Change => "change",
            Action::Status => "status",
            Action::Delete => "delete",
        }
    }
}

/// A change of one object.
#[derive(Clone, PartialEq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ObjectChange {
    /// What happens.
    pub action: Action,
    /// Its kind.
    pub kind: &'static str,
    /// Its namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// How many nodes read it, where plans are compared.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub read_by: Option<usize>,
    /// The fields that change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<FieldChange>,
    /// The new object.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<serde_json::Value>")]
    pub object: Option<Object>,
    /// The object before, for who shows the difference.
    #[serde(skip)]
    pub before: Option<Object>,
}

impl ObjectChange {
    fn new(action: Action, key: ObjectRef) -> ObjectChange {
        ObjectChange {
            action,
            kind: key.kind.as_str(),
            namespace: key.namespace,
            name: key.name,
            read_by: None,
            fields: Vec::new(),
            object: None,
            before: None,
        }
    }

    /// The object, for people.
    pub fn object_name(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }
}

/// The objects that differ between `before` and `after`: NodeConfigs, ClusterLinks, PeerSlices.
pub fn changed_objects(before: &Plan, after: &Plan) -> Vec<ObjectChange> {
    let mut changes = Vec::new();
    compare(&before.nodes, &after.nodes, |plan| node_config(plan).into(), &mut changes);
    let linked = |plan: &causeway_model::LinkPlan| Object::from(cluster_link(plan));
    // Findings are conditions, not spec.
    compare(&without_findings(before), &without_findings(after), linked, &mut changes);
    compare(&before.slices, &after.slices, |plan| peer_slice(plan).into(), &mut changes);
    changes
}

fn without_findings(plan: &Plan) -> BTreeMap<causeway_model::LinkId, causeway_model::LinkPlan> {
    let bare =
        |link: &causeway_model::LinkPlan| causeway_model::LinkPlan { findings: Vec::new(), ..link.clone() };
    plan.links.iter().map(|(id, link)| (id.clone(), bare(link))).collect()
}

fn compare<K: Ord, P: PartialEq>(
    before: &BTreeMap<K, P>,
    after: &BTreeMap<K, P>,
    object: impl Fn(&P) -> Object,
    changes: &mut Vec<ObjectChange>,
) {
    for (key, new) in after {
        match before.get(key) {
            None => {
                let new = object(new);
                let change = ObjectChange::new(Action::Create, new.key());
                changes.push(ObjectChange { object: Some(new), ..change });
            }
            Some(old) if old != new => {
                let (old, new) = (object(old), object(new));
                let fields = differences("", &old, &new);
                let change = ObjectChange::new(Action::Change, new.key());
                changes.push(ObjectChange { fields, object: Some(new), before: Some(old), ..change });
            }
            Some(_) => {}
        }
    }
    for (_, old) in before.iter().filter(|(key, _)| !after.contains_key(key)) {
        let old = object(old);
        let change = ObjectChange::new(Action::Delete, old.key());
        changes.push(ObjectChange { before: Some(old), ..change });
    }
}

/// The statuses of `inventory`'s objects that `plan` changes: of Clusters, of ClusterLinks that stay,
/// of the ClusterSet, and of ClusterNodes with findings.
pub fn changed_statuses(inventory: &Inventory, plan: &Plan) -> Vec<ObjectChange> {
    let mut changes = Vec::new();
    for set in inventory.all::<ClusterSet>() {
        let findings = inventory.unread(&set.key()).iter().chain(&plan.clusterset_findings);
        let old = set.status.clone().unwrap_or_default();
        let mut new = old.clone();
        new.conditions = conditions(&old.conditions, &verdicts(Kind::ClusterSet, findings));
        changes.extend(status_change(set.key(), &old, &new));
    }
    for cluster in inventory.all::<Cluster>() {
        let planned = cluster.metadata.name.as_ref().and_then(|name| plan.clusters.get(&name.parse().ok()?));
        let old = cluster.status.clone().unwrap_or_default();
        let mut new = planned.map_or_else(|| old.clone(), |planned| cluster_status(&old, planned));
        let findings = planned.map(|planned| planned.findings.as_slice()).unwrap_or_default();
        let findings = inventory.unread(&cluster.key()).iter().chain(findings);
        new.conditions = conditions(&old.conditions, &verdicts(Kind::Cluster, findings));
        changes.extend(status_change(cluster.key(), &old, &new));
    }
    for node in inventory.all::<ClusterNode>() {
        let planned = node_id(node).and_then(|id| plan.node_findings.get(&id));
        let unread = inventory.unread(&node.key());
        let findings: Vec<&Finding> = unread.iter().chain(planned.into_iter().flatten()).collect();
        let old = node.status.clone().unwrap_or_default();
        // A node that is as it should be has no status.
        let mut new = old.clone();
        new.conditions = match findings.is_empty() {
            true => Vec::new(),
            false => conditions(&old.conditions, &verdicts(Kind::ClusterNode, findings)),
        };
        changes.extend(status_change(node.key(), &old, &new));
    }
    for link in inventory.all::<ClusterLink>() {
        let Some(planned) = link_plan(link).ok().and_then(|link| plan.links.get(&link.value.id)) else {
            continue;
        };
        let old = link.status.clone().unwrap_or_default();
        let mut new = old.clone();
        new.conditions = conditions(&old.conditions, &link_verdicts(planned));
        changes.extend(status_change(link.key(), &old, &new));
    }
    changes
}

fn conditions(old: &[Condition], verdicts: &[Verdict]) -> Vec<Condition> {
    // Times are no part of the comparison.
    update(old, verdicts, None, &Time(Timestamp::UNIX_EPOCH))
}

fn status_change<S: Serialize>(key: ObjectRef, old: &S, new: &S) -> Option<ObjectChange> {
    let fields = differences("status", old, new);
    let change = ObjectChange::new(Action::Status, key);
    (!fields.is_empty()).then_some(ObjectChange { fields, ..change })
}

/// What there is to say of a new object in a few words.
pub fn summary(object: &Object) -> String {
    let list = |items: Vec<String>| items.join(" ");
    match object {
        Object::NodeConfig(config) => {
            let overlay = config.spec.overlay.iter().map(ToString::to_string).collect();
            format!("{} with overlay {}", config.spec.role.as_str(), list(overlay))
        }
        Object::ClusterLink(link) if link.spec.prefixes.is_empty() => "nothing can be reached".to_owned(),
        Object::ClusterLink(link) => {
            let prefixes = link.spec.prefixes.iter().map(|prefix| prefix.cidr.to_string()).collect();
            format!("via {} to {}", link.spec.via.as_str(), list(prefixes))
        }
        Object::PeerSlice(slice) => {
            let peers: Vec<String> =
                slice.spec.peers.iter().take(SHOWN).map(|peer| peer.node.clone()).collect();
            let rest = slice.spec.peers.len() - peers.len();
            let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
            format!("{}{rest}", list(peers))
        }
        Object::Cluster(_) | Object::ClusterNode(_) | Object::ClusterSet(_) | Object::Diagnosis(_) => {
            String::new()
        }
    }
}

/// The facts that `after` has otherwise than `before`: what the change itself says.
pub fn changed_facts(before: &Objects, after: &Objects) -> Vec<ObjectChange> {
    let is_fact =
        |object: &&Arc<Object>| matches!(object.kind(), Kind::ClusterSet | Kind::Cluster | Kind::ClusterNode);
    let mut changes = Vec::new();
    for new in after.iter().filter(is_fact) {
        let old = before.get(&new.key());
        if old.is_some_and(|old| spec(old) == spec(new) && old.meta().labels == new.meta().labels) {
            continue;
        }
        let change =
            ObjectChange::new(if old.is_some() { Action::Change } else { Action::Create }, new.key());
        let fields = old.map(|old| differences("spec", &spec(old), &spec(new))).unwrap_or_default();
        changes.push(ObjectChange {
            fields,
            object: Some(without_age(new)),
            before: old.map(|old| without_age(old)),
            ..change
        });
    }
    for old in before.iter().filter(is_fact).filter(|old| after.get(&old.key()).is_none()) {
        let change = ObjectChange::new(Action::Delete, old.key());
        changes.push(ObjectChange { before: Some(without_age(old)), ..change });
    }
    changes
}

fn spec(object: &Object) -> Value {
    serde_json::to_value(object)
        .ok()
        .and_then(|mut object| object.get_mut("spec").map(Value::take))
        .unwrap_or_default()
}

/// The object as somebody writes it: without its status and what the API server adds.
fn without_age(object: &Object) -> Object {
    let bare = |meta: &ObjectMeta| ObjectMeta {
        name: meta.name.clone(),
        namespace: meta.namespace.clone(),
        labels: meta.labels.clone(),
        ..ObjectMeta::default()
    };
    match object.clone() {
        Object::ClusterSet(set) => ClusterSet { metadata: bare(&set.metadata), status: None, ..set }.into(),
        Object::Cluster(cluster) => {
            Cluster { metadata: bare(&cluster.metadata), status: None, ..cluster }.into()
        }
        Object::ClusterNode(node) => {
            ClusterNode { metadata: bare(&node.metadata), status: None, ..node }.into()
        }
        other => other,
    }
}
