//! Who takes part, who carries what, and what the links say: modes, families, gateways, slices.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::num::NonZeroU32;

use causeway_model::{
    ClusterFacts, DualStack, Families, GatewayPolicy, LinkPrefix, Mode, NodeFacts, PrefixKind, Readiness,
    Reason, Role, Scope, SliceId, Via,
};
use causeway_planner::{Event, SLICE_BYTES, peer_size};
use common::*;

/// Three nodes with pods of both families at 192.0.2.BASE and on.
fn trio(cluster: &str, base: u8, second: u8) -> Vec<Event> {
    (1..4)
        .map(|n: u8| {
            let (v4, v6) = (format!("192.0.2.{}", base + n), format!("2001:db8::{base:x}:{n}"));
            let pods = [format!("10.{second}.{n}.0/24"), format!("fd00:{second}:0:{n}::/64")];
            Event::Node(node(&format!("{cluster}/n{n}"), &[&v4, &v6], &[&pods[0], &pods[1]]))
        })
        .collect()
}

fn p2p(text: &str, second: u8) -> ClusterFacts {
    let (v4, v6) = (format!("10.{second}.0.0/16"), format!("fd00:{second}::/48"));
    cluster(text, &[&v4, &v6], &[&format!("172.16.{second}.0/24"), &format!("fd01:{second}::/112")])
}

fn gateway(text: &str, second: u8, count: u32) -> ClusterFacts {
    let gateways = GatewayPolicy { count: NonZeroU32::new(count), ..GatewayPolicy::default() };
    ClusterFacts { mode: Some(Mode::Gateway), gateways, ..p2p(text, second) }
}

fn pair(a: ClusterFacts, b: ClusterFacts) -> Bed {
    let clusters = [Event::Cluster(a), Event::Cluster(b)].into_iter();
    Bed::with(clusters.chain(trio("a", 0, 1)).chain(trio("b", 100, 2)))
}

fn via(bed: &Bed, source: &str, remote: &str, kind: PrefixKind) -> Vec<Via> {
    let mut via: Vec<Via> =
        bed.link(source, remote).prefixes.iter().filter(|e| e.kind == kind).map(|e| e.via).collect();
    via.dedup();
    via
}

#[test]
fn two_p2p_clusters_reach_pods_through_nodes_and_services_through_carriers() {
    let bed = pair(p2p("a", 1), p2p("b", 2));
    assert_eq!(bed.findings(), Vec::<String>::new());
    assert_eq!(bed.reached("a", "b"), ["10.2.0.0/16", "172.16.2.0/24", "fd00:2::/48", "fd01:2::/112"]);
    assert_eq!(via(&bed, "a", "b", PrefixKind::Pod), [Via::Nodes]);
    assert_eq!(via(&bed, "a", "b", PrefixKind::Overlay), [Via::Nodes]);
    assert_eq!(via(&bed, "a", "b", PrefixKind::Service), [Via::Gateways]);
    assert_eq!(bed.gateways("b"), ["n1", "n2", "n3"]);
    let one = bed.node("a/n1");
    assert_eq!((one.role, one.tunnels.local), (Role::Node, None));
    assert_eq!(one.vtep.overlay.v4.to_string(), "198.18.0.1");
    assert_eq!(one.vtep.overlay.v6.to_string(), "fd63:6175:7365:1::1");
    assert_eq!(one.own.pods, prefixes(&["10.1.0.0/16", "fd00:1::/48"]));
    assert_eq!(one.local_pods, prefixes(&["10.1.1.0/24", "fd00:1:0:1::/64"]));
    assert_eq!(bed.node("b/n1").vtep.overlay.v4.to_string(), "198.18.1.1");
}

#[test]
fn a_gateway_cluster_is_reached_through_its_gateways_only() {
    let bed = pair(gateway("a", 1, 2), p2p("b", 2));
    for kind in [PrefixKind::Pod, PrefixKind::Service, PrefixKind::Overlay] {
        assert_eq!(via(&bed, "b", "a", kind), [Via::Gateways]);
    }
    assert_eq!(via(&bed, "a", "b", PrefixKind::Pod), [Via::Nodes]);
    assert_eq!((bed.link("b", "a").via, bed.link("a", "b").via), (Via::Gateways, Via::Nodes));
    assert_eq!(bed.gateways("a"), ["n1", "n2"]);
    let (gateway, internal) = (bed.node("a/n1"), bed.node("a/n3"));
    assert_eq!((gateway.role, internal.role), (Role::Gateway, Role::Internal));
    assert!(gateway.tunnels.bridge.is_some() && gateway.tunnels.local.is_some());
    assert!(internal.tunnels.bridge.is_none() && internal.tunnels.local.is_some());
}

