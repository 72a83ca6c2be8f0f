//! Networks of clusters by the programs that clusters have: prefixes from kube-controller-manager, flannel, pods
//! through the CNI plugins, Services through kube-proxy in both of its modes; on the newest Kubernetes and on the
//! oldest.

use causeway_lab::{CheckOptions, Lab};
use causeway_model::NodeId;
use serde_json::{Value, json};

use crate::bed::{becomes, becomes_well, get, kubectl, names, well};
use crate::common::in_bed;

const CLUSTERS: &str = r#"
clusters:
  - {name: east, cni: flannel, kubeProxy: nftables, nodes: 2}
  - {name: west, cni: flannel, kubeProxy: iptables, nodes: 2, spec: {mode: Gateway, gateways: {count: 1}}}
  - {name: north, kubeProxy: nftables, nodes: 1}
"#;

fn server_version(lab: &Lab, server: &str) -> String {
    let text = kubectl(lab, server, &["version", "-o", "json"]);
    let version: Value = serde_json::from_str(&text).unwrap();
    let of = |field: &str| version["serverVersion"][field].as_str().unwrap().to_owned();
    format!("{}.{}", of("major"), of("minor"))
}

/// The rules of flannel and kube-proxy of a node, without counters.
fn rules_of_others(lab: &Lab, node: &str) -> String {
    let all = in_bed(lab, node, &["nft", "-s", "list", "ruleset"]);
    let mut ours = false;
    let mut kept = String::new();
    for line in all.lines() {
        ours = (ours || line.starts_with("table inet causeway")) && line != "}";
        if !ours && !line.contains("causeway") {
            kept.push_str(line);
            kept.push('\n');
        }
    }
    kept
}

fn follows_its_clusters(version: &str, expected: &str) {
    let lab = well(&format!("real-{version}"), &format!("kubernetes: {version}\n{CLUSTERS}"));
    for server in ["hub", "east", "west"] {
        assert_eq!(server_version(&lab, server), expected);
    }
    // What carries the clusters is what was asked for.
    assert!(in_bed(&lab, "east/n1", &["ip", "-br", "link"]).contains("flannel.1"));
    assert!(rules_of_others(&lab, "east/n1").contains("chain service-"), "kube-proxy in its nftables mode");
    let iptables = in_bed(&lab, "west/n1", &["iptables", "-t", "nat", "-S"]);
    assert!(iptables.contains("KUBE-SVC-") && iptables.contains("FLANNEL-POSTRTG"), "{iptables}");
    let cni = &get(&lab, "hub", &["cluster", "west"])["status"]["cni"];
    assert!(cni.to_string().contains("lannel"), "{cni}");
    // Pods reach each other inside their clusters as before.
    let inside = CheckOptions { inside: true, ..CheckOptions::default() };
    let report = lab.check(&inside).unwrap();
    assert!(report.is_fine(), "{}", report.to_table());

    // A node joins, and gets its prefixes from kube-controller-manager.
    let node: NodeId = lab.add_node(&"east".parse().unwrap(), "{}").unwrap();
    becomes_well(&lab);
    // One is drained: Services go on without its pods.
    let name = node.node.as_str();
    kubectl(&lab, "east", &["drain", name, "--force", "--grace-period=0", "--timeout=60s"]);
    becomes_well(&lab);
    // And it goes.
    kubectl(&lab, "east", &["uncordon", name]);
    lab.remove_node(&node).unwrap();
    becomes("the node to be gone at the hub", vec!["n1".to_owned(), "n2".to_owned()], || {
        names(&lab, "hub", &["clusternodes", "-n", "causeway-cluster-east"])
    });
    becomes_well(&lab);

    // A gateway that is cordoned gives way to another before it goes down.
    let gateways = || get(&lab, "hub", &["cluster", "west"])["status"]["gateways"].clone();
    let first = gateways()[0].as_str().unwrap().to_owned();
    let other = if first == "n1" { "n2" } else { "n1" };
    kubectl(&lab, "west", &["cordon", &first]);
    becomes("the other node to be the gateway", json!([other]), gateways);
    becomes_well(&lab);

    // Modes change under all of it.
    for (cluster, mode) in [("east", "Gateway"), ("west", "P2P")] {
        let patch = json!({"spec": {"mode": mode}}).to_string();
        kubectl(&lab, "hub", &["patch", "cluster", cluster, "--type=merge", "-p", &patch]);
    }
    becomes("west to be reached straight", json!("Nodes"), || {
        get(&lab, "hub", &["clusterlink", "west", "-n", "causeway-cluster-east"])["spec"]["via"].clone()
    });
    becomes("east to be reached through gateways", json!("Gateways"), || {
        get(&lab, "hub", &["clusterlink", "east", "-n", "causeway-cluster-west"])["spec"]["via"].clone()
    });
    becomes_well(&lab);
}

#[test]
fn networks_of_flannel_and_kube_proxy_are_linked_on_the_newest_kubernetes() {
    follows_its_clusters("newest", "1.37");
}

#[test]
fn networks_of_flannel_and_kube_proxy_are_linked_on_the_oldest_kubernetes() {
    follows_its_clusters("oldest", "1.33");
}
