//! What is known of the cluster that controller-manager runs for.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_api::{
    ClusterNode, ClusterNodeResolve, ClusterSpec, Diagnosis, DiagnosisStatus, GROUP, Kind, Object, VERSION,
};
use causeway_discovery::{Found, Source, SourceId, sources};
use causeway_kubernetes::{
    DynamicObject, ObjectName, Problem, Resource, Trouble, Update, problems, read_object,
};
use k8s_openapi::jiff::Timestamp;
use serde_json::Value;

use crate::copies::Copied;
use crate::item::Item;

/// The watches at the member.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum WatchId {
    /// Its Nodes.
    Nodes,
    /// A source of CIDRs.
    Source(SourceId),
    /// Copies of plans.
    Copies(Kind),
    /// What agents are asked to find.
    Resolve,
    /// What agents are asked to test.
    Asked,
}

/// In front of what is wrong with the member's API server.
pub const MEMBER: &str = "this cluster: ";
/// The kinds that are copied.
pub const COPIED: [Kind; 3] = [Kind::NodeConfig, Kind::ClusterLink, Kind::PeerSlice];

/// What agents were asked to find at the node, and what they found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Resolved {
    /// What was asked.
    pub asked: Option<ClusterNodeResolve>,
    /// What was found.
    pub underlay: Vec<IpAddr>,
    /// Which incarnation of the object.
    pub uid: Option<String>,
}

/// What a node's agent was asked to test, and what it found.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Asked {
    /// Which request it is.
    pub request: String,
    /// When it was asked for, by the clock of who asks.
    pub at: Option<Timestamp>,
    /// What was found.
    pub answer: Option<DiagnosisStatus>,
}

/// What is known of the cluster.
#[derive(Debug, Default)]
pub struct Member {
    /// What was found of CIDRs and nodes.
    pub found: Found,
    /// Copies of plans, by kind and name.
    pub copies: BTreeMap<(Kind, String), Copied>,
    /// What agents found, by node.
    pub resolved: BTreeMap<String, Resolved>,
    /// The requests of tests, by node. Those that were asked for at the hub are copies, too.
    pub asked: BTreeMap<String, Asked>,
    complete: BTreeSet<WatchId>,
    troubles: BTreeMap<WatchId, Trouble>,
}

/// The resource that a watch is of.
pub fn resource(id: WatchId, namespace: &str) -> Resource {
    match id {
        WatchId::Nodes => Resource::all("", "v1", "Node", "nodes"),
        WatchId::Source(id) => {
            let all = sources(causeway_api::CniType::Auto);
            let source = all.into_iter().find(|source| source.id == id);
            source.map_or_else(|| Resource::all("", "v1", "Node", "nodes"), |source| of_source(&source))
        }
        WatchId::Copies(kind) => Resource {
            namespace: Some(namespace.to_owned()),
            ..Resource::all(GROUP, VERSION, kind.as_str(), kind.plural())
        },
        WatchId::Resolve => resource(WatchId::Copies(Kind::ClusterNode), namespace),
        WatchId::Asked => resource(WatchId::Copies(Kind::Diagnosis), namespace),
    }
}

fn of_source(source: &Source) -> Resource {
    Resource {
        namespace: source.namespace.map(str::to_owned),
        name: source.name.map(str::to_owned),
        labels: source.labels.map(str::to_owned),
        ..Resource::all(source.group, source.version, source.kind, source.plural)
    }
}

impl Member {
    /// Whether a watch has said all that there is.
    pub fn has(&self, id: WatchId) -> bool {
        self.complete.contains(&id)
    }

    /// Whether all copies are known.
    pub fn has_copies(&self) -> bool {
        COPIED.iter().all(|kind| self.has(WatchId::Copies(*kind)))
    }

    /// Whether all copies of this kind are known.
    pub fn has_copies_of(&self, kind: Kind) -> bool {
        self.has(if kind == Kind::Diagnosis { WatchId::Asked } else { WatchId::Copies(kind) })
    }

