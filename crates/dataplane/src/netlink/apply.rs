//! Doing steps: those of rtnetlink in batches, the others between them.

use std::net::IpAddr;

use causeway_model::Family;

use super::link::{self, Link};
use super::wire::{ACK, Body, CREATE, EXCLUSIVE, REPLACE};
use super::{BatchSocket, LinuxKernel, address, neighbour, nexthop, route, rule, sysctl};
use crate::desired::host::IPV6_MIN_MTU;
use crate::device::Device;
use crate::kernel::{ApplyError, FailedStep, KernelError};
use crate::nft;
use crate::state::{Hop, Vxlan};
use crate::step::Step;

type Failed = Vec<(usize, KernelError)>;

/// Does `steps` in order. A failure stops nothing but its own step.
pub(super) fn apply(kernel: &mut LinuxKernel, steps: &[Step]) -> Result<(), ApplyError> {
    let mut failed = Vec::new();
    for (index, step) in steps.iter().enumerate() {
        if let Err(error) = one(kernel, index, step, &mut failed) {
            failed.push((index, error));
        }
    }
    failed.extend(kernel.socket.finish());
    failed.sort_by_key(|(index, _)| *index);
    // A step of several messages fails once.
    failed.dedup_by_key(|(index, _)| *index);
    let Some((index, error)) = failed.first() else { return Ok(()) };
    let first = format!("{}: {error}", steps[*index]);
    let failed = failed.into_iter().map(|(index, error)| FailedStep { index, error }).collect();
    Err(ApplyError { attempted: steps.len(), first, failed })
}

fn one(kernel: &mut LinuxKernel, tag: usize, step: &Step, failed: &mut Failed) -> Result<(), KernelError> {
    match step {
        Step::SetSysctl(path, value) => {
            failed.extend(kernel.socket.finish());
            sysctl::write(path, value)
        }
        Step::Firewall(transaction) => {
            failed.extend(kernel.socket.finish());
            nft::apply(&mut kernel.firewall, transaction)
        }
        Step::AddDevice(device, vxlan) => {
            failed.extend(kernel.socket.finish());
            let index = add_device(kernel, *device, vxlan)?;
            kernel.indexes.set(*device, Some(index));
            Ok(())
        }
        _ => queue(kernel, tag, step),
    }
}

/// Makes a device and marks it ours. The two cannot go into one batch: if the name is taken, the
/// second would mark somebody else's device.
fn add_device(kernel: &mut LinuxKernel, device: Device, vxlan: &Vxlan) -> Result<u32, KernelError> {
    const OPERATION: &str = "making a device";
    let socket = &mut kernel.socket;
    let create = link::create(device, vxlan);
    socket.push(0, OPERATION, (libc::RTM_NEWLINK, CREATE | EXCLUSIVE), |body| body.typed(&create));
    first_failure(socket)?;
    let name = link::named(device.name());
    let made: Link = socket.query(
        OPERATION,
        (libc::RTM_GETLINK, ACK),
        |body| body.typed(&name),
        |link, message| {
            *link = link::parse(message.payload)?;
            Ok(())
        },
    )?;
    // Below this MTU a device has no IPv6 part that could be told anything.
    let ipv6 = sysctl::has_ipv6() && vxlan.mtu >= IPV6_MIN_MTU;
    for message in [link::mark(made.index, ipv6), link::set_up(made.index, vxlan.up)] {
        socket.push(0, "setting up a device", (libc::RTM_NEWLINK, 0), |body| body.typed(&message));
    }
    if let Err(error) = first_failure(socket) {
        // Without our mark it would be somebody else's for ever.
        let remove = link::remove(made.index);
        socket.push(0, OPERATION, (libc::RTM_DELLINK, 0), |body| body.typed(&remove));
        drop(socket.finish());
        return Err(error);
    }
    Ok(made.index)
}

fn first_failure(socket: &mut BatchSocket) -> Result<(), KernelError> {
    match socket.finish().into_iter().next() {
        Some((_, error)) => Err(error),
        None => Ok(()),
    }
}

/// Adds the messages of a step to the batch.
fn queue(kernel: &mut LinuxKernel, tag: usize, step: &Step) -> Result<(), KernelError> {
    let (operation, kind, flags) = request(step);
    let index = match through(step) {
        Some(device) => kernel.indexes.index(device).ok_or_else(|| KernelError::Refused {
            operation,
            source: std::io::Error::from_raw_os_error(libc::ENODEV),
            detail: format!(": {device} is not there"),
        })?,
        None => 0,
    };
    if let Step::DelDevice(device) = step {
        kernel.indexes.set(*device, None);
    }
    let length = match step {
        Step::DelAddress(device, address) => kernel.odd_lengths.get(&(*device, *address)).copied(),
        _ => None,
    };
    kernel.socket.push(tag, operation, (kind, flags), |body| write(body, step, index, length));
    if let Step::SetDevice(_, vxlan) = step {
        let tunnel = link::change_tunnel(index, vxlan);
        kernel.socket.push(tag, operation, (kind, flags), |body| body.typed(&tunnel));
    }
    Ok(())
}

