//! Named behaviours of the way from plans to the desired state.

use causeway_dataplane::desired::{HostFacts, Notice, Refusal, desired};
use causeway_dataplane::device::Device;
use causeway_dataplane::state::{Desired, Hop, Observed, Route};
use causeway_model::{Families, LinkPrefix, PrefixKind, Role, Via, needed_slices};

use crate::world::{self, End, NODES, Plans, Remote, Shape, World, dual, prefix, v4, v6};

fn remote(shape: Shape) -> Remote {
    Remote {
        shape,
        nodes: vec![Some(dual()); NODES],
        carriers: vec![true, true, false, false],
        shown: [true, true, true, false],
        mtu: None,
    }
}

fn world(role: Role, shape: Shape) -> World {
    World { own: vec![Some(dual()); NODES], remotes: vec![Some(remote(shape))], ..World::quiet(role) }
}

fn host(world: &World) -> Observed {
    let mut observed = world::empty_host(true);
    world.tell_host(&mut observed);
    observed
}

fn of_plans(plans: &Plans, host: &Observed) -> (Desired, Vec<Notice>) {
    desired(&plans.node, &plans.links, &plans.slices, &HostFacts::from(host))
}

fn of_world(world: &World) -> (Desired, Vec<Notice>) {
    of_plans(&world.plans(), &host(world))
}

/// A route as one would say it.
fn route(desired: &Desired, text: &str) -> Option<String> {
    let Route { hop, src, mtu } = desired.routes.get(&prefix(text))?;
    let hop = match hop {
        Hop::Link(device) => format!("dev {device}"),
        Hop::Gateway(hop) => format!("via {} dev {}", hop.gateway, hop.device),
        Hop::Group(place) => {
            let gateways = desired.groups[*place].members.iter();
            let gateways: Vec<String> =
                gateways.map(|hop| format!("{} dev {}", hop.gateway, hop.device)).collect();
            format!("group {}", gateways.join(", "))
        }
        Hop::Foreign => "foreign".to_owned(),
    };
    let src = src.map_or_else(String::new, |src| format!(" src {src}"));
    let mtu = mtu.map_or_else(String::new, |mtu| format!(" mtu {mtu}"));
    Some(hop + &src + &mtu)
}

fn assert_routes(desired: &Desired, expected: &[(&str, &str)]) {
    for (to, expected) in expected {
        assert_eq!(route(desired, to).as_deref(), Some(*expected), "{to}");
    }
    assert_eq!(desired.routes.len(), expected.len(), "{:#?}", desired.routes);
}

#[test]
fn a_p2p_node_reaches_pods_by_their_node_and_services_over_carriers() {
    let mut world = world(Role::Node, Shape::Nodes);
    world.end.inner = v4();
    let (desired, notices) = of_world(&world);
    assert_eq!(notices, []);
    let carriers = "group 198.18.1.1 dev vx-bridge, 198.18.1.2 dev vx-bridge src 198.18.0.10";
    assert_routes(
        &desired,
        &[
            ("10.11.0.0/24", "via 198.18.1.1 dev vx-bridge src 198.18.0.10"),
            ("10.11.1.0/24", "via 198.18.1.2 dev vx-bridge src 198.18.0.10"),
            ("10.11.2.0/24", "via 198.18.1.3 dev vx-bridge src 198.18.0.10"),
            ("10.11.3.0/24", "via 198.18.1.4 dev vx-bridge src 198.18.0.10"),
            ("10.91.0.0/16", carriers),
            ("198.18.1.0/24", "dev vx-bridge src 198.18.0.10"),
        ],
    );
    assert_eq!(desired.fdb.len(), NODES);
    assert_eq!(desired.neighbours.len(), NODES);
    assert_eq!(desired.rules.len(), 1);
}

#[test]
fn a_gateway_reaches_remote_gateways_and_its_own_nodes_but_not_itself() {
    let mut world = world(Role::Gateway, Shape::Gateways);
    world.end.inner = v4();
    world.index = 2;
    let (desired, notices) = of_world(&world);
    assert_eq!(notices, []);
    let gateways = "group 198.18.1.1 dev vx-bridge, 198.18.1.2 dev vx-bridge src 198.18.0.3";
    assert_routes(
        &desired,
        &[
            ("10.11.0.0/16", gateways),
            ("10.91.0.0/16", gateways),
            ("198.18.1.0/24", gateways),
            ("198.18.1.1/32", "dev vx-bridge src 198.18.0.3"),
            ("198.18.1.2/32", "dev vx-bridge src 198.18.0.3"),
            ("198.18.0.0/24", "dev vx-local src 198.18.0.3"),
        ],
    );
    assert_eq!(desired.groups.len(), 1, "one group, however many prefixes");
    let local = desired.fdb.iter().filter(|((device, _), _)| device.name() == "vx-local");
    assert_eq!(local.count(), NODES - 1, "all nodes of its cluster but itself");
}

