//! Nodes that start while nobody answers: their network comes up from their own disks.

use std::fs;
use std::path::{Path, PathBuf};

use causeway_lab::{Action, Fault, Lab, LabError, Stream, StreamOptions, StreamReport};
use serde_json::Value;

use crate::bed::{becomes_well, eventually, get, kubectl, well};
use crate::common::{PROGRAM, in_bed, said};

const TWO: &str = "clusters: [{name: east, nodes: 2}, {name: west, nodes: 2}]";

fn state_dir(lab: &Lab, node: &str) -> PathBuf {
    lab.directory().join("state").join(node)
}

fn saved(lab: &Lab, node: &str) -> String {
    fs::read_to_string(state_dir(lab, node).join("last-known-state")).unwrap_or_default()
}

fn log(lab: &Lab, node: &str) -> String {
    lab.log(Some(&node.parse().unwrap())).unwrap()
}

/// Waits until an agent has written `text` so many times at least.
fn logs(lab: &Lab, node: &str, text: &str, times: usize) {
    eventually(&format!("{node} to log {text:?}"), || {
        let log = log(lab, node);
        if log.matches(text).count() >= times { Ok(()) } else { Err(log) }
    });
}

/// Waits until the plan on a node's disk is the one of now, and leads to every pod of the other cluster's nodes. An agent
/// writes it a few seconds after the one before, so while a clusterset comes up a part may be on the disk.
fn is_saved(lab: &Lab, node: &str) {
    let topology = lab.topology().unwrap();
    let other = topology.clusters.last().unwrap();
    let pods = other.nodes.iter().flat_map(|node| &node.pod_cidrs);
    let pods: Vec<String> = pods.map(|cidr| format!("\"{cidr}\"")).collect();
    let (cluster, name) = node.split_once('/').unwrap();
    let spec =
        |object: &Value| (object["kind"].clone(), object["metadata"]["name"].clone(), object["spec"].clone());
    eventually(&format!("the plan of {node} to be on its disk"), || {
        let saved = saved(lab, node);
        let there: Vec<_> =
            saved.lines().filter_map(|line| serde_json::from_str(line).ok()).map(|o| spec(&o)).collect();
        let objects = get(lab, cluster, &["-A", "nodeconfigs,clusterlinks,peerslices"]);
        let planned = objects["items"].as_array().unwrap().iter().map(spec);
        let planned = planned.filter(|(kind, of, _)| *kind != "NodeConfig" || of == name);
        let lacking: Vec<_> = planned.filter(|object| !there.contains(object)).collect();
        let pods: Vec<_> = pods.iter().filter(|cidr| !saved.contains(*cidr)).collect();
        if pods.is_empty() && lacking.is_empty() {
            Ok(())
        } else {
            Err(format!("{pods:?} and {lacking:?} are not in {saved}"))
        }
    });
}

fn servers(lab: &Lab, action: Action) {
    for server in ["hub", "east"] {
        lab.fault(&Fault::ApiServer { server: server.to_owned(), action }).unwrap();
    }
}

/// Takes from a node what a reboot would take; its disk stays.
fn lose_kernel_state(lab: &Lab, node: &str) {
    cleanup(lab, node, "of-nobody");
}

fn cleanup(lab: &Lab, node: &str, state: &str) {
    let agent = Path::new(PROGRAM).with_file_name("causeway-agent");
    let state = format!("/run/causeway-lab/state/{state}");
    in_bed(lab, node, &[agent.to_str().unwrap(), "cleanup", "--state-dir", &state]);
    assert!(!in_bed(lab, node, &["ip", "link"]).contains("vx-"));
}

fn stream(lab: &Lab, from: &str, to: &str) -> Result<Stream, LabError> {
    lab.stream(&StreamOptions::new(from.parse().unwrap(), to.parse().unwrap()))
}

fn reaches(lab: &Lab, from: &str, to: &str) -> Stream {
    stream(lab, from, to).unwrap()
}

/// Waits until nothing is lost on the way from a node's pod to another: what was sent before the network was up is.
fn is_up(lab: &Lab, node: &str, to: &str) {
    eventually("the network to be up", || {
        let said = match stream(lab, &format!("{node}/p1"), to).and_then(Stream::finish) {
            Ok(report) if report.lost() == 0 => return Ok(()),
            Ok(report) => format!("{report:?}"),
            Err(error) => error.to_string(),
        };
        let routes = in_bed(lab, node, &["ip", "route", "show", "table", "4876"]);
        Err(format!("{said}\n{routes}\n{}", log(lab, node)))
    });
}

fn whole(report: &StreamReport) {
    assert_eq!(report.lost(), 0, "{report:?}");
}

fn ready(lab: &Lab, node: &str) -> String {
    in_bed(lab, node, &["curl", "-s", "http://127.0.0.1:4880/readyz"])
}

