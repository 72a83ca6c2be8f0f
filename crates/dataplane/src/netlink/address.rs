//! Addresses of links.

use std::net::IpAddr;

use causeway_model::Family;
use netlink_packet_route::address::{
    AddressAttribute, AddressFlags, AddressMessage, AddressProtocol, AddressScope,
};

use super::link::address_family;
use super::wire::{Malformed, fixed, u32_at};
use crate::device::PROTOCOL;

/// An address and the link that has it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct LinkAddress {
    pub index: u32,
    pub address: IpAddr,
    /// Length of its on-link prefix.
    pub length: u8,
    /// Valid on the link only, as fe80::/10.
    pub link_local: bool,
}

/// Reads `RTM_NEWADDR`; `None` for one that is no unicast address.
pub(super) fn parse(payload: &[u8]) -> Result<Option<LinkAddress>, Malformed> {
    let (head, attributes) = fixed::<8>(payload)?;
    let (mut local, mut address) = (None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            libc::IFA_LOCAL => local = Some(attribute.address()?),
            libc::IFA_ADDRESS => address = Some(attribute.address()?),
            _ => {}
        }
    }
    // On a point-to-point link `IFA_ADDRESS` is the other end's.
    Ok(local.or(address).map(|address| LinkAddress {
        index: u32_at(head, 4),
        address,
        length: head[1],
        link_local: head[3] == libc::RT_SCOPE_LINK,
    }))
}

/// The message for an own address: without a prefix route, and without duplicate address detection,
/// which would keep it unusable for a second and can hear nobody.
pub(super) fn message(index: u32, address: IpAddr, length: u8) -> AddressMessage {
    let mut message = AddressMessage::default();
    message.header.family = address_family(Family::of(address));
    message.header.prefix_len = length;
    message.header.scope = AddressScope::Universe;
    message.header.index = index;
    let mut flags = AddressFlags::Noprefixroute;
    flags.set(AddressFlags::Nodad, address.is_ipv6());
    message.attributes = vec![
        AddressAttribute::Local(address),
        AddressAttribute::Address(address),
        AddressAttribute::Flags(flags),
        // `IFA_PROTO`, since Linux 5.18; older kernels pass over it.
        AddressAttribute::Protocol(AddressProtocol::Other(PROTOCOL)),
    ];
    message
}
