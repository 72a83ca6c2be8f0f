//! What somebody can do with a credential that was stolen: everything is tried at a real API server, and only what
//! the tables grant is let through. Where RBAC is too coarse, admission policies hold.

use causeway_api::{Cluster, ClusterLink, ClusterNode, NodeConfig};
use causeway_kubernetes::Client;
use causeway_test_deploy::attempts::try_everything;
use causeway_test_deploy::eventually;
use causeway_test_deploy::grants::*;
use causeway_test_deploy::hub::{install, join};
use causeway_test_deploy::identity::{account, account_on_node, typed};
use causeway_test_deploy::server::Server;
use http::Request;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube_client::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube_client::{Api, Error};
use serde_json::{Value, json};

/// What Kubernetes itself lets everybody do who has a token: ask what they may do, who they are, and whom to trust
/// (<https://kubernetes.io/docs/reference/access-authn-authz/rbac/#discovery-roles>).
const EVERYBODY: &[Right] = &[
    ("*", "authorization.k8s.io/selfsubjectaccessreviews", "create"),
    ("*", "authorization.k8s.io/selfsubjectrulesreviews", "create"),
    ("*", "authentication.k8s.io/selfsubjectreviews", "create"),
    // The certificates of authorities that the cluster trusts: public.
    ("*", "certificates.k8s.io/clustertrustbundles", "get list watch"),
];

async fn assert_only(server: &Server, who: &str, client: &Client, rights: &[Right]) {
    let rights = [rights, EVERYBODY].concat();
    let outcome = try_everything(&server.admin().await, client, &rights).await;
    assert!(outcome.tried > 1000, "{who}: only {} things were tried", outcome.tried);
    assert!(outcome.too_much.is_empty(), "{who} can do too much: {:#?}", outcome.too_much);
    assert!(outcome.too_little.is_empty(), "{who} can do too little: {:#?}", outcome.too_little);
}

fn was_refused<T: std::fmt::Debug>(what: &str, answer: Result<T, Error>, reason: &str) {
    match answer {
        Err(Error::Api(status)) if status.message.contains(reason) => {}
        other => panic!("{what}: not refused with {reason:?}: {other:?}"),
    }
}

/// Ways from a right to more rights.
async fn assert_no_way_up(who: &str, client: &Client) {
    let post = |path: &str, body: Value| {
        let request = Request::post(path).header("Content-Type", "application/json");
        request.body(body.to_string().into_bytes()).expect("a request")
    };
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    let admin =
        json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"});
    let me = json!([{"kind": "Group", "name": "system:serviceaccounts"}]);
    let binding = json!({"metadata": {"name": "up"}, "roleRef": admin, "subjects": me});
    let everything = json!([{"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]}]);
    let token = json!({"spec": {}});
    let signing = json!({"metadata": {"name": "up"}, "spec": {
        "request": "", "signerName": "kubernetes.io/kube-apiserver-client", "usages": ["client auth"],
    }});
    for (path, body) in [
        (format!("{rbac}/clusterrolebindings"), binding.clone()),
        (format!("{rbac}/namespaces/{SYSTEM}/rolebindings"), binding.clone()),
        (format!("{rbac}/namespaces/{EAST}/rolebindings"), binding),
        (format!("{rbac}/clusterroles"), json!({"metadata": {"name": "up"}, "rules": everything.clone()})),
        (
            format!("{rbac}/namespaces/{SYSTEM}/roles"),
            json!({"metadata": {"name": "up"}, "rules": everything}),
        ),
        (
            format!("/api/v1/namespaces/{SYSTEM}/serviceaccounts/causeway-network-manager/token"),
            token.clone(),
        ),
        (
            format!("/api/v1/namespaces/{SYSTEM}/serviceaccounts/causeway-controller-manager/token"),
            token.clone(),
        ),
        (format!("/api/v1/namespaces/{WEST}/serviceaccounts/controller-manager/token"), token),
        ("/apis/certificates.k8s.io/v1/certificatesigningrequests".to_owned(), signing),
    ] {
        was_refused(&format!("{who}: {path}"), client.request_text(post(&path, body)).await, "forbidden");
    }
    for (header, value) in [
        ("Impersonate-User", "system:admin"),
        ("Impersonate-User", "system:serviceaccount:causeway-system:causeway-network-manager"),
    ] {
        let request =
            Request::get("/api/v1/nodes").header(header, value).body(Vec::new()).expect("a request");
        was_refused(&format!("{who}: {value}"), client.request_text(request).await, "cannot impersonate");
    }
}

async fn make_node(server: &Server, name: &str) {
    let admin = server.admin().await;
    let config = typed(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "NodeConfig", "metadata": {"name": name},
        "spec": {
            "cluster": "east", "role": "Node", "underlay": ["192.0.2.1"],
            "overlay": ["198.18.0.1", "fd63:6175:7365:1::1"], "tunnels": {"bridge": {"vni": 54, "port": 4876}},
        },
    }));
    let configs: Api<NodeConfig> = Api::namespaced(admin.clone(), SYSTEM);
    configs.create(&PostParams::default(), &config).await.expect("a NodeConfig");
    let node = typed(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "ClusterNode", "metadata": {"name": name},
        "spec": {"underlay": ["192.0.2.1"], "ready": true},
    }));
    for namespace in [SYSTEM, EAST, WEST] {
        let nodes: Api<ClusterNode> = Api::namespaced(admin.clone(), namespace);
        nodes.create(&PostParams::default(), &node).await.expect("a ClusterNode");
    }
}

