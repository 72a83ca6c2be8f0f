//! Figures of the planner.

use anyhow::Result;

use crate::args::Options;
use crate::child::run;
use crate::growth::Curve;
use crate::measure::{Change, Changed, ClusterSet, FullPlan, Mix, SingleChanges, Stack};
use crate::report::Section;
use crate::row::{MIB, Row, Unit};
use causeway_pathbench::statistics::{median, quantile};

/// The size that bounds speak of.
const LARGEST: usize = 100_000;

fn sizes(options: &Options) -> &'static [usize] {
    if options.quick { &[1_000, 10_000] } else { &[1_000, 10_000, LARGEST] }
}

fn clusterset(nodes: usize, mix: Mix) -> ClusterSet {
    ClusterSet { nodes, mix, ..ClusterSet::default() }
}

/// Full plans of all sizes and mixes.
///
/// # Errors
/// If one cannot be measured.
pub fn full(options: &Options) -> Result<Section> {
    let note = "Processor time of one core from the first fact to the last object; median of several. Memory is the \
                peak of a process that holds planner and plan, and nothing else. 20 dual-stack clusters.";
    let mut section = Section::new("Full plan", note);
    for mix in Mix::ALL {
        let mut points = Vec::new();
        for nodes in sizes(options) {
            let rounds = if *nodes >= LARGEST { 5 } else { 9 };
            let name = format!("{} nodes, {}", grouped(*nodes), mix.name());
            let [time, memory] = planned(&name, clusterset(*nodes, mix), rounds)?;
            points.push((*nodes as f64, time.value));
            section.rows.extend(match (*nodes == LARGEST, mix) {
                (true, Mix::P2p) => [time.at_most(1.0), memory.at_most(512.0 * MIB)],
                (true, Mix::Gateway) => [time.at_most(0.5), memory.at_most(512.0 * MIB)],
                // Half of the clusters are P2P ones: the bound of those counts.
                (true, Mix::Half) => [time.at_most(1.0), memory.at_most(512.0 * MIB)],
                (false, _) => [time, memory],
            });
        }
        let what = format!("{}: growth with nodes", mix.name());
        draw(&mut section, what, Curve { name: mix.name().to_owned(), of: "nodes".to_owned(), points });
    }
    Ok(section)
}

/// Time and memory of full plans of a clusterset.
fn planned(name: &str, clusterset: ClusterSet, rounds: usize) -> Result<[Row; 2]> {
    let planned = run(&FullPlan { clusterset, rounds })?;
    let seconds = median(&planned.spent.iter().map(|spent| spent.cpu).collect::<Vec<_>>());
    let time = Row::shown(format!("{name}: time"), seconds, Unit::Seconds);
    Ok([time, Row::shown(format!("{name}: peak memory"), planned.peak as f64, Unit::Bytes)])
}

/// Adds a curve, and its exponent as `what`.
fn draw(section: &mut Section, what: String, curve: Curve) {
    section.rows.push(Row::shown(what, curve.exponent(), Unit::Exponent));
    section.curves.push(curve);
}

/// Full plans of as many nodes in few and in many clusters.
///
/// # Errors
/// If one cannot be measured.
pub fn by_clusters(options: &Options) -> Result<Section> {
    let nodes = if options.quick { 10_000 } else { LARGEST };
    let note = format!(
        "The same for {} nodes in 2, 20 and 200 IPv6 clusters: each cluster has a link to each other one, so there are 39,800 links in the end.",
        grouped(nodes)
    );
    let mut section = Section::new("Full plan, by number of clusters", note);
    for mix in [Mix::P2p, Mix::Gateway] {
        let mut points = Vec::new();
        for clusters in [2, 20, 200] {
            let clusterset = ClusterSet { clusters, stack: Stack::Six, ..clusterset(nodes, mix) };
            let rows = planned(&format!("{clusters} clusters, {}", mix.name()), clusterset, 3)?;
            points.push((clusters as f64, rows[0].value));
            section.rows.extend(rows);
        }
        let what = format!("{}: growth with clusters", mix.name());
        draw(&mut section, what, Curve { name: mix.name().to_owned(), of: "clusters".to_owned(), points });
    }
    Ok(section)
}

