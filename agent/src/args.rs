//! Command line of the agent.

use std::path::PathBuf;

use causeway_daemon::LogFormat;
use causeway_model::{ClusterName, NodeId, NodeName};
use clap::{Args, Parser, Subcommand};

/// Programs this node's kernel from its NodeConfig, ClusterLinks and PeerSlices.
#[derive(Debug, Parser)]
#[command(name = "causeway-agent", version, args_conflicts_with_subcommands = true)]
pub struct Cli {
    /// What to do; without it, run.
    #[command(subcommand)]
    pub command: Option<Command>,
    /// How to run.
    #[command(flatten)]
    pub run: RunArgs,
    /// How log lines are written.
    #[arg(long, value_enum, default_value_t, global = true, env = "CAUSEWAY_LOG_FORMAT")]
    pub log_format: LogFormat,
}

/// What the agent does instead of running.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Remove everything that Causeway put into this kernel, and put back what it changed.
    Cleanup(CleanupArgs),
}

/// How to run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Directory of YAML objects to read and watch, in place of an API server.
    #[arg(long, value_name = "DIR", required = true)]
    pub objects: Option<PathBuf>,
    /// Cluster of this node.
    #[arg(long, value_name = "NAME", required = true)]
    pub cluster: Option<ClusterName>,
    /// Name of this node.
    #[arg(long, value_name = "NAME", required = true, env = "NODE_NAME")]
    pub node: Option<NodeName>,
    /// Where to keep what must survive a restart.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/causeway")]
    pub state_dir: PathBuf,
    /// Converge once, then exit: 0 if the kernel is as it should be, else 1.
    #[arg(long)]
    pub once: bool,
    /// Print the steps that would be taken, take none, and exit.
    #[arg(long)]
    pub dry_run: bool,
}

impl RunArgs {
    /// The directory and the node, if both were given.
    pub fn source(&self) -> Option<(PathBuf, NodeId)> {
        let id = NodeId { cluster: self.cluster.clone()?, node: self.node.clone()? };
        Some((self.objects.clone()?, id))
    }
}

/// How to clean up.
#[derive(Debug, Args)]
pub struct CleanupArgs {
    /// Where the agent kept what must survive a restart.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/causeway")]
    pub state_dir: PathBuf,
    /// Print the steps that would be taken and take none.
    #[arg(long)]
    pub dry_run: bool,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_needs_objects_cluster_and_node_and_a_cleanup_needs_none() {
        assert!(Cli::try_parse_from(["causeway-agent"]).is_err());
        let full = ["causeway-agent", "--objects", "d", "--cluster", "a", "--node", "n"];
        assert!(Cli::try_parse_from(full).unwrap().run.source().is_some());
        assert!(
            Cli::try_parse_from(["causeway-agent", "--objects", "d", "--cluster", "A", "--node", "n"])
                .is_err()
        );
        let cleanup = Cli::try_parse_from(["causeway-agent", "cleanup", "--dry-run"]).unwrap();
        assert!(matches!(cleanup.command, Some(Command::Cleanup(CleanupArgs { dry_run: true, .. }))));
    }
}
