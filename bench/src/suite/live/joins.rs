//! Nodes that join.

use anyhow::Result;

use super::{Bed, Metrics};
use crate::args::Options;
use crate::report::Section;
use crate::row::{Row, Unit};
use causeway_pathbench::statistics::{median, quantile};

const CLUSTERS: &str = "\
clusters:
- {name: east, nodes: 5, spec: {podCIDRs: [10.1.0.0/16, 'fd10:1::/48']}}
- {name: west, nodes: 1, spec: {podCIDRs: [10.2.0.0/16, 'fd10:2::/48']}}
";

/// Nodes that join.
///
/// # Errors
/// If the bed does not come up.
pub fn joins(options: &Options) -> Result<Section> {
    let count = if options.quick { 5 } else { 50 };
    let note = format!(
        "A hub and two members, each with an API server of its own; {count} nodes join one after the other. Time from the \
         Node being written at its member until a pod on it has the first answer from a pod of the other cluster; the \
         node's agent is started as soon as the Node is there. Writes as the hub's API server counts them: Causeway's \
         objects and Events. Beside it the same with objects in files."
    );
    let mut section = Section::new("Joining nodes", note);
    let bed = Bed::up(CLUSTERS)?;
    let in_files = times(&bed, count)?;
    drop(bed);
    let bed = Bed::up(&format!("controlPlane: kubernetes\n{CLUSTERS}"))?;
    bed.wait_until_quiet(&["hub"])?;
    let before = bed.metrics("hub")?;
    let times = times(&bed, count)?;
    bed.wait_until_quiet(&["hub"])?;
    let after = bed.metrics("hub")?;
    let a_join = |of: &dyn Fn(&Metrics) -> f64| (of(&after) - of(&before)) / f64::from(count);
    let sums = a_join(&Metrics::sums);
    let of_resource = |resource| {
        let writes = a_join(&move |metrics: &Metrics| metrics.writes_of_objects(resource));
        Row::shown(format!("of these, {resource}"), writes, Unit::Count)
    };
    section.rows = vec![
        Row::shown("Node there → first answer: median", median(&times), Unit::Seconds),
        Row::shown("Node there → first answer: 99th percentile", quantile(&times, 0.99), Unit::Seconds)
            .at_most(1.0),
        Row::shown(
            "writes at the hub a join: its objects, and Events",
            a_join(&Metrics::writes) - sums,
            Unit::Count,
        )
        .at_most(3.0),
        of_resource("clusternodes"),
        of_resource("nodeconfigs"),
        of_resource("peerslices"),
        of_resource("events"),
        Row::shown(
            "and statuses of cluster and links, which sum up and rest between writes",
            sums,
            Unit::Count,
        ),
        Row::shown(
            "objects in files, ClusterNode there → first answer: median",
            median(&in_files),
            Unit::Seconds,
        ),
        Row::shown("the same: 99th percentile", quantile(&in_files, 0.99), Unit::Seconds).at_most(1.0),
    ];
    Ok(section)
}

/// Seconds from a node being announced until its pod reached one of the other cluster, for one node after the other.
fn times(bed: &Bed, count: u32) -> Result<Vec<f64>> {
    let (east, reach) = ("east".parse()?, "west/n1/p1".parse()?);
    let join = |_| Ok(bed.lab.add_node_until(&east, "{}", &reach)?.1.as_secs_f64());
    (0..count).map(join).collect()
}
