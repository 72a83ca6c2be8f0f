//! A bed seen from outside: finding it, making it, running something in it, ending it.
//!
//! Nothing about a bed is written anywhere on the machine. Its holder is found by its command line,
//! and entered through `/proc`.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

use crate::deadline::wait_until;
use crate::error::{LabError, Result};
use crate::holder::{Answer, Setup};
use crate::state::{DIRECTORY, from_json, to_json};

/// How long a bed may take to end.
const END: Duration = Duration::from_secs(20);

/// The programs that the lab runs, and Debian's packages that have them.
const PROGRAMS: &[(&str, &str)] = &[
    ("ip", "iproute2"),
    ("bridge", "iproute2"),
    ("nft", "nftables"),
    ("unshare", "util-linux"),
    ("nsenter", "util-linux"),
];

/// Where Debian keeps programs for the superuser, which others do not have in their PATH.
const MORE_PATHS: &str = "/usr/sbin:/sbin:/usr/bin:/bin";

/// A bed that is up.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Holder {
    /// Its name.
    pub name: String,
    /// Its process, as this pid namespace numbers it.
    pub pid: i32,
}

impl Holder {
    /// All beds of this user that are up, by name. Those of others live in user namespaces of
    /// theirs, in which this user is nobody.
    pub fn all() -> Vec<Holder> {
        let Ok(processes) = fs::read_dir("/proc") else { return Vec::new() };
        let mut found: Vec<Holder> = processes.flatten().filter_map(|p| holder_in(&p.path())).collect();
        found.sort_by(|a, b| a.name.cmp(&b.name));
        found
    }

    /// The bed of that name; the only one if none is named.
    pub fn find(name: Option<&str>) -> Result<Holder> {
        let mut all = Holder::all();
        match name {
            Some(name) => {
                let quoted = || LabError::NoBed(format!(" \"{name}\""));
                all.into_iter().find(|h| h.name == name).ok_or_else(quoted)
            }
            None if all.len() > 1 => Err(LabError::SeveralBeds(all.into_iter().map(|h| h.name).collect())),
            None => all.pop().ok_or_else(|| LabError::NoBed(String::new())),
        }
    }

    /// The bed's directory, reachable from outside.
    pub fn directory(&self) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{DIRECTORY}", self.pid))
    }

    /// The directory of the bed's objects, reachable from outside.
    pub fn objects(&self) -> PathBuf {
        self.directory().join("objects")
    }

    /// A command line that goes on with a program and its arguments, to run in the bed.
    pub fn enter(&self) -> Command {
        let mut command = program("nsenter");
        command.args(["--target", &self.pid.to_string(), "--mount", "--net", "--pid"]);
        let user = |pid: &str| fs::metadata(format!("/proc/{pid}/ns/user")).map(|m| m.ino()).ok();
        if user(&self.pid.to_string()) != user("self") {
            command.args(["--user", "--preserve-credentials"]);
        }
        command.arg("--");
        command
    }

    /// Ends the bed and waits until it is gone.
    pub fn end(&self) -> Result<()> {
        let pid = Pid::from_raw(self.pid);
        // It may be gone already, or be too young to have a handler for SIGTERM.
        let _ = kill(pid, Signal::SIGTERM);
        let gone = || !Path::new(&format!("/proc/{}/root/.", self.pid)).exists();
        let polite = wait_until("the bed to end", END / 4, || {
            Ok(if gone() { Ok(()) } else { Err("its holder still runs".to_owned()) })
        });
        polite.or_else(|_| {
            let _ = kill(pid, Signal::SIGKILL);
            wait_until("the bed to end", END, || {
                Ok(if gone() { Ok(()) } else { Err("its holder still runs".to_owned()) })
            })
        })
    }
}

