//! Faults do what they say and are seen by checks and streams; a bed changes while it is up; a
//! snapshot shows what changed.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

mod common;

use causeway_lab::{CheckOptions, Direction, Fault, Lab, LinkState, PacketDrop, StreamOptions, wait_until};
use causeway_model::NodeId;
use common::{LIMIT, bare, in_bed};

const THREE: &str = "clusters: [{name: a, nodes: 3}, {name: b, nodes: 1}]";

fn node(name: &str) -> NodeId {
    name.parse().unwrap()
}

/// Which of the pods of cluster a reach which, as `n1>n2`.
fn reached(lab: &Lab) -> Vec<String> {
    let pods: Vec<String> = (1..=3).map(|n| format!("a/n{n}/p1")).collect();
    let options =
        CheckOptions { inside: true, quick: true, timeout: Some(400), from: pods.clone(), to: pods };
    let report = lab.check(&options).unwrap();
    let v4 =
        report.checks.iter().filter(|c| c.probe.family == causeway_model::Family::V4 && c.answer().is_some());
    let name = |e: &causeway_lab::Endpoint| e.node().unwrap().node.to_string();
    let mut pairs: Vec<String> =
        v4.map(|c| format!("{}>{}", name(&c.probe.from), name(&c.probe.to))).collect();
    pairs.sort();
    pairs
}

const ALL: [&str; 6] = ["n1>n2", "n1>n3", "n2>n1", "n2>n3", "n3>n1", "n3>n2"];

#[test]
fn a_link_goes_down_and_comes_back_and_nothing_is_expected_of_a_dead_node() {
    let lab = bare("link", THREE);
    lab.fault(&Fault::Link { node: node("a/n2"), state: LinkState::Down }).unwrap();
    assert_eq!(reached(&lab), ["n1>n3", "n3>n1"]);
    assert!(!lab.exec("a/n1", &["ping", "-c1", "-W1", "172.16.0.12"]).unwrap().status.success());
    lab.fault(&Fault::Link { node: node("a/n2"), state: LinkState::Up }).unwrap();
    wait_until("all pairs", LIMIT, || {
        let now = reached(&lab);
        Ok(if now == ALL { Ok(()) } else { Err(format!("{now:?}")) })
    })
    .unwrap();
    lab.fault(&Fault::Kill { node: node("a/n3") }).unwrap();
    assert_eq!(reached(&lab), ["n1>n2", "n2>n1"]);
    assert!(lab.fault(&Fault::Kill { node: node("a/n9") }).is_err());
}

#[test]
fn packets_are_dropped_in_the_direction_asked_for_until_healed() {
    let lab = bare("drop", THREE);
    let drop = |share, direction| Fault::Drop(PacketDrop { node: node("a/n1"), share, direction });
    for direction in [Direction::From, Direction::To, Direction::Both] {
        lab.fault(&drop(100, direction)).unwrap();
        assert_eq!(reached(&lab), ["n2>n3", "n3>n2"], "{direction:?}");
        let rules = in_bed(&lab, "underlay", &["nft", "list", "table", "bridge", "causeway-lab-faults"]);
        assert_eq!(rules.contains("iifname"), direction != Direction::To, "{rules}");
        assert_eq!(rules.contains("oifname"), direction != Direction::From, "{rules}");
        lab.fault(&Fault::Heal).unwrap();
        assert_eq!(reached(&lab), ALL);
    }
    assert!(lab.node("a/n1").unwrap().snapshot().unwrap().0["nftables"].to_string().find("faults").is_none());
}

#[test]
fn a_partition_parts_clusters_and_leaves_each_whole() {
    let lab = bare("partition", THREE);
    let far = ["ping", "-c1", "-W1", "172.16.4.11"];
    in_bed(&lab, "a/n1", &far);
    lab.fault(&Fault::Partition { one: "a".parse().unwrap(), other: "b".parse().unwrap() }).unwrap();
    assert!(!lab.exec("a/n1", &far).unwrap().status.success());
    assert!(!lab.exec("a/n1", &["ping", "-c1", "-W1", "fd20:1::b"]).unwrap().status.success());
    assert_eq!(reached(&lab), ALL);
    lab.fault(&Fault::Heal).unwrap();
    in_bed(&lab, "a/n1", &far);
}