/// Single changes in clustersets of all sizes and mixes.
///
/// # Errors
/// If one cannot be measured.
pub fn single(options: &Options) -> Result<Section> {
    let note = "Processor time of the planner for one change in a standing clusterset of 20 dual-stack clusters; median \
                of many. Objects are those that network-manager writes or removes: NodeConfigs, PeerSlices, \
                ClusterLinks and Cluster statuses.";
    let mut section = Section::new("Single changes", note);
    for mix in Mix::ALL {
        let mut joins = Vec::new();
        for nodes in sizes(options) {
            let rounds = if options.quick { 100 } else { 1_000 };
            let changed = run(&SingleChanges { clusterset: clusterset(*nodes, mix), rounds })?;
            let name = format!("{} nodes, {}", grouped(*nodes), mix.name());
            for change in Change::ALL {
                let of: Vec<&Changed> = changed.iter().filter(|c| c.change == change).collect();
                // What is smaller is measured to show growth, which a join shows for all.
                if of.is_empty()
                    || (*nodes != sizes(options)[sizes(options).len() - 1] && change != Change::Join)
                {
                    continue;
                }
                let times: Vec<f64> = of.iter().map(|c| c.spent.cpu).collect();
                if change == Change::Join {
                    joins.push((*nodes as f64, median(&times)));
                }
                section.rows.extend(rows(
                    &format!("{name}: {}", change.name()),
                    change,
                    &of,
                    *nodes == LARGEST,
                ));
            }
        }
        let what = format!("{}: growth of a join with nodes", mix.name());
        let name = format!("a node joins, {}", mix.name());
        draw(&mut section, what, Curve { name, of: "nodes".to_owned(), points: joins });
    }
    Ok(section)
}

/// Rows of one kind of change. Those of a join and of object counts have bounds; tails and work are
/// shown where the clusterset is largest.
fn rows(name: &str, change: Change, changed: &[&Changed], largest: bool) -> Vec<Row> {
    let times: Vec<f64> = changed.iter().map(|c| c.spent.cpu).collect();
    let most = |of: fn(&Changed) -> usize| changed.iter().map(|c| of(c)).max().unwrap_or(0) as f64;
    let time = Row::shown(name.to_owned(), median(&times), Unit::Seconds);
    if !largest {
        return vec![time];
    }
    let node_change = !matches!(change, Change::ClusterJoin | Change::ClusterLeave);
    let time = if change == Change::Join { time.at_most(200e-6) } else { time };
    let nodes = Row::shown(format!("{name}: NodeConfigs, at most"), most(|c| c.nodes), Unit::Count);
    let slices = Row::shown(format!("{name}: PeerSlices, at most"), most(|c| c.slices), Unit::Count);
    let links = Row::shown(format!("{name}: ClusterLinks, at most"), most(|c| c.links), Unit::Count);
    let clusters =
        Row::shown(format!("{name}: Cluster statuses, at most"), most(|c| c.clusters), Unit::Count);
    let mut rows = vec![time];
    if change == Change::Join {
        rows.push(Row::shown(format!("{name}: 99th percentile"), quantile(&times, 0.99), Unit::Seconds));
    }
    rows.extend(match change {
        Change::Join | Change::Leave => {
            [nodes.at_most(1.0), slices.at_most(1.0), links.at_most(0.0), clusters]
        }
        // Of a Gateway cluster, the gateway that goes and the one that comes, in both scopes.
        Change::Readiness | Change::Gateway => {
            [nodes.at_most(2.0), slices.at_most(2.0), links.at_most(0.0), clusters]
        }
        Change::ClusterJoin | Change::ClusterLeave => [nodes, slices, links.at_most(40.0), clusters],
    });
    let work = changed.iter().map(|c| c.work).max().unwrap_or(0) as f64;
    if node_change {
        rows.push(Row::shown(format!("{name}: objects looked at, at most"), work, Unit::Count));
    }
    rows
}

/// `100,000`
pub fn grouped(number: usize) -> String {
    let digits = number.to_string();
    let groups: Vec<&str> =
        digits.as_bytes().rchunks(3).rev().filter_map(|group| std::str::from_utf8(group).ok()).collect();
    groups.join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn large_numbers_are_grouped_by_thousands() {
        assert_eq!(grouped(7), "7");
        assert_eq!(grouped(1_000), "1,000");
        assert_eq!(grouped(100_000), "100,000");
    }
}
