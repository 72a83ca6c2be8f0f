//! From objects to planner events, and what in the objects could not be read.

use std::collections::BTreeMap;

use causeway_api::{
    CausewayObject, Change, Cluster, ClusterNode, ClusterSet, Conversion, InvalidObject, Kind, NodeConfig,
    Object, ObjectRef, Objects, PeerSlice, cluster_facts, cluster_plan, cluster_set_facts, node_facts,
    node_overlay, slice_members,
};
use causeway_model::{ClusterName, Finding, Mode, NodeId, Reason, Subject};
use causeway_planner::{Adopted, Event};

/// Findings of conversion, by the object that they speak of.
#[derive(Debug, Default)]
pub struct Unread {
    findings: BTreeMap<ObjectRef, Vec<Finding>>,
    /// What each cluster last said of its mode that could be read.
    modes: BTreeMap<ClusterName, Option<Mode>>,
}

impl Unread {
    /// What could not be read of an object.
    pub fn of(&self, key: &ObjectRef) -> &[Finding] {
        self.findings.get(key).map_or(&[], Vec::as_slice)
    }

    /// Everything that could not be read.
    pub fn all(&self) -> impl Iterator<Item = &Finding> {
        self.findings.values().flatten()
    }

    fn note(&mut self, key: ObjectRef, findings: Vec<Finding>) {
        if findings.is_empty() {
            self.findings.remove(&key);
        } else {
            self.findings.insert(key, findings);
        }
    }

    fn take<T>(&mut self, key: ObjectRef, subject: &Subject, read: Conversion<T>) -> T {
        self.note(key, read.findings(subject));
        read.value
    }

    fn refuse(&mut self, key: ObjectRef, subject: Subject, InvalidObject(error): InvalidObject) {
        let finding =
            Finding { subject, field: error.field, reason: Reason::InvalidValue, message: error.message };
        self.note(key, vec![finding]);
    }

    /// The event that a change of a fact is to the planner; `None` for kinds that are no facts.
    ///
    /// An object that cannot be used at all changes nothing: what was known of it stays.
    pub fn event(&mut self, change: &Change) -> Option<Event> {
        match change {
            Change::Applied(object) => match &**object {
                Object::ClusterSet(set) => Some(self.cluster_set(Some(set))),
                // One that is being removed takes part no more, though it is there until it was cleaned up.
                Object::Cluster(Cluster { metadata, .. }) if metadata.deletion_timestamp.is_some() => {
                    metadata.name.as_ref()?.parse().ok().map(Event::ClusterGone)
                }
                Object::Cluster(cluster) => self.cluster(cluster),
                Object::ClusterNode(node) => self.node(node),
                Object::NodeConfig(_)
                | Object::ClusterLink(_)
                | Object::PeerSlice(_)
                | Object::Diagnosis(_) => None,
            },
            Change::Deleted(key) => {
                self.findings.remove(key);
                match key.kind {
                    Kind::ClusterSet => Some(self.cluster_set(None)),
                    Kind::Cluster => key.name.parse().ok().map(Event::ClusterGone),
                    Kind::ClusterNode => node_id(key).map(Event::NodeGone),
                    Kind::NodeConfig | Kind::ClusterLink | Kind::PeerSlice | Kind::Diagnosis => None,
                }
            }
        }
    }

    fn cluster_set(&mut self, set: Option<&ClusterSet>) -> Event {
        let read = cluster_set_facts(set);
        match set {
            None => Event::ClusterSet(None),
            Some(set) => {
                let key = set.key();
                Event::ClusterSet(Some(self.take(key, &Subject::ClusterSet, read)))
            }
        }
    }

    fn cluster(&mut self, cluster: &Cluster) -> Option<Event> {
        let name = cluster.metadata.name.as_deref().unwrap_or_default();
        let key = ObjectRef { kind: Kind::Cluster, namespace: None, name: name.to_owned() };
        match cluster_facts(cluster) {
            Ok(mut read) => {
                let name = read.value.name.clone();
                let given = cluster.spec.mode.as_ref();
                if given.is_none_or(|mode| mode.get().is_some()) {
                    self.modes.insert(name.clone(), read.value.mode);
                } else if let Some(before) = self.modes.get(&name) {
                    // The other mode would rebuild the cluster's links for the sake of a mistyped word.
                    read.value.mode = *before;
                }
                Some(Event::Cluster(self.take(key, &Subject::Cluster(name), read)))
            }
            Err(error) => {
                // A name that is no cluster's cannot be a subject; the message has it.
                self.refuse(key, Subject::ClusterSet, error);
                None
            }
        }
    }

    fn node(&mut self, node: &ClusterNode) -> Option<Event> {
        let key = node.key();
        match node_facts(node) {
            Ok(read) => {
                let subject = Subject::Node(read.value.id.clone());
                Some(Event::Node(self.take(key, &subject, read)))
            }
            Err(error) => {
                self.refuse(key, Subject::ClusterSet, error);
                None
            }
        }
    }
}

/// The node that a ClusterNode or NodeConfig of this key speaks of.
pub fn node_id(key: &ObjectRef) -> Option<NodeId> {
    let cluster = ClusterName::from_namespace(key.namespace.as_deref()?).ok()?;
    Some(NodeId { cluster, node: key.name.parse().ok()? })
}

/// The allocations that the objects hold.
pub fn adopted(objects: &Objects) -> Vec<Adopted> {
    let clusters = objects.all::<Cluster>().filter_map(|cluster| cluster_plan(cluster).ok()).map(|read| {
        let plan = read.value;
        Adopted::Cluster {
            name: plan.name,
            overlay: plan.overlay,
            translations: plan.translations,
            gateways: plan.gateways,
        }
    });
    let nodes = objects.all::<NodeConfig>().filter_map(node_overlay);
    let slices = objects.all::<PeerSlice>().filter_map(slice_members);
    clusters
        .chain(nodes.map(|(id, overlay)| Adopted::Node { id, overlay }))
        .chain(slices.map(|(id, nodes)| Adopted::Slice { id, nodes }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mode(unread: &mut Unread, mode: &str) -> Option<Mode> {
        let spec = serde_json::json!({ "mode": mode, "podCIDRs": ["10.1.0.0/16"] });
        let cluster = Cluster::new("east", serde_json::from_value(spec).unwrap());
        match unread.event(&Change::Applied(Object::Cluster(cluster).into())) {
            Some(Event::Cluster(facts)) => facts.mode,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_mode_that_cannot_be_read_leaves_the_one_that_was() {
        let mut unread = Unread::default();
        assert_eq!(mode(&mut unread, "Gatewy"), None);
        for (word, meaning) in [("Gateway", Mode::Gateway), ("P2P", Mode::P2p)] {
            assert_eq!(mode(&mut unread, word), Some(meaning));
            assert_eq!(mode(&mut unread, "Gatewy"), Some(meaning));
            assert_eq!(unread.all().count(), 1);
        }
    }
}
