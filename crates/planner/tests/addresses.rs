//! Who has which address and prefix: overlay allocation, restarts, refusals, overlap, global CIDRs.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::num::NonZeroU32;

use causeway_model::{
    Age, ClusterFacts, ClusterSetFacts, DualStack, Families, GatewayPolicy, GlobalCidrs, Mode, NodeFacts,
    OverlayAddresses, Prefix, Reason,
};
use causeway_planner::{Adopted, Event, Planner};
use common::*;

/// One node for each cluster at 192.0.2.N, without prefixes of its own.
fn clusters(facts: &[ClusterFacts]) -> Bed {
    let nodes = facts.iter().zip(1..).map(|(facts, n)| {
        Event::Node(node(
            &format!("{}/n1", facts.name),
            &[&format!("192.0.2.{n}"), &format!("2001:db8::{n}")],
            &[],
        ))
    });
    Bed::with(facts.iter().cloned().map(Event::Cluster).chain(nodes))
}

fn many(cluster: &str, nodes: std::ops::Range<usize>) -> impl Iterator<Item = Event> {
    nodes.map(move |n| {
        let address = format!("192.0.{}.{}", n / 200, n % 200 + 1);
        Event::Node(node(&format!("{cluster}/n{n:04}"), &[&address], &[]))
    })
}

fn overlay_of(bed: &Bed, node: &str) -> String {
    bed.node(node).vtep.overlay.v4.to_string()
}

fn overlay_ranges(v4: &[&str], v6: &[&str]) -> Event {
    let overlay = DualStack { v4: prefixes(v4), v6: prefixes(v6) };
    Event::ClusterSet(Some(ClusterSetFacts { overlay, ..ClusterSetFacts::default() }))
}

fn mapped(facts: ClusterFacts, map: &[(&str, &str)]) -> ClusterFacts {
    let map = map.iter().map(|(real, global)| translation(real, global)).collect();
    ClusterFacts { globals: GlobalCidrs::Map(map), ..facts }
}

fn auto(facts: ClusterFacts) -> ClusterFacts {
    ClusterFacts { globals: GlobalCidrs::Auto, ..facts }
}

fn field(reason: Reason, field: &str) -> (Reason, String) {
    (reason, field.to_owned())
}

#[test]
fn more_nodes_than_one_block_take_a_second_one_and_move_nobody() {
    let facts = cluster("a", &["10.1.0.0/16"], &[]);
    let mut bed = Bed::with([Event::Cluster(facts)].into_iter().chain(many("a", 0..254)));
    assert_eq!(bed.plan.clusters[&name("a")].overlay.v4, prefixes(&["198.18.0.0/24"]));
    let last = overlay_of(&bed, "a/n0253");
    bed.step(many("a", 254..256));
    assert_eq!(bed.plan.clusters[&name("a")].overlay.v4, prefixes(&["198.18.0.0/24", "198.18.4.0/22"]));
    let v6 = &bed.plan.clusters[&name("a")].overlay.v6;
    assert_eq!(v6, &prefixes(&["fd63:6175:7365:1::/120", "fd63:6175:7365:1::400/118"]));
    assert_eq!((last.as_str(), overlay_of(&bed, "a/n0253").as_str()), ("198.18.0.254", "198.18.0.254"));
    assert_eq!(overlay_of(&bed, "a/n0254"), "198.18.4.1");
    assert_eq!(bed.node("a/n0254").vtep.overlay.v6.to_string(), "fd63:6175:7365:1::401");
}

#[test]
fn a_node_that_leaves_frees_its_address_for_the_next_and_moves_nobody() {
    let facts = cluster("a", &["10.1.0.0/16"], &[]);
    let mut bed = Bed::with([Event::Cluster(facts)].into_iter().chain(many("a", 0..4)));
    bed.step([Event::NodeGone(id("a/n0001"))]);
    let changes = bed.step(many("a", 7..8));
    assert_eq!((overlay_of(&bed, "a/n0007").as_str(), changes.nodes.len()), ("198.18.0.2", 1));
    bed.step(many("a", 1..2));
    assert_eq!(overlay_of(&bed, "a/n0001"), "198.18.0.5");
    assert_eq!(overlay_of(&bed, "a/n0003"), "198.18.0.4");
}

