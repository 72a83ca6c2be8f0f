//! Next hops and groups of them: `struct nhmsg`, which `netlink-packet-route` does not have.

use std::net::IpAddr;

use causeway_model::Family;

use super::Indexes;
use super::link::family_number;
use super::wire::{Body, Malformed, fixed, u32_at};
use crate::device::PROTOCOL;
use crate::state::{GroupKind, NextHop, NextHopId, ObservedGroup};

/// `RTM_NEWNEXTHOP`.
pub(super) const NEW: u16 = 104;
/// `RTM_DELNEXTHOP`.
pub(super) const DELETE: u16 = 105;
/// `RTM_GETNEXTHOP`.
pub(super) const GET: u16 = 106;
/// `RTM_GETNEXTHOPBUCKET`, since Linux 5.13, as resilient groups.
pub(super) const GET_BUCKET: u16 = 118;

/// `NHA_…`, `linux/nexthop.h`.
mod attribute {
    pub const ID: u16 = 1;
    pub const GROUP: u16 = 2;
    pub const GROUP_TYPE: u16 = 3;
    pub const BLACKHOLE: u16 = 4;
    pub const OIF: u16 = 5;
    pub const GATEWAY: u16 = 6;
    pub const ENCAP: u16 = 8;
    pub const FDB: u16 = 11;
    pub const RES_GROUP: u16 = 12;
    /// Inside `RES_GROUP`.
    pub const BUCKETS: u16 = 1;
    /// Inside `RES_GROUP`, in hundredths of a second.
    pub const IDLE_TIMER: u16 = 2;
    /// Inside `RES_GROUP`, in hundredths of a second.
    pub const UNBALANCED_TIMER: u16 = 3;
    /// `NHA_RES_BUCKET`.
    pub const RES_BUCKET: u16 = 13;
    /// Inside `RES_BUCKET`.
    pub const INDEX: u16 = 1;
}

/// `RTNH_F_ONLINK`.
const ONLINK: u32 = 4;
/// `NEXTHOP_GRP_TYPE_MPATH`.
const MULTIPATH: u16 = 0;
/// `NEXTHOP_GRP_TYPE_RES`.
const RESILIENT: u16 = 1;
/// Buckets of a resilient group. A member's share is right to one part in 128.
const BUCKETS: u16 = 128;
/// A bucket without packets for this long goes to a member that has too few. Connections to Services
/// are translated where they arrive, so one that moves breaks: long enough that few do. 120 s, the
/// kernel's own default.
const IDLE: u32 = 12_000;
/// Buckets in use are never moved to a member that came back, however long the group is out of balance.
const UNBALANCED: u32 = 0;

fn header(body: &mut Body<'_>, family: u8, flags: u32) {
    body.fixed(&[family, 0, PROTOCOL, 0]);
    body.fixed(&flags.to_ne_bytes());
}

/// Writes a next hop through the link `index`.
pub(super) fn next_hop(body: &mut Body<'_>, id: NextHopId, gateway: IpAddr, index: u32) {
    header(body, family_number(Family::of(gateway)), ONLINK);
    body.u32(attribute::ID, id.0);
    body.u32(attribute::OIF, index);
    body.address(attribute::GATEWAY, gateway);
}

/// Writes a group. `create`: with the parameters that a replacement does not change.
pub(super) fn group(body: &mut Body<'_>, id: NextHopId, group: &ObservedGroup, create: bool) {
    header(body, libc::AF_UNSPEC as u8, 0);
    body.u32(attribute::ID, id.0);
    let mut members = Vec::with_capacity(group.members.len() * 8);
    for member in &group.members {
        members.extend_from_slice(&member.0.to_ne_bytes());
        // Weight 1 is written as 0.
        members.extend_from_slice(&[0; 4]);
    }
    body.attribute(attribute::GROUP, &members);
    if group.kind == GroupKind::Resilient {
        body.attribute(attribute::GROUP_TYPE, &RESILIENT.to_ne_bytes());
        if create {
            body.nested(attribute::RES_GROUP, |parameters| {
                parameters.attribute(attribute::BUCKETS, &BUCKETS.to_ne_bytes());
                parameters.u32(attribute::IDLE_TIMER, IDLE);
                parameters.u32(attribute::UNBALANCED_TIMER, UNBALANCED);
            });
        }
    }
}

/// Writes what names a next hop or a group.
pub(super) fn named(body: &mut Body<'_>, id: NextHopId) {
    body.fixed(&[0; 8]);
    body.u32(attribute::ID, id.0);
}

/// Writes the request for all next hops and groups.
pub(super) fn all(body: &mut Body<'_>) {
    body.fixed(&[0; 8]);
}

/// Writes the request for a bucket of a group that nobody has.
pub(super) fn no_bucket(body: &mut Body<'_>) {
    named(body, NextHopId(u32::MAX));
    body.nested(attribute::RES_BUCKET, |bucket| {
        bucket.attribute(attribute::INDEX, &0u16.to_ne_bytes());
    });
}

/// An entry with our protocol number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Entry {
    Single(NextHopId, NextHop),
    Group(NextHopId, ObservedGroup),
    /// Something that we never write.
    Odd(NextHopId),
}

/// Reads `RTM_NEWNEXTHOP`; `None` for one that has not our protocol.
pub(super) fn parse(payload: &[u8], devices: &Indexes) -> Result<Option<Entry>, Malformed> {
    let (head, attributes) = fixed::<8>(payload)?;
    if head[2] != PROTOCOL {
        return Ok(None);
    }
    let (mut id, mut device, mut gateway, mut members) = (None, None, None, None);
    let (mut kind, mut odd) = (MULTIPATH, false);
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            attribute::ID => id = Some(NextHopId(attribute.u32()?)),
            attribute::OIF => device = devices.device(attribute.u32()?),
            attribute::GATEWAY => gateway = Some(attribute.address()?),
            attribute::GROUP => {
                let (entries, _) = attribute.value.as_chunks::<8>();
                odd |= entries.iter().any(|entry| entry[4..6] != [0, 0]);
                members = Some(entries.iter().map(|entry| NextHopId(u32_at(entry, 0))).collect::<Vec<_>>());
            }
            attribute::GROUP_TYPE => kind = attribute.u16()?,
            attribute::BLACKHOLE | attribute::ENCAP | attribute::FDB => odd = true,
            _ => {}
        }
    }
    let id = id.ok_or(Malformed::Missing { kind: attribute::ID })?;
    let kind = match kind {
        MULTIPATH => Some(GroupKind::Multipath),
        RESILIENT => Some(GroupKind::Resilient),
        _ => None,
    };
    Ok(Some(match (members, kind, device, gateway) {
        _ if odd => Entry::Odd(id),
        (Some(mut members), Some(kind), ..) => {
            members.sort_unstable();
            Entry::Group(id, ObservedGroup { kind, members })
        }
        (None, _, Some(device), Some(gateway)) => Entry::Single(id, NextHop { device, gateway }),
        _ => Entry::Odd(id),
    }))
}

/// The protocol number of an `RTM_NEWNEXTHOP` or `RTM_DELNEXTHOP`; 0 if it is cut off.
pub(super) fn protocol(payload: &[u8]) -> u8 {
    payload.get(2).copied().unwrap_or_default()
}