#[test]
fn a_node_that_reboots_while_nobody_answers_comes_up_from_its_disk() {
    let lab = well("disk", TWO);
    is_saved(&lab, "east/n1");
    servers(&lab, Action::Kill);
    let agent = lab.node("east/n1").unwrap();

    // Its kernel holds more than its disk: nothing is taken away on the disk's word.
    agent.agent(Action::Kill).unwrap();
    let newer = ["203.0.113.0/24", "dev", "vx-bridge", "table", "4876", "protocol", "197"];
    in_bed(&lab, "east/n1", &[&["ip", "route", "add"], &newer[..]].concat());
    agent.agent(Action::Start).unwrap();
    logs(&lab, "east/n1", "the kernel holds what is not in the last known state", 1);
    whole(&reaches(&lab, "east/n1/p1", "west/n1/p1").finish().unwrap());
    assert!(in_bed(&lab, "east/n1", &["ip", "route", "show", "table", "4876"]).contains(newer[0]));

    // It reboots.
    agent.agent(Action::Kill).unwrap();
    lose_kernel_state(&lab, "east/n1");
    agent.agent(Action::Start).unwrap();
    logs(&lab, "east/n1", "going by the last known state", 2);
    let streams = ["west/n1/p1", "west/n2/p1"].map(|to| {
        is_up(&lab, "east/n1", to);
        reaches(&lab, "east/n1/p1", to)
    });
    let said = ready(&lab, "east/n1");
    assert!(said.contains("confirmed plan: the last known state in"), "{said}");
    // What others change is put right as ever.
    in_bed(
        &lab,
        "east/n1",
        &["ip", "route", "add", newer[0], "dev", "vx-bridge", "table", "4876", "protocol", "197"],
    );
    eventually("a stray route to be removed", || {
        let routes = in_bed(&lab, "east/n1", &["ip", "route", "show", "table", "4876"]);
        if routes.contains(newer[0]) { Err(routes) } else { Ok(()) }
    });

    // What the node is can be tested without anybody, too.
    let program = Path::new(PROGRAM).with_file_name("causeway-agent");
    let state = "/run/causeway-lab/state/east/n1";
    let examine = [program.to_str().unwrap(), "examine", "--node", "n1", "--state-dir", state];
    let evidence: serde_json::Value = serde_json::from_str(&in_bed(&lab, "east/n1", &examine)).unwrap();
    assert_eq!(evidence["spec"]["targets"].as_array().map(Vec::len), Some(2), "{evidence:#}");
    let paths = evidence["status"]["paths"].as_array().unwrap();
    assert!(paths.iter().all(|path| path["answered"].as_i64() > Some(0)), "{evidence:#}");

    // They answer again.
    servers(&lab, Action::Start);
    logs(&lab, "east/n1", "the last known state counts no more", 1);
    becomes_well(&lab);
    streams.into_iter().for_each(|stream| whole(&stream.finish().unwrap()));
    eventually("the node to be ready", || {
        let said = ready(&lab, "east/n1");
        if said.contains("confirmed plan: ok") { Ok(()) } else { Err(said) }
    });

    agent.agent(Action::Stop).unwrap();
    cleanup(&lab, "east/n1", "east/n1");
    assert_eq!(saved(&lab, "east/n1"), "");
}

#[test]
fn a_full_disk_and_a_damaged_file_are_told_and_harm_nothing() {
    let lab = well("full", TWO);
    let node = "east/n1";
    let agent = lab.node(node).unwrap();
    agent.agent(Action::Stop).unwrap();
    // As a disk of its own, which is nearly full.
    let inside = format!("/run/causeway-lab/state/{node}");
    let bed = lab.pid().to_string();
    let in_mounts = |command: &[&str]| said("nsenter", &[&["--target", &bed, "--mount"], command].concat());
    in_mounts(&["mount", "-t", "tmpfs", "-o", "size=64k", "small", &inside]);
    agent.agent(Action::Start).unwrap();
    is_saved(&lab, node);
    let before = saved(&lab, node);
    in_mounts(&["sh", "-c", &format!("cat /dev/zero > {inside}/filler 2>/dev/null || true")]);

    kubectl(&lab, "west", &["label", "node", "n2", "causeway.dev/exclude=true"]);
    logs(&lab, node, "the last known state cannot be written to", 1);
    assert!(log(&lab, node).contains("os error 28"), "{}", log(&lab, node));
    whole(&reaches(&lab, "east/n1/p1", "west/n1/p1").finish().unwrap());
    assert_eq!(saved(&lab, node), before);
    let mut files: Vec<_> =
        fs::read_dir(state_dir(&lab, node)).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["filler", "last-known-state"]);

    // What was written before is whole, and better than nothing.
    servers(&lab, Action::Kill);
    agent.agent(Action::Kill).unwrap();
    lose_kernel_state(&lab, node);
    agent.agent(Action::Start).unwrap();
    logs(&lab, node, "going by the last known state", 1);
    is_up(&lab, node, "west/n1/p1");

    // A damaged one leaves the kernel as it is.
    agent.agent(Action::Kill).unwrap();
    in_mounts(&["truncate", "-s", "-1", &format!("{inside}/last-known-state")]);
    agent.agent(Action::Start).unwrap();
    logs(&lab, node, "is not used: ", 1);
    whole(&reaches(&lab, "east/n1/p1", "west/n1/p1").finish().unwrap());

    // With room again and somebody who tells, all is as it should be.
    in_mounts(&["rm", &format!("{inside}/filler")]);
    servers(&lab, Action::Start);
    kubectl(&lab, "west", &["label", "node", "n2", "causeway.dev/exclude-"]);
    becomes_well(&lab);
    is_saved(&lab, node);
}
