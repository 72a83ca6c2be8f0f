//! Programs come, go and repair; what is not ours stays as it is.

use causeway_lab::{Action, Fault, Lab, Output, Soak, StreamOptions};
use serde_json::json;

use crate::bed::{all_is_well, eventually, object, reaches, wait_for_condition, well};
use crate::common::{bare, in_bed};

const MIXED: &str = "clusters: [{name: a, nodes: 2, cni: vxlan}, {name: b, nodes: 3, spec: {mode: Gateway}}]";

/// Where the programs under test are.
fn program(name: &str) -> String {
    let lab = std::path::Path::new(crate::common::PROGRAM);
    lab.with_file_name(name).display().to_string()
}

/// A path of the bed's own file system, as programs inside see it.
fn inside(lab: &Lab, path: &str) -> String {
    let outside = lab.directory().display().to_string();
    let root = outside.find("/root/").map_or(0, |at| at + "/root".len());
    format!("{}/{path}", &outside[root..])
}

/// Runs the agent of a node by hand, with these arguments behind those that say who it is.
fn agent(lab: &Lab, node: &str, more: &[&str]) -> Output {
    let (cluster, name) = node.split_once('/').unwrap();
    let (objects, state) = (inside(lab, "objects"), inside(lab, &format!("state/{node}")));
    let program = program("causeway-agent");
    let base = [&program, "--objects", &objects, "--cluster", cluster, "--node", name, "--state-dir", &state];
    lab.exec(node, &[&base[..], more].concat()).unwrap()
}

fn cleanup(lab: &Lab, node: &str) {
    let state = inside(lab, &format!("state/{node}"));
    let output = lab.exec(node, &[&program("causeway-agent"), "cleanup", "--state-dir", &state]).unwrap();
    assert!(output.status.success(), "{node}: {}", output.stderr);
}

/// Plans a bed without programs once, and programs its nodes once.
fn link_once(lab: &Lab, nodes: &[&str]) {
    let manager = program("causeway-network-manager");
    let output = lab.exec(nodes[0], &[&manager, "--objects", &inside(lab, "objects"), "--once"]).unwrap();
    assert!(output.status.success(), "{}", output.stderr);
    for node in nodes {
        let output = agent(lab, node, &["--once"]);
        assert!(output.status.success(), "{node}: {}", output.stderr);
    }
}

const NODES: [&str; 5] = ["a/n1", "a/n2", "b/n1", "b/n2", "b/n3"];

#[test]
fn cleanup_leaves_each_node_as_it_was_before() {
    let lab = bare("cleanup", MIXED);
    let before = NODES.map(|node| lab.node(node).unwrap().snapshot().unwrap());
    link_once(&lab, &NODES);
    all_is_well(&lab);
    for (node, before) in NODES.iter().zip(&before) {
        let linked = lab.node(node).unwrap().snapshot().unwrap();
        assert!(!before.difference(&linked).is_empty(), "{node}: nothing was done");
        cleanup(&lab, node);
        let after = lab.node(node).unwrap().snapshot().unwrap();
        assert_eq!(before.difference(&after), Vec::<String>::new(), "{node}");
    }
}

#[test]
fn nodes_that_join_and_leave_fifty_times_in_every_way_are_each_time_as_they_were() {
    let mut soak = Soak::begin(crate::common::PROGRAM.as_ref(), "leaving").unwrap();
    let mut joined = 0;
    while joined < 50 {
        joined += soak.round().unwrap();
    }
}

#[test]
fn agents_and_manager_restart_without_a_lost_packet_or_a_written_byte() {
    let lab = well("restart", MIXED);
    let stream =
        lab.stream(&StreamOptions::new("a/n1/p1".parse().unwrap(), "b/n3/p1".parse().unwrap())).unwrap();
    let nodes = ["a/n1", "b/n1", "b/n2", "b/n3"];
    let changes = |node: &str| {
        let log = lab.log(Some(&node.parse().unwrap())).unwrap();
        log.lines().filter(|line| line.contains("kernel changed")).count()
    };
    let before = nodes.map(changes);
    lab.fault(&Fault::Manager { action: Action::Kill }).unwrap();
    for node in nodes {
        lab.node(node).unwrap().agent(Action::Kill).unwrap();
    }
    for node in nodes {
        lab.node(node).unwrap().agent(Action::Start).unwrap();
    }
    lab.fault(&Fault::Manager { action: Action::Start }).unwrap();
    // A restarted agent works: it does what the manager plans next.
    lab.objects()
        .patch_cluster(&"a".parse().unwrap(), &json!({"serviceCIDRs": ["10.129.0.0/16", "10.99.0.0/16"]}))
        .unwrap();
    eventually("the new prefix in the kernel of every node", || {
        let lacking: Vec<&str> = nodes[1..]
            .iter()
            .copied()
            .filter(|node| {
                !in_bed(&lab, node, &["ip", "route", "show", "table", "4876"]).contains("10.99.0.0/16")
            })
            .collect();
        if lacking.is_empty() { Ok(()) } else { Err(format!("{lacking:?}")) }
    });
    let report = stream.finish().unwrap();
    assert_eq!((report.lost(), report.broken_connections()), (0, 0), "{report:?}");
    let after = nodes.map(changes);
    let grown: Vec<usize> = before.iter().zip(after).map(|(before, after)| after - before).collect();
    assert!(grown.iter().all(|changes| *changes <= 1), "more was written than the new prefix: {grown:?}");
}

