//! The credential for the hub: read from a file, followed when it changes, and renewed before it expires.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causeway_api::HUB_SECRET;
use causeway_kubernetes::{Client, ConnectError, Held, RequestError, connect_with, ensure, request_token};
use causeway_model::{ClusterName, cluster_namespace};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::sleep;

use crate::args::Cli;
use crate::run::MANAGER;

/// How often the file is looked at.
const LOOK: Duration = Duration::from_secs(2);
/// How often a renewal that failed is tried again.
const RETRY: Duration = Duration::from_secs(30);
/// How long a renewed token lasts.
const LIFETIME: Duration = Duration::from_secs(24 * 3600);
/// The ServiceAccount at the hub.
const ACCOUNT: &str = "controller-manager";

/// Why the credential cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum CredentialError {
    /// The file cannot be read.
    #[error("kubeconfig of the hub {}: {source}; join the cluster, or mount the Secret {HUB_SECRET}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is no kubeconfig that can be used.
    #[error("kubeconfig of the hub {}: {source}", path.display())]
    Connect {
        /// Which.
        path: PathBuf,
        /// Why.
        source: ConnectError,
    },
}

/// The credential, and what it is renewed with.
pub struct Credential {
    path: PathBuf,
    cluster: ClusterName,
    namespace: String,
    member: Client,
    held: Held,
    /// What the file held when it was last used.
    seen: Option<String>,
    /// What is in use, and the client made of it.
    in_use: Option<(String, Client)>,
}

impl Credential {
    /// Not read yet.
    pub fn new(args: &Cli, member: Client, held: Held) -> Credential {
        Credential {
            path: args.hub_kubeconfig.clone(),
            cluster: args.cluster.clone(),
            namespace: args.namespace.clone(),
            member,
            held,
            seen: None,
            in_use: None,
        }
    }

    /// A client, if the file holds something else than last time.
    ///
    /// # Errors
    /// [`CredentialError`] if it cannot be read or used; what was in use stays.
    pub async fn read(&mut self) -> Result<Option<Client>, CredentialError> {
        let path = || self.path.clone();
        let text = std::fs::read_to_string(&self.path)
            .map_err(|source| CredentialError::Read { path: path(), source })?;
        if self.seen.as_ref() == Some(&text) {
            return Ok(None);
        }
        let client =
            connect_with(&text).await.map_err(|source| CredentialError::Connect { path: path(), source })?;
        self.seen = Some(text.clone());
        // The Secret that was renewed here arrives in the file a while later.
        let news = self.in_use.as_ref().is_none_or(|(used, _)| *used != text);
        self.in_use = Some((text, client.clone()));
        Ok(news.then_some(client))
    }

    /// Follows the file, renews the token, and hands out clients. Ends when nobody takes them.
    pub async fn follow(mut self, clients: mpsc::Sender<Client>) {
        let mut complaints = causeway_daemon::Complaints::default();
        let mut wait = LOOK;
        loop {
            sleep(wait).await;
            wait = LOOK;
            let next = match self.read().await {
                Ok(client) => {
                    complaints.say([]);
                    client
                }
                Err(error) => {
                    complaints.say([error.to_string()]);
                    None
                }
            };
            let next = match next {
                Some(client) => {
                    tracing::info!("the hub's credential was replaced");
                    Some(client)
                }
                None if self.held.is_held() && self.is_due() => match self.renew().await {
                    Ok(client) => Some(client),
                    Err(error) => {
                        complaints
                            .say([format!("the hub's credential is not renewed: {error}; trying again")]);
                        wait = RETRY;
                        None
                    }
                },
                None => None,
            };
            if let Some(client) = next
                && clients.send(client).await.is_err()
            {
                return;
            }
        }
    }

    /// Whether two thirds of the token's life are over.
    fn is_due(&self) -> bool {
        let Some((text, _)) = &self.in_use else { return false };
        lifetime(text)
            .is_some_and(|(issued, expires)| Timestamp::now().as_second() >= expires - (expires - issued) / 3)
    }

    async fn renew(&mut self) -> Result<Client, RenewError> {
        let Some((text, client)) = &self.in_use else { return Err(RenewError::NoToken) };
        let namespace = cluster_namespace(&self.cluster);
        let token = request_token(client, &namespace, ACCOUNT, LIFETIME).await?;
        let renewed = with_token(text, &token).ok_or(RenewError::NoToken)?;
        let client = connect_with(&renewed).await?;
        let secret = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": HUB_SECRET, "namespace": self.namespace},
            "stringData": {"kubeconfig": renewed},
        });
        ensure(&self.member, MANAGER, &secret).await?;
        tracing::info!("the hub's credential was renewed");
        self.in_use = Some((renewed, client.clone()));
        Ok(client)
    }
}

#[derive(Debug, thiserror::Error)]
enum RenewError {
    #[error("the kubeconfig holds no token")]
    NoToken,
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Connect(#[from] ConnectError),
}

fn token(kubeconfig: &Value) -> Option<&str> {
    kubeconfig.pointer("/users/0/user/token").and_then(Value::as_str)
}

/// When the token of a kubeconfig was issued and when it expires, in seconds of the Unix epoch (RFC 7519,
/// claims `iat` and `exp`). `None` for other credentials: those are left to who made them.
fn lifetime(kubeconfig: &str) -> Option<(i64, i64)> {
    let kubeconfig: Value = serde_saphyr::from_str(kubeconfig).ok()?;
    let payload = token(&kubeconfig)?.split('.').nth(1)?;
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).ok()?).ok()?;
    let claim = |name: &str| claims.get(name).and_then(Value::as_i64);
    Some((claim("iat")?, claim("exp")?))
}

/// The kubeconfig with another token.
fn with_token(kubeconfig: &str, token: &str) -> Option<String> {
    let mut kubeconfig: Value = serde_saphyr::from_str(kubeconfig).ok()?;
    *kubeconfig.pointer_mut("/users/0/user/token")? = Value::String(token.to_owned());
    // JSON is YAML.
    serde_json::to_string_pretty(&kubeconfig).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kubeconfig(token: &str) -> String {
        format!("apiVersion: v1\nkind: Config\nusers: [{{name: u, user: {{token: \"{token}\"}}}}]\n")
    }

    #[test]
    fn the_life_of_a_token_is_read_from_its_claims() {
        let claims = URL_SAFE_NO_PAD.encode(r#"{"iat":1000,"exp":4600}"#);
        assert_eq!(lifetime(&kubeconfig(&format!("h.{claims}.s"))), Some((1000, 4600)));
        assert_eq!(lifetime(&kubeconfig("opaque")), None);
        assert_eq!(lifetime("users: [{user: {client-certificate: c}}]"), None);
        assert_eq!(lifetime("{"), None);
    }

    #[test]
    fn a_renewed_kubeconfig_differs_in_its_token_alone() {
        let renewed = with_token(&kubeconfig("old"), "new").unwrap();
        let renewed: Value = serde_saphyr::from_str(&renewed).unwrap();
        assert_eq!(token(&renewed), Some("new"));
        assert_eq!(renewed["kind"], "Config");
        assert_eq!(with_token("users: []", "new"), None);
    }
}
