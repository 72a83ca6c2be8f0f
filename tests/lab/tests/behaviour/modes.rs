//! Modes: every pair of them, changes between them, and gateways.

use causeway_lab::{CheckOptions, Lab, StreamOptions};
use causeway_model::Family;
use serde_json::json;

use crate::bed::{all_is_well, becomes_well, eventually, linked, object, reaches, wait_for_condition, well};
use crate::common::in_bed;

#[test]
fn two_p2p_clusters_reach_each_other() {
    well("p2p", "clusters: [{name: a, nodes: 2}, {name: b, nodes: 2}]");
}

#[test]
fn two_gateway_clusters_reach_each_other_from_internal_nodes_and_gateways() {
    well(
        "gateways",
        "clusters: [{name: a, nodes: 3, spec: {mode: Gateway}}, {name: b, nodes: 3, spec: {mode: Gateway}}]",
    );
}

#[test]
fn a_p2p_and_a_gateway_cluster_reach_each_other() {
    well("mixed", "clusters: [{name: a, nodes: 2}, {name: b, nodes: 4, spec: {mode: Gateway}}]");
}

#[test]
fn three_clusters_of_three_kinds_reach_each_other() {
    let lab = well("three", include_str!("../../topologies/demo.yaml"));
    let role = |node: &str| object(&lab, &format!("nodeconfigs/causeway-cluster-{node}.yaml")).unwrap();
    assert_eq!(role("alpha/n1")["spec"]["role"], "Node");
    assert_eq!(role("beta/gw1")["spec"]["role"], "Gateway");
    assert_eq!(role("beta/in1")["spec"]["role"], "Internal");
}

#[test]
fn the_mode_changes_back_and_forth_while_traffic_runs() {
    let lab = well("change", "clusters: [{name: a, nodes: 3}, {name: b, nodes: 2}]");
    let stream =
        lab.stream(&StreamOptions::new("a/n3/p1".parse().unwrap(), "b/n2/p1".parse().unwrap())).unwrap();
    for (mode, role) in [("Gateway", "Internal"), ("P2P", "Node")] {
        lab.objects().patch_cluster(&"a".parse().unwrap(), &json!({ "mode": mode })).unwrap();
        eventually("the new role", || {
            let config = object(&lab, "nodeconfigs/causeway-cluster-a/n3.yaml").unwrap();
            if config["spec"]["role"] == role { Ok(()) } else { Err(config["spec"]["role"].to_string()) }
        });
        becomes_well(&lab);
    }
    let report = stream.finish().unwrap();
    assert!(report.lost() * 5 < report.sent(), "most packets arrive all the while: {report:?}");
}

/// Packets that each node has sent over a device.
fn sent(lab: &Lab, node: &str, device: &str) -> u64 {
    let shown = in_bed(lab, node, &["ip", "-s", "-j", "link", "show", device]);
    let links: serde_json::Value = serde_json::from_str(&shown).unwrap();
    links[0]["stats64"]["tx"]["packets"].as_u64().unwrap()
}

/// Two Gateway clusters with so many gateways each, and an internal node with many pods: all gateways
/// carry traffic, requests and replies take different ones, and nothing is lost though every node
/// drops what connection tracking calls invalid.
fn all_gateways_carry_traffic(gateways: usize) {
    let edges: Vec<String> =
        (1..=gateways).map(|n| format!("{{name: g{n}, labels: {{role: edge}}}}")).collect();
    let cluster = format!(
        "nodes: [{}, {{name: in, pods: 12}}],
     spec: {{mode: Gateway, gateways: {{count: {gateways}, nodeSelector: {{matchLabels: {{role: edge}}}}}}}}",
        edges.join(", ")
    );
    let yaml = format!("clusters:\n  - {{name: a, {cluster}}}\n  - {{name: b, {cluster}}}");
    let lab = linked(&format!("gateways{gateways}"), &yaml);
    let gateways: Vec<String> =
        ["a", "b"].iter().flat_map(|c| (1..=gateways).map(move |n| format!("{c}/g{n}"))).collect();
    reaches(&lab, "a/in", "b/in");
    let counts = || gateways.iter().map(|node| sent(&lab, node, "vx-bridge")).collect::<Vec<_>>();
    let before = counts();
    // The kernel spreads by pairs of addresses: 144 of them miss none of 8 gateways.
    let options = CheckOptions {
        from: vec!["a/in".to_owned()],
        to: vec!["b/in".to_owned()],
        quick: true,
        ..CheckOptions::default()
    };
    let report = lab.check(&options).unwrap();
    assert!(report.is_fine(), "{}", report.to_table());
    assert!(report.checks.iter().all(|c| c.answer().is_some_and(|a| a.attempts == 1)), "packets were lost");
    for (node, (before, after)) in gateways.iter().zip(before.iter().zip(counts())) {
        assert!(after > *before, "{node} has sent nothing");
    }
}