/// The device whose index a step's message holds.
fn through(step: &Step) -> Option<Device> {
    match step {
        Step::SetDevice(device, _)
        | Step::SetMac(device, _)
        | Step::DelDevice(device)
        | Step::AddAddress(device, _)
        | Step::DelAddress(device, _)
        | Step::ReplaceFdb(device, ..)
        | Step::DelFdb(device, ..)
        | Step::ReplaceNeighbour(device, ..)
        | Step::DelNeighbour(device, _) => Some(*device),
        Step::AddNextHop(_, hop) => Some(hop.device),
        Step::ReplaceRoute(.., route) => match route.hop {
            Hop::Link(device) => Some(device),
            Hop::Gateway(hop) => Some(hop.device),
            Hop::Group(_) | Hop::Foreign => None,
        },
        Step::SetSysctl(..)
        | Step::AddDevice(..)
        | Step::DelNextHop(_)
        | Step::AddGroup(..)
        | Step::ReplaceGroup(..)
        | Step::DelRoute(..)
        | Step::AddRule(_)
        | Step::DelRule(_)
        | Step::Firewall(_) => None,
    }
}

/// Name, message type and flags of a step.
fn request(step: &Step) -> (&'static str, u16, u16) {
    const ADD: u16 = CREATE | EXCLUSIVE;
    const PUT: u16 = CREATE | REPLACE;
    match step {
        Step::SetSysctl(..) => ("writing a sysctl", libc::NLMSG_NOOP as u16, 0),
        Step::Firewall(_) => ("changing nftables", libc::NLMSG_NOOP as u16, 0),
        Step::AddDevice(..) => ("making a device", libc::RTM_NEWLINK, ADD),
        Step::SetDevice(..) => ("changing a device", libc::RTM_NEWLINK, 0),
        Step::SetMac(..) => ("changing a MAC", libc::RTM_NEWLINK, 0),
        Step::DelDevice(_) => ("removing a device", libc::RTM_DELLINK, 0),
        Step::AddAddress(..) => ("adding an address", libc::RTM_NEWADDR, PUT),
        Step::DelAddress(..) => ("removing an address", libc::RTM_DELADDR, 0),
        Step::ReplaceFdb(..) => ("writing a forwarding entry", libc::RTM_NEWNEIGH, PUT),
        Step::DelFdb(..) => ("removing a forwarding entry", libc::RTM_DELNEIGH, 0),
        Step::ReplaceNeighbour(..) => ("writing a neighbour", libc::RTM_NEWNEIGH, PUT),
        Step::DelNeighbour(..) => ("removing a neighbour", libc::RTM_DELNEIGH, 0),
        Step::AddNextHop(..) => ("adding a next hop", nexthop::NEW, ADD),
        Step::DelNextHop(_) => ("removing a next hop", nexthop::DELETE, 0),
        Step::AddGroup(..) => ("adding a next-hop group", nexthop::NEW, ADD),
        Step::ReplaceGroup(..) => ("changing a next-hop group", nexthop::NEW, REPLACE),
        Step::ReplaceRoute(..) => ("writing a route", libc::RTM_NEWROUTE, PUT),
        Step::DelRoute(..) => ("removing a route", libc::RTM_DELROUTE, 0),
        Step::AddRule(_) => ("adding a rule", libc::RTM_NEWRULE, ADD),
        Step::DelRule(_) => ("removing a rule", libc::RTM_DELRULE, 0),
    }
}

/// Writes the message of a step.
fn write(body: &mut Body<'_>, step: &Step, index: u32, length: Option<u8>) {
    let host = |address: &IpAddr| length.unwrap_or(Family::of(*address).bits());
    match step {
        Step::SetDevice(device, vxlan) => body.typed(&link::change(index, *device, vxlan)),
        Step::SetMac(_, mac) => body.typed(&link::change_mac(index, *mac)),
        Step::DelDevice(_) => body.typed(&link::remove(index)),
        Step::AddAddress(_, address) | Step::DelAddress(_, address) => {
            body.typed(&address::message(index, *address, host(address)));
        }
        Step::ReplaceFdb(_, mac, to) | Step::DelFdb(_, mac, to) => neighbour::fdb(body, index, *mac, *to),
        Step::ReplaceNeighbour(_, address, mac) => neighbour::neighbour(body, index, *address, Some(*mac)),
        Step::DelNeighbour(_, address) => neighbour::neighbour(body, index, *address, None),
        Step::AddNextHop(id, hop) => nexthop::next_hop(body, *id, hop.gateway, index),
        Step::DelNextHop(id) => nexthop::named(body, *id),
        Step::AddGroup(id, group) => nexthop::group(body, *id, group, true),
        Step::ReplaceGroup(id, group) => nexthop::group(body, *id, group, false),
        Step::ReplaceRoute(prefix, metric, route) => route::route(body, prefix, *metric, route, index),
        Step::DelRoute(prefix, metric) => route::named(body, prefix, *metric),
        Step::AddRule(rule) | Step::DelRule(rule) => body.typed(&rule::message(rule)),
        Step::SetSysctl(..) | Step::AddDevice(..) | Step::Firewall(_) => {}
    }
}
