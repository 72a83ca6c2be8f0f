//! Services that nodes do not translate, beside those that do not answer for other reasons.

use causeway_lab::{ECHO_PORT, Lab};
use serde_json::Value;

use crate::{doctor_with, is_named, is_well, on, well};

const PAIR: &str =
    "clusters: [{name: a, nodes: 1, services: []}, {name: b, nodes: 1, services: [{name: web}]}]";

/// Runs doctor with all Services of the bed.
fn doctor(lab: &Lab) -> (Option<i32>, Value) {
    let topology = lab.topology().unwrap();
    let services = topology.clusters.iter().flat_map(|cluster| {
        let addresses = cluster.services.iter().flat_map(|service| &service.addresses);
        addresses.map(|address| {
            format!("--service={}/{}", cluster.name, std::net::SocketAddr::new(*address, ECHO_PORT))
        })
    });
    let words: Vec<String> = services.collect();
    doctor_with(lab, &words.iter().map(String::as_str).collect::<Vec<_>>())
}

/// How the connections of a node ended, one of each Service and family.
fn tried<'a>(said: &'a Value, node: &str) -> Vec<&'a Value> {
    let nodes = said["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|one| one["node"] == node).unwrap();
    found["services"].as_array().into_iter().flatten().collect()
}

#[test]
fn services_that_are_translated_are_answered_in_every_mode_and_nothing_is_found() {
    let lab = well(
        "doctor-services",
        "clusters:
  - {name: a, nodes: 2, services: [{name: web}]}
  - {name: b, nodes: 3, services: [{name: web}], spec: {mode: Gateway, gateways: {count: 1}}}",
    );
    let said = is_well(doctor(&lab));
    let tried: Vec<&Value> =
        ["a/n1", "a/n2", "b/n1", "b/n2", "b/n3"].into_iter().flat_map(|node| tried(&said, node)).collect();
    // Two nodes and one gateway, each to both Services in both families.
    assert_eq!(tried.len(), 12, "{said:#}");
    assert!(tried.iter().all(|one| one["answered"] == one["tried"] && one["tried"] == 3), "{said:#}");
    assert_eq!(tried.iter().filter(|one| one["untranslated"] == 0).count(), 6, "{said:#}");
}

#[test]
fn services_under_global_addresses_are_tried_as_each_cluster_sees_them() {
    let global = "services: [{name: web}], podCIDRs: [10.1.0.0/16], serviceCIDRs: [10.97.0.0/16], spec: {globalCIDRs: {mode: Auto}}";
    let lab = well(
        "doctor-global",
        &format!("clusters:\n  - {{name: a, nodes: 1, {global}}}\n  - {{name: b, nodes: 1, {global}}}"),
    );
    let said = is_well(doctor(&lab));
    for node in ["a/n1", "b/n1"] {
        let tried = tried(&said, node);
        assert_eq!(tried.len(), 2, "{said:#}");
        assert!(tried.iter().all(|one| one["answered"] == 3), "{said:#}");
        assert_ne!(tried[0]["address"], tried[1]["address"], "{said:#}");
    }
    on(&lab, "b/n1", "nft delete table ip kube-proxy");
    is_named(doctor(&lab), "CW1208", &["b/n1"]);
}

#[test]
fn a_node_without_rules_for_services_is_named_though_its_pods_are_reached() {
    let lab = well("doctor-kube-proxy", PAIR);
    on(&lab, "b/n1", "nft delete table ip kube-proxy");
    let said = is_named(doctor(&lab), "CW1208", &["b/n1"]);
    let evidence = said["findings"][0]["evidence"].to_string();
    assert!(evidence.contains("over eth0") && evidence.contains("table ip6 kube-proxy"), "{evidence}");
    // Who is not told of Services cannot know.
    is_well(crate::doctor(&lab));
}

#[test]
fn a_node_that_translates_for_its_own_programs_only_is_named() {
    let lab = well("doctor-sockets", PAIR);
    for table in ["ip", "ip6"] {
        on(&lab, "b/n1", &format!("nft delete chain {table} kube-proxy nat-prerouting"));
    }
    let said = is_named(doctor(&lab), "CW1208", &["b/n1"]);
    assert!(tried(&said, "b/n1").iter().all(|one| one["answered"] == 3), "{said:#}");
    assert!(tried(&said, "a/n1").iter().all(|one| one["answered"] == 0), "{said:#}");
}

#[test]
fn backends_that_do_not_answer_or_refuse_are_no_trouble_of_kube_proxy() {
    let lab = well("doctor-backend", PAIR);
    let chain =
        "nft add table inet wall && nft add chain inet wall i '{ type filter hook input priority 0; }'";
    let rule = format!("nft add rule inet wall i tcp dport {ECHO_PORT}");
    on(&lab, "b/n1/p1", &format!("{chain} && {rule} drop"));
    let said = is_well(doctor(&lab));
    assert!(tried(&said, "a/n1").iter().all(|one| one["answered"] == 0), "{said:#}");
    on(&lab, "b/n1/p1", &format!("nft flush ruleset && {chain} && {rule} reject with tcp reset"));
    let said = is_well(doctor(&lab));
    assert!(tried(&said, "a/n1").iter().all(|one| one["answered"] == 3), "{said:#}");
}
