//! Every step, as an observation and as iproute2 see it.

use super::*;
use causeway_dataplane::state::Sysctl;
use causeway_dataplane::{KernelError, nft};

#[test]
fn a_device_is_made_whole_changed_in_place_and_removed() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&[Step::AddDevice(BRIDGE, vxlan(BRIDGE))]).unwrap();
        let seen = &json("ip -details -json link show vx-bridge")[0];
        assert_eq!((&seen["mtu"], &seen["address"]), (&1450.into(), &"02:c5:00:00:00:01".into()));
        assert_eq!((&seen["ifalias"], &seen["inet6_addr_gen_mode"]), (&"causeway".into(), &"none".into()));
        assert!(seen["flags"].as_array().unwrap().contains(&"UP".into()));
        let data = &seen["linkinfo"]["info_data"];
        assert_eq!((&data["id"], &data["port"]), (&54.into(), &4876.into()));
        assert_eq!((&data["local"], &data["learning"]), (&"192.0.2.1".into(), &false.into()));
        assert_eq!(data["link"], Value::Null);
        assert_eq!(observe(&mut kernel).devices[&BRIDGE].vxlan, vxlan(BRIDGE));

        let changed =
            Vxlan { mac: mac(9), mtu: 1400, up: false, local: address("192.0.2.99"), ..vxlan(BRIDGE) };
        kernel.apply(&[Step::SetDevice(BRIDGE, changed.clone()), Step::SetMac(BRIDGE, changed.mac)]).unwrap();
        assert_eq!(observe(&mut kernel).devices[&BRIDGE].vxlan, changed);

        kernel.apply(&[Step::DelDevice(BRIDGE)]).unwrap();
        assert!(observe(&mut kernel).devices.is_empty());
        assert!(entries(&json("ip -json link show"), "ifname", "vx-bridge").is_empty());
    });
}

#[test]
fn a_device_that_cannot_come_up_is_taken_back() {
    in_namespace(|| {
        let _taken = std::net::UdpSocket::bind("0.0.0.0:4876").unwrap();
        let mut kernel = kernel();
        let error = kernel.apply(&[Step::AddDevice(BRIDGE, vxlan(BRIDGE))]).unwrap_err();
        assert!(error.first.contains("Address already in use"), "{}", error.first);
        let observed = observe(&mut kernel);
        assert!(observed.devices.is_empty());
        assert_eq!(observed.foreign_devices, []);
    });
}

#[test]
fn all_four_devices_stand_side_by_side() {
    in_namespace(|| {
        let mut kernel = kernel();
        let steps = Device::ALL.map(|device| Step::AddDevice(device, vxlan(device)));
        kernel.apply(&steps).unwrap();
        let observed = observe(&mut kernel);
        for device in Device::ALL {
            assert_eq!(observed.devices[&device].vxlan, vxlan(device));
        }
    });
}

#[test]
fn addresses_come_without_prefix_routes_and_are_usable_at_once() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        let seen = json("ip -json address show dev vx-bridge");
        let infos = seen[0]["addr_info"].as_array().unwrap();
        let texts: Vec<&str> = infos.iter().map(|info| info["local"].as_str().unwrap()).collect();
        assert_eq!(texts, ["198.18.0.1", "fd00::1"]);
        assert!(infos.iter().all(|info| info["noprefixroute"] == true && info["tentative"].is_null()));
        assert_eq!(run("ip route show dev vx-bridge"), "");
        let observed = observe(&mut kernel);
        assert_eq!(
            observed.addresses.iter().map(|((_, a), ())| *a).collect::<Vec<_>>(),
            [address("198.18.0.1"), address("fd00::1")]
        );
        // Doing it again changes nothing.
        kernel.apply(&ground(BRIDGE)[1..]).unwrap();
        let remove = ["198.18.0.1", "fd00::1"].map(|a| Step::DelAddress(BRIDGE, address(a)));
        kernel.apply(&remove).unwrap();
        assert!(observe(&mut kernel).addresses.is_empty());
    });
}

