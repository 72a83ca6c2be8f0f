//! Which changes wake the agent.

use std::time::{Duration, Instant};

use super::*;
use causeway_dataplane::netlink::{Event, Monitor};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

/// Whether a relevant event is among those that are there already: the kernel notifies before the
/// command that makes a change returns.
fn relevant(monitor: &mut Monitor) -> bool {
    let mut relevant = false;
    loop {
        match monitor.recv() {
            Ok(event) => relevant |= event != Event::Irrelevant,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => return relevant,
            Err(error) => panic!("monitor: {error}"),
        }
    }
}

#[test]
fn changes_of_ours_by_others_and_of_the_host_are_relevant() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        let observed = observe(&mut kernel);
        let mut monitor = Monitor::route().unwrap();
        monitor.filter().devices(observed.devices.values().map(|device| device.index));
        for command in [
            "ip link set vx-bridge mtu 1300",
            "ip link set vx-bridge group 7",
            "ip link set vx-bridge alias other",
            "ip link set vx-bridge down",
            "ip link set vx-bridge up",
            "ip neighbour add 198.18.0.7 lladdr 02:00:00:00:00:07 dev vx-bridge nud permanent",
            "ip neighbour del 198.18.0.7 dev vx-bridge",
            "bridge fdb add 02:00:00:00:00:07 dev vx-bridge dst 192.0.2.7 self permanent",
            "bridge fdb del 02:00:00:00:00:07 dev vx-bridge dst 192.0.2.7 self",
            "ip route add 10.7.0.0/16 dev vx-bridge table 4876 protocol 197",
            "ip route del 10.7.0.0/16 dev vx-bridge table 4876 protocol 197",
            "ip -6 route add 2001:db8:7::/64 dev vx-bridge table 4876 protocol 197",
            "ip rule add priority 4876 table 4876 protocol 197",
            "ip rule del priority 4876 table 4876 protocol 197",
            "ip -6 rule add priority 4876 table 4876 protocol 197",
            "ip nexthop add id 7 via 198.18.0.7 dev vx-bridge onlink protocol 197",
            "ip nexthop del id 7",
            "ip address del 198.18.0.1/32 dev vx-bridge",
            "ip link add eth0 type veth peer name eth1",
            "ip address add 192.0.2.1/24 dev eth0",
            "ip -6 address add 2001:db8::1/64 dev eth0",
            "ip link set eth0 mtu 9000",
            "ip link add br0 type bridge",
            "ip link set eth1 master br0",
            "ip link del vx-bridge",
        ] {
            run(command);
            assert!(relevant(&mut monitor), "{command}");
        }
        for sysctl in ["ipv4/ip_forward", "ipv6/conf/all/forwarding"] {
            let path = format!("/proc/sys/net/{sysctl}");
            let other = if std::fs::read_to_string(&path).unwrap().trim() == "0" { "1" } else { "0" };
            std::fs::write(&path, other).unwrap();
            assert!(relevant(&mut monitor), "{sysctl}");
        }
        std::fs::write("/proc/sys/net/ipv4/conf/eth0/rp_filter", "1").unwrap();
        assert!(relevant(&mut monitor), "rp_filter");
    });
}

#[test]
fn changes_that_do_not_concern_us_are_irrelevant() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        run("ip link add eth0 type veth peer name eth1");
        run("ip link add br0 type bridge");
        for link in ["eth0", "eth1", "br0"] {
            run(&format!("ip link set {link} up"));
        }
        run("ip address add 192.0.2.1/24 dev eth0");
        let mut monitor = Monitor::route().unwrap();
        monitor.filter().devices(observe(&mut kernel).devices.values().map(|device| device.index));
        // Every link is new to a monitor once.
        for link in ["eth0", "eth1", "br0"] {
            run(&format!("ip link set {link} txqueuelen 900"));
        }
        relevant(&mut monitor);
        for command in [
            "ip neighbour add 192.0.2.7 lladdr 02:00:00:00:00:07 dev eth0 nud permanent",
            "ip route add 10.7.0.0/16 dev eth0",
            "ip route add 10.7.0.0/16 dev vx-bridge table 4876 protocol static",
            "ip rule add priority 9 table 100",
            "ip nexthop add id 7 dev eth0",
            "ip link set eth0 txqueuelen 500",
            "ip link set br0 type bridge stp_state 1",
            "ip address add fe80::7/64 dev eth1 nodad",
        ] {
            run(command);
            assert!(!relevant(&mut monitor), "{command}");
        }
    });
}

