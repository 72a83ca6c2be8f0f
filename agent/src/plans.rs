//! What an agent knows of its plan: one NodeConfig, its cluster's ClusterLinks, and the PeerSlices that
//! its role needs. Takes changes of objects from any source, and keeps the plans in them.
//!
//! An object that is there and cannot be used leaves in force what it was before, and nothing is known
//! before everything was read: unknown is not empty.

use std::collections::{BTreeMap, BTreeSet};

use causeway_api::{
    Change, Conversion, FieldError, InvalidObject, Kind, NodeConfig, Object, ObjectRef, Objects, link_plan,
    node_plan, slice_plan,
};
use causeway_model::{ClusterName, LinkPlan, NodePlan, Scope, SlicePlan, needed_slices};

/// The plans that one node's kernel state follows from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Inputs<'a> {
    node: &'a NodePlan,
    links: &'a [LinkPlan],
    slices: &'a [SlicePlan],
}

impl<'a> Inputs<'a> {
    /// The node's own plan.
    pub fn node(self) -> &'a NodePlan {
        self.node
    }

    /// The links of its cluster.
    pub fn links(self) -> &'a [LinkPlan] {
        self.links
    }

    /// The slices that it needs.
    pub fn slices(self) -> &'a [SlicePlan] {
        self.slices
    }
}

/// Which slices a node needs.
pub type Need = BTreeSet<(ClusterName, Scope)>;

/// What is known of the node's plan.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Known<'a> {
    /// Nothing. Whatever the kernel holds stays.
    Nothing,
    /// The node takes part.
    Plan(Inputs<'a>),
    /// The node took part, and does no more.
    Removed,
}

/// Plans by the names of their objects, side by side so that the plans alone are one slice.
#[derive(Debug)]
struct Named<T> {
    names: Vec<String>,
    plans: Vec<T>,
}

impl<T> Default for Named<T> {
    fn default() -> Self {
        Named { names: Vec::new(), plans: Vec::new() }
    }
}

impl<T: PartialEq> Named<T> {
    /// Whether that is a change.
    fn put(&mut self, name: String, plan: T) -> bool {
        match self.names.binary_search(&name) {
            Ok(at) if self.plans[at] == plan => return false,
            Ok(at) => self.plans[at] = plan,
            Err(at) => {
                self.names.insert(at, name);
                self.plans.insert(at, plan);
            }
        }
        true
    }

