//! A bed lives as long as it should and not a moment longer, beside others, and without root.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

mod common;

use std::io::{BufRead, BufReader, Read};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use causeway_lab::{CheckOptions, Lab, wait_until};
use common::{LIMIT, PROGRAM, bare, causeway_lab, in_bed, is_up, pid_namespace, said, wait_until_empty};
use nix::sys::signal::{Signal, kill};
use nix::unistd::{Pid, geteuid};

const TWO: &str = "clusters: [{name: a, nodes: 1}, {name: b, nodes: 1, cni: vxlan}]";

fn inside(lab: &Lab) -> bool {
    let options = CheckOptions { inside: true, quick: true, ..CheckOptions::default() };
    lab.check(&options).unwrap().is_fine()
}

/// The machine's own network, as far as a bed could change it.
fn host() -> [String; 4] {
    [
        said("ip", &["-oneline", "link", "show"]),
        said("ip", &["route", "show", "table", "all"]),
        if geteuid().is_root() { said("nft", &["--stateless", "list", "ruleset"]) } else { String::new() },
        std::fs::read_to_string("/proc/self/mountinfo").unwrap(),
    ]
}

#[test]
fn two_beds_of_one_file_disturb_neither_each_other_nor_the_machine() {
    let before = host();
    let (one, other) = (bare("one", TWO), bare("other", TWO));
    assert!(inside(&one) && inside(&other));
    in_bed(&one, "a/n1", &["ip", "link", "set", "eth0", "down"]);
    in_bed(&one, "a/n1", &["nft", "add", "table", "inet", "strange"]);
    assert!(inside(&other));
    assert!(!in_bed(&other, "a/n1", &["nft", "list", "tables"]).contains("strange"));
    one.down().unwrap();
    assert!(inside(&other));
    let namespace = pid_namespace(other.pid());
    drop(other);
    wait_until_empty(&namespace);
    assert_eq!(host(), before);
}

/// A process that ends with the test, however that ends.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended already, as it should.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A detached bed that ends with the test, however that ends.
struct Detached(String);

impl Drop for Detached {
    fn drop(&mut self) {
        causeway_lab(&["--name", &self.0, "down"]);
    }
}

/// `causeway-lab up` in the foreground, and the pid namespace of its bed.
fn up(name: &str) -> (Process, String) {
    let child = Command::new(PROGRAM)
        .args(["--name", name, "up", "--no-agents", "-"])
        .stdin(Stdio::from(file(TWO)))
        .stdout(Stdio::piped())
        .process_group(0)
        .spawn()
        .unwrap();
    let mut child = Process(child);
    let mut line = String::new();
    BufReader::new(child.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line.trim(), format!("bed {name} is up"));
    let pid = said(PROGRAM, &["--name", name, "exec", "underlay", "--", "cat", "/run/causeway-lab/bed.json"]);
    assert!(pid.contains("10.1.0.0/16"));
    let holder = holder(name);
    (child, pid_namespace(holder))
}

