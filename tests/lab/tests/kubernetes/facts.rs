//! Facts of Kubernetes that change, and the network that follows them.

use causeway_model::NodeId;
use serde_json::json;

use crate::bed::{becomes, becomes_well, condition, get, kubectl, names, well};
use crate::common::in_bed;

const MIXED: &str = r#"
clusters:
  - name: east
    cni: vxlan
    nodes: 2
  - name: west
    spec: {mode: Gateway, gateways: {count: 2}}
    nodes: 3
"#;

#[test]
fn nodes_modes_and_cidrs_are_followed() {
    let lab = well("facts", MIXED);
    for (cluster, nodes) in [("east", 2), ("west", 3)] {
        becomes(&format!("the status of {cluster}"), (json!({"ready": nodes, "total": nodes}), true), || {
            let status = get(&lab, "hub", &["cluster", cluster]);
            let all = ["Accepted", "Ready", "Discovered", "Programmed"];
            let good = all
                .iter()
                .all(|type_| condition(&status, type_).is_some_and(|said| said.starts_with("True")));
            (status["status"]["nodes"].clone(), good)
        });
    }
    let namespace = ["-n", "causeway-cluster-east"];
    becomes("the link to be ready", Some("True Ready".to_owned()), || {
        condition(&get(&lab, "hub", &[&["clusterlink", "west"], &namespace[..]].concat()), "Ready")
    });

    // A node joins, in a prefix that no node had: the cluster's pod CIDRs grow with it.
    let node: NodeId = lab.add_node(&"east".parse().unwrap(), "{labels: {role: new}}").unwrap();
    becomes_well(&lab);

    // Not ready: it keeps its traffic, and the hub knows.
    let patch = json!({"status": {"conditions": [{
        "type": "Ready", "status": "False", "reason": "Test", "message": "",
        "lastHeartbeatTime": "2026-01-01T00:00:00Z", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    let patch = patch.to_string();
    kubectl(
        &lab,
        "east",
        &["patch", "node", node.node.as_str(), "--subresource=status", "--type=merge", "-p", &patch],
    );
    becomes("the hub to know that the node is not ready", json!(false), || {
        get(&lab, "hub", &[&["clusternode", node.node.as_str()], &namespace[..]].concat())["spec"]["ready"]
            .clone()
    });
    becomes_well(&lab);

    // Without an address it cannot take part, which is told; and no more once it has one.
    let ready = || {
        let object = get(&lab, "hub", &[&["clusternode", node.node.as_str()], &namespace[..]].concat());
        condition(&object, "Ready")
    };
    let addresses = get(&lab, "east", &["node", node.node.as_str()])["status"]["addresses"].clone();
    for (addresses, expected) in [(json!([]), Some("False NoUnderlayAddress".to_owned())), (addresses, None)]
    {
        let patch = json!({"status": {"addresses": addresses}}).to_string();
        let status = ["--subresource=status", "--type=merge", "-p", &patch];
        kubectl(&lab, "east", &[&["patch", "node", node.node.as_str()], &status[..]].concat());
        becomes("the node's condition", expected, ready);
    }
    becomes_well(&lab);

    // It leaves.
    lab.remove_node(&node).unwrap();
    becomes("the node to be gone at the hub", vec!["n1".to_owned(), "n2".to_owned()], || {
        names(&lab, "hub", &[&["clusternodes"], &namespace[..]].concat())
    });
    becomes("the node to be gone at the member", vec!["n1".to_owned(), "n2".to_owned()], || {
        names(&lab, "east", &["nodeconfigs", "-n", "causeway-system"])
    });
    becomes_well(&lab);

    // Modes are changed by anyone who may write a Cluster.
    kubectl(
        &lab,
        "hub",
        &["patch", "cluster", "east", "--type=merge", "-p", r#"{"spec":{"mode":"Gateway"}}"#],
    );
    becomes("east to be reached through gateways", json!("Gateways"), || {
        get(&lab, "hub", &["clusterlink", "east", "-n", "causeway-cluster-west"])["spec"]["via"].clone()
    });
    becomes_well(&lab);
    kubectl(&lab, "hub", &["patch", "cluster", "west", "--type=merge", "-p", r#"{"spec":{"mode":"P2P"}}"#]);
    becomes("west to be reached straight", json!("Nodes"), || {
        get(&lab, "hub", &["clusterlink", "west", "-n", "causeway-cluster-east"])["spec"]["via"].clone()
    });
    becomes_well(&lab);
}

#[test]
fn agents_find_the_underlay_addresses_of_their_nodes() {
    let lab = well(
        "underlay",
        r#"
clusters:
  - {name: east, nodes: 2, spec: {underlay: {source: Interface, interface: eth0}}}
  - {name: west, nodes: 1, spec: {underlay: {source: CanReach, canReach: 172.16.0.1}}}
"#,
    );
    let underlay = |cluster: &str, node: &str| {
        let namespace = format!("causeway-cluster-{cluster}");
        get(&lab, "hub", &["clusternode", node, "-n", &namespace])["spec"]["underlay"].clone()
    };
    assert_eq!(underlay("east", "n1"), json!(["172.16.0.11", "fd20::b"]));
    assert_eq!(underlay("west", "n1"), json!(["172.16.4.11"]));

    // An address that changes is followed.
    for command in [
        "addr del 172.16.0.12/22 dev eth0",
        "addr add 172.16.0.77/22 dev eth0",
        "route add default via 172.16.0.1",
    ] {
        let words: Vec<&str> = ["ip"].into_iter().chain(command.split(' ')).collect();
        in_bed(&lab, "east/n2", &words);
    }
    becomes("the new address to be known", json!(["172.16.0.77", "fd20::c"]), || underlay("east", "n2"));
    becomes("the node to be programmed with it", Some("True InKernel".to_owned()), || {
        let config = get(&lab, "east", &["nodeconfig", "n2", "-n", "causeway-system"]);
        let is_new = config["spec"]["underlay"][0] == "172.16.0.77";
        condition(&config, "Programmed").filter(|_| is_new)
    });
}

#[test]
fn overlapping_clusters_reach_each_other_under_global_cidrs() {
    let lab = well(
        "overlap",
        r#"
clusters:
  - name: east
    spec: {globalCIDRs: {mode: Auto}}
    podCIDRs: [10.1.0.0/16]
    nodes: 2
  - name: west
    spec: {globalCIDRs: {mode: Auto}}
    podCIDRs: [10.1.0.0/16]
    nodes: 2
"#,
    );
    let status = get(&lab, "hub", &["cluster", "west"]);
    assert_eq!(condition(&status, "Accepted").as_deref(), Some("True Accepted"));
    assert!(!status["status"]["globalCIDRs"].as_array().unwrap().is_empty(), "{status}");
}