    /// What keeps watches from going on. A source that is not there is none: few CNIs have all. Nor is one
    /// whose objects another shows already.
    pub fn problems(&self) -> Vec<Problem> {
        let needed = self.troubles.iter().filter(|(id, trouble)| match id {
            WatchId::Source(source) => {
                let absent = matches!(trouble, Trouble::NotServed(_) | Trouble::Forbidden(_));
                !absent && self.found.counts(*source)
            }
            _ => true,
        });
        problems(MEMBER, needed.map(|(id, trouble)| (describe(*id), trouble.clone())))
    }

    /// Takes in what a watch says, and tells what follows for which items.
    pub fn take(&mut self, id: WatchId, update: Update, spec: &ClusterSpec) -> Vec<Item> {
        match update {
            Update::Applied(object) => {
                self.troubles.remove(&id);
                self.applied(id, *object)
            }
            Update::Deleted(name) => self.deleted(id, name),
            Update::Complete => {
                self.troubles.remove(&id);
                let knew = self.found.is_known(spec);
                match id {
                    WatchId::Nodes => self.found.nodes_complete(),
                    WatchId::Source(source) => self.found.complete(source),
                    WatchId::Copies(_) | WatchId::Resolve | WatchId::Asked => {}
                }
                // What was looked at before this was known could not be decided then.
                let news = self.complete.insert(id) || !knew;
                if news { self.all_nodes() } else { Vec::new() }
            }
            Update::Trouble(trouble) => {
                let knew = self.found.is_known(spec);
                if let (WatchId::Source(source), Trouble::NotServed(_) | Trouble::Forbidden(_)) =
                    (id, &trouble)
                {
                    self.found.unavailable(source, &trouble.to_string());
                }
                self.troubles.insert(id, trouble);
                if knew { Vec::new() } else { self.all_nodes() }
            }
        }
    }

    /// Everything that follows from facts of nodes.
    pub fn all_nodes(&self) -> Vec<Item> {
        let nodes = self.found.node_names().map(str::to_owned).chain(self.resolved.keys().cloned());
        let items = nodes.flat_map(|node| [Item::ClusterNode(node.clone()), Item::Resolve(node)]);
        items.chain([Item::ClusterStatus]).collect()
    }

    fn applied(&mut self, id: WatchId, object: DynamicObject) -> Vec<Item> {
        let name = object.metadata.name.clone().unwrap_or_default();
        match id {
            WatchId::Nodes => {
                let changed = self.found.node_applied(&name, &whole(object));
                if changed { node_items(&name) } else { Vec::new() }
            }
            WatchId::Source(source) => {
                let name = source.object_name(object.metadata.namespace.as_deref(), &name);
                let nodes = self.found.applied(source, &name, &whole(object));
                nodes.map(source_items).unwrap_or_default()
            }
            WatchId::Copies(kind) => {
                let copied = read_object(kind, object).ok().and_then(|object| Copied::of(&object));
                self.copied((kind, name), copied)
            }
            WatchId::Resolve => {
                let Ok(Object::ClusterNode(node)) = read_object(Kind::ClusterNode, object) else {
                    return Vec::new();
                };
                self.resolved.insert(name.clone(), resolved(&node));
                node_items(&name)
            }
            WatchId::Asked => {
                let Ok(object) = read_object(Kind::Diagnosis, object) else { return Vec::new() };
                let mut items = self.copied((Kind::Diagnosis, name.clone()), Copied::of(&object));
                let Object::Diagnosis(Diagnosis { spec, status, .. }) = object else { return items };
                let at = spec.requested_at.map(|time| time.0);
                let asked = Asked { request: spec.request, at, answer: status };
                let before = self.asked.insert(name.clone(), asked).unwrap_or_default();
                let after = &self.asked[&name];
                // The answer changes the object too.
                items.extend((before.answer != after.answer).then(|| Item::Answer(name.clone())));
                items.extend((before.request != after.request).then_some(Item::Copy(Kind::NodeConfig, name)));
                items
            }
        }
    }