#[test]
fn two_restarts_in_between_move_nobody() {
    let facts = cluster("b", &["10.2.0.0/16"], &[]);
    let mut bed = Bed::with([Event::Cluster(facts)].into_iter().chain(many("b", 0..5)));
    bed.step([Event::NodeGone(id("b/n0000"))]);
    bed.planner = bed.restarted();
    // An older cluster, and a node with a lower name: both take what is free.
    bed.step([
        Event::Cluster(cluster("a", &["10.1.0.0/16"], &[])),
        Event::Node(node("a/n1", &["198.51.100.1"], &[])),
    ]);
    bed.planner = bed.restarted();
    bed.step([Event::Node(node("b/a", &["198.51.100.2"], &[]))]);
    assert_eq!(overlay_of(&bed, "b/n0004"), "198.18.0.5");
    assert_eq!(overlay_of(&bed, "b/a"), "198.18.0.1");
    assert_eq!(overlay_of(&bed, "a/n1"), "198.18.1.1");
}

#[test]
fn a_cluster_that_is_removed_and_added_again_is_planned_anew() {
    let mut bed = clusters(&[cluster("a", &["10.1.0.0/16"], &[]), cluster("b", &["10.2.0.0/16"], &[])]);
    let before = bed.plan.clone();
    let changes = bed.step([Event::ClusterGone(name("a"))]);
    assert_eq!((changes.clusters_gone.len(), changes.links_gone.len()), (1, 2));
    assert_eq!((changes.nodes_gone.len(), changes.slices_gone.len()), (1, 2));
    assert_eq!(bed.on_node("a/n1"), [field(Reason::UnknownCluster, "metadata.namespace")]);
    bed.step([Event::Cluster(cluster("a", &["10.1.0.0/16"], &[]))]);
    assert_eq!(bed.plan, before);
    bed.step([Event::ClusterGone(name("a")), Event::NodeGone(id("a/n1"))]);
    bed.step([Event::ClusterGone(name("b")), Event::NodeGone(id("b/n1"))]);
    assert_eq!(bed.plan, Default::default());
}

#[test]
fn an_exhausted_overlay_leaves_out_the_rest_and_disturbs_nobody() {
    let facts = cluster("a", &["10.1.0.0/16"], &[]);
    let mut bed = Bed::with(
        [overlay_ranges(&["198.18.0.0/24"], &["fdc5::/64"]), Event::Cluster(facts)]
            .into_iter()
            .chain(many("a", 0..254)),
    );
    let changes = bed.step(many("a", 254..256));
    assert!(changes.nodes.is_empty() && changes.slices.is_empty());
    assert_eq!(bed.on_node("a/n0255"), [field(Reason::OverlayExhausted, "spec")]);
    assert_eq!(bed.on_cluster("a"), [field(Reason::OverlayExhausted, "status.overlayCIDRs")]);
    bed.step([Event::NodeGone(id("a/n0100"))]);
    assert_eq!(overlay_of(&bed, "a/n0254"), "198.18.0.101");
    let changes = bed.step([overlay_ranges(&["198.18.0.0/24", "198.18.8.0/21"], &["fdc5::/64"])]);
    assert_eq!(overlay_of(&bed, "a/n0255"), "198.18.8.1");
    assert_eq!(overlay_of(&bed, "a/n0000"), "198.18.0.1");
    assert!(
        changes.node_findings.iter().any(|(node, findings)| *node == id("a/n0255") && findings.is_empty())
    );
}

