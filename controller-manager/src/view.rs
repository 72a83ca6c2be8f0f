//! What is to be done about an item, given what is known of the hub and of the member. Decides only.

use std::collections::BTreeMap;

use causeway_api::{
    Cluster, ClusterLink, ClusterNode, ClusterNodeResolve, ClusterNodeSpec, Diagnosis, Kind, NodeConfig,
    Object, ObjectRef, Objects, StatusWriter, UnderlaySource, own_status,
};
use causeway_discovery::{ClusterFindings, Cni};
use causeway_model::{ClusterName, SHARED_NAMESPACE, cluster_namespace};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use serde_json::Value;

use crate::copies::{copy, fingerprint};
use crate::item::Item;
use crate::member::{Member, WatchId};
use crate::statuses::{self, Reports};

/// Something to do.
#[derive(Clone, PartialEq, Debug)]
pub enum Action {
    /// Make the object so at the hub.
    HubApply(Box<Object>),
    /// Make this our part of the object's status at the hub.
    HubStatus(ObjectRef, Value),
    /// Remove this incarnation of the object at the hub.
    HubDelete(ObjectRef, Option<String>),
    /// Make the object so at the member.
    MemberApply(Box<Object>),
    /// Remove this incarnation of the object at the member.
    MemberDelete(ObjectRef, Option<String>),
    /// Let this incarnation of the object at the member go.
    MemberRelease(ObjectRef, Option<String>),
}

/// What is known.
pub struct View<'a> {
    /// The cluster.
    pub name: &'a ClusterName,
    /// Namespace of the copies.
    pub namespace: &'a str,
    /// The hub's objects.
    pub hub: &'a Objects,
    /// Whether the hub was read whole, with the slices that are needed now.
    pub hub_complete: bool,
    /// The member.
    pub member: &'a Member,
    /// What follows from what was found; `None` while that is not known.
    pub found: Option<&'a ClusterFindings>,
    /// The CNI.
    pub cni: Option<&'a Cni>,
    /// The time.
    pub now: &'a Time,
}

