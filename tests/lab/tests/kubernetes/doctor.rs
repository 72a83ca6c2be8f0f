//! `causeway doctor` through the API servers of the clusters, from one kubeconfig.

use std::path::Path;

use causeway_lab::Lab;
use serde_json::{Value, json};

use crate::bed::{becomes, kubectl, names, well};
use crate::common::{PROGRAM, in_bed};

/// A file of the bed, as it is called there.
const KUBECONFIG: &str = "/run/causeway-lab/doctor.conf";

/// Writes one kubeconfig with a context for each of these servers.
fn one_kubeconfig(lab: &Lab, servers: &[&str]) {
    let (mut clusters, mut users, mut contexts) = (Vec::new(), Vec::new(), Vec::new());
    for server in servers {
        let text = kubectl(lab, server, &["config", "view", "--raw", "--flatten", "-o", "json"]);
        let config: Value = serde_json::from_str(&text).unwrap();
        clusters.push(json!({"name": server, "cluster": config["clusters"][0]["cluster"]}));
        users.push(json!({"name": server, "user": config["users"][0]["user"]}));
        contexts.push(json!({"name": server, "context": {"cluster": server, "user": server}}));
    }
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": servers[0],
        "clusters": clusters, "users": users, "contexts": contexts,
    });
    std::fs::write(lab.directory().join("doctor.conf"), config.to_string()).unwrap();
}

/// Exit code and what is said.
fn doctor(lab: &Lab, contexts: &[&str]) -> (Option<i32>, Value) {
    doctor_with(lab, contexts, &[])
}

/// The same, with more arguments.
fn doctor_with(lab: &Lab, contexts: &[&str], more: &[&str]) -> (Option<i32>, Value) {
    let program = Path::new(PROGRAM).with_file_name("causeway").display().to_string();
    let mut command = vec![program.as_str(), "doctor", "-o", "json", "--kubeconfig", KUBECONFIG];
    contexts.iter().for_each(|context| command.extend(["--context", context]));
    command.extend(more);
    let output = lab.exec("underlay", &command).unwrap();
    let said = serde_json::from_str(&output.stdout);
    (output.status.code(), said.unwrap_or_else(|error| panic!("{error}: {}{}", output.stdout, output.stderr)))
}

fn codes(said: &Value) -> Vec<&str> {
    said["findings"].as_array().unwrap().iter().map(|one| one["code"].as_str().unwrap()).collect()
}

/// What is said to somebody who may read and not ask.
fn without_rights(lab: &Lab) -> String {
    let resources = "--resource=nodeconfigs.causeway.dev,clusterlinks.causeway.dev,peerslices.causeway.dev,diagnoses.causeway.dev";
    kubectl(lab, "east", &["create", "clusterrole", "reader", "--verb=get,list", resources]);
    kubectl(
        lab,
        "east",
        &["create", "clusterrolebinding", "reader", "--clusterrole=reader", "--user=reader"],
    );
    let file = lab.directory().join("doctor.conf");
    let whole = std::fs::read_to_string(&file).unwrap();
    let mut config: Value = serde_json::from_str(&whole).unwrap();
    config["users"][0]["user"]["as"] = json!("reader");
    std::fs::write(&file, config.to_string()).unwrap();
    let (exit, said) = doctor(lab, &["east"]);
    std::fs::write(&file, whole).unwrap();
    assert!(exit == Some(1) && codes(&said) == ["CW1005"], "{said:#}");
    said.to_string()
}

/// How the connections of a node ended.
fn services(said: &Value, node: &str) -> Vec<Value> {
    let nodes = said["nodes"].as_array().unwrap();
    let found = nodes.iter().find(|one| one["node"] == node).unwrap();
    found["services"].as_array().cloned().unwrap_or_default()
}

/// That of each API server is tried without being named; one without endpoints is refused, and so was translated.
fn services_of_real_kube_proxies(lab: &Lab) {
    for server in ["east", "west"] {
        kubectl(lab, server, &["create", "service", "clusterip", "lonely", "--tcp=80:80"]);
    }
    let lonely = ["east", "west"].map(|server| {
        let address = kubectl(lab, server, &["get", "service", "lonely", "-o", "jsonpath={.spec.clusterIP}"]);
        format!("--service={server}/{address}:80")
    });
    let (exit, said) = doctor_with(lab, &["east", "west"], &lonely.each_ref().map(String::as_str));
    assert!(exit == Some(0) && codes(&said).is_empty(), "{said:#}");
    for node in ["east/n1", "west/n1"] {
        let tried = services(&said, node);
        assert_eq!(tried.len(), 4, "{said:#}");
        assert!(tried.iter().any(|one| one["name"] == "default/kubernetes"), "{said:#}");
        assert!(tried.iter().all(|one| one["answered"] == 3), "{said:#}");
    }
}

/// What is left when kube-proxy does not come up again after its rules are gone.
fn without_kube_proxy(lab: &Lab) {
    // The Service of the API server has no endpoints here: it is in the table of what is refused.
    let script = "kill -9 $(cat /run/causeway-lab/pid/kube-proxy_west_n1)
        for table in nat filter; do iptables -w -t $table -F KUBE-SERVICES; done";
    in_bed(lab, "west/n1", &["sh", "-ec", script]);
    for contexts in [&["east", "west"][..], &["west"]] {
        let (exit, said) = doctor(lab, contexts);
        assert!(exit == Some(1) && codes(&said) == ["CW1208"], "{said:#}");
        assert_eq!(said["findings"][0]["subjects"], json!(["west/n1"]));
    }
}

#[test]
fn doctor_asks_agents_through_their_api_servers_from_both_ends_and_from_one() {
    let lab = well(
        "k8s-doctor",
        "clusters: [{name: east, nodes: 1, kubeProxy: nftables}, {name: west, nodes: 1, cni: flannel, kubeProxy: iptables}]",
    );
    one_kubeconfig(&lab, &["east", "west", "hub"]);
    for (contexts, nodes) in
        [(&["east", "west"][..], 2), (&["east"], 1), (&["hub"], 2), (&["hub", "west"], 2)]
    {
        let (exit, said) = doctor(&lab, contexts);
        assert!(exit == Some(0) && codes(&said).is_empty(), "{said:#}");
        let answered: Vec<&Value> =
            said["nodes"].as_array().unwrap().iter().map(|node| &node["answered"]).collect();
        assert_eq!(answered, vec![&json!(true); nodes], "{said:#}");
    }
    services_of_real_kube_proxies(&lab);
    let said = without_rights(&lab);
    assert!(said.contains("CW1005") && said.contains("diagnoses"), "{said}");
    let wall = "nft add table inet wall && nft add chain inet wall f '{ type filter hook forward priority 0; }' && nft add rule inet wall f udp dport 4876 drop";
    in_bed(&lab, "underlay", &["sh", "-c", wall]);
    for contexts in [&["east", "west"][..], &["east"], &["hub"]] {
        let (exit, said) = doctor(&lab, contexts);
        assert!(exit == Some(1) && codes(&said) == ["CW1102"], "{said:#}");
        assert_eq!(said["findings"][0]["subjects"], json!(["east/n1 ↔ west/n1"]));
    }
    in_bed(&lab, "underlay", &["nft", "delete", "table", "inet", "wall"]);
    without_kube_proxy(&lab);
    // Nothing is left of what was asked, at the hub and soon of its copies.
    for server in ["hub", "east", "west"] {
        becomes("no Diagnosis is left", Vec::<String>::new(), || names(&lab, server, &["diagnoses", "-A"]));
    }
}
