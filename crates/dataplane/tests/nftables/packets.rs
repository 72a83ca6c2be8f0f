//! What our table does to packets. The tunnels are veth pairs with a tunnel's name: rules see inner
//! packets only; but for the one test that is about outer ones.

use causeway_model::Role;
use std::time::Duration;

use causeway_dataplane::nft;

use super::router::*;
use super::{prefix, socket};

/// What a CNI and kube-proxy have on a node: masquerade of what comes from pods or to them, and a drop
/// of packets that belong to no known connection.
pub const CNI: &str = "
    table inet cni {
        chain postrouting {
            type nat hook postrouting priority srcnat;
            ip saddr 10.1.0.0/16 ip daddr != 10.1.0.0/16 masquerade
            ip saddr != 10.1.0.0/16 ip daddr 10.1.0.0/16 masquerade
            ip6 saddr fd00:1::/56 ip6 daddr != fd00:1::/56 masquerade
            ip6 saddr != fd00:1::/56 ip6 daddr fd00:1::/56 masquerade
        }
        chain forward { type filter hook forward priority 0; ct state invalid drop; }
    }";

pub const POD: [&str; 2] = ["10.1.1.2", "fd00:1:0:1::2"];
pub const REMOTE: [&str; 2] = ["10.2.0.2", "fd00:2::2"];

/// A node with a pod on one side and a remote pod on the other.
pub struct Bed {
    pub remote: Namespace,
    pub node: Namespace,
    pub pod: Namespace,
}

/// The remote end of the tunnels of `node`, of which `device` is number `at`: a pod's addresses, and an
/// overlay address through which it is reached.
pub fn attach_remote(remote: &Namespace, node: &Namespace, device: &str, at: u8) {
    let end = format!("eth{at}");
    join((remote, &end, 100 + at), (node, device, at));
    for (via, to) in [("198.18.1.1", "10.2.0.0/16"), ("fd00:c5:1::1", "fd00:2::/56")] {
        neighbour(node, device, via, 100 + at);
        node.run(&format!("ip route replace {via} dev {device}"));
        node.run(&format!("ip route replace {to} via {via} dev {device} onlink"));
    }
}

pub fn remote_addresses(remote: &Namespace) {
    addresses(remote, "lo", &["10.2.0.2/32", "fd00:2::2/128", "198.18.1.1/32", "fd00:c5:1::1/128"]);
}

/// Sends all that `remote` has for the cluster through its device number `at`.
pub fn route_remote(remote: &Namespace, at: u8) {
    for (via, any, src) in [("198.18.0.1", "0.0.0.0/0", REMOTE[0]), ("fd00:c5::1", "::/0", REMOTE[1])] {
        neighbour(remote, &format!("eth{at}"), via, at);
        remote.run(&format!("ip route replace {any} via {via} dev eth{at} onlink src {src}"));
    }
}

impl Bed {
    pub fn new(cni: &str) -> Bed {
        let (remote, node, pod) = (Namespace::new("remote"), Namespace::new("node"), Namespace::new("pod"));
        remote_addresses(&remote);
        addresses(&node, "lo", &["198.18.0.1/32", "fd00:c5::1/128"]);
        attach_remote(&remote, &node, "vx-bridge", 1);
        route_remote(&remote, 1);
        join((&node, "cni0", 11), (&pod, "eth0", 12));
        addresses(&node, "cni0", &["10.1.1.1/24", "fd00:1:0:1::1/64"]);
        addresses(&pod, "eth0", &["10.1.1.2/24", "fd00:1:0:1::2/64"]);
        pod.run("ip route add default via 10.1.1.1\nip route add default via fd00:1:0:1::1");
        node.nft(cni);
        REMOTE.iter().for_each(|at| remote.answer(at));
        POD.iter().for_each(|at| pod.answer(at));
        Bed { remote, node, pod }
    }

