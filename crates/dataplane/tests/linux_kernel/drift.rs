//! What others did to our state, or beside it.

use super::*;
use causeway_dataplane::state::{HostAddress, HostLink, Sysctl};

#[test]
fn a_device_of_somebody_else_with_our_name_is_never_ours() {
    in_namespace(|| {
        run("ip link add vx-bridge type vxlan id 99 dstport 4789 nolearning");
        run("ip link add vx-local alias causeway type bridge");
        run("ip link set vx-local alias causeway");
        let mut kernel = kernel();
        let observed = observe(&mut kernel);
        assert_eq!(observed.foreign_devices, [BRIDGE, LOCAL]);
        assert!(observed.devices.is_empty());

        let error = kernel.apply(&[Step::AddDevice(BRIDGE, vxlan(BRIDGE))]).unwrap_err();
        assert_eq!(error.failed.len(), 1);
        let seen = &json("ip -details -json link show vx-bridge")[0];
        assert_eq!((&seen["ifalias"], &seen["linkinfo"]["info_data"]["id"]), (&Value::Null, &99.into()));
        for step in [
            Step::DelDevice(BRIDGE),
            Step::SetDevice(BRIDGE, vxlan(BRIDGE)),
            Step::ReplaceFdb(LOCAL, mac(1), address("192.0.2.2")),
        ] {
            assert_eq!(kernel.apply(&[step]).unwrap_err().failed.len(), 1);
        }
        assert_eq!(observe(&mut kernel).foreign_devices, [BRIDGE, LOCAL]);
    });
}

#[test]
fn a_device_that_somebody_takes_our_alias_from_is_ours_to_who_has_seen_it_with_it() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        assert!(observe(&mut kernel).devices[&BRIDGE].marked);
        run("ip link set vx-bridge alias other");
        let observed = observe(&mut kernel);
        assert!(!observed.devices[&BRIDGE].marked && observed.foreign_devices.is_empty());
        assert_eq!(observed.addresses.len(), 2);
        // Whoever has not may not take it.
        let mut other = self::kernel();
        let seen = observe(&mut other);
        assert_eq!((seen.devices.len(), &seen.foreign_devices[..]), (0, &[BRIDGE][..]));
        kernel.apply(&[Step::SetDevice(BRIDGE, vxlan(BRIDGE))]).unwrap();
        assert_eq!(json("ip -json link show vx-bridge")[0]["ifalias"], "causeway");
        assert!(observe(&mut other).devices[&BRIDGE].marked);
        // Another one of the same name has another index.
        run("ip link del vx-bridge");
        run("ip link add vx-bridge type vxlan id 99 dstport 4789 nolearning");
        assert_eq!(observe(&mut kernel).foreign_devices, [BRIDGE]);
    });
}

#[test]
fn what_does_not_carry_our_mark_is_not_seen() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        run("ip link add veth0 type veth peer name veth1");
        run("ip link set veth0 up");
        run("ip link set veth1 up");
        run("ip address add 10.0.0.1/24 dev veth0");
        run("ip neighbour add 10.0.0.2 lladdr 02:00:00:00:00:02 dev veth0 nud permanent");
        run("ip route add 10.5.0.0/16 dev vx-bridge table 4876 protocol static");
        run("ip route add 10.5.0.0/16 dev vx-bridge table 4000 protocol 197");
        run("ip rule add priority 4876 table 4876 protocol static");
        run("ip nexthop add id 7 dev veth0 protocol static");
        let observed = observe(&mut kernel);
        assert!(observed.routes.is_empty() && observed.neighbours.is_empty());
        assert_eq!(observed.rules, []);
        assert!(observed.next_hops.is_empty() && observed.odd_next_hops.is_empty());
        assert_eq!(observed.addresses.len(), 2);
        // Nor is it removed with ours.
        kernel.apply(&[Step::AddRule(rule(Family::V4))]).unwrap();
        kernel.apply(&[Step::DelRule(rule(Family::V4))]).unwrap();
        assert_eq!(json("ip -json rule show priority 4876").as_array().unwrap().len(), 1);
    });
}

