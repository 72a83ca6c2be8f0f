//! The grammar of the command line.

use std::path::PathBuf;

use causeway_model::{ClusterName, NodeName};
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;

use crate::report::{ColourChoice, Format};
use crate::source::SourceArgs;

/// Links Kubernetes clusters at layer 3: joins clusters, and shows what the objects of a clusterset
/// come to, before and after they are applied.
#[derive(Parser, Debug)]
#[command(name = "causeway", version, propagate_version = true, arg_required_else_help = true)]
#[command(after_help = "Exit codes: 0 fine, 1 a finding or a failure, 2 usage or input.

Examples:
  causeway install hub --context hub
  causeway join --cluster east --context east --hub-context hub
  causeway status --context hub
  causeway plan --context hub -f cluster.yaml
  causeway explain --context hub --from east/e1 --to 10.2.0.7
  causeway render --objects hub/ --cluster east --node e1 -o json
  causeway doctor --objects hub/")]
pub struct Cli {
    /// When to use colours
    #[arg(long, visible_alias = "colour", global = true, value_enum, default_value_t, value_name = "WHEN")]
    pub color: ColourChoice,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Subcommand, Debug)]
pub enum Command {
    Status(crate::status::StatusArgs),
    Dashboard(crate::dashboard::DashboardArgs),
    Plan(Box<PlanArgs>),
    Render(RenderArgs),
    Explain(ExplainArgs),
    Doctor(crate::doctor::DoctorArgs),
    Install(crate::install::InstallArgs),
    Join(Box<crate::join::JoinArgs>),
    Leave(crate::leave::LeaveArgs),
    Version(crate::version::VersionArgs),
    Gather(Box<crate::gather::GatherArgs>),
    Bench(crate::bench::BenchArgs),
    Completion(CompletionArgs),
    Man(ManArgs),
    Schema(SchemaArgs),
}

/// Where objects come from, and how the answer is printed.
#[derive(Args, Debug)]
pub struct Common {
    #[command(flatten)]
    pub source: SourceArgs,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Show what a change would do before it is applied, and what is refused and why
///
/// Nothing is written. With -f, -k and --delete the hub's objects, or those of a directory, are planned with the change
/// put over them: what network-manager would write, how many nodes read it, and whose kernel state differs. Objects
/// of the change replace those that are there as a whole. Without a change the facts are planned as they are, with
/// the allocations that are given already, and compared with the planned objects that are there. With --against, the
/// plans of two sources are compared.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 if anything is refused.

Examples:
  causeway plan --context hub -f west.yaml               what applying a file would do, and to which nodes
  causeway plan --context hub -k overlays/prod --diff    what applying a kustomization would do, line by line
  kubectl get cluster west -o yaml | sed 's/P2P/Gateway/' | causeway plan -f -
  causeway plan --context hub --delete cluster/west      what would go with a cluster
  causeway plan --objects hub/ -o json | jq .refused     what is refused, for a script
  causeway plan --objects changed/ --against hub/        the difference between two directories")]
pub struct PlanArgs {
    #[command(flatten)]
    pub common: Common,
    #[command(flatten)]
    pub change: crate::plan::ChangeArgs,
    /// Compare with the plan of this directory, the state before
    #[arg(long, value_name = "DIR")]
    pub against: Option<PathBuf>,
    /// Show changes line by line, as differences of YAML
    #[arg(long)]
    pub diff: bool,
    /// Rows that each table shows, and nodes whose kernel state is computed before and after; 0 for
    /// all
    #[arg(long, default_value_t = 200, value_name = "N")]
    pub limit: usize,
}

/// Show the kernel state that a node should have
///
/// In the field names of `ip -json` and `bridge -json`, with nftables as text. It comes from the
/// NodeConfigs, ClusterLinks and PeerSlices of the hub or the directory if it holds any, else it is planned from
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
    /// Plan the facts anew even where there are planned objects
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
  causeway explain --context hub --from east/e1 --to west/w3:10.2.3.7      from a node to a pod, live
  causeway explain --objects hub/ --from east/e1 --to 10.2.0.7             the same of objects in files
  causeway explain --objects hub/ --from east/e1:10.1.0.5 --to 10.96.0.10  from a pod, to a Service
  causeway explain --objects hub/ --from 10.1.0.5 --to fd00:2::7           from whatever has that address")]
pub struct ExplainArgs {
    #[command(flatten)]
    pub common: Common,
    /// Who sends: CLUSTER/NODE, CLUSTER/NODE:POD-IP or an IP address
    #[arg(long, value_name = "SOURCE")]
    pub from: crate::explain::Source,
    /// Where to: an IP address, CLUSTER/NODE, or CLUSTER/NODE:POD-IP, which is reached under its global address
    /// where the cluster shows one
    #[arg(long, value_name = "DESTINATION")]
    pub to: crate::explain::Source,
    /// Which member of next-hop groups to follow, counted from 1; a smaller group's first
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u16).range(1..))]
    pub member: u16,
    #[command(flatten)]
    pub view: ViewArgs,
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

/// Write manual pages
#[derive(Args, Debug)]
#[command(after_help = "Example:
  causeway man /usr/local/share/man/man1")]
pub struct ManArgs {
    /// The folder to write them to; made if it is not there
    #[arg(value_name = "DIR")]
    pub directory: PathBuf,
}

/// Print the JSON Schema of what a command prints with -o json
#[derive(Args, Debug)]
#[command(after_help = "Example:
  causeway schema status > status.schema.json")]
pub struct SchemaArgs {
    /// The command
    #[arg(value_enum, value_name = "COMMAND")]
    pub of: crate::schema::Of,
}
