//! Facts of one node, from its Node object.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_api::{Cidr, ClusterNodeSpec, ClusterSpec, Ip, UnderlaySource};
use causeway_model::{DualStack, EXCLUDE_LABEL, Prefix};
use serde_json::Value;

use crate::read::{prefixes, text};

/// The default of `spec.underlay.annotation`.
const UNDERLAY_ANNOTATION: &str = "causeway.dev/underlay";
/// How many pod prefixes a ClusterNode holds.
pub(crate) const POD_CIDRS: usize = 64;

/// What of a Node is used. A kubelet's heartbeat changes none of it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Node {
    /// Its `spec.podCIDRs`.
    pub pod_cidrs: Vec<Prefix>,
    internal: Vec<IpAddr>,
    external: Vec<IpAddr>,
    annotations: BTreeMap<String, String>,
    labels: BTreeMap<String, String>,
    ready: bool,
    cordoned: bool,
    /// Whether flannel wrote on it.
    pub(crate) has_flannel: bool,
}

impl Node {
    /// Reads a Node. What cannot be read of it is left out, and said.
    pub fn read(object: &Value) -> (Node, Vec<String>) {
        let mut findings = Vec::new();
        let words = object.pointer("/spec/podCIDRs").and_then(Value::as_array);
        let single = text(object, "/spec/podCIDR");
        let words: Vec<&str> = match words {
            Some(words) => words.iter().filter_map(Value::as_str).collect(),
            None => single.into_iter().collect(),
        };
        let pod_cidrs = prefixes("spec.podCIDRs", words, &mut findings);
        let (mut internal, mut external) = (Vec::new(), Vec::new());
        for entry in object.pointer("/status/addresses").and_then(Value::as_array).into_iter().flatten() {
            let address = text(entry, "/address").and_then(|address| address.parse().ok());
            match (text(entry, "/type"), address) {
                (Some("InternalIP"), Some(address)) => internal.push(address),
                (Some("ExternalIP"), Some(address)) => external.push(address),
                // Host names, and types that others invented.
                _ => {}
            }
        }
        let ready =
            object.pointer("/status/conditions").and_then(Value::as_array).is_some_and(|conditions| {
                let is_ready = |one: &&Value| text(one, "/type") == Some("Ready");
                conditions.iter().find(is_ready).and_then(|one| text(one, "/status")) == Some("True")
            });
        let mut annotations = map(object, "/metadata/annotations");
        let has_flannel = annotations.keys().any(|key| key.starts_with("flannel.alpha.coreos.com/"));
        // Whole manifests and other programs' notes are of no use here.
        annotations.retain(|_, value| value.len() <= 128);
        (
            Node {
                pod_cidrs,
                internal,
                external,
                annotations,
                labels: map(object, "/metadata/labels"),
                ready,
                cordoned: object.pointer("/spec/unschedulable").and_then(Value::as_bool) == Some(true),
                has_flannel,
            },
            findings,
        )
    }

    /// Whether Calico wrote an address on it.
    pub(crate) fn has_calico(&self) -> bool {
        self.annotations.keys().any(|key| key.starts_with("projectcalico.org/IPv"))
    }
}