#[test]
fn further_destinations_floods_and_odd_forwarding_entries_are_told_apart() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        kernel.apply(&[Step::ReplaceFdb(BRIDGE, mac(2), address("192.0.2.2"))]).unwrap();
        run("bridge fdb append 00:00:00:00:00:00 dev vx-bridge dst 192.0.2.7 self permanent");
        run("bridge fdb append 00:00:00:00:00:00 dev vx-bridge dst 192.0.2.8 self permanent");
        run("bridge fdb append 01:00:5e:00:00:01 dev vx-bridge dst 192.0.2.9 self permanent");
        run("bridge fdb add 02:c5:00:00:00:03 dev vx-bridge dst 192.0.2.3 port 4999 self permanent");
        run("bridge fdb add 02:c5:00:00:00:04 dev vx-bridge dst 192.0.2.4 self dynamic");
        let observed = observe(&mut kernel);
        assert_eq!(observed.fdb.get(&(BRIDGE, mac(2))), Some(&address("192.0.2.2")));
        assert_eq!(observed.fdb.get(&(BRIDGE, mac(3))), Some(&address("0.0.0.0")));
        assert_eq!(observed.fdb.get(&(BRIDGE, mac(4))), Some(&address("0.0.0.0")));
        let mut extra = observed.extra_fdb;
        extra.sort();
        let (flood, multicast) = (Mac([0; 6]), Mac([1, 0, 0x5e, 0, 0, 1]));
        assert_eq!(
            extra,
            [
                (BRIDGE, flood, address("192.0.2.7")),
                (BRIDGE, flood, address("192.0.2.8")),
                (BRIDGE, multicast, address("192.0.2.9")),
            ]
        );

        let mut repair: Vec<Step> = extra.iter().map(|(d, m, to)| Step::DelFdb(*d, *m, *to)).collect();
        repair.push(Step::ReplaceFdb(BRIDGE, mac(3), address("192.0.2.3")));
        repair.push(Step::DelFdb(BRIDGE, mac(4), address("0.0.0.0")));
        kernel.apply(&repair).unwrap();
        let observed = observe(&mut kernel);
        assert_eq!(observed.extra_fdb, []);
        assert_eq!(
            observed.fdb.iter().map(|(_, to)| *to).collect::<Vec<_>>(),
            [address("192.0.2.2"), address("192.0.2.3")]
        );
    });
}

#[test]
fn only_permanent_neighbours_are_ours() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        run("ip neighbour add 198.18.0.5 lladdr 02:00:00:00:00:05 dev vx-bridge nud reachable");
        run("ip neighbour add proxy 198.18.0.6 dev vx-bridge");
        assert!(observe(&mut kernel).neighbours.is_empty());
        let wrong = "ip neighbour replace 198.18.0.5 lladdr 02:00:00:00:00:05 dev vx-bridge nud permanent";
        run(wrong);
        let observed = observe(&mut kernel);
        let own = Mac([2, 0, 0, 0, 0, 5]);
        assert_eq!(observed.neighbours.get(&(BRIDGE, address("198.18.0.5"))), Some(&own));
    });
}

#[test]
fn routes_next_hops_and_rules_that_we_never_write_are_shown_as_such() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        run("ip route add blackhole 10.1.0.0/16 table 4876 protocol 197");
        run(
            "ip route add 10.2.0.0/16 table 4876 protocol 197 nexthop via 198.18.0.2 dev vx-bridge onlink nexthop via 198.18.0.3 dev vx-bridge onlink",
        );
        run("ip route add 10.3.0.0/16 dev lo table 4876 protocol 197");
        run("ip nexthop add id 5 blackhole protocol 197");
        run("ip nexthop add id 6 dev vx-bridge protocol 197");
        run("ip rule add priority 9 from 10.0.0.0/8 table 4876 protocol 197");
        run("ip rule add priority 10 fwmark 7 blackhole protocol 197");
        let observed = observe(&mut kernel);
        assert_eq!(observed.routes.len(), 3);
        assert!(observed.routes.iter().all(|(_, route)| route.hop == Hop::Foreign));
        assert_eq!(observed.odd_next_hops, [NextHopId(5), NextHopId(6)]);
        let rules: Vec<_> = observed.rules.iter().map(|rule| (rule.priority, rule.plain)).collect();
        assert_eq!(rules, [(9, false), (10, false)]);

        let mut repair: Vec<Step> =
            observed.routes.iter().map(|((prefix, metric), _)| Step::DelRoute(*prefix, *metric)).collect();
        repair.extend(observed.odd_next_hops.iter().map(|id| Step::DelNextHop(*id)));
        repair.extend(observed.rules.iter().map(|rule| Step::DelRule(*rule)));
        kernel.apply(&repair).unwrap();
        let observed = observe(&mut kernel);
        assert!(observed.routes.is_empty() && observed.odd_next_hops.is_empty());
        assert_eq!(observed.rules, []);
    });
}

