//! One change of the kernel.

use std::fmt;
use std::net::IpAddr;

use causeway_model::{Mac, Prefix};

use crate::device::{Device, LINK_ALIAS, PROTOCOL, ROUTE_TABLE};
use crate::nft;
use crate::state::{GroupKind, Hop, NextHop, NextHopId, ObservedGroup, Route, Rule, Sysctl, Vxlan};

/// One change of the kernel: idempotent wherever the kernel lets it be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Step {
    /// Write a sysctl.
    SetSysctl(Sysctl, String),
    /// Make a device, up, with our alias. Fails if the name is taken.
    AddDevice(Device, Vxlan),
    /// Set MTU, local address, learning and up of a device that exists, and not its MAC.
    SetDevice(Device, Vxlan),
    /// Set the MAC of a device. The kernel forgets all neighbours on it, even if the MAC is the one
    /// that it has.
    SetMac(Device, Mac),
    /// Remove a device. Routes and next hops through it must be gone before.
    DelDevice(Device),
    /// Add an own address as /32 or /128 without a prefix route.
    AddAddress(Device, IpAddr),
    /// Remove an own address.
    DelAddress(Device, IpAddr),
    /// Add a forwarding entry, or change where an existing one leads.
    ReplaceFdb(Device, Mac, IpAddr),
    /// Remove one destination of a MAC; all of them, where it is the unspecified address.
    DelFdb(Device, Mac, IpAddr),
    /// Add or change a permanent neighbour.
    ReplaceNeighbour(Device, IpAddr, Mac),
    /// Remove a neighbour.
    DelNeighbour(Device, IpAddr),
    /// Add a next hop under a free number.
    AddNextHop(NextHopId, NextHop),
    /// Remove a next hop or a group. Nothing may use it any more.
    DelNextHop(NextHopId),
    /// Add a group under a free number; its members exist.
    AddGroup(NextHopId, ObservedGroup),
    /// Change the members of a group in place: one message, however many routes use it.
    ReplaceGroup(NextHopId, ObservedGroup),
    /// Add a route, or change the one with the same prefix and metric.
    ReplaceRoute(Prefix, u32, Route<NextHopId>),
    /// Remove a route.
    DelRoute(Prefix, u32),
    /// Add a rule. Fails if it exists.
    AddRule(Rule),
    /// Remove one instance of a rule.
    DelRule(Rule),
    /// Change nftables in one transaction.
    Firewall(nft::Transaction),
}

impl Step {
    /// What kinds of steps there are.
    pub const KINDS: [&str; 21] = [
        "set_sysctl",
        "add_device",
        "set_device",
        "set_mac",
        "del_device",
        "add_address",
        "del_address",
        "replace_fdb",
        "del_fdb",
        "replace_neighbour",
        "del_neighbour",
        "add_nexthop",
        "del_nexthop",
        "add_group",
        "replace_group",
        "replace_route",
        "del_route",
        "add_rule",
        "del_rule",
        "firewall",
        Step::FAST_PATH,
    ];

    /// The kind of what changes with the ports of a node's pods, too.
    pub const FAST_PATH: &str = "fast_path";

    /// Which of them this is.
    pub fn kind(&self) -> &'static str {
        let place = match self {
            Step::SetSysctl(..) => 0,
            Step::AddDevice(..) => 1,
            Step::SetDevice(..) => 2,
            Step::SetMac(..) => 3,
            Step::DelDevice(..) => 4,
            Step::AddAddress(..) => 5,
            Step::DelAddress(..) => 6,
            Step::ReplaceFdb(..) => 7,
            Step::DelFdb(..) => 8,
            Step::ReplaceNeighbour(..) => 9,
            Step::DelNeighbour(..) => 10,
            Step::AddNextHop(..) => 11,
            Step::DelNextHop(..) => 12,
            Step::AddGroup(..) => 13,
            Step::ReplaceGroup(..) => 14,
            Step::ReplaceRoute(..) => 15,
            Step::DelRoute(..) => 16,
            Step::AddRule(..) => 17,
            Step::DelRule(..) => 18,
            Step::Firewall(transaction) => match transaction.table() {
                nft::TableKind::Inet => 19,
                nft::TableKind::Netdev => 20,
            },
        };
        Step::KINDS[place]
    }
}

