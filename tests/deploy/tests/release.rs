//! The Helm chart as a release on a real API server: installed, joined, upgraded from the chart before, rolled back,
//! uninstalled.

use std::collections::BTreeMap;
use std::process::Command;

use causeway_api::{Cluster, NodeConfig};
use causeway_test_deploy::everything::{Everything, all, at_rest, everything, is_as_before};
use causeway_test_deploy::hub::{join, network_manager};
use causeway_test_deploy::objects::documents;
use causeway_test_deploy::server::Server;
use causeway_test_deploy::{kubernetes_program, repository, succeed};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube_client::Api;
use kube_client::api::ListParams;
use serde_json::Value;

const VALUES: [&str; 6] =
    ["--set", "role=both", "--set", "cluster=east", "--set", "image.name=registry.example/causeway:1"];
const PREVIOUS: &str = "../tests/deploy/fixtures/chart-previous";

fn helm(server: &Server, words: &[&str]) -> String {
    let mut helm = Command::new(kubernetes_program("helm"));
    helm.args(words).args(["--namespace", "default", "--kubeconfig"]).arg(server.admin_kubeconfig());
    succeed(helm.current_dir(repository("deploy")))
}

fn kubectl(server: &Server, words: &[&str]) -> String {
    let mut kubectl = Command::new(kubernetes_program("kubectl"));
    succeed(kubectl.args(words).arg("--kubeconfig").arg(server.admin_kubeconfig()))
}

#[tokio::test]
async fn a_release_is_joined_by_its_credential_alone_and_leaves_the_objects_when_it_goes() {
    let server = Server::start().await;
    let notes = helm(&server, &[&["install", "causeway", "chart"][..], &VALUES].concat());
    assert!(notes.contains("causeway join --cluster east") && notes.contains("--no-install"), "{notes}");
    let _manager = network_manager(&server).await;
    let told = join(&server, &server, "east", &["--no-install"]);
    let applied: Vec<&str> = told.lines().filter(|line| line.ends_with("applied")).collect();
    assert!(applied.len() == 2 && applied[0].contains("Cluster") && applied[1].contains("Secret"), "{told}");
    let agents: Api<DaemonSet> = Api::namespaced(server.admin().await, "causeway-system");
    let agent = agents.get("causeway-agent").await.expect("the release's agents");
    let image = agent.spec.and_then(|spec| spec.template.spec?.containers.pop()?.image);
    assert_eq!(image.as_deref(), Some("registry.example/causeway:1"), "joining left the release alone");

    helm(
        &server,
        &[&["upgrade", "causeway", "chart"][..], &VALUES, &["--set", "agent.maxUnavailable=5"]].concat(),
    );
    helm(&server, &["uninstall", "causeway"]);
    let clusters: Api<Cluster> = Api::all(server.admin().await);
    assert!(clusters.get("east").await.is_ok(), "the clusterset outlives the release");
    let configs: Api<NodeConfig> = Api::all(server.admin().await);
    assert!(configs.list(&ListParams::default()).await.is_ok());
    assert!(agents.get_opt("causeway-agent").await.expect("an answer").is_none());
}

/// What a person and the managers of the chart before may have written: with fields of every depth.
const WRITTEN: &str = r#"
apiVersion: causeway.dev/v1alpha1
kind: ClusterSet
metadata: {name: default}
spec: {globalCIDRPool: [100.64.0.0/10]}
---
apiVersion: causeway.dev/v1alpha1
kind: Cluster
metadata: {name: east}
spec:
  mode: Gateway
  podCIDRs: [10.1.0.0/16]
  gateways: {count: 3, nodeSelector: {matchLabels: {role: edge}}}
  globalCIDRs: {mode: Auto}
  underlay: {source: InternalIP}
---
apiVersion: causeway.dev/v1alpha1
kind: ClusterNode
metadata: {name: n1, namespace: causeway-system}
spec: {underlay: [192.0.2.1], podCIDRs: [10.1.1.0/24], ready: true}
---
apiVersion: causeway.dev/v1alpha1
kind: NodeConfig
metadata: {name: n1, namespace: causeway-system}
spec:
  cluster: east
  role: Gateway
  underlay: [192.0.2.1]
  overlay: [198.18.0.1, "fd63:6175:7365:1::1"]
  tunnels: {bridge: {vni: 54, port: 4876}, local: {vni: 55, port: 4877}}
"#;