#[test]
fn blocks_outside_of_changed_ranges_are_kept_and_still_guarded() {
    let mut bed = clusters(&[cluster("a", &["10.1.0.0/16"], &[]), cluster("b", &["10.2.0.0/16"], &[])]);
    bed.step([overlay_ranges(&["203.0.113.0/24"], &["fdc5:1::/64"])]);
    assert_eq!(overlay_of(&bed, "a/n1"), "198.18.0.1");
    bed.step([Event::Cluster(cluster("b", &["10.2.0.0/16", "198.18.0.0/16"], &[]))]);
    assert_eq!(bed.on_cluster("b"), [field(Reason::PrefixInOverlayRange, "spec.podCIDRs[1]")]);
    bed.step([
        Event::Cluster(cluster("c", &["10.3.0.0/16"], &[])),
        Event::Node(node("c/n1", &["192.0.2.9"], &[])),
    ]);
    assert_eq!(overlay_of(&bed, "c/n1"), "203.0.113.1");
}

#[test]
fn read_back_addresses_that_are_not_valid_are_ignored() {
    let mut planner = Planner::new();
    let addresses =
        |v4: &str, v6: &str| OverlayAddresses { v4: v4.parse().unwrap(), v6: v6.parse().unwrap() };
    let overlay = DualStack {
        v4: prefixes(&["198.18.5.0/24", "127.0.0.0/24", "198.18.6.0/24"]),
        v6: prefixes(&[
            "fd63:6175:7365:1::500/120",
            "fd63:6175:7365:1::600/120",
            "fd63:6175:7365:1::700/121",
        ]),
    };
    planner.adopt(Adopted::Cluster {
        name: name("a"),
        overlay,
        translations: vec![translation("10.1.0.0/16", "127.0.0.0/16")],
        gateways: vec!["nobody".parse().unwrap()],
    });
    let good = addresses("198.18.5.9", "fd63:6175:7365:1::509");
    for (node, overlay) in [
        ("a/n1", good),
        ("a/n2", good),
        ("a/n3", addresses("198.18.5.0", "fd63:6175:7365:1::500")),
        ("a/n4", addresses("198.18.5.7", "fd63:6175:7365:1::508")),
        ("a/n5", addresses("10.0.0.1", "fd00::1")),
    ] {
        planner.adopt(Adopted::Node { id: id(node), overlay });
    }
    planner.handle(Event::Cluster(auto(cluster("a", &["10.1.0.0/16"], &[]))));
    for n in 1..6 {
        planner.handle(Event::Node(node(&format!("a/n{n}"), &[&format!("192.0.2.{n}")], &[])));
    }
    planner.plan();
    let plan = planner.snapshot();
    let found: Vec<String> = plan.nodes.values().map(|plan| plan.vtep.overlay.v4.to_string()).collect();
    assert_eq!(found, ["198.18.5.9", "198.18.5.1", "198.18.5.2", "198.18.5.3", "198.18.5.4"]);
    assert_eq!(plan.clusters[&name("a")].overlay.v4, prefixes(&["198.18.5.0/24"]));
    assert!(plan.clusters[&name("a")].translations.is_empty());
}

#[test]
fn prefixes_that_would_break_a_node_are_refused_with_their_field() {
    let bed = clusters(&[
        ClusterFacts {
            families: v4(),
            ..cluster(
                "a",
                &["10.1.0.0/16", "0.0.0.0/0", "127.0.0.0/8", "224.1.0.0/16", "fd00::/48"],
                &["198.18.7.0/24", "192.0.2.0/24"],
            )
        },
        cluster("b", &["10.2.0.0/16"], &[]),
    ]);
    assert_eq!(
        bed.on_cluster("a"),
        [
            field(Reason::PrefixReserved, "spec.podCIDRs[1]"),
            field(Reason::PrefixReserved, "spec.podCIDRs[2]"),
            field(Reason::PrefixReserved, "spec.podCIDRs[3]"),
            field(Reason::FamilyNotUsed, "spec.podCIDRs[4]"),
            field(Reason::PrefixInOverlayRange, "spec.serviceCIDRs[0]"),
            field(Reason::PrefixCoversUnderlay, "spec.serviceCIDRs[1]"),
        ]
    );
    assert_eq!(bed.reached("b", "a"), ["10.1.0.0/16"]);
}

