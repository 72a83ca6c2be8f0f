//! Each cause that `causeway doctor` can name: made in a bed, and exactly that one is named; nothing where all is well.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../common/mod.rs"]
mod common;
mod node;
mod services;

use std::path::Path;
use std::process::Command;

use causeway_lab::{Action, CheckOptions, Fault, Lab, Programs};
use common::{LIMIT, PROGRAM, topology};
use serde_json::Value;

/// A bed of which all is well.
fn well(test: &str, yaml: &str) -> Lab {
    let lab = Lab::up(PROGRAM, topology(test, yaml), Programs::beside(Path::new(PROGRAM))).unwrap();
    let report = lab.wait_until_ready(&CheckOptions::default(), LIMIT).unwrap();
    assert!(report.is_fine(), "{}", report.to_table());
    lab
}

/// Runs doctor: its exit code and what it says.
fn doctor(lab: &Lab) -> (Option<i32>, Value) {
    doctor_with(lab, &[])
}

/// The same, with more arguments.
fn doctor_with(lab: &Lab, more: &[&str]) -> (Option<i32>, Value) {
    says(&[&["--objects", lab.objects_dir().to_str().unwrap()], more].concat())
}

/// Tests a node alone, from its own place and without its agent, and judges what it found.
fn doctor_alone(lab: &Lab, node: &str) -> (Option<i32>, Value) {
    let agent = Path::new(PROGRAM).with_file_name("causeway-agent");
    let (cluster, name) = node.split_once('/').unwrap();
    let whose = ["--objects", "/run/causeway-lab/objects", "--cluster", cluster, "--node", name];
    let output = lab.exec(node, &[&[agent.to_str().unwrap(), "examine"], &whose[..]].concat()).unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("evidence.json");
    std::fs::write(&file, output.stdout).unwrap();
    judged(&file)
}

/// Judges evidence that was gathered before.
fn judged(file: &Path) -> (Option<i32>, Value) {
    says(&["--evidence", file.to_str().unwrap()])
}

fn says(words: &[&str]) -> (Option<i32>, Value) {
    let program = Path::new(PROGRAM).with_file_name("causeway");
    let output = Command::new(program).args(["doctor", "-o", "json"]).args(words).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    let said = serde_json::from_str(&text)
        .unwrap_or_else(|error| panic!("{error}: {text}{}", String::from_utf8_lossy(&output.stderr)));
    (output.status.code(), said)
}

