//! Each thing is written once, however often it is looked at: an answer to a write and the watch's word of it come by
//! different ways, and in between what is known of the thing is what it was before.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use causeway_api::{Cluster, ClusterNode, NodeConfig};
use causeway_test_deploy::daemon::Daemon;
use causeway_test_deploy::hub::{install, join, shown};
use causeway_test_deploy::identity::{account_token, typed};
use causeway_test_deploy::records::{credential, writes_with};
use causeway_test_deploy::server::Server;
use causeway_test_deploy::until;
use k8s_openapi::api::core::v1::Node;
use kube_client::Api;
use kube_client::api::{Patch, PatchParams, PostParams};
use serde_json::json;

const NODES: usize = 40;

/// A Cluster that changes all the time has all of its nodes looked at again all the time.
#[tokio::test]
async fn nodes_that_are_looked_at_all_the_time_are_written_once() {
    let server = Server::start().await;
    drop(install(&server).await);
    let token = account_token(&server, "causeway-system/causeway-network-manager").await;
    let planner_credential = credential(&token);
    let kubeconfig = shown(&server.kubeconfig_with_token("planner", &token));
    let _planner =
        Daemon::start(server.folder(), "planner", "causeway-network-manager", &["--kubeconfig", &kubeconfig]);
    join(&server, &server, "east", &[]);
    let admin = server.admin().await;
    let clusters: Api<Cluster> = Api::all(admin.clone());
    let spec = json!({"spec": {"podCIDRs": ["10.1.0.0/16"], "serviceCIDRs": ["10.96.0.0/16"]}});
    clusters.patch("east", &PatchParams::default(), &Patch::Merge(&spec)).await.unwrap();
    let token = account_token(&server, "causeway-system/causeway-controller-manager").await;
    let member = shown(&server.kubeconfig_with_token("member", &token));
    let token = account_token(&server, "causeway-cluster-east/controller-manager").await;
    let manager_credential = credential(&token);
    let hub = shown(&server.kubeconfig_with_token("hub", &token));
    let words = ["--cluster", "east", "--kubeconfig", &member, "--hub-kubeconfig", &hub];
    let mut manager = Daemon::start(server.folder(), "manager", "causeway-controller-manager", &words);
    manager.becomes_ready().await;

    let restless = tokio::spawn(async move {
        for number in 0.. {
            let note = json!({"metadata": {"annotations": {"example.com/number": format!("{number}")}}});
            clusters.patch("east", &PatchParams::default(), &Patch::Merge(&note)).await.unwrap();
        }
    });
    let nodes: Api<Node> = Api::all(admin.clone());
    for number in 1..=NODES {
        let pods = format!("10.1.{number}.0/24");
        let node = json!({
            "metadata": {"name": format!("n{number}")}, "spec": {"podCIDR": pods, "podCIDRs": [pods]},
            "status": {
                "addresses": [{"type": "InternalIP", "address": format!("192.0.2.{number}")}],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        });
        nodes.create(&PostParams::default(), &typed(node)).await.unwrap();
    }
    let configs: Api<NodeConfig> = Api::namespaced(admin.clone(), "causeway-cluster-east");
    until("every node is planned", async || {
        configs.list(&Default::default()).await.is_ok_and(|list| list.items.len() == NODES)
    })
    .await;
    let told: Api<ClusterNode> = Api::namespaced(admin, "causeway-cluster-east");
    assert_eq!(told.list(&Default::default()).await.unwrap().items.len(), NODES);
    restless.abort();
    let twice = |credential: String, resource: &str| {
        let mut writes = writes_with(&server, &[credential]);
        writes.retain(|write| write.starts_with(&format!("patch {resource}  ")));
        assert!(writes.len() >= NODES, "{writes:#?}");
        writes.sort();
        let again = |pair: &&[String]| pair[0] == pair[1];
        writes.windows(2).filter(again).map(|pair| pair[0].clone()).collect::<Vec<_>>()
    };
    assert_eq!(twice(manager_credential, "clusternodes"), Vec::<String>::new());
    assert_eq!(twice(planner_credential, "nodeconfigs"), Vec::<String>::new());
}
