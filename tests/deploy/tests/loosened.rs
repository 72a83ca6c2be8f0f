//! The tests of rights and policies themselves: each rule of each role that an identity has, and each condition of each
//! admission policy, is loosened alone, and what `rights.rs` and `stolen.rs` look at shows it.

use causeway_api::{Cluster, ClusterLink};
use causeway_kubernetes::Client;
use causeway_test_deploy::eventually;
use causeway_test_deploy::grants::*;
use causeway_test_deploy::hub::{install, join};
use causeway_test_deploy::identity::{account, account_on_node, typed};
use causeway_test_deploy::objects::in_folder;
use causeway_test_deploy::questions::differences;
use causeway_test_deploy::server::Server;
use http::{Method, Request};
use kube_client::api::PostParams;
use kube_client::{Api, Error};
use serde_json::{Value, json};

const RBAC: &str = "/apis/rbac.authorization.k8s.io/v1";
const POLICIES: &str = "/apis/admissionregistration.k8s.io/v1/validatingadmissionpolicies";

/// Whom the tables are about: namespace and name of the account.
const IDENTITIES: [(&str, &str, &[Right]); 4] = [
    (SYSTEM, "causeway-network-manager", NETWORK_MANAGER),
    (EAST, "controller-manager", CREDENTIAL_OF_EAST),
    (SYSTEM, "causeway-controller-manager", CONTROLLER_MANAGER),
    (SYSTEM, "causeway-agent", AGENT),
];

async fn send(client: &Client, method: Method, path: &str, body: &Value) -> Result<Value, Error> {
    let content = if method == Method::PATCH { "application/merge-patch+json" } else { "application/json" };
    let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
    let request = Request::builder().method(method).uri(path).header("Content-Type", content).body(body);
    client.request(request.expect("a request")).await
}

