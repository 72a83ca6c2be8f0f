//! Network namespaces of a bed: making them, working inside them. Only ever used inside a bed,
//! where `/run` is the bed's own.
//!
//! A thread enters a namespace, does its work, and ends; the process itself stays where it is.
//! Programs started by that thread start in the namespace.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;

use nix::mount::{MntFlags, MsFlags, mount, umount2};
use nix::sched::{CloneFlags, setns, unshare};

use crate::error::{LabError, Result};

/// Where `ip netns` looks for namespaces.
const DIRECTORY: &str = "/run/netns";

/// A network namespace by name; `None` is the bed's own, which holds the underlay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Namespace(Option<String>);

impl Namespace {
    /// The bed's own, the underlay.
    pub fn underlay() -> Namespace {
        Namespace(None)
    }

    /// The one of that name.
    pub fn named(name: impl Into<String>) -> Namespace {
        Namespace(Some(name.into()))
    }

    /// Its name, to be shown.
    pub fn name(&self) -> &str {
        self.0.as_deref().unwrap_or("underlay")
    }

    fn path(&self) -> Option<PathBuf> {
        self.0.as_ref().map(|name| Path::new(DIRECTORY).join(name))
    }

    /// Makes new namespaces of these names.
    pub fn create(names: &[String]) -> Result<()> {
        std::fs::create_dir_all(DIRECTORY).map_err(LabError::file("create", Path::new(DIRECTORY)))?;
        in_thread(|| {
            for name in names {
                let path = Path::new(DIRECTORY).join(name);
                File::create_new(&path).map_err(LabError::file("create", &path))?;
                unshare(CloneFlags::CLONE_NEWNET)
                    .map_err(LabError::namespace(format!("make the network namespace {name}")))?;
                let own = Some("/proc/thread-self/ns/net");
                mount(own, &path, None::<&str>, MsFlags::MS_BIND, None::<&str>)
                    .map_err(LabError::namespace(format!("name the network namespace {name}")))?;
            }
            Ok(())
        })
    }

    /// Removes the names of namespaces; the kernel ends each when nothing uses it any more.
    pub fn delete(names: &[String]) -> Result<()> {
        for name in names {
            let path = Path::new(DIRECTORY).join(name);
            umount2(&path, MntFlags::MNT_DETACH)
                .map_err(LabError::namespace(format!("end the network namespace {name}")))?;
            std::fs::remove_file(&path).map_err(LabError::file("remove", &path))?;
        }
        Ok(())
    }

    /// Moves the calling thread into the namespace.
    pub fn enter(&self) -> Result<()> {
        let Some(path) = self.path() else { return Ok(()) };
        let file = File::open(&path).map_err(LabError::file("open", &path))?;
        setns(file, CloneFlags::CLONE_NEWNET).map_err(LabError::namespace(format!("enter {}", self.name())))
    }

    /// Runs `work` in a thread inside the namespace.
    pub fn within<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        in_thread(|| {
            self.enter()?;
            work()
        })
    }

    /// Runs lines of `ip -batch`.
    pub fn ip(&self, lines: &str) -> Result<()> {
        self.batch(&["ip", "-batch", "-"], lines)
    }

    /// Runs lines of `bridge -batch`.
    pub fn bridge(&self, lines: &str) -> Result<()> {
        self.batch(&["bridge", "-batch", "-"], lines)
    }

    /// Applies an nftables script as one transaction.
    pub fn nft(&self, script: &str) -> Result<()> {
        self.batch(&["nft", "-f", "-"], script)
    }

    fn batch(&self, command: &[&str], input: &str) -> Result<()> {
        if input.is_empty() {
            return Ok(());
        }
        self.within(|| run_with_input(command, input)).map(drop)
    }

    /// What a program prints that runs in the namespace.
    pub fn output(&self, command: &[&str]) -> Result<String> {
        self.within(|| run_with_input(command, ""))
    }

    /// Sets sysctls below `/proc/sys/net`; those that this kernel lacks are passed over.
    pub fn sysctls(&self, settings: &[(&str, &str)]) -> Result<()> {
        self.within(|| {
            for (key, value) in settings {
                let path = Path::new("/proc/sys/net").join(key);
                match std::fs::write(&path, value) {
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                    result => result.map_err(LabError::file("write", &path))?,
                }
            }
            Ok(())
        })
    }
}

/// Runs `work` in a thread of its own, so that what it does to its namespaces ends with it.
fn in_thread<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    thread::scope(|scope| scope.spawn(work).join())
        .unwrap_or_else(|_| Err(LabError::Bed("a thread of the lab panicked".to_owned())))
}

/// Runs a program to its end; its standard output, or an error with all that it said.
pub(crate) fn run_with_input(command: &[&str], input: &str) -> Result<String> {
    let name = command.join(" ");
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(LabError::run(&name))?;
    let mut stdin = child.stdin.take();
    let output = thread::scope(|scope| {
        scope.spawn(move || {
            // A program that fails early does not read all; its own message says why.
            let _ = stdin.take().map(|mut pipe| pipe.write_all(input.as_bytes()));
        });
        child.wait_with_output()
    });
    let output = output.map_err(LabError::run(&name))?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).into_owned());
    }
    let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    Err(LabError::Failed {
        program: name,
        message: format!("{}: {said}{}", output.status, failed_line(&said, input)),
    })
}

/// The line that `ip -batch` and `bridge -batch` name as `Command failed -:LINE`.
fn failed_line(said: &str, input: &str) -> String {
    let number = said.rsplit("Command failed -:").next().and_then(|n| n.trim().parse::<usize>().ok());
    let line = number.and_then(|n| input.lines().nth(n.checked_sub(1)?));
    line.map(|line| format!(" ({line})")).unwrap_or_default()
}
