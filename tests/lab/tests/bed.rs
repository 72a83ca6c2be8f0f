//! A bed is what a set of clusters is before they are linked: everything reaches everything inside a
//! cluster, nothing reaches another one; and the checks tell right from wrong.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

mod common;

use causeway_lab::{CheckOptions, Lab, Verdict};
use causeway_model::{Family, vxlan_overhead};
use common::{bare, in_bed};
use serde_json::json;

const FLAVOURS: &str = r#"
underlay: {mtu: 9000}
clusters:
  - {name: routed, nodes: 2}
  - {name: vxlan, cni: vxlan, nodes: [{pods: 2}, {}, {families: [IPv4]}]}
  - {name: cluster-wide, cni: cluster-wide, nodes: 2}
  - {name: closed, cni: {type: vxlan, forwardAccept: false}, nodes: 2}
  - {name: over-ipv6, underlay: {families: [IPv6]}, nodes: 2}
  - {name: tunnel-over-ipv6, cni: vxlan, underlay: {families: [IPv6], mtu: 1500}, nodes: 2, podCIDRs: [10.77.0.0/20]}
  - {name: wide-ipv6, cni: {type: cluster-wide, forwardAccept: false, masquerade: true}, families: [IPv6], nodes: 2}
"#;

#[test]
fn every_cni_flavour_connects_its_own_cluster_in_every_family_and_size() {
    let lab = bare("flavours", FLAVOURS);
    let report = lab.check(&CheckOptions { inside: true, ..CheckOptions::default() }).unwrap();
    assert!(report.is_fine(), "{}", report.to_table());
    for cluster in lab.topology().unwrap().clusters {
        for family in Family::BOTH {
            let name = cluster.name.as_str();
            let expected = cluster.families().contains(family);
            assert_eq!(report.reaches(name, &format!("{name}:echo"), family), expected, "{name} {family}");
        }
    }
}

#[test]
fn clusters_do_not_reach_each_other_by_themselves_but_their_nodes_do() {
    let lab = bare("apart", "clusters: [{name: a, nodes: 2}, {name: b, nodes: 1, cni: vxlan}]");
    let options = CheckOptions { quick: true, timeout: Some(300), ..CheckOptions::default() };
    let report = lab.check(&options).unwrap();
    assert!(!report.checks.is_empty());
    assert!(report.checks.iter().all(|c| c.verdict == Verdict::Unreachable), "{}", report.to_table());
    in_bed(&lab, "a/n2", &["ping", "-c1", "-W5", "172.16.4.11"]);
    in_bed(&lab, "a/n2", &["ping", "-c1", "-W5", "fd20:1::b"]);
}

/// Links the clusters by routes on the underlay, without any tunnel: what a check needs in order to
/// find all well.
fn link_by_hand(lab: &Lab) {
    let topology = lab.topology().unwrap();
    for (index, (cluster, node)) in topology.nodes().enumerate() {
        let overlay = [format!("198.18.0.{}", index + 1), format!("fd99::{}", index + 1)];
        let id = cluster.node_id(node);
        let file = lab.objects().file("nodeconfigs", &cluster.name, node.name.as_str());
        lab.objects().write(&file, &json!({"spec": {"overlay": overlay}})).unwrap();
        for (family, own) in Family::BOTH.into_iter().zip(&overlay) {
            let ip = if family == Family::V4 { "-4" } else { "-6" };
            let bits = family.bits().to_string();
            let address = node.address(family).unwrap().to_string();
            let prefixes = node.pod_cidrs.iter().chain(&cluster.service_cidrs).map(ToString::to_string);
            let prefixes = prefixes.filter(|p| p.contains(':') == (family == Family::V6));
            for prefix in prefixes.chain([format!("{own}/{bits}")]) {
                in_bed(lab, "underlay", &["ip", ip, "route", "replace", &prefix, "via", &address]);
            }
            let id = id.to_string();
            in_bed(lab, &id, &["ip", ip, "address", "add", &format!("{own}/{bits}"), "dev", "lo"]);
            let route = in_bed(lab, &id, &["ip", ip, "route", "show", "default"]);
            let route: Vec<&str> = route.split_whitespace().take(5).collect();
            in_bed(lab, &id, &[&["ip", ip, "route", "replace"], &route[..], &["src", own]].concat());
        }
    }
}

