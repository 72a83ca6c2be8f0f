//! Both ends on two nodes of the clusterset.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use causeway_model::{Family, NodeId, NodePlan};
use causeway_pathbench::PORT;
use clap::Args;

use super::{Amount, BenchReport};
use crate::args::ViewArgs;
use crate::error::Error;
use crate::node_state::View;
use crate::report::Format;
use crate::source::SourceArgs;

/// How long the answering end may take to start, beside what is measured.
const START: u64 = 60;

/// Measure between two nodes of the clusterset: inside the tunnels, against the underlay between the same two
///
/// Both ends are started in the agents' Pods of the two nodes, by `kubectl exec`, or wherever --exec-from and --exec-to lead. The
/// answering end listens on two addresses, answers the two of the asking node only, and ends by itself.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 if a path carries nothing, or figures are not to be trusted.

Examples:
  causeway bench nodes --context hub --from east/n1 --to west/n2 --from-context east --to-context west
  causeway bench nodes --objects DIR --from east/n1 --to west/n2 --exec-from 'ssh n1' --exec-to 'ssh n2'")]
pub struct NodesArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// The node that asks, as CLUSTER/NODE
    #[arg(long, value_name = "CLUSTER/NODE")]
    pub from: NodeId,
    /// The node that answers, as CLUSTER/NODE
    #[arg(long, value_name = "CLUSTER/NODE")]
    pub to: NodeId,
    /// Context of the asking node's cluster in the kubeconfig. Default: the name of the cluster
    #[arg(long, value_name = "NAME")]
    pub from_context: Option<String>,
    /// Context of the answering node's cluster in the kubeconfig. Default: the name of the cluster
    #[arg(long, value_name = "NAME")]
    pub to_context: Option<String>,
    /// What runs a command on the asking node, in place of kubectl; words are split at spaces
    #[arg(long, value_name = "COMMAND")]
    pub exec_from: Option<String>,
    /// What runs a command on the answering node, in place of kubectl; words are split at spaces
    #[arg(long, value_name = "COMMAND")]
    pub exec_to: Option<String>,
    /// How this program is called on the nodes
    #[arg(long, value_name = "PROGRAM", default_value = "causeway")]
    pub program: String,
    /// Use IPv6 where both nodes have it
    #[arg(long)]
    pub ipv6: bool,
    /// Port of the answering end
    #[arg(long, value_name = "PORT", default_value_t = PORT)]
    pub port: u16,
    #[command(flatten)]
    pub amount: Amount,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// How long the answering end may take to end.
const END: Duration = Duration::from_secs(3);

/// The answering end. It ends when its standard input does: whoever runs it there may not pass on a signal.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        let deadline = Instant::now() + END;
        while matches!(self.0.try_wait(), Ok(None)) && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(20));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Measures.
///
/// # Errors
/// If a node is unknown, or has no such address; if an end does not start, or a path carries nothing.
pub fn run(args: &NodesArgs) -> Result<BenchReport, Error> {
    let inventory = args.source.inventory()?;
    for id in [&args.from, &args.to] {
        inventory.check_node(id)?;
    }
    let view = View::of(&inventory, ViewArgs { planned: false, underlay_mtu: 1500 });
    let (from, to) = (Ends::of(view.node(&args.from)?, args)?, Ends::of(view.node(&args.to)?, args)?);
    let prefix = |exec: &Option<String>, context: &Option<String>, id: &NodeId| match exec {
        Some(command) => Ok(command.split_whitespace().map(str::to_owned).collect()),
        None => kubectl(args, context.as_deref(), id),
    };
    let on_from = prefix(&args.exec_from, &args.from_context, &args.from)?;
    let on_to = prefix(&args.exec_to, &args.to_context, &args.to)?;

    let port = args.port.to_string();
    let lasting = START
        + 4 * args.amount.seconds
        + 2 * u64::from(args.amount.transfers) * (1 + args.amount.transfer / 16);
    let mut serve =
        vec!["bench".to_owned(), "serve".into(), "--until-input-ends".into(), "--port".into(), port.clone()];
    serve.extend(["--for".to_owned(), lasting.min(3600).to_string()]);
    serve.extend(from.both().into_iter().flat_map(|address| ["--from".to_owned(), address]));
    serve.extend(to.both().into_iter().flat_map(|address| ["--listen".to_owned(), address]));
    let _answering = answering(&on_to, &args.program, &serve)?;

    let mut ask = vec!["bench".to_owned(), "run".into(), "--port".into(), port, "-o".into(), "json".into()];
    for (name, address) in ["underlay", "overlay"].into_iter().zip(to.both()) {
        ask.extend(["--path".to_owned(), format!("{name}={address}")]);
    }
    let Amount { seconds, transfer, transfers } = args.amount;
    ask.extend(["--seconds".to_owned(), seconds.to_string(), "--transfer".into(), transfer.to_string()]);
    ask.extend(["--transfers".to_owned(), transfers.to_string()]);
    let report = asking(&on_from, &args.program, &ask)?;
    Ok(BenchReport { from: Some(args.from.to_string()), to: Some(args.to.to_string()), ..report })
}

