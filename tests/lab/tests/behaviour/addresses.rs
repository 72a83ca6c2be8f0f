//! Names and addresses: what may be equal, what must not be, and what stays.

use std::collections::BTreeSet;

use causeway_lab::{Action, Fault, Lab};
use serde_json::{Value, json};

use crate::bed::{becomes_well, eventually, object, well};

/// The overlay addresses of a node.
fn overlay(lab: &Lab, cluster: &str, node: &str) -> Value {
    let path = format!("nodeconfigs/causeway-cluster-{cluster}/{node}.yaml");
    object(lab, &path).unwrap()["spec"]["overlay"].clone()
}

#[test]
fn names_that_are_equal_or_would_collide_when_joined_keep_apart() {
    let lab = well(
        "names",
        "clusters:
  - {name: a, nodes: [{name: b-c}, {name: n1}]}
  - {name: a-b, nodes: [{name: c}, {name: n1}]}",
    );
    let all: BTreeSet<String> = [("a", "b-c"), ("a", "n1"), ("a-b", "c"), ("a-b", "n1")]
        .map(|(cluster, node)| overlay(&lab, cluster, node).to_string())
        .into();
    assert_eq!(all.len(), 4);
}

#[test]
fn clusters_may_be_named_like_our_own_words() {
    well(
        "words",
        "clusters: [{name: service1, nodes: 1}, {name: default, nodes: 1}, {name: nodes, nodes: 1}, {name: shared, nodes: 1}]",
    );
}

#[test]
fn a_node_that_leaves_and_comes_back_is_reached_again_and_moves_nobody() {
    let lab = well("back", "clusters: [{name: a, nodes: 3}, {name: b, nodes: 1}]");
    let others = [overlay(&lab, "a", "n1"), overlay(&lab, "a", "n3")];
    let file = lab.objects().file("clusternodes", &"a".parse().unwrap(), "n2");
    let announced = lab.objects().read(&file).unwrap();
    lab.objects().remove_node(&"a/n2".parse().unwrap()).unwrap();
    eventually("its plan to go", || match object(&lab, "nodeconfigs/causeway-cluster-a/n2.yaml") {
        None => Ok(()),
        Some(_) => Err("still there".to_owned()),
    });
    lab.objects().write(&file, &announced).unwrap();
    becomes_well(&lab);
    assert_eq!([overlay(&lab, "a", "n1"), overlay(&lab, "a", "n3")], others);
}

#[test]
fn a_cluster_is_removed_and_added_again() {
    let lab = well("again", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 1}, {name: c, nodes: 1}]");
    let kept = overlay(&lab, "c", "n1");
    let (cluster, node) = (
        lab.objects().cluster_file(&"b".parse().unwrap()),
        lab.objects().file("clusternodes", &"b".parse().unwrap(), "n1"),
    );
    let (cluster_object, node_object) =
        (lab.objects().read(&cluster).unwrap(), lab.objects().read(&node).unwrap());
    lab.objects().remove_cluster(&"b".parse().unwrap()).unwrap();
    eventually("its plans and links to go", || {
        let left: Vec<&str> = [
            "clusterlinks/causeway-cluster-a/b.yaml",
            "nodeconfigs/causeway-cluster-b/n1.yaml",
            "peerslices/causeway-shared/b.nodes.0.yaml",
            "clusters/b.status.yaml",
        ]
        .into_iter()
        .filter(|path| object(&lab, path).is_some())
        .collect();
        if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) }
    });
    eventually("its routes to go", || {
        let routes = lab.exec("a/n1", &["ip", "route", "show", "table", "4876"]).unwrap().stdout;
        if routes.contains("10.2.") { Err(routes) } else { Ok(()) }
    });
    lab.objects().write(&cluster, &cluster_object).unwrap();
    lab.objects().write(&node, &node_object).unwrap();
    becomes_well(&lab);
    assert_eq!(overlay(&lab, "c", "n1"), kept);
}

#[test]
fn a_restarted_network_manager_changes_nothing_that_was_given() {
    let lab = well("manager", "clusters: [{name: a, nodes: 2, spec: {mode: Gateway}}, {name: b, nodes: 2}]");
    let plans = || {
        let of = |path: &str| object(&lab, path).unwrap();
        [
            of("nodeconfigs/causeway-cluster-a/n1.yaml")["spec"].clone(),
            of("nodeconfigs/causeway-cluster-b/n2.yaml")["spec"].clone(),
            of("clusterlinks/causeway-cluster-a/b.yaml"),
            of("peerslices/causeway-shared/b.nodes.0.yaml"),
            of("clusters/a.status.yaml"),
        ]
    };
    let before = plans();
    for _ in 0..2 {
        lab.fault(&Fault::Manager { action: Action::Kill }).unwrap();
        lab.objects().remove_node(&"b/n1".parse().unwrap()).unwrap();
        lab.fault(&Fault::Manager { action: Action::Start }).unwrap();
        eventually("the node to go", || match object(&lab, "nodeconfigs/causeway-cluster-b/n1.yaml") {
            None => Ok(()),
            Some(_) => Err("still there".to_owned()),
        });
        let file = lab.objects().file("clusternodes", &"b".parse().unwrap(), "n1");
        let spec =
            json!({"underlay": ["172.16.4.11", "fd20:1::b"], "podCIDRs": ["10.2.0.0/24", "fd10:2::/64"]});
        let metadata = json!({"name": "n1", "namespace": "causeway-cluster-b"});
        let node = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "ClusterNode", "metadata": metadata, "spec": spec});
        lab.objects().write(&file, &node).unwrap();
        becomes_well(&lab);
        assert_eq!(plans(), before);
    }
}