    /// A copy is like this now; `None`: there is none.
    fn copied(&mut self, key: (Kind, String), copied: Option<Copied>) -> Vec<Item> {
        let before = match copied {
            Some(copied) => self.copies.insert(key.clone(), copied),
            None => self.copies.remove(&key),
        };
        let after = self.copies.get(&key);
        if before.as_ref() == after { Vec::new() } else { copy_items(&key, [before.as_ref(), after]) }
    }

    fn deleted(&mut self, id: WatchId, ObjectName { namespace, name }: ObjectName) -> Vec<Item> {
        match id {
            WatchId::Nodes => {
                self.found.node_deleted(&name);
                // Nobody is left to clean up on it.
                [node_items(&name), vec![Item::Copy(Kind::NodeConfig, name)]].concat()
            }
            WatchId::Source(source) => {
                let name = source.object_name(namespace.as_deref(), &name);
                self.found.deleted(source, &name).map(source_items).unwrap_or_default()
            }
            WatchId::Copies(kind) => {
                let key = (kind, name);
                let before = self.copies.remove(&key);
                copy_items(&key, [before.as_ref(), None])
            }
            WatchId::Resolve => {
                self.resolved.remove(&name);
                node_items(&name)
            }
            WatchId::Asked => {
                self.asked.remove(&name);
                self.copies.remove(&(Kind::Diagnosis, name.clone()));
                // One that is asked for at the hub may have waited for this one.
                vec![Item::Copy(Kind::Diagnosis, name.clone()), Item::Copy(Kind::NodeConfig, name)]
            }
        }
    }
}

fn whole(object: DynamicObject) -> Value {
    serde_json::to_value(object).unwrap_or_default()
}

fn node_items(name: &str) -> Vec<Item> {
    vec![Item::ClusterNode(name.to_owned()), Item::Resolve(name.to_owned()), Item::ClusterStatus]
}

fn source_items(nodes: BTreeSet<String>) -> Vec<Item> {
    nodes.into_iter().map(Item::ClusterNode).chain([Item::ClusterStatus]).collect()
}

/// What follows from a copy that changed. What the node's agent says is in the sums.
fn copy_items((kind, name): &(Kind, String), before_and_after: [Option<&Copied>; 2]) -> Vec<Item> {
    let reports = before_and_after.into_iter().flatten().filter_map(|copied| copied.report.as_ref());
    let links: BTreeSet<&String> = reports.flat_map(|report| report.links.keys()).collect();
    let sums = links.into_iter().map(|remote| Item::LinkStatus(remote.clone()));
    let copy = Item::Copy(*kind, name.clone());
    match kind {
        Kind::NodeConfig => [copy, Item::ClusterStatus].into_iter().chain(sums).collect(),
        _ => vec![copy],
    }
}

fn resolved(node: &ClusterNode) -> Resolved {
    let found = node.status.iter().flat_map(|status| &status.underlay);
    Resolved {
        asked: node.spec.resolve.clone(),
        underlay: found.filter_map(|ip| ip.0.parse().ok()).collect(),
        uid: node.metadata.uid.clone(),
    }
}

