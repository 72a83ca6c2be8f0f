//! The demo: three clusters of three kinds, linked; what reaches what; the path of a packet; a
//! gateway's death; and nothing left at the end.

mod host;
pub(crate) mod kubernetes;

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use causeway_model::{Family, NodeId};
use serde_json::json;

use self::host::HostState;
use crate::error::{LabError, Result};
use crate::fault::{Action, Fault};
use crate::lab::{Lab, Programs, Stream};
use crate::probe::plan::CheckOptions;
use crate::probe::stream::{StreamOptions, StreamReport};
use crate::topology::{Cluster, Topology};

const TOPOLOGY: &str = include_str!("../../topologies/demo.yaml");

/// How long the clusters may take to be linked.
const READY: Duration = Duration::from_secs(60);

/// A path whose packets are followed: who sends, to whom, and what it shows.
const PATHS: &[(&str, &str, &str)] = &[
    ("alpha/n1", "beta/in1/p1", "from a P2P cluster to an internal node of a Gateway cluster"),
    ("beta/in1", "alpha/n2/p1", "from an internal node, by way of its gateways, straight to the pod's node"),
    ("alpha/n1", "gamma/n1/p1", "between P2P clusters, under a global CIDR since their pod CIDRs overlap"),
    ("gamma/n1", "beta:echo", "to a Service of another cluster"),
    ("beta/gw1", "gamma/n2", "from a gateway to a node's own overlay address"),
];