    /// A host beside the node, in the same network, 203.0.113.2.
    fn add_host(&self) -> Namespace {
        let host = Namespace::new("host");
        join((&self.node, "lan0", 21), (&host, "eth0", 22));
        addresses(&self.node, "lan0", &["203.0.113.1/24", "2001:db8:113::1/64"]);
        addresses(&host, "eth0", &["203.0.113.2/24", "2001:db8:113::2/64"]);
        host.run("ip route add default via 203.0.113.1\nip route add default via 2001:db8:113::1");
        host
    }
}

#[test]
fn pods_keep_their_addresses_although_the_cni_masquerades() {
    let bed = Bed::new(CNI);
    // The CNI alone would hide both.
    bed.pod.assert_seen_as(REMOTE[0], "198.18.0.1");
    bed.remote.assert_seen_as(POD[0], "10.1.1.1");
    bed.node.converge(Some(Node::default().ruleset()));
    for (pod, remote) in POD.into_iter().zip(REMOTE) {
        bed.pod.assert_seen_as(remote, pod);
        bed.remote.assert_seen_as(pod, remote);
        assert!(bed.pod.ping(remote) && bed.remote.ping(pod));
    }
}

#[test]
fn pods_are_seen_under_their_global_address_without_state_and_the_cni_sees_real_ones() {
    let bed = Bed::new(CNI);
    let translations = vec![("10.1.0.0/16", "100.64.0.0/16"), ("fd00:1::/56", "fd00:64:0:ff00::/56")];
    bed.node.converge(Some(Node { translations, ..Node::default() }.ruleset()));
    // A policy of the CNI that lets new connections in from the remote address to the real one only.
    bed.node.nft(
        "add chain inet cni guard { type filter hook forward priority 10; policy drop; }
         add rule inet cni guard ct state established accept
         add rule inet cni guard ip saddr { 10.1.1.2, 10.2.0.2 } ip daddr { 10.1.1.2, 10.2.0.2 } ct state new accept
         add rule inet cni guard ip6 saddr { fd00:1:0:1::2, fd00:2::2 } ip6 daddr { fd00:1:0:1::2, fd00:2::2 } ct state new accept",
    );
    for (global, remote) in ["100.64.1.2", "fd00:64:0:ff01::2"].into_iter().zip(REMOTE) {
        bed.pod.assert_seen_as(remote, global);
        bed.remote.assert_seen_as(global, remote);
        assert!(bed.pod.ping(remote) && bed.remote.ping(global));
    }
}

#[test]
fn sources_and_destinations_that_are_not_the_links_are_dropped() {
    let bed = Bed::new(CNI);
    bed.node.converge(Some(Node::default().ruleset()));
    let wait = Duration::from_millis(200);
    bed.node.run("ip route add 10.9.0.0/16 dev cni0\nip route add 172.16.0.0/16 dev cni0");
    addresses(
        &bed.remote,
        "lo",
        &["10.9.9.9/32", "10.1.1.7/32", "198.18.0.7/32", "10.3.0.2/32", "fd00:9::9/128", "fd00:3::2/128"],
    );
    // The last one is another linked cluster's.
    for from in ["10.9.9.9", "10.1.1.7", "198.18.0.7", "10.3.0.2"] {
        let before = bed.node.drops("ip saddr . ether saddr != @origins4");
        assert_eq!(bed.remote.ask_udp(from, POD[0], wait), None);
        assert_eq!(bed.node.drops("ip saddr . ether saddr != @origins4"), before + 1, "{from}");
    }
    for from in ["fd00:9::9", "fd00:3::2"] {
        let before = bed.node.drops("ip6 saddr . ether saddr != @origins6");
        assert_eq!(bed.remote.ask_udp(from, POD[1], wait), None);
        // Link-local solicitations are dropped too.
        assert!(bed.node.drops("ip6 saddr . ether saddr != @origins6") > before, "{from}");
    }
    // Neither another network through the node nor the node itself by another of its addresses.
    addresses(&bed.node, "cni0", &["192.0.2.1/24"]);
    for to in ["172.16.0.1", "192.0.2.1", "192.0.2.7"] {
        let before = bed.node.drops("foreign inner destination");
        assert_eq!(bed.remote.ask_udp(REMOTE[0], to, wait), None);
        assert_eq!(bed.node.drops("foreign inner destination"), before + 1, "{to}");
    }
    assert_eq!(bed.remote.ask_udp(REMOTE[0], POD[0], Duration::from_secs(5)).as_deref(), Some(REMOTE[0]));
}