/// Reads `/proc/PID` as a holder's: `PROGRAM inside holder NAME`.
fn holder_in(process: &Path) -> Option<Holder> {
    let pid = process.file_name()?.to_str()?.parse().ok()?;
    let command = fs::read(process.join("cmdline")).ok()?;
    let mut words = command.split(|b| *b == 0).skip(1);
    let is_holder = ["inside", "holder"].iter().all(|w| words.next() == Some(w.as_bytes()));
    let name = String::from_utf8(words.next()?.to_vec()).ok().filter(|_| is_holder)?;
    let ours = fs::metadata(process).ok()?.uid() == geteuid().as_raw();
    ours.then_some(Holder { name, pid })
}

/// A bed just made. In the foreground it ends when this is dropped.
pub(crate) struct Made {
    pub holder: Holder,
    unshare: Child,
    /// Closed, it tells a holder in the foreground to end.
    lifeline: Option<ChildStdin>,
    detached: bool,
}

impl Made {
    /// Makes namespaces and builds the bed in them with `lab`, the lab's own program.
    pub fn make(lab: &Path, setup: &Setup) -> Result<Made> {
        check_programs()?;
        let name = setup.topology.name.clone();
        if Holder::all().iter().any(|h| h.name == name) {
            return Err(LabError::BedExists(name));
        }
        let mut command = program("unshare");
        if !geteuid().is_root() {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]);
        command.arg(lab).args(["inside", "holder", &name]);
        // Not in our process group: a Ctrl-C reaches us only, and we end the bed in order.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
        let mut unshare = command.spawn().map_err(LabError::run("unshare"))?;
        let mut lifeline = unshare.stdin.take();
        if let Some(pipe) = &mut lifeline {
            // If the other end is gone already, its standard error says why.
            let _ = pipe.write_all(format!("{}\n", to_json(setup, "the setup")?).as_bytes());
        }
        let mut line = String::new();
        let answers = unshare.stdout.take().map(BufReader::new);
        let _ = answers.map(|mut pipe| pipe.read_line(&mut line));
        if line.is_empty() {
            return Err(no_answer(unshare));
        }
        if let Answer::Failed(message) = from_json(&line, "the holder's answer")? {
            drop(lifeline);
            let _ = unshare.wait();
            return Err(LabError::Bed(message));
        }
        let holder = Holder::find(Some(&name))?;
        let lifeline = lifeline.filter(|_| !setup.detached);
        Ok(Made { holder, unshare, lifeline, detached: setup.detached })
    }

    /// Whether the bed outlives this.
    pub fn is_detached(&self) -> bool {
        self.detached
    }

    /// Ends the bed and waits until nothing of it is left. Once ended, does nothing.
    pub fn end(&mut self) -> Result<()> {
        self.lifeline = None;
        if self.unshare.try_wait().map_err(LabError::run("unshare"))?.is_some() {
            return Ok(());
        }
        self.holder.end()?;
        self.unshare.wait().map(drop).map_err(LabError::run("unshare"))
    }
}

/// Why nothing came back: the namespaces were refused, or the holder died.
fn no_answer(mut unshare: Child) -> LabError {
    let mut said = String::new();
    let _ = unshare.stderr.take().map(|mut pipe| pipe.read_to_string(&mut said));
    let status = unshare.wait().map(|s| s.to_string()).unwrap_or_default();
    let said = said.trim();
    if said.contains("unshare: ") {
        return LabError::MissingRights(said.to_owned());
    }
    LabError::Bed(format!("the holder ended ({status}): {said}"))
}

/// A program of the machine, looked for where the superuser's are too.
pub(crate) fn program(name: &str) -> Command {
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{path}:{MORE_PATHS}");
    let found = std::env::split_paths(&path).map(|d| d.join(name)).find(|p| p.is_file());
    let mut command = Command::new(found.unwrap_or_else(|| PathBuf::from(name)));
    command.env("PATH", path);
    command
}

/// Names the first program that the machine lacks.
fn check_programs() -> Result<()> {
    for (name, package) in PROGRAMS.iter().copied() {
        if !Path::new(program(name).get_program()).is_absolute() {
            return Err(LabError::MissingProgram { program: name, package });
        }
    }
    Ok(())
}
