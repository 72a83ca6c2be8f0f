//! What the lab's own tests share.

#![allow(dead_code, reason = "each test file uses its own part")]
#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use causeway_lab::{Lab, Programs, Topology, wait_until};

/// The program under test.
pub const PROGRAM: &str = env!("CARGO_BIN_EXE_causeway-lab");

/// How long anything may take.
pub const LIMIT: Duration = Duration::from_secs(30);

/// A topology whose name no other test uses at the same time.
pub fn topology(test: &str, yaml: &str) -> Topology {
    let mut topology = Topology::parse(yaml, "lab.yaml").unwrap();
    topology.name = format!("{test}-{}", std::process::id());
    topology
}

/// A bed without Causeway's programs.
pub fn bare(test: &str, yaml: &str) -> Lab {
    Lab::up(PROGRAM, topology(test, yaml), Programs::None).unwrap()
}

/// Runs the program with these arguments.
pub fn causeway_lab(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().unwrap()
}

/// Runs a program that must succeed; its output.
pub fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program in a bed; it must succeed.
pub fn in_bed(lab: &Lab, endpoint: &str, command: &[&str]) -> String {
    let output = lab.exec(endpoint, command).unwrap();
    assert!(output.status.success(), "{endpoint}: {command:?}: {}", output.stderr);
    output.stdout
}

/// Whether a bed of that name is up.
pub fn is_up(name: &str) -> bool {
    said(PROGRAM, &["beds"]).lines().any(|line| line == name)
}

/// The pid namespace of a process, as `/proc` writes it.
pub fn pid_namespace(pid: i32) -> String {
    std::fs::read_link(format!("/proc/{pid}/ns/pid")).unwrap().display().to_string()
}

/// Waits until no process is in that pid namespace.
pub fn wait_until_empty(namespace: &str) {
    wait_until(&format!("{namespace} to be empty"), LIMIT, || {
        let inside = |entry: std::fs::DirEntry| {
            let link = std::fs::read_link(entry.path().join("ns/pid")).ok()?;
            (link == Path::new(namespace)).then(|| entry.file_name())
        };
        let left: Vec<_> = std::fs::read_dir("/proc").unwrap().flatten().filter_map(inside).collect();
        Ok(if left.is_empty() { Ok(()) } else { Err(format!("{left:?}")) })
    })
    .unwrap();
}
