//! What controller-manager tells the people of its cluster by Events, on real API servers and with the rights
//! that are shipped.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use causeway_api::Cluster;
use causeway_test_deploy::daemon::Daemon;
use causeway_test_deploy::eventually;
use causeway_test_deploy::hub::{install, join, shown};
use causeway_test_deploy::identity::{account_kubeconfig, account_token, typed};
use causeway_test_deploy::server::Server;
use k8s_openapi::api::core::v1::{Event, Node};
use kube_client::Api;
use kube_client::api::{Patch, PatchParams, PostParams};
use serde_json::json;

/// Waits until there is an Event about the object, for this reason, that says this.
async fn is_told(member: &Server, daemon: &Daemon, about: &str, type_: &str, reason: &str, words: &str) {
    let events: Api<Event> = Api::all(member.admin().await);
    let said = |event: &Event| {
        let of = &event.involved_object;
        let object =
            format!("{}/{}", of.kind.as_deref().unwrap_or_default(), of.name.as_deref().unwrap_or_default());
        let text = event.message.clone().unwrap_or_default();
        (object, event.type_.clone().unwrap_or_default(), event.reason.clone().unwrap_or_default(), text)
    };
    eventually(reason, async || {
        let list = events.list(&Default::default()).await.map_err(|error| error.to_string())?;
        let all: Vec<_> = list.items.iter().map(said).filter(|(object, ..)| object == about).collect();
        let hit =
            all.iter().any(|(_, kind, why, text)| kind == type_ && why == reason && text.contains(words));
        if hit { Ok(()) } else { Err(format!("{all:#?}\n{}", daemon.log())) }
    })
    .await;
}

#[tokio::test]
async fn what_a_person_must_know_is_told_by_events_at_the_member() {
    let (mut hub, member) = tokio::join!(Server::start(), Server::start());
    let _planner = install(&hub).await;
    join(&hub, &member, "east", &[]);
    let token = account_token(&hub, "causeway-cluster-east/controller-manager").await;
    let at_hub = shown(&hub.kubeconfig_with_token("east", &token));
    let account = account_kubeconfig(&member, "causeway-system/causeway-controller-manager").await;
    let words = ["--cluster", "east", "--hub-kubeconfig", &at_hub, "--kubeconfig", &shown(&account)];
    let manager = Daemon::start(member.folder(), "manager", "causeway-controller-manager", &words);
    let whole = "Deployment/causeway-controller-manager";
    is_told(&member, &manager, whole, "Warning", "NotFound", "no pod CIDR was found; set spec.podCIDRs")
        .await;

    let nodes: Api<Node> = Api::all(member.admin().await);
    let node =
        json!({"metadata": {"name": "n1"}, "spec": {"podCIDR": "10.1.1.0/24", "podCIDRs": ["10.1.1.0/24"]}});
    nodes.create(&PostParams::default(), &typed(node)).await.unwrap();
    let status = json!({"status": {
        "addresses": [{"type": "InternalIP", "address": "192.0.2.1"}],
        "conditions": [{"type": "Ready", "status": "True"}],
    }});
    nodes.patch_status("n1", &PatchParams::default(), &Patch::Merge(&status)).await.unwrap();
    is_told(&member, &manager, whole, "Normal", "Found", "").await;

    // The node's prefix is not one of its cluster's any more.
    let clusters: Api<Cluster> = Api::all(hub.admin().await);
    let spec = json!({"spec": {"podCIDRs": ["10.9.0.0/16"]}});
    clusters.patch("east", &PatchParams::default(), &Patch::Merge(&spec)).await.unwrap();
    is_told(&member, &manager, "Node/n1", "Warning", "PrefixOutsideCluster", "10.1.1.0/24").await;

    hub.go_away();
    let away = "the hub cannot be followed for 60 s";
    is_told(&member, &manager, whole, "Warning", "HubNotFollowed", away).await;
    hub.come_back().await;
    is_told(&member, &manager, whole, "Normal", "HubFollowed", "again").await;
}
