//! The kernel state of a node: as it should be, and as it was read.
//!
//! The two differ where the kernel says more than we ask for: it numbers its next hops, and it may
//! hold what we never wrote.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{ClusterName, Family, Mac, NodeName, Prefix, UdpPort, Vni};

use crate::device::Device;
use crate::nft;
use crate::table::Table;

/// Attributes of a VXLAN device (`ip -d link show type vxlan`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vxlan {
    /// Network identifier.
    pub vni: Vni,
    /// UDP destination port.
    pub port: UdpPort,
    /// Source address of its outer packets.
    pub local: IpAddr,
    /// Whether it learns forwarding entries from packets. Ours never do.
    pub learning: bool,
    /// Its MAC address.
    pub mac: Mac,
    /// Largest inner IP packet in bytes.
    pub mtu: u32,
    /// Administratively up.
    pub up: bool,
}

impl Vxlan {
    /// Whether the kernel can turn a device with these attributes into `other` without making it
    /// anew: it refuses another VNI, port or family of the local address (`vxlan_nl2conf`).
    pub fn can_become(&self, other: &Vxlan) -> bool {
        (self.vni, self.port, Family::of(self.local)) == (other.vni, other.port, Family::of(other.local))
    }
}

/// The number of a next hop or of a next-hop group.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NextHopId(pub u32);

/// A single next hop: an on-link gateway through a tunnel device.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct NextHop {
    /// Through which device.
    pub device: Device,
    /// The overlay address of the peer.
    pub gateway: IpAddr,
}

/// How a group spreads packets over its members.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum GroupKind {
    /// Hash threshold: a change of members may move any flow.
    Multipath,
    /// Resilient hashing (Linux 5.13): only flows of a member that left move.
    Resilient,
}

/// A group that should be.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// The family of the routes that use it.
    pub family: Family,
    /// Its members, sorted, at least one.
    pub members: Vec<NextHop>,
}

/// A peer that may be a member of groups: a gateway, or a node that carries Services.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Carrier {
    /// Its cluster.
    pub cluster: ClusterName,
    /// The peer as a member of a group.
    pub hop: NextHop,
    /// Its node.
    pub node: NodeName,
    /// The largest IP packet that should reach it, in bytes.
    pub mtu: u32,
}

/// A group as the kernel holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObservedGroup {
    /// How it spreads.
    pub kind: GroupKind,
    /// Numbers of its members, sorted.
    pub members: Vec<NextHopId>,
}

/// Where a route leads. `G` names a group: its place in [`Desired::groups`], or its
/// [`NextHopId`] in the kernel.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Hop<G> {
    /// Directly onto the device: the destination is itself a peer's overlay address.
    Link(Device),
    /// To a peer.
    Gateway(NextHop),
    /// To any member of a group.
    Group(G),
    /// Anything that we never write, such as a blackhole or another device.
    Foreign,
}

/// A route of our table.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Route<G> {
    /// Where it leads.
    pub hop: Hop<G>,
    /// Preferred source address of packets that this node originates.
    pub src: Option<IpAddr>,
    /// Path MTU in bytes where it is less than the device's.
    pub mtu: Option<u32>,
}

/// A policy routing rule: look up `table` for every packet of `family`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Rule {
    /// Family.
    pub family: Family,
    /// Place among the rules; lower is earlier.
    pub priority: u32,
    /// Table to look up.
    pub table: u32,
    /// Whether it selects all packets, as ours do. `false` for one with our protocol number that
    /// somebody gave a selector or another action.
    pub plain: bool,
}

/// A sysctl by its path below `/proc/sys`, for example `net/ipv4/ip_forward`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Sysctl(pub String);

/// The kernel state that a node should have.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Desired {
    /// Tunnel devices.
    pub devices: BTreeMap<Device, Vxlan>,
    /// Own overlay addresses, as /32 and /128.
    pub addresses: Table<(Device, IpAddr), ()>,
    /// Forwarding entries: behind which underlay address a MAC lies.
    pub fdb: Table<(Device, Mac), IpAddr>,
    /// Permanent neighbour entries: the MAC of an overlay address.
    pub neighbours: Table<(Device, IpAddr), Mac>,
    /// Next-hop groups.
    pub groups: Vec<Group>,
    /// Everybody who may be in a group, also those who are in none because they seem dead. Not kernel
    /// state: who is to be probed, and what a group may be changed to.
    pub carriers: Vec<Carrier>,
    /// Routes by prefix.
    pub routes: Table<Prefix, Route<usize>>,
    /// Policy routing rules.
    pub rules: Vec<Rule>,
    /// Our nftables table; `None` removes it.
    pub firewall: Option<nft::Ruleset>,
    /// Our nftables table of the fast path; `None` removes it.
    pub fast_path: Option<nft::Ruleset>,
    /// Values of sysctls.
    pub sysctls: BTreeMap<Sysctl, String>,
}