fn describe(id: WatchId) -> String {
    match id {
        WatchId::Nodes => "Nodes".to_owned(),
        WatchId::Source(source) => source.describe().to_owned(),
        WatchId::Copies(kind) => kind.plural().to_owned(),
        WatchId::Resolve => Kind::ClusterNode.plural().to_owned(),
        WatchId::Asked => Kind::Diagnosis.plural().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_looked_at_again_when_a_watch_that_decides_about_them_is_complete() {
        let (mut member, spec) = (Member::default(), ClusterSpec::default());
        let node = serde_json::from_value(serde_json::json!({
            "apiVersion": "v1", "kind": "Node", "metadata": {"name": "n1"},
        }));
        member.take(WatchId::Nodes, Update::Applied(Box::new(node.unwrap())), &spec);
        let sources =
            sources(causeway_api::CniType::Auto).into_iter().map(|source| WatchId::Source(source.id));
        for id in [WatchId::Nodes].into_iter().chain(sources).chain([WatchId::Resolve]) {
            let items = member.take(id, Update::Complete, &spec);
            assert!(items.contains(&Item::Resolve("n1".to_owned())), "{id:?}: {items:?}");
        }
        assert!(member.take(WatchId::Resolve, Update::Complete, &spec).is_empty());
    }

    #[test]
    fn config_maps_of_one_name_are_told_apart_by_their_namespaces() {
        let (mut member, spec) = (Member::default(), ClusterSpec::default());
        let id = WatchId::Source(SourceId::FlannelConfig);
        let map = |namespace: &str, network: &str| {
            let object = serde_json::from_value(serde_json::json!({
                "apiVersion": "v1", "kind": "ConfigMap",
                "metadata": {"name": "kube-flannel-cfg", "namespace": namespace},
                "data": {"net-conf.json": format!("{{\"Network\": \"{network}\"}}")},
            }));
            Update::Applied(Box::new(object.unwrap()))
        };
        let resource = resource(id, "causeway-system");
        assert_eq!((resource.namespace, resource.name.as_deref()), (None, Some("kube-flannel-cfg")));
        member.take(id, map("flannel", "10.1.0.0/16"), &spec);
        member.take(id, map("other", "10.2.0.0/16"), &spec);
        let gone = ObjectName { namespace: Some("other".to_owned()), name: "kube-flannel-cfg".to_owned() };
        member.take(id, Update::Deleted(gone), &spec);
        for source in sources(causeway_api::CniType::Auto) {
            member.take(WatchId::Source(source.id), Update::Complete, &spec);
        }
        member.take(WatchId::Nodes, Update::Complete, &spec);
        let found = member.found.cluster(&spec).unwrap().pod_cidrs;
        let found: Vec<(&str, &str)> =
            found.iter().map(|found| (found.cidr.0.as_str(), found.source.as_str())).collect();
        assert_eq!(found, [("10.1.0.0/16", "ConfigMap flannel/kube-flannel-cfg")]);
    }

    #[test]
    fn an_api_server_of_calico_that_is_down_is_no_problem_where_its_objects_are_seen_without_it() {
        let (mut member, spec) = (Member::default(), ClusterSpec::default());
        member.take(WatchId::Nodes, Update::Complete, &spec);
        for source in sources(causeway_api::CniType::Auto) {
            let update = match source.group {
                "projectcalico.org" => Update::Trouble(Trouble::Unreachable("503".to_owned())),
                _ => Update::Complete,
            };
            member.take(WatchId::Source(source.id), update, &spec);
        }
        assert!(!member.found.is_known(&spec), "it may have what nothing else has");
        assert_eq!(member.problems().len(), 1, "one cause");
        for (source, object) in [
            (SourceId::CalicoPools, serde_json::json!({"cidr": "10.1.0.0/16"})),
            (
                SourceId::CalicoAffinities,
                serde_json::json!({"cidr": "10.1.0.0/26", "node": "n1", "state": "confirmed"}),
            ),
            (SourceId::CalicoBlocks, serde_json::json!({"cidr": "10.1.0.0/26", "affinity": "host:n1"})),
        ] {
            let object = serde_json::from_value(serde_json::json!({
                "apiVersion": "crd.projectcalico.org/v1", "kind": "x", "metadata": {"name": "x"}, "spec": object,
            }));
            member.take(WatchId::Source(source), Update::Applied(Box::new(object.unwrap())), &spec);
        }
        assert!(member.found.is_known(&spec));
        assert_eq!(member.problems().len(), 0);
    }

    fn diagnosis(labels: Value, request: &str, status: Value) -> Update {
        let object = serde_json::from_value(serde_json::json!({
            "apiVersion": causeway_api::API_VERSION, "kind": "Diagnosis", "metadata": {"name": "n1", "labels": labels},
            "spec": {"request": request}, "status": status,
        }));
        Update::Applied(Box::new(object.unwrap()))
    }

    #[test]
    fn a_request_for_a_test_is_passed_on_once_and_its_answer_is_none() {
        let (mut member, spec) = (Member::default(), ClusterSpec::default());
        let mut items = |update| member.take(WatchId::Asked, update, &spec);
        let (config, test) =
            (Item::Copy(Kind::NodeConfig, "n1".to_owned()), Item::Copy(Kind::Diagnosis, "n1".to_owned()));
        let answer = Item::Answer("n1".to_owned());
        let of = |request: &str, answered: &str| {
            diagnosis(Value::Null, request, serde_json::json!({"request": answered}))
        };
        assert_eq!(items(diagnosis(Value::Null, "1", Value::Null)), std::slice::from_ref(&config));
        assert_eq!(items(of("1", "1")), [answer]);
        assert_eq!(items(of("1", "1")), []);
        assert_eq!(items(of("2", "1")), std::slice::from_ref(&config));
        let gone = Update::Deleted(ObjectName { namespace: None, name: "n1".to_owned() });
        assert_eq!(items(gone), [test, config], "one that is asked for at the hub may have waited");
        assert!(member.asked.is_empty());
    }

    #[test]
    fn a_request_of_the_hub_is_a_copy_and_one_of_the_member_is_none() {
        let (mut member, spec) = (Member::default(), ClusterSpec::default());
        let key = (Kind::Diagnosis, "n1".to_owned());
        member.take(WatchId::Asked, diagnosis(Value::Null, "1", Value::Null), &spec);
        assert!(!member.copies.contains_key(&key) && member.asked["n1"].request == "1");
        let labels = serde_json::json!({causeway_api::COPIED_LABEL: "true"});
        let items = member.take(WatchId::Asked, diagnosis(labels, "2", Value::Null), &spec);
        assert!(items.contains(&Item::Copy(Kind::Diagnosis, "n1".to_owned())), "{items:?}");
        assert!(member.copies.contains_key(&key) && member.asked["n1"].request == "2");
        let gone = Update::Deleted(ObjectName { namespace: None, name: "n1".to_owned() });
        member.take(WatchId::Asked, gone, &spec);
        assert!(!member.copies.contains_key(&key));
    }

    #[test]
    fn what_an_agent_says_of_a_link_is_summed_up_whenever_it_says_so() {
        let (mut member, spec) = (Member::default(), ClusterSpec::default());
        let config = |ready: bool| {
            let object = serde_json::from_value(serde_json::json!({
                "apiVersion": causeway_api::API_VERSION, "kind": "NodeConfig",
                "metadata": {"name": "n1", "labels": {causeway_api::COPIED_LABEL: "true"}},
                "spec": {
                    "cluster": "a", "role": "Node", "overlay": ["198.18.0.1", "fd63::1"],
                    "tunnels": {"bridge": {"vni": 54, "port": 4876}},
                },
                "status": {"links": [{"remoteCluster": "b", "ready": ready}]},
            }));
            Update::Applied(Box::new(object.unwrap()))
        };
        let id = WatchId::Copies(Kind::NodeConfig);
        let link = Item::LinkStatus("b".to_owned());
        assert!(member.take(id, config(true), &spec).contains(&link));
        assert!(member.take(id, config(true), &spec).is_empty());
        assert!(member.take(id, config(false), &spec).contains(&link));
        let gone = Update::Deleted(ObjectName { namespace: None, name: "n1".to_owned() });
        assert!(member.take(id, gone, &spec).contains(&link));
    }
}
