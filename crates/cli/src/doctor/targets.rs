//! Who tests against whom. What is sent to is also awaited from, so whom a node tests against also tests against it.

use std::collections::BTreeMap;

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
/// the internal nodes; and its own pods. `pods` are those that nodes have, as their own cluster sees them.
pub fn targets(
    node: &NodePlan,
    chosen: &[&NodePlan],
    plan: &Plan,
    pods: &BTreeMap<NodeId, Vec<Ip>>,
) -> Vec<DiagnosisTarget> {
    let of = |id: &NodeId| pods.get(id).cloned().unwrap_or_default();
    let mut all = vec![DiagnosisTarget { pods: of(&node.id), ..seen(node, node) }];
    (all[0].underlay, all[0].overlay) = (Vec::new(), Vec::new());
    for other in chosen.iter().filter(|other| other.id != node.id) {
        if other.id.cluster == node.id.cluster {
            let roles = [node.role, other.role];
            if roles.contains(&Role::Internal) && roles.contains(&Role::Gateway) {
                all.push(seen(node, other));
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
