//! Command line of the network manager.

use std::path::PathBuf;

use causeway_daemon::LogFormat;
use clap::Parser;

/// Turns facts (ClusterSet, Cluster, ClusterNode) into plans (NodeConfig, ClusterLink, PeerSlice).
#[derive(Debug, Parser)]
#[command(name = "causeway-network-manager", version)]
pub struct Cli {
    /// Directory of YAML objects to read, watch and write, in place of an API server.
    #[arg(long, value_name = "DIR")]
    pub objects: PathBuf,
    /// Plan and write once, then exit: 0 if everything was planned as asked, 1 if something was
    /// refused or could not be written.
    #[arg(long)]
    pub once: bool,
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t, env = "CAUSEWAY_LOG_FORMAT")]
    pub log_format: LogFormat,
}
