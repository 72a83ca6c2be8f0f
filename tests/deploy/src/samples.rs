//! Objects for API servers to judge.

use serde_json::{Value, json};

/// An object of each kind that has something in every field with a rule of its own, and is in order.
///
/// # Panics
/// If there is no such kind.
pub fn full(kind: &str) -> Value {
    let global = json!([{"cidr": "10.1.0.0/16", "global": "100.64.0.0/16"}]);
    let tunnels = json!({"bridge": {"vni": 54, "port": 4876}});
    let (name, spec) = match kind {
        "ClusterSet" => (
            "default",
            json!({
                "overlayCIDRs": ["198.18.0.0/15"], "globalCIDRPool": ["100.64.0.0/10"],
                "tunnels": {"bridge": {"vni": 54, "port": 4876}, "local": {"vni": 55, "port": 4877}},
            }),
        ),
        "Cluster" => (
            "east",
            json!({
                "mode": "Gateway", "podCIDRs": ["10.1.0.0/16"], "serviceCIDRs": ["10.96.0.0/16"],
                "globalCIDRs": {"mode": "Map", "map": global},
                "nodeSelector": {"matchExpressions": [{"key": "a", "operator": "In", "values": ["b"]}]},
                "gateways": {"count": 2, "nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Exists"}]}},
                "underlay": {"source": "CanReach", "canReach": "192.0.2.1"},
            }),
        ),
        "ClusterNode" => (
            "n1",
            json!({
                "underlay": ["192.0.2.1", "2001:db8::1"], "podCIDRs": ["10.1.0.0/24"],
                "resolve": {"canReach": "192.0.2.1"},
            }),
        ),
        "NodeConfig" => (
            "n1",
            json!({
                "cluster": "east", "role": "Node", "underlay": ["192.0.2.1"], "overlay": ["198.18.0.1", "fd63::1"],
                "tunnels": tunnels, "localPodCIDRs": ["10.1.0.0/24"], "globalCIDRs": global,
                "own": {"podCIDRs": ["10.1.0.0/16"], "serviceCIDRs": ["10.96.0.0/16"], "overlayCIDRs": ["198.18.0.0/24"]},
            }),
        ),
        "ClusterLink" => (
            "west",
            json!({
                "sourceCluster": "east", "remoteCluster": "west", "via": "Nodes",
                "prefixes": [{"cidr": "10.2.0.0/16", "kind": "Pod", "via": "Nodes"}],
            }),
        ),
        "PeerSlice" => (
            "east.nodes.0",
            json!({
                "cluster": "east", "scope": "Nodes", "index": 0, "peers": [{
                    "node": "n1", "underlay": ["192.0.2.1"], "overlay": ["198.18.0.1", "fd63::1"],
                    "podCIDRs": ["10.1.0.0/24"],
                }],
            }),
        ),
        "Diagnosis" => (
            "n1",
            json!({
                "request": "r1", "requestedAt": "2026-01-01T00:00:00Z",
                "services": [{"cluster": "east", "name": "default/kubernetes", "address": "10.96.0.1", "port": 443}],
                "targets": [{
                    "cluster": "west", "node": "w1", "underlay": ["192.0.2.9"], "overlay": ["198.18.1.1"], "pods": ["10.2.0.5"],
                }],
            }),
        ),
        other => panic!("{other}"),
    };
    json!({"apiVersion": "causeway.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}