fn codes(said: &Value) -> Vec<&str> {
    said["findings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect()
}

/// Exactly one finding, about these.
#[track_caller]
fn names(lab: &Lab, code: &str, subjects: &[&str]) -> Value {
    is_named(doctor(lab), code, subjects)
}

#[track_caller]
fn is_named((exit, said): (Option<i32>, Value), code: &str, subjects: &[&str]) -> Value {
    assert_eq!(codes(&said), [code], "{said:#}");
    assert_eq!(exit, Some(1));
    let finding = &said["findings"][0];
    assert_eq!(finding["subjects"], serde_json::json!(subjects), "{finding:#}");
    assert!(
        !finding["evidence"].as_array().unwrap().is_empty()
            && !finding["mend"].as_array().unwrap().is_empty()
    );
    said
}

#[track_caller]
fn finds_nothing(lab: &Lab) -> Value {
    is_well(doctor(lab))
}

#[track_caller]
fn is_well((exit, said): (Option<i32>, Value)) -> Value {
    assert_eq!(codes(&said), Vec::<&str>::new(), "{said:#}");
    assert_eq!(exit, Some(0));
    said
}

/// Runs a program in the network of a node, and expects it to succeed.
#[track_caller]
fn on(lab: &Lab, endpoint: &str, command: &str) {
    let output = lab.exec(endpoint, &["sh", "-c", command]).unwrap();
    assert!(output.status.success(), "{endpoint}: {command}: {}", output.stderr);
}

/// Has what nodes send each other pass this rule.
fn wall(lab: &Lab, rule: &str) {
    let chain =
        "nft add table inet wall && nft add chain inet wall f '{ type filter hook forward priority 0; }'";
    on(lab, "underlay", &format!("{chain} && nft add rule inet wall f {rule}"));
}

/// Nothing is left of what was asked.
fn asked_nothing_more(lab: &Lab) {
    let left = walk(&lab.objects_dir().join("diagnoses"));
    assert_eq!(left, Vec::<String>::new());
}

fn walk(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries
        .flat_map(|entry| match entry.path() {
            path if path.is_dir() => walk(&path),
            path => vec![path.display().to_string()],
        })
        .collect()
}

const PAIR: &str = "clusters: [{name: a, nodes: 1}, {name: b, nodes: 1}]";

#[test]
fn in_a_healthy_network_nothing_is_found() {
    let lab =
        well("doctor-well", "clusters: [{name: a, nodes: 2}, {name: b, spec: {mode: Gateway}, nodes: 3}]");
    let said = finds_nothing(&lab);
    let nodes = said["nodes"].as_array().unwrap();
    assert!(nodes.len() == 5 && nodes.iter().all(|node| node["answered"] == true), "{said:#}");
    // Pods were reached too, and full size was tried.
    let paths = || nodes.iter().flat_map(|node| node["paths"].as_array().unwrap());
    assert!(paths().any(|path| path["kind"] == "pod" && path["answered"].as_i64() > Some(0)), "{said:#}");
    assert!(paths().any(|path| path["kind"] == "overlay" && path["fullAnswered"].as_i64() > Some(0)));
    asked_nothing_more(&lab);
}

#[test]
fn a_udp_port_that_is_blocked_between_nodes_is_named() {
    let lab = well("doctor-udp", PAIR);
    wall(&lab, "udp dport 4876 drop");
    names(&lab, "CW1102", &["a/n1 ↔ b/n1"]);
    on(&lab, "underlay", "nft delete table inet wall");
    finds_nothing(&lab);
}

#[test]
fn tunnel_packets_that_pass_one_way_only_are_named_with_the_way_that_fails() {
    let lab = well("doctor-one-way", PAIR);
    let from = node_address(&lab, "a/n1");
    wall(&lab, &format!("{from} udp dport 4876 drop"));
    names(&lab, "CW1103", &["a/n1 → b/n1"]);
}

#[test]
fn a_node_alone_names_what_it_sees_from_its_end() {
    let lab =
        well("doctor-alone", "clusters: [{name: a, spec: {mode: Gateway}, nodes: 2}, {name: b, nodes: 1}]");
    for node in ["a/n1", "a/n2", "b/n1"] {
        let (exit, said) = doctor_alone(&lab, node);
        assert_eq!((exit, codes(&said).len()), (Some(0), 0), "{said:#}");
        let paths = said["nodes"][0]["paths"].as_array().unwrap();
        assert!(paths.iter().any(|path| path["kind"] == "overlay" && path["answered"].as_i64() > Some(0)));
    }
    // Nobody at the other end is asked, so it may be either of the two.
    wall(&lab, "udp dport 4876 drop");
    let (_, said) = doctor_alone(&lab, "b/n1");
    assert_eq!(codes(&said), ["CW1102"], "{said:#}");
    assert_eq!(said["findings"][0]["subjects"], serde_json::json!(["b/n1 ↔ a/n1", "b/n1 ↔ a/n2"]));
    // And when its own kernel is not as planned, that is named.
    on(&lab, "underlay", "nft delete table inet wall");
    lab.node("b/n1").unwrap().agent(Action::Kill).unwrap();
    on(&lab, "b/n1", "ip rule del priority 4876");
    let (_, said) = doctor_alone(&lab, "b/n1");
    assert_eq!(codes(&said), ["CW1002"], "{said:#}");
}

/// A match on the node's underlay address as source.
fn node_address(lab: &Lab, node: &str) -> String {
    let node: causeway_model::NodeId = node.parse().unwrap();
    let topology = lab.topology().unwrap();
    let (_, found) = topology.nodes().find(|(cluster, one)| cluster.node_id(one) == node).unwrap();
    let address = found.addresses[0];
    format!("{} saddr {address}", if address.is_ipv4() { "ip" } else { "ip6" })
}

#[test]
fn an_underlay_that_cannot_be_crossed_is_named() {
    let lab = well("doctor-partition", PAIR);
    let fault = Fault::Partition { one: "a".parse().unwrap(), other: "b".parse().unwrap() };
    lab.fault(&fault).unwrap();
    names(&lab, "CW1101", &["a/n1 ↔ b/n1"]);
}

#[test]
fn packets_of_full_size_that_vanish_are_named() {
    let lab = well("doctor-mtu", PAIR);
    lab.fault(&Fault::DropLarge { node: "b/n1".parse().unwrap(), longer_than: 1400 }).unwrap();
    names(&lab, "CW1105", &["a/n1 ↔ b/n1"]);
}

#[test]
fn an_agent_that_does_not_answer_is_named() {
    let lab = well("doctor-silent", PAIR);
    lab.node("b/n1").unwrap().agent(Action::Kill).unwrap();
    names(&lab, "CW1001", &["b/n1"]);
    asked_nothing_more(&lab);
}

#[test]
fn a_firewall_on_the_node_itself_is_named() {
    let lab = well("doctor-input", PAIR);
    on(
        &lab,
        "b/n1",
        "nft add table inet wall && nft add chain inet wall i '{ type filter hook input priority -10; }' && nft add rule inet wall i udp dport 4876 drop",
    );
    names(&lab, "CW1106", &["b/n1"]);
}

#[test]
fn a_rule_that_drops_what_is_forwarded_is_named() {
    let lab = well("doctor-forward", PAIR);
    on(
        &lab,
        "b/n1",
        "nft add table inet wall && nft add chain inet wall f '{ type filter hook forward priority -10; }' && nft add rule inet wall f iifname vx-bridge drop",
    );
    names(&lab, "CW1203", &["b/n1"]);
}

#[test]
fn a_gateway_that_the_cni_brings_to_no_pods_of_another_node_is_named() {
    let lab = well(
        "doctor-cni",
        "clusters: [{name: a, nodes: 1}, {name: b, spec: {mode: Gateway, gateways: {count: 1, nodeSelector: {matchLabels: {edge: \"\"}}}}, nodes: [{name: gw, labels: {edge: \"\"}}, {name: in}]}]",
    );
    for (ip, route) in [("ip", "10.2.1.0/24"), ("ip -6", "fd10:2:0:1::/64")] {
        on(&lab, "b/gw", &format!("{ip} route del {route}"));
    }
    names(&lab, "CW1209", &["b/gw → b/in"]);
}

#[test]
fn a_pod_that_a_policy_keeps_apart_is_named() {
    let lab = well("doctor-policy", "clusters: [{name: a, nodes: 1}, {name: b, nodes: [{pods: 2}]}]");
    let pod = lab.address("a/n1", "b/n1/p1", causeway_model::Family::V4).unwrap();
    on(
        &lab,
        "b/n1",
        &format!(
            "nft add table ip apart && nft add chain ip apart f '{{ type filter hook forward priority 0; }}' && nft add rule ip apart f ip daddr {pod} drop"
        ),
    );
    let said = names(&lab, "CW1204", &["b/n1"]);
    assert!(said["findings"][0]["evidence"][0].as_str().unwrap().contains(&pod.to_string()), "{said:#}");
}

#[test]
fn a_route_of_another_program_that_catches_remote_addresses_is_named() {
    let lab = well("doctor-route", PAIR);
    let pod = lab.address("a/n1", "b/n1/p1", causeway_model::Family::V4).unwrap();
    on(&lab, "a/n1", &format!("ip rule add pref 5 to {pod} lookup main"));
    names(&lab, "CW1206", &["a/n1"]);
}

#[test]
fn a_node_that_is_not_at_its_underlay_address_is_named() {
    let lab = well("doctor-underlay", PAIR);
    let elsewhere = serde_json::json!({"underlay": ["172.31.255.9"]});
    lab.objects().patch_node(&"b/n1".parse().unwrap(), &elsewhere).unwrap();
    wait_until_planned(&lab, "172.31.255.9");
    names(&lab, "CW1104", &["b/n1"]);
}

/// Waits until b's NodeConfig has an address, and its agent has said what it makes of it.
fn wait_until_planned(lab: &Lab, address: &str) {
    causeway_lab::wait_until("the address to be planned", LIMIT, || {
        let folder = lab.objects_dir().join("nodeconfigs/causeway-cluster-b");
        let text = std::fs::read_to_string(folder.join("n1.yaml")).unwrap_or_default();
        let status = std::fs::read_to_string(folder.join("n1.status.yaml")).unwrap_or_default();
        let done = text.contains(address) && status.contains("UnderlayNotOnHost");
        Ok(if done { Ok(()) } else { Err(format!("{text}{status}")) })
    })
    .unwrap();
}

#[test]
fn a_udp_port_that_another_program_has_is_named() {
    let lab = well("doctor-port", PAIR);
    let node = lab.node("b/n1").unwrap();
    node.agent(Action::Stop).unwrap();
    // Another program's VXLAN device with other flags shares no socket with ours.
    on(
        &lab,
        "b/n1",
        "ip link del vx-bridge; ip link add other type vxlan external gbp dstport 4876 && ip link set other up",
    );
    node.agent(Action::Start).unwrap();
    causeway_lab::wait_until("the agent to say so", LIMIT, || {
        let file = lab.objects_dir().join("nodeconfigs/causeway-cluster-b/n1.status.yaml");
        let status = std::fs::read_to_string(file).unwrap_or_default();
        Ok(if status.contains("ChangesFailed") { Ok(()) } else { Err(status) })
    })
    .unwrap();
    names(&lab, "CW1003", &["b/n1"]);
}

#[test]
fn clusters_with_the_same_addresses_are_named() {
    let lab = well("doctor-overlap", PAIR);
    let pods = serde_json::json!({"podCIDRs": ["10.2.0.0/16", "fd10:2::/48", "10.1.0.0/16"]});
    lab.objects().patch_cluster(&"b".parse().unwrap(), &pods).unwrap();
    causeway_lab::wait_until("the conflict to be planned", LIMIT, || {
        let read = |path: &str| std::fs::read_to_string(lab.objects_dir().join(path)).unwrap_or_default();
        let (status, link) = (read("clusters/b.status.yaml"), read("clusterlinks/causeway-cluster-b/a.yaml"));
        let done = status.contains("PrefixConflict") && !link.contains("- cidr: 10.1.0.0/16");
        Ok(if done { Ok(()) } else { Err(format!("{status}{link}")) })
    })
    .unwrap();
    let (exit, said) = doctor(&lab);
    assert!(exit == Some(1) && codes(&said) == ["CW1301"], "{said:#}");
}

#[test]
fn a_chain_that_masquerades_ahead_of_ours_is_named() {
    let lab = well("doctor-masquerade", PAIR);
    on(
        &lab,
        "a/n1",
        "nft add table ip other && nft add chain ip other p '{ type nat hook postrouting priority 50; }' && nft add rule ip other p oifname vx-bridge masquerade",
    );
    names(&lab, "CW1205", &["a/n1"]);
    // As the cause says to mend it.
    on(&lab, "a/n1", "nft 'insert rule ip other p oifname \"vx-*\" return'");
    let (exit, said) = doctor(&lab);
    assert_eq!(exit, Some(0), "{said:#}");
}

#[test]
fn a_share_of_packets_that_is_lost_is_named() {
    let lab = well("doctor-loss", PAIR);
    // Both ways, so about six of ten echo requests are not answered.
    wall(&lab, "udp dport 4876 numgen inc mod 3 0 drop");
    names(&lab, "CW1107", &["a/n1 ↔ b/n1"]);
}

#[test]
fn inner_checksums_that_arrive_wrong_are_named() {
    let lab = well("doctor-checksum", PAIR);
    let from = node_address(&lab, "a/n1");
    // Outer UDP and VXLAN are 128 bits, then Ethernet with its type at 224, IPv4 from 240, and the checksum of ICMP at 416.
    wall(&lab, &format!("{from} udp dport 4876 @th,224,16 0x0800 @th,416,16 set 0x1234"));
    let (exit, said) = doctor(&lab);
    assert!(exit == Some(1) && codes(&said) == ["CW1207"], "{said:#}");
}