/// All that the status endpoint of an object is offered by somebody who would rather change the rest.
fn smuggled() -> Patch<Value> {
    Patch::Merge(json!({
        "metadata": {"labels": {"stolen": "yes"}, "finalizers": ["example.com/stolen"]},
        "spec": {"role": "Gateway", "underlay": ["192.0.2.66"]},
        "status": {"observedGeneration": 1},
    }))
}

/// An agent's token is good for the status of its own node only.
async fn assert_agent_is_kept_to_its_node(server: &Server, agent: &Client) {
    let merge = PatchParams::default();
    let configs: Api<NodeConfig> = Api::namespaced(agent.clone(), SYSTEM);
    let nodes: Api<ClusterNode> = Api::namespaced(agent.clone(), SYSTEM);
    eventually("the policy to hold", async || match configs.patch_status("n2", &merge, &smuggled()).await {
        Err(Error::Api(status)) if status.message.contains("own node only, here n1") => Ok(()),
        other => Err(format!("{other:?}")),
    })
    .await;
    was_refused("n2", nodes.patch_status("n2", &merge, &smuggled()).await, "own node only, here n1");
    configs.patch_status("n1", &merge, &smuggled()).await.expect("the status of its own node");
    nodes.patch_status("n1", &merge, &smuggled()).await.expect("the status of its own node");
    let admin: Api<NodeConfig> = Api::namespaced(server.admin().await, SYSTEM);
    let now = serde_json::to_value(admin.get("n1").await.expect("it is there")).expect("JSON");
    assert_eq!((&now["spec"]["role"], &now["spec"]["underlay"]), (&json!("Node"), &json!(["192.0.2.1"])));
    assert!(!now["metadata"].to_string().contains("stolen"), "{now}");
    let admin: Api<ClusterNode> = Api::namespaced(server.admin().await, SYSTEM);
    let now = serde_json::to_value(admin.get("n1").await.expect("it is there")).expect("JSON");
    assert_eq!(now["spec"]["underlay"], json!(["192.0.2.1"]));
}

