//! IP families: of pods and Services, of the underlay, and one inside the other.

use crate::bed::{object, wait_for_condition, well};
use crate::common::in_bed;

/// A cluster of one family.
const V4: &str = "podCIDRs: [10.1.0.0/16], serviceCIDRs: [10.129.0.0/16]";
const V6: &str = r#"podCIDRs: ["fd10:9::/48"], serviceCIDRs: ["fd11:9::/112"]"#;

#[test]
fn dual_stack_clusters_reach_each_other_in_both_families() {
    let lab = well("dual", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 1}]");
    for address in [&["-4"][..], &["-6"]] {
        let routes = in_bed(&lab, "a/n1", &[&["ip"], address, &["route", "show", "table", "4876"]].concat());
        assert!(routes.contains("vx-bridge"), "{address:?}: {routes}");
    }
}

#[test]
fn a_dual_stack_and_an_ipv4_cluster_reach_each_other_in_ipv4() {
    well("dual4", &format!("clusters: [{{name: a, nodes: 2, {V4}}}, {{name: b, nodes: 2}}]"));
}

#[test]
fn an_ipv6_and_a_dual_stack_cluster_reach_each_other_in_ipv6() {
    well("dual6", &format!("clusters: [{{name: a, nodes: 2, {V6}}}, {{name: b, nodes: 2}}]"));
}

#[test]
fn clusters_without_a_common_family_have_no_way_and_the_link_says_why() {
    let lab = well(
        "disjoint",
        &format!(
            "clusters: [{{name: a, nodes: 1, {V4}}}, {{name: b, nodes: 1, {V6}}}, {{name: c, nodes: 1}}]
expect:
  - {{from: a, to: b, reachable: false}}
  - {{from: b, to: a, reachable: false}}"
        ),
    );
    for path in ["clusterlinks/causeway-cluster-a/b.yaml", "clusterlinks/causeway-cluster-b/a.yaml"] {
        wait_for_condition(&lab, path, "Accepted", "False NoCommonIPFamily");
        assert!(
            object(&lab, path).unwrap()["spec"].get("prefixes").is_none_or(|p| p == &serde_json::json!([]))
        );
    }
}

#[test]
fn a_node_that_lacks_a_family_lacks_that_family_alone() {
    let lab = well(
        "lacking",
        "clusters:
  - {name: a, nodes: [{name: n1}, {name: n2, families: [IPv4]}]}
  - {name: b, nodes: 2}
  - {name: c, nodes: [{name: n1, families: [IPv4]}, {name: n2}], spec: {mode: Gateway}}",
    );
    let config = object(&lab, "nodeconfigs/causeway-cluster-a/n2.yaml").unwrap();
    assert_eq!(config["spec"]["families"], serde_json::json!(["IPv4"]));
    let routes = in_bed(&lab, "a/n2", &["ip", "-6", "route", "show", "table", "all", "proto", "197"]);
    assert_eq!(routes, "");
}

#[test]
fn an_ipv6_underlay_carries_both_families() {
    let lab = well(
        "underlay6",
        "underlay: {families: [IPv6]}
clusters: [{name: a, nodes: 2, cni: vxlan}, {name: b, nodes: 3, cni: vxlan, spec: {mode: Gateway}}]",
    );
    let devices = in_bed(&lab, "a/n1", &["ip", "-d", "link", "show", "vx-bridge6"]);
    assert!(devices.contains("mtu 1430") && devices.contains("local fd20"), "{devices}");
    assert!(!in_bed(&lab, "a/n1", &["ip", "link"]).contains("vx-bridge:"));
}

#[test]
fn an_ipv4_underlay_carries_ipv6_alone() {
    well(
        "six-in-four",
        &format!(
            "underlay: {{families: [IPv4]}}
clusters: [{{name: a, nodes: 1, {V6}, cni: vxlan}}, {{name: b, nodes: 1, cni: vxlan}}]"
        ),
    );
}

#[test]
fn the_second_pair_of_devices_is_there_only_for_peers_that_need_it() {
    let lab = well(
        "pair",
        "clusters:
  - {name: a, nodes: 1}
  - {name: b, nodes: 1, underlay: {families: [IPv6]}}
  - {name: c, nodes: 1, underlay: {families: [IPv4]}}
expect:
  - {from: b, to: c, reachable: false}
  - {from: c, to: b, reachable: false}",
    );
    let devices = |node: &str| {
        let shown = in_bed(&lab, node, &["ip", "-j", "link", "show", "type", "vxlan"]);
        let links: Vec<serde_json::Value> = serde_json::from_str(&shown).unwrap();
        let mut names: Vec<String> =
            links.iter().map(|link| link["ifname"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(devices("a/n1"), ["vx-bridge", "vx-bridge6"]);
    assert_eq!(devices("b/n1"), ["vx-bridge6"]);
    assert_eq!(devices("c/n1"), ["vx-bridge"]);
    wait_for_condition(
        &lab,
        "clusterlinks/causeway-cluster-b/c.yaml",
        "Accepted",
        "False NoCommonUnderlayFamily",
    );
}