/// A file with this content that has no name.
fn file(content: &str) -> std::fs::File {
    use std::io::{Seek, Write};
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

/// The process of a bed's holder, found by its command line.
fn holder(name: &str) -> i32 {
    let words = |pid: i32| std::fs::read_to_string(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    let entries = std::fs::read_dir("/proc").unwrap().flatten();
    let pids = entries.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let wanted = format!("\0inside\0holder\0{name}\0");
    let mut found =
        pids.filter(|pid| words(*pid).ends_with(&wanted) && !words(*pid).starts_with("/usr/bin/unshare"));
    found.find(|pid| words(*pid).split('\0').nth(1) == Some("inside")).unwrap()
}

#[test]
fn ctrl_c_ends_a_bed_in_order() {
    let (mut child, namespace) = up("ctrl-c-test");
    kill(Pid::from_raw(child.0.id() as i32), Signal::SIGINT).unwrap();
    assert!(child.0.wait().unwrap().success());
    wait_until_empty(&namespace);
    assert!(!is_up("ctrl-c-test"));
}

#[test]
fn a_bed_goes_when_what_made_it_is_killed() {
    let (mut child, namespace) = up("killed-test");
    child.0.kill().unwrap();
    child.0.wait().unwrap();
    wait_until_empty(&namespace);
    assert!(!is_up("killed-test"));
}

#[test]
fn a_detached_bed_stays_until_down_and_its_name_is_its_own() {
    let name = format!("detached-{}", std::process::id());
    let directory = tempfile::tempdir().unwrap();
    let lab_file = directory.path().join("lab.yaml");
    std::fs::write(&lab_file, TWO).unwrap();
    let up = ["--name", &name, "up", "--detach", "--no-agents", lab_file.to_str().unwrap()];
    let _guard = Detached(name.clone());
    assert!(causeway_lab(&up).status.success());
    let namespace = pid_namespace(holder(&name));
    let again = causeway_lab(&up);
    assert_eq!(again.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&again.stderr).contains("is up already"));
    let check = causeway_lab(&["--name", &name, "check", "--inside"]);
    assert!(check.status.success(), "{}", String::from_utf8_lossy(&check.stdout));
    let check = causeway_lab(&["--name", &name, "check", "--quick", "--timeout", "200"]);
    assert_eq!(check.status.code(), Some(1));
    assert!(String::from_utf8_lossy(&check.stdout).contains("FAIL"));
    assert_eq!(
        causeway_lab(&["--name", &name, "exec", "a/n1", "--", "sh", "-c", "exit 7"]).status.code(),
        Some(7)
    );
    assert_eq!(causeway_lab(&["--name", &name, "exec", "a/n9", "--", "true"]).status.code(), Some(2));
    assert!(causeway_lab(&["--name", &name, "down"]).status.success());
    wait_until_empty(&namespace);
    assert_eq!(causeway_lab(&["--name", &name, "down"]).status.code(), Some(2));
}

/// A copy of the program that everybody may run: the build may lie where only its user can look.
fn for_everybody() -> (tempfile::TempDir, std::path::PathBuf) {
    use std::fs::{Permissions, copy, set_permissions};
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    set_permissions(directory.path(), Permissions::from_mode(0o755)).unwrap();
    let program = directory.path().join("causeway-lab");
    copy(PROGRAM, &program).unwrap();
    set_permissions(&program, Permissions::from_mode(0o755)).unwrap();
    (directory, program)
}

/// Whether this process is root of the whole machine, and not of a user namespace that somebody without
/// any right has made.
fn is_real_root() -> bool {
    let users = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    let all = users.split_whitespace().last().is_some_and(|count| count.parse::<u64>().unwrap() > 65_534);
    geteuid().is_root() && all
}

/// The program, run by somebody without any right, and without /usr/sbin in the PATH.
fn as_nobody(program: &Path) -> Command {
    if !is_real_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
    command.arg(program).env("PATH", "/usr/bin:/bin");
    command
}

#[test]
fn a_bed_comes_up_without_root_in_a_user_namespace() {
    let name = format!("nobody-{}", std::process::id());
    let (_directory, program) = for_everybody();
    let mut command = as_nobody(&program);
    command.args(["--name", &name, "up", "--no-agents", "-"]).stdin(Stdio::from(file(TWO)));
    let mut child = Process(command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap());
    let mut line = String::new();
    BufReader::new(child.0.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    if line.is_empty() {
        let mut said = String::new();
        child.0.stderr.take().unwrap().read_to_string(&mut said).unwrap();
        panic!("this machine must allow user namespaces and let everybody run {PROGRAM}: {said}");
    }
    let pid = holder(&name);
    let namespace = pid_namespace(pid);
    let user = |pid: &str| std::fs::read_link(format!("/proc/{pid}/ns/user")).unwrap();
    if is_real_root() || !geteuid().is_root() {
        assert_ne!(user(&pid.to_string()), user("self"));
    }
    let check = as_nobody(&program).args(["--name", &name, "check", "--inside"]).output().unwrap();
    assert!(check.status.success(), "{check:?}");
    drop(child);
    wait_until_empty(&namespace);
}

#[test]
fn what_is_wrong_with_a_file_or_a_call_is_said_with_exit_code_2() {
    let directory = tempfile::tempdir().unwrap();
    let lab_file = directory.path().join("wrong.yaml");
    std::fs::write(&lab_file, "clusters:\n  - name: a\n    nodes:\n      - {adresses: []}\n").unwrap();
    let output = causeway_lab(&["up", lab_file.to_str().unwrap()]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(said.contains("wrong.yaml:4: clusters[0].nodes[0].adresses: unknown field `adresses`"), "{said}");
    for arguments in [&["up", "/does/not/exist.yaml"][..], &["--name", "no-such-bed", "check"], &["fly"]] {
        let output = causeway_lab(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
    }
}

#[test]
fn a_holder_that_dies_takes_its_bed_along() {
    let lab = bare("holder", TWO);
    let namespace = pid_namespace(lab.pid());
    kill(Pid::from_raw(lab.pid()), Signal::SIGKILL).unwrap();
    wait_until_empty(&namespace);
    wait_until("the bed to be unknown", LIMIT, || {
        Ok(if is_up(lab.name()) { Err("it is listed".to_owned()) } else { Ok(()) })
    })
    .unwrap();
}
