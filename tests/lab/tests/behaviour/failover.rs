//! Gateways that die, come back, or only seem to: nodes decide on their own, with network-manager away.

use std::collections::BTreeSet;

use causeway_lab::{Action, Direction, Fault, Lab, PacketDrop, StreamOptions};
use causeway_model::NodeId;
use serde_json::Value;

use crate::bed::{eventually, linked, object, reaches, wait_for_condition};
use crate::common::in_bed;

/// A P2P cluster, and one with three gateways and a node that is none.
const YAML: &str = "clusters:
  - {name: a, nodes: 2}
  - name: b
    nodes:
      - {name: g1, labels: {role: edge}}
      - {name: g2, labels: {role: edge}}
      - {name: g3, labels: {role: edge}}
      - {name: in}
    spec: {mode: Gateway, gateways: {count: 3, nodeSelector: {matchLabels: {role: edge}}}}";
/// The nodes that use the gateways of b: from outside and from inside.
const USERS: [&str; 3] = ["a/n1", "a/n2", "b/in"];
/// What an agent logs of a gateway that it takes out of use.
const DEAD: &str = "it leaves its groups";

/// A bed where everybody uses all gateways, and the manager is away.
fn bed(test: &str) -> Lab {
    let lab = linked(test, YAML);
    all_reach(&lab);
    lab.fault(&Fault::Manager { action: Action::Stop }).unwrap();
    use_gateways(&lab, &["g1", "g2", "g3"]);
    lab
}

fn all_reach(lab: &Lab) {
    reaches(lab, "a", "b/in");
    reaches(lab, "b/in", "a");
}

fn id(gateway: &str) -> NodeId {
    format!("b/{gateway}").parse().unwrap()
}

fn kill(lab: &Lab, gateway: &str) {
    lab.fault(&Fault::Kill { node: id(gateway) }).unwrap();
}

fn addresses(lab: &Lab, gateway: &str) -> Vec<String> {
    let config = object(lab, &format!("nodeconfigs/causeway-cluster-b/{gateway}.yaml")).unwrap();
    let overlay = config["spec"]["overlay"].as_array().unwrap();
    overlay.iter().map(|address| address.as_str().unwrap().to_owned()).collect()
}

/// The overlay addresses of b's gateways, of both families, that are in groups on a node.
fn in_groups(lab: &Lab, node: &str) -> BTreeSet<String> {
    let shown = in_bed(lab, node, &["ip", "-j", "nexthop", "show", "protocol", "197"]);
    let hops: Vec<Value> = serde_json::from_str(&shown).unwrap();
    let members = hops.iter().filter_map(|hop| hop["group"].as_array()).flatten();
    let members: BTreeSet<u64> = members.filter_map(|member| member["id"].as_u64()).collect();
    let member = hops.iter().filter(|hop| hop["id"].as_u64().is_some_and(|id| members.contains(&id)));
    let all: BTreeSet<String> = ["g1", "g2", "g3"].iter().flat_map(|g| addresses(lab, g)).collect();
    let gateways = member.filter_map(|hop| hop["gateway"].as_str().map(str::to_owned));
    gateways.filter(|gateway| all.contains(gateway)).collect()
}

/// Waits until all users have just these gateways in their groups.
fn use_gateways(lab: &Lab, gateways: &[&str]) {
    let wanted: BTreeSet<String> = gateways.iter().flat_map(|gateway| addresses(lab, gateway)).collect();
    eventually(&format!("{gateways:?} in all groups"), || {
        let wrong = USERS.iter().map(|node| (node, in_groups(lab, node)));
        let wrong: Vec<_> = wrong.filter(|(_, there)| *there != wanted).collect();
        if wrong.is_empty() { Ok(()) } else { Err(format!("{wrong:?}")) }
    });
}

fn logged(lab: &Lab, what: &str) -> usize {
    let lines = |node: &&str| {
        let log = lab.log(Some(&node.parse().unwrap())).unwrap();
        log.lines().filter(|line| line.contains(what)).count()
    };
    USERS.iter().map(lines).sum()
}