#[test]
fn three_clusters_of_three_kinds_all_reach_each_other() {
    let mut cluster_wide = p2p("c", 3);
    cluster_wide.families = Families::DUAL;
    let mut events = vec![Event::Cluster(p2p("a", 1)), Event::Cluster(gateway("b", 2, 3))];
    events.push(Event::Cluster(cluster_wide));
    events.extend(trio("a", 0, 1));
    events.extend(trio("b", 100, 2));
    events.extend(trio("c", 200, 3).into_iter().map(|event| match event {
        Event::Node(facts) => Event::Node(NodeFacts { pods: Vec::new(), ..facts }),
        other => other,
    }));
    let bed = Bed::with(events);
    assert_eq!(bed.findings(), Vec::<String>::new());
    assert!(bed.plan.links.values().all(|link| link.findings.is_empty() && link.prefixes.len() == 6));
    assert_eq!(via(&bed, "a", "c", PrefixKind::Pod), [Via::Gateways]);
    assert_eq!(bed.plan.links.len(), 6);
}

#[test]
fn pods_of_a_cluster_wide_cni_go_through_up_to_four_carriers() {
    let nodes = (1..8).map(|n| Event::Node(node(&format!("a/n{n}"), &[&format!("192.0.2.{n}")], &[])));
    let bed = Bed::with([Event::Cluster(cluster("a", &["10.1.0.0/16"], &[]))].into_iter().chain(nodes));
    assert_eq!(bed.gateways("a"), ["n1", "n2", "n3", "n4"]);
    assert_eq!(bed.node("a/n1").role, Role::Node);
}

#[test]
fn a_change_of_mode_moves_no_address() {
    let mut bed = pair(p2p("a", 1), p2p("b", 2));
    let before: Vec<_> = bed.plan.nodes.values().map(|plan| plan.vtep.clone()).collect();
    let changes = bed.step([Event::Cluster(gateway("a", 1, 2))]);
    assert_eq!(changes.nodes.len(), 3);
    assert_eq!(changes.links.iter().map(|link| link.id.clone()).collect::<Vec<_>>(), [link_id("b", "a")]);
    assert_eq!(bed.plan.nodes.values().map(|plan| plan.vtep.clone()).collect::<Vec<_>>(), before);
    bed.step([Event::Cluster(p2p("a", 1))]);
    assert_eq!(bed.node("a/n1").role, Role::Node);
}

#[test]
fn three_and_eight_gateways_are_elected_when_there_are_enough_nodes() {
    for count in [3, 8] {
        let nodes = (1..=9).map(|n| Event::Node(node(&format!("a/n{n}"), &[&format!("192.0.2.{n}")], &[])));
        let facts = gateway_cluster("a", &["10.1.0.0/16"], &[], count);
        let bed = Bed::with([Event::Cluster(facts)].into_iter().chain(nodes));
        assert_eq!(bed.gateways("a").len(), count as usize);
    }
}

#[test]
fn a_selector_names_the_gateways_and_too_few_are_a_finding() {
    let mut facts = gateway("a", 1, 2);
    facts.gateways.selector = label("role", "edge");
    let mut bed = pair(facts, p2p("b", 2));
    assert_eq!(bed.gateways("a"), Vec::<String>::new());
    assert_eq!(bed.on_cluster("a"), [(Reason::NoGateway, "spec.gateways".to_owned())]);
    for (source, remote) in [("a", "b"), ("b", "a")] {
        assert_eq!(bed.on_link(source, remote), [Reason::NoGateway]);
        assert!(bed.link(source, remote).prefixes.is_empty());
    }
    let edge = node("a/n3", &["192.0.2.3", "2001:db8::0:3"], &["10.1.3.0/24", "fd00:1:0:3::/64"]);
    bed.step([Event::Node(labelled(edge, "role", "edge"))]);
    assert_eq!(bed.gateways("a"), ["n3"]);
    assert_eq!(bed.on_cluster("a"), [(Reason::TooFewGateways, "spec.gateways".to_owned())]);
    assert_eq!(bed.on_link("b", "a"), []);
    assert!(!bed.link("b", "a").prefixes.is_empty());
}

