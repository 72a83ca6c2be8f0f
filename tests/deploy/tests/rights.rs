//! What each identity may do, asked and tried at a real API server: all that the table says, and nothing
//! else.

use std::fmt::Debug;

use causeway_api::{Cluster, ClusterLink, ClusterNode, NodeConfig};
use causeway_kubernetes::Client;
use causeway_test_deploy::eventually;
use causeway_test_deploy::grants::*;
use causeway_test_deploy::hub::{install, join};
use causeway_test_deploy::identity::{account, account_on_node, typed};
use causeway_test_deploy::questions::{Difference, differences};
use causeway_test_deploy::server::Server;
use k8s_openapi::api::core::v1::{Namespace, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, Role};
use kube_client::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube_client::{Api, Error};
use serde_json::{Value, json};

async fn check_table(who: &str, client: &Client, rights: &[Right]) {
    let Difference { too_much, too_little } = differences(client, rights, |_, _| true).await;
    assert!(too_much.is_empty(), "{who} may {} things too much: {too_much:#?}", too_much.len());
    assert!(too_little.is_empty(), "{who} may {} things too little: {too_little:#?}", too_little.len());
}

/// Waits until what is tried is refused for this reason: policies take effect a moment after they are applied.
async fn is_refused<T: Debug>(what: &str, reason: &str, mut attempt: impl AsyncFnMut() -> Result<T, Error>) {
    eventually(what, async || match attempt().await {
        Err(Error::Api(status)) if status.message.contains(reason) => Ok(()),
        other => Err(format!("not refused with {reason:?}: {other:?}")),
    })
    .await;
}

fn apply() -> PatchParams {
    PatchParams::apply("causeway-controller-manager").force()
}

fn dry_run() -> PostParams {
    PostParams { dry_run: true, ..PostParams::default() }
}

fn status(kind: &str, name: &str, namespace: Option<&str>, status: Value) -> Patch<Value> {
    let metadata = json!({"name": name, "namespace": namespace});
    Patch::Apply(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": kind, "metadata": metadata, "status": status,
    }))
}

fn condition(type_: &str) -> Value {
    json!([{
        "type": type_, "status": "True", "reason": "R", "message": "",
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }])
}

async fn check_credential(server: &Server, east: &Client) {
    let clusters: Api<Cluster> = Api::all(east.clone());
    let write = async |name: &str, content: Value| {
        clusters.patch_status(name, &apply(), &status("Cluster", name, None, content)).await
    };
    let found = json!({
        "cni": "flannel", "podCIDRs": [{"cidr": "10.1.0.0/16", "source": "s"}], "nodes": {"total": 3},
        "conditions": condition("Discovered"),
    });
    write("east", found).await.expect("what was found is the cluster's own");
    for (field, value) in [
        ("overlayCIDRs", json!(["198.18.0.0/24"])),
        ("gateways", json!(["n1"])),
        ("globalCIDRs", json!([{"cidr": "10.1.0.0/16", "global": "100.64.0.0/16"}])),
        ("observedGeneration", json!(7)),
    ] {
        is_refused(field, "network-manager's", async || write("east", json!({(field): value.clone()})).await)
            .await;
    }
    for type_ in ["Accepted", "Ready", "Degraded"] {
        let content = json!({"conditions": condition(type_)});
        is_refused(type_, "Discovered, Programmed and Left only", async || {
            write("east", content.clone()).await
        })
        .await;
    }
    let links: Api<ClusterLink> = Api::namespaced(east.clone(), EAST);
    let link = async |content: Value| {
        links.patch_status("west", &apply(), &status("ClusterLink", "west", Some(EAST), content)).await
    };
    link(json!({"rtt": "1ms", "nodes": {"ready": 1, "total": 1}, "conditions": condition("Ready")}))
        .await
        .expect("the state of links is the cluster's own");
    is_refused("Accepted", "Ready only", async || link(json!({"conditions": condition("Accepted")})).await)
        .await;
    check_credential_with_too_many_rights(server, east).await;
}

/// Somebody binds a cluster's credential to more than network-manager gave it.
async fn check_credential_with_too_many_rights(server: &Server, east: &Client) {
    let bindings: Api<ClusterRoleBinding> = Api::all(server.admin().await);
    let binding = json!({
        "metadata": {"name": "mistake"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "controller-manager", "namespace": EAST}],
    });
    bindings.create(&PostParams::default(), &typed(binding)).await.expect("a binding");
    let node = |namespace: &str| -> ClusterNode {
        typed(json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "ClusterNode",
            "metadata": {"name": "n9", "namespace": namespace},
            "spec": {"underlay": ["192.0.2.9"], "ready": true},
        }))
    };
    for (namespace, reason) in [(WEST, "in namespace causeway-cluster-east only"), (SYSTEM, "only")] {
        let nodes: Api<ClusterNode> = Api::namespaced(east.clone(), namespace);
        is_refused(namespace, reason, async || nodes.create(&dry_run(), &node(namespace)).await).await;
    }
    let nodes: Api<ClusterNode> = Api::namespaced(east.clone(), EAST);
    nodes.create(&dry_run(), &node(EAST)).await.expect("its own nodes it may announce");
    let clusters: Api<Cluster> = Api::all(east.clone());
    let foreign = status("Cluster", "west", None, json!({"cni": "x"}));
    is_refused("west", "of Cluster east only", async || {
        clusters.patch_status("west", &apply(), &foreign).await
    })
    .await;
    let spec = Patch::Merge(json!({"spec": {"mode": "Gateway"}}));
    is_refused("spec", "of Cluster east only", async || {
        clusters.patch("east", &PatchParams::default(), &spec).await
    })
    .await;
    bindings.delete("mistake", &DeleteParams::default()).await.expect("the binding goes");
}

