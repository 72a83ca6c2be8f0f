//! Encoded sizes of the objects that grow with a clusterset, for clustersets as they are and as they
//! may be at worst.

use std::collections::BTreeMap;

use anyhow::Result;
use causeway_api::{cluster_link, node_config, peer_slice};
use causeway_model::{
    ClusterFacts, ClusterName, Family, GlobalCidrs, NodeFacts, NodeId, Prefix, Translation,
};
use causeway_planner::{Event, Plan, Planner};
use serde::{Deserialize, Serialize};

use crate::child::{Measurement, Place};
use crate::measure::clusterset::{ClusterSet, Mix};
use crate::measure::stored::stored_size;

/// Measures the objects of one clusterset.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Sizes {
    /// 20,000 nodes in 20 dual-stack clusters, half P2P and half Gateway.
    Usual,
    /// 8,000 nodes in a single cluster.
    OneLarge,
    /// Names as long as they may be, two prefixes of each family and node, two pod CIDRs and a service
    /// CIDR of each family and cluster, all of them translated.
    Nasty,
    /// The same with four pod CIDRs and two service CIDRs of each family.
    Nastier,
}

impl Sizes {
    /// All clustersets.
    pub const ALL: [Sizes; 4] = [Sizes::Usual, Sizes::OneLarge, Sizes::Nasty, Sizes::Nastier];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Sizes::Usual => "usual",
            Sizes::OneLarge => "one large cluster",
            Sizes::Nasty => "long names, 6 translated CIDRs",
            Sizes::Nastier => "long names, 12 translated CIDRs",
        }
    }
}

/// The largest objects in bytes, as an API server stores them.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Largest {
    /// The largest NodeConfig.
    pub node_config: u64,
    /// The largest PeerSlice.
    pub peer_slice: u64,
    /// The largest ClusterLink.
    pub cluster_link: u64,
    /// Peers in the slice that has most.
    pub most_peers: usize,
    /// Slices of all.
    pub slices: usize,
    /// Peers of all.
    pub peers: usize,
}

impl Measurement for Sizes {
    const NAME: &'static str = "sizes";
    const PLACE: Place = Place::Here;
    type Outcome = Largest;

    fn measure(&self) -> Result<Largest> {
        let mut planner = Planner::new();
        match self {
            Sizes::Usual => {
                usual(&mut planner, ClusterSet { nodes: 20_000, mix: Mix::Half, ..ClusterSet::default() })?
            }
            Sizes::OneLarge => {
                usual(&mut planner, ClusterSet { nodes: 8_000, clusters: 1, ..ClusterSet::default() })?;
            }
            Sizes::Nasty => nasty(&mut planner, 2, 1)?,
            Sizes::Nastier => nasty(&mut planner, 4, 2)?,
        }
        let mut plan = Plan::default();
        plan.apply(planner.plan());
        largest(&plan)
    }
}

fn usual(planner: &mut Planner, clusterset: ClusterSet) -> Result<()> {
    for event in clusterset.events() {
        planner.handle(event?);
    }
    Ok(())
}

fn largest(plan: &Plan) -> Result<Largest> {
    let mut sized = Largest { slices: plan.slices.len(), ..Largest::default() };
    for node in plan.nodes.values() {
        sized.node_config = sized.node_config.max(stored_size(&node_config(node))?);
    }
    for slice in plan.slices.values() {
        sized.peer_slice = sized.peer_slice.max(stored_size(&peer_slice(slice))?);
        sized.most_peers = sized.most_peers.max(slice.peers.len());
        sized.peers += slice.peers.len();
    }
    for link in plan.links.values() {
        sized.cluster_link = sized.cluster_link.max(stored_size(&cluster_link(link))?);
    }
    Ok(sized)
}

/// Two clusters with this many pod and service CIDRs of each family.
fn nasty(planner: &mut Planner, pods: usize, services: usize) -> Result<()> {
    let shape = ClusterSet { nodes: 1_200, clusters: 2, mix: Mix::Half, ..ClusterSet::default() };
    for cluster in 0..shape.clusters {
        let name: ClusterName = format!("c{cluster}-{}", "n".repeat(43)).parse()?;
        planner.handle(Event::Cluster(nasty_cluster(
            &name,
            cluster,
            (pods, services),
            shape.cluster(cluster),
        )?));
        for node in 0..shape.nodes_of(cluster) {
            planner.handle(Event::Node(nasty_node(&name, cluster, node, shape.node(cluster, node)?)?));
        }
    }
    Ok(())
}

/// Each CIDR has a global one of its own.
fn nasty_cluster(
    name: &ClusterName,
    cluster: usize,
    (pods, services): (usize, usize),
    facts: ClusterFacts,
) -> Result<ClusterFacts> {
    let parse = |text: String| text.parse::<Prefix>();
    let list = |texts: Vec<String>| texts.into_iter().map(parse).collect::<Result<Vec<_>, _>>();
    let v4 = |which: usize| format!("10.{}.0.0/16", 128 + cluster * 16 + which);
    let long =
        |top: &str, which: usize| format!("{top}:{cluster:x}{which:x}ab:cdef:abcd:abcd:abcd:abcd:0/112");
    let short = |top: &str, which: usize| format!("{top}:{cluster:x}{which:x}ab:cdef::/48");
    let pods = list((0..pods).flat_map(|which| [v4(which), short("fd10", which)]).collect())?;
    let services = list((8..8 + services).flat_map(|which| [v4(which), long("fd20", which)]).collect())?;
    let global = |(which, real): (usize, &Prefix)| -> Result<Translation> {
        let global = match real.family() {
            Family::V4 => format!("11.{}.0.0/16", 100 + cluster * 16 + which),
            Family::V6 if real.len() == 48 => short("fd30", which),
            Family::V6 => long("fd30", which),
        };
        Ok(Translation { real: *real, global: global.parse()? })
    };
    let translations = pods.iter().chain(&services).enumerate().map(global).collect::<Result<_>>()?;
    Ok(ClusterFacts { name: name.clone(), pods, services, globals: GlobalCidrs::Map(translations), ..facts })
}

/// A name of 253 characters, and two pod prefixes of each family.
fn nasty_node(name: &ClusterName, cluster: usize, node: usize, facts: NodeFacts) -> Result<NodeFacts> {
    let label = "m".repeat(60);
    let long = format!("node-{node:08}.{label}.{label}.{label}.{}", "m".repeat(56));
    let mut pods = Vec::new();
    for which in 0..2 {
        let [third, fourth] = [node >> 2, (node & 3) << 6];
        pods.push(format!("10.{}.{third}.{fourth}/26", 128 + cluster * 16 + which).parse()?);
        pods.push(format!("fd10:{cluster:x}{which:x}ab:cdef:{:x}::/64", 0x1000 + node).parse()?);
    }
    pods.sort_unstable();
    Ok(NodeFacts {
        id: NodeId { cluster: name.clone(), node: long.parse()? },
        pods,
        labels: BTreeMap::new(),
        ..facts
    })
}