#[test]
fn forwarding_entries_and_neighbours_are_written_moved_and_removed() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        kernel
            .apply(&[
                Step::ReplaceFdb(BRIDGE, mac(2), address("192.0.2.2")),
                Step::ReplaceFdb(BRIDGE, mac(3), address("192.0.2.3")),
                Step::ReplaceFdb(BRIDGE, mac(2), address("192.0.2.22")),
                Step::ReplaceNeighbour(BRIDGE, address("198.18.0.2"), mac(9)),
                Step::ReplaceNeighbour(BRIDGE, address("198.18.0.2"), mac(2)),
                Step::ReplaceNeighbour(BRIDGE, address("fd00::2"), mac(2)),
            ])
            .unwrap();
        let seen = json("bridge -json fdb show dev vx-bridge");
        let moved = entries(&seen, "mac", "02:c5:00:00:00:02");
        assert_eq!((moved.len(), &moved[0]["dst"]), (1, &"192.0.2.22".into()));
        assert_eq!(moved[0]["state"], "permanent");
        let seen = json("ip -json neighbour show dev vx-bridge");
        let two = entries(&seen, "lladdr", "02:c5:00:00:00:02");
        assert_eq!((two.len(), &two[0]["state"][0]), (2, &"PERMANENT".into()));

        let observed = observe(&mut kernel);
        assert_eq!(observed.fdb.len(), 2);
        assert_eq!(observed.fdb.get(&(BRIDGE, mac(2))), Some(&address("192.0.2.22")));
        assert_eq!(observed.extra_fdb, []);
        assert_eq!(observed.neighbours.len(), 2);
        assert_eq!(observed.neighbours.get(&(BRIDGE, address("fd00::2"))), Some(&mac(2)));

        kernel
            .apply(&[
                Step::DelFdb(BRIDGE, mac(2), address("192.0.2.22")),
                Step::DelNeighbour(BRIDGE, address("198.18.0.2")),
            ])
            .unwrap();
        let observed = observe(&mut kernel);
        assert_eq!((observed.fdb.len(), observed.neighbours.len()), (1, 1));
    });
}

#[test]
fn routes_of_every_form_are_written_changed_and_removed() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        let full = |gateway, src| Route {
            hop: Hop::Gateway(via(BRIDGE, gateway)),
            src: Some(address(src)),
            mtu: Some(1400),
        };
        let wanted = [
            (prefix("10.2.0.0/24"), 7, full("198.18.0.2", "198.18.0.1")),
            (prefix("2001:db8:2::/64"), 8, full("fd00::2", "fd00::1")),
            (prefix("198.18.1.0/24"), 9, route(Hop::Link(BRIDGE))),
            (prefix("fd00:1::/120"), 10, route(Hop::Link(BRIDGE))),
            (prefix("0.0.0.0/0"), 11, route(Hop::Gateway(via(BRIDGE, "198.18.0.3")))),
        ];
        let mut steps = vec![
            Step::AddNextHop(NextHopId(1), via(BRIDGE, "198.18.0.2")),
            Step::AddNextHop(NextHopId(2), via(BRIDGE, "fd00::2")),
            Step::AddGroup(NextHopId(11), group(GroupKind::Multipath, &[1])),
            Step::AddGroup(NextHopId(12), group(GroupKind::Multipath, &[2])),
        ];
        for (prefix, metric, route) in &wanted {
            // First through a group, then as wanted: each form takes the other's place.
            let id = NextHopId(if prefix.family() == Family::V4 { 11 } else { 12 });
            steps.push(Step::ReplaceRoute(*prefix, *metric, super::route(Hop::Group(id))));
            steps.push(Step::ReplaceRoute(*prefix, *metric, *route));
        }
        kernel.apply(&steps).unwrap();
        let observed = observe(&mut kernel);
        let seen: Vec<_> = observed.routes.iter().map(|((p, m), r)| (*p, *m, *r)).collect();
        let mut sorted = wanted;
        sorted.sort_by_key(|(prefix, metric, _)| (*prefix, *metric));
        assert_eq!(seen, sorted);

        let seen = json("ip -json route show table 4876 10.2.0.0/24");
        let expected = ["198.18.0.2", "vx-bridge", "197", "198.18.0.1"].map(Value::from);
        assert_eq!(["gateway", "dev", "protocol", "prefsrc"].map(|key| seen[0][key].clone()), expected);
        assert_eq!((&seen[0]["metric"], &seen[0]["metrics"][0]["mtu"]), (&7.into(), &1400.into()));
        assert_eq!(seen[0]["flags"][0], "onlink");

        let back = Step::ReplaceRoute(wanted[1].0, 8, route(Hop::Group(NextHopId(12))));
        kernel.apply(&[back]).unwrap();
        let observed = observe(&mut kernel);
        assert_eq!(observed.routes.get(&(wanted[1].0, 8)), Some(&route(Hop::Group(NextHopId(12)))));

        let remove: Vec<Step> = wanted.iter().map(|(p, m, _)| Step::DelRoute(*p, *m)).collect();
        kernel.apply(&remove).unwrap();
        assert!(observe(&mut kernel).routes.is_empty());
    });
}

