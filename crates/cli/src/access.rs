//! Which API servers a command speaks to: one place for the flags, for what a kubeconfig says of a server,
//! and for waiting.

use std::future::Future;
use std::io::{self, Write};
use std::path::PathBuf;
use std::time::Duration;

use causeway_kubernetes::{Access, Client, connect};
use clap::Args;
use k8s_openapi::ByteString;
use kube_client::config::Kubeconfig;
use tokio::time::{Instant, sleep};

use crate::error::Error;

/// The API server that a command is about.
#[derive(Args, Debug, Clone, Default)]
pub struct ServerArgs {
    /// Kubeconfig of the cluster. Default: KUBECONFIG, else ~/.kube/config
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of that kubeconfig. Default: its current context
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
}

/// The API server that holds the clusterset's objects.
#[derive(Args, Debug, Clone, Default)]
pub struct HubServerArgs {
    /// Kubeconfig of the hub. Default: that of the cluster
    #[arg(long, value_name = "FILE")]
    pub hub_kubeconfig: Option<PathBuf>,
    /// Context of the hub's kubeconfig. Without --hub-kubeconfig and --hub-context, the cluster's own API
    /// server is the hub
    #[arg(long, value_name = "NAME")]
    pub hub_context: Option<String>,
}

impl ServerArgs {
    /// Where that is, and as whom.
    pub fn access(&self) -> Access {
        Access { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }
}

impl HubServerArgs {
    /// Where that is, and as whom, for a command about `member`.
    pub fn access(&self, member: &ServerArgs) -> Access {
        let kubeconfig = self.hub_kubeconfig.clone().or_else(|| member.kubeconfig.clone());
        let context = match (&self.hub_kubeconfig, &self.hub_context) {
            (_, Some(context)) => Some(context.clone()),
            (Some(_), None) => None,
            (None, None) => member.context.clone(),
        };
        Access { kubeconfig, context }
    }
}

/// A client.
///
/// # Errors
/// [`Error::Connect`] if the configuration cannot be used.
pub async fn client(access: &Access) -> Result<Client, Error> {
    described(access)?;
    connect(access).await.map_err(Error::Connect)
}

/// How the API server of `access` is called in messages: by its context, where a kubeconfig has one. A kubeconfig that
/// cannot be read is for [`client`] to tell.
///
/// # Errors
/// [`Error::UnknownContext`], [`Error::NoContext`], with the contexts that there are.
pub fn described(access: &Access) -> Result<String, Error> {
    let in_pod = std::env::var_os("KUBERNETES_SERVICE_HOST").is_some();
    if access.kubeconfig.is_none() && access.context.is_none() && in_pod {
        return Ok("the API server of this Pod".to_owned());
    }
    let file = match &access.kubeconfig {
        Some(path) => Kubeconfig::read_from(path),
        None => Kubeconfig::read(),
    };
    match file {
        Ok(file) => in_words(&file, access.context.as_deref()),
        Err(_) => Ok("the API server".to_owned()),
    }
}

fn in_words(file: &Kubeconfig, context: Option<&str>) -> Result<String, Error> {
    let known = || {
        let names: Vec<&str> = file.contexts.iter().map(|context| context.name.as_str()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(", ") }
    };
    let Some(name) = context.or(file.current_context.as_deref().filter(|name| !name.is_empty())) else {
        return Err(Error::NoContext { known: known() });
    };
    if !file.contexts.iter().any(|context| context.name == name) {
        return Err(Error::UnknownContext { name: name.to_owned(), known: known() });
    }
    Ok(format!("context {name}"))
}

/// How to reach an API server, for others to use.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// Its URL.
    pub server: String,
    /// Certificates that it is known by, PEM in base64. Default: those that the system trusts.
    pub authority: Option<String>,
    /// The name in its certificate, where that is not the one in the URL.
    pub tls_server_name: Option<String>,
}

impl Endpoint {
    /// What the kubeconfig of `access` says, with `server` in place of its URL if given.
    ///
    /// # Errors
    /// [`Error::Endpoint`] if it does not say it, or what it says is of no use to others.
    pub fn of(access: &Access, server: Option<&str>) -> Result<Endpoint, Error> {
        let file = match &access.kubeconfig {
            Some(path) => Kubeconfig::read_from(path),
            None => Kubeconfig::read(),
        };
        let file = file.map_err(|error| Error::Endpoint(error.to_string()))?;
        Endpoint::in_file(&file, access.context.as_deref(), server)
    }

