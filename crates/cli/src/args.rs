//! The grammar of the command line.

use std::path::PathBuf;

use causeway_model::{ClusterName, NodeName};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::report::Format;

/// Links Kubernetes clusters at layer 3: joins clusters, and shows what the objects of a clusterset
/// come to, before and after they are applied.
#[derive(Parser, Debug)]
#[command(name = "causeway", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 fine, 1 a finding or a failure, 2 usage or input.

Examples:
  causeway install hub --context hub
  causeway join --cluster east --context east --hub-context hub
  causeway plan --objects hub/
  causeway render --objects hub/ --cluster east --node e1 -o json
  causeway explain --objects hub/ --from east/e1 --to 10.2.0.7")]
pub struct Cli {
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Plan(PlanArgs),
    Render(RenderArgs),
    Explain(ExplainArgs),
    Install(crate::install::InstallArgs),
    Join(Box<crate::join::JoinArgs>),
    Leave(crate::leave::LeaveArgs),
    Version(VersionArgs),
    Completion(CompletionArgs),
}

/// Where objects come from, and how the answer is printed.
#[derive(Args, Debug)]
pub struct Common {
    /// Directory of objects: every *.yaml, *.yml and *.json below it is read
    #[arg(long, value_name = "DIR")]
    pub objects: PathBuf,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Show what network-manager would write, and what it refuses and why
///
/// Nothing is written. The facts of the directory are planned with the allocations that its objects
/// already hold, and the result is compared with those objects. With --against, the plans of two
/// directories are compared instead, with the nodes that the difference touches.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 if anything was refused.

Examples:
  causeway plan --objects hub/                          what would be written
  causeway plan --objects hub/ -o json | jq .refused    what was refused, for a script
  causeway plan --objects changed/ --against hub/       what a change would do, and to which nodes")]
pub struct PlanArgs {
    #[command(flatten)]
    pub common: Common,
    /// Compare with the plan of this directory, the state before
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// Rows that each table shows, and nodes whose kernel state is computed before and after; 0 for
    /// all
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub limit: usize,
}

/// Show the kernel state that a node should have
///
/// In the field names of `ip -json` and `bridge -json`, with nftables as text. It comes from the
/// NodeConfigs, ClusterLinks and PeerSlices of the directory if it holds any, else it is planned from
/// the facts.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  causeway render --objects hub/ --cluster east --node e1
  causeway render --objects hub/ --cluster east --node e1 -o json | jq '.route[].dst'
  causeway render --objects hub/ --cluster east --node e1 -o json | jq -r .nftables")]
pub struct RenderArgs {
    #[command(flatten)]
    pub common: Common,
    /// The node's cluster
    #[arg(long, value_name = "CLUSTER")]
    pub cluster: ClusterName,
    /// The node
    #[arg(long, value_name = "NODE")]
    pub node: NodeName,
    #[command(flatten)]
    pub view: ViewArgs,
}

/// What the kernel state of nodes is derived from.
#[derive(Args, Debug, Clone, Copy)]
pub struct ViewArgs {
    /// Plan the facts anew even where the directory holds planned objects
    #[arg(long)]
    pub planned: bool,
    /// MTU of the nodes' underlay links in bytes, which no object states
    #[arg(long, default_value_t = 1500, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(576..=65535))]
    pub underlay_mtu: u32,
}

/// Show the way of a packet, hop by hop, there and back
///
/// Each hop is shown with the entries that decide it and the object that each entry came from. The
/// way is followed through the kernel states that the nodes should have; no packet is sent.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 if there is no way, with the reason and what to do.

Examples:
  causeway explain --objects hub/ --from east/e1 --to 10.2.0.7             from a node
  causeway explain --objects hub/ --from east/e1:10.1.0.5 --to 10.96.0.10  from a pod, to a Service
  causeway explain --objects hub/ --from 10.1.0.5 --to fd00:2::7           from whatever has that address")]
pub struct ExplainArgs {
    #[command(flatten)]
    pub common: Common,
    /// Who sends: CLUSTER/NODE, CLUSTER/NODE:POD-IP or an IP address
    #[arg(long, value_name = "SOURCE")]
    pub from: crate::explain::Source,
    /// The address that it sends to
    #[arg(long, value_name = "IP")]
    pub to: std::net::IpAddr,
    /// Which member of next-hop groups to follow, counted from 1; a smaller group's first
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub member: u16,
    #[command(flatten)]
    pub view: ViewArgs,
}

/// Show the version of this program and of the objects that it reads
#[derive(Args, Debug)]
#[command(after_help = "Example:
  causeway version -o json")]
pub struct VersionArgs {
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Print a completion script for a shell
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  source <(causeway completion bash)
  causeway completion zsh > \"${fpath[1]}/_causeway\"
  causeway completion fish > ~/.config/fish/completions/causeway.fish")]
pub struct CompletionArgs {
    /// The shell
    #[arg(value_enum)]
    pub shell: Shell,
}