impl View<'_> {
    /// The Cluster at the hub.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.hub.get_as(&ObjectRef::cluster(self.name))
    }

    fn is_leaving(&self) -> bool {
        self.cluster().is_some_and(|cluster| cluster.metadata.deletion_timestamp.is_some())
    }

    fn own(&self, kind: Kind, name: &str) -> ObjectRef {
        ObjectRef { kind, namespace: Some(cluster_namespace(self.name)), name: name.to_owned() }
    }

    /// The hub's object that a copy is of.
    fn original(&self, kind: Kind, name: &str) -> Option<&Object> {
        if kind == Kind::Diagnosis && self.is_leaving() {
            // Its copy would be left behind.
            return None;
        }
        let namespace = match kind {
            Kind::PeerSlice => SHARED_NAMESPACE.to_owned(),
            _ => cluster_namespace(self.name),
        };
        let key = ObjectRef { kind, namespace: Some(namespace), name: name.to_owned() };
        self.hub.get(&key).map(|object| &**object).filter(|object| object.meta().deletion_timestamp.is_none())
    }

    /// Whether a copy has nothing to be a copy of.
    pub fn is_gone(&self, item: &Item) -> bool {
        matches!(item, Item::Copy(kind, name) if self.original(*kind, name).is_none())
    }

    /// What is to be done; nothing if the item is as it should be, or it is not known how it should be.
    pub fn action(&self, item: &Item) -> Option<Action> {
        // Without the Cluster nothing is known of it: an empty hub is not an order to tear down.
        let cluster = self.cluster()?;
        match item {
            Item::ClusterStatus => self.cluster_status(cluster),
            Item::ClusterNode(name) => self.cluster_node(cluster, name),
            Item::Resolve(name) => self.resolve(cluster, name),
            Item::Copy(kind, name) => self.copy(*kind, name),
            Item::LinkStatus(remote) => self.link_status(remote),
            Item::Answer(node) => self.answer(node),
        }
    }

    /// The nodes that are planned, with what their agents say.
    fn reports(&self) -> Reports<'_> {
        let planned = self.hub.all::<NodeConfig>().filter_map(|config| config.metadata.name.as_deref());
        let report =
            |node: &str| self.member.copies.get(&(Kind::NodeConfig, node.to_owned()))?.report.as_ref();
        planned.map(|node| (node, report(node))).collect()
    }

    /// What the nodes are in trouble with, by reason; `None` while it is not known. Of a cluster that leaves it does not
    /// matter any more.
    pub fn troubles(&self) -> Option<BTreeMap<String, String>> {
        if !self.hub_complete || !self.member.has_copies() {
            return None;
        }
        Some(if self.is_leaving() { BTreeMap::new() } else { statuses::troubles(&self.reports()) })
    }

    fn cluster_status(&self, cluster: &Cluster) -> Option<Action> {
        if !self.hub_complete || !self.member.has_copies() {
            return None;
        }
        let reports = self.reports();
        let left = self.is_leaving().then(|| {
            let copies = self.member.copies.keys().filter(|(kind, _)| *kind == Kind::NodeConfig);
            copies.count().max(reports.len())
        });
        let before = cluster.status.clone().unwrap_or_default();
        let generation = cluster.metadata.generation;
        let status = statuses::cluster(&before, self.found, &reports, left, generation, self.now);
        let wanted: Object = Cluster { status: Some(status), ..cluster.clone() }.into();
        self.status(&cluster.clone().into(), &wanted)
    }

    fn link_status(&self, remote: &str) -> Option<Action> {
        let link: &ClusterLink = self.hub.get_as(&self.own(Kind::ClusterLink, remote))?;
        // Nodes that are not read yet are not gone.
        if !self.hub_complete || !self.member.has_copies() || self.is_leaving() {
            return None;
        }
        let before = link.status.clone().unwrap_or_default();
        let status = statuses::link(&before, remote, &self.reports(), self.now);
        let wanted: Object = ClusterLink { status: Some(status), ..link.clone() }.into();
        self.status(&link.clone().into(), &wanted)
    }

    /// What an agent answered to the request at the hub, and to no other.
    fn answer(&self, node: &str) -> Option<Action> {
        self.member.copies.get(&(Kind::Diagnosis, node.to_owned()))?;
        let request: &Diagnosis = self.hub.get_as(&self.own(Kind::Diagnosis, node))?;
        let answer = self.member.asked.get(node)?.answer.as_ref()?;
        let news = answer.request == request.spec.request && request.status.as_ref() != Some(answer);
        let status = serde_json::to_value(answer).ok().filter(|_| news)?;
        Some(Action::HubStatus(self.own(Kind::Diagnosis, node), status))
    }

    fn status(&self, is: &Object, wanted: &Object) -> Option<Action> {
        let part = |object: &Object| own_status(object, StatusWriter::ControllerManager);
        let wanted_part = part(wanted);
        (part(is) != wanted_part).then(|| Action::HubStatus(wanted.key(), wanted_part))
    }

    fn cluster_node(&self, cluster: &Cluster, name: &str) -> Option<Action> {
        // Facts of nodes are not known before all sources were heard, and a cluster that leaves has none.
        self.found?;
        if !self.hub_complete || self.is_leaving() {
            return None;
        }
        let key = self.own(Kind::ClusterNode, name);
        let is: Option<&ClusterNode> = self.hub.get_as(&key);
        let resolved = self.member.resolved.get(name).map(|resolved| resolved.underlay.as_slice());
        let spec = self.member.found.node(name, &cluster.spec, self.cni, resolved.unwrap_or_default());
        let Some(spec) = spec else {
            return is.map(|is| Action::HubDelete(key, is.metadata.uid.clone()));
        };
        let wanted: Object = self.named(name, cluster_namespace(self.name), spec).into();
        let same = is.is_some_and(|is| Object::from(is.clone()).same_plan(&wanted));
        (!same).then(|| Action::HubApply(Box::new(wanted)))
    }

    fn named(&self, name: &str, namespace: String, spec: ClusterNodeSpec) -> ClusterNode {
        let label = (causeway_api::CLUSTER_LABEL.to_owned(), self.name.to_string());
        let metadata = ObjectMeta {
            name: Some(name.to_owned()),
            namespace: Some(namespace),
            labels: Some([label].into()),
            ..ObjectMeta::default()
        };
        ClusterNode { metadata, spec, status: None }
    }

    fn resolve(&self, cluster: &Cluster, name: &str) -> Option<Action> {
        if !self.member.has(WatchId::Nodes) || !self.member.has(WatchId::Resolve) {
            return None;
        }
        let asked = resolve_of(cluster).filter(|_| self.member.found.has_node(name) && !self.is_leaving());
        let is = self.member.resolved.get(name);
        let key = ObjectRef {
            kind: Kind::ClusterNode,
            namespace: Some(self.namespace.to_owned()),
            name: name.to_owned(),
        };
        match (asked, is) {
            (Some(asked), is) if is.is_none_or(|is| is.asked.as_ref() != Some(&asked)) => {
                let spec = ClusterNodeSpec { resolve: Some(asked), ..ClusterNodeSpec::default() };
                Some(Action::MemberApply(Box::new(self.named(name, self.namespace.to_owned(), spec).into())))
            }
            (None, Some(is)) => Some(Action::MemberDelete(key, is.uid.clone())),
            _ => None,
        }
    }

    /// Whether somebody asked the node for a test by the member's API server after it was asked for at the hub: the newest
    /// request counts, so that one which is left over, here or there, keeps nobody from asking. What is written over a copy
    /// keeps its labels.
    fn is_asked_since(&self, node: &str) -> bool {
        let asked = self.member.asked.get(node);
        let Some(Object::Diagnosis(original)) = self.original(Kind::Diagnosis, node) else { return false };
        let at = original.spec.requested_at.as_ref().map(|time| time.0);
        asked.is_some_and(|asked| asked.request != original.spec.request && asked.at > at)
    }

    fn copy(&self, kind: Kind, name: &str) -> Option<Action> {
        if !self.hub_complete || !self.member.has_copies_of(kind) {
            return None;
        }
        let key = ObjectRef { kind, namespace: Some(self.namespace.to_owned()), name: name.to_owned() };
        let is = self.member.copies.get(&(kind, name.to_owned()));
        if kind == Kind::Diagnosis && self.is_asked_since(name) {
            return None;
        }
        match (self.original(kind, name), is) {
            (_, Some(is)) if is.deleting => {
                // Its node cleans up; if it is to take part again, it does so with a new copy.
                let nobody = !self.member.found.has_node(name) && self.member.has(WatchId::Nodes);
                let may_go = is.has_finalizer && (kind != Kind::NodeConfig || is.is_cleaned_up() || nobody);
                may_go.then(|| Action::MemberRelease(key, is.uid.clone()))
            }
            (Some(original), is) => {
                let asked = self.member.asked.get(name).filter(|_| kind == Kind::NodeConfig);
                let wanted = copy(original, self.namespace, asked.map(|asked| asked.request.as_str()));
                let same = is.is_some_and(|is| is.fingerprint == fingerprint(&wanted));
                (!same).then(|| Action::MemberApply(Box::new(wanted)))
            }
            (None, Some(is)) => Some(Action::MemberDelete(key, is.uid.clone())),
            (None, None) => None,
        }
    }
}

