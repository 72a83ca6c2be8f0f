//! The holder: process 1 of a bed. Whatever ends it ends the bed, since the kernel then kills every
//! process of its pid namespace, and with the last of them go the mounts and the networks.
//!
//! It is told on standard input what to build, in one line of JSON, and answers in one line. In the
//! foreground the same pipe is its lifeline: once the other end is closed, however that came about,
//! the holder exits.

use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};
use std::process::exit;
use std::{fs, io, thread};

use nix::errno::Errno;
use nix::mount::{MsFlags, mount};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::wait::{WaitPidFlag, WaitStatus, waitpid};
use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};
use crate::objects::Objects;
use crate::state::{DIRECTORY, State, from_json};
use crate::topology::{CniKind, ControlPlane, Endpoint, Topology};
use crate::{bed, daemon, kubernetes};

/// What the holder is told.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Setup {
    pub topology: Topology,
    /// Where Causeway's programs are; `None` runs none.
    pub programs: Option<PathBuf>,
    /// Whether the bed outlives whoever made it.
    pub detached: bool,
}

/// What the holder answers.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) enum Answer {
    /// The bed is up.
    Ready,
    /// It is not, and why.
    Failed(String),
}

/// The directory of objects, inside the bed.
pub(crate) fn objects() -> Objects {
    Objects::new(Path::new(DIRECTORY).join("objects"))
}

/// Holds a bed until it is told to end. Never returns while the bed is in order.
pub(crate) fn run() -> Result<()> {
    let answer = read_setup().and_then(|setup| {
        if !setup.detached {
            thread::spawn(end_with_lifeline);
        }
        build(setup)
    });
    let message = match &answer {
        Ok(()) => Answer::Ready,
        Err(error) => Answer::Failed(error.to_string()),
    };
    let line = crate::state::to_json(&message, "the answer")?;
    // Whoever asked may be gone already; the lifeline takes care of that.
    let _ = writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush());
    answer?;
    wait_for_the_end()
}

fn read_setup() -> Result<Setup> {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).map_err(LabError::run("the holder"))?;
    from_json(&line, "what the holder is told")
}

fn end_with_lifeline() {
    let mut rest = [0; 64];
    while matches!(io::stdin().lock().read(&mut rest), Ok(n) if n > 0) {}
    exit(0);
}

fn build(setup: Setup) -> Result<()> {
    // `ip netns` and all that the bed keeps lie in this /run, which is seen nowhere else.
    mount(Some("causeway-lab"), "/run", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
        .map_err(LabError::namespace("lay a tmpfs over /run"))?;
    if setup.topology.clusters.iter().any(|cluster| cluster.cni.kind == CniKind::Flannel) {
        // The CNI plugins' library remembers pods there.
        mount(Some("causeway-lab"), "/var/lib", Some("tmpfs"), MsFlags::empty(), Some("mode=755"))
            .map_err(LabError::namespace("lay a tmpfs over /var/lib"))?;
    }
    for part in ["", "log", "pid", "state", "objects"] {
        let path = Path::new(DIRECTORY).join(part);
        fs::create_dir_all(&path).map_err(LabError::file("create", &path))?;
    }
    let mut state =
        State { topology: setup.topology, programs: setup.programs, down: Vec::new(), faults: Vec::new() };
    state.save()?;
    bed::build(&state.topology)?;
    if state.topology.control_plane == ControlPlane::Files {
        objects().write_all(&state.topology)?;
    }
    let hosts: Vec<Endpoint> = state.topology.endpoints();
    daemon::start_echo("echo", &hosts)?;
    if state.topology.control_plane == ControlPlane::Kubernetes {
        return kubernetes::bring_up(&mut state);
    }
    if state.programs.is_some() {
        daemon::start_manager(&state)?;
        for (cluster, node) in state.topology.nodes().filter(|(cluster, _)| cluster.linked) {
            daemon::start_agent(&state, &cluster.node_id(node))?;
        }
    }
    Ok(())
}

/// Reaps what is left to process 1, until SIGTERM.
fn wait_for_the_end() -> Result<()> {
    let mut signals = SigSet::empty();
    [Signal::SIGTERM, Signal::SIGINT, Signal::SIGCHLD].into_iter().for_each(|s| signals.add(s));
    signals.thread_block().map_err(LabError::namespace("block signals"))?;
    loop {
        loop {
            match waitpid(None, Some(WaitPidFlag::WNOHANG)) {
                Ok(WaitStatus::StillAlive) | Err(Errno::ECHILD) => break,
                _ => {}
            }
        }
        if signals.wait().map_err(LabError::namespace("wait for signals"))? != Signal::SIGCHLD {
            exit(0);
        }
    }
}