#[test]
fn an_internal_node_sends_everything_to_its_own_gateways() {
    let mut world = world(Role::Internal, Shape::Nodes);
    world.end.inner = v4();
    world.own_gateways = vec![false, true, true, false];
    let (desired, notices) = of_world(&world);
    assert_eq!(notices, []);
    let gateways = "group 198.18.0.2 dev vx-local, 198.18.0.3 dev vx-local src 198.18.0.10";
    assert_routes(
        &desired,
        &[
            ("10.11.0.0/16", gateways),
            ("10.91.0.0/16", gateways),
            ("198.18.1.0/24", gateways),
            ("198.18.0.0/24", "dev vx-local src 198.18.0.10"),
        ],
    );
    assert_eq!(desired.devices.keys().map(|device| device.name()).collect::<Vec<_>>(), ["vx-local"]);
    assert_eq!(desired.fdb.len(), 2);
}

#[test]
fn each_family_has_a_group_of_those_that_carry_it() {
    let mut world = world(Role::Node, Shape::Gateways);
    world.remotes[0].as_mut().unwrap().nodes[1].as_mut().unwrap().inner = v4();
    let (desired, notices) = of_world(&world);
    assert_eq!(notices, []);
    assert_eq!(route(&desired, "fd10:1::/48").as_deref(), Some("group fd43::1:1 dev vx-bridge src fd43::a"),);
    assert_eq!(desired.groups.len(), 2);
    assert_eq!(desired.neighbours.len(), 3);
}

#[test]
fn a_family_without_a_gateway_is_one_notice() {
    let mut world = world(Role::Node, Shape::Gateways);
    for node in world.remotes[0].as_mut().unwrap().nodes.iter_mut().flatten() {
        node.inner = v6();
    }
    let (desired, notices) = of_world(&world);
    assert!(desired.routes.iter().all(|(prefix, _)| prefix.family() == causeway_model::Family::V6));
    let [Notice::Refused { why: Refusal::NoGateway(_), prefixes: 3, .. }] = &notices[..] else {
        panic!("{notices:?}");
    };
}

#[test]
fn a_peer_over_the_second_device_has_a_host_route_beside_the_block() {
    let mut world = world(Role::Node, Shape::Nodes);
    world.end = End { inner: v4(), outer: Families::DUAL, moved: false };
    world.remotes[0].as_mut().unwrap().nodes[3].as_mut().unwrap().outer = v6();
    let (desired, _) = of_world(&world);
    let src = "src 198.18.0.10";
    assert_eq!(route(&desired, "198.18.1.4/32"), Some(format!("dev vx-bridge6 {src}")));
    assert_eq!(route(&desired, "198.18.1.0/24"), Some(format!("dev vx-bridge {src}")));
    assert_eq!(route(&desired, "10.11.3.0/24"), Some(format!("via 198.18.1.4 dev vx-bridge6 {src}")));
    assert_eq!(desired.addresses.len(), 2, "the own address is on both devices");
}

#[test]
fn peers_without_a_common_underlay_are_counted_in_one_notice() {
    let mut world = world(Role::Node, Shape::Nodes);
    for node in world.remotes[0].as_mut().unwrap().nodes[1..].iter_mut().flatten() {
        node.outer = v6();
    }
    let (desired, notices) = of_world(&world);
    let [Notice::NoCommonUnderlay { peers, .. }] = &notices[..] else { panic!("{notices:?}") };
    // Three nodes, one of them a carrier as well.
    assert_eq!(*peers, 4);
    assert_eq!(desired.fdb.len(), 1);
}

#[test]
fn an_underlay_address_that_is_not_here_is_noted_and_taken_for_ethernet() {
    let world = world(Role::Node, Shape::Nodes);
    let mut host = host(&world);
    host.host_addresses.clear();
    let (desired, notices) = of_plans(&world.plans(), &host);
    assert!(matches!(notices[..], [Notice::UnderlayNotOnHost(_)]), "{notices:?}");
    assert_eq!(desired.devices.values().map(|vxlan| vxlan.mtu).collect::<Vec<_>>(), [1450]);
}

#[test]
fn the_mtu_of_a_link_narrows_its_routes_and_no_device() {
    let mut world = world(Role::Node, Shape::Gateways);
    for (link, expected) in [(Some(1400), " mtu 1400"), (Some(1450), ""), (Some(9000), ""), (None, "")] {
        world.remotes[0].as_mut().unwrap().mtu = link;
        let (desired, _) = of_world(&world);
        let text = route(&desired, "10.11.0.0/16").unwrap();
        assert!(text.ends_with(&format!("src 198.18.0.10{expected}")), "{link:?}: {text}");
        assert!(desired.devices.values().all(|vxlan| vxlan.mtu == 1450));
    }
}

