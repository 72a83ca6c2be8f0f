//! controller-manager's credential for the hub, on real API servers: renewed in time, and taken up from the file
//! that its Secret becomes.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use causeway_test_deploy::daemon::Daemon;
use causeway_test_deploy::eventually;
use causeway_test_deploy::hub::{install, join, shown};
use causeway_test_deploy::identity::{account_kubeconfig, account_token, token_of_another_time};
use causeway_test_deploy::server::Server;
use k8s_openapi::api::core::v1::{Secret, ServiceAccount};
use kube_client::Api;
use kube_client::api::DeleteParams;

const EAST: &str = "causeway-cluster-east/controller-manager";

async fn manager(server: &Server, hub: &std::path::Path) -> Daemon {
    let kubeconfig = account_kubeconfig(server, "causeway-system/causeway-controller-manager").await;
    let words = ["--cluster", "east", "--hub-kubeconfig", &shown(hub), "--kubeconfig", &shown(&kubeconfig)];
    Daemon::start(server.folder(), "manager", "causeway-controller-manager", &words)
}

#[tokio::test]
async fn a_credential_is_renewed_in_time_once_and_recognised_in_the_file() {
    let server = Server::start().await;
    let _planner = install(&server).await;
    join(&server, &server, "east", &[]);
    let secrets: Api<Secret> = Api::namespaced(server.admin().await, "causeway-system");
    let held = async || {
        let secret = secrets.get("causeway-hub").await.unwrap();
        String::from_utf8(secret.data.unwrap()["kubeconfig"].0.clone()).unwrap()
    };
    let joined = held().await;
    // More than two thirds of its life are over.
    let (now, hour) = (SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() as i64, 3600);
    let old = token_of_another_time(&server, EAST, now - 3 * hour..now + hour).await;
    let file = server.kubeconfig_with_token("hub", &old);
    let mut manager = manager(&server, &file).await;
    let renewed = eventually("a renewed credential", async || match held().await {
        text if text != joined => Ok(text),
        _ => Err(manager.log()),
    })
    .await;
    assert!(!renewed.contains(&old) && renewed.contains(&server.url()));
    manager.becomes_ready().await;
    // kubelet brings what it wrote itself: it knows that, and goes on.
    fs::write(&file, &renewed).unwrap();
    // Another one that somebody writes is taken up, also while the one before is refused.
    let accounts: Api<ServiceAccount> = Api::namespaced(server.admin().await, "causeway-cluster-east");
    let before = accounts.get("controller-manager").await.unwrap();
    accounts.delete("controller-manager", &DeleteParams::default()).await.unwrap();
    let account = ServiceAccount {
        metadata: k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta {
            name: before.metadata.name,
            labels: before.metadata.labels,
            ..Default::default()
        },
        ..ServiceAccount::default()
    };
    accounts.create(&Default::default(), &account).await.unwrap();
    assert_eq!(manager.said("credential was replaced"), 0, "{}", manager.log());
    let new = server.kubeconfig_with_token("new", &account_token(&server, EAST).await);
    fs::copy(new, &file).unwrap();
    manager.says("credential was replaced", 0).await;
    manager.becomes_ready().await;
    assert_eq!(manager.said("credential was renewed"), 1, "{}", manager.log());
}
