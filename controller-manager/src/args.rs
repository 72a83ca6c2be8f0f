//! Command line of the controller manager.

use std::net::SocketAddr;
use std::path::PathBuf;

use causeway_daemon::LogFormat;
use causeway_model::ClusterName;
use clap::Parser;

/// Tells the hub the facts of its cluster (Cluster status, ClusterNodes), copies the plans for it
/// (NodeConfigs, ClusterLinks, PeerSlices) to its cluster, and sums their status up.
#[derive(Debug, Parser)]
#[command(name = "causeway-controller-manager", version)]
pub struct Cli {
    /// Name of the Cluster at the hub that this cluster is.
    #[arg(long, value_name = "NAME", env = "CAUSEWAY_CLUSTER")]
    pub cluster: ClusterName,
    /// Kubeconfig of the hub. Read again when it changes.
    #[arg(long, value_name = "FILE")]
    pub hub_kubeconfig: PathBuf,
    /// Kubeconfig of its own cluster. Default: the Pod's ServiceAccount, else KUBECONFIG or ~/.kube/config.
    #[arg(long, value_name = "FILE")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace, in its own cluster, of the Lease, of the hub's credential and of the copies.
    #[arg(long, value_name = "NAME", default_value = causeway_api::SYSTEM_NAMESPACE)]
    pub namespace: String,
    /// Where to serve /healthz, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "[::]:8080")]
    pub listen: SocketAddr,
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t, env = "CAUSEWAY_LOG_FORMAT")]
    pub log_format: LogFormat,
}