#[test]
fn no_route_covers_the_own_underlay_or_meets_own_prefixes() {
    let world = world(Role::Node, Shape::Gateways);
    let mut plans = world.plans();
    for bad in ["192.0.0.0/16", "10.10.128.0/17", "10.0.0.0/8"] {
        let via = Via::Gateways;
        plans.links[0].prefixes.push(LinkPrefix { prefix: prefix(bad), kind: PrefixKind::Pod, via });
    }
    let (desired, notices) = of_plans(&plans, &host(&world));
    for bad in ["192.0.0.0/16", "10.10.128.0/17", "10.0.0.0/8"] {
        assert_eq!(route(&desired, bad), None);
    }
    let whys: Vec<_> = notices
        .iter()
        .map(|notice| match notice {
            Notice::Refused { why, prefixes, .. } => (*why, *prefixes),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(whys, [(Refusal::CoversUnderlay, 1), (Refusal::OverlapsOwn, 2)]);
}

#[test]
fn a_node_cannot_draw_prefixes_that_its_link_does_not_have() {
    let world = world(Role::Node, Shape::Nodes);
    let mut plans = world.plans();
    for slice in &mut plans.slices {
        for peer in slice.peers.iter_mut().filter(|peer| !peer.prefixes.is_empty()) {
            peer.prefixes.push(prefix("203.0.113.0/24"));
        }
    }
    let (desired, notices) = of_plans(&plans, &host(&world));
    assert_eq!(route(&desired, "203.0.113.0/24"), None);
    assert!(matches!(notices[..], [Notice::Refused { why: Refusal::OutsideLink, prefixes: 4, .. }]));
}

#[test]
fn of_two_peers_with_one_prefix_the_first_keeps_it() {
    let world = world(Role::Node, Shape::Nodes);
    let mut plans = world.plans();
    let nodes = plans.slices.iter_mut().find(|slice| !slice.peers[0].prefixes.is_empty()).unwrap();
    let first = nodes.peers[0].prefixes[0];
    nodes.peers[1].prefixes.push(first);
    let (desired, notices) = of_plans(&plans, &host(&world));
    assert_eq!(
        route(&desired, &first.to_string()).as_deref(),
        Some("via 198.18.1.1 dev vx-bridge src 198.18.0.10")
    );
    assert!(matches!(notices[..], [Notice::Refused { why: Refusal::OfAnotherPeer, prefixes: 1, .. }]));
}

#[test]
fn a_host_without_ipv6_has_the_ipv4_half() {
    let world = world(Role::Node, Shape::Nodes);
    let mut host = host(&world);
    host.capabilities.ipv6 = false;
    let (desired, notices) = of_plans(&world.plans(), &host);
    assert_eq!(notices, [Notice::HostWithoutIpv6]);
    assert!(desired.routes.iter().all(|(prefix, _)| prefix.family() == causeway_model::Family::V4));
    assert!(desired.sysctls.keys().all(|path| path.0.starts_with("net/ipv4/")));
}

#[test]
fn a_device_too_small_for_ipv6_carries_ipv4_only() {
    let mut world = world(Role::Node, Shape::Nodes);
    world.underlay_mtu = 1320;
    let (desired, notices) = of_world(&world);
    let bridge = Device::from_name("vx-bridge").unwrap();
    assert_eq!(notices, [Notice::MtuTooSmallForIpv6(bridge, 1270)]);
    assert!(desired.addresses.iter().all(|((_, address), ())| address.is_ipv4()));
    assert_eq!(desired.rules.len(), 1);
}

#[test]
fn the_order_of_links_and_slices_does_not_matter() {
    let mut world = world(Role::Gateway, Shape::Nodes);
    world.remotes.push(Some(remote(Shape::Gateways)));
    world.remotes.push(Some(remote(Shape::Carriers)));
    let mut plans = world.plans();
    let forwards = of_plans(&plans, &host(&world));
    plans.links.reverse();
    plans.slices.reverse();
    assert_eq!(of_plans(&plans, &host(&world)), forwards);
}

#[test]
fn a_link_that_nothing_can_pass_makes_no_peer() {
    let world = world(Role::Node, Shape::Nodes);
    let mut plans = world.plans();
    plans.links[0].prefixes.clear();
    let (desired, notices) = of_plans(&plans, &host(&world));
    assert_eq!(notices, []);
    assert!(desired.fdb.is_empty() && desired.routes.is_empty());
}

#[test]
fn an_overlay_address_outside_the_links_blocks_has_no_route() {
    let world = world(Role::Node, Shape::Gateways);
    let mut plans = world.plans();
    plans.links[0].prefixes.retain(|prefix| prefix.kind != PrefixKind::Overlay);
    let (desired, _) = of_plans(&plans, &host(&world));
    assert_eq!(route(&desired, "198.18.1.1/32"), None);
    assert!(route(&desired, "10.11.0.0/16").is_some());
}

#[test]
fn each_role_needs_the_slices_that_its_state_follows_from_and_no_others() {
    for role in [Role::Node, Role::Gateway, Role::Internal] {
        for shape in [Shape::Nodes, Shape::Gateways, Shape::Carriers] {
            let world = world(role, shape);
            let mut plans = world.plans();
            let all = of_plans(&plans, &host(&world));
            let needed = needed_slices(&plans.node.id, plans.node.role, &plans.links);
            plans.slices.retain(|slice| needed.contains(&(slice.id.cluster.clone(), slice.id.scope)));
            assert!(plans.slices.len() < 4 || role == Role::Gateway);
            assert_eq!(of_plans(&plans, &host(&world)), all);
        }
    }
}