#[test]
fn own_changes_are_known_and_wake_nobody() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        let observed = observe(&mut kernel);
        let mut monitor = Monitor::route().unwrap();
        monitor.filter().devices(observed.devices.values().map(|device| device.index));
        let pods = prefix("10.2.0.0/24");
        let steps = [
            Step::AddNextHop(NextHopId(1), via(BRIDGE, "198.18.0.2")),
            Step::ReplaceRoute(pods, 7, route(Hop::Gateway(via(BRIDGE, "198.18.0.2")))),
            Step::AddRule(rule(Family::V4)),
        ];
        kernel.apply(&steps).unwrap();
        assert!(relevant(&mut monitor));
        kernel.apply(&[Step::DelRoute(pods, 7), Step::DelRule(rule(Family::V4))]).unwrap();
        kernel.apply(&[Step::DelNextHop(NextHopId(1))]).unwrap();
        monitor.filter().own_ports([kernel.route_port()]);
        assert!(!relevant(&mut monitor));
        kernel.apply(&steps).unwrap();
        assert!(!relevant(&mut monitor));
    });
}

#[test]
fn lost_notifications_are_told() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        let mut monitor = Monitor::route().unwrap();
        let flood: Vec<Step> = (0..20_000u32)
            .map(|n| Step::ReplaceNeighbour(BRIDGE, IpAddr::V4((0xc613_0000 + n).into()), mac(2)))
            .collect();
        kernel.apply(&flood).unwrap();
        let mut overrun = false;
        while let Ok(event) = monitor.recv() {
            overrun |= event == Event::Overrun;
        }
        assert!(overrun);
        // And it hears again afterwards.
        run("ip link set lo mtu 9000");
        assert!(relevant(&mut monitor));
    });
}

#[test]
fn a_monitor_can_be_waited_for() {
    in_namespace(|| {
        let mut monitor = Monitor::route().unwrap();
        assert_eq!(monitor.recv().unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        run("ip address add 192.0.2.1/32 dev lo");
        let deadline = Instant::now() + Duration::from_secs(10);
        let timeout = PollTimeout::try_from(deadline - Instant::now()).unwrap();
        let mut waiting = [PollFd::new(std::os::fd::AsFd::as_fd(&monitor), PollFlags::POLLIN)];
        assert_eq!(poll(&mut waiting, timeout).unwrap(), 1);
        assert_eq!(monitor.recv().unwrap(), Event::Relevant);
    });
}

#[test]
fn of_nftables_our_table_and_foreign_forward_chains_are_relevant() {
    in_namespace(|| {
        let nft = |text: &str| run(&format!("nft {text}"));
        let mut monitor = Monitor::nftables().unwrap();
        let mut told = |text: &str| {
            nft(text);
            relevant(&mut monitor)
        };
        assert!(!told("add table inet kube"));
        assert!(!told("add chain inet kube services"));
        assert!(!told("add rule inet kube services accept"));
        assert!(!told("add set inet kube pods { type ipv4_addr ; }"));
        assert!(!told("add element inet kube pods { 10.0.0.1 }"));
        assert!(told("add chain inet kube guard { type filter hook forward priority 0 ; policy drop ; }"));
        assert!(!told("add rule inet kube guard accept"));
        assert!(told("add table ip filter { chain FORWARD { type filter hook forward priority 0 ; } ; }"));
        assert!(told("add rule ip filter FORWARD drop"));
        assert!(told("add table inet causeway"));
        assert!(told("add chain inet causeway forward"));
        assert!(told("delete table inet causeway"));
        monitor.filter().chains([("kube".to_owned(), "guard".to_owned())]);
        nft("add rule inet kube guard drop");
        assert!(relevant(&mut monitor));
        nft("flush ruleset");
        assert!(relevant(&mut monitor));
    });
}
