//! From the plan to objects: for any object that network-manager writes, what it should be.

use causeway_api::conditions::{READY, Verdict, link_verdicts, update, verdicts};
use causeway_api::{
    Cluster, ClusterLink, ClusterNode, ClusterSet, Kind, Object, ObjectRef, Objects, cluster_link,
    cluster_status, node_config, peer_slice, scope_label, slice_name,
};
use causeway_model::{
    ClusterName, Finding, LinkId, NodeId, SHARED_NAMESPACE, Scope, SliceId, cluster_namespace,
};
use causeway_planner::{Changes, Plan};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

use crate::facts::{Unread, node_id};

/// What should be of an object.
#[derive(Debug)]
pub enum Output {
    /// This whole object.
    Whole(Box<Object>),
    /// This status; its spec has another writer.
    Status(Box<Object>),
    /// No status of ours.
    NoStatus,
    /// No object.
    Absent,
    /// Nothing of it is network-manager's to write.
    NotOurs,
}

/// The plan and what is needed to make objects of it.
#[derive(Debug, Default)]
pub struct Outputs {
    /// The plan as it is now.
    pub plan: Plan,
}

fn key(kind: Kind, namespace: Option<String>, name: impl ToString) -> ObjectRef {
    ObjectRef { kind, namespace, name: name.to_string() }
}

fn node_key(kind: Kind, id: &NodeId) -> ObjectRef {
    key(kind, Some(cluster_namespace(&id.cluster)), &id.node)
}

fn link_key(id: &LinkId) -> ObjectRef {
    key(Kind::ClusterLink, Some(cluster_namespace(&id.source)), &id.remote)
}

fn slice_key(id: &SliceId) -> ObjectRef {
    key(Kind::PeerSlice, Some(SHARED_NAMESPACE.to_owned()), slice_name(id))
}

/// The link that a ClusterLink of this key states.
fn link_id(key: &ObjectRef) -> Option<LinkId> {
    let source = ClusterName::from_namespace(key.namespace.as_deref()?).ok()?;
    Some(LinkId { source, remote: key.name.parse().ok()? })
}

/// The slice that a PeerSlice of this key holds.
fn slice_id(key: &ObjectRef) -> Option<SliceId> {
    let mut parts = key.name.splitn(3, '.');
    let cluster = parts.next()?.parse().ok()?;
    let label = parts.next()?;
    let scope = [Scope::Nodes, Scope::Gateways].into_iter().find(|scope| scope_label(*scope) == label)?;
    let id = SliceId { cluster, scope, index: parts.next()?.parse().ok()? };
    (slice_key(&id) == *key).then_some(id)
}

fn cluster_key(name: &ClusterName) -> ObjectRef {
    ObjectRef::cluster(name)
}

/// The objects that changes of the plan concern.
pub fn touched(changes: &Changes) -> Vec<ObjectRef> {
    let Changes {
        nodes,
        nodes_gone,
        links,
        links_gone,
        slices,
        slices_gone,
        clusters,
        clusters_gone,
        node_findings,
        clusterset_findings,
    } = changes;
    let node = |id: &NodeId| node_key(Kind::NodeConfig, id);
    let mut keys: Vec<ObjectRef> = Vec::new();
    // Slices and links first: a node that learns of its role finds its peers there.
    keys.extend(slices.iter().map(|s| &s.id).chain(slices_gone).map(slice_key));
    keys.extend(links.iter().map(|l| &l.id).chain(links_gone).map(link_key));
    keys.extend(nodes.iter().map(|n| &n.id).chain(nodes_gone).map(node));
    keys.extend(clusters.iter().map(|c| &c.name).chain(clusters_gone).map(cluster_key));
    keys.extend(node_findings.iter().map(|(id, _)| node_key(Kind::ClusterNode, id)));
    keys.extend(
        clusterset_findings.iter().map(|_| key(Kind::ClusterSet, None, causeway_api::CLUSTER_SET_NAME)),
    );
    keys
}

impl Outputs {
    /// Whether an object that network-manager writes whole is part of the plan.
    pub fn is_planned(&self, key: &ObjectRef) -> bool {
        match key.kind {
            Kind::NodeConfig => node_id(key).is_some_and(|id| self.plan.nodes.contains_key(&id)),
            Kind::ClusterLink => link_id(key).is_some_and(|id| self.plan.links.contains_key(&id)),
            Kind::PeerSlice => slice_id(key).is_some_and(|id| self.plan.slices.contains_key(&id)),
            Kind::ClusterSet | Kind::Cluster | Kind::ClusterNode | Kind::Diagnosis => false,
        }
    }

