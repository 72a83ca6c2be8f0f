//! The checker notices each kind of fault in a plan.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::BTreeSet;

use causeway_model::{LinkPrefix, PrefixKind, Role, Scope, SliceId, Via};
use causeway_planner::checker::{Facts, Rule, check};
use causeway_planner::synth::{Modes, Shape};
use causeway_planner::{Plan, Planner};
use common::*;

fn sound() -> (Facts, Plan) {
    let shape =
        Shape { clusters: 3, nodes: 12, modes: Modes::Half, families: causeway_model::Families::DUAL };
    let (mut facts, mut planner) = (Facts::default(), Planner::new());
    for event in shape.events() {
        facts.apply(event.clone());
        planner.handle(event);
    }
    planner.plan();
    (facts, planner.snapshot())
}

/// The rules that a plan breaks after `damage`.
fn broken(damage: impl FnOnce(&mut Plan)) -> BTreeSet<Rule> {
    let (facts, mut plan) = sound();
    damage(&mut plan);
    check(&facts, &plan).into_iter().map(|violation| violation.rule).collect()
}

fn slice(cluster: &str, scope: Scope) -> SliceId {
    SliceId { cluster: name(cluster), scope, index: 0 }
}

#[test]
fn a_sound_plan_breaks_no_rule() {
    assert_eq!(broken(|_| ()), BTreeSet::new());
}

#[test]
fn each_kind_of_fault_is_noticed() {
    let node = || id("cluster-000/node-00001");
    let link = || link_id("cluster-000", "cluster-001");
    type Damage = Box<dyn FnOnce(&mut Plan)>;
    let faults: Vec<(Rule, Damage)> = vec![
        (Rule::Explained, Box::new(move |plan| drop(plan.nodes.remove(&node())))),
        (Rule::KnownObject, Box::new(|plan| drop(plan.clusters.remove(&name("cluster-002"))))),
        (
            Rule::DistinctAddresses,
            Box::new(move |plan| {
                let other = plan.nodes[&id("cluster-001/node-00001")].vtep.overlay;
                plan.nodes.get_mut(&node()).unwrap().vtep.overlay = other;
            }),
        ),
        (
            Rule::DistinctBlocks,
            Box::new(|plan| {
                let block = plan.clusters[&name("cluster-001")].overlay.v4[0];
                plan.clusters.get_mut(&name("cluster-000")).unwrap().overlay.v4.push(block);
            }),
        ),
        (
            Rule::NodeInSlice,
            Box::new(|plan| {
                plan.slices.get_mut(&slice("cluster-000", Scope::Nodes)).unwrap().peers.pop();
            }),
        ),
        (
            Rule::NodeInSlice,
            Box::new(|plan| {
                let peers = plan.slices[&slice("cluster-000", Scope::Nodes)].peers.clone();
                let id = SliceId { index: 1, ..slice("cluster-000", Scope::Nodes) };
                plan.slices.insert(id.clone(), causeway_model::SlicePlan { id, peers });
            }),
        ),
        (
            Rule::SliceShape,
            Box::new(|plan| {
                plan.slices.get_mut(&slice("cluster-000", Scope::Nodes)).unwrap().peers.reverse();
            }),
        ),
        (
            Rule::GatewayRoles,
            Box::new(|plan| {
                plan.nodes.get_mut(&id("cluster-001/node-00000")).unwrap().role = Role::Internal;
            }),
        ),
        (
            Rule::GatewayRoles,
            Box::new(|plan| {
                plan.clusters.get_mut(&name("cluster-001")).unwrap().gateways.pop();
            }),
        ),
        (Rule::LinkForEachPair, Box::new(move |plan| drop(plan.links.remove(&link())))),
        (Rule::SymmetricLinks, Box::new(move |plan| plan.links.get_mut(&link()).unwrap().mtu = Some(1350))),
        (Rule::Reachable, Box::new(move |plan| plan.links.get_mut(&link()).unwrap().prefixes.truncate(3))),
        (Rule::Explained, Box::new(move |plan| plan.links.get_mut(&link()).unwrap().prefixes.clear())),
        (
            Rule::Carried,
            Box::new(|plan| {
                let link = plan.links.get_mut(&link_id("cluster-001", "cluster-000")).unwrap();
                let pod = link.prefixes.iter_mut().find(|entry| entry.kind == PrefixKind::Pod).unwrap();
                pod.via = Via::Gateways;
            }),
        ),
        (
            Rule::OneOwner,
            Box::new(move |plan| {
                let entry = plan.links[&link_id("cluster-000", "cluster-002")].prefixes[0];
                plan.links.get_mut(&link()).unwrap().prefixes.push(entry);
            }),
        ),
        (
            Rule::OneOwner,
            Box::new(move |plan| {
                let own = plan.nodes[&node()].own.pods[0];
                let entry = LinkPrefix { prefix: own, kind: PrefixKind::Pod, via: Via::Gateways };
                plan.links.get_mut(&link()).unwrap().prefixes.push(entry);
            }),
        ),
        (
            Rule::OneOwner,
            Box::new(|plan| {
                let peers = &mut plan.slices.get_mut(&slice("cluster-000", Scope::Nodes)).unwrap().peers;
                peers[1].prefixes = peers[0].prefixes.clone();
            }),
        ),
        (
            Rule::UnderlayUncovered,
            Box::new(move |plan| {
                let entry =
                    LinkPrefix { prefix: p("100.64.0.0/16"), kind: PrefixKind::Service, via: Via::Gateways };
                plan.links.get_mut(&link()).unwrap().prefixes.push(entry);
            }),
        ),
    ];
    for (number, (rule, damage)) in faults.into_iter().enumerate() {
        let rules = broken(damage);
        assert!(rules.contains(&rule), "fault {number}: {rule:?} is not among {rules:?}");
    }
}

#[test]
fn a_large_plan_is_sound_too() {
    for modes in [Modes::P2p, Modes::Gateway] {
        let shape = Shape { clusters: 20, nodes: 20_000, modes, families: causeway_model::Families::DUAL };
        let (mut facts, mut planner) = (Facts::default(), Planner::new());
        for event in shape.events() {
            facts.apply(event.clone());
            planner.handle(event);
        }
        let changes = planner.plan();
        assert_eq!((changes.nodes.len(), changes.links.len()), (20_000, 380));
        assert_eq!(check(&facts, &planner.snapshot()), []);
    }
}