/// What a cluster's credential says of others at the hub.
async fn assert_credential_is_kept_to_its_cluster(east: &Client) {
    let merge = PatchParams::default();
    let clusters: Api<Cluster> = Api::all(east.clone());
    was_refused("west", clusters.patch_status("west", &merge, &smuggled()).await, "forbidden");
    let spec = Patch::Merge(json!({"spec": {"podCIDRs": ["0.0.0.0/0"]}}));
    was_refused("its own spec", clusters.patch("east", &merge, &spec).await, "forbidden");
    let delete = clusters.delete("east", &DeleteParams::default()).await;
    was_refused("its own Cluster", delete.map(drop), "forbidden");
    let nodes: Api<ClusterNode> = Api::namespaced(east.clone(), WEST);
    was_refused("west's nodes", nodes.patch("n1", &merge, &spec).await, "forbidden");
    was_refused("west's nodes", nodes.get("n1").await, "forbidden");
    let links: Api<ClusterLink> = Api::namespaced(east.clone(), WEST);
    was_refused("west's links", links.patch_status("east", &merge, &smuggled()).await, "forbidden");
}

/// The tests themselves: what is loosened is noticed.
async fn assert_loosening_is_noticed(server: &Server, agent: &Client) {
    let admin = server.admin().await;
    let roles: Api<Role> = Api::namespaced(admin.clone(), SYSTEM);
    let bindings: Api<RoleBinding> = Api::namespaced(admin.clone(), SYSTEM);
    let rules = json!([{"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"]}]);
    let role = typed(json!({"metadata": {"name": "loose"}, "rules": rules}));
    roles.create(&PostParams::default(), &role).await.expect("a role");
    let binding = typed(json!({
        "metadata": {"name": "loose"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "loose"},
        "subjects": [{"kind": "ServiceAccount", "name": "causeway-agent", "namespace": SYSTEM}],
    }));
    bindings.create(&PostParams::default(), &binding).await.expect("a binding");
    let rights = [AGENT, EVERYBODY].concat();
    eventually("a loosened role to be noticed", async || {
        let too_much = try_everything(&admin, agent, &rights).await.too_much;
        match too_much.as_slice() {
            [one] if one.contains("get /secrets \"other\"") && one.contains(SYSTEM) => Ok(()),
            other => Err(format!("{other:?}")),
        }
    })
    .await;
    let policies: Api<k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding> =
        Api::all(admin);
    policies.delete("causeway-member-agent", &DeleteParams::default()).await.expect("the binding goes");
    let configs: Api<NodeConfig> = Api::namespaced(agent.clone(), SYSTEM);
    eventually("nothing but the policy to keep an agent to its node", async || {
        let answer = configs.patch_status("n2", &PatchParams::default(), &smuggled()).await;
        answer.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

#[tokio::test]
async fn a_stolen_credential_is_good_for_what_its_table_says_and_nothing_else() {
    let server = Server::start().await;
    let _manager = install(&server).await;
    let clusters: Api<Cluster> = Api::all(server.admin().await);
    let west = typed(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "west"}, "spec": {},
    }));
    clusters.create(&PostParams::default(), &west).await.expect("a Cluster");
    join(&server, &server, "east", &[]);
    let namespaces: Api<k8s_openapi::api::core::v1::Namespace> = Api::all(server.admin().await);
    eventually("the namespace of west", async || {
        namespaces.get(WEST).await.map(drop).map_err(|error| error.to_string())
    })
    .await;
    for node in ["n1", "n2"] {
        make_node(&server, node).await;
    }
    let agent = account_on_node(&server, "causeway-system/causeway-agent", "n1").await;
    let hub = account(&server, "causeway-cluster-east/controller-manager").await;
    let member = account(&server, "causeway-system/causeway-controller-manager").await;
    for (who, client, rights) in [
        ("an agent's token", &agent, AGENT),
        ("controller-manager's credential at the hub", &hub, CREDENTIAL_OF_EAST),
        ("controller-manager's credential at the member", &member, CONTROLLER_MANAGER),
    ] {
        assert_only(&server, who, client, rights).await;
        assert_no_way_up(who, client).await;
    }
    assert_agent_is_kept_to_its_node(&server, &agent).await;
    assert_credential_is_kept_to_its_cluster(&hub).await;
    assert_loosening_is_noticed(&server, &agent).await;
}