async fn get(admin: &Client, path: &str) -> Value {
    send(admin, Method::GET, path, &Value::Null).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

async fn patch(admin: &Client, path: &str, body: &Value) {
    send(admin, Method::PATCH, path, body).await.unwrap_or_else(|error| panic!("{path}: {error}"));
}

fn items(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

/// Paths of the roles that an account is bound to.
async fn roles_of(admin: &Client, namespace: &str, name: &str) -> Vec<String> {
    let mut paths = Vec::new();
    for kind in ["rolebindings", "clusterrolebindings"] {
        for binding in items(&get(admin, &format!("{RBAC}/{kind}")).await["items"]) {
            let is = |subject: &Value| subject["name"] == name && subject["namespace"] == namespace;
            if items(&binding["subjects"]).any(is) {
                let role = text(&binding["roleRef"]["name"]);
                paths.push(match text(&binding["roleRef"]["kind"]) {
                    "Role" => {
                        format!("{RBAC}/namespaces/{}/roles/{role}", text(&binding["metadata"]["namespace"]))
                    }
                    _ => format!("{RBAC}/clusterroles/{role}"),
                });
            }
        }
    }
    paths
}

/// The ways to loosen a rule: every verb; every name where it has some.
fn loosened(rule: &Value) -> Vec<Value> {
    let with = |change: &dyn Fn(&mut serde_json::Map<String, Value>)| {
        let mut rule = rule.clone();
        change(rule.as_object_mut().expect("a rule"));
        rule
    };
    let mut all = vec![with(&|rule| drop(rule.insert("verbs".to_owned(), json!(["*"]))))];
    if rule["resourceNames"].is_array() {
        all.push(with(&|rule| drop(rule.remove("resourceNames"))));
    }
    all
}

async fn assert_each_rule_is_watched(admin: &Client, client: &Client, path: &str, rights: &[Right]) -> usize {
    let rules = get(admin, path).await["rules"].clone();
    let mut tried = 0;
    for (at, rule) in items(&rules).enumerate() {
        let about = |group: &str, resource: &str| {
            items(&rule["apiGroups"]).any(|one| one == group)
                && items(&rule["resources"]).any(|one| one == resource)
        };
        for loose in loosened(rule) {
            let mut changed = rules.clone();
            changed[at] = loose.clone();
            patch(admin, path, &json!({"rules": changed})).await;
            eventually(&format!("{path}: {loose} to be noticed"), async || {
                let too_much = differences(client, rights, about).await.too_much;
                if too_much.is_empty() { Err("nobody noticed".to_owned()) } else { Ok(()) }
            })
            .await;
            tried += 1;
        }
        patch(admin, path, &json!({"rules": rules})).await;
        eventually(&format!("{path}: the rule as it was"), async || {
            let now = differences(client, rights, about).await;
            if now.too_much.is_empty() && now.too_little.is_empty() {
                Ok(())
            } else {
                Err(format!("{now:?}"))
            }
        })
        .await;
    }
    tried
}

/// Who tries what a policy refuses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Who {
    Credential,
    NetworkManager,
    Agent,
    ControllerManager,
}

/// One attempt for each condition of each policy: policy, which of its conditions, who, and the request.
fn attempts() -> Vec<(&'static str, usize, Who, Method, String, Value)> {
    let ours = "/apis/causeway.dev/v1alpha1";
    let condition = json!([{
        "type": "Accepted", "status": "False", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]);
    let status = |path: &str| format!("{ours}/{path}/status?dryRun=All");
    let (east, west) = (status("clusters/east"), status("clusters/west"));
    let link = |namespace: &str, name: &str| status(&format!("namespaces/{namespace}/clusterlinks/{name}"));
    let test = |namespace: &str| status(&format!("namespaces/{namespace}/diagnoses/n1"));
    let node = json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "ClusterNode", "metadata": {"name": "n9"},
        "spec": {"underlay": ["192.0.2.9"], "ready": true},
    });
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 1}]}});
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "mine"}});
    let nodes = format!("{ours}/namespaces/{WEST}/clusternodes?dryRun=All");
    let agents = status(&format!("namespaces/{SYSTEM}/nodeconfigs/n2"));
    let services = format!("/api/v1/namespaces/{SYSTEM}/services");
    let of = |value: Value| json!({"status": value});
    vec![
        ("causeway-hub-cluster-status", 0, Who::Credential, Method::PATCH, west, of(json!({"cni": "x"}))),
        (
            "causeway-hub-cluster-status",
            1,
            Who::Credential,
            Method::PATCH,
            east.clone(),
            of(json!({"gateways": ["n1"]})),
        ),
        (
            "causeway-hub-cluster-status",
            2,
            Who::Credential,
            Method::PATCH,
            east,
            of(json!({"conditions": condition})),
        ),
        (
            "causeway-hub-clusterlink-status",
            0,
            Who::Credential,
            Method::PATCH,
            link(WEST, "east"),
            of(json!({"rtt": "1ms"})),
        ),
        (
            "causeway-hub-clusterlink-status",
            1,
            Who::Credential,
            Method::PATCH,
            link(EAST, "west"),
            of(json!({"observedGeneration": 77})),
        ),
        (
            "causeway-hub-clusterlink-status",
            2,
            Who::Credential,
            Method::PATCH,
            link(EAST, "west"),
            of(json!({"conditions": condition})),
        ),
        ("causeway-hub-cluster-objects", 0, Who::Credential, Method::POST, nodes, node),
        (
            "causeway-hub-cluster-objects",
            0,
            Who::Credential,
            Method::PATCH,
            test(WEST),
            of(json!({"request": "1"})),
        ),
        (
            "causeway-hub-registration",
            0,
            Who::NetworkManager,
            Method::POST,
            "/api/v1/namespaces?dryRun=All".to_owned(),
            namespace,
        ),
        ("causeway-member-agent", 0, Who::Agent, Method::PATCH, agents, of(json!({"observedGeneration": 1}))),
        ("causeway-member-services", 0, Who::ControllerManager, Method::POST, services, service),
    ]
}

/// What policies are for is tried with more rights than the account has, since nothing else is to refuse it.
async fn bind_to_everything(admin: &Client) {
    let binding = json!({
        "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "mistake"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "controller-manager", "namespace": EAST}],
    });
    let path = format!("{RBAC}/clusterrolebindings");
    send(admin, Method::POST, &path, &binding).await.expect("a binding");
}