#[test]
fn a_cluster_without_gateways_disturbs_no_other() {
    let mut facts = gateway("a", 1, 2);
    facts.gateways.selector = label("role", "edge");
    let mut bed = pair(p2p("b", 2), p2p("c", 3));
    bed.step(trio("c", 200, 3));
    let before = bed.link("b", "c").clone();
    bed.step([Event::Cluster(facts)]);
    assert_eq!(bed.link("b", "c"), &before);
    assert!(!before.prefixes.is_empty());
}

#[test]
fn a_gateway_that_fails_is_replaced_and_its_successor_stays() {
    let mut bed = pair(gateway("a", 1, 2), p2p("b", 2));
    let addresses = ["192.0.2.1", "2001:db8::0:1"];
    let first = node("a/n1", &addresses, &["10.1.1.0/24", "fd00:1:0:1::/64"]);
    let changes = bed.step([Event::Node(NodeFacts { readiness: Readiness::NotReady, ..first.clone() })]);
    assert_eq!(bed.gateways("a"), ["n2", "n3"]);
    assert_eq!((changes.nodes.len(), changes.slices.len(), changes.links.len()), (2, 1, 0));
    assert_eq!(changes.slices[0].id.scope, Scope::Gateways);
    bed.step([Event::Node(first)]);
    assert_eq!(bed.gateways("a"), ["n2", "n3"]);
}

#[test]
fn labels_and_the_node_selector_keep_nodes_out() {
    let mut facts = p2p("a", 1);
    facts.nodes = label("pool", "pods");
    let mut bed = pair(facts, p2p("b", 2));
    assert_eq!(bed.on_node("a/n1"), [(Reason::NodeExcluded, "spec.labels".to_owned())]);
    assert_eq!(bed.on_cluster("a"), [(Reason::NoNodes, "spec.nodes".to_owned())]);
    assert_eq!(bed.on_link("b", "a"), [Reason::NoNodes]);
    let out = node("b/n1", &["192.0.2.101"], &["10.2.1.0/24"]);
    let changes = bed.step([Event::Node(labelled(out, "causeway.dev/exclude", "true"))]);
    assert_eq!(changes.nodes_gone, [id("b/n1")]);
    assert_eq!(changes.slices[0].peers.len(), 2);
}

#[test]
fn families_are_those_that_both_clusters_use() {
    let v4_only = cluster("b", &["10.2.0.0/16"], &["172.16.2.0/24"]);
    let v6_only = cluster("b", &["fd00:2::/48"], &["fd01:2::/112"]);
    let only = |facts: ClusterFacts| {
        let nodes = (1..3).map(|n| {
            let pods =
                if facts.families == v4() { format!("10.2.{n}.0/24") } else { format!("fd00:2:0:{n}::/64") };
            Event::Node(node(&format!("b/n{n}"), &[&format!("192.0.2.10{n}")], &[&pods]))
        });
        let nodes: Vec<Event> = nodes.collect();
        let clusters = [Event::Cluster(p2p("a", 1)), Event::Cluster(facts.clone())];
        Bed::with(clusters.into_iter().chain(trio("a", 0, 1)).chain(nodes))
    };
    let bed = only(v4_only);
    assert_eq!(bed.reached("a", "b"), ["10.2.0.0/16", "172.16.2.0/24"]);
    assert_eq!(bed.reached("b", "a"), ["10.1.0.0/16", "172.16.1.0/24"]);
    let all_v4 = |entry: &LinkPrefix| v4().contains(entry.prefix.family());
    assert!(bed.link("b", "a").prefixes.iter().all(all_v4), "no IPv6 overlay block either");
    let bed = only(v6_only);
    assert_eq!(bed.reached("b", "a"), ["fd00:1::/48", "fd01:1::/112"]);
    assert_eq!(bed.node("b/n1").vtep.families, v6());
}

#[test]
fn clusters_without_a_common_family_have_a_link_that_says_so() {
    let bed = Bed::with([
        Event::Cluster(cluster("a", &["10.1.0.0/16"], &[])),
        Event::Cluster(cluster("b", &["fd00:2::/48"], &[])),
        Event::Node(node("a/n1", &["192.0.2.1"], &[])),
        Event::Node(node("b/n1", &["192.0.2.2"], &[])),
    ]);
    assert_eq!(bed.on_link("a", "b"), [Reason::NoCommonIpFamily]);
    assert!(bed.link("b", "a").prefixes.is_empty());
}

