//! What the fast path does to packets.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use causeway_dataplane::desired::fast_path::Ends;
use causeway_dataplane::nft::{self, Origin};
use causeway_model::{Families, Mac};

use super::fast_path::{ends, settle};
use super::packets::{Bed, CNI, POD, REMOTE};
use super::router::{Namespace, Node, PORT, addresses};
use super::{address, prefix, socket};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(20);
/// Where servers listen that answer each byte.
const ECHO: u16 = 7001;
/// A hook of somebody else behind all that is ours, which counts what is forwarded.
const WATCH: &str = "
    table inet watch {
        chain forward {
            type filter hook forward priority 300; policy accept;
            meta l4proto tcp counter
            meta l4proto udp counter
        }
    }";

fn fast_bed() -> Bed {
    let bed = Bed::new(CNI);
    bed.node.run("sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=1");
    bed.node.converge(Some(Node { fast: Families::DUAL, ..Node::default() }.ruleset()));
    bed.node.call(|| {
        let (mac, bridge_mac) = (Mac([2, 0xc5, 0xc6, 0x12, 1, 1]), Mac([2, 0xc5, 0xc6, 0x12, 1, 11]));
        let ends = Ends { mac, bridge_mac, ..ends(&["cni0"]) };
        let from = |sources, senders| Origin { sources: prefix(sources), senders: prefix(senders) };
        let remote = ["10.2.0.0/16", "fd00:2::/56"].map(|sources| from(sources, "198.18.1.0/24"));
        let others = ["10.3.0.0/16", "fd00:3::/56"].map(|sources| from(sources, "198.18.2.0/24"));
        settle(Some(&ends.ruleset(&[remote, others].concat())));
    });
    bed.node.nft(WATCH);
    bed
}

/// Answers each byte over TCP with itself.
fn echo(namespace: &Namespace, at: &str) {
    let at = SocketAddr::new(address(at), ECHO);
    let listener = namespace.call(move || TcpListener::bind(at)).expect("a listener");
    std::thread::spawn(move || {
        while let Ok((mut stream, _)) = listener.accept() {
            std::thread::spawn(move || {
                let mut byte = [0];
                while stream.read_exact(&mut byte).is_ok() && stream.write_all(&byte).is_ok() {}
            });
        }
    });
}

fn connect(namespace: &Namespace, to: &str) -> TcpStream {
    let to = SocketAddr::new(address(to), ECHO);
    let stream = namespace.call(move || TcpStream::connect_timeout(&to, LIMIT)).expect("a connection");
    stream.set_nodelay(true).expect("an option");
    stream.set_read_timeout(Some(Duration::from_secs(2))).expect("a timeout");
    stream
}

/// Asks so often; whether each was answered.
fn ask(stream: &mut TcpStream, times: u32) -> bool {
    let mut byte = [7];
    (0..times).all(|_| stream.write_all(&byte).is_ok() && stream.read_exact(&mut byte).is_ok())
}

/// What came out of the tunnel from this prefix and was let in, in packets.
fn received(bed: &Bed, sources: &str) -> u64 {
    let sources = prefix(sources);
    let all = bed.node.call(|| nft::received(&mut socket())).expect("counters");
    all.iter().filter(|of| of.origin.sources == sources).map(|of| of.packets).sum()
}

/// Whether the node knows any flow with this address, in one direction.
fn knows(bed: &Bed, set: &str, address: &str) -> bool {
    let listing = bed.node.run("nft list table netdev causeway");
    let (_, behind) = listing.split_once(&format!("{set} {{")).expect("the set");
    behind.split("\n\t}").next().is_some_and(|set| set.contains(address))
}

#[test]
fn a_settled_connection_passes_by_the_hooks_and_is_counted() {
    const TIMES: u32 = 300;
    let bed = fast_bed();
    for ((pod, remote), origin) in POD.into_iter().zip(REMOTE).zip(["10.2.0.0/16", "fd00:2::/56"]) {
        echo(&bed.remote, remote);
        echo(&bed.pod, pod);
        for (from, to) in [(&bed.pod, remote), (&bed.remote, pod)] {
            let (forwarded, counted) = (bed.node.counted("inet watch", "forward"), received(&bed, origin));
            let mut stream = connect(from, to);
            assert!(ask(&mut stream, TIMES), "{to}");
            drop(stream);
            // Each request has an answer, and each answer is a packet.
            assert!(received(&bed, origin) >= counted + u64::from(TIMES), "{to}");
            let forwarded = bed.node.counted("inet watch", "forward") - forwarded;
            assert!(forwarded >= 4, "what opens a connection is judged: {forwarded}");
            assert!(forwarded < u64::from(TIMES), "{forwarded} of {} packets to {to}", 2 * TIMES);
        }
    }
}

#[test]
fn what_is_forbidden_meanwhile_ends_a_connection_that_was_let_through() {
    let bed = fast_bed();
    echo(&bed.remote, REMOTE[0]);
    let mut stream = connect(&bed.pod, REMOTE[0]);
    assert!(ask(&mut stream, 100));
    bed.node.nft(
        "table inet policies { chain forward { type filter hook forward priority 0; ip daddr 10.2.0.2 drop
         }
         }",
    );
    let since = Instant::now();
    while ask(&mut stream, 1) {
        assert!(since.elapsed() < LIMIT, "it goes on");
    }
}

