//! Links: reading all of them, making and changing our VXLAN devices.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_model::{Family, Mac, UdpPort, Vni};
use netlink_packet_route::AddressFamily;
use netlink_packet_route::link::{
    AfSpecInet6, AfSpecUnspec, In6AddrGenMode, InfoData, InfoKind, InfoVxlan, LinkAttribute, LinkFlags,
    LinkInfo, LinkMessage,
};

use super::wire::{Attributes, Malformed, fixed, u32_at};
use crate::device::{Device, LINK_ALIAS};
use crate::state::Vxlan;

/// `IFLA_INET_CONF` inside `IFLA_AF_SPEC`/`AF_INET`.
const INET_CONF: u16 = 1;
/// `IPV4_DEVCONF_RP_FILTER`, counted from 1.
const DEVCONF_RP_FILTER: usize = 8;
/// `IFLA_VXLAN_…`, `linux/if_link.h`.
mod vxlan {
    pub const ID: u16 = 1;
    pub const LOCAL: u16 = 4;
    pub const LEARNING: u16 = 7;
    pub const PORT: u16 = 15;
    pub const LOCAL6: u16 = 17;
}

/// A link as far as it matters.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Link {
    pub index: u32,
    pub name: String,
    pub kind: String,
    /// The index of the link that it is a port of.
    pub master: Option<u32>,
    /// Its Ethernet address.
    pub mac: Option<Mac>,
    pub mtu: u32,
    /// IPv4 reverse path filter of the link alone.
    pub rp_filter: Option<u8>,
    /// Its device group.
    pub group: u32,
    /// The VXLAN device of ours that this is.
    pub ours: Option<(Device, Vxlan)>,
    /// A VXLAN device with one of our names, but without our alias.
    pub unmarked: Option<(Device, Vxlan)>,
}