#[test]
fn a_node_that_lacks_a_family_lacks_only_that() {
    let mut bed = pair(p2p("a", 1), p2p("b", 2));
    bed.step([Event::Node(node("b/n2", &["192.0.2.102"], &["10.2.2.0/24"]))]);
    assert_eq!(bed.node("b/n2").vtep.families, v4());
    assert_eq!(bed.node("b/n1").vtep.families, Families::DUAL);
    assert_eq!(bed.reached("a", "b").len(), 4);
}

#[test]
fn underlays_without_a_common_family_are_a_finding() {
    let mut bed = Bed::with([
        Event::Cluster(cluster("a", &["10.1.0.0/16"], &[])),
        Event::Cluster(cluster("b", &["10.2.0.0/16"], &[])),
        Event::Node(node("a/n1", &["192.0.2.1"], &["10.1.1.0/24"])),
        Event::Node(node("b/n1", &["2001:db8::1"], &["10.2.1.0/24"])),
    ]);
    assert_eq!(bed.on_link("a", "b"), [Reason::NoCommonUnderlayFamily]);
    bed.step([Event::Node(node("a/n1", &["192.0.2.1", "2001:db8::2"], &["10.1.1.0/24"]))]);
    assert_eq!(bed.reached("a", "b"), ["10.2.0.0/16"]);
}

#[test]
fn the_mtu_of_a_link_is_that_of_the_smaller_underlay_less_the_overhead() {
    let with = |mut facts: ClusterFacts, mtu| {
        facts.underlay_mtu = mtu;
        facts
    };
    let bed = pair(with(p2p("a", 1), Some(1400)), with(p2p("b", 2), Some(9000)));
    assert_eq!((bed.link("a", "b").mtu, bed.link("b", "a").mtu), (Some(1350), Some(1350)));
    let mut bed = pair(with(p2p("a", 1), Some(1400)), p2p("b", 2));
    assert_eq!(bed.link("a", "b").mtu, Some(1350));
    bed.step((1..4).map(|n| {
        let address = format!("2001:db8::b:{n}");
        Event::Node(node(&format!("b/n{n}"), &[&address], &[&format!("10.2.{n}.0/24")]))
    }));
    assert_eq!(bed.link("a", "b").mtu, Some(1330));
    bed.step([Event::Cluster(p2p("a", 1))]);
    assert_eq!(bed.link("a", "b").mtu, None);
}

#[test]
fn names_that_collide_when_joined_are_kept_apart() {
    let mut events = Vec::new();
    for (number, (of, node_name)) in
        [("a", "b-c"), ("a-b", "c"), ("default", "c"), ("nodes", "c"), ("service1", "c")].iter().enumerate()
    {
        events.push(Event::Cluster(cluster(of, &[&format!("10.{number}.0.0/16")], &[])));
        let address = format!("192.0.2.{}", number + 1);
        events.push(Event::Node(node(
            &format!("{of}/{node_name}"),
            &[&address],
            &[&format!("10.{number}.1.0/24")],
        )));
    }
    let bed = Bed::with(events);
    assert_eq!(bed.findings(), Vec::<String>::new());
    assert_eq!((bed.plan.nodes.len(), bed.plan.links.len()), (5, 20));
}

#[test]
fn nodes_of_an_unknown_cluster_wait_for_it() {
    let mut bed = Bed::with(trio("a", 0, 1));
    assert_eq!(bed.on_node("a/n1"), [(Reason::UnknownCluster, "metadata.namespace".to_owned())]);
    assert!(bed.plan.nodes.is_empty());
    bed.step([Event::Cluster(p2p("a", 1))]);
    assert_eq!((bed.plan.nodes.len(), bed.findings().len()), (3, 0));
}

#[test]
fn a_cluster_without_nodes_says_so() {
    let bed = Bed::with([Event::Cluster(p2p("a", 1)), Event::Cluster(p2p("b", 2))]);
    assert_eq!(bed.on_cluster("a"), [(Reason::NoNodes, "spec.nodes".to_owned())]);
    assert_eq!(bed.on_link("a", "b"), [Reason::NoNodes, Reason::NoNodes]);
}

