//! Services of other clusters, sources of every kind, and CNIs of every kind.

use crate::bed::well;
use crate::common::in_bed;

#[test]
fn services_with_backends_on_one_node_or_many_are_reached_from_pods_and_nodes() {
    let services = "services: [{name: one, backends: [n2]}, {name: many}, {name: first, backends: [n1/p1]}]";
    well(
        "backends",
        &format!(
            "clusters:
  - {{name: a, nodes: 3, {services}}}
  - {{name: b, nodes: 4, spec: {{mode: Gateway}}, {services}}}"
        ),
    );
}

#[test]
fn pods_are_seen_under_their_own_address_though_the_cni_masquerades() {
    let masquerading = "cni: {type: routed, masquerade: true}";
    well(
        "masquerade",
        &format!(
            "clusters:
  - {{name: a, nodes: 2, cni: vxlan}}
  - {{name: b, nodes: 3, cni: vxlan, spec: {{mode: Gateway}}}}
  - {{name: c, nodes: 2, {masquerading}}}
  - {{name: d, nodes: 3, {masquerading}, spec: {{mode: Gateway, gateways: {{count: 1}}}}}}"
        ),
    );
}

#[test]
fn a_cni_that_gives_nodes_no_prefix_works_in_both_modes() {
    well(
        "wide",
        "clusters:
  - {name: a, nodes: 3, cni: cluster-wide}
  - {name: b, nodes: 3, cni: cluster-wide, spec: {mode: Gateway}}
  - {name: c, nodes: 1}",
    );
}

#[test]
fn forwarding_works_where_nobody_else_accepts_it() {
    let closed = "cni: {type: routed, forwardAccept: false}";
    let lab = well(
        "closed",
        &format!(
            "clusters:
  - {{name: a, nodes: 2, {closed}}}
  - {{name: b, nodes: 3, {closed}, spec: {{mode: Gateway}}}}"
        ),
    );
    let status = crate::bed::object(&lab, "nodeconfigs/causeway-cluster-a/n1.status.yaml").unwrap();
    let chains = status["status"]["foreignChains"].to_string();
    assert!(chains.contains("FORWARD"), "{status}");
}

#[test]
fn a_narrow_underlay_is_never_overfilled() {
    well(
        "narrow",
        "underlay: {mtu: 1400}
clusters:
  - {name: a, nodes: 1}
  - {name: b, nodes: 2, spec: {mode: Gateway, gateways: {count: 1}}}",
    );
}

/// Bytes that a node has sent over `vx-bridge`.
fn sent(lab: &causeway_lab::Lab, node: &str) -> u64 {
    let shown = in_bed(lab, node, &["cat", "/proc/net/dev"]);
    let line = shown.lines().find_map(|line| line.trim().strip_prefix("vx-bridge:")).unwrap();
    line.split_whitespace().nth(8).unwrap().parse().unwrap()
}

#[test]
fn an_ipv6_connection_keeps_its_gateway_though_tcp_takes_new_flow_labels() {
    let lab = well(
        "labels",
        "clusters:
  - name: a
    nodes: [{name: g1, labels: {role: edge}}, {name: g2, labels: {role: edge}}, {name: g3, labels: {role: edge}}, {name: in}]
    spec: {mode: Gateway, gateways: {count: 3, nodeSelector: {matchLabels: {role: edge}}}}
  - {name: b, nodes: 1}",
    );
    let to = lab.address("a/in/p1", "b/n1/p1", causeway_model::Family::V6).unwrap().to_string();
    let gateways = ["a/g1", "a/g2", "a/g3"];
    for from in ["a/in/p1", "a/in"] {
        let before = gateways.map(|node| sent(&lab, node));
        for label in 1..=24 {
            in_bed(
                &lab,
                from,
                &["ping", "-6", "-c1", "-W2", "-s", "1000", "-F", &format!("0x{label:05x}"), &to],
            );
        }
        let after = gateways.map(|node| sent(&lab, node));
        let mut through: Vec<u64> = before.iter().zip(after).map(|(before, after)| after - before).collect();
        through.sort_unstable();
        // Gateways are probed meanwhile, with packets of some ten bytes.
        assert!(
            through[2] >= 24_000 && through[1] < 12_000,
            "{from}: bytes through each gateway: {through:?}"
        );
    }
}
