//! Command line of the network manager.

use std::net::SocketAddr;
use std::path::PathBuf;

use causeway_daemon::LogFormat;
use clap::Parser;

/// Turns facts (ClusterSet, Cluster, ClusterNode) into plans (NodeConfig, ClusterLink, PeerSlice), at an
/// API server, the hub, or in a directory.
#[derive(Debug, Parser)]
#[command(name = "causeway-network-manager", version)]
pub struct Cli {
    /// Directory of YAML objects to read, watch and write, in place of an API server.
    #[arg(long, value_name = "DIR")]
    pub objects: Option<PathBuf>,
    /// Plan and write once, then exit: 0 if everything was planned as asked, 1 if something was
    /// refused or could not be written. Needs --objects.
    #[arg(long, requires = "objects")]
    pub once: bool,
    /// The hub.
    #[command(flatten)]
    pub hub: HubArgs,
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t, env = "CAUSEWAY_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// How to work at an API server.
#[derive(Debug, clap::Args)]
pub struct HubArgs {
    /// Kubeconfig of the hub. Default: the Pod's ServiceAccount, else KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE", conflicts_with = "objects")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace of the Lease.
    #[arg(long, value_name = "NAME", default_value = causeway_api::SYSTEM_NAMESPACE, conflicts_with = "objects")]
    pub namespace: String,
    /// Where to serve /healthz, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080", conflicts_with = "objects")]
    pub listen: SocketAddr,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_and_an_api_server_exclude_each_other() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["causeway-network-manager"], words].concat());
        assert!(parse(&[]).unwrap().objects.is_none());
        assert!(parse(&["--objects", "d", "--once"]).unwrap().once);
        assert!(parse(&["--once"]).is_err());
        assert!(parse(&["--objects", "d", "--kubeconfig", "k"]).is_err());
    }
}
