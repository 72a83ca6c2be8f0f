//! What managers tell the people of their clusters by Events, on real API servers and with the rights that are shipped.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use causeway_api::{Cluster, ClusterLink, NodeConfig};
use causeway_test_deploy::daemon::Daemon;
use causeway_test_deploy::hub::{install, join, shown};
use causeway_test_deploy::identity::{account_kubeconfig, account_on_node, account_token, typed};
use causeway_test_deploy::server::Server;
use causeway_test_deploy::{eventually, until};
use k8s_openapi::api::core::v1::{Event, Node};
use kube_client::Api;
use kube_client::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

const SYSTEM: &str = "causeway-system";

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

    trouble_that_lasts_is_told_once_and_when_it_is_over(&hub, &member, &manager).await;

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

/// What the agent of n1 says.
async fn agent_says(member: &Server, conditions: Value, way: bool) {
    let own: Api<NodeConfig> =
        Api::namespaced(account_on_node(member, "causeway-system/causeway-agent", "n1").await, SYSTEM);
    let status = json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "NodeConfig",
        "metadata": {"name": "n1", "namespace": SYSTEM},
        "status": {"conditions": conditions, "links": [{"remoteCluster": "west", "ready": way}]},
    });
    let agent = PatchParams::apply("causeway-agent").force();
    eventually("the agent's word", async || {
        let said = own.patch_status("n1", &agent, &Patch::Apply(&status)).await;
        said.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

/// Of nodes and links, at the member and at the hub: one Event each, not one for each node, nor for each change.
async fn trouble_that_lasts_is_told_once_and_when_it_is_over(
    hub: &Server,
    member: &Server,
    manager: &Daemon,
) {
    let clusters: Api<Cluster> = Api::all(hub.admin().await);
    let west = json!({"metadata": {"name": "west"}, "spec": {"podCIDRs": ["10.2.0.0/16"]}});
    clusters.create(&PostParams::default(), &typed(west)).await.unwrap();
    let copies: Api<ClusterLink> = Api::namespaced(member.admin().await, SYSTEM);
    let configs: Api<NodeConfig> = Api::namespaced(member.admin().await, SYSTEM);
    until("link and plan are copied", async || {
        let (link, config) = (copies.get_opt("west").await, configs.get_opt("n1").await);
        link.is_ok_and(|link| link.is_some()) && config.is_ok_and(|config| config.is_some())
    })
    .await;

    let silent = |more: &str| {
        json!([
            condition("Programmed", "False", "ChangesFailed", &format!("the kernel refuses a route{more}")),
            condition("GatewaysReachable", "True", "SomeGatewaysSilent", &format!("west/g2 is silent{more}")),
        ])
    };
    agent_says(member, silent(""), false).await;
    agent_says(member, silent(", still"), false).await;
    let whole = "Deployment/causeway-controller-manager";
    let told = [
        (member, whole, "ChangesFailed", "1 of 1 nodes: n1: the kernel refuses a route, still"),
        (member, whole, "SomeGatewaysSilent", "1 of 1 nodes: n1: west/g2 is silent, still"),
        (member, "ClusterLink/west", "NoWay", "cluster west is not reached: "),
        (hub, "Cluster/east", "ChangesFailed", "n1: ChangesFailed: the kernel refuses a route, still"),
        (hub, "ClusterLink/west", "NoWay", "no node has a way"),
    ];
    for (server, about, reason, words) in told {
        is_told(server, manager, about, "Warning", reason, words).await;
    }
    agent_says(member, silent(", and still"), false).await;

    let well = json!([
        condition("Programmed", "True", "InKernel", ""),
        condition("GatewaysReachable", "True", "AllGatewaysAnswer", ""),
    ]);
    agent_says(member, well, true).await;
    for (server, about, reason, words) in [
        (member, whole, "ChangesFailed", "no node says so any more"),
        (member, whole, "SomeGatewaysSilent", "no node says so any more"),
        (member, "ClusterLink/west", "Ready", "cluster west is reached again"),
        (hub, "Cluster/east", "InKernel", "Programmed is True again"),
        (hub, "ClusterLink/west", "Ready", "Ready is True again"),
    ] {
        is_told(server, manager, about, "Normal", reason, words).await;
    }
    for (server, _, reason, _) in told {
        let events: Api<Event> = Api::all(server.admin().await);
        let warnings = events.list(&Default::default()).await.unwrap().items;
        let same = warnings.iter().filter(|event| {
            event.type_.as_deref() == Some("Warning") && event.reason.as_deref() == Some(reason)
        });
        let times: Vec<Option<i32>> =
            same.map(|event| event.series.as_ref().and_then(|series| series.count)).collect();
        assert_eq!(times, [None], "{reason} is told once");
    }
}
