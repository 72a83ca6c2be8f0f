//! The credential for the hub: read from a file, followed when it changes, and renewed before it expires.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use causeway_api::HUB_SECRET;
use causeway_kubernetes::{
    Client, ConnectError, Held, Problem, RequestError, connect_with, ensure, request_token,
};
use causeway_model::{ClusterName, cluster_namespace};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep};

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
    /// When what is in use was renewed here.
    renewed: Option<Instant>,
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
            renewed: None,
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
        self.renewed = self.renewed.filter(|_| !news);
        self.in_use = Some((text, client.clone()));
        Ok(news.then_some(client))
    }

    /// Follows the file, renews the token, and hands out clients. Ends when nobody takes them.
    pub async fn follow(mut self, clients: mpsc::Sender<Client>) {
        let mut complaints = causeway_daemon::Complaints::default();
        let mut not_renewed: Option<Problem> = None;
        let mut renew_next = Instant::now();
        loop {
            sleep(LOOK).await;
            let (next, unread) = match self.read().await {
                Ok(client) => (client, None),
                Err(error) => (None, Some(Problem::from(error.to_string()))),
            };
            let next = match next {
                Some(client) => {
                    tracing::info!("the hub's credential was replaced");
                    not_renewed = None;
                    Some(client)
                }
                None if self.held.is_held() && self.is_due() && renew_next <= Instant::now() => {
                    renew_next = Instant::now() + RETRY;
                    match self.renew().await {
                        Ok(client) => {
                            not_renewed = None;
                            Some(client)
                        }
                        Err(error) => {
                            let text = format!("the hub's credential is not renewed: {error}; trying again");
                            let about = "credential".to_owned();
                            not_renewed = Some(Problem { about, of: BTreeSet::new(), text });
                            None
                        }
                    }
                }
                None => None,
            };
            complaints.say(unread.iter().chain(&not_renewed).cloned());
            if let Some(client) = next
                && clients.send(client).await.is_err()
            {
                return;
            }
        }
    }

    fn is_due(&self) -> bool {
        let Some((text, _)) = &self.in_use else { return false };
        let since_renewal = self.renewed.map(|renewed| renewed.elapsed());
        lifetime(text).is_some_and(|life| is_due(life, Timestamp::now().as_second(), since_renewal))
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
        self.renewed = Some(Instant::now());
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

/// Whether a token that is valid from `issued` to `expires` is to be renewed at `now`: two thirds of its life are
/// over. This clock may be wrong, so one that was renewed here counts from then, and is never renewed again
/// before a third of its life, or a clock that is ahead would ask for one token after the other.
fn is_due((issued, expires): (i64, i64), now: i64, since_renewal: Option<Duration>) -> bool {
    let third = expires.saturating_sub(issued) / 3;
    let by_the_clock = now >= expires.saturating_sub(third);
    let Some(age) = since_renewal else { return by_the_clock };
    let age = i64::try_from(age.as_secs()).unwrap_or(i64::MAX);
    age >= third.saturating_mul(2) || (by_the_clock && age >= third)
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
    fn a_token_is_renewed_at_two_thirds_of_its_life_and_a_wrong_clock_does_not_renew_it_on_and_on() {
        let (life, hour) = ((10_000, 13_600), 3600);
        let due = |now: i64, age: Option<u64>| is_due(life, now, age.map(Duration::from_secs));
        assert_eq!([12_399, 12_400, 13_600].map(|now| due(now, None)), [false, true, true]);
        // Renewed here, by a clock that is a day ahead, and by one that is a day behind.
        for skew in [0, 24 * hour, -24 * hour] {
            let at = |age: u64| due(10_000 + age as i64 + skew, Some(age));
            assert!(!at(0) && !at(1199), "{skew}");
            assert!(at(2400), "{skew}");
        }
        assert!(!due(10_000, Some(2399)));
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
