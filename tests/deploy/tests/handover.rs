//! Two of a manager at once: one works, the other takes over when the first is gone, and one that was held up
//! past its Lease writes nothing any more. The API server's own records say who wrote what.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::collections::BTreeSet;

use causeway_api::{Cluster, ClusterNode};
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

/// One of two, and what its tokens are called in the API server's records.
struct One {
    daemon: Daemon,
    /// At the member, and for a controller-manager at the hub.
    credentials: Vec<String>,
}

async fn start(server: &Server, name: &str, account: &str, binary: &str, words: &[&str]) -> One {
    let token = account_token(server, account).await;
    let kubeconfig = shown(&server.kubeconfig_with_token(name, &token));
    let words = [words, &["--kubeconfig", &kubeconfig]].concat();
    let daemon = Daemon::start(server.folder(), name, binary, &words);
    One { daemon, credentials: vec![credential(&token)] }
}

impl One {
    /// What it wrote, tries for the Lease apart.
    fn wrote(&self, server: &Server) -> Vec<String> {
        writes_with(server, &self.credentials)
    }

    async fn becomes_active(&self) {
        self.daemon.says(" active", 0).await;
    }
}

/// Clusters that are to be registered and to get a plan.
async fn add_clusters(server: &Server, names: impl Iterator<Item = usize>) {
    let clusters: Api<Cluster> = Api::all(server.admin().await);
    for name in names {
        let cluster = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": format!("c{name}")},
            "spec": {"podCIDRs": [format!("10.{name}.0.0/16")], "serviceCIDRs": [format!("10.{name}.0.0/24")]},
        });
        clusters.create(&PostParams::default(), &typed(cluster)).await.unwrap();
    }
}

async fn are_planned(server: &Server, count: usize) {
    let clusters: Api<Cluster> = Api::all(server.admin().await);
    until("every cluster has its plan", async || {
        let Ok(list) = clusters.list(&Default::default()).await else { return false };
        let planned = |cluster: &&Cluster| {
            cluster
                .status
                .as_ref()
                .is_some_and(|status| status.conditions.iter().any(|condition| condition.type_ == "Accepted"))
        };
        list.items.iter().filter(planned).count() >= count
    })
    .await;
}

/// Writes of objects that came after the Lease was lost. A request that was half sent when its sender was held up may
/// still arrive afterwards; none is begun.
fn begun(late: &[String], names: impl Iterator<Item = String>) -> Vec<&str> {
    let names: Vec<String> = names.collect();
    let is_new = |write: &&str| names.iter().any(|name| write.ends_with(name));
    late.iter().map(String::as_str).filter(is_new).collect()
}

#[tokio::test]
async fn of_two_network_managers_one_writes_and_the_other_takes_over() {
    let server = Server::start().await;
    drop(install(&server).await);
    let account = "causeway-system/causeway-network-manager";
    let binary = "causeway-network-manager";
    let first = start(&server, "first", account, binary, &[]).await;
    first.becomes_active().await;
    let second = start(&server, "second", account, binary, &[]).await;
    add_clusters(&server, 1..6).await;
    are_planned(&server, 5).await;
    assert_eq!(second.wrote(&server), Vec::<String>::new());
    assert!(!first.wrote(&server).is_empty());

    // Held up in the middle of its work, for longer than its Lease.
    add_clusters(&server, 6..30).await;
    first.daemon.signal("STOP");
    second.becomes_active().await;
    are_planned(&server, 29).await;
    let before = first.wrote(&server);
    first.daemon.signal("CONT");
    first.daemon.says("standing by; nothing is written any more", 0).await;
    // It knows of what came meanwhile, and leaves it alone.
    add_clusters(&server, 30..35).await;
    are_planned(&server, 34).await;
    let after = first.wrote(&server);
    let names = (30..35).map(|number| format!(" c{number}"));
    assert_eq!(begun(&after[before.len()..], names), [] as [&str; 0], "written after the Lease was lost");

    // And killed.
    drop(second);
    until("the first is active again", async || first.daemon.said(" active") == 2).await;
    add_clusters(&server, 35..37).await;
    are_planned(&server, 36).await;
    assert!(first.wrote(&server).len() > after.len());
}

async fn add_node(server: &Server, number: usize) {
    let nodes: Api<Node> = Api::all(server.admin().await);
    let name = format!("n{number}");
    let cidr = format!("10.1.{number}.0/24");
    let node = json!({"metadata": {"name": name}, "spec": {"podCIDR": cidr, "podCIDRs": [cidr]}});
    nodes.create(&PostParams::default(), &typed(node)).await.unwrap();
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": format!("192.0.2.{number}")}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    nodes.patch_status(&name, &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
}

async fn are_told(server: &Server, numbers: std::ops::Range<usize>) {
    let nodes: Api<ClusterNode> = Api::namespaced(server.admin().await, "causeway-cluster-east");
    let expected: BTreeSet<String> = numbers.map(|number| format!("n{number}")).collect();
    until("the hub knows every node", async || {
        let Ok(list) = nodes.list(&Default::default()).await else { return false };
        let known: BTreeSet<String> = list.items.into_iter().filter_map(|node| node.metadata.name).collect();
        expected.is_subset(&known)
    })
    .await;
}

#[tokio::test]
async fn of_two_controller_managers_one_writes_and_the_other_takes_over() {
    let server = Server::start().await;
    let _planner = install(&server).await;
    join(&server, &server, "east", &[]);
    let account = "causeway-system/causeway-controller-manager";
    let binary = "causeway-controller-manager";
    // What each writes at the hub goes by a token of its own as well.
    let mut both = Vec::new();
    for name in ["first", "second"] {
        let token = account_token(&server, "causeway-cluster-east/controller-manager").await;
        let hub = shown(&server.kubeconfig_with_token(&format!("{name}-hub"), &token));
        let words = ["--cluster", "east", "--hub-kubeconfig", &hub];
        let mut one = start(&server, name, account, binary, &words).await;
        one.credentials.push(credential(&token));
        if name == "first" {
            one.becomes_active().await;
        }
        both.push(one);
    }
    let (second, first) = (both.pop().unwrap(), both.pop().unwrap());
    for number in 1..4 {
        add_node(&server, number).await;
    }
    are_told(&server, 1..4).await;
    assert_eq!(second.wrote(&server), Vec::<String>::new());

    for number in 4..20 {
        add_node(&server, number).await;
    }
    first.daemon.signal("STOP");
    second.becomes_active().await;
    are_told(&server, 1..20).await;
    let before = first.wrote(&server);
    first.daemon.signal("CONT");
    first.daemon.says("standing by; nothing is written any more", 0).await;
    for number in 20..25 {
        add_node(&server, number).await;
    }
    are_told(&server, 1..25).await;
    let after = first.wrote(&server);
    let names = (20..25).map(|number| format!(" n{number}"));
    assert_eq!(begun(&after[before.len()..], names), [] as [&str; 0], "written after the Lease was lost");

    drop(second);
    until("the first is active again", async || first.daemon.said(" active") == 2).await;
    add_node(&server, 25).await;
    are_told(&server, 25..26).await;
}
