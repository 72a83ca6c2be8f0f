//! The credential that a member's controller-manager holds at the hub: a token of its ServiceAccount there
//! that soon expires, in a kubeconfig, in a Secret at the member.

use std::time::Duration;

use causeway_api::SYSTEM_NAMESPACE;
use causeway_kubernetes::{Client, RequestError};
use causeway_model::{ClusterName, cluster_namespace};
use k8s_openapi::ByteString;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube_client::Api;
use kube_client::api::PostParams;
use serde_json::{Value, json};

use crate::access::Endpoint;
use crate::error::Error;

/// The ServiceAccount of a cluster in its namespace at the hub.
pub const ACCOUNT: &str = "controller-manager";
/// The Secret at the member.
pub const SECRET: &str = "causeway-hub";

/// A token.
pub struct Credential {
    /// The token itself.
    pub token: String,
    /// When it expires, as the hub says it.
    pub expires: Option<String>,
}

/// A token for `cluster`, for `lifetime` or what the hub makes of that.
///
/// # Errors
/// [`Error::Request`] if the hub refuses.
pub async fn request(hub: &Client, cluster: &ClusterName, lifetime: Duration) -> Result<Credential, Error> {
    let namespace = cluster_namespace(cluster);
    let accounts: Api<ServiceAccount> = Api::namespaced(hub.clone(), &namespace);
    let seconds = i64::try_from(lifetime.as_secs()).ok();
    let spec = TokenRequestSpec { expiration_seconds: seconds, ..TokenRequestSpec::default() };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let what = || format!("request a token for ServiceAccount {namespace}/{ACCOUNT}");
    let answer = accounts
        .create_token_request(ACCOUNT, &PostParams::default(), &request)
        .await
        .map_err(|error| Error::Request(RequestError::new(what(), &error)))?;
    let status =
        answer.status.ok_or_else(|| Error::Endpoint("the hub answered without a token".to_owned()))?;
    Ok(Credential { token: status.token, expires: Some(status.expiration_timestamp.0.to_string()) })
}

/// What stands in for a token in manifests that are to be kept in files.
pub fn placeholder(cluster: &ClusterName) -> String {
    let namespace = cluster_namespace(cluster);
    format!("REPLACE-ME: kubectl create token {ACCOUNT} --namespace {namespace} --duration 24h, at the hub")
}

/// The kubeconfig of `cluster` at the hub.
///
/// # Errors
/// [`Error::Yaml`]: a defect of this program.
pub fn kubeconfig(cluster: &ClusterName, hub: &Endpoint, token: &str) -> Result<String, Error> {
    let mut server = json!({"server": hub.server});
    if let Some(authority) = &hub.authority {
        server["certificate-authority-data"] = json!(authority);
    }
    if let Some(name) = &hub.tls_server_name {
        server["tls-server-name"] = json!(name);
    }
    let name = cluster.as_str();
    let context = json!({"cluster": "hub", "user": name, "namespace": cluster_namespace(cluster)});
    let file = json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "hub", "cluster": server}],
        "users": [{"name": name, "user": {"token": token}}],
        "contexts": [{"name": "hub", "context": context}],
        "current-context": "hub",
    });
    serde_saphyr::to_string(&file).map_err(|error| Error::Yaml(Box::new(error)))
}

fn secret(fields: (&str, Value)) -> Value {
    let mut secret = json!({
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": SECRET,
            "namespace": SYSTEM_NAMESPACE,
            "labels": {
                "app.kubernetes.io/name": "causeway",
                "app.kubernetes.io/component": "controller-manager",
                "app.kubernetes.io/part-of": "causeway",
            },
        },
        "type": "Opaque",
    });
    secret[fields.0] = fields.1;
    secret
}

/// The Secret that holds `kubeconfig`, as it is applied.
///
/// # Errors
/// [`Error::Json`]: a defect of this program.
pub fn stored(kubeconfig: &str) -> Result<Value, Error> {
    let bytes = serde_json::to_value(ByteString(kubeconfig.as_bytes().to_vec())).map_err(Error::Json)?;
    Ok(secret(("data", json!({"kubeconfig": bytes}))))
}

/// The same for people to read.
pub fn readable(kubeconfig: &str) -> Value {
    secret(("stringData", json!({"kubeconfig": kubeconfig})))
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube_client::config::Kubeconfig;

    #[test]
    fn the_kubeconfig_is_one() {
        let cluster: ClusterName = "east".parse().unwrap();
        let hub = Endpoint {
            server: "https://hub.example:6443".to_owned(),
            authority: Some("QQ==".to_owned()),
            tls_server_name: None,
        };
        let text = kubeconfig(&cluster, &hub, "t0k3n").unwrap();
        let file = Kubeconfig::from_yaml(&text).unwrap();
        assert_eq!(file.current_context.as_deref(), Some("hub"));
        let server = file.clusters[0].cluster.as_ref().unwrap();
        assert_eq!(server.server.as_deref(), Some("https://hub.example:6443"));
        assert_eq!(server.certificate_authority_data.as_deref(), Some("QQ=="));
        let context = file.contexts[0].context.as_ref().unwrap();
        assert_eq!(context.namespace.as_deref(), Some("causeway-cluster-east"));
        assert_eq!(stored("a").unwrap()["data"]["kubeconfig"], "YQ==");
        assert_eq!(readable("a")["stringData"]["kubeconfig"], "a");
    }
}