/// Writes each step as the `ip`, `bridge`, `sysctl` or `nft` command that has the same effect.
impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Step::SetSysctl(Sysctl(path), value) => write!(f, "sysctl -w {path}={value}"),
            Step::AddDevice(device, v) => write!(
                f,
                "ip link add {device} address {} mtu {} alias {LINK_ALIAS} group {} up type vxlan id {} dstport {} local {} nolearning",
                v.mac,
                v.mtu,
                device.overlay.group(),
                v.vni,
                v.port,
                v.local
            ),
            Step::SetDevice(device, v) => write!(
                f,
                "ip link set {device} mtu {} {} type vxlan id {} local {} nolearning",
                v.mtu,
                if v.up { "up" } else { "down" },
                v.vni,
                v.local
            ),
            Step::SetMac(device, mac) => write!(f, "ip link set {device} address {mac}"),
            Step::DelDevice(device) => write!(f, "ip link del {device}"),
            Step::AddAddress(device, address) => write!(f, "ip address add {address} dev {device}"),
            Step::DelAddress(device, address) => write!(f, "ip address del {address} dev {device}"),
            Step::ReplaceFdb(device, mac, to) => {
                write!(f, "bridge fdb replace {mac} dev {device} dst {to} self permanent")
            }
            Step::DelFdb(device, mac, to) => write!(f, "bridge fdb del {mac} dev {device} dst {to} self"),
            Step::ReplaceNeighbour(device, address, mac) => {
                write!(f, "ip neighbour replace {address} lladdr {mac} dev {device} nud permanent")
            }
            Step::DelNeighbour(device, address) => write!(f, "ip neighbour del {address} dev {device}"),
            Step::AddNextHop(NextHopId(id), hop) => write!(
                f,
                "ip nexthop add id {id} via {} dev {} onlink protocol {PROTOCOL}",
                hop.gateway, hop.device
            ),
            Step::DelNextHop(NextHopId(id)) => write!(f, "ip nexthop del id {id}"),
            Step::AddGroup(id, group) => write_group(f, "add", *id, group),
            Step::ReplaceGroup(id, group) => write_group(f, "replace", *id, group),
            Step::ReplaceRoute(prefix, metric, route) => {
                write!(f, "ip route replace {prefix}{}", RouteText(route))?;
                write!(f, " table {ROUTE_TABLE} protocol {PROTOCOL} metric {metric}")
            }
            Step::DelRoute(prefix, metric) => {
                write!(f, "ip route del {prefix} table {ROUTE_TABLE} protocol {PROTOCOL} metric {metric}")
            }
            Step::AddRule(rule) => write_rule(f, "add", rule),
            Step::DelRule(rule) => write_rule(f, "del", rule),
            Step::Firewall(transaction) => write!(f, "nft -f - <<END\n{transaction}END"),
        }
    }
}

fn write_group(
    f: &mut fmt::Formatter<'_>,
    verb: &str,
    NextHopId(id): NextHopId,
    group: &ObservedGroup,
) -> fmt::Result {
    let members: Vec<String> = group.members.iter().map(|m| m.0.to_string()).collect();
    write!(f, "ip nexthop {verb} id {id} group {}", members.join("/"))?;
    if group.kind == GroupKind::Resilient {
        f.write_str(" type resilient")?;
    }
    write!(f, " protocol {PROTOCOL}")
}

fn write_rule(f: &mut fmt::Formatter<'_>, verb: &str, rule: &Rule) -> fmt::Result {
    let family = if rule.family == causeway_model::Family::V4 { "-4" } else { "-6" };
    let Rule { priority, table, .. } = rule;
    write!(f, "ip {family} rule {verb} priority {priority} table {table} protocol {PROTOCOL}")
}

struct RouteText<'a>(&'a Route<NextHopId>);

impl fmt::Display for RouteText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.hop {
            Hop::Link(device) => write!(f, " dev {device}")?,
            Hop::Gateway(hop) => write!(f, " via {} dev {} onlink", hop.gateway, hop.device)?,
            Hop::Group(NextHopId(id)) => write!(f, " nhid {id}")?,
            Hop::Foreign => f.write_str(" blackhole")?,
        }
        if let Some(src) = self.0.src {
            write!(f, " src {src}")?;
        }
        match self.0.mtu {
            Some(mtu) => write!(f, " mtu {mtu}"),
            None => Ok(()),
        }
    }
}
