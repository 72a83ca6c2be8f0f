//! The parsers against bytes that no kernel should send, and the writers against the independent
//! parsers of `netlink-packet-route`.

use std::net::IpAddr;

use causeway_model::{Family, Mac, Prefix};
use netlink_packet_core::Parseable;
use netlink_packet_route::neighbour::{NeighbourAddress, NeighbourAttribute, NeighbourMessage};
use netlink_packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteMetric, RouteProtocol};
use proptest::prelude::*;

use super::wire::{Body, Malformed};
use super::*;
use crate::device::{Overlay, PROTOCOL, ROUTE_TABLE};
use crate::state::{GroupKind, Hop, NextHop, NextHopId, ObservedGroup, Route};

const BRIDGE: Device = Device { overlay: Overlay::Bridge, underlay: Family::V4 };
const INDEX: u32 = 7;

fn devices() -> Indexes {
    Indexes(vec![(BRIDGE, INDEX)])
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn written(write: impl FnOnce(&mut Body<'_>)) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut Body(&mut bytes));
    bytes
}

fn a_route() -> (Prefix, Route<NextHopId>) {
    let hop = Hop::Gateway(NextHop { device: BRIDGE, gateway: address("fd00::2") });
    let route = Route { hop, src: Some(address("fd00::1")), mtu: Some(1400) };
    ("2001:db8::/64".parse().unwrap(), route)
}

fn route_bytes() -> Vec<u8> {
    let (prefix, route) = a_route();
    written(|body| super::route::route(body, &prefix, 9, &route, INDEX))
}

fn fdb_bytes() -> Vec<u8> {
    written(|body| neighbour::fdb(body, INDEX, Mac([2, 0, 0, 0, 0, 1]), address("192.0.2.1")))
}

fn neighbour_bytes() -> Vec<u8> {
    written(|body| {
        neighbour::neighbour(body, INDEX, address("198.18.0.1"), Some(Mac([2, 0, 0, 0, 0, 1])));
    })
}

fn group_bytes() -> Vec<u8> {
    let group = ObservedGroup { kind: GroupKind::Resilient, members: vec![NextHopId(1), NextHopId(2)] };
    written(|body| nexthop::group(body, NextHopId(5), &group, true))
}

fn rule_bytes() -> Vec<u8> {
    let rule = crate::state::Rule { family: Family::V4, priority: 9, table: ROUTE_TABLE, plain: true };
    written(|body| body.typed(&rule::message(&rule)))
}

fn link_bytes() -> Vec<u8> {
    let vxlan = crate::state::Vxlan {
        vni: causeway_model::Vni(54),
        port: causeway_model::UdpPort(4876),
        local: address("192.0.2.1"),
        learning: false,
        mac: Mac([2, 0, 0, 0, 0, 1]),
        mtu: 1450,
        up: false,
    };
    let mut message = link::create(BRIDGE, &vxlan);
    message.attributes.extend(link::mark(INDEX, true).attributes);
    written(|body| body.typed(&message))
}

/// Every parser on the same bytes; whether each found them well formed.
fn parse_all(bytes: &[u8]) -> [bool; 7] {
    [
        link::parse(bytes).is_ok(),
        address::parse(bytes).is_ok(),
        neighbour::parse_neighbour(bytes, INDEX).is_ok(),
        neighbour::parse_fdb(bytes, INDEX).is_ok(),
        super::route::parse(bytes, &devices()).is_ok(),
        rule::parse(bytes, Family::V4).is_ok(),
        nexthop::parse(bytes, &devices()).is_ok(),
    ]
}

#[test]
fn what_we_write_we_read() {
    let (prefix, route) = a_route();
    assert_eq!(super::route::parse(&route_bytes(), &devices()), Ok(Some(((prefix, 9), route))));
    let fdb = neighbour::parse_fdb(&fdb_bytes(), INDEX);
    assert_eq!(fdb, Ok(Some((Mac([2, 0, 0, 0, 0, 1]), Some(address("192.0.2.1"))))));
    let entry = neighbour::parse_neighbour(&neighbour_bytes(), INDEX);
    assert_eq!(entry, Ok(Some((address("198.18.0.1"), Mac([2, 0, 0, 0, 0, 1])))));
    let group = ObservedGroup { kind: GroupKind::Resilient, members: vec![NextHopId(1), NextHopId(2)] };
    let read = nexthop::parse(&group_bytes(), &devices());
    assert_eq!(read, Ok(Some(nexthop::Entry::Group(NextHopId(5), group))));
    let link = link::parse(&link_bytes()).unwrap();
    assert_eq!(link.ours.unwrap().0, BRIDGE);
}

#[test]
fn other_parsers_read_our_routes_as_meant() {
    let route = RouteMessage::parse(&route_bytes()).unwrap();
    assert_eq!(route.header.destination_prefix_length, 64);
    assert_eq!(route.header.protocol, RouteProtocol::Other(PROTOCOL));
    let v6 = |text: &str| RouteAddress::Inet6(text.parse().unwrap());
    for expected in [
        RouteAttribute::Destination(v6("2001:db8::")),
        RouteAttribute::Gateway(v6("fd00::2")),
        RouteAttribute::PrefSource(v6("fd00::1")),
        RouteAttribute::Table(ROUTE_TABLE),
        RouteAttribute::Priority(9),
        RouteAttribute::Oif(INDEX),
        RouteAttribute::Metrics(vec![RouteMetric::Mtu(1400)]),
    ] {
        assert!(route.attributes.contains(&expected), "{expected:?} in {:?}", route.attributes);
    }
}

#[test]
fn other_parsers_read_our_neighbours_as_meant() {
    let entry = NeighbourMessage::parse(&neighbour_bytes()).unwrap();
    assert_eq!(entry.header.ifindex, INDEX);
    let lladdr = NeighbourAttribute::LinkLayerAddress(vec![2, 0, 0, 0, 0, 1]);
    assert!(entry.attributes.contains(&lladdr));
    let dst = NeighbourAttribute::Destination(NeighbourAddress::Inet("198.18.0.1".parse().unwrap()));
    assert!(entry.attributes.contains(&dst));
}

#[test]
fn a_message_cut_anywhere_is_an_error_or_says_less_and_never_panics() {
    // Which parser of `parse_all`, and the length of its fixed part.
    for (parser, fixed, whole) in [
        (0, 16, link_bytes()),
        (2, 12, neighbour_bytes()),
        (3, 12, fdb_bytes()),
        (4, 12, route_bytes()),
        (5, 12, rule_bytes()),
        (6, 8, group_bytes()),
    ] {
        for length in 0..whole.len() {
            let fine = parse_all(&whole[..length])[parser];
            let in_head = length < fixed;
            let in_first_attribute = length > fixed && length < fixed + 8;
            assert!(!fine || !(in_head || in_first_attribute), "parser {parser} took {length} bytes");
        }
        assert!(parse_all(&whole)[parser]);
    }
}

#[test]
fn attributes_that_we_do_not_know_are_passed_over() {
    let unknown = |mut bytes: Vec<u8>| {
        Body(&mut bytes).attribute(0x3ff0, &[1, 2, 3]);
        Body(&mut bytes).attribute(0x3ff1, &[]);
        bytes
    };
    let (prefix, route) = a_route();
    let read = super::route::parse(&unknown(route_bytes()), &devices());
    assert_eq!(read, Ok(Some(((prefix, 9), route))));
    assert!(rule::parse(&unknown(rule_bytes()), Family::V4).unwrap().unwrap().plain);
    assert!(neighbour::parse_fdb(&unknown(fdb_bytes()), INDEX).unwrap().unwrap().1.is_some());
    assert!(matches!(
        nexthop::parse(&unknown(group_bytes()), &devices()),
        Ok(Some(nexthop::Entry::Group(..)))
    ));
    assert!(link::parse(&unknown(link_bytes())).unwrap().ours.is_some());
}

#[test]
fn an_empty_attribute_where_a_value_belongs_is_named() {
    let empty = |mut bytes: Vec<u8>, kind: u16| {
        Body(&mut bytes).attribute(kind, &[]);
        bytes
    };
    let wrong = |kind| Malformed::Length { kind, length: 0 };
    let route = empty(route_bytes(), libc::RTA_OIF);
    assert_eq!(super::route::parse(&route, &devices()), Err(wrong(libc::RTA_OIF)));
    let fdb = empty(fdb_bytes(), libc::NDA_LLADDR);
    assert_eq!(neighbour::parse_fdb(&fdb, INDEX), Err(wrong(libc::NDA_LLADDR)));
    let group = empty(group_bytes(), 1);
    assert_eq!(nexthop::parse(&group, &devices()), Err(wrong(1)));
    let missing = written(|body| body.fixed(&[0, 0, PROTOCOL, 0, 0, 0, 0, 0]));
    assert_eq!(nexthop::parse(&missing, &devices()), Err(Malformed::Missing { kind: 1 }));
}

#[test]
fn what_an_old_kernel_does_not_filter_is_passed_over_here() {
    let change = |mut bytes: Vec<u8>, at: usize, value: u8| {
        bytes[at] = value;
        bytes
    };
    let static_route = change(route_bytes(), 5, 4);
    assert_eq!(super::route::parse(&static_route, &devices()), Ok(None));
    let mut main_route = route_bytes();
    Body(&mut main_route).u32(libc::RTA_TABLE, 254);
    assert_eq!(super::route::parse(&main_route, &devices()), Ok(None));
    let static_hop = change(group_bytes(), 2, 4);
    assert_eq!(nexthop::parse(&static_hop, &devices()), Ok(None));
    assert_eq!(neighbour::parse_neighbour(&neighbour_bytes(), INDEX + 1), Ok(None));
    assert_eq!(neighbour::parse_fdb(&fdb_bytes(), INDEX + 1), Ok(None));
    assert_eq!(neighbour::parse_fdb(&neighbour_bytes(), INDEX), Ok(None));
}

#[test]
fn a_prefix_longer_than_an_address_is_refused() {
    let mut bytes = route_bytes();
    bytes[1] = 129;
    assert_eq!(super::route::parse(&bytes, &devices()), Err(Malformed::PrefixLength { length: 129 }));
}

proptest! {
    #[test]
    fn no_damage_to_a_message_makes_a_parser_panic(
        which in 0..6usize,
        damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = [
            link_bytes(), neighbour_bytes(), fdb_bytes(), route_bytes(), rule_bytes(), group_bytes(),
        ][which].clone();
        for (at, value) in damage {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        parse_all(&bytes);
        let mut filter = monitor::Filter::default();
        let mut datagram = Vec::new();
        for kind in [16, 17, 20, 24, 28, 32, 80, 104] {
            wire::write_message(&mut datagram, kind, 0, 0, |body| body.fixed(&bytes));
        }
        filter.is_relevant(&datagram);
        filter.is_relevant(&bytes);
    }
}
