//! The fast path on whole nodes: it follows the node's own setting, and nobody who talks notices.

use causeway_lab::{Action, CheckOptions, Fault, Lab, StreamOptions};

use crate::bed::{all_is_well, eventually, passes, well};
use crate::common::in_bed;

const BED: &str = "clusters: [{name: a, nodes: 2, cni: vxlan}, {name: b, nodes: 1, cni: vxlan}]";
const NODES: [&str; 3] = ["a/n1", "a/n2", "b/n1"];
const GATEWAYS: &str = "clusters:
  - {name: a, nodes: 1, cni: vxlan}
  - name: b
    cni: vxlan
    nodes: [{name: g1, labels: {role: edge}}, {name: g2, labels: {role: edge}}, {name: in}]
    spec: {mode: Gateway, gateways: {count: 2, nodeSelector: {matchLabels: {role: edge}}}}";

/// Has connection tracking of these nodes take sequence numbers as they come, or not.
fn liberal(lab: &Lab, nodes: &[&str], on: bool) {
    for node in nodes {
        lab.track_liberally(node, on).unwrap();
    }
}

/// The table of the fast path; empty if there is none.
fn table(lab: &Lab, node: &str) -> String {
    lab.exec(node, &["nft", "list", "table", "netdev", "causeway"]).unwrap().stdout
}

fn every_node_has_one(lab: &Lab, nodes: &[&str], wanted: bool) {
    eventually("the fast path of every node", || {
        let wrong: Vec<&&str> = nodes.iter().filter(|node| table(lab, node).is_empty() == wanted).collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?}")) }
    });
}

/// Waits until one of the nodes, or another one, has flows of each of these protocols in each of these maps.
fn flows_are_known(lab: &Lab, nodes: &[&str], maps: &[&str], protocols: &[&str]) {
    for map in maps {
        eventually(&format!("{protocols:?} in {map} of {nodes:?}"), || {
            let tables: Vec<String> = nodes.iter().map(|node| table(lab, node)).collect();
            let behind = tables.iter().filter_map(|table| table.split_once(&format!("{map} {{")));
            let flows: Vec<&str> = behind.filter_map(|(_, behind)| behind.split("\n\t}").next()).collect();
            let has = |protocol: &&str| flows.iter().any(|flows| flows.contains(&format!(". {protocol} .")));
            if protocols.iter().all(has) { Ok(()) } else { Err(flows.concat()) }
        });
    }
}

/// Packets that this pod's TCP and UDP found damaged, by their names in the kernel's statistics.
fn damaged(lab: &Lab, pod: &str) -> Vec<String> {
    let text = in_bed(lab, pod, &["cat", "/proc/net/snmp", "/proc/net/snmp6"]);
    let lines: Vec<&str> = text.lines().collect();
    let v4 = lines.windows(2).filter(|pair| pair[0].starts_with("Tcp:") || pair[0].starts_with("Udp:"));
    let v4 = v4.flat_map(|pair| pair[0].split(' ').zip(pair[1].split(' ')));
    let v6 = lines.iter().filter_map(|line| line.split_once(char::is_whitespace));
    let all = v4.chain(v6.map(|(name, value)| (name, value.trim())));
    let errors = all.filter(|(name, value)| name.ends_with("InCsumErrors") && *value != "0");
    errors.map(|(name, value)| format!("{pod}: {name} {value}")).collect()
}

#[test]
fn it_comes_with_the_nodes_setting_and_stays_with_agents_that_restart_and_no_packet_is_lost() {
    let lab = well("fast", BED);
    every_node_has_one(&lab, &NODES, false);
    let (from, to) = ("a/n1/p1".parse().unwrap(), "b/n1/p1".parse().unwrap());
    let base = StreamOptions { flows: 2, ..StreamOptions::new(from, to) };
    let streams = [false, true].map(|ipv6| lab.stream(&StreamOptions { ipv6, ..base.clone() }).unwrap());
    liberal(&lab, &NODES, true);
    every_node_has_one(&lab, &NODES, true);
    for node in ["a/n1", "b/n1"] {
        flows_are_known(&lab, &[node], &["outbound4", "inbound4", "outbound6", "inbound6"], &["tcp", "udp"]);
    }
    for node in NODES {
        lab.node(node).unwrap().agent(Action::Kill).unwrap();
        lab.node(node).unwrap().agent(Action::Start).unwrap();
    }
    // A pod more: the agents are there again.
    in_bed(
        &lab,
        "a/n1",
        &["sh", "-ec", "ip link add veth9 type veth peer name pod9; ip link set veth9 master cni0"],
    );
    eventually("the port of a new pod", || {
        let table = table(&lab, "a/n1");
        if table.contains("veth9") { Ok(()) } else { Err(table) }
    });
    for stream in streams {
        let report = stream.finish().unwrap();
        assert_eq!((report.lost(), report.broken_connections()), (0, 0), "{report:?}");
    }
    // Packets of full size too, in every protocol and family.
    all_is_well(&lab);
    let damaged: Vec<String> = ["a/n1/p1", "b/n1/p1"].iter().flat_map(|pod| damaged(&lab, pod)).collect();
    assert_eq!(damaged, Vec::<String>::new());
}

