//! Routes of our table.

use std::net::IpAddr;

use causeway_model::{Family, Prefix};

use super::Indexes;
use super::link::{family_number, unspecified};
use super::wire::{Attributes, Body, Malformed, fixed};
use crate::device::{PROTOCOL, ROUTE_TABLE};
use crate::state::{Hop, NextHop, NextHopId, Route};

/// `RTA_NH_ID`.
const NEXT_HOP: u16 = 30;
/// `RTA_VIA` and `RTA_ENCAP`, which `libc` does not have for musl.
const VIA: u16 = 18;
const ENCAP: u16 = 22;
/// `RTAX_MTU`.
const METRIC_MTU: u16 = 2;
/// `RTNH_F_ONLINK`.
const ONLINK: u32 = 4;

/// Writes `struct rtmsg`. The table's number does not fit into its byte and follows as an attribute.
fn header(body: &mut Body<'_>, family: Family, length: u8, scope: u8, kind: u8, flags: u32) {
    let head = [family_number(family), length, 0, 0, 0, PROTOCOL, scope, kind];
    body.fixed(&head);
    body.fixed(&flags.to_ne_bytes());
    body.u32(libc::RTA_TABLE, ROUTE_TABLE);
}

/// Writes the request for the routes of our table and protocol.
pub(super) fn all(body: &mut Body<'_>, family: Family) {
    header(body, family, 0, libc::RT_SCOPE_UNIVERSE, 0, 0);
}

/// Writes what names the route to remove: any scope and type, our table and protocol.
pub(super) fn named(body: &mut Body<'_>, prefix: &Prefix, metric: u32) {
    header(body, prefix.family(), prefix.len(), libc::RT_SCOPE_NOWHERE, 0, 0);
    body.address(libc::RTA_DST, prefix.first());
    body.u32(libc::RTA_PRIORITY, metric);
}

/// Writes a route. The index of its device was looked up by the caller; 0 where it has none.
pub(super) fn route(body: &mut Body<'_>, prefix: &Prefix, metric: u32, route: &Route<NextHopId>, index: u32) {
    let (scope, kind, flags) = match route.hop {
        Hop::Link(_) => (libc::RT_SCOPE_LINK, libc::RTN_UNICAST, 0),
        Hop::Gateway(_) => (libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST, ONLINK),
        Hop::Group(_) => (libc::RT_SCOPE_UNIVERSE, libc::RTN_UNICAST, 0),
        Hop::Foreign => (libc::RT_SCOPE_UNIVERSE, libc::RTN_BLACKHOLE, 0),
    };
    header(body, prefix.family(), prefix.len(), scope, kind, flags);
    body.address(libc::RTA_DST, prefix.first());
    body.u32(libc::RTA_PRIORITY, metric);
    match route.hop {
        Hop::Link(_) => body.u32(libc::RTA_OIF, index),
        Hop::Gateway(NextHop { gateway, .. }) => {
            body.u32(libc::RTA_OIF, index);
            body.address(libc::RTA_GATEWAY, gateway);
        }
        Hop::Group(NextHopId(id)) => body.u32(NEXT_HOP, id),
        Hop::Foreign => {}
    }
    if let Some(src) = route.src {
        body.address(libc::RTA_PREFSRC, src);
    }
    // A route to a next-hop object states its metrics even if it has none: without them, Linux takes
    // over those of any IPv4 route to that object which is like it otherwise (`fib_find_info_nh`), and
    // so an MTU could never be taken away.
    if route.mtu.is_some() || matches!(route.hop, Hop::Group(_)) {
        body.nested(libc::RTA_METRICS, |metrics| {
            if let Some(mtu) = route.mtu {
                metrics.u32(METRIC_MTU, mtu);
            }
        });
    }
}

/// What the attributes of a route say.
#[derive(Default)]
struct Read {
    dst: Option<IpAddr>,
    table: u32,
    metric: u32,
    link: Option<u32>,
    gateway: Option<IpAddr>,
    next_hop: Option<NextHopId>,
    src: Option<IpAddr>,
    mtu: Option<u32>,
    odd: bool,
}

/// Reads `RTM_NEWROUTE`; `None` for one that has not our table and protocol.
#[expect(clippy::type_complexity, reason = "the entry of a table, as state.rs has it")]
pub(super) fn parse(
    payload: &[u8],
    devices: &Indexes,
) -> Result<Option<((Prefix, u32), Route<NextHopId>)>, Malformed> {
    let (head, attributes) = fixed::<12>(payload)?;
    let family = match i32::from(head[0]) {
        libc::AF_INET => Family::V4,
        libc::AF_INET6 => Family::V6,
        _ => return Ok(None),
    };
    let read = attributes_of(attributes, u32::from(head[4]))?;
    if read.table != ROUTE_TABLE || head[5] != PROTOCOL {
        return Ok(None);
    }
    let dst = read.dst.unwrap_or_else(|| unspecified(family));
    let prefix = Prefix::containing(dst, head[1]).ok_or(Malformed::PrefixLength { length: head[1] })?;
    let plain = head[2] == 0 && head[3] == 0 && head[7] == libc::RTN_UNICAST && !read.odd;
    let device = read.link.and_then(|index| devices.device(index));
    let hop = match (read.next_hop, device, read.gateway) {
        _ if !plain => Hop::Foreign,
        (Some(id), ..) => Hop::Group(id),
        (None, Some(device), Some(gateway)) => Hop::Gateway(NextHop { device, gateway }),
        (None, Some(device), None) => Hop::Link(device),
        (None, None, _) => Hop::Foreign,
    };
    Ok(Some(((prefix, read.metric), Route { hop, src: read.src, mtu: read.mtu })))
}

fn attributes_of(attributes: Attributes<'_>, table: u32) -> Result<Read, Malformed> {
    let mut read = Read { table, ..Read::default() };
    let mut several = false;
    for attribute in attributes {
        let attribute = attribute?;
        match attribute.kind {
            libc::RTA_DST => read.dst = Some(attribute.address()?),
            libc::RTA_OIF => read.link = Some(attribute.u32()?),
            libc::RTA_GATEWAY => read.gateway = Some(attribute.address()?),
            libc::RTA_PRIORITY => read.metric = attribute.u32()?,
            libc::RTA_PREFSRC => read.src = Some(attribute.address()?),
            libc::RTA_TABLE => read.table = attribute.u32()?,
            NEXT_HOP => read.next_hop = Some(NextHopId(attribute.u32()?)),
            libc::RTA_METRICS => {
                for metric in attribute.nested() {
                    let metric = metric?;
                    if metric.kind == METRIC_MTU {
                        read.mtu = Some(metric.u32()?);
                    }
                }
            }
            // The kernel shows the members of a group here as well.
            libc::RTA_MULTIPATH | VIA => several = true,
            ENCAP => read.odd = true,
            _ => {}
        }
    }
    read.odd |= several && read.next_hop.is_none();
    Ok(read)
}