#[test]
fn a_peer_keeps_its_slice_and_a_new_one_fills_the_lowest_hole() {
    let at = |n: usize| {
        let address = format!("192.0.{}.{}", n / 200, n % 200 + 1);
        Event::Node(node(&format!("a/n{n:03}"), &[&address], &[]))
    };
    let mut bed =
        Bed::with([Event::Cluster(cluster("a", &["10.1.0.0/16"], &[]))].into_iter().chain((0..600).map(at)));
    let slice = |index| SliceId { cluster: name("a"), scope: Scope::Nodes, index };
    let sizes = |bed: &Bed| {
        let nodes = bed.plan.slices.iter().filter(|(id, _)| id.scope == Scope::Nodes);
        nodes.map(|(_, plan)| plan.peers.len()).collect::<Vec<_>>()
    };
    assert_eq!(sizes(&bed), [256, 256, 88]);
    let changes = bed.step([Event::NodeGone(id("a/n300")), Event::NodeGone(id("a/n010"))]);
    assert_eq!(changes.nodes.len(), 0);
    let changes = bed.step([at(700)]);
    assert_eq!(changes.slices.iter().map(|s| s.id.clone()).collect::<Vec<_>>(), [slice(0)]);
    bed.step((512..600).map(|n| Event::NodeGone(id(&format!("a/n{n:03}")))));
    assert_eq!(sizes(&bed), [256, 255]);
}

#[test]
fn slices_stay_below_their_size_whatever_the_nodes_carry() {
    let long = "x".repeat(60);
    let at = |n: usize, prefixes: usize| {
        let pods: Vec<String> =
            (0..prefixes).map(|i| format!("fd00:1:{:x}:{i:x}::/64", 0x1000 + n)).collect();
        let pods: Vec<&str> = pods.iter().map(String::as_str).collect();
        let text = format!("a/n{n:03}.{long}.{long}");
        Event::Node(node(&text, &[&format!("192.0.2.{}", n + 1), &format!("2001:db8::{n:x}")], &pods))
    };
    let mut bed = Bed::with(
        [Event::Cluster(cluster("a", &["fd00:1::/32"], &[]))].into_iter().chain((0..200).map(|n| at(n, 2))),
    );
    let largest = |bed: &Bed| {
        let size = |slice: &causeway_model::SlicePlan| slice.peers.iter().map(peer_size).sum::<usize>();
        bed.plan.slices.values().map(size).max().unwrap()
    };
    assert!(largest(&bed) <= SLICE_BYTES && bed.plan.slices.len() == 3, "{}", bed.plan.slices.len());
    bed.step((0..20).map(|n| at(n, 64)));
    assert!(largest(&bed) <= SLICE_BYTES, "{}", largest(&bed));
}

#[test]
fn nodes_without_a_reachable_address_are_left_out() {
    let bare = NodeFacts { underlay: DualStack::default(), ..node("a/n9", &[], &[]) };
    let bed = Bed::with([
        Event::Cluster(p2p("a", 1)),
        Event::Node(bare),
        Event::Node(node("a/n8", &["127.0.0.1"], &[])),
        Event::Node(node("a/n7", &["198.18.3.4"], &[])),
    ]);
    let underlay = || "spec.underlay".to_owned();
    assert_eq!(bed.on_node("a/n9"), [(Reason::NoUnderlayAddress, underlay())]);
    assert_eq!(bed.on_node("a/n8"), [(Reason::InvalidValue, underlay())]);
    assert_eq!(bed.on_node("a/n7"), [(Reason::PrefixInOverlayRange, underlay())]);
    assert!(bed.plan.nodes.is_empty());
}

#[test]
fn of_two_nodes_with_one_address_the_one_of_the_older_cluster_keeps_it() {
    let mut bed = Bed::with([
        Event::Cluster(p2p("b", 2)),
        Event::Node(node("b/n1", &["192.0.2.1"], &[])),
        Event::Node(node("b/n2", &["192.0.2.1", "2001:db8::2"], &[])),
    ]);
    let duplicate = || [(Reason::DuplicateUnderlayAddress, "spec.underlay".to_owned())];
    assert_eq!(bed.on_node("b/n2"), duplicate());
    assert_eq!(bed.node("b/n2").vtep.underlay.v4, None, "its other address is used");
    bed.step([Event::Cluster(p2p("a", 1)), Event::Node(node("a/n9", &["192.0.2.1"], &[]))]);
    assert_eq!(bed.on_node("b/n1"), duplicate());
    assert!(!bed.plan.nodes.contains_key(&id("b/n1")));
    bed.step([Event::NodeGone(id("a/n9"))]);
    assert!(bed.plan.nodes.contains_key(&id("b/n1")));
}
