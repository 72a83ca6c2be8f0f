//! A bed for tests, benches and the demo: brought up, worked with, gone when dropped.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::time::Duration;

use causeway_model::{ClusterName, Family, NodeId};
use serde_json::Value;

use crate::error::{LabError, Result};
use crate::fault::{Action, Fault};
use crate::forge::Forged;
use crate::holder::Setup;
use crate::objects::Objects;
use crate::outside::{Holder, Made};
use crate::probe::Report;
use crate::probe::plan::{CheckOptions, Knowledge};
use crate::probe::stream::{StreamOptions, StreamReport};
use crate::snapshot;
use crate::state::{State, from_json};
use crate::topology::{Endpoint, Topology};

/// Which of Causeway's programs a bed runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Programs {
    /// None: a bed as it is before Causeway comes.
    None,
    /// network-manager, and an agent on each node, from this directory.
    In(PathBuf),
}

impl Programs {
    /// Those of the directory that `CAUSEWAY_BIN_DIR` names, else those beside `lab`.
    pub fn beside(lab: &Path) -> Programs {
        let named = std::env::var_os("CAUSEWAY_BIN_DIR").map(PathBuf::from);
        let directory = named.or_else(|| lab.parent().map(Path::to_owned)).unwrap_or_default();
        Programs::In(directory)
    }
}

/// A bed that is up. It ends when this is dropped, and also when this process dies.
pub struct Lab {
    pub(crate) program: PathBuf,
    made: Made,
}

/// What a program printed, and how it ended.
#[derive(Clone, Debug)]
pub struct Output {
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
    /// How it ended.
    pub status: ExitStatus,
}

impl Lab {
    /// Brings a bed up. `program` is `causeway-lab`; tests have it as
    /// `env!("CARGO_BIN_EXE_causeway-lab")`.
    ///
    /// # Errors
    /// The machine lacks a program or the right to make namespaces, a bed of the same name is up, or
    /// building failed.
    pub fn up(program: impl AsRef<Path>, topology: Topology, programs: Programs) -> Result<Lab> {
        Lab::make(program.as_ref(), topology, programs, false)
    }

    pub(crate) fn make(
        program: &Path,
        topology: Topology,
        programs: Programs,
        detached: bool,
    ) -> Result<Lab> {
        let programs = match programs {
            Programs::None => None,
            Programs::In(directory) => Some(found(directory)?),
        };
        let made = Made::make(program, &Setup { topology, programs, detached })?;
        Ok(Lab { program: program.to_owned(), made })
    }

    /// The bed's name.
    pub fn name(&self) -> &str {
        &self.made.holder.name
    }

    /// The bed's first process, as this process numbers it.
    pub fn pid(&self) -> i32 {
        self.made.holder.pid
    }

    /// Everything in the bed, as it is now.
    ///
    /// # Errors
    /// The bed is gone.
    pub fn topology(&self) -> Result<Topology> {
        Ok(State::of_bed(&self.directory())?.topology)
    }

    /// The bed's own directory with `objects`, `log` and `state`, reachable from here.
    pub fn directory(&self) -> PathBuf {
        self.made.holder.directory()
    }

    /// The directory of objects, reachable from here.
    pub fn objects_dir(&self) -> PathBuf {
        self.made.holder.objects()
    }

    /// The objects, to be read and changed.
    pub fn objects(&self) -> Objects {
        Objects::new(self.objects_dir())
    }