#[test]
fn next_hops_and_groups_of_both_kinds_are_made_changed_and_removed() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        let hops = [(1, "198.18.0.2"), (2, "198.18.0.3"), (3, "fd00::2")];
        let mut steps: Vec<Step> =
            hops.iter().map(|(id, to)| Step::AddNextHop(NextHopId(*id), via(BRIDGE, to))).collect();
        steps.push(Step::AddGroup(NextHopId(10), group(GroupKind::Resilient, &[1])));
        steps.push(Step::AddGroup(NextHopId(11), group(GroupKind::Multipath, &[3])));
        steps.push(Step::ReplaceGroup(NextHopId(10), group(GroupKind::Resilient, &[1, 2])));
        kernel.apply(&steps).unwrap();

        let observed = observe(&mut kernel);
        assert!(observed.capabilities.resilient_groups);
        assert_eq!(observed.next_hops.len(), 3);
        assert_eq!(observed.next_hops[&NextHopId(3)], via(BRIDGE, "fd00::2"));
        assert_eq!(observed.groups[&NextHopId(10)], group(GroupKind::Resilient, &[1, 2]));
        assert_eq!(observed.groups[&NextHopId(11)], group(GroupKind::Multipath, &[3]));
        assert!(observed.odd_next_hops.is_empty());
        let seen = json("ip -json -details nexthop show id 10");
        assert_eq!(seen[0]["type"], "resilient");
        assert_eq!(seen[0]["resilient_args"]["buckets"], 128);
        assert_eq!(seen[0]["protocol"], "197");

        let remove = [10, 11, 1, 2, 3].map(|id| Step::DelNextHop(NextHopId(id)));
        kernel.apply(&remove).unwrap();
        let observed = observe(&mut kernel);
        assert!(observed.next_hops.is_empty() && observed.groups.is_empty());
    });
}

#[test]
fn rules_are_added_once_and_removed() {
    in_namespace(|| {
        let mut kernel = kernel();
        let add = Family::BOTH.map(|family| Step::AddRule(rule(family)));
        kernel.apply(&add).unwrap();
        assert_eq!(observe(&mut kernel).rules, Family::BOTH.map(rule));
        for family in ["-4", "-6"] {
            let seen = json(&format!("ip {family} -json rule show priority 4876"));
            assert_eq!((&seen[0]["table"], &seen[0]["protocol"]), (&"4876".into(), &"197".into()));
        }
        let again = kernel.apply(&add).unwrap_err();
        assert_eq!(again.failed.len(), 2);
        kernel.apply(&Family::BOTH.map(|family| Step::DelRule(rule(family)))).unwrap();
        assert_eq!(observe(&mut kernel).rules, []);
    });
}

