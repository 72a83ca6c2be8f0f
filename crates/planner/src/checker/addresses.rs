//! Addresses of nodes and blocks of clusters: none given twice.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{ClusterName, Family, Mac, NodeId, Prefix};

use super::{Report, Rule};
use crate::Plan;

pub(super) fn check(plan: &Plan, report: &mut Report) {
    blocks(plan, report);
    let mut addresses: BTreeMap<IpAddr, &NodeId> = BTreeMap::new();
    let mut macs: BTreeMap<Mac, &NodeId> = BTreeMap::new();
    for (id, node) in &plan.nodes {
        let overlay = Family::BOTH.map(|family| node.vtep.overlay.get(family));
        for address in node.vtep.underlay.addresses().chain(overlay) {
            if let Some(other) = addresses.insert(address, id) {
                report.node(Rule::DistinctAddresses, id, format!("{address} is {other}'s too"));
            }
        }
        let mac = node.vtep.mac();
        if let Some(other) = macs.insert(mac, id) {
            report.node(Rule::DistinctAddresses, id, format!("MAC {mac} is {other}'s too"));
        }
        let blocks = plan.clusters.get(&id.cluster).map(|cluster| &cluster.overlay);
        for (family, address) in Family::BOTH.into_iter().zip(overlay) {
            let inside = |block: &Prefix| {
                block.contains(address) && block.first() != address && block.last() != address
            };
            if !blocks.is_some_and(|blocks| blocks.get(family).iter().any(inside)) {
                let detail = format!("{address} is no usable address of a block of its cluster");
                report.node(Rule::DistinctAddresses, id, detail);
            }
        }
    }
}

fn blocks(plan: &Plan, report: &mut Report) {
    let mut all: Vec<(Prefix, &ClusterName)> = Vec::new();
    for cluster in plan.clusters.values() {
        all.extend(cluster.overlay.iter().flat_map(|(_, blocks)| blocks).map(|b| (*b, &cluster.name)));
    }
    all.sort_unstable();
    for pair in all.windows(2) {
        if pair[0].0.overlaps(&pair[1].0) {
            let detail = format!("block {} overlaps {} of cluster {}", pair[1].0, pair[0].0, pair[0].1);
            report.cluster(Rule::DistinctBlocks, pair[1].1, detail);
        }
    }
}