    /// What should be of the object `key`, given what `objects` holds and what was `unread`.
    pub fn wanted(&self, key: &ObjectRef, objects: &Objects, unread: &Unread, now: &Time) -> Output {
        match key.kind {
            Kind::NodeConfig => {
                let plan = node_id(key).and_then(|id| self.plan.nodes.get(&id));
                plan.map_or(Output::Absent, |plan| whole(node_config(plan)))
            }
            Kind::ClusterLink => self.link(key, objects, now),
            Kind::PeerSlice => {
                let plan = slice_id(key).and_then(|id| self.plan.slices.get(&id));
                plan.map_or(Output::Absent, |plan| whole(peer_slice(plan)))
            }
            Kind::Cluster => self.cluster(key, objects, unread, now),
            Kind::ClusterNode => self.node(key, objects, unread, now),
            Kind::ClusterSet => self.cluster_set(key, objects, unread, now),
            Kind::Diagnosis => Output::NotOurs,
        }
    }

    fn link(&self, key: &ObjectRef, objects: &Objects, now: &Time) -> Output {
        let Some(plan) = link_id(key).and_then(|id| self.plan.links.get(&id)) else { return Output::Absent };
        let mut link = cluster_link(plan);
        let mut status =
            objects.get_as::<ClusterLink>(key).and_then(|link| link.status.clone()).unwrap_or_default();
        status.conditions = update(&status.conditions, &link_verdicts(plan), None, now);
        link.status = Some(status);
        whole(link)
    }

    fn cluster(&self, key: &ObjectRef, objects: &Objects, unread: &Unread, now: &Time) -> Output {
        let Some(mut cluster) = objects.get_as::<Cluster>(key).cloned() else { return Output::NoStatus };
        let mut status = cluster.status.take().unwrap_or_default();
        let mut findings = unread.of(key).to_vec();
        if let Some(plan) = key.name.parse().ok().and_then(|name: ClusterName| self.plan.clusters.get(&name))
        {
            status = cluster_status(&status, plan);
            findings.extend(plan.findings.iter().cloned());
        }
        let generation = cluster.metadata.generation;
        status.observed_generation = generation;
        status.conditions = conditions(&status.conditions, Kind::Cluster, &findings, generation, now);
        if cluster.metadata.deletion_timestamp.is_some() {
            let message = "it is being removed: other clusters have dropped it, and its nodes clean up";
            let leaving = Verdict::new(READY, false, "Leaving", message);
            status.conditions = update(&status.conditions, &[leaving], generation, now);
        }
        cluster.status = Some(status);
        Output::Status(Box::new(cluster.into()))
    }

    /// A node that is as it should be carries no status of ours: there may be very many.
    fn node(&self, key: &ObjectRef, objects: &Objects, unread: &Unread, now: &Time) -> Output {
        let Some(mut node) = objects.get_as::<ClusterNode>(key).cloned() else { return Output::NoStatus };
        let planned = node_id(key).and_then(|id| self.plan.node_findings.get(&id));
        let findings: Vec<Finding> =
            unread.of(key).iter().chain(planned.into_iter().flatten()).cloned().collect();
        if findings.is_empty() {
            return Output::NoStatus;
        }
        let mut status = node.status.take().unwrap_or_default();
        let generation = node.metadata.generation;
        status.observed_generation = generation;
        status.conditions = conditions(&status.conditions, Kind::ClusterNode, &findings, generation, now);
        node.status = Some(status);
        Output::Status(Box::new(node.into()))
    }

    fn cluster_set(&self, key: &ObjectRef, objects: &Objects, unread: &Unread, now: &Time) -> Output {
        let Some(mut set) = objects.get_as::<ClusterSet>(key).cloned() else { return Output::NoStatus };
        let findings: Vec<Finding> =
            unread.of(key).iter().chain(&self.plan.clusterset_findings).cloned().collect();
        let mut status = set.status.take().unwrap_or_default();
        let generation = set.metadata.generation;
        status.observed_generation = generation;
        status.conditions = conditions(&status.conditions, Kind::ClusterSet, &findings, generation, now);
        set.status = Some(status);
        Output::Status(Box::new(set.into()))
    }
}

fn conditions(
    existing: &[Condition],
    kind: Kind,
    findings: &[Finding],
    generation: Option<i64>,
    now: &Time,
) -> Vec<Condition> {
    let verdicts: Vec<Verdict> = verdicts(kind, findings);
    update(existing, &verdicts, generation, now)
}

fn whole(object: impl Into<Object>) -> Output {
    Output::Whole(Box::new(object.into()))
}