async fn check_network_manager(server: &Server) {
    let manager = account(server, "causeway-system/causeway-network-manager").await;
    let namespaces: Api<Namespace> = Api::all(manager.clone());
    let namespace = |name: &str| -> Namespace { typed(json!({"metadata": {"name": name}})) };
    is_refused("a namespace", "causeway-cluster-*", async || {
        namespaces.create(&dry_run(), &namespace("mine")).await
    })
    .await;
    namespaces.create(&dry_run(), &namespace("causeway-cluster-new")).await.expect("a cluster's namespace");
    is_refused("deletion", "not namespaces causeway-system", async || {
        namespaces.delete(SYSTEM, &DeleteParams::default().dry_run()).await
    })
    .await;
    let roles: Api<ClusterRole> = Api::all(manager.clone());
    let role = |name: &str| -> ClusterRole { typed(json!({"metadata": {"name": name}, "rules": []})) };
    is_refused("a cluster role", "causeway:cluster:*", async || {
        roles.create(&dry_run(), &role("mine")).await
    })
    .await;
    roles.create(&dry_run(), &role("causeway:cluster:new")).await.expect("a cluster's role");
    is_refused("deletion", "not clusterroles cluster-admin", async || {
        roles.delete("cluster-admin", &DeleteParams::default().dry_run()).await
    })
    .await;
    let accounts: Api<ServiceAccount> = Api::namespaced(manager.clone(), "kube-system");
    let account = json!({"metadata": {"name": "controller-manager"}});
    is_refused("an account", "not serviceaccounts controller-manager", async || {
        accounts.create(&dry_run(), &typed(account.clone())).await
    })
    .await;
    // More than it holds it can give to nobody, wherever.
    let roles: Api<Role> = Api::namespaced(manager, EAST);
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    let role = json!({"metadata": {"name": "more"}, "rules": rules});
    is_refused("a role", "attempting to grant RBAC permissions not currently held", async || {
        roles.create(&dry_run(), &typed(role.clone())).await
    })
    .await;
}

async fn check_agent(server: &Server) {
    let admin: Api<NodeConfig> = Api::namespaced(server.admin().await, SYSTEM);
    for name in ["n1", "n2"] {
        let config = typed(json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "NodeConfig", "metadata": {"name": name},
            "spec": {
                "cluster": "east", "role": "Node", "underlay": ["192.0.2.1"], "overlay": ["198.18.0.1", "fd63:6175:7365:1::1"],
                "tunnels": {"bridge": {"vni": 54, "port": 4876}},
            },
        }));
        admin.create(&PostParams::default(), &config).await.expect("a NodeConfig");
    }
    let content =
        |name: &str| status("NodeConfig", name, Some(SYSTEM), json!({"conditions": condition("Programmed")}));
    let agent = account_on_node(server, "causeway-system/causeway-agent", "n1").await;
    let own: Api<NodeConfig> = Api::namespaced(agent, SYSTEM);
    own.patch_status("n1", &apply(), &content("n1")).await.expect("its own node's status");
    is_refused("another node", "own node only, here n1", async || {
        own.patch_status("n2", &apply(), &content("n2")).await
    })
    .await;
    let nowhere = account(server, "causeway-system/causeway-agent").await;
    let nowhere: Api<NodeConfig> = Api::namespaced(nowhere, SYSTEM);
    is_refused("no node", "its token names no node", async || {
        nowhere.patch_status("n1", &apply(), &content("n1")).await
    })
    .await;
}

async fn check_controller_manager(server: &Server) {
    let manager = account(server, "causeway-system/causeway-controller-manager").await;
    let services: Api<Service> = Api::namespaced(manager, SYSTEM);
    let service = |address: Option<&str>| -> Service {
        typed(json!({
            "metadata": {"name": "probe"},
            "spec": {"clusterIP": address, "ports": [{"port": 1}]},
        }))
    };
    is_refused("a Service", "dry run only", async || {
        services.create(&PostParams::default(), &service(None)).await
    })
    .await;
    services.create(&dry_run(), &service(None)).await.expect("a dry run");
    is_refused("an impossible address", "10.96.0.0/16", async || {
        services.create(&dry_run(), &service(Some("1.1.1.1"))).await
    })
    .await;
}

#[tokio::test]
async fn identities_may_what_they_need_and_nothing_else() {
    let server = Server::start().await;
    let _manager = install(&server).await;
    // West is registered only: a member has one name.
    let clusters: Api<Cluster> = Api::all(server.admin().await);
    let west = typed(
        json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "west"}, "spec": {}}),
    );
    clusters.create(&PostParams::default(), &west).await.expect("a Cluster");
    join(&server, &server, "east", &[]);
    let east = account(&server, "causeway-cluster-east/controller-manager").await;
    let of = async |name: &str| account(&server, &format!("causeway-system/causeway-{name}")).await;
    check_table("network-manager", &of("network-manager").await, NETWORK_MANAGER).await;
    check_table("controller-manager of east at the hub", &east, CREDENTIAL_OF_EAST).await;
    check_table("controller-manager", &of("controller-manager").await, CONTROLLER_MANAGER).await;
    check_table("agent", &of("agent").await, AGENT).await;
    check_credential(&server, &east).await;
    check_network_manager(&server).await;
    check_agent(&server).await;
    check_controller_manager(&server).await;
}
