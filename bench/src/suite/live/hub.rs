//! A large hub.

use std::time::Instant;

use anyhow::{Result, bail};
use causeway_lab::{Action, Fault, wait_until};
use serde_json::{Value, json};

use super::{Bed, LIMIT};
use crate::args::Options;
use crate::measure::Written;
use crate::report::Section;
use crate::row::{MIB, Row, Unit};
use crate::suite::plan::grouped;

/// A hub with many nodes.
///
/// # Errors
/// If the bed does not come up.
pub fn hub(options: &Options) -> Result<Section> {
    const CLUSTERS: u32 = 20;
    let count = if options.quick { 1_000 } else { options.hub_nodes.get().min(CLUSTERS * NUMBERS) };
    let note = format!(
        "{} ClusterNodes of {CLUSTERS} clusters at the hub's API server, written while network-manager is away. Start: it is \
         stopped and started when all is planned; time until it says that all is as planned, memory then, and what it wrote.",
        grouped(count as usize)
    );
    let mut section = Section::new("A large hub", note);
    let bed = Bed::up(
        "controlPlane: kubernetes\nclusters:\n- {name: a, families: [IPv4], nodes: 1, serviceCIDRs: [192.168.1.0/24]}\n- {name: b, families: [IPv4], nodes: 1, serviceCIDRs: [192.168.2.0/24]}\n",
    )?;
    let each = count / CLUSTERS;
    let names: Vec<String> = (0..CLUSTERS).map(|cluster| format!("simulated-{cluster}")).collect();
    let namespace = |name: &str| format!("causeway-cluster-{name}");
    for (number, name) in (0..).zip(&names) {
        bed.create("hub", &cluster(name, number, "P2P"))?;
        wait_until("the namespace of a cluster", LIMIT, || {
            Ok(bed
                .kubectl("hub", &["get", "namespace", &namespace(name)])
                .map(drop)
                .map_err(|error| error.to_string()))
        })?;
    }
    // Those of the two real nodes would each program as many peers, on the same processors.
    for cluster in ["a", "b"] {
        bed.lab.fault(&Fault::ControllerManager { cluster: cluster.parse()?, action: Action::Stop })?;
        bed.lab.node(&format!("{cluster}/n1"))?.agent(Action::Stop)?;
    }
    bed.lab.fault(&Fault::Manager { action: Action::Stop })?;
    let began = Instant::now();
    for (cluster, name) in (0..).zip(&names) {
        bed.write("hub", &namespace(name), Written::ClusterNodes, cluster * NUMBERS, each)?;
    }
    let wrote = began.elapsed().as_secs_f64();
    let start = || -> Result<f64> {
        let told = || bed.lab.log(None).map(|log| log.matches(" planned ").count()).unwrap_or_default();
        let earlier = told();
        let began = Instant::now();
        bed.lab.fault(&Fault::Manager { action: Action::Start })?;
        wait_until("network-manager to have planned", LIMIT, || {
            Ok(if told() > earlier { Ok(()) } else { Err("not yet".to_owned()) })
        })?;
        let took = began.elapsed().as_secs_f64();
        bed.wait_until_quiet(&["hub"])?;
        Ok(took)
    };
    let took = start()?;
    let nodes = grouped(count as usize);
    section.rows.push(Row::shown(format!("writing {nodes} ClusterNodes"), wrote, Unit::Seconds));
    section.rows.push(Row::shown(
        "network-manager started until all is planned and written",
        took,
        Unit::Seconds,
    ));
    let (resident, peak) = bed.memory("network-manager")?;
    section.rows.push(Row::shown("network-manager then: memory", resident, Unit::Bytes));
    section.rows.push(Row::shown("its peak", peak, Unit::Bytes).at_most(1024.0 * MIB));

    let before = bed.writes("hub")?;
    bed.lab.fault(&Fault::Manager { action: Action::Stop })?;
    let took = start()?;
    let (resident, peak) = bed.memory("network-manager")?;
    section
        .rows
        .push(Row::shown(format!("start with {nodes} ClusterNodes"), took, Unit::Seconds).at_most(30.0));
    section
        .rows
        .push(Row::shown("writes of that start", bed.writes("hub")? - before, Unit::Count).at_most(0.0));
    section.rows.push(Row::shown("memory then", resident, Unit::Bytes));
    section.rows.push(Row::shown("its peak", peak, Unit::Bytes).at_most(1024.0 * MIB));
    let what = format!("`causeway plan` of another mode for a cluster, {nodes} ClusterNodes");
    section
        .rows
        .push(Row::shown(what, plan(&bed, cluster(&names[0], 0, "Gateway"))?, Unit::Seconds).at_most(5.0));
    Ok(section)
}

/// Numbers of nodes of a cluster; their /28s are a /15.
const NUMBERS: u32 = 1 << 13;

/// The Cluster of that number.
fn cluster(name: &str, number: u32, mode: &str) -> Value {
    let pods = std::net::Ipv4Addr::from((10u32 << 24 | 1 << 23) + ((number * NUMBERS) << 4));
    json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name},
        "spec": {"mode": mode, "ipFamilies": ["IPv4"], "podCIDRs": [format!("{pods}/15")]},
    })
}

/// Seconds that the command line needs to say what a change would do.
fn plan(bed: &Bed, change: Value) -> Result<f64> {
    let program = std::env::current_exe()?.with_file_name("causeway").display().to_string();
    let hub = "/run/causeway-lab/kubernetes/hub-admin.conf";
    let (change, shell) = (change.to_string(), r#"printf %s "$0" | "$@""#);
    let began = Instant::now();
    let output = bed
        .lab
        .exec("underlay", &["sh", "-c", shell, &change, &program, "plan", "--kubeconfig", hub, "-f", "-"])?;
    let took = began.elapsed().as_secs_f64();
    if !output.stdout.contains("simulated-0") {
        bail!("causeway plan: {}{}", output.stdout, output.stderr);
    }
    Ok(took)
}