fn map(object: &Value, at: &str) -> BTreeMap<String, String> {
    let entries = object.pointer(at).and_then(Value::as_object).into_iter().flatten();
    entries.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

/// The keys of the labels that decide whether a node takes part, and whether it may be a gateway.
pub fn node_selector_keys(spec: &ClusterSpec) -> BTreeSet<&str> {
    let gateways = spec.gateways.as_ref().and_then(|gateways| gateways.node_selector.as_ref());
    let selectors = spec.node_selector.iter().chain(gateways);
    selectors
        .flat_map(|selector| {
            let labels = selector.match_labels.keys().map(String::as_str);
            labels.chain(selector.match_expressions.iter().map(|expression| expression.key.as_str()))
        })
        .chain([EXCLUDE_LABEL])
        .collect()
}

/// What a ClusterNode says of a node: `pods` are its own prefixes, `resolved` the underlay addresses that
/// its agent found, where the cluster's spec leaves that to it.
pub fn clusternode(node: &Node, spec: &ClusterSpec, pods: &[Prefix], resolved: &[IpAddr]) -> ClusterNodeSpec {
    let keys = node_selector_keys(spec);
    let labels = node.labels.iter().filter(|(key, _)| keys.contains(key.as_str()));
    let zone = node.labels.get("topology.kubernetes.io/zone").filter(|zone| !zone.is_empty());
    ClusterNodeSpec {
        underlay: underlay(node, spec, resolved).addresses().map(|address| Ip(address.to_string())).collect(),
        pod_cidrs: pods.iter().take(POD_CIDRS).map(|prefix| Cidr(prefix.to_string())).collect(),
        ready: (!node.ready).then_some(false),
        cordoned: node.cordoned.then_some(true),
        zone: zone.cloned(),
        labels: labels.map(|(key, value)| (key.clone(), value.clone())).collect(),
        ..ClusterNodeSpec::default()
    }
}

fn underlay(node: &Node, spec: &ClusterSpec, resolved: &[IpAddr]) -> DualStack<Option<IpAddr>> {
    let underlay = spec.underlay.clone().unwrap_or_default();
    let source = underlay.source.as_ref().map_or(Some(UnderlaySource::InternalIp), |source| source.get());
    let usable = |address: &IpAddr| !address.is_loopback() && !address.is_unspecified();
    let of = |addresses: &[IpAddr]| DualStack::first_of_each(addresses.iter().copied().filter(usable));
    match source {
        Some(UnderlaySource::InternalIp) => of(&node.internal),
        Some(UnderlaySource::ExternalIp) => of(&node.external),
        Some(UnderlaySource::Annotation) => {
            let key = underlay.annotation.as_deref().unwrap_or(UNDERLAY_ANNOTATION);
            let words = node.annotations.get(key).map(String::as_str).unwrap_or_default();
            let addresses: Vec<IpAddr> =
                words.split(',').filter_map(|word| word.trim().parse().ok()).collect();
            of(&addresses)
        }
        Some(UnderlaySource::Interface | UnderlaySource::CanReach) => of(resolved),
        // A word that this version does not know: the planner says that it has no address.
        None => DualStack::default(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn node() -> Value {
        json!({
            "metadata": {
                "name": "n1",
                "labels": {"role": "gateway", "other": "x", "topology.kubernetes.io/zone": "z1"},
                "annotations": {"causeway.dev/underlay": "192.0.2.9, 2001:db8::9"},
            },
            "spec": {"podCIDRs": ["10.1.0.0/24", "fd00:1::/64", "nonsense"]},
            "status": {
                "addresses": [
                    {"type": "Hostname", "address": "n1"},
                    {"type": "InternalIP", "address": "192.0.2.1"},
                    {"type": "InternalIP", "address": "192.0.2.2"},
                    {"type": "InternalIP", "address": "2001:db8::1"},
                    {"type": "ExternalIP", "address": "198.51.100.1"},
                ],
                "conditions": [{"type": "Ready", "status": "True", "lastHeartbeatTime": "2026-01-01T00:00:00Z"}],
            },
        })
    }

    fn spec(value: Value) -> ClusterSpec {
        serde_json::from_value(value).unwrap()
    }

    fn underlay_of(cluster: Value) -> Vec<String> {
        let resolved = ["203.0.113.5".parse().unwrap()];
        let spec = clusternode(&Node::read(&node()).0, &spec(cluster), &[], &resolved);
        spec.underlay.into_iter().map(|ip| ip.0).collect()
    }

    #[test]
    fn a_bad_prefix_is_said_and_the_others_are_used() {
        let (node, findings) = Node::read(&node());
        assert_eq!(node.pod_cidrs.len(), 2);
        assert!(findings[0].contains("nonsense"), "{findings:?}");
    }

    #[test]
    fn a_heartbeat_changes_nothing() {
        let mut later = node();
        later["status"]["conditions"][0]["lastHeartbeatTime"] = json!("2026-01-01T00:05:00Z");
        later["metadata"]["resourceVersion"] = json!("77");
        assert_eq!(Node::read(&node()), Node::read(&later));
    }

    #[test]
    fn underlay_addresses_come_from_where_the_cluster_says() {
        assert_eq!(underlay_of(json!({})), ["192.0.2.1", "2001:db8::1"]);
        assert_eq!(underlay_of(json!({"underlay": {"source": "ExternalIP"}})), ["198.51.100.1"]);
        let annotated = underlay_of(json!({"underlay": {"source": "Annotation"}}));
        assert_eq!(annotated, ["192.0.2.9", "2001:db8::9"]);
        let resolved = underlay_of(json!({"underlay": {"source": "Interface", "interface": "eth1"}}));
        assert_eq!(resolved, ["203.0.113.5"]);
        assert!(underlay_of(json!({"underlay": {"source": "Divination"}})).is_empty());
    }

    #[test]
    fn only_labels_that_selectors_name_are_told() {
        let cluster = spec(json!({"gateways": {"nodeSelector": {"matchLabels": {"role": "gateway"}}}}));
        let told = clusternode(&Node::read(&node()).0, &cluster, &[], &[]);
        assert_eq!(told.labels, BTreeMap::from([("role".to_owned(), "gateway".to_owned())]));
        assert_eq!((told.zone.as_deref(), told.ready), (Some("z1"), None));
        let mut sick = node();
        sick["status"]["conditions"][0]["status"] = json!("Unknown");
        assert_eq!(clusternode(&Node::read(&sick).0, &cluster, &[], &[]).ready, Some(false));
        let mut cordoned = node();
        cordoned["spec"]["unschedulable"] = json!(true);
        assert_eq!(clusternode(&Node::read(&cordoned).0, &cluster, &[], &[]).cordoned, Some(true));
    }
}
