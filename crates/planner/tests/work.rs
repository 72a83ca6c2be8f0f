//! The cost of an event, in objects looked at, follows from what it changes and not from how large the
//! clusterset is.

mod common;

use causeway_model::{Families, NodeFacts, Readiness};
use causeway_planner::synth::{Modes, Shape};
use causeway_planner::{Event, Planner};

/// The cost of a node that joins, changes readiness, changes its prefixes, and leaves.
fn cost(shape: Shape) -> [u64; 4] {
    let mut planner = Planner::new();
    shape.events().for_each(|event| planner.handle(event));
    planner.plan();
    // In a slice of its own kind everywhere: the last one of its cluster, which is not full.
    let joining = shape.node(1, shape.nodes_of(1));
    let not_ready = NodeFacts { readiness: Readiness::NotReady, ..joining.clone() };
    let bare = NodeFacts { pods: Vec::new(), ..not_ready.clone() };
    let gone = joining.id.clone();
    let events = [Event::Node(joining), Event::Node(not_ready), Event::Node(bare), Event::NodeGone(gone)];
    events.map(|event| {
        let before = planner.work().total();
        planner.handle(event);
        let changes = planner.plan();
        assert!(changes.nodes.len() <= 1 && changes.slices.len() <= 1 && changes.links.is_empty());
        planner.work().total() - before
    })
}

#[test]
fn a_node_event_costs_the_same_in_a_larger_clusterset() {
    for modes in [Modes::P2p, Modes::Gateway, Modes::Half] {
        let shape = |clusters, nodes| Shape { clusters, nodes, modes, families: Families::DUAL };
        // Clusters end with a slice of 200 - 2 * 64 peers or so; none is at the end of a block.
        let small = cost(shape(5, 5 * 200));
        let more_nodes = cost(shape(5, 5 * (200 + 256 * 14)));
        let more_clusters = cost(shape(50, 50 * 200));
        assert_eq!(small, more_clusters, "{modes:?}");
        assert_eq!(small, more_nodes, "{modes:?}");
        assert!(small.iter().all(|cost| *cost <= 256 + 8), "{modes:?}: {small:?}");
    }
}

#[test]
fn an_address_that_no_prefix_covers_makes_no_cluster_be_judged_again() {
    let shape = Shape { clusters: 20, nodes: 200, modes: Modes::P2p, families: Families::DUAL };
    let mut planner = Planner::new();
    shape.events().for_each(|event| planner.handle(event));
    planner.plan();
    let before = planner.work().clusters;
    planner.handle(Event::Node(shape.node(0, 500)));
    planner.plan();
    assert_eq!(planner.work().clusters - before, 1);
}
