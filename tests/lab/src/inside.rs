//! The commands that run inside a bed. The same words as outside, behind a hidden `inside`.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use std::{fs, io, thread};

use causeway_model::{ClusterName, Family, NodeId};
use clap::{Args, Subcommand, ValueEnum};
use nix::mount::{MsFlags, mount};
use nix::sched::{CloneFlags, unshare};

use crate::daemon::Daemon;
use crate::error::{LabError, Result};
use crate::fault::{self, Fault};
use crate::forge::Forged;
use crate::holder;
use crate::namespace::Namespace;
use crate::probe::plan::{CheckOptions, Knowledge};
use crate::probe::stream::{self, StreamOptions};
use crate::probe::{Check, Report, run};
use crate::state::{State, to_json};
use crate::topology::{ControlPlane, Endpoint};
use crate::{bed, echo, kubernetes, matrix, membership, snapshot};

/// How long a stream waits for its first answer before it gives up.
const FIRST_ANSWER: Duration = Duration::from_secs(30);

/// What can be done in a bed.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum BedCommand {
    /// Send real packets between all pairs and print what gets through; exit 1 if not all is as expected
    Check(CheckArgs),
    /// Make a fault, or mend it
    #[command(subcommand)]
    Fault(Fault),
    /// Send a stream of packets until standard input ends, and print what was lost as JSON
    Stream(StreamOptions),
    /// Print what a program has logged: `manager`, or a node as CLUSTER/NODE
    Logs {
        /// `manager`, CLUSTER/NODE for an agent, or CLUSTER for its controller-manager
        of: String,
    },
    /// Print the state of a node's network as JSON: links, addresses, routes, rules, neighbours, FDB, nftables, sysctls
    Snapshot {
        /// CLUSTER/NODE, or `underlay`
        node: String,
    },
    /// Add a node to a running bed
    AddNode {
        /// The cluster
        cluster: ClusterName,
        /// The node, as the lab file writes one, in YAML [default: all defaults]
        #[arg(default_value = "{}")]
        node: String,
        /// Wait until its first pod reaches this endpoint, and print how many microseconds after the node was
        /// announced that was
        #[arg(long)]
        until_reaching: Option<Endpoint>,
    },
    /// Take a node out of a running bed
    RemoveNode {
        /// CLUSTER/NODE
        node: NodeId,
    },
    /// Run kubectl against the API server of a cluster, or `hub`
    Kubectl {
        /// The cluster, or `hub`
        server: String,
        /// What to tell kubectl
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        arguments: Vec<String>,
    },
    /// Send one VXLAN packet made by hand
    Forge(Forged),
    /// Print the endpoints of the bed with their addresses
    List,
}

/// How to check and to print.
#[derive(Clone, Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub options: CheckOptions,
    /// Repeat small probes for so many seconds at most until all is as expected, then check once
    #[arg(long)]
    pub wait: Option<u64>,
    /// How to print the result
    #[arg(long, short, value_enum, default_value_t = Output::Table)]
    pub output: Output,
}

/// A form of output.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub(crate) enum Output {
    /// For people.
    Table,
    /// Everything.
    Json,
}

/// What only the lab itself calls.
#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Inside {
    /// Be process 1 of a bed
    Holder {
        /// The bed's name, for others to find
        bed: String,
    },
    /// Serve echoes for these endpoints
    Serve {
        /// The file to make when all listen
        #[arg(long)]
        ready: PathBuf,
        /// The endpoints
        endpoints: Vec<Endpoint>,
    },
    /// Become a program in a network namespace of the bed
    Enter {
        /// The namespace, or `underlay`
        namespace: String,
        /// The program with its arguments
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Keep a processor busy until standard input ends
    Burn,
    #[command(flatten)]
    Bed(BedCommand),
}