    fn in_file(file: &Kubeconfig, context: Option<&str>, server: Option<&str>) -> Result<Endpoint, Error> {
        let bad = |text: String| Error::Endpoint(text);
        let wanted = context.or(file.current_context.as_deref()).unwrap_or_default();
        let context = file.contexts.iter().find(|context| context.name == wanted);
        let context = context.and_then(|context| context.context.as_ref());
        let context = context.ok_or_else(|| bad(format!("the kubeconfig has no context {wanted:?}")))?;
        let cluster = file.clusters.iter().find(|cluster| cluster.name == context.cluster);
        let cluster = cluster.and_then(|cluster| cluster.cluster.as_ref());
        let cluster =
            cluster.ok_or_else(|| bad(format!("the kubeconfig has no cluster {:?}", context.cluster)))?;
        if cluster.insecure_skip_tls_verify == Some(true) {
            return Err(bad(
                "the kubeconfig does not verify the hub (insecure-skip-tls-verify); members must: give it certificate-authority-data".to_owned(),
            ));
        }
        let authority = match (&cluster.certificate_authority_data, &cluster.certificate_authority) {
            (Some(data), _) => Some(data.clone()),
            (None, Some(path)) => {
                let bytes = std::fs::read(path).map_err(|error| bad(format!("{path}: {error}")))?;
                let encoded = serde_json::to_value(ByteString(bytes)).map_err(Error::Json)?;
                encoded.as_str().map(str::to_owned)
            }
            (None, None) => None,
        };
        let own = cluster.server.clone().ok_or_else(|| bad("the kubeconfig names no server".to_owned()))?;
        if server.is_none() && is_loopback(&own) {
            return Err(bad(format!(
                "{own} is an address of this machine, which Pods of the member cannot reach; give the hub's address with --hub-server (https://kubernetes.default.svc if the hub is the member's own API server)"
            )));
        }
        let server = server.map_or(own, str::to_owned);
        Ok(Endpoint { server, authority, tls_server_name: cluster.tls_server_name.clone() })
    }
}

fn is_loopback(server: &str) -> bool {
    let Ok(url) = server.parse::<http::Uri>() else { return false };
    let host = url.host().unwrap_or_default().trim_matches(['[', ']']);
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Tells how a command comes along, on standard error.
fn say(text: impl std::fmt::Display) {
    // Nobody is left to tell where standard error is gone.
    let _ = writeln!(io::stderr(), "{text}");
}

/// What a look at something that is waited for found.
pub enum Look<T> {
    /// It is so.
    Done(T),
    /// Not yet, and what is missing.
    Missing(String),
}

/// How often it is looked.
const PAUSE: Duration = Duration::from_millis(250);

/// How long something may take without a word.
const PATIENCE: Duration = Duration::from_secs(1);

/// Looks until it is so. What is missing is told, if it is not soon there and whenever that changes.
///
/// # Errors
/// [`Error::Timeout`] with what is missing, `limit` after the start; what `look` fails with.
pub async fn wait<T, F: Future<Output = Result<Look<T>, Error>>>(
    what: &str,
    limit: Duration,
    mut look: impl FnMut() -> F,
) -> Result<T, Error> {
    let start = Instant::now();
    let mut said = String::new();
    loop {
        let missing = match look().await? {
            Look::Done(value) => return Ok(value),
            Look::Missing(missing) => missing,
        };
        if start.elapsed() >= limit {
            return Err(Error::Timeout { what: what.to_owned(), after: limit, missing });
        }
        if start.elapsed() >= PATIENCE && missing != said {
            say(format_args!("waiting: {missing}"));
            said = missing;
        }
        sleep(PAUSE).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn file(server: &str, rest: &str) -> Kubeconfig {
        Kubeconfig::from_yaml(&format!(
            "{{current-context: a, contexts: [{{name: a, context: {{cluster: c, user: u}}}}], \
             clusters: [{{name: c, cluster: {{server: \"{server}\", {rest}}}}}]}}"
        ))
        .unwrap()
    }

    #[test]
    fn a_hub_that_is_given_alone_has_its_own_current_context() {
        let member = ServerArgs { kubeconfig: Some("m".into()), context: Some("x".to_owned()) };
        let access = |file: Option<&str>, context: Option<&str>| {
            let args = HubServerArgs {
                hub_kubeconfig: file.map(PathBuf::from),
                hub_context: context.map(str::to_owned),
            };
            let Access { kubeconfig, context } = args.access(&member);
            (kubeconfig.unwrap().display().to_string(), context)
        };
        assert_eq!(access(None, None), ("m".to_owned(), Some("x".to_owned())));
        assert_eq!(access(None, Some("y")), ("m".to_owned(), Some("y".to_owned())));
        assert_eq!(access(Some("h"), None), ("h".to_owned(), None));
    }

    #[test]
    fn an_endpoint_that_members_cannot_use_is_refused() {
        let of = |server: &str, rest: &str, over: Option<&str>| {
            Endpoint::in_file(&file(server, rest), None, over).map_err(|error| error.to_string())
        };
        let good = of("https://hub.example:6443", "certificate-authority-data: QQ==", None).unwrap();
        assert_eq!(
            (good.server.as_str(), good.authority.as_deref()),
            ("https://hub.example:6443", Some("QQ=="))
        );
        for loopback in ["https://127.0.0.1:6443", "https://[::1]:6443", "https://localhost:6443"] {
            assert!(of(loopback, "", None).unwrap_err().contains("--hub-server"), "{loopback}");
            assert_eq!(of(loopback, "", Some("https://hub")).unwrap().server, "https://hub");
        }
        assert!(of("https://hub", "insecure-skip-tls-verify: true", None).unwrap_err().contains("verify"));
        assert!(Endpoint::in_file(&file("https://hub", ""), Some("b"), None).is_err());
    }
}