#[test]
fn what_is_let_in_is_counted_once_by_where_it_came_from() {
    let bed = Bed::new(CNI);
    bed.node.converge(Some(Node::default().ruleset()));
    let counted = |sources: &str| {
        let all = bed.node.call(|| nft::received(&mut socket()).expect("counters"));
        let found = all.iter().find(|one| one.origin.sources == prefix(sources)).expect("an origin");
        [found.packets, found.bytes]
    };
    assert_eq!(counted("10.2.0.0/16"), [0, 0]);
    let wait = Duration::from_millis(200);
    // A header of 20 bytes, one of 8, and three bytes; to a pod, to the node itself, in transit.
    for (at, to) in (1..).zip([POD[0], "198.18.0.1", "10.1.7.7"]) {
        bed.remote.ask_udp(REMOTE[0], to, wait);
        assert_eq!(counted("10.2.0.0/16"), [at, at * 31], "{to}");
    }
    bed.remote.ask_udp(REMOTE[1], POD[1], wait);
    assert_eq!(counted("fd00:2::/56"), [1, 51]);
    // Neither what is dropped nor what this node sends.
    bed.remote.ask_udp(REMOTE[0], "172.16.0.1", wait);
    addresses(&bed.remote, "lo", &["10.3.0.2/32"]);
    bed.remote.ask_udp("10.3.0.2", POD[0], wait);
    assert_eq!((counted("10.2.0.0/16"), counted("10.3.0.0/16")), ([3, 93], [0, 0]));
}

#[test]
fn a_service_is_reached_wherever_its_backend_is() {
    let bed = Bed::new(CNI);
    let host = bed.add_host();
    bed.node.nft(
        "table inet kube-proxy {
            chain prerouting {
                type nat hook prerouting priority dstnat;
                ip daddr 10.96.0.1 dnat ip to 10.1.1.2
                ip daddr 10.96.0.2 dnat ip to 10.1.2.2
                ip daddr 10.96.0.3 dnat ip to 203.0.113.2
                ip6 daddr fd00:96::1 dnat ip6 to fd00:1:0:1::2
                ip6 daddr fd00:96::2 dnat ip6 to fd00:1:0:2::2
            }
        }",
    );
    addresses(&host, "lo", &["10.1.2.2/32", "fd00:1:0:2::2/128"]);
    bed.node
        .run("ip route add 10.1.2.0/24 via 203.0.113.2\nip route add fd00:1:0:2::/64 via 2001:db8:113::2");
    for at in ["10.1.2.2", "203.0.113.2", "fd00:1:0:2::2"] {
        host.answer(at);
    }
    bed.node.converge(Some(Node::default().ruleset()));
    // A backend on this node sees the client, one elsewhere answers to this node.
    bed.remote.assert_seen_as("10.96.0.1", REMOTE[0]);
    bed.remote.assert_seen_as("10.96.0.2", "203.0.113.1");
    bed.remote.assert_seen_as("10.96.0.3", "203.0.113.1");
    bed.remote.assert_seen_as("fd00:96::1", REMOTE[1]);
    bed.remote.assert_seen_as("fd00:96::2", "2001:db8:113::1");
}

