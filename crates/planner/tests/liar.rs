//! A member that lies: whatever its credential lets it state of its prefixes, nodes and addresses, the plans of
//! the others do not change by one byte, and a finding names the object and the field.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use causeway_model::{ClusterFacts, ClusterName, GlobalCidrs, NodeFacts, Reason};
use causeway_planner::{Event, Plan};

use common::{Bed, cluster, gateway_cluster, name, node, translation};

const LIAR: &str = "z";

/// Three honest clusters of every kind, all older than the liar.
fn honest() -> Vec<Event> {
    let mapped = vec![translation("10.3.0.0/16", "100.64.0.0/16")];
    let clusters = [
        cluster("a", &["10.1.0.0/16", "fd00:1::/48"], &["10.96.0.0/16", "fd00:96::/112"]),
        gateway_cluster("b", &["10.2.0.0/16"], &["10.97.0.0/16"], 2),
        ClusterFacts { globals: GlobalCidrs::Map(mapped), ..cluster("c", &["10.3.0.0/16"], &[]) },
    ];
    let mut events: Vec<Event> = clusters.into_iter().map(Event::Cluster).collect();
    for (at, cluster) in ["a", "b", "c"].into_iter().enumerate() {
        for n in 1..=3 {
            let pods = format!("10.{}.{n}.0/24", at + 1);
            let address = format!("192.0.2.{}", at * 10 + n);
            events.push(Event::Node(node(&format!("{cluster}/n{n}"), &[&address], &[&pods])));
        }
    }
    events
}

fn liar(pods: &[&str], services: &[&str]) -> Event {
    Event::Cluster(cluster(LIAR, pods, services))
}

fn liars_node(underlay: &[&str], pods: &[&str]) -> Event {
    Event::Node(node("z/n1", underlay, pods))
}

/// A bed in which the liar is honest still.
fn bed() -> Bed {
    let mut events = honest();
    events.extend([liar(&["10.9.0.0/16"], &["10.99.0.0/16"]), liars_node(&["192.0.2.99"], &["10.9.1.0/24"])]);
    Bed::with(events)
}

/// All that is planned for others than the liar. What is found wrong is no part of it: a conflict is told on both.
fn of_the_others(plan: &Plan) -> Plan {
    let liar = |cluster: &ClusterName| *cluster == name(LIAR);
    let mut plan = plan.clone();
    plan.nodes.retain(|id, _| !liar(&id.cluster));
    plan.slices.retain(|id, _| !liar(&id.cluster));
    plan.links.retain(|id, _| !liar(&id.source) && !liar(&id.remote));
    plan.clusters.retain(|cluster, _| !liar(cluster));
    plan.clusters.values_mut().for_each(|cluster| cluster.findings.clear());
    plan.node_findings.retain(|id, _| !liar(&id.cluster));
    plan
}