/// What agents are asked to find for the cluster.
fn resolve_of(cluster: &Cluster) -> Option<ClusterNodeResolve> {
    let underlay = cluster.spec.underlay.as_ref()?;
    match underlay.source.as_ref()?.get()? {
        UnderlaySource::Interface => {
            Some(ClusterNodeResolve { interface: Some(underlay.interface.clone()?), can_reach: None })
        }
        UnderlaySource::CanReach => {
            Some(ClusterNodeResolve { interface: None, can_reach: Some(underlay.can_reach.clone()?) })
        }
        UnderlaySource::InternalIp | UnderlaySource::ExternalIp | UnderlaySource::Annotation => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;
    use crate::member::COPIED;
    use causeway_api::ClusterSpec;
    use causeway_kubernetes::Update;

    fn object(kind: Kind, metadata: Value, spec: Value) -> Arc<Object> {
        let object = json!({
            "apiVersion": causeway_api::API_VERSION, "kind": kind.as_str(), "metadata": metadata, "spec": spec,
        });
        Arc::new(Object::deserialize(kind, object).unwrap())
    }

    fn view<'a>(
        name: &'a ClusterName,
        hub: &'a Objects,
        hub_complete: bool,
        member: &'a Member,
        now: &'a Time,
    ) -> View<'a> {
        View { name, namespace: "causeway-system", hub, hub_complete, member, found: None, cni: None, now }
    }

    #[test]
    fn a_test_that_is_asked_for_at_the_hub_is_copied_and_only_its_own_answer_goes_back() {
        let name: ClusterName = "east".parse().unwrap();
        let own = || json!({"name": "n1", "namespace": cluster_namespace(&name)});
        let hub: Objects = [
            object(Kind::Cluster, json!({"name": "east"}), json!({})),
            object(Kind::Diagnosis, own(), json!({"request": "7", "requestedAt": "2026-01-01T00:00:00Z"})),
        ]
        .into_iter()
        .collect();
        let (mut member, now) = (Member::default(), Time(Timestamp::UNIX_EPOCH));
        let (test, answer) = (Item::Copy(Kind::Diagnosis, "n1".to_owned()), Item::Answer("n1".to_owned()));
        assert_eq!(
            view(&name, &hub, true, &member, &now).action(&test),
            None,
            "what is there is not known yet"
        );
        member.take(WatchId::Asked, Update::Complete, &ClusterSpec::default());
        let Some(Action::MemberApply(copy)) = view(&name, &hub, true, &member, &now).action(&test) else {
            panic!("it is to be copied");
        };
        let mut tell = |mut object: Value, status: Value| {
            object["status"] = status;
            let object = serde_json::from_value(object).unwrap();
            member.take(WatchId::Asked, Update::Applied(Box::new(object)), &ClusterSpec::default());
            let view = view(&name, &hub, true, &member, &now);
            (view.action(&test), view.action(&answer))
        };
        let copy = serde_json::to_value(&*copy).unwrap();
        assert_eq!(tell(copy.clone(), Value::Null), (None, None));
        assert_eq!(tell(copy.clone(), json!({"request": "6"})), (None, None));
        let (_, told) = tell(copy.clone(), json!({"request": "7"}));
        let key = ObjectRef {
            kind: Kind::Diagnosis,
            namespace: Some(cluster_namespace(&name)),
            name: "n1".to_owned(),
        };
        assert_eq!(told, Some(Action::HubStatus(key, json!({"request": "7"}))));
        // One that somebody asks for here later on is neither replaced nor told at the hub, also where it was written over
        // the copy; an older one is replaced.
        let theirs = |labels: &Value, at: &str| {
            let mut theirs = copy.clone();
            theirs["metadata"]["labels"] = labels.clone();
            theirs["spec"] = json!({"request": "8", "requestedAt": at});
            theirs
        };
        for labels in [&Value::Null, &copy["metadata"]["labels"]] {
            let newer = theirs(labels, "2026-01-01T00:00:01Z");
            assert_eq!(tell(newer, json!({"request": "8"})), (None, None));
            let older = theirs(labels, "2025-12-31T23:59:59Z");
            assert!(matches!(tell(older, json!({"request": "8"})), (Some(Action::MemberApply(_)), None)));
        }
    }

    #[test]
    fn a_link_is_not_told_as_down_before_the_nodes_of_the_cluster_are_known() {
        let name: ClusterName = "east".parse().unwrap();
        let link = json!({"sourceCluster": "east", "remoteCluster": "west", "via": "Nodes", "prefixes": []});
        let hub: Objects = [
            object(Kind::Cluster, json!({"name": "east"}), json!({})),
            object(Kind::ClusterLink, json!({"name": "west", "namespace": cluster_namespace(&name)}), link),
        ]
        .into_iter()
        .collect();
        let mut member = Member::default();
        for kind in COPIED {
            member.take(WatchId::Copies(kind), Update::Complete, &Default::default());
        }
        let now = Time(Timestamp::UNIX_EPOCH);
        let action = |hub_complete| {
            view(&name, &hub, hub_complete, &member, &now).action(&Item::LinkStatus("west".to_owned()))
        };
        assert_eq!(action(false), None);
        assert!(matches!(action(true), Some(Action::HubStatus(..))));
    }
}