/// Runs it.
pub(crate) fn main(command: Inside) -> Result<ExitCode> {
    match command {
        Inside::Holder { .. } => holder::run()?,
        Inside::Serve { ready, endpoints } => echo::serve(&endpoints, &ready)?,
        Inside::Enter { namespace, command } => enter(&namespace, &command)?,
        Inside::Burn => matrix::burn(),
        Inside::Bed(command) => return in_bed(command),
    }
    Ok(ExitCode::SUCCESS)
}

fn in_bed(command: BedCommand) -> Result<ExitCode> {
    match command {
        BedCommand::Check(args) => return check(&args),
        BedCommand::Fault(fault) => fault::apply(&fault)?,
        BedCommand::Stream(options) => stream(&options)?,
        BedCommand::Logs { of } => logs(&of)?,
        BedCommand::Snapshot { node } => print(&snapshot::take(&namespace_of(&node)?)?)?,
        BedCommand::AddNode { cluster, node, until_reaching } => {
            print(&membership::add(&cluster, &node, until_reaching.as_ref())?)?;
        }
        BedCommand::RemoveNode { node } => membership::remove(&node)?,
        BedCommand::Kubectl { server, arguments } => {
            let status = kubernetes::kubectl(&server, &arguments)?;
            return Ok(if status.success() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        BedCommand::Forge(forged) => forged.send(&namespace_of(&forged.at)?)?,
        BedCommand::List => list()?,
    }
    Ok(ExitCode::SUCCESS)
}

fn print(text: &str) -> Result<()> {
    // A reader that went away early has seen enough.
    let _ = writeln!(io::stdout(), "{}", text.trim_end());
    Ok(())
}

fn namespace_of(name: &str) -> Result<Namespace> {
    if name == "underlay" {
        return Ok(Namespace::underlay());
    }
    let endpoint: Endpoint = name.parse()?;
    let known = State::load()?.topology.has(&endpoint) && endpoint.namespace().is_some();
    if known {
        Ok(bed::endpoint_namespace(&endpoint))
    } else {
        Err(LabError::UnknownEndpoint(name.to_owned()))
    }
}

fn enter(namespace: &str, command: &[String]) -> Result<()> {
    let namespace = if namespace.contains('/') {
        namespace_of(namespace)?
    } else if namespace == "underlay" {
        Namespace::underlay()
    } else {
        Namespace::named(namespace)
    };
    namespace.enter()?;
    // A /sys that shows this network's devices, where the kernel allows a new one.
    unshare(CloneFlags::CLONE_NEWNS).map_err(LabError::namespace("make a mount namespace"))?;
    let _ = mount(Some("sysfs"), "/sys", Some("sysfs"), MsFlags::empty(), None::<&str>);
    let error = Command::new(&command[0]).args(&command[1..]).exec();
    Err(LabError::run(&command[0])(error))
}

/// What a probe is about, when it comes to finding it again.
type Pair = (Endpoint, Endpoint, Family);

fn check(args: &CheckArgs) -> Result<ExitCode> {
    if let Some(seconds) = args.wait {
        wait_until_ready(&args.options, Duration::from_secs(seconds))?;
    }
    let report = check_once(&args.options, None)?;
    match args.output {
        Output::Table => print(&report.to_table())?,
        Output::Json => print(&to_json(&report, "the report")?)?,
    }
    Ok(if report.is_fine() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One check: of all that `options` ask for, or `only` of some pairs of it.
fn check_once(options: &CheckOptions, only: Option<&BTreeSet<Pair>>) -> Result<Report> {
    let state = State::load()?;
    refresh_objects(&state)?;
    let mut planned = Knowledge::read(&state, &holder::objects())?.probes(options)?;
    if let Some(only) = only {
        planned.retain(|(p, _)| only.contains(&(p.from.clone(), p.to.clone(), p.family)));
    }
    let (probes, expected): (Vec<_>, Vec<_>) = planned.into_iter().unzip();
    let outcomes = run::run(&probes, Duration::from_millis(options.timeout.unwrap_or(1500)))?;
    let joined = probes.into_iter().zip(expected).zip(outcomes);
    Ok(Report {
        checks: joined.map(|((probe, expected), outcome)| Check::new(probe, expected, outcome)).collect(),
    })
}

/// Small probes until all is as expected: of what is not, again and again, and once it is, of all.
/// Running out of time is no error: the check that follows says what is missing.
fn wait_until_ready(options: &CheckOptions, limit: Duration) -> Result<()> {
    let quick = CheckOptions { quick: true, timeout: Some(250), ..options.clone() };
    let end = Instant::now() + limit;
    let mut pending: Option<BTreeSet<Pair>> = None;
    loop {
        // Objects are written by others meanwhile; one half done is read again.
        let report = match check_once(&quick, pending.as_ref()) {
            Err(LabError::Document { .. } | LabError::File { .. }) => Report::default(),
            report => report?,
        };
        let pair = |c: &Check| (c.probe.from.clone(), c.probe.to.clone(), c.probe.family);
        let missing: BTreeSet<Pair> = report.findings().map(pair).collect();
        if (report.is_fine() && pending.is_none()) || Instant::now() >= end {
            return Ok(());
        }
        pending = Some(missing).filter(|missing| !missing.is_empty());
        thread::sleep(Duration::from_millis(20));
    }
}

/// Brings the objects that the lab reads up to date where they are not files.
fn refresh_objects(state: &State) -> Result<()> {
    match state.topology.control_plane {
        ControlPlane::Files => Ok(()),
        ControlPlane::Kubernetes => kubernetes::mirror(state),
    }
}

fn stream(options: &StreamOptions) -> Result<()> {
    let state = State::load()?;
    refresh_objects(&state)?;
    let knowledge = Knowledge::read(&state, &holder::objects())?;
    for endpoint in [&options.from, &options.to] {
        if !state.topology.has(endpoint) {
            return Err(LabError::UnknownEndpoint(endpoint.to_string()));
        }
    }
    let address = knowledge.address_between(&options.from, &options.to, options.family());
    let address = address.ok_or_else(|| LabError::UnknownEndpoint(format!("address of {}", options.to)))?;
    let (stop, begun) = (AtomicBool::new(false), AtomicBool::new(false));
    let report = thread::scope(|scope| {
        scope.spawn(|| {
            let mut rest = [0; 64];
            while matches!(io::stdin().lock().read(&mut rest), Ok(n) if n > 0) {}
            stop.store(true, Ordering::Relaxed);
        });
        scope.spawn(|| {
            // Whoever waits for the first answer is not to wait for ever.
            let end = Instant::now() + FIRST_ANSWER;
            while !begun.load(Ordering::Relaxed) && !stop.load(Ordering::Relaxed) {
                thread::sleep(Duration::from_millis(50));
                if Instant::now() >= end && !begun.load(Ordering::Relaxed) {
                    eprintln!("causeway-lab: no answer from {} to {}", options.to, options.from);
                    // Standard input may stay open for as long as somebody waits for us.
                    std::process::exit(1);
                }
            }
        });
        stream::run(options, address, &stop, || {
            begun.store(true, Ordering::Relaxed);
            let _ = print("begun");
        })
    })?;
    print(&to_json(&report, "the report")?)
}

fn logs(of: &str) -> Result<()> {
    let daemon = match of {
        "manager" => Daemon::manager(),
        cluster if !cluster.contains('/') => Daemon::controller_manager(
            &cluster.parse().map_err(|_| LabError::UnknownEndpoint(cluster.to_owned()))?,
        ),
        node => Daemon::agent(&node.parse().map_err(|_| LabError::UnknownEndpoint(node.to_owned()))?),
    };
    let path = daemon.log();
    if !path.exists() {
        return Err(LabError::NoLog(of.to_owned()));
    }
    print(&fs::read_to_string(&path).map_err(LabError::file("read", &path))?)
}

fn list() -> Result<()> {
    let topology = State::load()?.topology;
    for endpoint in topology.endpoints() {
        let addresses: Vec<String> = endpoint.addresses(&topology).iter().map(ToString::to_string).collect();
        print(&format!("{endpoint}  {}", addresses.join(" ")))?;
    }
    Ok(())
}
