//! Clustersets that are larger than what this machine's API servers hold, by counting.

use anyhow::Result;

use crate::args::Options;
use crate::child::run;
use crate::measure::{ClusterSet, Counted, FullPlan, Mix, Totals};
use crate::report::Section;
use crate::row::{Row, Unit};
use crate::suite::plan::grouped;
use causeway_pathbench::statistics::median;

/// Nodes and clusters of what is counted.
const SIZES: [(usize, usize); 2] = [(100_000, 20), (1_000_000, 125)];

/// What clustersets of 100,000 and of 1,000,000 nodes hold and tell.
///
/// # Errors
/// If one cannot be planned.
pub fn section(options: &Options) -> Result<Section> {
    let note = "Every plan is made and every object of it is sized; what is told to whom is then arithmetic. It is assumed that \
                each cluster is linked with each other one, that clusters are of one size, that an object has the JSON that an API server \
                stores (its etcd keeps as much again for each revision until it is compacted), that a PeerSlice is of average size, that one \
                network-manager and one controller-manager for each cluster watch the hub, and one agent on each node its member. A \
                node that joins is no gateway. At a Gateway cluster's API server agents hear of gateways only.";
    let mut section = Section::new("Large clustersets by counting", note);
    let sizes: &[(usize, usize)] = if options.quick { &[(1_000, 20)] } else { &SIZES };
    for &(nodes, clusters) in sizes {
        for mix in [Mix::P2p, Mix::Gateway] {
            let clusterset = ClusterSet { nodes, clusters, mix, ..ClusterSet::default() };
            let name = format!("{} nodes in {clusters} clusters, {}", grouped(nodes), mix.name());
            let planned = run(&FullPlan { clusterset: clusterset.clone(), rounds: 1 })?;
            let seconds = median(&planned.spent.iter().map(|spent| spent.cpu).collect::<Vec<_>>());
            let held = run(&Totals { clusterset })?;
            let kinds = [
                held.cluster_nodes,
                held.node_configs,
                held.cluster_links,
                held.node_slices,
                held.gateway_slices,
            ];
            let sum = |of: fn(&Counted) -> u64| kinds.iter().map(of).sum::<u64>() as f64;
            let [all, others] = [clusters as f64, clusters as f64 - 1.0];
            let at_a_cluster = nodes as f64 / all;
            // Both are zero where nobody is reached by its own address.
            let slice = held.node_slices.mean();
            let slices_of_others = held.node_slices.bytes as f64 / all * others;
            let links = held.cluster_links.bytes as f64 / all;
            let gateways = held.gateway_slices.bytes as f64;
            let joins = held.cluster_nodes.mean() + held.node_configs.mean() + others * slice;
            let bytes = |what: &str, value: f64| Row::shown(format!("{name}: {what}"), value, Unit::Bytes);
            section.rows.extend([
                Row::shown(format!("{name}: time of a full plan"), seconds, Unit::Seconds),
                bytes("memory of it", planned.peak as f64),
                Row::shown(format!("{name}: objects at the hub"), sum(|kind| kind.count), Unit::Count),
                bytes("bytes of them", sum(|kind| kind.bytes)),
                bytes(
                    "copies at a member",
                    held.node_configs.mean() * at_a_cluster + links + slices_of_others + gateways,
                ),
                bytes(
                    "what one agent reads",
                    match mix {
                        Mix::Gateway => held.node_configs.mean() + links + gateways / all,
                        Mix::P2p | Mix::Half => {
                            held.node_configs.mean() + links + slices_of_others + gateways
                        }
                    },
                ),
                bytes("a node joins: told by the hub", joins),
                bytes("a node joins: told by each other member's API server", at_a_cluster * slice),
            ]);
        }
    }
    Ok(section)
}
