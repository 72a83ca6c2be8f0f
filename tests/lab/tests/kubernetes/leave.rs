//! A cluster that leaves.

use std::path::Path;

use causeway_lab::{CheckOptions, Lab, Programs};
use serde_json::Value;

use crate::bed::{eventually, get, names, well};
use crate::common::{PROGRAM, in_bed, topology};

const THREE: &str = "clusters: [{name: east, nodes: 2}, {name: north, nodes: 1}, {name: west, nodes: 1, spec: {mode: Gateway}}]";

/// What a node's settings and rules are before Causeway comes, in a bed that is the same without it. Devices
/// have random addresses there and here.
fn untouched() -> Value {
    let yaml = format!("controlPlane: kubernetes\n{THREE}");
    let lab = Lab::up(PROGRAM, topology("leave-bare", &yaml), Programs::None).unwrap();
    settings(&lab, "east/n1")
}

fn settings(lab: &Lab, node: &str) -> Value {
    let state = lab.node(node).unwrap().snapshot().unwrap().0;
    ["sysctls", "rules4", "rules6"].into_iter().map(|part| state[part].clone()).collect()
}

#[test]
fn a_cluster_leaves_clean_nodes_and_a_network_without_it() {
    let before = untouched();
    let lab = well("leave", THREE);
    let program = Path::new(PROGRAM).with_file_name("causeway");
    let file = |name: &str| format!("/run/causeway-lab/kubernetes/{name}-admin.conf");
    let leave = [
        program.to_str().unwrap(),
        "leave",
        "--cluster",
        "east",
        "--kubeconfig",
        &file("cluster-east"),
        "--hub-kubeconfig",
        &file("hub"),
        "--timeout",
        "60",
    ];
    in_bed(&lab, "underlay", &leave);

    assert_eq!(names(&lab, "hub", &["clusters"]), ["north", "west"]);
    let left = get(&lab, "hub", &["-A", "nodeconfigs,clusterlinks,peerslices"]).to_string();
    assert!(!left.contains("causeway-cluster-east") && !left.contains("east.nodes"), "{left}");
    eventually("the namespace of the cluster to be gone", || {
        let there = names(&lab, "hub", &["namespaces"]);
        if there.contains(&"causeway-cluster-east".to_owned()) { Err(format!("{there:?}")) } else { Ok(()) }
    });
    for node in ["east/n1", "east/n2"] {
        assert_eq!(settings(&lab, node), before, "{node}");
        assert_eq!(std::fs::read_dir(lab.directory().join("state").join(node)).unwrap().count(), 0, "{node}");
        let state = lab.node(node).unwrap().snapshot().unwrap().0.to_string();
        for mark in ["vx-", "causeway", r#""4876""#, r#""197""#, "198.18."] {
            assert!(!state.contains(mark), "{mark} is left on {node}: {state}");
        }
    }
    let others = CheckOptions {
        from: vec!["north".to_owned(), "west".to_owned()],
        to: vec!["north".to_owned(), "west".to_owned()],
        ..CheckOptions::default()
    };
    let report = lab.check(&others).unwrap();
    assert!(report.is_fine(), "{}", report.to_table());
}