/// Reads `RTM_NEWLINK`.
pub(super) fn parse(payload: &[u8]) -> Result<Link, Malformed> {
    let (head, attributes) = fixed::<16>(payload)?;
    let mut link = Link { index: u32_at(head, 4), ..Link::default() };
    let (mut mac, mut alias, mut data) = (None, "", None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            libc::IFLA_IFNAME => attribute.text().clone_into(&mut link.name),
            libc::IFLA_MTU => link.mtu = attribute.u32()?,
            libc::IFLA_MASTER => link.master = Some(attribute.u32()?),
            libc::IFLA_ADDRESS => mac = attribute.mac().ok(),
            libc::IFLA_IFALIAS => alias = attribute.text(),
            libc::IFLA_GROUP => link.group = attribute.u32()?,
            libc::IFLA_AF_SPEC => link.rp_filter = rp_filter(attribute.nested())?,
            libc::IFLA_LINKINFO => {
                for info in attribute.nested() {
                    let info = info?;
                    match info.kind {
                        libc::IFLA_INFO_KIND => info.text().clone_into(&mut link.kind),
                        libc::IFLA_INFO_DATA => data = Some(info.nested()),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    link.mac = mac;
    let device = Device::from_name(&link.name).filter(|_| link.kind == "vxlan");
    if let (Some(device), Some(data)) = (device, data) {
        let up = u32_at(head, 8) & libc::IFF_UP as u32 != 0;
        let vxlan = Vxlan { mac: mac.unwrap_or(Mac([0; 6])), mtu: link.mtu, up, ..parse_vxlan(data)? };
        let place = if alias == LINK_ALIAS { &mut link.ours } else { &mut link.unmarked };
        *place = Some((device, vxlan));
    }
    Ok(link)
}

fn rp_filter(families: Attributes<'_>) -> Result<Option<u8>, Malformed> {
    for family in families {
        let family = family?;
        if i32::from(family.kind) != libc::AF_INET {
            continue;
        }
        for part in family.nested() {
            let part = part?;
            if part.kind == INET_CONF && part.value.len() >= DEVCONF_RP_FILTER * 4 {
                return Ok(u8::try_from(u32_at(part.value, (DEVCONF_RP_FILTER - 1) * 4)).ok());
            }
        }
    }
    Ok(None)
}

/// A device without a local address shows the unspecified one, which differs from any of ours.
fn parse_vxlan(data: Attributes<'_>) -> Result<Vxlan, Malformed> {
    let mut vxlan = Vxlan {
        vni: Vni(0),
        port: UdpPort(0),
        local: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        learning: true,
        mac: Mac([0; 6]),
        mtu: 0,
        up: false,
    };
    for attribute in data {
        let attribute = attribute?;
        match attribute.kind {
            vxlan::ID => vxlan.vni = Vni(attribute.u32()?),
            vxlan::LOCAL | vxlan::LOCAL6 => vxlan.local = attribute.address()?,
            vxlan::LEARNING => vxlan.learning = attribute.u8()? != 0,
            vxlan::PORT => vxlan.port = UdpPort(attribute.u16_be()?),
            _ => {}
        }
    }
    Ok(vxlan)
}

/// The request for one link by its name.
pub(super) fn named(name: &str) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.attributes = vec![LinkAttribute::IfName(name.to_owned())];
    message
}

/// The request that makes a device. It is down and has no alias: the kernel takes neither an alias
/// nor an address generation mode here (`rtnl_newlink_create`), so [`mark`] follows.
pub(super) fn create(device: Device, vxlan: &Vxlan) -> LinkMessage {
    let mut message = named(device.name());
    message.attributes.push(LinkAttribute::Address(vxlan.mac.0.to_vec()));
    message.attributes.push(LinkAttribute::Mtu(vxlan.mtu));
    message.attributes.push(LinkAttribute::Group(device.overlay.group()));
    message.attributes.push(info(vec![
        InfoVxlan::Id(vxlan.vni.0),
        local(vxlan.local),
        InfoVxlan::Learning(vxlan.learning),
        InfoVxlan::Port(vxlan.port.0),
    ]));
    message
}

/// The request that makes a device just created ours. `ipv6`: no link-local address, as nobody on an
/// overlay without broadcast would hear of it; the kernel gives one as it sets a device up, and reads
/// this after that, so [`set_up`] is a request of its own.
pub(super) fn mark(index: u32, ipv6: bool) -> LinkMessage {
    let mut message = remove(index);
    message.attributes = vec![LinkAttribute::IfAlias(LINK_ALIAS.to_owned())];
    if ipv6 {
        let none = AfSpecInet6::AddrGenMode(In6AddrGenMode::None);
        message.attributes.push(LinkAttribute::AfSpecUnspec(vec![AfSpecUnspec::Inet6(vec![none])]));
    }
    message
}

/// The request that sets a device up or down.
pub(super) fn set_up(index: u32, up: bool) -> LinkMessage {
    let mut message = remove(index);
    message.header.change_mask = LinkFlags::Up;
    message.header.flags = if up { LinkFlags::Up } else { LinkFlags::empty() };
    message
}

/// The request that sets MTU, up, our alias and the device group. It does not name the MAC: at the very mention of one
/// the kernel forgets all neighbours of the device.
pub(super) fn change(index: u32, device: Device, vxlan: &Vxlan) -> LinkMessage {
    let mut message = set_up(index, vxlan.up);
    message.attributes = vec![
        LinkAttribute::Mtu(vxlan.mtu),
        LinkAttribute::IfAlias(LINK_ALIAS.to_owned()),
        LinkAttribute::Group(device.overlay.group()),
    ];
    message
}

/// The request that sets the MAC.
pub(super) fn change_mac(index: u32, mac: Mac) -> LinkMessage {
    let mut message = remove(index);
    message.attributes = vec![LinkAttribute::Address(mac.0.to_vec())];
    message
}

/// The request that sets local address and learning. The kernel refuses an MTU beside them
/// (`vxlan_nl2conf`: "Cannot change mtu").
pub(super) fn change_tunnel(index: u32, vxlan: &Vxlan) -> LinkMessage {
    let mut message = remove(index);
    message.attributes =
        vec![info(vec![InfoVxlan::Id(vxlan.vni.0), local(vxlan.local), InfoVxlan::Learning(vxlan.learning)])];
    message
}

/// A message that says no more than which link: the request that removes it.
pub(super) fn remove(index: u32) -> LinkMessage {
    let mut message = LinkMessage::default();
    message.header.index = index;
    message
}

fn info(data: Vec<InfoVxlan>) -> LinkAttribute {
    LinkAttribute::LinkInfo(vec![LinkInfo::Kind(InfoKind::Vxlan), LinkInfo::Data(InfoData::Vxlan(data))])
}

fn local(address: IpAddr) -> InfoVxlan {
    match address {
        IpAddr::V4(address) => InfoVxlan::Local(address),
        IpAddr::V6(address) => InfoVxlan::Local6(address),
    }
}

/// The netlink number of a family.
pub(super) fn family_number(family: Family) -> u8 {
    match family {
        Family::V4 => libc::AF_INET as u8,
        Family::V6 => libc::AF_INET6 as u8,
    }
}

/// The netlink number of a family, typed.
pub(super) fn address_family(family: Family) -> AddressFamily {
    match family {
        Family::V4 => AddressFamily::Inet,
        Family::V6 => AddressFamily::Inet6,
    }
}

/// The unspecified address of a family.
pub(super) fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        Family::V6 => IpAddr::V6(Ipv6Addr::UNSPECIFIED),
    }
}
