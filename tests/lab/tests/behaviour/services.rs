//! Services of other clusters, sources of every kind, and CNIs of every kind.

use crate::bed::well;

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