#[test]
fn sysctls_are_written_between_what_they_need_and_read_again() {
    in_namespace(|| {
        let forward = Sysctl("net/ipv4/ip_forward".to_owned());
        let own = Sysctl("net/ipv4/conf/vx-bridge/send_redirects".to_owned());
        let mut kernel = LinuxKernel::open(vec![forward.clone(), own.clone()]).unwrap();
        let before = observe(&mut kernel);
        assert_eq!(before.sysctls.get(&own), None);
        let off = |path: &Sysctl| Step::SetSysctl(path.clone(), "0".to_owned());
        kernel
            .apply(&[
                Step::SetSysctl(forward.clone(), "1".to_owned()),
                Step::AddDevice(BRIDGE, vxlan(BRIDGE)),
                off(&own),
                Step::AddAddress(BRIDGE, address("198.18.0.1")),
            ])
            .unwrap();
        let observed = observe(&mut kernel);
        assert_eq!(observed.sysctls[&forward], "1");
        assert_eq!(observed.sysctls[&own], "0");
        assert_eq!(observed.addresses.len(), 1);
        let missing = Sysctl("net/ipv4/conf/no-link/rp_filter".to_owned());
        let error = kernel.apply(&[off(&missing)]).unwrap_err();
        assert!(matches!(&error.failed[0].error, KernelError::Sysctl { path, .. } if *path == missing.0));
    });
}

#[test]
fn nftables_are_changed_and_read_in_the_same_pass() {
    in_namespace(|| {
        let mut kernel = kernel();
        let before = observe(&mut kernel).firewall;
        assert_eq!(before.table, None);
        let ruleset = nft::Ruleset::default();
        let transaction = nft::diff(Some(&ruleset), &before).expect("a change");
        let mut steps = ground(BRIDGE);
        steps.insert(1, Step::Firewall(transaction));
        kernel.apply(&steps).unwrap();
        let observed = observe(&mut kernel);
        assert!(observed.firewall.table.is_some());
        assert_eq!(observed.addresses.len(), 2);
        assert!(run("nft list tables").contains("table inet causeway"));
        let back = nft::diff(None, &observed.firewall).expect("a change");
        kernel.apply(&[Step::Firewall(back)]).unwrap();
        assert_eq!(observe(&mut kernel).firewall.table, None);
    });
}

#[test]
fn failing_steps_are_reported_by_place_in_the_kernels_words_and_the_others_are_done() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        let steps = [
            Step::ReplaceNeighbour(BRIDGE, address("198.18.0.2"), mac(2)),
            Step::AddNextHop(NextHopId(1), via(BRIDGE, "198.18.0.1")),
            Step::ReplaceFdb(BRIDGE, mac(2), address("192.0.2.2")),
            Step::ReplaceFdb(LOCAL, mac(2), address("192.0.2.2")),
            Step::DelRoute(prefix("10.9.0.0/16"), 1),
            Step::AddDevice(BRIDGE, vxlan(BRIDGE)),
            Step::AddRule(rule(Family::V4)),
        ];
        let error = kernel.apply(&steps).unwrap_err();
        assert_eq!(error.attempted, 7);
        let places: Vec<usize> = error.failed.iter().map(|step| step.index).collect();
        assert_eq!(places, [1, 3, 4, 5]);
        let texts: Vec<String> = error.failed.iter().map(|step| step.error.to_string()).collect();
        assert!(texts[0].contains("Nexthop has invalid gateway"), "{texts:?}");
        assert!(texts[1].contains("vx-local is not there"), "{texts:?}");
        assert!(texts[2].contains("No such process"), "{texts:?}");
        assert!(texts[3].contains("File exists"), "{texts:?}");
        assert!(error.first.starts_with("ip nexthop add id 1"), "{}", error.first);
        let observed = observe(&mut kernel);
        assert_eq!((observed.fdb.len(), observed.neighbours.len(), observed.rules.len()), (1, 1, 1));
    });
}
