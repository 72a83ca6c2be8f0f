//! The lab file: what it leaves out, and what is said when it is wrong.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::net::IpAddr;

use causeway_lab::{CniKind, Topology};
use causeway_model::{Families, Family};

fn parse(yaml: &str) -> Topology {
    Topology::parse(yaml, "beds/My_Bed.yaml").unwrap_or_else(|e| panic!("{e}"))
}

fn wrong(yaml: &str) -> String {
    Topology::parse(yaml, "lab.yaml").unwrap_err().to_string()
}

fn addresses(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|t| t.parse().unwrap()).collect()
}

#[test]
fn the_smallest_file_is_filled_in_by_places_alone() {
    let topology = parse("clusters: [{name: a, nodes: 2}, {name: b, nodes: 1}]");
    assert_eq!(topology.name, "lab");
    let (a, b) = (&topology.clusters[0], &topology.clusters[1]);
    assert_eq!((a.mtu, a.cni.kind, a.families()), (1500, CniKind::Routed, Families::DUAL));
    assert_eq!(b.pod_cidrs, ["10.2.0.0/16", "fd10:2::/48"].map(|p| p.parse().unwrap()));
    assert_eq!(b.service_cidrs, ["10.130.0.0/16", "fd11:2::/112"].map(|p| p.parse().unwrap()));
    assert_eq!(a.nodes[1].addresses, addresses(&["172.16.0.12", "fd20::c"]));
    assert_eq!(b.nodes[0].addresses, addresses(&["172.16.4.11", "fd20:1::b"]));
    assert_eq!(a.nodes[1].pod_cidrs, ["10.1.1.0/24", "fd10:1:0:1::/64"].map(|p| p.parse().unwrap()));
    assert_eq!(a.nodes[1].pods[0].addresses, addresses(&["10.1.1.10", "fd10:1:0:1::a"]));
    assert_eq!(a.services[0].addresses, addresses(&["10.129.0.10", "fd11:1::a"]));
    assert_eq!(a.services[0].backends.len(), 2);
    assert_eq!((a.nodes[1].number, b.nodes[0].number), (2, 3));
}

#[test]
fn clusters_with_the_same_subnets_share_a_segment_and_its_addresses() {
    let two = |address: &str| {
        format!(
            "clusters: [{{name: x, nodes: 1}}, {{name: a, nodes: 1, underlay: {{subnets: [10.0.0.0/24]}}}},
             {{name: b, nodes: [{{addresses: [{address}]}}], underlay: {{subnets: [10.0.0.0/24]}}, linked: false}}]"
        )
    };
    let topology = parse(&two("10.0.0.12"));
    let [_, a, b] = &topology.clusters[..] else { panic!() };
    assert_eq!((a.segment, b.segment, a.linked, b.linked), (1, 1, true, false));
    let said = wrong(&two("10.0.0.11"));
    assert!(said.contains("clusters[2].nodes[0].addresses") && said.contains("another node's"), "{said}");
}

#[test]
fn with_real_control_planes_every_cluster_is_linked() {
    let said = wrong("{controlPlane: kubernetes, clusters: [{name: a, nodes: 1, linked: false}]}");
    assert!(said.contains("clusters[0].linked"), "{said}");
}

#[test]
fn a_bed_is_named_by_the_file_or_after_it() {
    assert_eq!(parse("{name: mine, clusters: [{name: a, nodes: 1}]}").name, "mine");
    let after = Topology::parse("clusters: [{name: a, nodes: 1}]", "beds/Ours.yaml").unwrap();
    assert_eq!(after.name, "ours");
}

#[test]
fn a_node_can_lack_a_family_that_its_cluster_has() {
    let topology = parse("clusters: [{name: a, nodes: [{}, {families: [IPv4], pods: 2}]}]");
    let node = &topology.clusters[0].nodes[1];
    assert_eq!(node.addresses, addresses(&["172.16.0.12"]));
    assert_eq!(node.families(), [Family::V4].into_iter().collect());
    assert_eq!(node.pods[1].addresses, addresses(&["10.1.1.11"]));
}

#[test]
fn families_underlay_and_cni_are_taken_as_given() {
    let topology = parse(
        "
underlay: {mtu: 9000, families: [IPv6]}
clusters:
  - {name: a, nodes: 1, podCIDRs: [10.9.0.0/20]}
  - {name: b, nodes: 1, underlay: {mtu: 1400, families: [IPv4]}, cni: {type: cluster-wide, forwardAccept: false}}
  - {name: c, nodes: 1, cni: vxlan}
",
    );
    let [a, b, c] = &topology.clusters[..] else { panic!() };
    assert_eq!((a.mtu, a.subnets.len(), a.families().contains(Family::V6)), (9000, 1, false));
    assert_eq!(a.nodes[0].addresses, addresses(&["fd20::b"]));
    assert_eq!((b.mtu, b.nodes[0].addresses.clone()), (1400, addresses(&["172.16.4.11"])));
    assert!(b.nodes[0].pod_cidrs.is_empty() && !b.cni.masquerade && !b.cni.forward_accept);
    assert_eq!(b.nodes[0].pods[0].addresses, addresses(&["10.2.1.0", "fd10:2::100"]));
    assert!(c.cni.masquerade && c.cni.forward_accept);
}

