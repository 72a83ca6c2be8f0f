//! Connecting: which API server, as whom.

use std::path::PathBuf;
use std::time::Duration;

use kube_client::config::{KubeConfigOptions, Kubeconfig};
use kube_client::{Client, Config};

/// How long a request may go unanswered while it is being sent.
const SEND: Duration = Duration::from_secs(15);
/// How long setting up a connection may take.
const CONNECT: Duration = Duration::from_secs(5);
/// How long a server may say nothing to somebody who waits for an answer, or watches. It sends each watch a bookmark once a
/// minute (KEP-956), so one that is silent for longer has a connection whose other end is gone.
const SILENCE: Duration = Duration::from_secs(75);

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

fn client(config: Config) -> Result<Client, ConnectError> {
    patient_client(config, SILENCE)
}

fn patient_client(mut config: Config, silence: Duration) -> Result<Client, ConnectError> {
    config.connect_timeout = Some(CONNECT);
    config.write_timeout = Some(SEND);
    config.read_timeout = Some(silence);
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

#[cfg(test)]
mod tests {
    use futures::{StreamExt, TryStreamExt};
    use k8s_openapi::api::core::v1::Node;
    use kube_client::Api;
    use kube_client::api::WatchParams;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn a_watch_whose_server_falls_silent_ends_with_an_error() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = async {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 4096];
            assert!(connection.read(&mut request).await.unwrap() > 0);
            let bookmark = r#"{"type":"BOOKMARK","object":{"kind":"Node","apiVersion":"v1","metadata":{"resourceVersion":"7","creationTimestamp":null}}}"#;
            let head =
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            let chunk = format!("{head}{:x}\r\n{bookmark}\n\r\n", bookmark.len() + 1);
            connection.write_all(chunk.as_bytes()).await.unwrap();
            std::future::pending::<()>().await;
        };
        let watch = async {
            let client =
                patient_client(Config::new(url.parse().unwrap()), Duration::from_millis(200)).unwrap();
            let nodes: Api<Node> = Api::all(client);
            let mut events = nodes.watch(&WatchParams::default(), "0").await.unwrap().boxed();
            assert!(events.try_next().await.unwrap().is_some());
            assert!(events.try_next().await.is_err());
        };
        tokio::select! {
            () = server => unreachable!("it waits for ever"),
            () = watch => {}
        }
    }
}