/// Shows all of it.
pub(crate) fn run(program: &Path) -> Result<ExitCode> {
    let begin = Instant::now();
    let step = |number: u32, what: &str| {
        println!("\n== {number}/7 {what}  [{:.1} s]", begin.elapsed().as_secs_f64());
    };
    let before = HostState::read();
    let topology = Topology::parse(TOPOLOGY, "demo.yaml")?;
    step(1, "Three clusters come up in namespaces of their own");
    describe(&topology);
    let lab = Lab::up(program, topology, Programs::beside(program))?;
    let namespace = host::pid_namespace(&lab.pid().to_string()).unwrap_or_default();

    step(2, "network-manager plans, an agent on each node programs its kernel; until every pair answers");
    let mut fine = reachability(&lab, READY)?;

    step(3, "The way of a packet, one of each kind");
    fine &= explain(&lab, program)?;

    step(4, "Every agent and network-manager restart while packets flow");
    fine &= restarts(&lab)?;

    step(5, "A gateway dies while packets flow");
    fine &= gateway_dies(&lab)?;

    step(6, "Without that gateway everything reaches everything");
    fine &= reachability(&lab, READY)?;

    step(7, "The bed ends; nothing of it is left");
    lab.down()?;
    fine &= nothing_left(&before, &namespace);
    println!("\n{} after {:.1} s", if fine { "All fine" } else { "FAILED" }, begin.elapsed().as_secs_f64());
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn describe(topology: &Topology) {
    for cluster in &topology.clusters {
        let mode = cluster.spec["mode"].as_str().unwrap_or("P2P");
        let pods: usize = cluster.nodes.iter().map(|n| n.pods.len()).sum();
        let cidrs: Vec<String> = cluster.pod_cidrs.iter().map(ToString::to_string).collect();
        let cni = format!("{:?}", cluster.cni.kind).to_lowercase();
        let (name, nodes) = (&cluster.name, cluster.nodes.len());
        println!("{name}: {mode}, CNI {cni}, {nodes} nodes, {pods} pods in {}", cidrs.join(" and "));
        let same = |other: &&Cluster| other.name != *name && other.pod_cidrs == cluster.pod_cidrs;
        if let Some(other) = topology.clusters.iter().find(same)
            && !cluster.spec["globalCIDRs"].is_null()
        {
            println!("    the same as {}, so others see these pods under a global CIDR", other.name);
        }
    }
}

fn reachability(lab: &Lab, limit: Duration) -> Result<bool> {
    let begin = Instant::now();
    let report = lab.wait_until_ready(&CheckOptions::default(), limit)?;
    println!(
        "linked and checked within {:.1} s\n\n{}",
        begin.elapsed().as_secs_f64(),
        report.to_table().trim_end()
    );
    Ok(report.is_fine())
}

/// Runs `causeway explain` in the bed for each path.
fn explain(lab: &Lab, program: &Path) -> Result<bool> {
    let causeway = causeway(program)?;
    let mut fine = true;
    for (from, to, what) in PATHS {
        let address = lab.address(from, to, Family::V4)?.to_string();
        println!("\n-- {what}: {from} to {to} ({address})");
        let objects = format!("{}/objects", crate::state::DIRECTORY);
        let words = [causeway.as_str(), "explain", "--objects", &objects, "--from", from, "--to", &address];
        let output = lab.exec("underlay", &words)?;
        print!("{}{}", output.stdout, output.stderr);
        fine &= output.status.success();
    }
    Ok(fine)
}

/// The program `causeway` beside the lab's.
fn causeway(program: &Path) -> Result<String> {
    let causeway = program.with_file_name("causeway");
    if causeway.exists() {
        Ok(causeway.display().to_string())
    } else {
        Err(LabError::MissingBinary(causeway))
    }
}

fn streams(lab: &Lab, pairs: &[(&str, &str)]) -> Result<Vec<Stream>> {
    let start = |(from, to): &(&str, &str)| lab.stream(&StreamOptions::new(from.parse()?, to.parse()?));
    pairs.iter().map(start).collect()
}

fn show(pairs: &[(&str, &str)], reports: &[StreamReport]) {
    for ((from, to), report) in pairs.iter().zip(reports) {
        println!(
            "{from} -> {to}: {} packets sent, {} lost, longest gap {} ms, {} TCP connections broken",
            report.sent(),
            report.lost(),
            report.longest_gap().as_millis(),
            report.broken_connections(),
        );
        let outages = || report.flows.iter().flat_map(|flow| &flow.outages);
        let (from, to) =
            (outages().map(|o| o.from_microseconds).min(), outages().map(|o| o.to_microseconds).max());
        if let (Some(from), Some(to)) = (from, to) {
            println!(
                "    first lost after {:.3} s, all well after {:.3} s",
                from as f64 / 1e6,
                to as f64 / 1e6
            );
        }
    }
}

fn restarts(lab: &Lab) -> Result<bool> {
    let pairs =
        [("alpha/n1/p1", "beta/in1/p1"), ("beta/in2/p1", "gamma/n1/p1"), ("gamma/n2/p1", "alpha/n3/p1")];
    let running = streams(lab, &pairs)?;
    lab.fault(&Fault::Manager { action: Action::Restart })?;
    for (cluster, node) in lab.topology()?.nodes() {
        lab.fault(&Fault::Agent { node: cluster.node_id(node), action: Action::Restart })?;
    }
    let reports: Vec<StreamReport> = running.into_iter().map(Stream::finish).collect::<Result<_>>()?;
    show(&pairs, &reports);
    Ok(reports.iter().all(|r| r.lost() == 0 && r.broken_connections() == 0))
}

fn gateway_dies(lab: &Lab) -> Result<bool> {
    let gateway: NodeId = "beta/gw1".parse().map_err(|_| LabError::UnknownEndpoint("beta/gw1".to_owned()))?;
    let through = [("alpha/n1/p1", "beta/in1/p1"), ("beta/in2/p1", "gamma/n1/p1")];
    let elsewhere = [("gamma/n2/p1", "alpha/n3/p1")];
    let hit = streams(lab, &through)?;
    let spared = streams(lab, &elsewhere)?;
    println!("{gateway} is cut off and its agent killed; its cluster then calls it not ready");
    let began = Instant::now();
    lab.fault(&Fault::Kill { node: gateway.clone() })?;
    lab.objects().patch_node(&gateway, &json!({"ready": false}))?;
    let to_beta = CheckOptions { quick: true, to: vec!["beta".to_owned()], ..CheckOptions::default() };
    let report = lab.wait_until_ready(&to_beta, READY)?;
    println!("all of beta reachable again after {:.2} s", began.elapsed().as_secs_f64());
    let finish = |streams: Vec<Stream>| streams.into_iter().map(Stream::finish).collect::<Result<Vec<_>>>();
    let (hit, spared) = (finish(hit)?, finish(spared)?);
    println!("by way of the gateways:");
    show(&through, &hit);
    println!("elsewhere, of which nothing may be lost:");
    show(&elsewhere, &spared);
    Ok(report.is_fine() && spared.iter().all(|r| r.lost() == 0 && r.broken_connections() == 0))
}

fn nothing_left(before: &HostState, namespace: &str) -> bool {
    let mut fine = true;
    for (what, same) in before.compare(&HostState::read()) {
        println!("{what}: {}", if same { "as before" } else { "CHANGED" });
        fine &= same;
    }
    let processes = host::processes_in(namespace);
    println!("processes of the bed: {processes}");
    fine && processes == 0
}
