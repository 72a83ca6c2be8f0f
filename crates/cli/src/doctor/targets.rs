//! Who tests against whom. What is sent to is also awaited from, so whom a node tests against also tests against it.

use std::collections::{BTreeMap, BTreeSet};

use causeway_api::{DiagnosisTarget, Ip};
use causeway_diagnosis::targets::{TARGETS, of_slices, target};
use causeway_model::{ClusterName, LinkId, LinkPlan, NodeId, NodePlan, Role, Translation};
use causeway_planner::Plan;

use crate::error::Error;

/// Some nodes of each cluster, those that have tunnels to other clusters first; altogether no more than one test is of.
pub fn some(plan: &Plan, per_cluster: usize) -> Vec<&NodePlan> {
    let mut clusters: BTreeMap<&ClusterName, Vec<&NodePlan>> = BTreeMap::new();
    for node in plan.nodes.values() {
        clusters.entry(&node.id.cluster).or_default().push(node);
    }
    let per_cluster = per_cluster.min((TARGETS / clusters.len().max(1)).max(1));
    let chosen = clusters.into_values().take(TARGETS).flat_map(|mut nodes| {
        nodes.sort_by_key(|node| node.tunnels.bridge.is_none());
        nodes.truncate(per_cluster);
        nodes
    });
    chosen.collect()
}

/// The clusters of which no node is chosen, in words.
pub fn untested(plan: &Plan, chosen: &[&NodePlan]) -> Vec<String> {
    let tested: BTreeSet<&ClusterName> = chosen.iter().map(|node| &node.id.cluster).collect();
    let all: BTreeSet<&ClusterName> = plan.nodes.keys().map(|id| &id.cluster).collect();
    let words = |cluster: &&ClusterName| {
        format!("cluster {cluster}, as one test is of {TARGETS} nodes; name nodes of it with --node")
    };
    all.difference(&tested).map(words).collect()
}

/// The nodes of these names.
///
/// # Errors
/// [`Error::NodeNotPlanned`] if one of them takes no part.
pub fn named<'a>(plan: &'a Plan, names: &[NodeId]) -> Result<Vec<&'a NodePlan>, Error> {
    let node = |id: &NodeId| {
        plan.nodes.get(id).ok_or_else(|| Error::NodeNotPlanned {
            id: id.clone(),
            why: "it has no NodeConfig; see `causeway status`".to_owned(),
        })
    };
    names.iter().map(node).collect()
}

/// Whom `node` tests against: of other clusters nodes that it has a tunnel to; an internal node its gateways, and they
/// the internal nodes with their pods; and its own pods. `pods` are those that nodes have, as their own cluster sees them.
pub fn targets(
    node: &NodePlan,
    chosen: &[&NodePlan],
    plan: &Plan,
    pods: &BTreeMap<NodeId, Vec<Ip>>,
) -> Vec<DiagnosisTarget> {
    let of = |id: &NodeId| pods.get(id).cloned().unwrap_or_default();
    // What a node says are its pods is believed inside its cluster's prefixes only.
    let is_own =
        |pod: &Ip| pod.0.parse().is_ok_and(|pod| node.own.pods.iter().any(|prefix| prefix.contains(pod)));
    let own = of(&node.id).into_iter().filter(is_own).collect();
    let mut all = vec![DiagnosisTarget { pods: own, ..seen(node, node) }];
    (all[0].underlay, all[0].overlay) = (Vec::new(), Vec::new());
    for other in chosen.iter().filter(|other| other.id != node.id) {
        if other.id.cluster == node.id.cluster {
            let roles = [node.role, other.role];
            if roles.contains(&Role::Internal) && roles.contains(&Role::Gateway) {
                // What comes from other clusters goes on to pods of internal nodes by the CNI.
                let is_gateway = node.role == Role::Gateway;
                let pods = of(&other.id).into_iter().filter(|pod| is_gateway && is_own(pod)).collect();
                all.push(DiagnosisTarget { pods, ..seen(node, other) });
            }
        } else if node.tunnels.bridge.is_some() && other.tunnels.bridge.is_some() {
            let Some(link) = link(node, &other.id.cluster, plan) else { continue };
            let reached = |pod: &Ip| {
                pod.0.parse().is_ok_and(|pod| link.prefixes.iter().any(|one| one.prefix.contains(pod)))
            };
            let pods = of(&other.id).iter().map(|pod| abroad(other, pod)).filter(reached).collect();
            all.push(DiagnosisTarget { pods, ..seen(node, other) });
        }
    }
    all.extend(beyond(node, chosen, plan));
    all.truncate(TARGETS);
    all
}