#[test]
fn a_stream_counts_what_a_fault_loses_and_nothing_else() {
    let lab = bare("stream", THREE);
    let options = StreamOptions::new("a/n1/p1".parse().unwrap(), "a/n2/p1".parse().unwrap());
    let (hit, spared) = (
        lab.stream(&options).unwrap(),
        lab.stream(&StreamOptions { to: "a/n3/p1".parse().unwrap(), ipv6: true, ..options }).unwrap(),
    );
    lab.fault(&Fault::Link { node: node("a/n2"), state: LinkState::Down }).unwrap();
    lab.fault(&Fault::Link { node: node("a/n2"), state: LinkState::Up }).unwrap();
    lab.fault(&Fault::Drop(PacketDrop { node: node("a/n2"), share: 100, direction: Direction::Both }))
        .unwrap();
    assert_eq!(reached(&lab), ["n1>n3", "n3>n1"]);
    lab.fault(&Fault::Heal).unwrap();
    assert_eq!(reached(&lab), ALL);
    let (hit, spared) = (hit.finish().unwrap(), spared.finish().unwrap());
    assert_eq!((hit.flows.len(), spared.flows.len()), (9, 9));
    assert!(hit.lost() > 0 && hit.lost() < hit.sent(), "{hit:?}");
    // The check of all pairs alone waited 400 ms for those that were cut off.
    assert!(hit.longest_gap().as_millis() >= 300, "{hit:?}");
    assert_eq!((spared.lost(), spared.broken_connections()), (0, 0), "{spared:?}");
    assert!(spared.sent() > 100);
    let unanswered = lab.stream(&StreamOptions::new("a/n1/p1".parse().unwrap(), "a/n9/p1".parse().unwrap()));
    assert!(unanswered.is_err());
}

#[test]
fn nodes_join_and_leave_a_bed_that_is_up() {
    let lab = bare(
        "join",
        "clusters: [{name: a, nodes: 1}, {name: v, nodes: 2, cni: vxlan}, {name: w, nodes: 1, cni: cluster-wide}]",
    );
    let fine = || {
        let report =
            lab.check(&CheckOptions { inside: true, quick: true, ..CheckOptions::default() }).unwrap();
        assert!(report.is_fine(), "{}", report.to_table());
        report.checks.len()
    };
    let before = fine();
    let snapshots: Vec<_> =
        ["a/n1", "v/n1", "w/n1"].iter().map(|n| lab.node(n).unwrap().snapshot().unwrap()).collect();
    let mut added = Vec::new();
    for cluster in ["a", "v", "w"] {
        added.push(lab.add_node(&cluster.parse().unwrap(), "{pods: 2, zone: z1}").unwrap());
    }
    assert_eq!(added[1].to_string(), "v/n3");
    assert!(fine() > before);
    let object = lab.objects().file("clusternodes", &"v".parse().unwrap(), "n3");
    assert_eq!(lab.objects().read(&object).unwrap()["spec"]["podCIDRs"][0], "10.2.2.0/24");
    for id in &added {
        lab.remove_node(id).unwrap();
    }
    assert!(!object.exists());
    assert_eq!(fine(), before);
    for (name, before) in ["a/n1", "v/n1", "w/n1"].iter().zip(snapshots) {
        let after = lab.node(name).unwrap().snapshot().unwrap();
        assert_eq!(before.difference(&after), Vec::<String>::new(), "{name}");
    }
    let wrong = lab.add_node(&"a".parse().unwrap(), "{pod: 2}").unwrap_err();
    assert!(wrong.to_string().contains("pod"), "{wrong}");
}

#[test]
fn a_snapshot_is_the_same_until_something_changes() {
    let lab = bare("snapshot", "clusters: [{name: v, nodes: 2, cni: vxlan}]");
    let n1 = lab.node("v/n1").unwrap();
    let before = n1.snapshot().unwrap();
    assert!(lab.check(&CheckOptions { inside: true, ..CheckOptions::default() }).unwrap().is_fine());
    assert_eq!(before.difference(&n1.snapshot().unwrap()), Vec::<String>::new());
    for (undo, change) in [
        ("ip route del 192.0.2.0/24", "ip route add 192.0.2.0/24 dev eth0"),
        ("ip rule del priority 77", "ip rule add priority 77 lookup main"),
        ("sysctl -qw net.ipv4.conf.eth0.rp_filter=1", "sysctl -qw net.ipv4.conf.eth0.rp_filter=2"),
        ("nft delete table inet strange", "nft add table inet strange"),
        (
            "bridge fdb del 02:00:00:00:00:01 dev flannel.1 dst 192.0.2.1 self",
            "bridge fdb append 02:00:00:00:00:01 dev flannel.1 dst 192.0.2.1 self",
        ),
        (
            "ip neigh del 192.0.2.9 dev eth0",
            "ip neigh add 192.0.2.9 lladdr 02:00:00:00:00:02 dev eth0 nud permanent",
        ),
        ("ip link set eth0 mtu 1500", "ip link set eth0 mtu 1400"),
    ] {
        in_bed(&lab, "v/n1", &["sh", "-c", change]);
        assert!(!before.difference(&n1.snapshot().unwrap()).is_empty(), "{change}");
        in_bed(&lab, "v/n1", &["sh", "-c", undo]);
        assert_eq!(before.difference(&n1.snapshot().unwrap()), Vec::<String>::new(), "{undo}");
    }
}
