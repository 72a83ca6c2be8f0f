//! Neighbour entries and forwarding entries: `struct ndmsg` in both cases.

use std::net::IpAddr;

use causeway_model::{Family, Mac};

use super::link::family_number;
use super::wire::{Body, Malformed, fixed, u16_at, u32_at};

/// `NDA_NH_ID`.
const NEXT_HOP: u16 = 13;
/// `NDA_SRC_VNI`, which `libc` does not have for musl.
const SOURCE_VNI: u16 = 11;
/// States of an entry that no timer ends.
const LASTING: u16 = libc::NUD_PERMANENT | libc::NUD_NOARP;

fn header(body: &mut Body<'_>, family: u8, index: u32, state: u16, flags: u8) {
    let mut head = [0; 12];
    head[0] = family;
    head[4..8].copy_from_slice(&index.to_ne_bytes());
    head[8..10].copy_from_slice(&state.to_ne_bytes());
    head[10] = flags;
    body.fixed(&head);
}

/// Writes a permanent neighbour entry, or with `mac` absent what names one.
pub(super) fn neighbour(body: &mut Body<'_>, index: u32, address: IpAddr, mac: Option<Mac>) {
    header(body, family_number(Family::of(address)), index, libc::NUD_PERMANENT, 0);
    body.address(libc::NDA_DST, address);
    if let Some(mac) = mac {
        body.attribute(libc::NDA_LLADDR, &mac.0);
    }
}

/// Writes a forwarding entry of a VXLAN device. An unspecified destination stands for all entries of
/// the MAC, in a removal.
pub(super) fn fdb(body: &mut Body<'_>, index: u32, mac: Mac, to: IpAddr) {
    header(body, libc::AF_BRIDGE as u8, index, libc::NUD_PERMANENT, libc::NTF_SELF);
    body.attribute(libc::NDA_LLADDR, &mac.0);
    if !to.is_unspecified() {
        body.address(libc::NDA_DST, to);
    }
}

/// Writes the request for the neighbour entries of a link.
pub(super) fn neighbours_of(body: &mut Body<'_>, index: u32) {
    header(body, libc::AF_UNSPEC as u8, 0, 0, 0);
    body.u32(libc::NDA_IFINDEX, index);
}

/// Writes the request for the forwarding entries of a link.
pub(super) fn fdb_of(body: &mut Body<'_>, index: u32) {
    header(body, libc::AF_BRIDGE as u8, index, 0, 0);
}

/// Reads `RTM_NEWNEIGH` as a neighbour entry of the link `index`; `None` for one of another link, or
/// that is not permanent.
pub(super) fn parse_neighbour(payload: &[u8], index: u32) -> Result<Option<(IpAddr, Mac)>, Malformed> {
    let (head, attributes) = fixed::<12>(payload)?;
    let of_ip = [libc::AF_INET, libc::AF_INET6].contains(&i32::from(head[0]));
    if !of_ip || u32_at(head, 4) != index || u16_at(head, 8) & libc::NUD_PERMANENT == 0 {
        return Ok(None);
    }
    let (mut address, mut mac) = (None, None);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            libc::NDA_DST => address = Some(attribute.address()?),
            libc::NDA_LLADDR => mac = Some(attribute.mac()?),
            _ => {}
        }
    }
    let address = address.ok_or(Malformed::Missing { kind: libc::NDA_DST })?;
    Ok(Some((address, mac.unwrap_or(Mac([0; 6])))))
}

/// Reads `RTM_NEWNEIGH` as a forwarding entry of the link `index`; `None` for one of another link.
/// Without a destination: an entry that we never write, because it leads to a next hop, another port,
/// network or link, or a timer ends it.
pub(super) fn parse_fdb(payload: &[u8], index: u32) -> Result<Option<(Mac, Option<IpAddr>)>, Malformed> {
    let (head, attributes) = fixed::<12>(payload)?;
    if i32::from(head[0]) != libc::AF_BRIDGE || u32_at(head, 4) != index {
        return Ok(None);
    }
    let (mut mac, mut to, mut odd) = (None, None, u16_at(head, 8) & LASTING == 0);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            libc::NDA_LLADDR => mac = Some(attribute.mac()?),
            libc::NDA_DST => to = Some(attribute.address()?),
            libc::NDA_PORT | libc::NDA_VNI | SOURCE_VNI | libc::NDA_IFINDEX | NEXT_HOP => {
                odd = true;
            }
            _ => {}
        }
    }
    let mac = mac.ok_or(Malformed::Missing { kind: libc::NDA_LLADDR })?;
    Ok(Some((mac, to.filter(|_| !odd))))
}