#[test]
fn only_the_own_cluster_and_clients_of_its_services_get_into_a_tunnel() {
    let bed = Bed::new(CNI);
    let host = bed.add_host();
    bed.node.nft(
        "table inet kube-proxy {
            chain prerouting {
                type nat hook prerouting priority dstnat;
                ip daddr 203.0.113.1 dnat ip to 10.2.0.2
                ip6 daddr 2001:db8:113::1 meta l4proto { tcp, udp } dnat ip6 to fd00:2::2
            }
        }",
    );
    bed.node.converge(Some(Node::default().ruleset()));
    host.assert_seen_as("203.0.113.1", "198.18.0.1");
    host.assert_seen_as("2001:db8:113::1", "fd00:c5::1");
    let before = bed.node.drops("others into a tunnel");
    host.assert_lost(REMOTE[0]);
    host.assert_lost(REMOTE[1]);
    assert!(bed.node.drops("others into a tunnel") >= before + 2);
    // Processes of the node itself, whatever address they chose.
    bed.node.assert_seen_as(REMOTE[0], "198.18.0.1");
    let from_lan = bed.node.ask_udp("203.0.113.1", REMOTE[0], Duration::from_secs(5));
    assert_eq!(from_lan.as_deref(), Some("198.18.0.1"));
}

#[test]
fn forwarding_works_although_a_foreign_chain_drops_and_its_own_rules_still_hold() {
    let bed = Bed::new("");
    bed.node.run("iptables-nft -P FORWARD DROP\nip6tables-nft -P FORWARD DROP");
    bed.node.run("iptables-nft -A FORWARD -p udp --dport 9 -j DROP");
    bed.remote.assert_lost(POD[0]);
    bed.node.converge(Some(Node::default().ruleset()));
    for (pod, remote) in POD.into_iter().zip(REMOTE) {
        bed.remote.assert_seen_as(pod, remote);
        bed.pod.assert_seen_as(remote, pod);
    }
    bed.node.run("iptables-nft -A FORWARD -p tcp --dport 7000 -j DROP");
    bed.node.converge(Some(Node::default().ruleset()));
    bed.remote.assert_lost(POD[0]);
}

/// A gateway that hands packets to the pod's node by the CNI, over `eth0`, and gets the replies back
/// through `reply_device`. On the node only what is ours may be forwarded.
fn assert_brought_by_the_cni(node: &Node, reply_device: &str) {
    let [gateway, n, pod] = ["gateway", "node", "pod"].map(Namespace::new);
    remote_addresses(&gateway);
    addresses(&gateway, "lo", &["10.9.9.9/32", "fd00:9::9/128"]);
    attach_remote(&gateway, &n, reply_device, 1);
    join((&gateway, "cni", 21), (&n, "eth0", 22));
    addresses(&gateway, "cni", &["203.0.113.1/24", "2001:db8:113::1/64"]);
    addresses(&n, "eth0", &["203.0.113.2/24", "2001:db8:113::2/64"]);
    gateway.run(&format!(
        "ip route add 10.1.0.0/16 via 203.0.113.2 src {}
         ip route add fd00:1::/56 via 2001:db8:113::2 src {}",
        REMOTE[0], REMOTE[1]
    ));
    n.run("ip route add 10.9.9.9 via 203.0.113.1\nip route add fd00:9::9 via 2001:db8:113::1");
    join((&n, "cni0", 11), (&pod, "eth0", 12));
    addresses(&n, "cni0", &["10.1.1.1/24", "fd00:1:0:1::1/64"]);
    addresses(&pod, "eth0", &["10.1.1.2/24", "fd00:1:0:1::2/64"]);
    pod.run("ip route add default via 10.1.1.1\nip route add default via fd00:1:0:1::1");
    n.run("iptables-nft -P FORWARD DROP\nip6tables-nft -P FORWARD DROP");
    // What is not for a pod stays closed too, whoever sends it.
    n.run("ip route add 10.3.0.0/16 via 10.1.1.2");
    addresses(&pod, "lo", &["10.3.0.3/32"]);
    gateway.run(&format!("ip route add 10.3.0.0/16 via 203.0.113.2 src {}", REMOTE[0]));
    n.nft(
        "table inet watch {
            chain forward { type filter hook forward priority 0; meta mark & 0x1000 == 0x1000 counter; }
            chain leaving { type filter hook postrouting priority 300; meta mark & 0x1000 == 0x1000 counter; }
            chain other { type filter hook prerouting priority -200; meta mark set 0x4; }
            chain kept { type filter hook postrouting priority 301; iifname eth0 oifname cni0 meta mark != 0x4 counter; }
            chain opened {
                type filter hook postrouting priority 302;
                ip saddr 10.9.9.9 counter
                ip6 saddr fd00:9::9 counter
                ip daddr 10.3.0.3 counter
            }
        }",
    );
    POD.iter().for_each(|at| pod.answer(at));
    pod.answer("10.3.0.3");
    POD.iter().for_each(|at| gateway.assert_lost(at));
    n.converge(Some(node.ruleset()));
    for (at, remote) in POD.into_iter().zip(REMOTE) {
        gateway.assert_seen_as(at, remote);
    }
    gateway.assert_lost("10.3.0.3");
    for (at, foreign) in POD.into_iter().zip(["10.9.9.9", "fd00:9::9"]) {
        assert_eq!(gateway.ask_udp(foreign, at, Duration::from_millis(300)), None, "{foreign}");
    }
    let watched = |chain: &str| n.counted("inet watch", chain);
    assert!(watched("forward") > 0);
    assert_eq!(["leaving", "kept", "opened"].map(watched), [0, 0, 0]);
}