async fn assert_each_condition_is_watched(admin: &Client, clients: &[(Who, Client)]) {
    bind_to_everything(admin).await;
    let attempts = attempts();
    let shipped = ["deploy/manifests/hub", "deploy/manifests/member"].into_iter().flat_map(in_folder);
    for policy in shipped.filter(|object| object["kind"] == "ValidatingAdmissionPolicy") {
        let name = text(&policy["metadata"]["name"]);
        let validations = &policy["spec"]["validations"];
        for at in 0..items(validations).count() {
            let attempt = attempts.iter().find(|attempt| (attempt.0, attempt.1) == (name, at));
            let Some((_, _, who, method, path, body)) = attempt else {
                panic!("nothing is tried against condition {at} of {name}");
            };
            let client = &clients.iter().find(|(one, _)| one == who).expect("a client").1;
            let refused = format!("ValidatingAdmissionPolicy '{name}'");
            eventually(&format!("{name} to refuse {path}"), async || {
                match send(client, method.clone(), path, body).await {
                    Err(Error::Api(status)) if status.message.contains(&refused) => Ok(()),
                    other => Err(format!("{other:?}")),
                }
            })
            .await;
            let mut loose = validations.clone();
            loose[at]["expression"] = json!("true");
            let policy = format!("{POLICIES}/{name}");
            patch(admin, &policy, &json!({"spec": {"validations": loose}})).await;
            eventually(&format!("nothing but condition {at} of {name} to refuse {path}"), async || {
                send(client, method.clone(), path, body).await.map(drop).map_err(|error| error.to_string())
            })
            .await;
            patch(admin, &policy, &json!({"spec": {"validations": validations}})).await;
        }
    }
}

#[tokio::test]
async fn whatever_is_loosened_is_noticed() {
    let server = Server::start().await;
    let admin = server.admin().await;
    let manager = install(&server).await;
    let clusters: Api<Cluster> = Api::all(admin.clone());
    let west = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "west"}, "spec": {}});
    clusters.create(&PostParams::default(), &typed(west)).await.expect("a Cluster");
    join(&server, &server, "east", &[]);
    for (namespace, name) in [(EAST, "west"), (WEST, "east")] {
        let links: Api<ClusterLink> = Api::namespaced(admin.clone(), namespace);
        eventually("a ClusterLink", async || {
            links.get(name).await.map(drop).map_err(|error| error.to_string())
        })
        .await;
    }
    // It would put the roles back.
    drop(manager);
    let config = json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "NodeConfig", "metadata": {"name": "n2"},
        "spec": {
            "cluster": "east", "role": "Node", "underlay": ["192.0.2.1"],
            "overlay": ["198.18.0.1", "fd63:6175:7365:1::1"], "tunnels": {"bridge": {"vni": 54, "port": 4876}},
        },
    });
    let path = format!("/apis/causeway.dev/v1alpha1/namespaces/{SYSTEM}/nodeconfigs");
    send(&admin, Method::POST, &path, &config).await.expect("a NodeConfig");
    let test = json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "Diagnosis", "metadata": {"name": "n1"}, "spec": {"request": "1"},
    });
    let path = format!("/apis/causeway.dev/v1alpha1/namespaces/{WEST}/diagnoses");
    send(&admin, Method::POST, &path, &test).await.expect("a Diagnosis");
    let mut tried = 0;
    for (namespace, name, rights) in IDENTITIES {
        let client = account(&server, &format!("{namespace}/{name}")).await;
        let roles = roles_of(&admin, namespace, name).await;
        assert!(!roles.is_empty(), "{namespace}/{name} has no role");
        for path in roles {
            tried += assert_each_rule_is_watched(&admin, &client, &path, rights).await;
        }
    }
    assert!(tried > 30, "only {tried} rules were loosened");
    let of = async |name: &str| account(&server, name).await;
    let clients = [
        (Who::Credential, of("causeway-cluster-east/controller-manager").await),
        (Who::NetworkManager, of("causeway-system/causeway-network-manager").await),
        (Who::Agent, account_on_node(&server, "causeway-system/causeway-agent", "n1").await),
        (Who::ControllerManager, of("causeway-system/causeway-controller-manager").await),
    ];
    assert_each_condition_is_watched(&admin, &clients).await;
}