#[test]
fn what_others_change_of_ours_is_put_right() {
    let lab = well("drift", MIXED);
    let node = lab.node("b/n1").unwrap();
    let whole = node.snapshot().unwrap();
    for change in [
        "ip link set vx-bridge down",
        "ip link set vx-bridge mtu 1300",
        "ip link del vx-local",
        "ip address flush dev vx-bridge",
        "for to in $(ip route show table 4876 | cut -d' ' -f1); do ip route del $to table 4876; done",
        "for to in $(ip -6 route show table 4876 | cut -d' ' -f1); do ip -6 route del $to table 4876; done",
        "ip rule del priority 4876",
        "ip rule add priority 4876 from 192.0.2.0/24 table 4876 protocol 197",
        "ip nexthop flush protocol 197",
        "ip neighbour flush dev vx-bridge nud permanent",
        "bridge fdb show dev vx-bridge | grep dst | while read mac rest; do bridge fdb del $mac dev vx-bridge; done",
        "nft delete table inet causeway",
        "for c in $(nft list table inet causeway | awk '/chain/ {print $2}'); do nft flush chain inet causeway $c; done",
        "nft add element inet causeway nowhere '{ 192.0.2.1 }' 2>/dev/null; sysctl -qw net.ipv4.conf.vx-bridge.rp_filter=1",
        "sysctl -qw net.ipv4.ip_forward=0",
    ] {
        in_bed(&lab, "b/n1", &["sh", "-c", change]);
        eventually(&format!("{change} to be undone"), || {
            let left = whole.difference_but_numbers(&node.snapshot().unwrap());
            if left.is_empty() { Ok(()) } else { Err(left.join("\n")) }
        });
    }
    all_is_well(&lab);
}

#[test]
fn what_is_not_ours_stays_though_it_looks_alike() {
    let lab = bare("alien", MIXED);
    let strange = "ip route add 203.0.113.0/24 dev eth0 table 4876
ip rule add priority 4870 table 4876
ip nexthop add id 4876 dev eth0
nft add table ip causeway
nft add chain ip causeway prerouting
ip link add vx-other type vxlan id 77 dstport 4999 local 127.0.0.1";
    in_bed(&lab, "a/n1", &["sh", "-ec", strange]);
    let before = lab.node("a/n1").unwrap().snapshot().unwrap();
    link_once(&lab, &NODES);
    all_is_well(&lab);
    cleanup(&lab, "a/n1");
    let after = lab.node("a/n1").unwrap().snapshot().unwrap();
    assert_eq!(before.difference(&after), Vec::<String>::new());
}

#[test]
fn a_foreign_device_with_our_name_is_left_alone_and_named() {
    let lab = well("taken", "clusters: [{name: a, nodes: 2}, {name: b, nodes: 1}]");
    lab.node("a/n1").unwrap().agent(Action::Stop).unwrap();
    let take = "ip link del vx-bridge; ip link add vx-bridge type vxlan id 9 dstport 4990 local 127.0.0.1";
    in_bed(&lab, "a/n1", &["sh", "-ec", take]);
    lab.node("a/n1").unwrap().agent(Action::Start).unwrap();
    let path = "nodeconfigs/causeway-cluster-a/n1.status.yaml";
    let message = wait_for_condition(&lab, path, "Degraded", "True ForeignDevice");
    assert!(message.contains("vx-bridge"), "{message}");
    assert!(in_bed(&lab, "a/n1", &["ip", "-d", "link", "show", "vx-bridge"]).contains("id 9 "));
    in_bed(&lab, "a/n1", &["ip", "link", "del", "vx-bridge"]);
    all_is_well(&lab);
}

#[test]
fn once_and_dry_run_say_what_they_did() {
    let lab = well("once", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 1}]");
    let node = lab.node("a/n1").unwrap();
    node.agent(Action::Stop).unwrap();
    let run = |more: &str| agent(&lab, "a/n1", &[more]);
    assert_eq!(run("--dry-run").stdout, "");
    in_bed(&lab, "a/n1", &["ip", "link", "del", "vx-bridge"]);
    let steps = run("--dry-run").stdout;
    assert!(steps.contains("ip link add vx-bridge") && steps.contains("bridge fdb replace"), "{steps}");
    assert!(!in_bed(&lab, "a/n1", &["ip", "link"]).contains("vx-bridge"));
    assert!(run("--once").status.success());
    all_is_well(&lab);
    lab.fault(&Fault::Manager { action: Action::Stop }).unwrap();
    std::fs::remove_file(lab.objects().file("nodeconfigs", &"a".parse().unwrap(), "n1")).unwrap();
    let planless = run("--once");
    assert_eq!(planless.status.code(), Some(1));
    assert!(planless.stderr.contains("a/n1"), "{}", planless.stderr);
    let nonsense = run("--cluster");
    assert_eq!(nonsense.status.code(), Some(2), "{}", nonsense.stderr);
}

#[test]
fn a_gateway_that_dies_and_is_not_ready_is_replaced() {
    let lab = well("death", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 4, spec: {mode: Gateway}}]");
    let gateways = || object(&lab, "clusters/b.status.yaml").unwrap()["status"]["gateways"].clone();
    let before = gateways();
    let dead = before[0].as_str().unwrap().to_owned();
    let node: causeway_model::NodeId = format!("b/{dead}").parse().unwrap();
    lab.fault(&Fault::Kill { node: node.clone() }).unwrap();
    lab.objects().patch_node(&node, &json!({"ready": false})).unwrap();
    eventually("another gateway", || {
        let now = gateways();
        if now.to_string().contains(&format!("\"{dead}\"")) { Err(now.to_string()) } else { Ok(()) }
    });
    let alive = (1..=4).map(|n| format!("b/n{n}")).find(|n| *n != node.to_string()).unwrap();
    reaches(&lab, "a", &alive);
}