    /// A node.
    ///
    /// # Errors
    /// The name is not `CLUSTER/NODE`.
    pub fn node(&self, name: &str) -> Result<LabNode<'_>> {
        let id = name.parse().map_err(|_| LabError::UnknownEndpoint(name.to_owned()))?;
        Ok(LabNode { lab: self, id })
    }

    /// Runs a program in the network of a node or pod, or of the underlay router (`underlay`), and
    /// waits for its end. That it fails is no error; its status says so.
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn exec(&self, endpoint: &str, command: &[&str]) -> Result<Output> {
        output(self.inside().args(["enter", endpoint, "--"]).args(command), endpoint)
    }

    /// Runs kubectl against the API server of a cluster, or of the `hub`, in a bed with real control planes.
    /// That it fails is no error; its status says so.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn kubectl(&self, server: &str, arguments: &[&str]) -> Result<Output> {
        output(self.inside().args(["kubectl", server]).args(arguments), "kubectl")
    }

    /// A command line of the lab that runs inside the bed.
    pub(crate) fn inside(&self) -> Command {
        inside(&self.made.holder, &self.program)
    }

    pub(crate) fn run(&self, arguments: &[&str]) -> Result<String> {
        let output = output(self.inside().args(arguments), arguments[0])?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(LabError::Failed { program: arguments.join(" "), message: output.stderr })
    }

    /// Sends probes and compares.
    ///
    /// # Errors
    /// The probes could not be sent; that some were not answered is in the report.
    pub fn check(&self, options: &CheckOptions) -> Result<Report> {
        self.check_with(options, &[])
    }

    /// Sends small probes until all is as expected, at most for `limit`, then checks once.
    ///
    /// # Errors
    /// As of [`Lab::check`]; that the time ran out is in the report.
    pub fn wait_until_ready(&self, options: &CheckOptions, limit: Duration) -> Result<Report> {
        self.check_with(options, &["--wait", &limit.as_secs().to_string()])
    }

    fn check_with(&self, options: &CheckOptions, more: &[&str]) -> Result<Report> {
        let mut command = self.inside();
        command.args(["check", "--output", "json"]).args(more);
        command.args(options.from.iter().map(|from| format!("--from={from}")));
        command.args(options.to.iter().map(|to| format!("--to={to}")));
        command.args(options.timeout.iter().map(|timeout| format!("--timeout={timeout}")));
        if options.inside {
            command.arg("--inside");
        }
        if options.quick {
            command.arg("--quick");
        }
        let output = output(&mut command, "check")?;
        match output.status.code() {
            Some(0 | 1) if !output.stdout.is_empty() => from_json(&output.stdout, "the report"),
            _ => Err(LabError::Failed { program: "check".to_owned(), message: output.stderr }),
        }
    }

    /// Begins to send a stream, and returns once the first answer has come.
    ///
    /// # Errors
    /// An endpoint is unknown, or the stream's process ended before there was an answer.
    pub fn stream(&self, options: &StreamOptions) -> Result<Stream> {
        let mut stream = self.begin_stream(options)?;
        stream.wait_for_answer()?;
        Ok(stream)
    }

    /// The same without waiting, so that several begin at once.
    pub(crate) fn begin_stream(&self, options: &StreamOptions) -> Result<Stream> {
        let mut command = self.inside();
        command.args(["stream", "--from", &options.from.to_string(), "--to", &options.to.to_string()]);
        command.args(["--interval", &options.interval.to_string(), "--flows", &options.flows.to_string()]);
        if options.ipv6 {
            command.arg("--ipv6");
        }
        if options.tcp {
            command.arg("--tcp");
        }
        Stream::start(command)
    }

    /// Where `from` sends what is for `to`: as its cluster sees it, so under a global CIDR where that
    /// is needed, and of a node its overlay address.
    ///
    /// # Errors
    /// One of them is unknown, or has no such address, or not yet.
    pub fn address(&self, from: &str, to: &str, family: Family) -> Result<IpAddr> {
        let state = State::of_bed(&self.directory())?;
        let address =
            Knowledge::read(&state, &self.objects())?.address_between(&from.parse()?, &to.parse()?, family);
        address.ok_or_else(|| LabError::UnknownEndpoint(format!("{family} address of {to}")))
    }

    /// Makes a fault, or mends one.
    ///
    /// # Errors
    /// The fault names what the bed has not, or could not be made.
    pub fn fault(&self, fault: &Fault) -> Result<()> {
        self.run(&words(fault).iter().map(String::as_str).collect::<Vec<_>>()).map(drop)
    }

    /// Sends one VXLAN packet made by hand.
    ///
    /// # Errors
    /// It cannot be sent; that nobody takes it is no error.
    pub fn forge(&self, forged: &Forged) -> Result<()> {
        let words = forged.words();
        self.run(&std::iter::once("forge").chain(words.iter().map(String::as_str)).collect::<Vec<_>>())
            .map(drop)
    }

    /// Adds a node, written in YAML as a lab file writes one, and announces it. Returns its name.
    ///
    /// # Errors
    /// The YAML is wrong, or building failed.
    pub fn add_node(&self, cluster: &ClusterName, yaml: &str) -> Result<NodeId> {
        let name = self.run(&["add-node", cluster.as_str(), yaml])?;
        name.trim().parse().map_err(|_| LabError::UnknownEndpoint(name))
    }

    /// The same; also how long it took from then until its first pod reached an endpoint.
    ///
    /// # Errors
    /// As of [`Lab::add_node`]; the endpoint is unknown, or is not to be reached from there.
    pub fn add_node_until(
        &self,
        cluster: &ClusterName,
        yaml: &str,
        reach: &Endpoint,
    ) -> Result<(NodeId, Duration)> {
        let reach = format!("--until-reaching={reach}");
        let said = self.run(&["add-node", cluster.as_str(), yaml, &reach])?;
        let unknown = || LabError::UnknownEndpoint(said.clone());
        let (name, took) = said.trim().split_once(' ').ok_or_else(unknown)?;
        let took = Duration::from_micros(took.parse().map_err(|_| unknown())?);
        Ok((name.parse().map_err(|_| unknown())?, took))
    }

    /// Takes a node out of the bed, and its ClusterNode away.
    ///
    /// # Errors
    /// The bed has no such node.
    pub fn remove_node(&self, node: &NodeId) -> Result<()> {
        self.run(&["remove-node", &node.to_string()]).map(drop)
    }

    /// What a node's agent, or for `None` network-manager, has logged.
    ///
    /// # Errors
    /// It never ran.
    pub fn log(&self, node: Option<&NodeId>) -> Result<String> {
        self.run(&["logs", &node.map_or_else(|| "manager".to_owned(), ToString::to_string)])
    }

    /// Ends the bed and waits until nothing of it is left.
    ///
    /// # Errors
    /// It does not end.
    pub fn down(mut self) -> Result<()> {
        self.made.end()
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        if !self.made.is_detached() {
            // Without the lifeline the holder ends by itself; what is left to fail is the waiting.
            let _ = self.made.end();
        }
    }
}

