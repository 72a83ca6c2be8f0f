//! Prefixes that more than one cluster has: the oldest keeps them, or all show global CIDRs.

use causeway_lab::{Check, CheckOptions, Endpoint, Report};
use causeway_model::Family;
use serde_json::json;

use crate::bed::{becomes_well, linked, object, reaches, wait_for_condition, well};

/// Clusters a and b of `yaml_a` and `yaml_b`, and c that overlaps nobody.
fn three(yaml_a: &str, yaml_b: &str, expect: &str) -> String {
    format!(
        "clusters:
  - {{name: a, nodes: 2, {yaml_a}}}
  - {{name: b, nodes: 2, {yaml_b}}}
  - {{name: c, nodes: 1}}
{expect}"
    )
}

const STATUS_B: &str = "clusters/b.status.yaml";

/// Waits until b has lost a prefix to a; what it is told. Then asks everybody.
fn after_the_conflict(test: &str, yaml_b: &str) -> (Report, String) {
    let lab = linked(test, &three("", yaml_b, ""));
    let message = wait_for_condition(&lab, STATUS_B, "Accepted", "False PrefixConflict");
    // Whatever is not in conflict comes up by itself.
    reaches(&lab, "c", "a");
    reaches(&lab, "c", "b:echo");
    (
        lab.check(&CheckOptions { quick: true, timeout: Some(500), ..CheckOptions::default() }).unwrap(),
        message,
    )
}

/// Whether every probe of `family` to the pods of b comes to somebody else or nowhere.
fn nobody_reaches_pods_of_b(report: &Report, family: Family) -> bool {
    let mut to_b = report.checks.iter().filter(|c| {
        c.probe.family == family
            && matches!(&c.probe.to, Endpoint::Pod(_))
            && c.probe.to.cluster().as_str() == "b"
    });
    let mut counted = to_b.clone();
    counted.next().is_some() && to_b.all(|check| check.responder().is_none())
}

/// All else is as it should be: IPv6 everywhere; in IPv4 everything without b, and between c and what
/// of b is not in conflict. Not between a and b: addresses of a's pods are b's own there.
fn all_else_works(report: &Report) {
    let other = |c: &&Check| {
        let (from, to) = (&c.probe.from, &c.probe.to);
        let involves = |cluster: &str| [from, to].iter().any(|e| e.cluster().as_str() == cluster);
        let contested = |e: &Endpoint| e.cluster().as_str() == "b" && matches!(e, Endpoint::Pod(_));
        c.probe.family == Family::V6
            || !involves("b")
            || (involves("c") && !contested(from) && !contested(to))
    };
    assert!(report.checks.iter().filter(other).count() > 30);
    let broken: Vec<&Check> = report.findings().filter(other).collect();
    assert!(broken.is_empty(), "{}", report.to_table());
}

const OWN_V6: &str = r#""fd10:77::/48""#;

#[test]
fn of_equal_pod_cidrs_the_oldest_wins_and_the_loser_says_so() {
    let (report, message) = after_the_conflict("equal", &format!("podCIDRs: [10.1.0.0/16, {OWN_V6}]"));
    assert!(message.contains("10.1.0.0/16") && message.contains("cluster a"), "{message}");
    assert!(nobody_reaches_pods_of_b(&report, Family::V4), "{}", report.to_table());
    all_else_works(&report);
}

#[test]
fn of_nested_pod_cidrs_the_oldest_wins() {
    let (report, _) = after_the_conflict("nested", &format!("podCIDRs: [10.1.128.0/17, {OWN_V6}]"));
    assert!(nobody_reaches_pods_of_b(&report, Family::V4), "{}", report.to_table());
    all_else_works(&report);
}

#[test]
fn a_pod_cidr_that_is_anothers_service_cidr_loses_to_the_older_cluster() {
    let (report, _) = after_the_conflict("pod-service", &format!("podCIDRs: [10.129.0.0/16, {OWN_V6}]"));
    assert!(nobody_reaches_pods_of_b(&report, Family::V4), "{}", report.to_table());
    all_else_works(&report);
}

#[test]
fn of_equal_service_cidrs_the_oldest_wins_and_pods_are_reached_all_the_same() {
    let lab = linked("services", &three("", "serviceCIDRs: [10.129.0.0/16]", ""));
    wait_for_condition(&lab, STATUS_B, "Accepted", "False PrefixConflict");
    for (from, to) in [("a", "b/n1"), ("b", "a/n1"), ("c", "b/n2"), ("c", "a:echo")] {
        reaches(&lab, from, to);
    }
}

