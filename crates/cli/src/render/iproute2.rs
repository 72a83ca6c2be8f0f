//! Kernel state in the field names of iproute2 6.1: `ip -json -d link`, `ip -json address`, `route`,
//! `rule`, `nexthop`, `neigh`, and `bridge -json fdb`. Only what the desired state decides is there;
//! what the kernel adds by itself, such as interface indexes and link-local addresses, is not.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_dataplane::device::{Device, LINK_ALIAS, PROTOCOL};
use causeway_dataplane::state::{Desired, Hop, NextHop, metric};
use causeway_model::{Family, Prefix};
use serde::Serialize;

/// As `ip -json -d link` shows a device.
#[derive(Serialize)]
pub struct Link {
    ifname: &'static str,
    flags: Vec<&'static str>,
    mtu: u32,
    link_type: &'static str,
    address: String,
    group: String,
    ifalias: &'static str,
    linkinfo: LinkInfo,
}

#[derive(Serialize)]
struct LinkInfo {
    info_kind: &'static str,
    info_data: VxlanData,
}

#[derive(Serialize)]
struct VxlanData {
    id: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    local: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local6: Option<IpAddr>,
    port: u16,
    learning: bool,
}

impl Link {
    /// Device, VNI, port, local address, MAC, MTU.
    pub fn cells(&self) -> Vec<String> {
        let data = &self.linkinfo.info_data;
        let local = data.local.or(data.local6).map(|local| local.to_string()).unwrap_or_default();
        vec![
            self.ifname.to_owned(),
            data.id.to_string(),
            data.port.to_string(),
            local,
            self.address.clone(),
            self.mtu.to_string(),
        ]
    }
}

/// The tunnel devices.
pub fn links(desired: &Desired) -> Vec<Link> {
    let link = |(device, vxlan): (&Device, &causeway_dataplane::state::Vxlan)| Link {
        ifname: device.name(),
        flags: if vxlan.up {
            vec!["BROADCAST", "MULTICAST", "UP", "LOWER_UP"]
        } else {
            vec!["BROADCAST", "MULTICAST"]
        },
        mtu: vxlan.mtu,
        link_type: "ether",
        address: vxlan.mac.to_string(),
        group: device.overlay.group().to_string(),
        ifalias: LINK_ALIAS,
        linkinfo: LinkInfo {
            info_kind: "vxlan",
            info_data: VxlanData {
                id: vxlan.vni.0,
                local: Some(vxlan.local).filter(IpAddr::is_ipv4),
                local6: Some(vxlan.local).filter(IpAddr::is_ipv6),
                port: vxlan.port.0,
                learning: vxlan.learning,
            },
        },
    };
    desired.devices.iter().map(link).collect()
}

/// As `ip -json address` shows the addresses of a device.
#[derive(Serialize)]
pub struct AddressedLink {
    ifname: &'static str,
    addr_info: Vec<Address>,
}

#[derive(Serialize)]
struct Address {
    family: &'static str,
    local: IpAddr,
    prefixlen: u8,
    scope: &'static str,
}

impl AddressedLink {
    /// The addresses in one text.
    pub fn addresses(&self) -> String {
        let addresses: Vec<String> = self.addr_info.iter().map(|address| address.local.to_string()).collect();
        addresses.join(" ")
    }
}

/// The addresses of each device, in the order of [`links`].
pub fn addresses(desired: &Desired) -> Vec<AddressedLink> {
    let mut by_device: BTreeMap<Device, Vec<Address>> =
        desired.devices.keys().map(|device| (*device, Vec::new())).collect();
    for ((device, address), ()) in desired.addresses.iter() {
        let family = Family::of(*address);
        by_device.entry(*device).or_default().push(Address {
            family: if family == Family::V4 { "inet" } else { "inet6" },
            local: *address,
            prefixlen: family.bits(),
            scope: "global",
        });
    }
    by_device
        .into_iter()
        .map(|(device, addr_info)| AddressedLink { ifname: device.name(), addr_info })
        .collect()
}

/// As `ip -json rule` shows a rule. Rules of both families look alike there; `family` is ours.
#[derive(Serialize)]
pub struct Rule {
    family: &'static str,
    priority: u32,
    src: &'static str,
    table: String,
    protocol: String,
}

impl Rule {
    /// Priority, source, table, family.
    pub fn cells(&self) -> Vec<String> {
        vec![self.priority.to_string(), self.src.to_owned(), self.table.clone(), self.family.to_owned()]
    }
}

