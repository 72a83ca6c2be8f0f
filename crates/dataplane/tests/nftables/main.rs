//! nftables as the kernel takes it, holds it and acts on it, in network namespaces of the tests' own.
//! Needs root, iproute2, nftables and iptables.

mod fast_packets;
mod fast_path;
mod foreign;
mod history;
mod packets;
mod router;
mod table;

use std::net::IpAddr;
use std::process::{Command, Stdio};

use causeway_dataplane::nft::{self, Observed, Ruleset, Socket};
use causeway_model::Prefix;

/// Runs a test in a new network namespace, which ends with it.
fn in_namespace(test: impl FnOnce() + Send) {
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            enter_new_namespace();
            test();
        });
        thread.join()
    });
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Gives this thread a network namespace of its own.
fn enter_new_namespace() {
    nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
        .expect("this test needs root (CAP_SYS_ADMIN), to make a network namespace");
    run("ip link set lo up");
}

/// Runs a command and returns what it prints.
fn run(command: &str) -> String {
    run_with(command, "")
}

/// Runs a command with text on its standard input. Quotes in the command are not special.
fn run_with(command: &str, input: &str) -> String {
    use std::io::Write as _;
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command");
    let child = Command::new(program)
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut child = child.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    child.stdin.take().expect("a pipe").write_all(input.as_bytes()).expect("input is read");
    let output = child.wait_with_output().expect("it ends");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}\n{input}");
    String::from_utf8(output.stdout).expect("text")
}

fn nft_text(text: &str) {
    run_with("nft -f -", text);
}

/// Our table as `nft` shows it, without counts of packets.
fn listing() -> String {
    run("nft -s list table inet causeway")
}

fn socket() -> Socket {
    Socket::open().expect("a netlink socket")
}

fn observe() -> Observed {
    nft::observe(&mut socket()).expect("an observation")
}

/// Makes the kernel as `desired` by netlink, and checks that nothing is left to do.
fn converge(desired: Option<&Ruleset>) {
    let mut socket = socket();
    let observed = nft::observe(&mut socket).expect("an observation");
    if let Some(transaction) = nft::diff(desired, &observed) {
        let text = transaction.to_string();
        nft::apply(&mut socket, &transaction).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    let after = nft::observe(&mut socket).expect("an observation");
    assert_eq!(nft::diff(desired, &after).map(|t| t.to_string()), None);
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| prefix(text)).collect()
}
