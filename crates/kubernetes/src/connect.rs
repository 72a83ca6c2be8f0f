//! Connecting: which API server, as whom.

use std::path::PathBuf;
use std::time::Duration;

use kube_client::config::{KubeConfigOptions, Kubeconfig};
use kube_client::{Client, Config};

/// How long a request may go unanswered while it is being sent.
const SEND: Duration = Duration::from_secs(15);
/// How long setting up a connection may take.
const CONNECT: Duration = Duration::from_secs(5);

/// Where an API server is found, and as whom to speak to it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Access {
    /// A kubeconfig file. Default: the Pod's ServiceAccount where there is one, else the files that
    /// the environment variable KUBECONFIG names, else ~/.kube/config.
    pub kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig. Default: its current context.
    pub context: Option<String>,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The kubeconfig that was named cannot be used.
    #[error("kubeconfig {}: {source}", path.display())]
    Kubeconfig {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Box<kube_client::config::KubeconfigError>,
    },
    /// A kubeconfig that is at hand as text cannot be used.
    #[error("the kubeconfig cannot be used: {0}")]
    Text(#[source] Box<kube_client::config::KubeconfigError>),
    /// No kubeconfig was named and none is to be had.
    #[error(
        "no API server is configured: {0}; run in a Pod with a ServiceAccount, or name a kubeconfig with --kubeconfig or KUBECONFIG"
    )]
    NotConfigured(#[source] Box<kube_client::config::KubeconfigError>),
    /// The configuration cannot be made a client of.
    #[error("the configuration of the API server cannot be used: {0}")]
    Client(#[source] Box<kube_client::Error>),
}

/// A client for `access`. Nothing is sent yet.
///
/// # Errors
/// [`ConnectError`] if the configuration is missing or cannot be used.
pub async fn connect(access: &Access) -> Result<Client, ConnectError> {
    client(config(access).await?)
}

/// The certificates (DER) of the authorities that the API server's certificate is to be signed by; none if
/// those of the system are trusted. They tell two clusters apart without an answer from either.
///
/// # Errors
/// [`ConnectError`] if the configuration is missing or cannot be used.
pub async fn authorities(access: &Access) -> Result<Vec<Vec<u8>>, ConnectError> {
    Ok(config(access).await?.root_cert.unwrap_or_default())
}

/// A client for the current context of a kubeconfig that is at hand as text. Nothing is sent yet.
///
/// # Errors
/// [`ConnectError`] if it cannot be used.
pub async fn connect_with(kubeconfig: &str) -> Result<Client, ConnectError> {
    let given = |source| ConnectError::Text(Box::new(source));
    let file = Kubeconfig::from_yaml(kubeconfig).map_err(given)?;
    client(Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.map_err(given)?)
}

fn client(mut config: Config) -> Result<Client, ConnectError> {
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(SEND);
    Client::try_from(config).map_err(|error| ConnectError::Client(Box::new(error)))
}

async fn config(access: &Access) -> Result<Config, ConnectError> {
    let options = KubeConfigOptions { context: access.context.clone(), ..KubeConfigOptions::default() };
    if let Some(path) = &access.kubeconfig {
        let named = |source| ConnectError::Kubeconfig { path: path.clone(), source: Box::new(source) };
        let file = Kubeconfig::read_from(path).map_err(named)?;
        return Config::from_custom_kubeconfig(file, &options).await.map_err(named);
    }
    if access.context.is_none()
        && let Ok(config) = Config::incluster()
    {
        return Ok(config);
    }
    Config::from_kubeconfig(&options).await.map_err(|error| ConnectError::NotConfigured(Box::new(error)))
}