#[test]
fn a_node_of_the_own_or_an_older_cluster_inside_a_prefix_takes_it_off_the_links_while_it_is_there() {
    let mut bed = clusters(&[
        cluster("a", &["10.1.0.0/16", "10.9.0.0/16"], &[]),
        cluster("b", &["10.2.0.0/16"], &[]),
        cluster("c", &["10.3.0.0/16"], &[]),
    ]);
    for arrived in ["a/n2", "0/n2"] {
        bed.step([Event::Cluster(cluster("0", &["10.4.0.0/16"], &[]))]);
        let changes = bed.step([Event::Node(node(arrived, &["10.9.0.7"], &[]))]);
        assert_eq!(bed.on_cluster("a"), [field(Reason::PrefixCoversUnderlay, "spec.podCIDRs[1]")]);
        assert_eq!(bed.reached("b", "a"), ["10.1.0.0/16"]);
        let touched = changes.clusters.iter().all(|plan| ["0", "a"].contains(&plan.name.as_str()));
        assert!(touched, "at most the cluster concerned and that of the node");
        bed.step([Event::NodeGone(id(arrived))]);
        assert_eq!(bed.reached("b", "a"), ["10.1.0.0/16", "10.9.0.0/16"]);
    }
}

#[test]
fn nested_prefixes_of_one_cluster_merge_and_a_service_inside_its_pods_is_refused() {
    let bed = clusters(&[
        cluster("a", &["10.1.4.0/24", "10.1.0.0/16", "10.1.0.0/16"], &["10.1.9.0/24", "172.16.0.0/16"]),
        cluster("b", &["10.2.0.0/16"], &[]),
    ]);
    assert_eq!(bed.reached("b", "a"), ["10.1.0.0/16", "172.16.0.0/16"]);
    assert_eq!(bed.on_cluster("a"), [field(Reason::PrefixConflict, "spec.serviceCIDRs[0]")]);
}

#[test]
fn a_node_announces_only_what_lies_inside_its_cluster_and_is_no_other_nodes() {
    let mut bed = clusters(&[cluster("a", &["10.1.0.0/16"], &[]), cluster("b", &["10.2.0.0/16"], &[])]);
    bed.step([
        Event::Node(node("a/n2", &["192.0.2.12"], &["10.1.2.0/24", "10.7.0.0/24"])),
        Event::Node(node("a/n3", &["192.0.2.13"], &["10.1.2.128/25", "10.1.3.0/24"])),
    ]);
    assert_eq!(bed.on_node("a/n2"), [field(Reason::PrefixOutsideCluster, "spec.podCIDRs[1]")]);
    assert_eq!(bed.on_node("a/n3"), [field(Reason::PrefixOfOtherNode, "spec.podCIDRs[0]")]);
    assert_eq!(bed.node("a/n3").local_pods, prefixes(&["10.1.3.0/24"]));
    let changes = bed.step([Event::NodeGone(id("a/n2"))]);
    assert_eq!(bed.node("a/n3").local_pods, prefixes(&["10.1.2.128/25", "10.1.3.0/24"]));
    assert_eq!(changes.node_findings.last().map(|(_, findings)| findings.len()), Some(0));
}

/// Two clusters whose CIDRs overlap, and one that stands apart; `a` is the oldest.
fn overlapping(a: (&[&str], &[&str]), b: (&[&str], &[&str])) -> [ClusterFacts; 3] {
    [cluster("a", a.0, a.1), cluster("b", b.0, b.1), cluster("c", &["10.30.0.0/16"], &["172.30.0.0/16"])]
}