/// The two addresses of a node that are compared.
struct Ends {
    underlay: String,
    overlay: String,
}

impl Ends {
    fn of(node: &NodePlan, args: &NodesArgs) -> Result<Ends, Error> {
        let family = if args.ipv6 { Family::V6 } else { Family::V4 };
        let underlay = node
            .vtep
            .underlay
            .get(family)
            .or(*node.vtep.underlay.get(Family::V4))
            .or(*node.vtep.underlay.get(Family::V6));
        let underlay =
            underlay.ok_or_else(|| Error::Bench(format!("node {} has no underlay address", node.id)))?;
        if !node.vtep.families.contains(family) {
            return Err(Error::Bench(format!(
                "cluster {} uses no {family} inside its tunnels",
                node.id.cluster
            )));
        }
        Ok(Ends { underlay: underlay.to_string(), overlay: node.vtep.overlay.get(family).to_string() })
    }

    fn both(&self) -> [String; 2] {
        [self.underlay.clone(), self.overlay.clone()]
    }
}

/// `kubectl exec` into the agent of a node.
fn kubectl(args: &NodesArgs, context: Option<&str>, id: &NodeId) -> Result<Vec<String>, Error> {
    let mut words = vec!["kubectl".to_owned()];
    if let Some(file) = &args.source.kubeconfig {
        words.extend(["--kubeconfig".to_owned(), file.display().to_string()]);
    }
    words.extend(["--context".to_owned(), context.unwrap_or(id.cluster.as_str()).to_owned()]);
    words.extend(["--namespace".to_owned(), causeway_api::SYSTEM_NAMESPACE.to_owned()]);
    let mut list = words.clone();
    list.extend(["get", "pods", "--output", "name", "--selector"].map(str::to_owned));
    list.push("app.kubernetes.io/name=causeway,app.kubernetes.io/component=agent".to_owned());
    list.extend(["--field-selector".to_owned(), format!("spec.nodeName={},status.phase=Running", id.node)]);
    let output = Command::new(&list[0]).args(&list[1..]).output();
    let output = output.map_err(|error| {
        failed(&list, &format!("{error}; is kubectl installed? --exec-from and --exec-to do without"))
    })?;
    if !output.status.success() {
        return Err(failed(&list, String::from_utf8_lossy(&output.stderr).trim()));
    }
    let names = String::from_utf8_lossy(&output.stdout).into_owned();
    let Some(pod) = names.split_whitespace().next() else {
        return Err(Error::Bench(format!("no agent runs on node {id}")));
    };
    words.extend(["exec", "--stdin", pod, "--"].map(str::to_owned));
    Ok(words)
}

fn command(prefix: &[String], program: &str, words: &[String]) -> (Command, Vec<String>) {
    let all: Vec<String> =
        prefix.iter().cloned().chain([program.to_owned()]).chain(words.iter().cloned()).collect();
    let mut command = Command::new(&all[0]);
    command.args(&all[1..]).stdin(Stdio::null());
    (command, all)
}

fn failed(words: &[String], why: &str) -> Error {
    Error::Program { program: words.join(" "), why: why.to_owned() }
}

/// Starts the answering end, and waits until it listens.
fn answering(prefix: &[String], program: &str, words: &[String]) -> Result<Running, Error> {
    let (mut command, words) = command(prefix, program, words);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut running = Running(command.spawn().map_err(|error| failed(&words, &error.to_string()))?);
    let mut line = String::new();
    let out = running.0.stdout.take();
    let read = out.map(|out| BufReader::new(out).read_line(&mut line));
    if !matches!(read, Some(Ok(_))) || !line.starts_with("listening") {
        return Err(failed(&words, "it does not listen"));
    }
    Ok(running)
}

fn asking(prefix: &[String], program: &str, words: &[String]) -> Result<BenchReport, Error> {
    let (mut command, words) = command(prefix, program, words);
    let output = command.stderr(Stdio::inherit()).output();
    let output = output.map_err(|error| failed(&words, &error.to_string()))?;
    // Exit code 1 with a report is one that is not to be trusted.
    serde_json::from_slice(&output.stdout)
        .map_err(|_| failed(&words, &format!("it ended with {}", output.status)))
}