/// A node of a bed.
pub struct LabNode<'a> {
    lab: &'a Lab,
    id: NodeId,
}

impl LabNode<'_> {
    /// Its name.
    pub fn id(&self) -> &NodeId {
        &self.id
    }

    /// Runs a program in its network, see [`Lab::exec`].
    ///
    /// # Errors
    /// The program cannot be started.
    pub fn exec(&self, command: &[&str]) -> Result<Output> {
        self.lab.exec(&self.id.to_string(), command)
    }

    /// Its whole network state: links, addresses, routes, rules, next hops, permanent neighbours,
    /// FDB, nftables and sysctls; without what counts or ages.
    ///
    /// # Errors
    /// One of the programs that are asked failed.
    pub fn snapshot(&self) -> Result<Snapshot> {
        Ok(Snapshot(snapshot::parse(&self.lab.run(&["snapshot", &self.id.to_string()])?)?))
    }

    /// Stops, kills, starts or restarts its agent.
    ///
    /// # Errors
    /// The agent does not do so.
    pub fn agent(&self, action: Action) -> Result<()> {
        self.lab.fault(&Fault::Agent { node: self.id.clone(), action })
    }
}

/// The network state of a node at one time.
#[derive(Clone, PartialEq, Debug)]
pub struct Snapshot(pub Value);

impl Snapshot {
    /// What differs in `later`, a line each; empty if nothing does.
    pub fn difference(&self, later: &Snapshot) -> Vec<String> {
        snapshot::difference(&self.0, &later.0)
    }