/// A device that is ours, as the kernel holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObservedDevice {
    /// Interface index.
    pub index: u32,
    /// Its attributes.
    pub vxlan: Vxlan,
    /// Whether it carries our alias and is in its overlay's device group. One that has lost the alias is ours as long as it
    /// was seen with it before, under the same index.
    pub marked: bool,
}

/// An address of this host and the link that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostAddress {
    /// The address.
    pub address: IpAddr,
    /// The link's name.
    pub link: String,
    /// The link's MTU in bytes.
    pub mtu: u32,
}

/// A link of this host that is not ours.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HostLink {
    /// Its interface index.
    pub index: u32,
    /// That of the bridge or bond that it is a port of.
    pub master: Option<u32>,
    /// Its Ethernet address, if it has one.
    pub mac: Option<Mac>,
    /// Its MTU in bytes.
    pub mtu: u32,
    /// Its name.
    pub name: String,
    /// Its kind (`vxlan`, `veth`, `bridge`, …); empty for a physical one.
    pub kind: String,
    /// Effective IPv4 reverse path filter: 0 off, 1 strict, 2 loose (the larger of the link's and
    /// `all`'s, `Documentation/networking/ip-sysctl.rst`).
    pub rp_filter: u8,
}

/// What this kernel can do.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Capabilities {
    /// Resilient next-hop groups.
    pub resilient_groups: bool,
    /// IPv6 is not switched off.
    pub ipv6: bool,
    /// iptables-legacy has a filter table with rules that nftables cannot reach.
    pub iptables_legacy: bool,
    /// nftables can take packets past the IP layer, and connection tracking takes TCP's sequence numbers as they come.
    pub fast_path: bool,
}

/// Next hops and groups that are ours in the kernel.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObservedNextHops {
    /// Next hops with our protocol number.
    pub singles: BTreeMap<NextHopId, NextHop>,
    /// Groups with our protocol number.
    pub groups: BTreeMap<NextHopId, ObservedGroup>,
    /// Next hops with our protocol number whose content we never write.
    pub odd: Vec<NextHopId>,
}

/// What is ours in the kernel, and what we must know of the rest.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Observed {
    /// Our devices: right name and our alias.
    pub devices: BTreeMap<Device, ObservedDevice>,
    /// Devices of somebody else that have one of our names.
    pub foreign_devices: Vec<Device>,
    /// Addresses on our devices (link-local ones left out).
    pub addresses: Table<(Device, IpAddr), ()>,
    /// Forwarding entries of our devices, one per MAC. One that we never write (to another port or
    /// network, or that ages) shows the unspecified address.
    pub fdb: Table<(Device, Mac), IpAddr>,
    /// Further forwarding entries: all for floods (the all-zero MAC and multicast ones), and more of
    /// MACs that are in `fdb`.
    pub extra_fdb: Vec<(Device, Mac, IpAddr)>,
    /// Permanent neighbour entries on our devices.
    pub neighbours: Table<(Device, IpAddr), Mac>,
    /// Next hops with our protocol number.
    pub next_hops: BTreeMap<NextHopId, NextHop>,
    /// Next hops with our protocol number whose content we never write.
    pub odd_next_hops: Vec<NextHopId>,
    /// Groups with our protocol number.
    pub groups: BTreeMap<NextHopId, ObservedGroup>,
    /// Routes of our table with our protocol number, by prefix and metric.
    pub routes: Table<(Prefix, u32), Route<NextHopId>>,
    /// Rules with our protocol number; the same one may be there twice.
    pub rules: Vec<Rule>,
    /// Our nftables tables and the foreign chains that concern us.
    pub firewall: nft::Observed,
    /// Values of the sysctls that we set or may set, as far as they exist.
    pub sysctls: BTreeMap<Sysctl, String>,
    /// Addresses of this host that are not ours (link-local ones left out).
    pub host_addresses: Vec<HostAddress>,
    /// Links of this host that are not ours.
    pub host_links: Vec<HostLink>,
    /// What this kernel can do.
    pub capabilities: Capabilities,
}

/// The metric of the route to `prefix`.
///
/// IPv4 routes of one metric with distinct gateways on one device are compared one by one when they
/// are added (`fib_find_info`), which is quadratic: 16,000 take 16 s. A metric that follows from the
/// prefix spreads them, and stays the same for as long as the route lives.
pub fn metric(prefix: &Prefix) -> u32 {
    use std::hash::{Hash, Hasher};
    let mut hasher = rustc_hash::FxHasher::default();
    prefix.hash(&mut hasher);
    let hash = hasher.finish();
    ((hash ^ (hash >> 32)) as u32 & 0x7fff_ffff).max(1)
}
