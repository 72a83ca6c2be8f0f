//! What does not change is not written, whoever starts anew.

use causeway_lab::{Action, Fault, StreamOptions};
use serde_json::json;

use crate::bed::{becomes_well, eventually, get, kubectl, objects, settled, well, written};

#[test]
fn restarts_and_heartbeats_write_nothing_and_lose_nothing() {
    let lab = well(
        "steady",
        r#"
clusters:
  - {name: east, nodes: 2}
  - {name: west, nodes: 2, spec: {mode: Gateway}}
"#,
    );
    let servers = ["hub", "east", "west"];
    let before = settled(&lab, &servers);
    let stream = lab
        .stream(&StreamOptions::new("east/n1/p1".parse().unwrap(), "west/n2/p1".parse().unwrap()))
        .unwrap();
    for (cluster, node) in [("east", "n1"), ("east", "n2"), ("west", "n1"), ("west", "n2")] {
        lab.node(&format!("{cluster}/{node}")).unwrap().agent(Action::Kill).unwrap();
        lab.node(&format!("{cluster}/{node}")).unwrap().agent(Action::Start).unwrap();
    }
    lab.fault(&Fault::Manager { action: Action::Restart }).unwrap();
    for cluster in ["east", "west"] {
        lab.fault(&Fault::ControllerManager { cluster: cluster.parse().unwrap(), action: Action::Restart })
            .unwrap();
    }
    // A kubelet's heartbeat.
    for second in 1..20 {
        let patch = json!({"status": {"conditions": [{
            "type": "Ready", "status": "True", "reason": "Lab", "message": "",
            "lastHeartbeatTime": format!("2026-01-01T00:00:{second:02}Z"), "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]}});
        let patch = patch.to_string();
        kubectl(&lab, "east", &["patch", "node", "n1", "--subresource=status", "--type=merge", "-p", &patch]);
    }
    let log = || lab.log(None).unwrap();
    eventually("network-manager to be active again", || {
        if log().matches(": active").count() >= 2 { Ok(()) } else { Err(log()) }
    });
    let after = settled(&lab, &servers);
    for (server, (before, after)) in servers.iter().zip(before.iter().zip(&after)) {
        assert_eq!(written(before, after), Vec::<String>::new(), "at {server}");
    }
    let report = stream.finish().unwrap();
    assert_eq!(report.lost(), 0, "{report:?}");
}

#[test]
fn what_somebody_edits_or_deletes_is_put_right() {
    let lab = well("edits", "clusters: [{name: east, nodes: 1}, {name: west, nodes: 1}]");
    let at = ["-n", "causeway-cluster-east"];
    settled(&lab, &["hub", "east"]);
    let before = get(&lab, "hub", &[&["nodeconfig", "n1"], &at[..]].concat())["spec"].clone();
    let edit = r#"{"spec":{"underlay":["192.0.2.99"]}}"#;
    kubectl(&lab, "hub", &["patch", "nodeconfig", "n1", at[0], at[1], "--type=merge", "-p", edit]);
    kubectl(
        &lab,
        "east",
        &["patch", "nodeconfig", "n1", "-n", "causeway-system", "--type=merge", "-p", edit],
    );
    kubectl(&lab, "hub", &["delete", "peerslice", "west.nodes.0", "-n", "causeway-shared"]);
    kubectl(&lab, "east", &["delete", "clusterlink", "west", "-n", "causeway-system"]);
    kubectl(&lab, "hub", &["delete", "role", "controller-manager", at[0], at[1]]);
    for (server, at) in [("hub", "causeway-cluster-east"), ("east", "causeway-system")] {
        eventually("the edited NodeConfig to be as planned", || {
            let now = get(&lab, server, &["nodeconfig", "n1", "-n", at])["spec"].clone();
            if now == before { Ok(()) } else { Err(now.to_string()) }
        });
    }
    becomes_well(&lab);
    assert!(
        objects(&lab, "east").keys().any(|object| object.contains("ClusterLink") && object.contains("west"))
    );
}
