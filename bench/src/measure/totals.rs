//! All objects of a clusterset, counted and sized.

use anyhow::Result;
use causeway_api::{CausewayObject, cluster_link, cluster_node, node_config, peer_slice};
use causeway_model::Scope;
use causeway_planner::{Event, Plan, Planner};
use serde::{Deserialize, Serialize};

use crate::child::{Measurement, Place};
use crate::measure::clusterset::{ClusterSet, ensure_sound};
use crate::measure::stored::stored_size;

/// Counts the objects of one clusterset.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Totals {
    /// Of which.
    pub clusterset: ClusterSet,
}

/// Objects of one kind.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Counted {
    /// How many.
    pub count: u64,
    /// Bytes of JSON of all, as an API server stores them.
    pub bytes: u64,
}

impl Counted {
    fn add(&mut self, object: &impl CausewayObject) -> Result<()> {
        self.count += 1;
        self.bytes += stored_size(object)?;
        Ok(())
    }

    /// Bytes of one, on average; 0 of none.
    pub fn mean(self) -> f64 {
        if self.count == 0 { 0.0 } else { self.bytes as f64 / self.count as f64 }
    }
}

/// What a clusterset holds at its hub.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// ClusterNodes.
    pub cluster_nodes: Counted,
    /// NodeConfigs.
    pub node_configs: Counted,
    /// ClusterLinks.
    pub cluster_links: Counted,
    /// PeerSlices of scope Nodes.
    pub node_slices: Counted,
    /// PeerSlices of scope Gateways.
    pub gateway_slices: Counted,
}

impl Measurement for Totals {
    const NAME: &'static str = "totals";
    const PLACE: Place = Place::Here;
    type Outcome = Held;

    fn measure(&self) -> Result<Held> {
        let (mut held, mut planner) = (Held::default(), Planner::new());
        for event in self.clusterset.events() {
            let event = event?;
            if let Event::Node(facts) = &event {
                held.cluster_nodes.add(&cluster_node(facts))?;
            }
            planner.handle(event);
        }
        let mut plan = Plan::default();
        plan.apply(planner.plan());
        ensure_sound(&plan)?;
        for node in plan.nodes.values() {
            held.node_configs.add(&node_config(node))?;
        }
        for link in plan.links.values() {
            held.cluster_links.add(&cluster_link(link))?;
        }
        for slice in plan.slices.values() {
            match slice.id.scope {
                Scope::Nodes => held.node_slices.add(&peer_slice(slice))?,
                Scope::Gateways => held.gateway_slices.add(&peer_slice(slice))?,
            }
        }
        Ok(held)
    }
}