#[test]
fn a_check_finds_linked_clusters_fine_and_sees_a_masqueraded_source() {
    let lab = bare(
        "linked",
        "clusters: [{name: a, nodes: 2}, {name: b, nodes: [{pods: 2}]}, {name: c, nodes: 1, cni: vxlan}]",
    );
    link_by_hand(&lab);
    let report = lab
        .wait_until_ready(
            &CheckOptions {
                to: vec!["a".into(), "b".into()],
                from: vec!["a".into(), "b".into()],
                ..CheckOptions::default()
            },
            common::LIMIT,
        )
        .unwrap();
    assert!(report.is_fine(), "{}", report.to_table());
    for (from, to) in [
        ("a/n1/p1", "b/n1/p2"),
        ("a/n1", "b/n1/p1"),
        ("b/n1/p1", "a/n2"),
        ("b/n1", "a:echo"),
        ("a/n1", "b/n1"),
    ] {
        for family in Family::BOTH {
            assert!(report.reaches(from, to, family), "{from} {to} {family}: {}", report.to_table());
        }
    }
    // Every pair has a probe as large as a tunnel over the underlay would carry.
    let largest = report.checks.iter().map(|c| c.probe.length).max();
    assert_eq!(largest, Some(1500 - vxlan_overhead(Family::V4)));
    let masked = lab
        .check(&CheckOptions {
            from: vec!["c".into()],
            to: vec!["a/n1/p1".into()],
            ..CheckOptions::default()
        })
        .unwrap();
    let of_pods = |c: &&causeway_lab::Check| {
        c.probe.from.to_string() == "c/n1/p1" && c.answer().is_some_and(|a| a.seen.is_some())
    };
    assert!(masked.checks.iter().filter(of_pods).count() >= 6, "{}", masked.to_table());
    assert!(
        masked.checks.iter().filter(of_pods).all(|c| c.verdict == Verdict::WrongSource),
        "{}",
        masked.to_table()
    );
}

#[test]
fn a_packet_larger_than_the_path_is_found_out_and_never_fragmented() {
    let lab = bare("mtu", "clusters: [{name: a, nodes: 2}]");
    in_bed(&lab, "underlay", &["ip", "link", "set", "port2", "mtu", "1400"]);
    in_bed(&lab, "a/n2", &["ip", "link", "set", "eth0", "mtu", "1400"]);
    let options = CheckOptions {
        inside: true,
        from: vec!["a/n1/p1".into()],
        to: vec!["a/n2/p1".into()],
        ..CheckOptions::default()
    };
    let report = lab.check(&options).unwrap();
    let findings: Vec<String> = report
        .findings()
        .map(|c| format!("{:?} {:?} {}", c.probe.protocol, c.probe.size, c.probe.family))
        .collect();
    assert!(
        findings.contains(&"Udp Full IPv4".to_owned()) && findings.contains(&"Udp Full IPv6".to_owned()),
        "{}",
        report.to_table()
    );
    assert!(!findings.iter().any(|f| f.contains("Small")), "{}", report.to_table());
}

#[test]
fn what_the_file_expects_decides_over_the_default() {
    let yaml = "
clusters: [{name: a, nodes: 2}]
expect:
  - {from: a, to: a/n2/p1, reachable: false}
  - {from: a/n1/p1, to: a/n2/p1, families: [IPv6], reachable: true}
";
    let lab = bare("expect", yaml);
    let options = CheckOptions { inside: true, quick: true, ..CheckOptions::default() };
    let report = lab.check(&options).unwrap();
    let mut wrong: Vec<String> =
        report.findings().map(|c| format!("{} {} {:?}", c.probe.from, c.probe.family, c.verdict)).collect();
    wrong.sort();
    assert_eq!(
        wrong,
        [
            "a/n1 IPv4 Reachable",
            "a/n1 IPv6 Reachable",
            "a/n1/p1 IPv4 Reachable",
            "a/n2 IPv4 Reachable",
            "a/n2 IPv6 Reachable"
        ],
        "{}",
        report.to_table()
    );
}