#[test]
fn services_take_the_backends_named() {
    let topology = parse(
        "clusters: [{name: a, nodes: [{pods: 2}, {}], services: [{name: x, backends: [n1/p2, n2]}, {name: y}]}]",
    );
    let services = &topology.clusters[0].services;
    let names: Vec<String> = services[0].backends.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["a/n1/p2", "a/n2/p1"]);
    assert_eq!(
        (services[1].backends.len(), services[1].addresses.clone()),
        (3, addresses(&["10.129.0.11", "fd11:1::b"]))
    );
}

#[test]
fn what_is_wrong_is_said_with_line_and_field() {
    for (yaml, said) in [
        ("clusters: [{name: a, nods: 2}]", "lab.yaml:1: clusters[0].nods: unknown field `nods`"),
        (
            "clusters:\n- name: a\n  nodes: 1\n- name: a\n  nodes: 1",
            "lab.yaml:4: clusters[1].name: there is a cluster \"a\" already",
        ),
        ("clusters:\n- name: A\n  nodes: 1", "lab.yaml:2: clusters[0].name: \"A\" is not a cluster name"),
        (
            "clusters:\n- name: a\n  nodes:\n  - podCIDRs: [10.1.0.1/24]",
            "lab.yaml:4: clusters[0].nodes[0].podCIDRs[0]: \"10.1.0.1/24\" has host bits set",
        ),
        ("clusters:\n- name: a\n  nodes: -2", "lab.yaml:3: clusters[0].nodes: invalid value"),
        (
            "clusters:\n- name: a\n  cni: calico\n  nodes: 1",
            "lab.yaml:3: clusters[0].cni: unknown variant `calico`",
        ),
        (
            "clusters:\n- name: a\n  nodes:\n  - addresses: [192.0.2.1]",
            "lab.yaml:4: clusters[0].nodes[0].addresses[0]: 192.0.2.1 is not in the subnets",
        ),
        (
            "clusters:\n- name: a\n  nodes:\n  - addresses: [172.16.0.5, 172.16.0.6]",
            "lab.yaml:4: clusters[0].nodes[0].addresses[1]: 172.16.0.6 is a second address",
        ),
        (
            "clusters:\n- name: a\n  nodes:\n  - {name: x}\n  - {name: x}",
            "lab.yaml:5: clusters[0].nodes[1].name: cluster a has a node \"x\" already",
        ),
        (
            "clusters:\n- name: a\n  nodes: 1\n  services:\n  - name: s\n    backends: [n7]",
            "lab.yaml:6: clusters[0].services[0].backends[0]: \"n7\" is no node",
        ),
        (
            "underlay:\n  mtu: 9\nclusters: [{name: a, nodes: 1}]",
            "lab.yaml:2: underlay.mtu: 9 is out of range",
        ),
        (
            "clusters: [{name: a, nodes: 1}]\nexpect:\n- {from: a, to: z, reachable: false}",
            "lab.yaml:3: expect[0].to: \"z\" is no cluster",
        ),
        (
            "clusters: [{name: a, nodes: 2, families: [IPv5]}]",
            "lab.yaml:1: clusters[0].families[0]: unknown variant `IPv5`",
        ),
        ("clusters: []", "lab.yaml: clusters: 0 clusters"),
        ("name: [", "lab.yaml:1: "),
    ] {
        let message = wrong(yaml);
        assert!(message.starts_with(said), "{message}\nshould begin with\n{said}");
    }
}

#[test]
fn the_topologies_that_come_along_are_right() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/topologies");
    let files: Vec<_> = std::fs::read_dir(directory).unwrap().flatten().map(|e| e.path()).collect();
    assert!(!files.is_empty());
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        Topology::parse(&text, &file.display().to_string()).unwrap_or_else(|e| panic!("{e}"));
    }
}

#[test]
fn the_file_shown_in_the_documentation_is_right() {
    let readme = include_str!("../README.md");
    let shown: Vec<&str> =
        readme.split("```yaml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
    assert_eq!(shown.len(), 2);
    assert_eq!(parse(shown[0]).clusters.len(), 2);
    // The long one speaks of a cluster that it leaves out, and shows a list of nodes as a comment.
    let long = shown[1].replace("expect:", "  - {name: beta, nodes: 1}\nexpect:");
    let list = long
        .replace("nodes: 3  ", "nodes:    ")
        .replace("    # - name: n1", "    - name: n1")
        .replace("    #   ", "      ");
    let list = list.replace("backends: [n1, n2/p1]", "backends: [n1]");
    assert_eq!(parse(&long).clusters[0].nodes.len(), 3);
    assert_eq!(parse(&list).clusters[0].nodes[0].labels.len(), 1);
}