#[test]
fn an_internal_node_passes_on_what_a_gateway_sends_by_the_cni_and_opens_nothing_else() {
    let node = Node { role: Role::Internal, devices: vec!["vx-local"], ..Node::default() };
    assert_brought_by_the_cni(&node, "vx-local");
}

#[test]
fn a_gateway_passes_on_what_another_one_sends_to_its_pods_by_the_cni() {
    let node = Node { role: Role::Gateway, devices: vec!["vx-bridge", "vx-local"], ..Node::default() };
    assert_brought_by_the_cni(&node, "vx-bridge");
}

#[test]
fn a_node_without_pod_prefixes_passes_on_what_a_carrier_sends_by_the_cni() {
    assert_brought_by_the_cni(&Node { local_pods: Vec::new(), ..Node::default() }, "vx-bridge");
}

#[test]
fn segments_are_made_to_fit_both_ways() {
    use nix::sys::socket::{getsockopt, sockopt::TcpMaxSeg};
    let bed = Bed::new(CNI);
    bed.node.converge(Some(Node { mtu: 1300, ..Node::default() }.ruleset()));
    for (from, to, most) in [
        (&bed.pod, REMOTE[0], 1260),
        (&bed.remote, POD[0], 1260),
        (&bed.pod, REMOTE[1], 1240),
        (&bed.remote, POD[1], 1240),
    ] {
        let to = std::net::SocketAddr::new(super::address(to), PORT);
        let size = from.call(move || {
            let stream = std::net::TcpStream::connect(to).expect("a connection");
            getsockopt(&stream, TcpMaxSeg).expect("a size")
        });
        assert!((most - 40..=most).contains(&size), "{to}: {size}");
    }
}

/// A request that goes to the pod through one node, and whose reply leaves through another one, by
/// `reply_device` and then `vx-bridge`. On both, unknown connections are dropped.
fn assert_two_ways(node: &Node, reply_device: &str) {
    let [remote, first, second, pod] = ["remote", "first", "second", "pod"].map(Namespace::new);
    remote_addresses(&remote);
    attach_remote(&remote, &first, "vx-bridge", 1);
    attach_remote(&remote, &second, "vx-bridge", 2);
    route_remote(&remote, 1);
    join((&first, "cni0", 11), (&pod, "eth1", 12));
    join((&second, reply_device, 13), (&pod, "eth2", 14));
    addresses(&pod, "lo", &["10.1.1.2/32", "fd00:1:0:1::2/128", "198.18.0.9/32", "fd00:c5::9/128"]);
    for (to, via, link) in [(POD[0], "198.18.0.9", "198.18.0.2"), (POD[1], "fd00:c5::9", "fd00:c5::2")] {
        neighbour(&first, "cni0", via, 12);
        first.run(&format!("ip route add {to} via {via} dev cni0 onlink"));
        neighbour(&pod, "eth2", link, 13);
        let any = if to.contains(':') { "::/0" } else { "0.0.0.0/0" };
        pod.run(&format!("ip route add {any} via {link} dev eth2 onlink src {to}"));
    }
    for namespace in [&first, &second] {
        namespace.nft(CNI);
    }
    for at in POD {
        pod.answer(at);
        remote.assert_lost(at);
    }
    for namespace in [&first, &second] {
        namespace.converge(Some(node.ruleset()));
    }
    for (pod, remote_address) in POD.into_iter().zip(REMOTE) {
        remote.assert_seen_as(pod, remote_address);
        assert!(remote.ping(pod));
    }
}

