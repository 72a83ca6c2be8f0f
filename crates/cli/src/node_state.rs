//! The kernel state that nodes should have, and what it is derived from: the planned objects of a
//! directory, or the plan of its facts.

use std::net::IpAddr;

use causeway_dataplane::desired::{HostFacts, Notice, desired};
use causeway_dataplane::state::{Capabilities, Desired, HostAddress};
use causeway_model::{ClusterName, LinkPlan, NodeId, NodePlan, SlicePlan, needed_slices};
use causeway_planner::Plan;
use schemars::JsonSchema;
use serde::Serialize;

use crate::args::ViewArgs;
use crate::error::Error;
use crate::inventory::Inventory;

/// Name that stands for the link of the underlay, which no object states.
const UNDERLAY_LINK: &str = "underlay";

/// What a kernel state is derived from.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Origin {
    /// NodeConfigs, ClusterLinks and PeerSlices that are there.
    Objects,
    /// The plan of the facts: what network-manager would write.
    Plan,
}

impl Origin {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            Origin::Objects => "from the NodeConfigs, ClusterLinks and PeerSlices there",
            Origin::Plan => "planned from the facts there",
        }
    }
}

/// A clusterset as its nodes see it.
pub struct View {
    /// The plans, with the findings that the facts lead to.
    pub plan: Plan,
    /// Where they are from.
    pub origin: Origin,
    /// Whether the planned objects of the directory differ from the plan of its facts.
    pub stale: bool,
    underlay_mtu: u32,
}

impl View {
    /// The view of `inventory`: its planned objects, or the plan where it has none or `args` ask for it.
    pub fn of(inventory: &Inventory, args: ViewArgs) -> View {
        let planned = inventory.plan([]);
        let written = &inventory.written;
        if written.nodes.is_empty() || args.planned {
            return View {
                plan: planned,
                origin: Origin::Plan,
                stale: false,
                underlay_mtu: args.underlay_mtu,
            };
        }
        let stale = written.nodes != planned.nodes
            || written.slices != planned.slices
            || written.links.len() != planned.links.len()
            || written.links.iter().any(|(id, link)| {
                planned.links.get(id).is_none_or(|other| {
                    (&link.prefixes, link.via, link.mtu) != (&other.prefixes, other.via, other.mtu)
                })
            });
        let mut plan = Plan {
            nodes: written.nodes.clone(),
            links: written.links.clone(),
            slices: written.slices.clone(),
            clusters: planned.clusters,
            node_findings: planned.node_findings,
            clusterset_findings: planned.clusterset_findings,
        };
        for (id, link) in &mut plan.links {
            link.findings = planned.links.get(id).map(|link| link.findings.clone()).unwrap_or_default();
        }
        View { plan, origin: Origin::Objects, stale, underlay_mtu: args.underlay_mtu }
    }

    /// The nodes of a cluster that take part.
    pub fn nodes_of(&self, cluster: &ClusterName) -> impl Iterator<Item = &NodePlan> {
        self.plan.nodes.values().filter(move |node| node.id.cluster == *cluster)
    }

    /// The one of them that has this underlay address.
    pub fn node_at(&self, cluster: &ClusterName, underlay: IpAddr) -> Option<&NodePlan> {
        self.nodes_of(cluster).find(|node| node.vtep.underlay.addresses().any(|own| own == underlay))
    }

    /// The plan of a node.
    ///
    /// # Errors
    /// [`Error::NodeNotPlanned`] if the node takes no part, with the findings that say why.
    pub fn node(&self, id: &NodeId) -> Result<&NodePlan, Error> {
        self.plan.nodes.get(id).ok_or_else(|| {
            let findings = self.plan.node_findings.get(id).into_iter().flatten();
            let mut why: Vec<String> = findings.map(|f| format!("{}: {}", f.reason, f.message)).collect();
            if why.is_empty() {
                why.push(match self.origin {
                    Origin::Objects => {
                        "it has no NodeConfig yet; use --planned to see what network-manager would write"
                            .to_owned()
                    }
                    Origin::Plan => "see `causeway plan`".to_owned(),
                });
            }
            Error::NodeNotPlanned { id: id.clone(), why: why.join("; ") }
        })
    }

    /// The kernel state of `node`, and what of its plan cannot be had.
    pub fn state(&self, node: &NodePlan) -> (Desired, Vec<Notice>) {
        state(&self.plan, node, self.underlay_mtu)
    }
}

/// The kernel state that `node` has under `plan`, on a host that can do all, whose underlay link
/// carries `underlay_mtu` bytes.
pub fn state(plan: &Plan, node: &NodePlan, underlay_mtu: u32) -> (Desired, Vec<Notice>) {
    let address = |address| HostAddress { address, link: UNDERLAY_LINK.to_owned(), mtu: underlay_mtu };
    let host = HostFacts {
        addresses: node.vtep.underlay.addresses().map(address).collect(),
        capabilities: Capabilities { resilient_groups: true, ipv6: true, ..Capabilities::default() },
        // No link of its own matters, and no peer is known to be dead.
        ..HostFacts::default()
    };
    desired(node, links_from(plan, &node.id.cluster), slices_of(plan, node), &host)
}

/// The links of the nodes of `source`.
pub fn links_from<'a>(plan: &'a Plan, source: &ClusterName) -> impl Iterator<Item = &'a LinkPlan> + use<'a> {
    let source = source.clone();
    plan.links.values().filter(move |link| link.id.source == source)
}

/// The slices that the kernel state of `node` depends on.
pub fn slices_of<'a>(plan: &'a Plan, node: &NodePlan) -> impl Iterator<Item = &'a SlicePlan> + use<'a> {
    let need = needed_slices(&node.id, node.role, links_from(plan, &node.id.cluster));
    plan.slices.values().filter(move |slice| need.contains(&(slice.id.cluster.clone(), slice.id.scope)))
}