#[test]
fn it_goes_with_the_nodes_setting_and_what_others_do_to_it_is_put_right() {
    let lab = well("fast-off", BED);
    liberal(&lab, &NODES, true);
    every_node_has_one(&lab, &NODES, true);
    in_bed(&lab, "b/n1", &["nft", "delete", "table", "netdev", "causeway"]);
    every_node_has_one(&lab, &NODES, true);
    in_bed(&lab, "b/n1", &["nft", "flush", "chain", "netdev", "causeway", "from_tunnel"]);
    eventually("the chain to be whole", || {
        let table = table(&lab, "b/n1");
        if table.matches("fwd").count() == 8 { Ok(()) } else { Err(table) }
    });
    // It gets another index: flows are led to that.
    in_bed(&lab, "b/n1", &["ip", "link", "delete", "vx-bridge"]);
    all_is_well(&lab);
    let (from, to) = ("a/n2/p1".parse().unwrap(), "b/n1/p1".parse().unwrap());
    let stream = lab.stream(&StreamOptions { tcp: false, ..StreamOptions::new(from, to) }).unwrap();
    for node in ["a/n2", "b/n1"] {
        flows_are_known(&lab, &[node], &["outbound4", "inbound4"], &["udp"]);
    }
    liberal(&lab, &NODES, false);
    every_node_has_one(&lab, &NODES, false);
    let report = stream.finish().unwrap();
    assert_eq!(report.lost(), 0, "{report:?}");
    all_is_well(&lab);
}

#[test]
fn it_leads_through_gateways_and_leaves_one_that_dies() {
    const NODES: [&str; 4] = ["a/n1", "b/g1", "b/g2", "b/in"];
    const BOTH: [&str; 2] = ["tcp", "udp"];
    let lab = well("fast-gateways", GATEWAYS);
    let (from, to) = ("a/n1/p1".parse().unwrap(), "b/in/p1".parse().unwrap());
    let base = StreamOptions { flows: 4, ..StreamOptions::new(from, to) };
    let streams = || [false, true].map(|ipv6| lab.stream(&StreamOptions { ipv6, ..base.clone() }).unwrap());
    let all_are_known = || {
        flows_are_known(&lab, &["a/n1"], &["outbound4", "inbound4", "outbound6", "inbound6"], &BOTH);
        flows_are_known(&lab, &["b/g1", "b/g2"], &["transit4", "onward4", "transit6", "onward6"], &BOTH);
        flows_are_known(&lab, &["b/in"], &["outbound4", "outbound6"], &BOTH);
    };
    let running = streams();
    liberal(&lab, &NODES, true);
    every_node_has_one(&lab, &NODES, true);
    all_are_known();
    for node in NODES {
        lab.node(node).unwrap().agent(Action::Kill).unwrap();
        lab.node(node).unwrap().agent(Action::Start).unwrap();
    }
    for stream in running {
        let report = stream.finish().unwrap();
        assert_eq!((report.lost(), report.broken_connections()), (0, 0), "{report:?}");
    }
    all_is_well(&lab);
    let running = streams();
    all_are_known();
    lab.fault(&Fault::Kill { node: "b/g1".parse().unwrap() }).unwrap();
    passes(
        &lab,
        &CheckOptions {
            from: vec!["a/n1".to_owned()],
            to: vec!["b/in".to_owned()],
            ..CheckOptions::default()
        },
    );
    flows_are_known(&lab, &["b/g2"], &["transit4", "onward4", "transit6", "onward6"], &BOTH);
    for stream in running {
        let report = stream.finish().unwrap();
        assert!(report.sent() > 0 && report.outages().all(|outage| outage.ended), "{report:?}");
        assert_eq!(report.broken_connections(), 0, "{report:?}");
    }
}