/// Everybody reaches everybody, and pods are seen 1:1 under their global address.
fn all_reach_under_global_cidrs(test: &str, mode: &str, a: &str, b: &str, overlap: &str) {
    let spec = |globals: &str| format!("spec: {{mode: {mode}, globalCIDRs: {globals}}}, {overlap}");
    well(test, &three(&spec(a), &spec(b), ""));
}

const AUTO: &str = "{mode: Auto}";
const PODS: &str = r#"podCIDRs: [10.50.0.0/16, "fd50::/48"]"#;

fn given(cidrs: &str, global: &str) -> String {
    let pairs: Vec<String> = cidrs
        .split(' ')
        .zip(global.split(' '))
        .map(|(cidr, global)| format!("{{cidr: '{cidr}', global: '{global}'}}"))
        .collect();
    format!("{{mode: Map, map: [{}]}}", pairs.join(", "))
}

#[test]
fn equal_pod_cidrs_reach_each_other_under_allocated_global_cidrs_p2p() {
    all_reach_under_global_cidrs("auto-p2p", "P2P", AUTO, AUTO, PODS);
}

#[test]
fn equal_pod_cidrs_reach_each_other_under_allocated_global_cidrs_gateway() {
    all_reach_under_global_cidrs("auto-gw", "Gateway", AUTO, AUTO, PODS);
}

#[test]
fn equal_pod_cidrs_reach_each_other_under_given_global_cidrs_p2p() {
    let map = |n: u8| given("10.50.0.0/16 fd50::/48", &format!("100.{n}.0.0/16 fd64:{n}::/48"));
    all_reach_under_global_cidrs("map-p2p", "P2P", &map(70), &map(71), PODS);
}

#[test]
fn equal_pod_cidrs_reach_each_other_under_given_global_cidrs_gateway() {
    let map = |n: u8| given("10.50.0.0/16 fd50::/48", &format!("100.{n}.0.0/16 fd64:{n}::/48"));
    all_reach_under_global_cidrs("map-gw", "Gateway", &map(70), &map(71), PODS);
}

#[test]
fn equal_pod_and_service_cidrs_reach_each_other_under_global_cidrs() {
    let both = format!(r#"{PODS}, serviceCIDRs: [10.60.0.0/16, "fd60::/112"]"#);
    all_reach_under_global_cidrs("auto-both", "P2P", AUTO, AUTO, &both);
    all_reach_under_global_cidrs("auto-both-gw", "Gateway", AUTO, AUTO, &both);
}

#[test]
fn nested_pod_cidrs_and_pods_that_are_anothers_services_reach_each_other_under_global_cidrs() {
    let auto = |cidrs: &str| format!("spec: {{globalCIDRs: {AUTO}}}, {cidrs}");
    well("auto-nested", &three(&auto("podCIDRs: [10.50.0.0/16]"), &auto("podCIDRs: [10.50.64.0/18]"), ""));
    well(
        "auto-crossed",
        &three(&auto("podCIDRs: [10.50.0.0/16]"), &auto("serviceCIDRs: [10.50.0.0/16]"), ""),
    );
}

#[test]
fn a_nodes_own_prefix_lies_inside_its_clusters_global_cidr() {
    let auto = format!("spec: {{globalCIDRs: {AUTO}}}, podCIDRs: [10.50.0.0/16]");
    let lab = well("inside", &three(&auto, &auto, ""));
    let slice = object(&lab, "peerslices/causeway-shared/b.nodes.0.yaml").unwrap();
    let shown = &slice["spec"]["peers"][1]["podCIDRs"];
    let global = &object(&lab, "clusters/b.status.yaml").unwrap()["status"]["globalCIDRs"][0]["global"];
    let text = global.as_str().unwrap();
    let expected = text.replace(".0.0/16", ".1.0/24");
    assert!(text.ends_with(".0.0/16") && shown == &json!([expected]), "{shown} in {global}");
}

#[test]
fn an_overlap_that_is_mended_is_forgotten() {
    let lab = linked("mended", &three("", "serviceCIDRs: [10.129.0.0/16]", ""));
    wait_for_condition(&lab, STATUS_B, "Accepted", "False PrefixConflict");
    lab.objects().patch_cluster(&"b".parse().unwrap(), &json!({"globalCIDRs": {"mode": "Auto"}})).unwrap();
    lab.objects().patch_cluster(&"a".parse().unwrap(), &json!({"globalCIDRs": {"mode": "Auto"}})).unwrap();
    wait_for_condition(&lab, STATUS_B, "Accepted", "True Accepted");
    becomes_well(&lab);
}
