//! Programs that run in a bed for as long as it is up: the echo servers, network-manager, an agent
//! on each node. Started, stopped and killed from any process inside the bed.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use causeway_model::{ClusterName, NodeId};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::bed::endpoint_namespace;
use crate::deadline::wait_until;
use crate::error::{LabError, Result};
use crate::kubernetes;
use crate::state::{DIRECTORY, State};
use crate::topology::{ControlPlane, Endpoint};

/// How long a daemon may take to end after SIGTERM.
const STOP: Duration = Duration::from_secs(10);

/// A daemon of the bed by its name, for example `manager` or `agent.a.n1`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Daemon(String);

impl Daemon {
    pub fn manager() -> Daemon {
        Daemon("network-manager".to_owned())
    }

    /// A cluster's controller-manager.
    pub fn controller_manager(cluster: &ClusterName) -> Daemon {
        Daemon(format!("controller-manager_{cluster}"))
    }

    /// A part of a control plane.
    pub fn part_of_kubernetes(name: &str) -> Daemon {
        Daemon(format!("kubernetes_{name}"))
    }

    /// A program of the cluster's own network on a node.
    pub fn of_node(program: &str, node: &NodeId) -> Daemon {
        Daemon(format!("{program}_{}_{}", node.cluster, node.node))
    }

    /// A node's agent. No name has an underscore, so no two agents share one.
    pub fn agent(node: &NodeId) -> Daemon {
        Daemon::of_node("agent", node)
    }

    /// Where it logs.
    pub fn log(&self) -> PathBuf {
        Path::new(DIRECTORY).join(format!("log/{}.log", self.0))
    }

    /// The last lines that it logged, the newest first.
    pub fn last_words(&self) -> String {
        let log = fs::read_to_string(self.log()).unwrap_or_default();
        log.lines().rev().take(5).collect::<Vec<_>>().join("\n")
    }

    fn pid_file(&self) -> PathBuf {
        Path::new(DIRECTORY).join(format!("pid/{}", self.0))
    }

    /// Its process, if it runs.
    pub fn pid(&self) -> Option<Pid> {
        let pid: i32 = fs::read_to_string(self.pid_file()).ok()?.trim().parse().ok()?;
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // A zombie has ended and is yet to be reaped.
        let ended = stat.rsplit(") ").next().is_none_or(|rest| rest.starts_with(['Z', 'X']));
        (!ended).then(|| Pid::from_raw(pid))
    }

    pub fn start(&self, mut command: Command) -> Result<()> {
        if self.pid().is_some() {
            return Ok(());
        }
        let path = self.log();
        let log = File::options().create(true).append(true).open(&path);
        let log = log.map_err(LabError::file("write", &path))?;
        let errors = log.try_clone().map_err(LabError::file("write", &path))?;
        command.stdin(Stdio::null()).stdout(log).stderr(errors).process_group(0);
        let child = command.spawn().map_err(LabError::run(&self.0))?;
        let pid_file = self.pid_file();
        fs::write(&pid_file, child.id().to_string()).map_err(LabError::file("write", &pid_file))
    }

    /// Asks it to end, and waits for that. Nothing happens if it does not run.
    pub fn stop(&self) -> Result<()> {
        self.end(Signal::SIGTERM)
    }

    /// Kills it, and waits until it is gone. Nothing happens if it does not run.
    pub fn kill(&self) -> Result<()> {
        self.end(Signal::SIGKILL)
    }

    fn end(&self, signal: Signal) -> Result<()> {
        let Some(pid) = self.pid() else { return Ok(()) };
        kill(pid, signal).map_err(LabError::namespace(format!("send {signal} to {}", self.0)))?;
        wait_until(&format!("{} to end after {signal}", self.0), STOP, || {
            Ok(if self.pid().is_none() { Ok(()) } else { Err("it still runs".to_owned()) })
        })
    }
}

/// Starts network-manager.
pub(crate) fn start_manager(state: &State) -> Result<()> {
    if state.topology.control_plane == ControlPlane::Kubernetes {
        return kubernetes::start_manager(state);
    }
    let mut command = Command::new(program(state, "causeway-network-manager")?);
    command.arg("--objects").arg(crate::holder::objects().directory());
    Daemon::manager().start(command)
}

/// Starts a node's agent, in the node's network.
pub(crate) fn start_agent(state: &State, node: &NodeId) -> Result<()> {
    if state.topology.control_plane == ControlPlane::Kubernetes {
        return kubernetes::start_agent(state, node);
    }
    let agent = program(state, "causeway-agent")?;
    let directory = Path::new(DIRECTORY).join(format!("state/{}/{}", node.cluster, node.node));
    fs::create_dir_all(&directory).map_err(LabError::file("create", &directory))?;
    let mut command = inside(&Endpoint::Node(node.clone()))?;
    command.arg(agent).arg("--objects").arg(crate::holder::objects().directory());
    command.args(["--cluster", node.cluster.as_str(), "--node", node.node.as_str()]);
    command.arg("--state-dir").arg(directory);
    Daemon::agent(node).start(command)
}

/// Starts echo servers for nodes and pods, and returns when they listen.
pub(crate) fn start_echo(name: &str, hosts: &[Endpoint]) -> Result<()> {
    let ready = Path::new(DIRECTORY).join(format!("pid/{name}.ready"));
    let mut command = Command::new(own_program()?);
    command.args(["inside", "serve", "--ready"]).arg(&ready);
    let sending = hosts.iter().filter(|e| e.namespace().is_some());
    command.args(sending.map(Endpoint::to_string));
    let daemon = Daemon(name.to_owned());
    daemon.start(command)?;
    wait_until("the echo servers to listen", STOP, || {
        if ready.exists() {
            return Ok(Ok(()));
        }
        let log = fs::read_to_string(daemon.log()).unwrap_or_default();
        if daemon.pid().is_none() {
            return Err(LabError::Failed { program: "the echo server".to_owned(), message: log });
        }
        Ok(Err(log))
    })
}

/// A command line that goes on with a program and its arguments, to run in an endpoint's network.
pub(crate) fn inside(endpoint: &Endpoint) -> Result<Command> {
    let mut command = Command::new(own_program()?);
    command.args(["inside", "enter", endpoint_namespace(endpoint).name(), "--"]);
    Ok(command)
}

/// The lab's own program.
pub(crate) fn own_program() -> Result<PathBuf> {
    std::env::current_exe().map_err(LabError::run("causeway-lab"))
}

pub(crate) fn program(state: &State, name: &str) -> Result<PathBuf> {
    let directory = state.programs.clone().unwrap_or_default();
    let path = directory.join(name);
    if path.exists() { Ok(path) } else { Err(LabError::MissingBinary(path)) }
}
