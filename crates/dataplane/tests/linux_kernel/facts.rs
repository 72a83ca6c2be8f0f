//! What the kernel does with what we rely on: facts, not code of ours.

use super::*;

/// State with an entry of every kind, both families.
fn everything() -> Vec<Step> {
    let mut steps = ground(BRIDGE);
    for (id, gateway, to) in [(1, "198.18.0.2", "10.2.0.0/24"), (2, "fd00::2", "2001:db8:2::/64")] {
        let peer = address(gateway);
        steps.extend([
            Step::ReplaceNeighbour(BRIDGE, peer, mac(2)),
            Step::AddNextHop(NextHopId(id), via(BRIDGE, gateway)),
            Step::AddGroup(NextHopId(10 + id), group(GroupKind::Resilient, &[id])),
            Step::ReplaceRoute(prefix(to), 7, route(Hop::Group(NextHopId(10 + id)))),
            Step::ReplaceRoute(Prefix::host(peer), 8, route(Hop::Link(BRIDGE))),
        ]);
    }
    steps.push(Step::ReplaceFdb(BRIDGE, mac(2), address("192.0.2.2")));
    steps
}

#[test]
fn a_device_that_goes_down_keeps_forwarding_entries_and_ipv4_addresses_only() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&everything()).unwrap();
        let down = Vxlan { up: false, ..vxlan(BRIDGE) };
        kernel.apply(&[Step::SetDevice(BRIDGE, down), Step::SetDevice(BRIDGE, vxlan(BRIDGE))]).unwrap();
        let observed = observe(&mut kernel);
        assert!(observed.routes.is_empty() && observed.neighbours.is_empty());
        assert!(observed.next_hops.is_empty() && observed.groups.is_empty());
        assert_eq!(observed.fdb.len(), 1);
        let left: Vec<IpAddr> = observed.addresses.iter().map(|((_, a), ())| *a).collect();
        assert_eq!(left, [address("198.18.0.1")]);
        // What is written again after the observation is all there.
        let steps: Vec<Step> =
            everything().into_iter().filter(|step| !matches!(step, Step::AddDevice(..))).collect();
        kernel.apply(&steps).unwrap();
        assert_eq!(observe(&mut kernel).routes.len(), 4);
    });
}

#[test]
fn a_next_hop_that_is_removed_takes_its_routes_with_it() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&everything()).unwrap();
        kernel.apply(&[Step::DelNextHop(NextHopId(1))]).unwrap();
        let observed = observe(&mut kernel);
        assert_eq!(observed.groups.keys().collect::<Vec<_>>(), [&NextHopId(12)]);
        assert_eq!(observed.routes.get(&(prefix("10.2.0.0/24"), 7)), None);
        assert_eq!(observed.routes.len(), 3);
    });
}

#[test]
fn local_address_and_learning_change_in_place_but_not_family_port_or_network() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&everything()).unwrap();
        let before = observe(&mut kernel);
        let moved = Vxlan { local: address("192.0.2.77"), ..vxlan(BRIDGE) };
        kernel.apply(&[Step::SetDevice(BRIDGE, moved.clone())]).unwrap();
        let after = observe(&mut kernel);
        assert_eq!(after.devices[&BRIDGE].vxlan, moved);
        assert_eq!((&after.routes, &after.fdb), (&before.routes, &before.fdb));
        run("ip link set vx-bridge type vxlan id 54 learning");
        kernel.apply(&[Step::SetDevice(BRIDGE, moved.clone())]).unwrap();
        assert_eq!(observe(&mut kernel).devices[&BRIDGE].vxlan, moved);
        for refused in
            [Vxlan { local: address("2001:db8::77"), ..moved.clone() }, Vxlan { vni: Vni(56), ..moved }]
        {
            assert_eq!(kernel.apply(&[Step::SetDevice(BRIDGE, refused)]).unwrap_err().failed.len(), 1);
        }
    });
}

#[test]
fn devices_over_both_underlay_families_share_network_and_port() {
    in_namespace(|| {
        let mut kernel = kernel();
        let pair = [BRIDGE, BRIDGE6].map(|device| Step::AddDevice(device, vxlan(device)));
        kernel.apply(&pair).unwrap();
        let observed = observe(&mut kernel);
        let numbers = |device| {
            let vxlan = &observed.devices[&device].vxlan;
            (vxlan.vni, vxlan.port, Family::of(vxlan.local))
        };
        assert_eq!(numbers(BRIDGE), (Vni(54), UdpPort(4876), Family::V4));
        assert_eq!(numbers(BRIDGE6), (Vni(54), UdpPort(4876), Family::V6));
        let steps = [
            Step::ReplaceFdb(BRIDGE, mac(2), address("192.0.2.2")),
            Step::ReplaceFdb(BRIDGE6, mac(2), address("2001:db8::2")),
        ];
        kernel.apply(&steps).unwrap();
        let observed = observe(&mut kernel);
        assert_eq!(observed.fdb.get(&(BRIDGE, mac(2))), Some(&address("192.0.2.2")));
        assert_eq!(observed.fdb.get(&(BRIDGE6, mac(2))), Some(&address("2001:db8::2")));
    });
}

#[test]
fn an_mtu_below_1280_takes_ipv6_away_but_for_next_hops_and_their_routes() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&everything()).unwrap();
        kernel.apply(&[Step::SetDevice(BRIDGE, Vxlan { mtu: 1200, ..vxlan(BRIDGE) })]).unwrap();
        let observed = observe(&mut kernel);
        assert!(observed.addresses.iter().all(|((_, a), ())| a.is_ipv4()));
        assert!(observed.neighbours.iter().all(|((_, a), _)| a.is_ipv4()));
        let left: Vec<Prefix> = observed.routes.iter().map(|((p, _), _)| *p).collect();
        assert_eq!(left, ["10.2.0.0/24", "198.18.0.2/32", "2001:db8:2::/64"].map(prefix));
        assert_eq!((observed.next_hops.len(), observed.groups.len()), (2, 2));
    });
}

#[test]
fn a_new_mac_makes_the_device_forget_its_neighbours_and_nothing_else() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&everything()).unwrap();
        let before = observe(&mut kernel);
        // Not even a change of everything else does so.
        kernel.apply(&[Step::SetDevice(BRIDGE, Vxlan { mtu: 1400, ..vxlan(BRIDGE) })]).unwrap();
        assert_eq!(observe(&mut kernel).neighbours, before.neighbours);
        kernel.apply(&[Step::SetMac(BRIDGE, mac(9))]).unwrap();
        let after = observe(&mut kernel);
        assert!(after.neighbours.is_empty());
        assert_eq!((&after.routes, &after.groups), (&before.routes, &before.groups));
        assert_eq!((&after.fdb, &after.addresses), (&before.fdb, &before.addresses));
    });
}

#[test]
fn a_unicast_mac_has_one_destination_however_many_are_appended() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        run("bridge fdb append 02:c5:00:00:00:02 dev vx-bridge dst 192.0.2.2 self permanent");
        run("bridge fdb append 02:c5:00:00:00:02 dev vx-bridge dst 192.0.2.3 self permanent");
        let observed = observe(&mut kernel);
        assert_eq!(observed.fdb.get(&(BRIDGE, mac(2))), Some(&address("192.0.2.2")));
        assert_eq!(observed.extra_fdb, []);
    });
}