#[test]
fn of_overlapping_prefixes_the_oldest_cluster_keeps_its_own_and_both_say_so() {
    let pods: [(&[&str], &[&str]); 4] = [
        (&["10.1.0.0/16"], &["10.1.0.0/16"]),
        (&["10.1.0.0/16"], &["10.1.5.0/24"]),
        (&["10.1.5.0/24"], &["10.1.0.0/16"]),
        (&["10.1.5.0/24", "10.1.6.0/24"], &["10.1.0.0/16"]),
    ];
    for (a, b) in pods {
        let bed = clusters(&overlapping((a, &["172.16.0.0/16"]), (b, &["172.17.0.0/16"])));
        assert_eq!(bed.on_cluster("b")[0], field(Reason::PrefixConflict, "spec.podCIDRs[0]"));
        assert_eq!(bed.on_cluster("a")[0], field(Reason::PrefixConflict, "spec.podCIDRs[0]"));
        assert_eq!(bed.reached("c", "a").len(), a.len() + 1);
        assert_eq!(bed.reached("c", "b"), ["172.17.0.0/16"]);
        assert_eq!(bed.reached("a", "b"), ["172.17.0.0/16"]);
        assert_eq!(bed.reached("b", "a"), ["172.16.0.0/16"], "never what {b:?} uses itself");
        assert!(bed.on_link("b", "a").contains(&Reason::PrefixConflict));
        assert_eq!(bed.reached("b", "c"), ["10.30.0.0/16", "172.30.0.0/16"]);
    }
}

#[test]
fn equal_service_cidrs_and_services_equal_to_pods_conflict_alike() {
    let bed =
        clusters(&overlapping((&["10.1.0.0/16"], &["10.96.0.0/16"]), (&["10.2.0.0/16"], &["10.96.0.0/16"])));
    assert_eq!(bed.on_cluster("b"), [field(Reason::PrefixConflict, "spec.serviceCIDRs[0]")]);
    assert_eq!(bed.reached("c", "b"), ["10.2.0.0/16"]);
    let bed =
        clusters(&overlapping((&["10.1.0.0/16"], &["10.96.0.0/16"]), (&["10.96.0.0/16"], &["10.97.0.0/16"])));
    assert_eq!(bed.on_cluster("b"), [field(Reason::PrefixConflict, "spec.podCIDRs[0]")]);
    assert_eq!(bed.on_cluster("a"), [field(Reason::PrefixConflict, "spec.serviceCIDRs[0]")]);
    assert_eq!(bed.reached("c", "b"), ["10.97.0.0/16"]);
}

#[test]
fn age_decides_before_name_and_an_unknown_age_is_the_youngest() {
    let mut facts = overlapping((&["10.1.0.0/16"], &[]), (&["10.1.0.0/16"], &[]));
    facts[0].age = Age::Unknown;
    let mut bed = clusters(&facts);
    assert_eq!(bed.reached("c", "b"), ["10.1.0.0/16"]);
    assert_eq!(bed.reached("c", "a"), Vec::<String>::new());
    facts[0].age = Age::Created(1);
    bed.step([Event::Cluster(facts[0].clone())]);
    assert_eq!(bed.reached("c", "a"), ["10.1.0.0/16"]);
    bed.step([Event::ClusterGone(name("a"))]);
    assert_eq!(bed.reached("c", "b"), ["10.1.0.0/16"], "the younger gets it when the older goes");
    assert_eq!(bed.on_cluster("b"), []);
}