/// The policy routing rules.
pub fn rules(desired: &Desired) -> Vec<Rule> {
    let rule = |rule: &causeway_dataplane::state::Rule| Rule {
        family: if rule.family == Family::V4 { "inet" } else { "inet6" },
        priority: rule.priority,
        src: "all",
        table: rule.table.to_string(),
        protocol: PROTOCOL.to_string(),
    };
    desired.rules.iter().map(rule).collect()
}

/// Numbers of next hops and groups. On a real node the agent takes free ones; here they count from 1:
/// the members of all groups, then the groups.
pub struct Numbers(BTreeMap<NextHop, u32>);

impl Numbers {
    /// The numbers of what `desired` holds.
    pub fn of(desired: &Desired) -> Numbers {
        let mut members: Vec<NextHop> =
            desired.groups.iter().flat_map(|group| group.members.iter().copied()).collect();
        members.sort_unstable();
        members.dedup();
        Numbers(members.into_iter().zip(1..).collect())
    }

    fn member(&self, hop: &NextHop) -> u32 {
        self.0.get(hop).copied().unwrap_or_default()
    }

    fn group(&self, place: usize) -> u32 {
        u32::try_from(self.0.len() + place + 1).unwrap_or(u32::MAX)
    }
}

/// As `ip -json nexthop` shows a next hop or a group.
#[derive(Serialize)]
#[serde(untagged)]
pub enum NextHopEntry {
    /// A single one.
    Single {
        /// Its number.
        id: u32,
        /// The peer's overlay address.
        gateway: IpAddr,
        /// Through which device.
        dev: &'static str,
        /// Always `link`.
        scope: &'static str,
        /// Our protocol number.
        protocol: String,
        /// Always `onlink`.
        flags: [&'static str; 1],
    },
    /// A group.
    Group {
        /// Its number.
        id: u32,
        /// Its members.
        group: Vec<Member>,
        /// How it spreads, where the kernel can.
        #[serde(rename = "type")]
        kind: &'static str,
        /// Our protocol number.
        protocol: String,
        /// None.
        flags: [&'static str; 0],
    },
}

/// A member of a group.
#[derive(Serialize)]
pub struct Member {
    id: u32,
}

impl NextHopEntry {
    /// Number, gateway or members, device.
    pub fn cells(&self) -> Vec<String> {
        match self {
            NextHopEntry::Single { id, gateway, dev, .. } => {
                vec![id.to_string(), gateway.to_string(), (*dev).to_owned()]
            }
            NextHopEntry::Group { id, group, .. } => {
                let members: Vec<String> = group.iter().map(|member| member.id.to_string()).collect();
                vec![id.to_string(), format!("group {}", members.join("/"))]
            }
        }
    }
}

/// The next hops and groups.
pub fn next_hops(desired: &Desired, numbers: &Numbers) -> Vec<NextHopEntry> {
    let single = |(hop, id): (&NextHop, &u32)| NextHopEntry::Single {
        id: *id,
        gateway: hop.gateway,
        dev: hop.device.name(),
        scope: "link",
        protocol: PROTOCOL.to_string(),
        flags: ["onlink"],
    };
    let group = |(place, group): (usize, &causeway_dataplane::state::Group)| NextHopEntry::Group {
        id: numbers.group(place),
        group: group.members.iter().map(|hop| Member { id: numbers.member(hop) }).collect(),
        kind: "resilient",
        protocol: PROTOCOL.to_string(),
        flags: [],
    };
    numbers.0.iter().map(single).chain(desired.groups.iter().enumerate().map(group)).collect()
}

/// As `ip -json route show table 4876` shows a route.
#[derive(Serialize)]
pub struct Route {
    dst: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    nhid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    gateway: Option<IpAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    dev: Option<&'static str>,
    protocol: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefsrc: Option<IpAddr>,
    metric: u32,
    flags: Vec<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    metrics: Vec<Metrics>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pref: Option<&'static str>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    nexthops: Vec<Path>,
}

#[derive(Serialize)]
struct Metrics {
    mtu: u32,
}

#[derive(Serialize)]
struct Path {
    gateway: IpAddr,
    dev: &'static str,
    weight: u8,
    flags: [&'static str; 1],
}

impl Route {
    /// Destination, gateway or group, device, source, MTU.
    pub fn cells(&self) -> Vec<String> {
        let text = |value: Option<String>| value.unwrap_or_default();
        let via = match (self.nhid, self.gateway) {
            (Some(id), _) => format!("group {id}"),
            (None, gateway) => text(gateway.map(|gateway| gateway.to_string())),
        };
        let devices: Vec<&str> = match self.dev {
            Some(dev) => vec![dev],
            None => {
                let mut devices: Vec<&str> = self.nexthops.iter().map(|path| path.dev).collect();
                devices.sort_unstable();
                devices.dedup();
                devices
            }
        };
        vec![
            self.dst.clone(),
            via,
            devices.join(" "),
            text(self.prefsrc.map(|src| src.to_string())),
            text(self.metrics.first().map(|metrics| metrics.mtu.to_string())),
        ]
    }
}

/// The routes of our table.
pub fn routes(desired: &Desired, numbers: &Numbers) -> Vec<Route> {
    desired.routes.iter().map(|(prefix, entry)| route(desired, numbers, prefix, entry)).collect()
}

fn route(
    desired: &Desired,
    numbers: &Numbers,
    prefix: &Prefix,
    entry: &causeway_dataplane::state::Route<usize>,
) -> Route {
    let v4 = prefix.family() == Family::V4;
    let mut route = Route {
        dst: iproute2_prefix(prefix),
        nhid: None,
        gateway: None,
        dev: None,
        protocol: PROTOCOL.to_string(),
        scope: None,
        prefsrc: entry.src,
        metric: metric(prefix),
        flags: Vec::new(),
        metrics: entry.mtu.map(|mtu| Metrics { mtu }).into_iter().collect(),
        pref: (!v4).then_some("medium"),
        nexthops: Vec::new(),
    };
    match entry.hop {
        Hop::Link(device) => {
            route.dev = Some(device.name());
            route.scope = v4.then_some("link");
        }
        Hop::Gateway(hop) => {
            route.gateway = Some(hop.gateway);
            route.dev = Some(hop.device.name());
            route.flags = vec!["onlink"];
        }
        Hop::Group(place) => {
            let members = desired.groups.get(place).map(|group| group.members.as_slice());
            let path = |hop: &NextHop| Path {
                gateway: hop.gateway,
                dev: hop.device.name(),
                weight: 1,
                flags: ["onlink"],
            };
            route.nhid = Some(numbers.group(place));
            route.nexthops = members.unwrap_or_default().iter().map(path).collect();
        }
        // Never desired.
        Hop::Foreign => {}
    }
    route
}

/// A prefix as iproute2 writes it: a single address without its length.
fn iproute2_prefix(prefix: &Prefix) -> String {
    if prefix.len() == prefix.family().bits() { prefix.first().to_string() } else { prefix.to_string() }
}

/// As `ip -json neigh` shows a neighbour.
#[derive(Serialize)]
pub struct Neighbour {
    dst: IpAddr,
    dev: &'static str,
    lladdr: String,
    state: [&'static str; 1],
}

impl Neighbour {
    /// Address, MAC, device.
    pub fn cells(&self) -> Vec<String> {
        vec![self.dst.to_string(), self.lladdr.clone(), self.dev.to_owned()]
    }
}

/// The permanent neighbours.
pub fn neighbours(desired: &Desired) -> Vec<Neighbour> {
    let entries = desired.neighbours.iter();
    entries
        .map(|((device, address), mac)| Neighbour {
            dst: *address,
            dev: device.name(),
            lladdr: mac.to_string(),
            state: ["PERMANENT"],
        })
        .collect()
}

/// As `bridge -json fdb` shows a forwarding entry.
#[derive(Serialize)]
pub struct FdbEntry {
    mac: String,
    ifname: &'static str,
    dst: IpAddr,
    flags: [&'static str; 1],
    state: &'static str,
}

impl FdbEntry {
    /// MAC, underlay address, device.
    pub fn cells(&self) -> Vec<String> {
        vec![self.mac.clone(), self.dst.to_string(), self.ifname.to_owned()]
    }
}

/// The forwarding entries.
pub fn fdb(desired: &Desired) -> Vec<FdbEntry> {
    let entries = desired.fdb.iter();
    entries
        .map(|((device, mac), dst)| FdbEntry {
            mac: mac.to_string(),
            ifname: device.name(),
            dst: *dst,
            flags: ["self"],
            state: "permanent",
        })
        .collect()
}