/// Nodes of clusters of which none is asked: some tunnel ends of each, as slices tell them.
fn beyond(node: &NodePlan, chosen: &[&NodePlan], plan: &Plan) -> Vec<DiagnosisTarget> {
    let asked = |cluster: &ClusterName| chosen.iter().any(|one| one.id.cluster == *cluster);
    let slices =
        plan.slices.values().filter(|slice| node.tunnels.bridge.is_some() && !asked(&slice.id.cluster));
    of_slices(node, slices.filter(|slice| link(node, &slice.id.cluster, plan).is_some()))
}

/// The link from the node's cluster to another one, if something may pass.
pub fn link<'a>(node: &NodePlan, other: &ClusterName, plan: &'a Plan) -> Option<&'a LinkPlan> {
    let id = LinkId { source: node.id.cluster.clone(), remote: other.clone() };
    plan.links.get(&id).filter(|link| !link.prefixes.is_empty())
}

fn seen(by: &NodePlan, other: &NodePlan) -> DiagnosisTarget {
    target(by, (&other.id.cluster, &other.id.node), &other.vtep)
}

/// A pod's address as other clusters see it.
fn abroad(node: &NodePlan, pod: &Ip) -> Ip {
    let Ok(address) = pod.0.parse() else { return pod.clone() };
    Ip::from(Translation::abroad(&node.translations, address))
}

#[cfg(test)]
mod tests {
    use causeway_model::Families;
    use causeway_planner::Planner;
    use causeway_planner::synth::{Modes, Shape};

    use super::*;

    fn plan(clusters: usize) -> Plan {
        let shape = Shape { clusters, nodes: clusters * 10, modes: Modes::P2p, families: Families::DUAL };
        let mut planner = Planner::new();
        shape.events().for_each(|event| planner.handle(event));
        let mut plan = Plan::default();
        plan.apply(planner.plan());
        plan
    }

    #[test]
    fn the_more_clusters_the_fewer_nodes_of_each_are_chosen_and_never_more_than_a_test_is_of() {
        for (clusters, of_each) in [(1, 4), (2, 4), (4, 4), (5, 3), (9, 1), (16, 1), (20, 1)] {
            let plan = plan(clusters);
            let chosen = some(&plan, 4);
            let tested: BTreeSet<&ClusterName> = chosen.iter().map(|node| &node.id.cluster).collect();
            assert_eq!((tested.len(), chosen.len()), (clusters.min(16), clusters.min(16) * of_each));
            assert_eq!(untested(&plan, &chosen).len(), clusters.saturating_sub(16));
        }
    }

    #[test]
    fn nobody_is_sent_to_what_a_node_says_is_its_pod_and_is_not_of_its_cluster() {
        let plan = plan(2);
        let chosen = some(&plan, 1);
        let said =
            ["10.0.0.7", "192.0.2.7"].map(|address| Ip::from(address.parse::<std::net::IpAddr>().unwrap()));
        let pods = chosen.iter().map(|node| (node.id.clone(), said.to_vec())).collect();
        let all = targets(chosen[0], &chosen, &plan, &pods);
        assert_eq!(all[0].pods, said[..1]);
        assert!(all.iter().all(|target| !target.pods.contains(&said[1])), "{all:?}");
    }
}
