//! Command line of the agent.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use causeway_daemon::LogFormat;
use causeway_model::{ClusterName, NodeName};
use clap::{Args, Parser, Subcommand, ValueEnum};

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
    /// Test this node as it is, alone, and print the evidence as a Diagnosis: for `causeway doctor --evidence FILE`.
    Examine(ExamineArgs),
    /// Do nothing until asked to end: for a Pod whose work is done before its containers start.
    Wait,
}

/// How to run.
#[derive(Debug, Args)]
pub struct RunArgs {
    /// Name of this node.
    #[arg(long, value_name = "NAME", required = true, env = "NODE_NAME")]
    pub node: Option<NodeName>,
    /// Directory of YAML objects to read and watch, in place of an API server.
    #[arg(long, value_name = "DIR", requires = "cluster")]
    pub objects: Option<PathBuf>,
    /// Cluster of this node, for --objects.
    #[arg(long, value_name = "NAME", requires = "objects")]
    pub cluster: Option<ClusterName>,
    /// Kubeconfig of this node's own cluster. Default: the Pod's ServiceAccount, else KUBECONFIG or
    /// ~/.kube/config.
    #[arg(long, value_name = "FILE", conflicts_with = "objects")]
    pub kubeconfig: Option<PathBuf>,
    /// Namespace that holds the objects of this node's own cluster.
    #[arg(long, value_name = "NAME", default_value = causeway_api::SYSTEM_NAMESPACE, conflicts_with = "objects")]
    pub namespace: String,
    /// Where to serve /healthz, /readyz and /metrics.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:4880", conflicts_with = "objects")]
    pub listen: SocketAddr,
    /// Where to keep what must survive a restart.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/causeway")]
    pub state_dir: PathBuf,
    /// Time between two echo requests to each gateway that this node uses, for example 100ms or 1s; 0
    /// sends none, and no gateway is taken out of use.
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = interval)]
    pub probe_interval: Duration,
    /// Whether packets of settled connections between pods here and in other clusters pass by the host's IP layer.
    #[arg(long, value_enum, value_name = "WHEN", default_value_t)]
    pub fast_path: FastPath,
    /// Converge once, then exit: 0 if the kernel is as it should be, else 1.
    #[arg(long)]
    pub once: bool,
    /// Print the steps that would be taken, take none, and exit.
    #[arg(long)]
    pub dry_run: bool,
}

/// When to use the fast path.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, ValueEnum)]
pub enum FastPath {
    /// Where connection tracking takes TCP's sequence numbers as they come (sysctl net.netfilter.nf_conntrack_tcp_be_liberal,
    /// kube-proxy's conntrack.tcpBeLiberal), pods are behind a bridge or the node is a gateway, and the kernel is able to.
    #[default]
    Auto,
    /// On no account.
    Never,
}

/// Shortest and longest time between probes: below, they say more about this host than about the
/// gateways; above, nobody waits for their result.
const PROBE_INTERVALS: (Duration, Duration) = (Duration::from_millis(20), Duration::from_secs(10));

/// Reads a time such as `100ms`, `1s` or `0`.
fn interval(text: &str) -> Result<Duration, String> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_lowercase());
    let number: u64 = digits.parse().map_err(|_| "give a time such as 100ms or 1s, or 0".to_owned())?;
    let time = match &text[digits.len()..] {
        _ if number == 0 => return Ok(Duration::ZERO),
        "ms" => Duration::from_millis(number),
        "s" => Duration::from_secs(number),
        _ => return Err("the unit is ms or s".to_owned()),
    };
    let (least, most) = PROBE_INTERVALS;
    if time < least || time > most {
        return Err(format!("at least {least:?} and at most {most:?}, or 0 for no probes"));
    }
    Ok(time)
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

/// What to test a node by.
#[derive(Debug, Args)]
pub struct ExamineArgs {
    /// Name of this node.
    #[arg(long, value_name = "NAME", env = "NODE_NAME")]
    pub node: NodeName,
    /// Directory of YAML objects that say what the node is, in place of the last known state.
    #[arg(long, value_name = "DIR", requires = "cluster")]
    pub objects: Option<PathBuf>,
    /// Cluster of this node, for --objects.
    #[arg(long, value_name = "NAME", requires = "objects")]
    pub cluster: Option<ClusterName>,
    /// Where the agent keeps the last known state, which says what the node is.
    #[arg(long, value_name = "DIR", default_value = "/var/lib/causeway", conflicts_with = "objects")]
    pub state_dir: PathBuf,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_probe_interval_is_a_time_with_a_unit_within_bounds_or_nothing() {
        let millis = |text: &str| interval(text).map(|time| time.as_millis()).ok();
        assert_eq!(
            (millis("100ms"), millis("2s"), millis("0"), millis("0s")),
            (Some(100), Some(2000), Some(0), Some(0))
        );
        for wrong in ["", "s", "100", "1m", "19ms", "11s", "-1s", "1 s", "99999999999999999999s"] {
            assert!(interval(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_run_needs_a_node_and_a_directory_needs_a_cluster_and_a_cleanup_needs_none() {
        let parse = |words: &[&str]| Cli::try_parse_from([&["causeway-agent"], words].concat());
        assert!(parse(&[]).is_err());
        assert!(parse(&["--node", "n"]).is_ok());
        assert!(parse(&["--objects", "d", "--cluster", "a", "--node", "n"]).is_ok());
        assert!(parse(&["--objects", "d", "--node", "n"]).is_err());
        assert!(parse(&["--cluster", "a", "--node", "n"]).is_err());
        assert!(parse(&["--objects", "d", "--cluster", "A", "--node", "n"]).is_err());
        assert!(parse(&["--objects", "d", "--cluster", "a", "--node", "n", "--kubeconfig", "k"]).is_err());
        let cleanup = parse(&["cleanup", "--dry-run"]).unwrap();
        assert!(matches!(cleanup.command, Some(Command::Cleanup(CleanupArgs { dry_run: true, .. }))));
    }
}
