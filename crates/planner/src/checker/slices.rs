//! Slices: their shape, and that they say the same as the plans of their nodes.

use std::collections::{BTreeMap, BTreeSet};

use causeway_model::{NodeId, Role, SLICE_CAPACITY, Scope, SliceId};

use super::{Report, Rule};
use crate::Plan;

pub(super) fn check(plan: &Plan, report: &mut Report) {
    let mut places: BTreeMap<(NodeId, Scope), &SliceId> = BTreeMap::new();
    for (id, slice) in &plan.slices {
        let count = slice.peers.len();
        if count == 0 || count > SLICE_CAPACITY || *id != slice.id {
            let detail = format!("slice {} holds {count} peers", slice.id.index);
            report.cluster(Rule::SliceShape, &id.cluster, detail);
        }
        if !slice.peers.is_sorted_by(|a, b| a.node < b.node) {
            report.cluster(Rule::SliceShape, &id.cluster, format!("slice {} is not sorted", id.index));
        }
        for peer in &slice.peers {
            let node = NodeId { cluster: id.cluster.clone(), node: peer.node.clone() };
            match plan.nodes.get(&node) {
                None => report.node(Rule::NodeInSlice, &node, format!("has no plan, but is in {id:?}")),
                Some(own) if own.vtep != peer.vtep => {
                    report.node(Rule::NodeInSlice, &node, format!("has another tunnel end in {id:?}"));
                }
                Some(_) => {}
            }
            if let Some(other) = places.insert((node.clone(), id.scope), id) {
                report.node(Rule::NodeInSlice, &node, format!("is in {other:?} and in {id:?}"));
            }
        }
    }
    for id in plan.nodes.keys() {
        if !places.contains_key(&(id.clone(), Scope::Nodes)) {
            report.node(Rule::NodeInSlice, id, "is in no slice".to_owned());
        }
    }
    roles(plan, &places, report);
}

/// Gateway slices against roles, and against what the clusters say.
fn roles(plan: &Plan, places: &BTreeMap<(NodeId, Scope), &SliceId>, report: &mut Report) {
    let gateways: BTreeSet<&NodeId> =
        places.keys().filter(|(_, scope)| *scope == Scope::Gateways).map(|(id, _)| id).collect();
    let mut modes: BTreeMap<_, BTreeSet<bool>> = BTreeMap::new();
    for (id, node) in &plan.nodes {
        modes.entry(&id.cluster).or_default().insert(node.role == Role::Node);
        let wrong = match node.role {
            Role::Gateway => !gateways.contains(id),
            Role::Internal => gateways.contains(id),
            Role::Node => false,
        };
        if wrong {
            report.node(Rule::GatewayRoles, id, format!("has the role {:?}", node.role));
        }
        let (bridge, local) = (node.tunnels.bridge.is_some(), node.tunnels.local.is_some());
        if bridge == (node.role == Role::Internal) || local == (node.role == Role::Node) {
            report.node(Rule::GatewayRoles, id, "takes part in the wrong overlays".to_owned());
        }
    }
    for (name, kinds) in modes {
        if kinds.len() > 1 {
            report.cluster(Rule::GatewayRoles, name, "has roles of both modes".to_owned());
        }
    }
    for cluster in plan.clusters.values() {
        let stated = cluster.gateways.iter();
        let stated: BTreeSet<NodeId> =
            stated.map(|node| NodeId { cluster: cluster.name.clone(), node: node.clone() }).collect();
        let listed: BTreeSet<NodeId> =
            gateways.iter().filter(|id| id.cluster == cluster.name).map(|id| (*id).clone()).collect();
        if stated != listed {
            let detail = "states other gateways than its slices list".to_owned();
            report.cluster(Rule::GatewayRoles, &cluster.name, detail);
        }
    }
}
