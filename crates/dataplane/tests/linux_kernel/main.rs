//! The kernel behind its two methods, in network namespaces of its own. Needs root.

mod counters;
mod drift;
mod facts;
mod interrupted;
mod large;
mod monitor;
mod steps;

use std::net::IpAddr;
use std::process::Command;

use causeway_dataplane::netlink::LinuxKernel;
use causeway_dataplane::state::{GroupKind, Hop, NextHop, NextHopId, ObservedGroup, Route, Rule, Vxlan};
use causeway_dataplane::{Device, Kernel, Observed, Overlay, Step};
use causeway_model::{Family, Mac, Prefix, UdpPort, Vni};
use serde_json::Value;

const BRIDGE: Device = Device { overlay: Overlay::Bridge, underlay: Family::V4 };
const BRIDGE6: Device = Device { overlay: Overlay::Bridge, underlay: Family::V6 };
const LOCAL: Device = Device { overlay: Overlay::Local, underlay: Family::V4 };

/// Runs a test in a new network namespace, which ends with it.
fn in_namespace(test: impl FnOnce() + Send) {
    let result = std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            nix::sched::unshare(nix::sched::CloneFlags::CLONE_NEWNET)
                .expect("this test needs root (CAP_SYS_ADMIN), to make a network namespace");
            run("ip link set lo up");
            test();
        });
        thread.join()
    });
    if let Err(panic) = result {
        std::panic::resume_unwind(panic);
    }
}

/// Runs a command and returns what it prints.
fn run(command: &str) -> String {
    let mut words = command.split_whitespace();
    let program = words.next().expect("a command");
    let output = Command::new(program).args(words).output();
    let output = output.unwrap_or_else(|error| panic!("{program} is needed: {error}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command}: {errors}");
    String::from_utf8(output.stdout).expect("text")
}

/// The output of a `-json` command; an empty list where it prints nothing.
fn json(command: &str) -> Value {
    let text = run(command);
    if text.trim().is_empty() { Value::Array(Vec::new()) } else { serde_json::from_str(&text).expect("JSON") }
}

/// The entries of a `-json` list for which `key` is `value`.
fn entries<'a>(list: &'a Value, key: &str, value: &str) -> Vec<&'a Value> {
    list.as_array().expect("a list").iter().filter(|entry| entry[key] == value).collect()
}

fn kernel() -> LinuxKernel {
    LinuxKernel::open(Vec::new()).expect("a netlink socket")
}

fn observe(kernel: &mut LinuxKernel) -> Observed {
    kernel.observe().expect("an observation")
}

fn address(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn prefix(text: &str) -> Prefix {
    text.parse().expect("a prefix")
}

fn mac(last: u8) -> Mac {
    Mac([2, 0xc5, 0, 0, 0, last])
}

fn vxlan(device: Device) -> Vxlan {
    let v4 = device.underlay == Family::V4;
    Vxlan {
        vni: Vni(if device.overlay == Overlay::Bridge { 54 } else { 55 }),
        port: UdpPort(if device.overlay == Overlay::Bridge { 4876 } else { 4877 }),
        local: address(if v4 { "192.0.2.1" } else { "2001:db8::1" }),
        learning: false,
        mac: mac(1),
        mtu: if v4 { 1450 } else { 1430 },
        up: true,
    }
}

fn via(device: Device, gateway: &str) -> NextHop {
    NextHop { device, gateway: address(gateway) }
}

fn route(hop: Hop<NextHopId>) -> Route<NextHopId> {
    Route { hop, src: None, mtu: None }
}

fn rule(family: Family) -> Rule {
    Rule { family, priority: 4876, table: 4876, plain: true }
}

fn group(kind: GroupKind, members: &[u32]) -> ObservedGroup {
    ObservedGroup { kind, members: members.iter().map(|id| NextHopId(*id)).collect() }
}

/// A device with both addresses, the ground for most tests.
fn ground(device: Device) -> Vec<Step> {
    vec![
        Step::AddDevice(device, vxlan(device)),
        Step::AddAddress(device, address("198.18.0.1")),
        Step::AddAddress(device, address("fd00::1")),
    ]
}