/// Which object of the liar is named, with which reason and field.
enum Named {
    Cluster(Reason, &'static str),
    Node(Reason, &'static str),
}

#[track_caller]
fn assert_harmless(lie: impl IntoIterator<Item = Event>, named: &Named) {
    let mut bed = bed();
    let before = of_the_others(&bed.plan);
    bed.step(lie);
    assert!(of_the_others(&bed.plan) == before, "the others' plans changed");
    let (found, reason, field) = match named {
        Named::Cluster(reason, field) => (bed.on_cluster(LIAR), reason, field),
        Named::Node(reason, field) => (bed.on_node("z/n1"), reason, field),
    };
    assert!(found.contains(&(*reason, (*field).to_owned())), "{found:?}");
}

const PODS: &str = "spec.podCIDRs[1]";
const SERVICES: &str = "spec.serviceCIDRs[0]";
const UNDERLAY: &str = "spec.underlay";

#[test]
fn prefixes_that_a_cluster_lies_about_change_nothing_for_the_others() {
    use Reason::*;
    for (lie, reason) in [
        ("0.0.0.0/0", PrefixReserved),
        ("::/0", PrefixReserved),
        ("128.0.0.0/1", PrefixReserved),
        ("127.0.0.0/8", PrefixReserved),
        ("169.254.169.254/32", PrefixReserved),
        ("224.0.0.0/4", PrefixReserved),
        // All of another's CIDR, a part of it, and all that there is.
        ("10.1.0.0/16", PrefixConflict),
        ("10.1.2.0/24", PrefixConflict),
        ("10.1.2.3/32", PrefixConflict),
        ("10.0.0.0/8", PrefixConflict),
        ("10.96.0.1/32", PrefixConflict),
        ("fd00:1::/48", PrefixConflict),
        ("fd00::/16", PrefixConflict),
        // What others are seen under.
        ("100.64.0.0/16", PrefixConflict),
        ("100.64.3.0/24", PrefixConflict),
        // Where the others' nodes are, and what their tunnel ends have inside.
        ("192.0.2.0/24", PrefixCoversUnderlay),
        ("192.0.2.1/32", PrefixCoversUnderlay),
        ("198.18.0.0/24", PrefixInOverlayRange),
        ("198.18.0.1/32", PrefixInOverlayRange),
        ("fd63:6175:7365:1::/64", PrefixInOverlayRange),
    ] {
        println!("{lie}");
        assert_harmless([liar(&["10.9.0.0/16", lie], &[])], &Named::Cluster(reason, PODS));
        assert_harmless([liar(&["10.9.0.0/16"], &[lie])], &Named::Cluster(reason, SERVICES));
    }
}

#[test]
fn addresses_and_prefixes_that_a_node_lies_about_change_nothing_for_the_others() {
    use Reason::*;
    for (lie, reason) in [
        // Another's node, pod, Service, global address and tunnel end.
        ("192.0.2.1", DuplicateUnderlayAddress),
        ("192.0.2.11", DuplicateUnderlayAddress),
        ("10.1.2.3", PrefixConflict),
        ("10.2.0.1", PrefixConflict),
        ("10.96.0.1", PrefixConflict),
        ("fd00:1::1", PrefixConflict),
        ("10.3.4.5", PrefixConflict),
        ("100.64.4.5", PrefixConflict),
        ("198.18.0.1", PrefixInOverlayRange),
        ("127.0.0.1", InvalidValue),
        ("224.0.0.1", InvalidValue),
        ("0.0.0.0", InvalidValue),
        ("ff02::1", InvalidValue),
    ] {
        println!("{lie}");
        assert_harmless([liars_node(&[lie], &["10.9.1.0/24"])], &Named::Node(reason, UNDERLAY));
    }
    for lie in ["10.1.1.0/24", "10.1.0.0/16", "0.0.0.0/0", "192.0.2.1/32", "198.18.0.0/15", "100.64.0.0/16"] {
        println!("{lie}");
        let pods = ["10.9.1.0/24", lie];
        assert_harmless([liars_node(&["192.0.2.99"], &pods)], &Named::Node(PrefixOutsideCluster, PODS));
    }
}

/// Both lies together: the cluster's prefix would make the node's good.
#[test]
fn a_cluster_and_its_nodes_that_lie_in_concert_change_nothing_for_the_others() {
    let lie = [
        liar(&["10.9.0.0/16", "10.1.0.0/16"], &["10.96.0.0/16"]),
        liars_node(&["192.0.2.1"], &["10.9.1.0/24", "10.1.1.0/24"]),
    ];
    assert_harmless(lie.clone(), &Named::Cluster(Reason::PrefixConflict, PODS));
    assert_harmless(lie, &Named::Node(Reason::DuplicateUnderlayAddress, UNDERLAY));
}

#[test]
fn very_many_lies_change_nothing_for_the_others() {
    let mut bed = bed();
    let before = of_the_others(&bed.plan);
    let all: Vec<String> = (0..64).map(|n| format!("10.{n}.0.0/16")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    let many = (0..3000).map(|n| -> NodeFacts {
        let underlay = format!("10.{}.{}.{}", n % 4, n / 250, n % 250);
        node(&format!("{LIAR}/m{n}"), &[&underlay], &["10.1.1.0/24", "10.9.9.0/24"])
    });
    bed.step([liar(&all, &all)].into_iter().chain(many.map(Event::Node)));
    assert!(of_the_others(&bed.plan) == before);
    // And back.
    bed.step([liar(&["10.9.0.0/16"], &["10.99.0.0/16"])]);
    assert!(of_the_others(&bed.plan) == before);
}

#[test]
fn a_node_whose_address_an_older_cluster_has_is_used_again_once_it_has_not() {
    let mut bed = bed();
    bed.step([liars_node(&["10.1.2.3"], &["10.9.1.0/24"])]);
    assert!(!bed.plan.nodes.contains_key(&common::id("z/n1")));
    // Nodes of its own cluster reach it there all the same.
    assert!(!bed.reached(LIAR, "a").contains(&"10.1.0.0/16".to_owned()));
    assert!(bed.reached("b", "a").contains(&"10.1.0.0/16".to_owned()));
    bed.step([Event::Cluster(cluster("a", &["10.5.0.0/16"], &[]))]);
    assert_eq!(bed.on_node("z/n1"), []);
    assert_eq!(bed.reached(LIAR, "a"), ["10.5.0.0/16"]);
    // The oldest cluster of all gives way to nobody.
    assert_eq!(bed.reached("a", LIAR), ["10.9.0.0/16", "10.99.0.0/16"]);
}