#[test]
fn an_address_with_a_prefix_that_is_not_a_hosts_can_be_removed() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)[..1]).unwrap();
        run("ip address add 198.18.0.9/24 dev vx-bridge");
        run("ip address add fd00::9/64 dev vx-bridge nodad");
        run("ip address add fe80::9/64 dev vx-bridge nodad");
        let observed = observe(&mut kernel);
        assert_eq!(observed.addresses.len(), 2);
        let repair: Vec<Step> =
            observed.addresses.iter().map(|((device, a), ())| Step::DelAddress(*device, *a)).collect();
        kernel.apply(&repair).unwrap();
        assert!(observe(&mut kernel).addresses.is_empty());
    });
}

#[test]
fn the_hosts_links_and_addresses_are_told_with_their_effective_filters() {
    in_namespace(|| {
        let filter = |link: &str, value: &str| {
            let path = format!("/proc/sys/net/ipv4/conf/{link}/rp_filter");
            std::fs::write(path, value).unwrap();
        };
        filter("all", "0");
        run("ip link add eth0 mtu 9000 type veth peer name eth1");
        run("ip link add cni0 type bridge");
        run("ip address add 192.0.2.1/24 dev eth0");
        run("ip -6 address add 2001:db8::1/64 dev eth0 nodad");
        filter("eth0", "1");
        filter("cni0", "0");
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        let observed = observe(&mut kernel);
        let find = |name: &str| observed.host_links.iter().find(|link| link.name == name).cloned();
        let index = |name: &str| json(&format!("ip -json link show dev {name}"))[0]["ifindex"].as_u64();
        let index = |name: &str| index(name).and_then(|index| u32::try_from(index).ok()).unwrap();
        let link = |name: &str, kind: &str, rp_filter| HostLink {
            index: index(name),
            master: None,
            mac: json(&format!("ip -json link show dev {name}"))[0]["address"]
                .as_str()
                .and_then(|mac| mac.parse().ok()),
            mtu: if name == "eth0" { 9000 } else { 1500 },
            name: name.into(),
            kind: kind.into(),
            rp_filter,
        };
        assert_eq!(find("eth0"), Some(link("eth0", "veth", 1)));
        assert_eq!(find("cni0"), Some(link("cni0", "bridge", 0)));
        run("ip link set eth1 master cni0");
        let port = observe(&mut kernel).host_links.into_iter().find(|link| link.name == "eth1");
        assert_eq!(port.and_then(|port| port.master), Some(index("cni0")));
        assert_eq!(find("vx-bridge"), None);
        let of_eth0: Vec<&HostAddress> =
            observed.host_addresses.iter().filter(|own| own.link == "eth0").collect();
        assert_eq!(
            of_eth0.iter().map(|own| own.address).collect::<Vec<_>>(),
            [address("192.0.2.1"), address("2001:db8::1")]
        );
        assert!(of_eth0.iter().all(|own| own.mtu == 9000));
        assert!(observed.host_addresses.iter().all(|own| own.link != "vx-bridge"));
        let own = Sysctl("net/ipv4/conf/eth0/rp_filter".to_owned());
        assert_eq!(observed.sysctls.get(&own).map(String::as_str), Some("1"));

        filter("all", "2");
        let observed = observe(&mut kernel);
        assert!(observed.host_links.iter().all(|link| link.rp_filter == 2));
    });
}

#[test]
fn without_ipv6_the_rest_is_read_all_the_same() {
    in_namespace(|| {
        std::fs::write("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1").unwrap();
        let mut kernel = kernel();
        let before = observe(&mut kernel);
        assert!(!before.capabilities.ipv6);
        kernel.apply(&ground(BRIDGE)[..2]).unwrap();
        assert_eq!(observe(&mut kernel).addresses.len(), 1);
    });
}