    /// The same without the numbers that the kernel gives to what is made anew: interface indexes and
    /// handles of nftables.
    pub fn difference_but_numbers(&self, later: &Snapshot) -> Vec<String> {
        snapshot::difference(&snapshot::without_numbers(&self.0), &snapshot::without_numbers(&later.0))
    }
}

/// A stream that is being sent.
pub struct Stream {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Stream {
    fn start(mut command: Command) -> Result<Stream> {
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
        let mut child = command.spawn().map_err(LabError::run("stream"))?;
        let failed =
            |message: &str| LabError::Failed { program: "stream".to_owned(), message: message.to_owned() };
        let stdout = child.stdout.take().ok_or_else(|| failed("it has no output"))?;
        Ok(Stream { stdin: child.stdin.take(), child, stdout: BufReader::new(stdout) })
    }

    /// Waits for the first answer.
    pub(crate) fn wait_for_answer(&mut self) -> Result<()> {
        match self.line()?.trim() {
            "begun" => Ok(()),
            _ => Err(LabError::Failed {
                program: "stream".to_owned(),
                message: "it ended before the first answer".to_owned(),
            }),
        }
    }

    /// Stops sending.
    pub(crate) fn stop(&mut self) {
        self.stdin = None;
    }

    fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).map_err(LabError::run("stream"))?;
        Ok(line)
    }

    /// Stops sending, waits for what is under way, and reports.
    ///
    /// # Errors
    /// The stream's process failed.
    pub fn finish(mut self) -> Result<StreamReport> {
        self.stdin = None;
        let line = self.line()?;
        self.child.wait().map_err(LabError::run("stream"))?;
        from_json(&line, "the stream's report")
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.stdin = None;
        let _ = self.child.wait();
    }
}

pub(crate) fn inside(holder: &Holder, program: &Path) -> Command {
    let mut command = holder.enter();
    command.arg(program).arg("inside");
    command
}

fn output(command: &mut Command, what: &str) -> Result<Output> {
    let output = command.stdin(Stdio::null()).output().map_err(LabError::run(what))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Ok(Output { stdout: text(&output.stdout), stderr: text(&output.stderr), status: output.status })
}

/// The directory of Causeway's programs, if they are there.
fn found(directory: PathBuf) -> Result<PathBuf> {
    for name in ["causeway-network-manager", "causeway-agent"] {
        let path = directory.join(name);
        if !path.exists() {
            return Err(LabError::MissingBinary(path));
        }
    }
    Ok(directory)
}

/// A fault as command-line words.
fn words(fault: &Fault) -> Vec<String> {
    let mut words = vec!["fault".to_owned()];
    words.extend(match fault {
        Fault::Link { node, state } => vec!["link".to_owned(), node.to_string(), word(state)],
        Fault::Kill { node } => vec!["kill".to_owned(), node.to_string()],
        Fault::Revive { node } => vec!["revive".to_owned(), node.to_string()],
        Fault::Drop(drop) => vec![
            "drop".to_owned(),
            drop.node.to_string(),
            format!("--share={}", drop.share),
            format!("--direction={}", word(&drop.direction)),
        ],
        Fault::DropLarge { node, longer_than } => {
            vec!["drop-large".to_owned(), node.to_string(), format!("--longer-than={longer_than}")]
        }
        Fault::Partition { one, other } => vec!["partition".to_owned(), one.to_string(), other.to_string()],
        Fault::Heal => vec!["heal".to_owned()],
        Fault::Agent { node, action } => vec!["agent".to_owned(), node.to_string(), word(action)],
        Fault::Manager { action } => vec!["manager".to_owned(), word(action)],
        Fault::ControllerManager { cluster, action } => {
            vec!["controller-manager".to_owned(), cluster.to_string(), word(action)]
        }
        Fault::ApiServer { server, action } => vec!["api-server".to_owned(), server.clone(), word(action)],
    });
    words
}

/// A choice as it is written on the command line.
fn word(choice: &impl clap::ValueEnum) -> String {
    choice.to_possible_value().map(|v| v.get_name().to_owned()).unwrap_or_default()
}