#[test]
fn two_gateways_all_carry_traffic() {
    all_gateways_carry_traffic(2);
}

#[test]
fn three_gateways_all_carry_traffic() {
    all_gateways_carry_traffic(3);
}

#[test]
fn eight_gateways_all_carry_traffic() {
    all_gateways_carry_traffic(8);
}

#[test]
fn gateways_are_those_that_the_selector_names_and_too_few_are_used_and_said() {
    let lab = well(
        "selector",
        "clusters:
  - name: a
    nodes: 1
  - name: b
    nodes: [{name: n1}, {name: n2, labels: {role: edge}}, {name: n3}]
    spec: {mode: Gateway, gateways: {count: 3, nodeSelector: {matchLabels: {role: edge}}}}",
    );
    let message = wait_for_condition(&lab, "clusters/b.status.yaml", "Degraded", "True TooFewGateways");
    assert!(message.contains('1') && message.contains('3'), "{message}");
    let status = object(&lab, "clusters/b.status.yaml").unwrap();
    assert_eq!(status["status"]["gateways"], json!(["n2"]));
}

#[test]
fn a_cluster_without_gateways_says_so_and_disturbs_nobody() {
    let lab = well(
        "none",
        "clusters:
  - {name: a, nodes: 1}
  - name: b
    nodes: 2
    spec: {mode: Gateway, gateways: {nodeSelector: {matchLabels: {role: edge}}}}
  - {name: c, nodes: 1}
expect:
  - {from: b, to: a, reachable: false}
  - {from: b, to: c, reachable: false}
  - {from: a, to: b, reachable: false}
  - {from: c, to: b, reachable: false}",
    );
    wait_for_condition(&lab, "clusters/b.status.yaml", "Ready", "False NoGateway");
    wait_for_condition(&lab, "clusterlinks/causeway-cluster-a/b.yaml", "Accepted", "False NoGateway");
    wait_for_condition(&lab, "clusterlinks/causeway-cluster-b/a.yaml", "Accepted", "False NoGateway");
    wait_for_condition(&lab, "clusterlinks/causeway-cluster-a/c.yaml", "Accepted", "True Accepted");
}

#[test]
fn a_node_with_the_exclusion_label_takes_no_part() {
    let lab = well(
        "exclude",
        r#"clusters:
  - {name: a, nodes: 1}
  - {name: b, nodes: [{name: n1}, {name: n2, labels: {causeway.dev/exclude: "true"}}], services: [{name: echo, backends: [n1]}]}
expect:
  - {from: a, to: b/n2, reachable: false}
  - {from: b/n2, to: a, reachable: false}"#,
    );
    wait_for_condition(&lab, "clusternodes/causeway-cluster-b/n2.status.yaml", "Ready", "False NodeExcluded");
    assert!(object(&lab, "nodeconfigs/causeway-cluster-b/n2.yaml").is_none());
    let devices = in_bed(&lab, "b/n2", &["ip", "link"]);
    assert!(!devices.contains("vx-"), "{devices}");
    let report = all_is_well(&lab);
    assert!(report.reaches("a/n1/p1", "b/n1/p1", Family::V6));
}
