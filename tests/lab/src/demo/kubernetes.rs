//! The demo on Kubernetes: a hub and two members with real control planes, joined by the command line with
//! the manifests that are shipped; a change of mode; a cluster that leaves; and nothing left at the end.

use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use super::host::{self, HostState};
use super::{READY, causeway, describe, nothing_left, reachability};
use crate::deadline::wait_until;
use crate::error::{LabError, Result};
use crate::lab::{Lab, Programs};
use crate::topology::Topology;

const TOPOLOGY: &str = include_str!("../../topologies/kubernetes.yaml");

/// Shows all of it.
pub(crate) fn run(program: &Path) -> Result<ExitCode> {
    let begin = Instant::now();
    let step = |number: u32, what: &str| {
        println!("\n== {number}/6 {what}  [{:.1} s]", begin.elapsed().as_secs_f64());
    };
    let before = HostState::read();
    let topology = Topology::parse(TOPOLOGY, "kubernetes.yaml")?;
    step(
        1,
        "A hub and two members: API servers, nodes, pods; `causeway install hub`, `causeway join` for each",
    );
    describe(&topology);
    let lab = Lab::up(program, topology, Programs::beside(program))?;
    let namespace = host::pid_namespace(&lab.pid().to_string()).unwrap_or_default();

    step(
        2,
        "CIDRs are found, plans are made and copied, agents program their kernels; until every pair answers",
    );
    let mut fine = reachability(&lab, READY)?;

    step(3, "What the objects say, at the hub and at a member");
    wait_for(&lab, "clusterlink/east", "causeway-cluster-west", "Ready")?;
    fine &= show(&lab, "hub", &["get", "clusters,clusterlinks", "-A"])?;
    fine &= show(&lab, "west", &["get", "nodeconfigs", "-A"])?;

    step(4, "A mode is switched: east is reached through gateways from now on");
    fine &= show(
        &lab,
        "hub",
        &["patch", "cluster", "east", "--type=merge", "-p", r#"{"spec":{"mode":"Gateway"}}"#],
    )?;
    wait_until("the link to east to lead through gateways", READY, || {
        let via = lab.kubectl(
            "hub",
            &["get", "clusterlink", "east", "-n", "causeway-cluster-west", "-o", "jsonpath={.spec.via}"],
        )?;
        Ok(if via.stdout == "Gateways" { Ok(()) } else { Err(via.stdout) })
    })?;
    fine &= reachability(&lab, READY)?;
    fine &= show(&lab, "hub", &["get", "clusterlinks", "-A"])?;

    step(5, "West leaves: its nodes clean up, then its objects go");
    fine &= leave(&lab, program)?;
    fine &= show(&lab, "hub", &["get", "clusters,clusterlinks,nodeconfigs,peerslices", "-A"])?;
    let devices = lab.node("west/n1")?.exec(&["ip", "-br", "link"])?.stdout;
    println!("devices of west/n1:\n{}", devices.trim_end());
    fine &= !devices.contains("vx-");

    step(6, "The bed ends; nothing of it is left");
    lab.down()?;
    fine &= nothing_left(&before, &namespace);
    println!("\n{} after {:.1} s", if fine { "All fine" } else { "FAILED" }, begin.elapsed().as_secs_f64());
    Ok(if fine { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn show(lab: &Lab, server: &str, words: &[&str]) -> Result<bool> {
    println!("$ kubectl --context {server} {}", words.join(" "));
    let output = lab.kubectl(server, words)?;
    println!("{}{}", output.stdout, output.stderr);
    Ok(output.status.success())
}

fn wait_for(lab: &Lab, object: &str, namespace: &str, condition: &str) -> Result<()> {
    let for_condition = format!("--for=condition={condition}");
    let output = lab.kubectl("hub", &["wait", object, "-n", namespace, &for_condition, "--timeout=60s"])?;
    if output.status.success() {
        return Ok(());
    }
    Err(LabError::Failed { program: format!("wait for {object}"), message: output.stderr })
}

fn leave(lab: &Lab, program: &Path) -> Result<bool> {
    let causeway = causeway(program)?;
    let file = |server: &str| format!("{}/kubernetes/{server}-admin.conf", crate::state::DIRECTORY);
    let (member, hub) = (file("cluster-west"), file("hub"));
    let words =
        [causeway.as_str(), "leave", "--cluster", "west", "--kubeconfig", &member, "--hub-kubeconfig", &hub];
    println!("$ causeway leave --cluster west --context west --hub-context hub");
    let output = lab.exec("underlay", &words)?;
    println!("{}{}", output.stdout, output.stderr);
    Ok(output.status.success())
}
