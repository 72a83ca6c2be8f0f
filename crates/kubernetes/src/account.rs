//! Credentials of ServiceAccounts, and questions that are asked without changing anything.

use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use kube_client::api::PostParams;
use kube_client::{Api, Client, Error};
use serde_json::Value;

use crate::RequestError;

/// A token for the ServiceAccount `name` that lasts for about `lifetime`
/// (<https://kubernetes.io/docs/reference/kubernetes-api/authentication-resources/token-request-v1/>).
///
/// # Errors
/// [`RequestError`] that says what was refused, and why.
pub async fn request_token(
    client: &Client,
    namespace: &str,
    name: &str,
    lifetime: Duration,
) -> Result<String, RequestError> {
    let api: Api<ServiceAccount> = Api::namespaced(client.clone(), namespace);
    let spec = TokenRequestSpec {
        expiration_seconds: i64::try_from(lifetime.as_secs()).ok(),
        ..TokenRequestSpec::default()
    };
    let request = TokenRequest { spec, ..TokenRequest::default() };
    let what = || format!("request a token for ServiceAccount {namespace}/{name}");
    let answer = api.create_token_request(name, &PostParams::default(), &request).await;
    let answer = answer.map_err(|error| RequestError::new(what(), &error))?;
    answer.status.map(|status| status.token).ok_or_else(|| RequestError::incomplete(what()))
}

/// What the API server says against creating `service`. Nothing is created in any case. `None` if it says
/// nothing against it, or does not answer.
pub async fn dry_run_error(client: &Client, service: &Value) -> Option<String> {
    let service: Service = serde_json::from_value(service.clone()).ok()?;
    let namespace = service.metadata.namespace.clone()?;
    let api: Api<Service> = Api::namespaced(client.clone(), &namespace);
    match api.create(&PostParams { dry_run: true, ..PostParams::default() }, &service).await {
        Err(Error::Api(status)) => Some(status.message.clone()),
        Ok(_) | Err(_) => None,
    }
}