#[test]
fn a_translated_connection_takes_every_hook() {
    let bed = fast_bed();
    bed.node.nft(
        "table ip proxy { chain prerouting { type nat hook prerouting priority dstnat; ip daddr 10.96.0.1 dnat to 10.2.0.2
         }
         }",
    );
    echo(&bed.remote, REMOTE[0]);
    let before = bed.node.counted("inet watch", "forward");
    let mut stream = connect(&bed.pod, "10.96.0.1");
    assert!(ask(&mut stream, 100));
    assert!(bed.node.counted("inet watch", "forward") - before >= 200);
    assert!(!knows(&bed, "outbound4", "10.2.0.2") && !knows(&bed, "inbound4", "10.2.0.2"));
}

#[test]
fn what_several_nodes_carry_is_free_to_change_its_way() {
    let bed = fast_bed();
    for (at, set, other) in
        [("10.2.7.2", "outbound4", "inbound4"), ("fd00:2:0:7::2", "outbound6", "inbound6")]
    {
        addresses(&bed.remote, "lo", &[&format!("{at}/{}", if at.contains(':') { 128 } else { 32 })]);
        echo(&bed.remote, at);
        let mut stream = connect(&bed.pod, at);
        let since = Instant::now();
        // What comes from there has one way to this node's pod.
        while !knows(&bed, other, at) {
            assert!(since.elapsed() < LIMIT && ask(&mut stream, 100), "{at}");
        }
        assert!(ask(&mut stream, 100));
        assert!(!knows(&bed, set, at), "{at}");
    }
}

/// A conversation over UDP between an address of a namespace and a server, until the flow of the remote pod's address is in this map.
fn converse(bed: &Bed, (namespace, from): (&Namespace, SocketAddr), to: &str, map: &str) -> UdpSocket {
    let asking = namespace.call(move || UdpSocket::bind(from)).expect("a socket");
    asking.connect(SocketAddr::new(address(to), PORT)).expect("an address");
    asking.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let since = Instant::now();
    while !knows(bed, map, REMOTE[0]) {
        assert!(since.elapsed() < LIMIT, "it never takes the fast path");
        asking.send(b"who").expect("it is sent");
        let _ = asking.recv(&mut [0; 64]);
    }
    asking
}

/// One that the remote end begins.
fn converse_inward(bed: &Bed) -> UdpSocket {
    converse(bed, (&bed.remote, SocketAddr::new(address(REMOTE[0]), 5000)), POD[0], "inbound4")
}

/// One that the pod begins.
fn converse_outward(bed: &Bed) -> UdpSocket {
    converse(bed, (&bed.pod, SocketAddr::new(address(POD[0]), 5001)), REMOTE[0], "outbound4")
}

#[test]
fn nobody_but_its_origin_sends_into_a_flow() {
    let bed = fast_bed();
    let since = Instant::now();
    loop {
        let asking = converse_inward(&bed);
        let before = bed.node.drops("foreign inner source");
        // From here on it speaks under the MAC of another cluster's node.
        bed.remote.run("ip link set eth1 address 02:c5:c6:12:02:01");
        let in_time = knows(&bed, "inbound4", "10.2.0.2");
        (0..20).for_each(|_| assert!(asking.send(b"who").is_ok()));
        assert!(bed.node.drops("foreign inner source") >= before + 20);
        if in_time {
            return;
        }
        assert!(since.elapsed() < LIMIT, "its time is always over");
        bed.remote.run("ip link set eth1 address 02:c5:c6:12:01:65");
    }
}

#[test]
fn a_flow_is_let_through_anew_after_its_time() {
    let bed = fast_bed();
    let asking = converse_inward(&bed);
    let (before, since) = (bed.node.counted("inet watch", "forward"), Instant::now());
    let (mut sent, mut forwarded) = (0, 0);
    // Twice in both directions. Every packet is answered, whichever way it takes.
    while forwarded < 4 {
        assert!(since.elapsed() < LIMIT, "its time is never over");
        asking.send(b"who").expect("it is sent");
        asking.recv(&mut [0; 64]).expect("an answer");
        sent += 1;
        forwarded = bed.node.counted("inet watch", "forward") - before;
    }
    assert!(forwarded < 2 * sent, "none passes by the hooks");
}

#[test]
fn what_does_not_fit_the_tunnel_is_answered_by_the_node() {
    let bed = fast_bed();
    bed.node.run("ip link set vx-bridge mtu 1450");
    bed.node.nft(
        "table netdev watch { chain out { type filter hook egress device vx-bridge priority 10; ip length > 1450 counter
         }
         }",
    );
    let asking = converse_outward(&bed);
    assert!(!bed.pod.run("ip route get 10.2.0.2").contains("mtu"));
    let since = Instant::now();
    // With 28 bytes of headers. The node says that they are too many, and the pod heeds it.
    while !bed.pod.run("ip route get 10.2.0.2").contains("mtu 1450") {
        assert!(since.elapsed() < LIMIT, "nobody says that it is too long");
        let _ = asking.send(&[0; 1472]);
    }
    assert_eq!(bed.node.counted("netdev watch", "out"), 0);
}

#[test]
fn what_a_pod_sends_to_another_mac_than_its_gateways_is_not_taken() {
    let bed = fast_bed();
    let asking = converse_outward(&bed);
    bed.pod.run("ip neighbour replace 10.1.1.1 lladdr 02:c5:c6:12:01:63 dev eth0");
    asking.send(b"who").expect("it is sent");
    assert!(asking.recv(&mut [0; 64]).is_err());
}