#[test]
fn traffic_leaves_gateways_that_die_and_uses_one_that_comes_back() {
    let lab = bed("failover");
    // Requests go over a gateway that cluster a chose, replies over one that b's inner node chose.
    let stream =
        lab.stream(&StreamOptions::new("a/n1/p1".parse().unwrap(), "b/in/p1".parse().unwrap())).unwrap();
    for (killed, left) in [("g1", &["g2", "g3"][..]), ("g2", &["g3"])] {
        kill(&lab, killed);
        use_gateways(&lab, left);
        all_reach(&lab);
    }
    // It names the first one alone until the second is found to be dead as well.
    let path = "nodeconfigs/causeway-cluster-a/n1.status.yaml";
    eventually("both to be named", || {
        let message = wait_for_condition(&lab, path, "GatewaysReachable", "True SomeGatewaysSilent");
        let both = message.contains("g1") && message.contains("g2") && !message.contains("g3");
        if both { Ok(()) } else { Err(message) }
    });
    lab.fault(&Fault::Revive { node: id("g1") }).unwrap();
    use_gateways(&lab, &["g1", "g3"]);
    kill(&lab, "g3");
    use_gateways(&lab, &["g1"]);
    all_reach(&lab);
    let report = stream.finish().unwrap();
    // Three gateways died, each of which may have carried it; after the last one, too, it went on.
    assert!(report.sent() > 0 && report.outages().all(|outage| outage.ended), "{report:?}");
    assert!(
        logged(&lab, "b gateway=g1") + logged(&lab, "\"gateway\":\"g1\"") >= 3,
        "each node logs each change"
    );
}

#[test]
fn groups_stay_as_they_are_when_no_gateway_answers() {
    let lab = bed("silent");
    let node = lab.node("a/n1").unwrap();
    let before = node.snapshot().unwrap();
    let (a, b) = ("a".parse().unwrap(), "b".parse().unwrap());
    lab.fault(&Fault::Partition { one: a, other: b }).unwrap();
    let path = "nodeconfigs/causeway-cluster-a/n1.status.yaml";
    let message = wait_for_condition(&lab, path, "GatewaysReachable", "False AllGatewaysSilent");
    for gateway in ["g1", "g2", "g3"] {
        assert!(message.contains(gateway), "{message}");
    }
    assert_eq!(before.difference(&node.snapshot().unwrap()), Vec::<String>::new());
    lab.fault(&Fault::Heal).unwrap();
    wait_for_condition(&lab, path, "GatewaysReachable", "True AllGatewaysAnswer");
    all_reach(&lab);
    assert_eq!(before.difference(&node.snapshot().unwrap()), Vec::<String>::new());
    assert_eq!(logged(&lab, DEAD), 0);
}

#[test]
fn a_gateway_without_its_agent_stays_in_use() {
    let lab = bed("agentless");
    lab.node("b/g1").unwrap().agent(Action::Stop).unwrap();
    // While one that is dead was found to be so, the other was probed as often.
    kill(&lab, "g2");
    use_gateways(&lab, &["g1", "g3"]);
    kill(&lab, "g3");
    use_gateways(&lab, &["g1"]);
    all_reach(&lab);
}

#[test]
fn a_gateway_that_loses_packets_stays_in_use_and_one_that_dies_then_is_found() {
    let lab = bed("lossy");
    let drop = PacketDrop { node: id("g1"), share: 20, direction: Direction::Both };
    lab.fault(&Fault::Drop(drop)).unwrap();
    // As many packets as 100 probes, each answered or not.
    let lossy = &addresses(&lab, "g1")[0];
    let output = lab.exec("a/n1", &["ping", "-n", "-c", "100", "-i", "0.1", "-W", "1", lossy]).unwrap();
    assert!(!output.stdout.contains(" 0% packet loss"), "packets are lost: {}", output.stdout);
    assert_eq!(logged(&lab, DEAD), 0);
    use_gateways(&lab, &["g1", "g2", "g3"]);
    kill(&lab, "g2");
    use_gateways(&lab, &["g1", "g3"]);
}
