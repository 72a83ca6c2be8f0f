//! `causeway gather` at a real API server: all that a bug report needs is in the archive, and no secret of those that
//! were planted wherever one may stand.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use causeway_test_deploy::clusterset::{condition, given, healthy, say};
use causeway_test_deploy::hub::{causeway, shown, told};
use causeway_test_deploy::server::Server;
use causeway_test_deploy::{eventually, succeed};
use serde_json::{Value, json};

/// What stands in every planted secret, plain and in base64.
const SECRET: &str = "hunter2hunter2";
const SECRET_BASE64: &str = "aHVudGVyMmh1bnRlcjI=";
const JWT: &str = "eyJhbGciOiJSUzI1NiIsImtpZCI6IngifQ.eyJzdWIiOiJodW50ZXIyIn0.aHVudGVyMmh1bnRlcjI";
const PEM: &str =
    "-----BEGIN CERTIFICATE-----\nMIIBaHVudGVyMg\naHVudGVyMmh1bnRlcjI=\n-----END CERTIFICATE-----";

async fn plant(server: &Server) {
    let admin = server.admin().await;
    let system = |name: &str| json!({"name": name, "namespace": "causeway-system"});
    let kubeconfig = format!("users: [{{name: u, user: {{token: {SECRET}}}}}]");
    given(&admin, json!({"apiVersion": "v1", "kind": "Secret", "metadata": system("causeway-hub"), "stringData": {"kubeconfig": kubeconfig}})).await;
    given(&admin, json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": system("c"), "data": {"password": SECRET}})).await;
    let mut metadata = system("causeway-agent-n1");
    metadata["labels"] =
        json!({"app.kubernetes.io/name": "causeway", "app.kubernetes.io/component": "agent"});
    metadata["annotations"] =
        json!({"example.com/certificate": PEM, "causeway.dev/note": format!("password={SECRET}")});
    let container = json!({
        "name": "agent", "image": "none",
        "securityContext": {
            "runAsNonRoot": true, "allowPrivilegeEscalation": false, "capabilities": {"drop": ["ALL"]},
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "args": [format!("--hub-token={SECRET}"), "--log-format=json", "--proxy", format!("http://me:{SECRET}@proxy:3128")],
        "env": [{"name": "PASSWORD", "value": SECRET}, {"name": "CA", "value": PEM}],
    });
    let spec = json!({"nodeName": "n1", "containers": [container]});
    given(&admin, json!({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})).await;
    let node = json!({"name": "n1", "annotations": {"example.com/token": SECRET}});
    given(&admin, json!({"apiVersion": "v1", "kind": "Node", "metadata": node})).await;
    given(&admin, json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event",
        "metadata": {"name": "e1", "namespace": "causeway-system"},
        "eventTime": "2026-01-01T00:00:00.000000Z", "reportingController": "test", "reportingInstance": "t",
        "action": "A", "reason": "R", "type": "Warning",
        "note": format!("the hub said no to {JWT}"),
        "regarding": {"apiVersion": "v1", "kind": "Pod", "name": "causeway-agent-n1", "namespace": "causeway-system"},
    }))
    .await;
    let message = format!("401 for Authorization: Bearer {SECRET_BASE64}\n{PEM}");
    let status = json!({"conditions": [condition("Discovered", "False", "NotFound", &message)]});
    say(&admin, "causeway-network-manager", "Cluster", None, "c0", status).await;
}

fn unpack(archive: &Path, into: &Path) -> BTreeMap<String, String> {
    succeed(
        Command::new("tar")
            .args(["--extract", "--strip-components=1", "--file"])
            .arg(archive)
            .arg("-C")
            .arg(into),
    );
    let mut files = BTreeMap::new();
    let mut folders = vec![into.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(into).unwrap().display().to_string();
                files.insert(name, std::fs::read_to_string(&path).unwrap());
            }
        }
    }
    files
}

#[tokio::test]
async fn the_archive_has_what_is_needed_and_no_secret() {
    let server = Server::start().await;
    let file = shown(&server.admin_kubeconfig());
    let output = causeway(&["install", "hub", "--kubeconfig", &file]);
    assert!(output.status.success(), "{}", told(&output));
    eventually("objects are taken", async || {
        let output = causeway(&["status", "--kubeconfig", &file]);
        if told(&output).contains("clusterset at") { Ok(()) } else { Err(told(&output)) }
    })
    .await;
    healthy(&server.admin().await, 2).await;
    plant(&server).await;

    let archive = server.folder().join("report.tar.gz");
    let output = causeway(&["gather", "--kubeconfig", &file, "--file", &shown(&archive), "-o", "json"]);
    let report: Value =
        serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{}", told(&output)));
    // No kubelet, so no log of the Pod that is said to run: that is told, and everything else is there.
    assert_eq!(output.status.code(), Some(1));
    let missing = report["missing"].as_array().unwrap();
    assert!(missing.iter().all(|text| text.as_str().unwrap().contains("the log of Pod")), "{missing:#?}");
    let folder = tempfile::TempDir::new().unwrap();
    let files = unpack(&archive, folder.path());
    for name in [
        "README.txt",
        "missing.txt",
        "status.yaml",
        "version.yaml",
        "cluster/objects/clusters.yaml",
        "cluster/objects/clusterlinks.yaml",
        "cluster/kubernetes/pods.yaml",
        "cluster/kubernetes/deployments.yaml",
        "cluster/kubernetes/nodes.yaml",
        "cluster/kubernetes/events.yaml",
        "cluster/kubernetes/namespaces.yaml",
        "cluster/kubernetes/definitions.yaml",
        "cluster/kubernetes/version.json",
    ] {
        assert!(files.get(name).is_some_and(|text| !text.is_empty()), "{name} in {:?}", files.keys());
    }
    for (name, text) in &files {
        for secret in
            [SECRET, SECRET_BASE64, &SECRET_BASE64[..18], "MIIBaHVudGVyMg", "eyJ", "BEGIN CERTIFICATE"]
        {
            assert!(!text.contains(secret), "{secret} in {name}:\n{text}");
        }
    }
    assert!(!files.keys().any(|name| name.contains("secret") || name.contains("configmap")));
    // Names stay, and what is not secret.
    assert!(files["cluster/kubernetes/pods.yaml"].contains("PASSWORD"), "names of variables stay");
    let events = &files["cluster/kubernetes/events.yaml"];
    assert!(events.contains("the hub said no to REDACTED"), "{events}");
    assert!(files["cluster/objects/clusters.yaml"].contains("401 for"));

    // Only its owner may read it, and it is not written over.
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&archive).unwrap().permissions());
    assert_eq!(mode & 0o077, 0);
    let again = causeway(&["gather", "--kubeconfig", &file, "--file", &shown(&archive)]);
    assert!(again.status.code() == Some(1) && told(&again).contains("cannot write"), "{}", told(&again));

    // Its objects can be looked at like the hub's own.
    let objects = folder.path().join("cluster/objects");
    let status = told(&causeway(&["status", "--objects", &shown(&objects)]));
    assert!(status.contains("2/2 links ready"), "{status}");
}
