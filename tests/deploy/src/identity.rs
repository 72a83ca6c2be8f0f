//! Tokens of ServiceAccounts, as kubelet and `causeway join` get them.

use k8s_openapi::api::authentication::v1::{BoundObjectReference, TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Node, Pod, ServiceAccount};
use kube_client::api::PostParams;
use kube_client::{Api, Client};
use serde_json::{Value, json};

use crate::server::{Server, client};

/// A client with a token of `account`, given as `NAMESPACE/NAME`.
///
/// # Panics
/// If the API server gives none.
pub async fn account(server: &Server, account: &str) -> Client {
    with_token(server, account, None).await
}

/// The kubeconfig with a token of `account`.
///
/// # Panics
/// If the API server gives none.
pub async fn account_kubeconfig(server: &Server, account: &str) -> std::path::PathBuf {
    let token = token(&server.admin().await, account, None).await;
    server.kubeconfig_with_token(&account.replace('/', "-"), &token)
}

/// A client with the token that kubelet gives to a Pod of `account` on `node`.
///
/// # Panics
/// If the API server gives none.
pub async fn account_on_node(server: &Server, account: &str, node: &str) -> Client {
    let admin = server.admin().await;
    let (namespace, name) = split(account);
    let nodes: Api<Node> = Api::all(admin.clone());
    if nodes.get_opt(node).await.expect("Nodes can be read").is_none() {
        let object = typed(json!({"metadata": {"name": node, "labels": {"kubernetes.io/os": "linux"}}}));
        nodes.create(&PostParams::default(), &object).await.expect("a Node");
    }
    let pods: Api<Pod> = Api::namespaced(admin, namespace);
    let object = typed(json!({
        "metadata": {"name": format!("{name}-{node}")},
        "spec": {
            "nodeName": node, "serviceAccountName": name,
            "containers": [{"name": "c", "image": "none"}],
        },
    }));
    let pod = match pods.get_opt(&format!("{name}-{node}")).await.expect("Pods can be read") {
        Some(pod) => pod,
        None => pods.create(&PostParams::default(), &object).await.expect("a Pod"),
    };
    let bound = BoundObjectReference {
        api_version: Some("v1".to_owned()),
        kind: Some("Pod".to_owned()),
        name: pod.metadata.name,
        uid: pod.metadata.uid,
    };
    with_token(server, account, Some(bound)).await
}

async fn with_token(server: &Server, account: &str, bound: Option<BoundObjectReference>) -> Client {
    let name = bound.as_ref().and_then(|bound| bound.name.clone()).unwrap_or_default();
    let token = token(&server.admin().await, account, bound).await;
    let name = format!("{}-{name}", account.replace('/', "-"));
    client(&server.kubeconfig_with_token(&name, &token)).await
}

async fn token(admin: &Client, account: &str, bound_object_ref: Option<BoundObjectReference>) -> String {
    let (namespace, name) = split(account);
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), namespace);
    let spec = TokenRequestSpec { bound_object_ref, ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let answer = accounts.create_token_request(name, &PostParams::default(), &request).await;
    answer.expect("a token").status.expect("a status").token
}

fn split(account: &str) -> (&str, &str) {
    account.split_once('/').expect("NAMESPACE/NAME")
}

/// A typed object out of JSON.
///
/// # Panics
/// If it is not one.
pub fn typed<T: serde::de::DeserializeOwned>(value: Value) -> T {
    serde_json::from_value(value).expect("an object of this type")
}