/// What of all is the release's, as far as it is the same on any API server.
fn released(all: &Everything) -> BTreeMap<String, Value> {
    let ours = all
        .iter()
        .filter(|(_, object)| object["metadata"]["labels"]["app.kubernetes.io/managed-by"] == "Helm");
    ours.map(|(key, object)| {
        let mut object = object.clone();
        let metadata = object["metadata"].as_object_mut().expect("metadata");
        for own in ["uid", "creationTimestamp", "generation"] {
            metadata.remove(own);
        }
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            // How often its Pods were made anew.
            annotations.remove("deployment.kubernetes.io/revision");
            annotations.remove("deprecated.daemonset.template.generation");
        }
        (key.clone(), object)
    })
    .collect()
}

fn written(all: &Everything) -> BTreeMap<String, Value> {
    let kinds = ["clustersets.", "clusters.", "clusternodes.", "nodeconfigs."]
        .map(|kind| format!("{kind}causeway.dev "));
    let ours = all.iter().filter(|(key, _)| kinds.iter().any(|kind| key.starts_with(kind)));
    ours.map(|(key, object)| (key.clone(), object["spec"].clone())).collect()
}

fn remove_definitions(server: &Server) {
    kubectl(server, &["delete", "customresourcedefinitions", "-l", "app.kubernetes.io/part-of=causeway"]);
}

#[tokio::test]
async fn a_release_of_the_chart_before_is_upgraded_rolled_back_and_leaves_nothing() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let before = at_rest(&admin).await;
    let own = [&VALUES[..], &["--set", "agent.maxUnavailable=7", "--set", "podLabels.team=net"]].concat();

    // What a fresh release of the present chart comes to.
    helm(&server, &[&["install", "causeway", "chart"][..], &own].concat());
    let fresh = released(&all(&admin).await);
    helm(&server, &["uninstall", "causeway"]);
    remove_definitions(&server);
    is_as_before(&admin, &before).await;

    helm(&server, &[&["install", "causeway", PREVIOUS][..], &own].concat());
    let previous = released(&all(&admin).await);
    assert_ne!(previous, fresh);
    let file = server.folder().join("written.yaml");
    std::fs::write(&file, WRITTEN).expect("a file");
    kubectl(&server, &["apply", "-f", &file.display().to_string()]);
    let objects = written(&all(&admin).await);
    assert_eq!(objects.len(), documents(WRITTEN).len());

    // Either way of keeping values: with the old defaults or with the new ones.
    for keeping in ["--reuse-values", "--reset-then-reuse-values"] {
        helm(&server, &["upgrade", "causeway", "chart", keeping]);
        let held = all(&admin).await;
        assert_eq!(released(&held), fresh, "{keeping}: an upgraded release is as a fresh one");
        assert_eq!(written(&held), objects, "{keeping}: what was written stays");
    }

    helm(&server, &["rollback", "causeway", "1"]);
    let held = all(&admin).await;
    let mut back = released(&held);
    back.remove("customresourcedefinitions.apiextensions.k8s.io /diagnoses.causeway.dev")
        .expect("a new kind stays");
    assert_eq!(back, previous, "the release is what it was");
    assert_eq!(written(&held), objects, "what was written stays");
    helm(&server, &["upgrade", "causeway", "chart", "--reset-then-reuse-values"]);
    assert_eq!(released(&all(&admin).await), fresh, "forth again");

    helm(&server, &["uninstall", "causeway"]);
    let mut objects = objects;
    // Those of the namespace that went with the release.
    objects.retain(|key, _| !key.contains("causeway-system/"));
    assert!(!objects.is_empty());
    causeway_test_deploy::until("the clusterset is all that is left of it", async || {
        everything(&admin).await.is_ok_and(|all| written(&all) == objects)
    })
    .await;
    remove_definitions(&server);
    is_as_before(&admin, &before).await;
}

/// Somebody who began with the command line goes on with Helm.
#[tokio::test]
async fn a_release_takes_over_what_was_applied_before() {
    let server = Server::start().await;
    let file = server.admin_kubeconfig().display().to_string();
    let output = causeway_test_deploy::hub::causeway(&["install", "hub", "--kubeconfig", &file]);
    assert!(output.status.success());
    helm(
        &server,
        &["install", "causeway", "chart", "--set", "role=hub", "--take-ownership", "--force-conflicts"],
    );
    let held = all(&server.admin().await).await;
    let deployment = &held["deployments.apps causeway-system/causeway-network-manager"];
    assert_eq!(deployment["metadata"]["labels"]["app.kubernetes.io/managed-by"], "Helm");
}