#[test]
fn a_gateway_forwards_flows_of_which_it_sees_one_direction() {
    let node = Node {
        role: Role::Gateway,
        local_pods: vec!["10.1.7.0/24", "fd00:1:0:7::/64"],
        devices: vec!["vx-bridge", "vx-local"],
        ..Node::default()
    };
    assert_two_ways(&node, "vx-local");
}

#[test]
fn nodes_without_pod_prefixes_forward_flows_of_which_they_see_one_direction() {
    assert_two_ways(&Node { local_pods: Vec::new(), ..Node::default() }, "cni0");
}

#[test]
fn tunnel_packets_are_taken_from_known_vteps_only_and_are_not_tracked() {
    let (remote, node) = (Namespace::new("remote"), Namespace::new("node"));
    join((&remote, "eth0", 1), (&node, "eth0", 2));
    addresses(&remote, "eth0", &["192.0.2.2/24", "192.0.2.3/24"]);
    addresses(&node, "eth0", &["192.0.2.1/24"]);
    let tunnel = |namespace: &Namespace, (local, mac): (&str, u8), n: u8, peer: &str, other: u8| {
        namespace.run(&format!(
            "ip link add vx-bridge address 02:c5:c6:12:{n:02x}:{mac:02x} group 4876 type vxlan id 54 dstport 4876 local {local} nolearning
             ip link set vx-bridge up
             ip address add 198.18.{n}.1/32 dev vx-bridge
             ip route add 198.18.{other}.1 dev vx-bridge src 198.18.{n}.1
             ip neighbour replace 198.18.{other}.1 lladdr 02:c5:c6:12:{other:02x}:01 dev vx-bridge
             bridge fdb append 02:c5:c6:12:{other:02x}:01 dev vx-bridge dst {peer} self permanent"
        ));
    };
    tunnel(&remote, ("192.0.2.2", 1), 1, "192.0.2.1", 0);
    tunnel(&node, ("192.0.2.1", 1), 0, "192.0.2.2", 1);
    // Without a rule that asks for it nothing would be tracked.
    node.nft(
        "table inet cni { chain input { type filter hook input priority 0; ct state invalid drop; }\n }",
    );
    node.converge(Some(Node { vteps: vec!["192.0.2.2"], ..Node::default() }.ruleset()));
    assert!(remote.ping("198.18.0.1") && node.ping("198.18.1.1"));
    let tracked = node.run("cat /proc/thread-self/net/nf_conntrack");
    assert!(!tracked.contains("dport=4876") && tracked.contains("src=198.18"), "{tracked}");

    // Another underlay address, and another node's MAC.
    for (drops, end) in [(1, ("192.0.2.3", 1)), (2, ("192.0.2.2", 9))] {
        remote.run("ip link del vx-bridge");
        tunnel(&remote, end, 1, "192.0.2.1", 0);
        assert_eq!(remote.ask_udp("198.18.1.1", "198.18.0.1", Duration::from_millis(200)), None);
        assert_eq!(node.drops("udp dport 4876 ip saddr . @th,176,48 != @bridge_vteps4"), drops);
    }
}
