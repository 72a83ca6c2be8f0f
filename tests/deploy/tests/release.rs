//! The Helm chart as a release on a real API server, from install to uninstall.

use std::process::Command;

use causeway_api::{Cluster, NodeConfig};
use causeway_test_deploy::hub::{join, network_manager};
use causeway_test_deploy::server::Server;
use causeway_test_deploy::{kubernetes_program, repository, succeed};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube_client::Api;
use kube_client::api::ListParams;

#[tokio::test]
async fn a_release_is_joined_by_its_credential_alone_and_leaves_the_objects_when_it_goes() {
    let server = Server::start().await;
    let helm = |words: &[&str]| {
        let mut helm = Command::new(kubernetes_program("helm"));
        helm.args(words).args(["--namespace", "default", "--kubeconfig"]).arg(server.admin_kubeconfig());
        succeed(helm.current_dir(repository("deploy")))
    };
    let values =
        ["--set", "role=both", "--set", "cluster=east", "--set", "image.name=registry.example/causeway:1"];
    let notes = helm(&[&["install", "causeway", "chart"][..], &values].concat());
    assert!(notes.contains("causeway join --cluster east") && notes.contains("--no-install"), "{notes}");
    let _manager = network_manager(&server).await;
    let told = join(&server, &server, "east", &["--no-install"]);
    let applied: Vec<&str> = told.lines().filter(|line| line.ends_with("applied")).collect();
    assert!(applied.len() == 2 && applied[0].contains("Cluster") && applied[1].contains("Secret"), "{told}");
    let agents: Api<DaemonSet> = Api::namespaced(server.admin().await, "causeway-system");
    let agent = agents.get("causeway-agent").await.expect("the release's agents");
    let image = agent.spec.and_then(|spec| spec.template.spec?.containers.pop()?.image);
    assert_eq!(image.as_deref(), Some("registry.example/causeway:1"), "joining left the release alone");

    helm(&[&["upgrade", "causeway", "chart"][..], &values, &["--set", "agent.maxUnavailable=5"]].concat());
    helm(&["uninstall", "causeway"]);
    let clusters: Api<Cluster> = Api::all(server.admin().await);
    assert!(clusters.get("east").await.is_ok(), "the clusterset outlives the release");
    let configs: Api<NodeConfig> = Api::all(server.admin().await);
    assert!(configs.list(&ListParams::default()).await.is_ok());
    assert!(agents.get_opt("causeway-agent").await.expect("an answer").is_none());
}