#[test]
fn allocated_global_cidrs_make_overlapping_clusters_reachable_in_both_modes() {
    for mode in [Mode::P2p, Mode::Gateway] {
        let pods = ["10.1.0.0/16", "fd00:1::/56"];
        let services = ["10.96.0.0/16", "fd01:1::/112"];
        let facts = overlapping((&pods, &services), (&pods, &services));
        let bed = clusters(&facts.map(|facts| {
            let gateways = GatewayPolicy { count: NonZeroU32::new(1), ..GatewayPolicy::default() };
            ClusterFacts { mode: Some(mode), gateways, ..auto(facts) }
        }));
        assert_eq!(bed.findings(), Vec::<String>::new());
        for (source, remote) in [("a", "b"), ("b", "a"), ("c", "a"), ("c", "b")] {
            let reached = bed.reached(source, remote);
            assert_eq!(reached.len(), if source == "c" { 2 } else { 4 }, "{source} to {remote}: {reached:?}");
            assert!(reached.iter().all(|p| p.starts_with("100.") || p.starts_with("fd63:6176")));
        }
        assert_eq!(
            bed.reached("a", "c"),
            ["10.30.0.0/16", "172.30.0.0/16"],
            "what does not overlap stays real"
        );
        assert_eq!(bed.node("a/n1").own.pods, prefixes(&pods), "the cluster itself uses the real ones");
        assert_eq!(bed.node("a/n1").translations.len(), 4);
    }
}

#[test]
fn named_global_cidrs_translate_the_prefixes_of_nodes_inside_them() {
    let [a, b, c] = overlapping((&["10.1.0.0/16"], &[]), (&["10.1.0.0/16"], &[]));
    let mut bed = clusters(&[
        mapped(a, &[("10.1.0.0/16", "100.70.0.0/16")]),
        mapped(b, &[("10.1.0.0/16", "100.71.0.0/16")]),
        c,
    ]);
    bed.step([Event::Node(node("a/n2", &["192.0.2.22"], &["10.1.7.0/24"]))]);
    assert_eq!(bed.reached("b", "a"), ["100.70.0.0/16"]);
    assert_eq!(bed.reached("a", "b"), ["100.71.0.0/16"]);
    let peers = bed.plan.slices.values().flat_map(|slice| &slice.peers);
    let announced: Vec<&Prefix> = peers.flat_map(|peer| &peer.prefixes).collect();
    assert_eq!(announced, [&p("100.70.7.0/24")]);
    assert_eq!(bed.node("a/n2").local_pods, prefixes(&["10.1.7.0/24"]));
}

#[test]
fn one_global_cidr_of_two_serves_all_but_the_pair_itself() {
    let [a, b, c] = overlapping((&["10.1.0.0/16"], &[]), (&["10.1.0.0/16"], &[]));
    let bed = clusters(&[auto(a), b, c]);
    assert_eq!(bed.reached("c", "a"), ["100.64.0.0/16"]);
    assert_eq!(bed.reached("c", "b"), ["10.1.0.0/16"]);
    assert_eq!(bed.reached("a", "b"), Vec::<String>::new());
    assert_eq!(bed.on_link("a", "b"), [Reason::PrefixConflict]);
}

#[test]
fn global_cidrs_that_cannot_stand_for_their_prefix_are_refused() {
    let a = mapped(
        cluster("a", &["10.1.0.0/16"], &[]),
        &[
            ("10.1.0.0/16", "100.70.0.0/17"),
            ("10.1.0.0/16", "fd00::/16"),
            ("10.5.0.0/16", "100.70.0.0/16"),
            ("10.1.0.0/17", "10.2.0.0/17"),
            ("10.1.0.0/17", "198.18.0.0/17"),
            ("10.1.2.0/24", "192.0.2.0/24"),
            ("10.1.0.0/17", "100.80.0.0/17"),
            ("10.1.64.0/18", "100.90.0.0/18"),
        ],
    );
    // The other one is older: what younger ones state does not count.
    let bed = clusters(&[a, cluster("0", &["10.2.0.0/16"], &[])]);
    let expected: Vec<_> = [0, 1, 2, 3, 4, 5, 7]
        .iter()
        .map(|i| field(Reason::InvalidGlobalCidr, &format!("spec.globalCIDRs.map[{i}]")))
        .collect();
    assert_eq!(bed.on_cluster("a"), expected);
    assert_eq!(bed.reached("0", "a"), ["10.1.128.0/17", "100.80.0.0/17"], "a part mapped, the rest as it is");
}