    /// Whether that is a change.
    fn take(&mut self, name: &str) -> bool {
        let found = self.names.binary_search_by(|known| known.as_str().cmp(name));
        if let Ok(at) = found {
            self.names.remove(at);
            self.plans.remove(at);
        }
        found.is_ok()
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum Standing {
    #[default]
    Unknown,
    Part,
    Removed,
    /// Removed, and nothing of it is left.
    CleanedUp,
}

/// The plans of one node, as far as they are known.
#[derive(Debug, Default)]
pub struct Plans {
    config: Option<NodeConfig>,
    node: Option<NodePlan>,
    links: Named<LinkPlan>,
    slices: Named<SlicePlan>,
    standing: Standing,
    changed: bool,
    complaints: BTreeMap<ObjectRef, Vec<String>>,
}

impl Plans {
    /// Takes in what changed. It counts once it is [settled](Plans::settle).
    pub fn handle(&mut self, change: &Change) {
        match change {
            Change::Applied(object) => self.applied(object),
            Change::Deleted(key) => self.deleted(key),
        }
    }

    /// Takes `objects` for all that there is.
    pub fn replace(&mut self, objects: &Objects) {
        for object in objects.iter() {
            self.applied(object);
        }
        let kept = |kind| {
            let keys =
                objects.iter().map(|object| object.key()).filter(move |key: &ObjectRef| key.kind == kind);
            keys.map(|key| key.name).collect::<BTreeSet<String>>()
        };
        let (links, slices) = (kept(Kind::ClusterLink), kept(Kind::PeerSlice));
        let gone = |names: &[String], kept: &BTreeSet<String>| {
            names.iter().filter(|name| !kept.contains(*name)).cloned().collect::<Vec<_>>()
        };
        for name in gone(&self.links.names, &links) {
            self.changed |= self.links.take(&name);
        }
        for name in gone(&self.slices.names, &slices) {
            self.changed |= self.slices.take(&name);
        }
        if objects.all::<NodeConfig>().next().is_none() {
            self.config = None;
        }
    }

    fn applied(&mut self, object: &Object) {
        let key = object.key();
        let mut complaints = Vec::new();
        match object {
            Object::NodeConfig(config) => {
                if let Some(plan) = usable(node_plan(config), &mut complaints) {
                    self.changed |= self.node.as_ref() != Some(&plan);
                    self.node = Some(plan);
                }
                self.config = Some(config.clone());
            }
            Object::ClusterLink(link) => {
                if let Some(plan) = usable(link_plan(link), &mut complaints) {
                    self.changed |= self.links.put(key.name.clone(), plan);
                }
            }
            Object::PeerSlice(slice) => {
                if let Some(plan) = usable(slice_plan(slice), &mut complaints) {
                    self.changed |= self.slices.put(key.name.clone(), plan);
                }
            }
            Object::ClusterSet(_) | Object::Cluster(_) | Object::ClusterNode(_) | Object::Diagnosis(_) => {}
        }
        self.complain(key, complaints);
    }

    fn deleted(&mut self, key: &ObjectRef) {
        match key.kind {
            Kind::NodeConfig => self.config = None,
            Kind::ClusterLink => self.changed |= self.links.take(&key.name),
            Kind::PeerSlice => self.changed |= self.slices.take(&key.name),
            Kind::ClusterSet | Kind::Cluster | Kind::ClusterNode | Kind::Diagnosis => {}
        }
        self.complain(key.clone(), Vec::new());
    }

    /// Everything that was taken in is all there is now. Returns whether what is known changed.
    pub fn settle(&mut self) -> bool {
        let here = self.config.as_ref().is_some_and(|config| config.metadata.deletion_timestamp.is_none());
        let standing = match self.standing {
            _ if here && self.node.is_some() => Standing::Part,
            // An object that is there and cannot be used is not an object that was removed.
            unchanged if here => unchanged,
            Standing::Unknown if self.config.is_none() => Standing::Unknown,
            Standing::CleanedUp => Standing::CleanedUp,
            Standing::Unknown | Standing::Part | Standing::Removed => Standing::Removed,
        };
        if !here {
            // One that comes back is read anew.
            self.node = None;
        }
        let changed = standing != self.standing || (standing == Standing::Part && self.changed);
        self.standing = standing;
        self.changed = false;
        changed
    }

    /// What is known now.
    pub fn known(&self) -> Known<'_> {
        match (self.standing, &self.node) {
            (Standing::Part, Some(node)) => {
                Known::Plan(Inputs { node, links: &self.links.plans, slices: &self.slices.plans })
            }
            (Standing::Removed, _) => Known::Removed,
            (Standing::Part | Standing::Unknown | Standing::CleanedUp, _) => Known::Nothing,
        }
    }

    /// Nothing is left of what the node took part in.
    pub fn cleaned_up(&mut self) {
        self.standing = Standing::CleanedUp;
    }

    /// The node's NodeConfig, as long as it is there.
    pub fn config(&self) -> Option<&NodeConfig> {
        self.config.as_ref()
    }

    /// Which slices the node needs; `None` while its role is not known.
    pub fn need(&self) -> Option<Need> {
        let node = self.node.as_ref()?;
        Some(needed_slices(&node.id, node.role, &self.links.plans))
    }

    /// What of the objects cannot be used.
    pub fn complaints(&self) -> impl Iterator<Item = &String> {
        self.complaints.values().flatten()
    }

    fn complain(&mut self, key: ObjectRef, complaints: Vec<String>) {
        if complaints.is_empty() {
            self.complaints.remove(&key);
        } else {
            self.complaints.insert(key, complaints);
        }
    }
}

/// The value, with complaints about what of it could not be used.
fn usable<T>(result: Result<Conversion<T>, InvalidObject>, complaints: &mut Vec<String>) -> Option<T> {
    match result {
        Ok(Conversion { value, errors }) => {
            complaints.extend(errors.iter().map(FieldError::to_string));
            Some(value)
        }
        Err(error) => {
            complaints.push(error.to_string());
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    fn object(kind: Kind, metadata: Value, spec: Value) -> Change {
        let value = json!({
            "apiVersion": causeway_api::API_VERSION, "kind": kind.as_str(), "metadata": metadata, "spec": spec,
        });
        Change::Applied(Arc::new(Object::deserialize(kind, value).unwrap()))
    }

    fn config(role: &str, metadata: Value) -> Change {
        let tunnels = json!({"bridge": {"vni": 54, "port": 4876}});
        let spec = json!({
            "cluster": "a", "role": role, "underlay": ["192.0.2.1"],
            "overlay": ["198.18.0.1", "fd63:6175:7365:1::1"], "tunnels": tunnels,
        });
        object(Kind::NodeConfig, metadata, spec)
    }

    fn named() -> Value {
        json!({"name": "n1"})
    }

    fn link(via: &str) -> Change {
        let prefixes = json!([{"cidr": "10.2.0.0/16", "kind": "Pod", "via": via}]);
        let spec = json!({"sourceCluster": "a", "remoteCluster": "b", "via": via, "prefixes": prefixes});
        object(Kind::ClusterLink, json!({"name": "b"}), spec)
    }

    fn key(kind: Kind, name: &str) -> ObjectRef {
        ObjectRef { kind, namespace: None, name: name.to_owned() }
    }

    #[test]
    fn nothing_is_known_before_it_is_settled() {
        let mut plans = Plans::default();
        plans.handle(&config("Node", named()));
        assert_eq!(plans.known(), Known::Nothing);
        assert!(plans.settle());
        assert!(matches!(plans.known(), Known::Plan(_)));
        assert!(!plans.settle());
    }

    #[test]
    fn a_change_counts_once_and_only_if_it_is_one() {
        let mut plans = Plans::default();
        plans.handle(&config("Node", named()));
        plans.settle();
        plans.handle(&link("Nodes"));
        assert!(plans.settle());
        plans.handle(&link("Nodes"));
        assert!(!plans.settle());
        plans.handle(&Change::Deleted(key(Kind::ClusterLink, "b")));
        assert!(plans.settle());
    }

    #[test]
    fn what_cannot_be_used_leaves_in_force_what_was() {
        let mut plans = Plans::default();
        plans.handle(&config("Node", named()));
        plans.handle(&link("Nodes"));
        plans.settle();
        plans.handle(&config("Nonsense", named()));
        plans.handle(&link("Nonsense"));
        assert!(!plans.settle());
        assert_eq!(plans.complaints().count(), 2);
        let Known::Plan(inputs) = plans.known() else { panic!() };
        assert_eq!(inputs.links().len(), 1);
        plans.handle(&link("Nodes"));
        assert_eq!(plans.complaints().count(), 1);
    }

    #[test]
    fn a_node_is_removed_when_its_config_is_gone_or_going_and_comes_back_with_it() {
        let mut plans = Plans::default();
        assert!(!plans.settle());
        plans.handle(&config("Node", named()));
        plans.settle();
        plans.handle(&Change::Deleted(key(Kind::NodeConfig, "n1")));
        assert!(plans.settle());
        assert_eq!(plans.known(), Known::Removed);
        plans.cleaned_up();
        assert!(!plans.settle());
        assert_eq!(plans.known(), Known::Nothing);
        plans.handle(&config("Node", named()));
        assert!(plans.settle());
        assert!(matches!(plans.known(), Known::Plan(_)));
    }

    #[test]
    fn an_agent_that_starts_while_its_config_is_going_cleans_up() {
        let mut plans = Plans::default();
        plans.handle(&config("Node", json!({"name": "n1", "deletionTimestamp": "2026-01-01T00:00:00Z"})));
        assert!(plans.settle());
        assert_eq!(plans.known(), Known::Removed);
        assert!(plans.config().is_some());
        plans.cleaned_up();
        assert!(!plans.settle());
        assert_eq!(plans.known(), Known::Nothing);
    }

    #[test]
    fn a_replacement_drops_what_it_does_not_hold() {
        let mut plans = Plans::default();
        plans.handle(&config("Node", named()));
        plans.handle(&link("Nodes"));
        plans.settle();
        let Change::Applied(only) = config("Node", named()) else { panic!() };
        plans.replace(&[only].into_iter().collect());
        assert!(plans.settle());
        let Known::Plan(inputs) = plans.known() else { panic!() };
        assert!(inputs.links().is_empty());
    }

    #[test]
    fn the_need_follows_role_and_links() {
        let mut plans = Plans::default();
        assert_eq!(plans.need(), None);
        plans.handle(&config("Node", named()));
        plans.handle(&link("Gateways"));
        let need: Need = [("b".parse().unwrap(), Scope::Gateways)].into();
        assert_eq!(plans.need(), Some(need));
    }
}
