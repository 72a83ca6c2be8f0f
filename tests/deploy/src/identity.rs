//! Tokens of ServiceAccounts, as kubelet and `causeway join` get them.

use std::fs;
use std::ops::Range;
use std::process::Command;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
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

/// A token of `account` as the API server gives it.
///
/// # Panics
/// If it gives none.
pub async fn account_token(server: &Server, account: &str) -> String {
    token(&server.admin().await, account, None).await
}

/// A token of `account` that is valid in these seconds of the Unix epoch, as no API server would give it that has
/// the right time (RFC 7519; the claims of
/// <https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens>).
///
/// # Panics
/// If there is no such account.
pub async fn token_of_another_time(server: &Server, account: &str, valid: Range<i64>) -> String {
    let (namespace, name) = split(account);
    let accounts: Api<ServiceAccount> = Api::namespaced(server.admin().await, namespace);
    let uid = accounts.get(name).await.expect("an account").metadata.uid;
    let issuer = "https://kubernetes.default.svc";
    let claims = json!({
        "iss": issuer, "aud": [issuer], "sub": format!("system:serviceaccount:{namespace}:{name}"),
        "iat": valid.start, "nbf": valid.start, "exp": valid.end,
        "kubernetes.io": {"namespace": namespace, "serviceaccount": {"name": name, "uid": uid}},
    });
    let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let text = format!("{}.{}", part(json!({"alg": "RS256", "typ": "JWT"})), part(claims));
    let (input, key) = (server.folder().join("claims"), server.folder().join("other.key"));
    fs::write(&input, &text).expect("a file");
    let sign = Command::new("openssl").args(["dgst", "-sha256", "-sign"]).arg(key).arg(&input).output();
    let signature = sign.expect("openssl runs").stdout;
    assert!(!signature.is_empty(), "openssl signs");
    format!("{text}.{}", URL_SAFE_NO_PAD.encode(signature))
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