#[test]
fn an_allocated_global_cidr_is_kept_and_given_back_when_nothing_overlaps() {
    let [a, b, c] = overlapping((&["10.1.0.0/16"], &[]), (&["10.1.0.0/16"], &[]));
    let mut bed = clusters(&[auto(a.clone()), auto(b), auto(c)]);
    assert_eq!(bed.reached("c", "b"), ["100.65.0.0/16"]);
    // An older cluster with the same prefix comes: it takes a free one.
    let older = ClusterFacts { name: name("old"), age: Age::Created(0), ..auto(a) };
    bed.step([Event::Cluster(older), Event::Node(node("old/n1", &["192.0.2.77"], &[]))]);
    assert_eq!(bed.reached("c", "old"), ["100.66.0.0/16"]);
    assert_eq!(bed.reached("c", "b"), ["100.65.0.0/16"]);
    bed.step([Event::ClusterGone(name("a")), Event::ClusterGone(name("old"))]);
    assert_eq!(bed.reached("c", "b"), ["10.1.0.0/16"]);
}

#[test]
fn a_pool_skips_what_is_in_use_and_says_when_it_is_exhausted() {
    let [a, b, c] = overlapping((&["10.1.0.0/16"], &[]), (&["10.1.0.0/16"], &[]));
    let global_pool = DualStack { v4: prefixes(&["100.64.0.0/15"]), v6: Vec::new() };
    let mut bed = Bed::with([
        Event::ClusterSet(Some(ClusterSetFacts { global_pool, ..ClusterSetFacts::default() })),
        Event::Node(node("c/n2", &["100.65.3.4"], &[])),
    ]);
    let nodes = ["a/n1", "b/n1", "c/n1"].into_iter().zip(["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
    let nodes = nodes.map(|(id, address)| Event::Node(node(id, &[address], &[])));
    bed.step([auto(a), auto(b), c].map(Event::Cluster).into_iter().chain(nodes));
    assert_eq!(bed.reached("c", "a"), ["100.64.0.0/16"]);
    assert!(bed.on_cluster("b").contains(&field(Reason::GlobalPoolExhausted, "spec.globalCIDRs")));
    bed.step([Event::NodeGone(id("c/n2"))]);
    assert_eq!(bed.reached("c", "b"), ["100.65.0.0/16"]);
}

#[test]
fn ranges_of_the_clusterset_that_cannot_be_used_are_named() {
    let mut bed = clusters(&[cluster("a", &["10.1.0.0/16"], &[])]);
    bed.step([overlay_ranges(&["224.0.0.0/8", "198.18.0.0/15"], &["fdc5::/64", "10.0.0.0/8"])]);
    let reasons: Vec<Reason> = bed.plan.clusterset_findings.iter().map(|f| f.reason).collect();
    assert_eq!(reasons, [Reason::PrefixReserved, Reason::InvalidValue]);
    bed.step([Event::ClusterSet(None)]);
    assert!(bed.plan.clusterset_findings.is_empty());
}

#[test]
fn a_fact_that_is_stated_again_changes_nothing() {
    let mut bed = clusters(&[cluster("a", &["10.1.0.0/16"], &[]), cluster("b", &["10.2.0.0/16"], &[])]);
    let again: Vec<Event> = bed.facts.events().collect();
    assert!(bed.step(again).is_empty());
    let moved =
        NodeFacts { zone: Some("elsewhere".to_owned()), ..node("a/n1", &["192.0.2.1", "2001:db8::1"], &[]) };
    assert!(bed.step([Event::Node(moved)]).is_empty(), "what no plan depends on");
    assert_eq!(bed.node("a/n1").vtep.families, v4());
    let dual = ClusterFacts { families: Families::DUAL, ..cluster("a", &["10.1.0.0/16"], &[]) };
    assert_eq!(bed.step([Event::Cluster(dual)]).nodes.len(), 1);
}
