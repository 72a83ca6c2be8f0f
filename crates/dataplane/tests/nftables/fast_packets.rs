//! What the fast path does to packets.

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use causeway_dataplane::desired::fast_path::{Ends, Transit, forget_flows};
use causeway_dataplane::nft::{self, Origin};
use causeway_model::{Families, Mac, Role};

use super::fast_path::{end, ends, settle};
use super::packets::{Bed, CNI, POD, REMOTE, attach_remote, remote_addresses, route_remote};
use super::router::{Namespace, Node, PORT, addresses, join, neighbour};
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

/// Who may send from the other clusters.
fn origins() -> Vec<Origin> {
    let from = |sources, senders| Origin { sources: prefix(sources), senders: prefix(senders) };
    let remote = ["10.2.0.0/16", "fd00:2::/56"].map(|sources| from(sources, "198.18.1.0/24"));
    let others = ["10.3.0.0/16", "fd00:3::/56"].map(|sources| from(sources, "198.18.2.0/24"));
    [remote, others].concat()
}

/// Has this node take the fast path between these ends.
fn open(namespace: &Namespace, node: Node, ends: impl FnOnce() -> Ends + Send + 'static) {
    namespace.run("sysctl -qw net.netfilter.nf_conntrack_tcp_be_liberal=1");
    let ends = namespace.call(ends);
    namespace.converge(Some(Node { fast: Some(ends.clone()), ..node }.ruleset()));
    namespace.call(move || settle(Some(&ends.ruleset(&origins()))));
    namespace.nft(WATCH);
}

/// The ends of a node with a pod behind `cni0`, where MACs are those of [`Bed`].
fn to_pod() -> Ends {
    let mut ends = ends(&["cni0"]);
    ends.tunnel.mac = Mac([2, 0xc5, 0xc6, 0x12, 1, 1]);
    ends.pods.iter_mut().for_each(|pods| pods.bridge.mac = Mac([2, 0xc5, 0xc6, 0x12, 1, 11]));
    ends
}

fn fast_bed() -> Bed {
    let bed = Bed::new(CNI);
    open(&bed.node, Node::default(), to_pod);
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
fn received(node: &Namespace, sources: &str) -> u64 {
    let sources = prefix(sources);
    let all = node.call(|| nft::received(&mut socket())).expect("counters");
    all.iter().filter(|of| of.origin.sources == sources).map(|of| of.packets).sum()
}

/// Whether the node knows any flow with this address, in one direction.
fn knows(node: &Namespace, set: &str, address: &str) -> bool {
    let listing = node.run("nft list table netdev causeway");
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
            let (forwarded, counted) =
                (bed.node.counted("inet watch", "forward"), received(&bed.node, origin));
            let mut stream = connect(from, to);
            assert!(ask(&mut stream, TIMES), "{to}");
            drop(stream);
            // Each request has an answer, and each answer is a packet.
            assert!(received(&bed.node, origin) >= counted + u64::from(TIMES), "{to}");
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
    assert!(!knows(&bed.node, "outbound4", "10.2.0.2") && !knows(&bed.node, "inbound4", "10.2.0.2"));
}

/// Nodes behind this one choose by it among those that carry, and TCP changes it.
#[test]
fn what_several_nodes_carry_has_no_flow_label_on_the_fast_path_either() {
    const CARRIED: &str = "fd00:2:0:7::2";
    let bed = fast_bed();
    addresses(&bed.remote, "lo", &["fd00:2:0:7::2/128"]);
    bed.node.nft(
        "table netdev watch {
            chain sent { type filter hook ingress device cni0 priority -10; ip6 daddr fd00:2:0:7::2 ip6 flowlabel != 0 counter; }
            chain out { type filter hook egress device vx-bridge priority 10; ip6 daddr fd00:2:0:7::2 ip6 flowlabel != 0 counter; }
        }",
    );
    echo(&bed.remote, CARRIED);
    let mut stream = connect(&bed.pod, CARRIED);
    let since = Instant::now();
    while !knows(&bed.node, "outbound6", CARRIED) {
        assert!(since.elapsed() < LIMIT && ask(&mut stream, 100));
    }
    assert!(ask(&mut stream, 100));
    assert!(bed.node.counted("netdev watch", "sent") > 100);
    assert_eq!(bed.node.counted("netdev watch", "out"), 0);
}

/// A gateway between `vx-local`, over which the pods of its cluster's nodes send, and `vx-bridge`. The CNI brings its nodes what is for them, by
/// the tunnel `flannel.1`.
struct Gateway {
    remote: Namespace,
    node: Namespace,
    pod: Namespace,
}

impl Gateway {
    fn new() -> Gateway {
        let [remote, node, pod] = ["remote", "node", "pod"].map(Namespace::new);
        remote_addresses(&remote);
        addresses(&node, "lo", &["198.18.0.1/32", "fd00:c5::1/128"]);
        attach_remote(&remote, &node, "vx-bridge", 1);
        route_remote(&remote, 1);
        join((&node, "vx-local", 13), (&pod, "eth1", 14));
        join((&node, "flannel.1", 15), (&pod, "eth2", 16));
        addresses(&pod, "lo", &["10.1.1.2/32", "fd00:1:0:1::2/128", "198.18.0.9/32", "fd00:c5::9/128"]);
        for (to, via, gateway) in [(POD[0], "198.18.0.9", "198.18.0.1"), (POD[1], "fd00:c5::9", "fd00:c5::1")]
        {
            neighbour(&node, "flannel.1", via, 16);
            node.run(&format!("ip route add {to} via {via} dev flannel.1 onlink"));
            neighbour(&pod, "eth1", gateway, 13);
            let any = if to.contains(':') { "::/0" } else { "0.0.0.0/0" };
            pod.run(&format!("ip route add {any} via {gateway} dev eth1 onlink src {to}"));
        }
        node.nft(CNI);
        let (role, devices) = (Role::Gateway, vec!["vx-bridge", "vx-local"]);
        let local_pods = vec!["10.1.7.0/24", "fd00:1:0:7::/64"];
        open(&node, Node { role, devices, local_pods, ..Node::default() }, || {
            let cni = Some(end("flannel.1", Mac([2, 0xc5, 0xc6, 0x12, 1, 15])));
            let transit = Transit { nodes: "vx-local".to_owned(), cni, families: Families::DUAL };
            Ends {
                tunnel: end("vx-bridge", Mac([2, 0xc5, 0xc6, 0x12, 1, 1])),
                pods: None,
                transit: Some(transit),
            }
        });
        REMOTE.iter().for_each(|at| remote.answer(at));
        POD.iter().for_each(|at| pod.answer(at));
        Gateway { remote, node, pod }
    }
}

#[test]
fn a_gateway_passes_on_by_the_fast_path_what_is_of_other_nodes() {
    const TIMES: u32 = 300;
    let gateway = Gateway::new();
    let Gateway { remote, node, pod } = &gateway;
    for ((at, far), origin) in POD.into_iter().zip(REMOTE).zip(["10.2.0.0/16", "fd00:2::/56"]) {
        echo(remote, far);
        echo(pod, at);
        for (from, to) in [(pod, far), (remote, at)] {
            let (forwarded, counted) = (node.counted("inet watch", "forward"), received(node, origin));
            let mut stream = connect(from, to);
            assert!(ask(&mut stream, TIMES), "{to}");
            assert!(received(node, origin) >= counted + u64::from(TIMES), "{to}");
            let forwarded = node.counted("inet watch", "forward") - forwarded;
            assert!((4..u64::from(TIMES / 2)).contains(&forwarded), "{forwarded} to {to}");
        }
    }
    let tracked = node.run("cat /proc/thread-self/net/nf_conntrack");
    assert!(!tracked.contains("10.2.0.2"), "{tracked}");
}

#[test]
fn nobody_but_its_origin_sends_into_a_flow_that_a_gateway_passes_on() {
    let Gateway { remote, node, .. } = &Gateway::new();
    assert_held_to_its_origin(remote, node, "onward4");
}

/// Waits for an answer. A timeout has the kernel not take an interrupted call up again (signal(7)).
fn receive(asking: &UdpSocket) -> std::io::Result<usize> {
    loop {
        match asking.recv(&mut [0; 64]) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

/// A conversation over UDP between an address of a namespace and a server, until the flow of the remote pod's address is in this map.
fn converse(node: &Namespace, (namespace, from): (&Namespace, SocketAddr), to: &str, map: &str) -> UdpSocket {
    let asking = namespace.call(move || UdpSocket::bind(from)).expect("a socket");
    asking.connect(SocketAddr::new(address(to), PORT)).expect("an address");
    asking.set_read_timeout(Some(Duration::from_millis(200))).expect("a timeout");
    let since = Instant::now();
    while !knows(node, map, REMOTE[0]) {
        assert!(since.elapsed() < LIMIT, "it never takes the fast path");
        asking.send(b"who").expect("it is sent");
        let _ = receive(&asking);
    }
    asking
}

/// One that the remote end begins.
fn converse_inward(remote: &Namespace, node: &Namespace, map: &str) -> UdpSocket {
    converse(node, (remote, SocketAddr::new(address(REMOTE[0]), 5000)), POD[0], map)
}

/// One that the pod begins.
fn converse_outward(bed: &Bed) -> UdpSocket {
    converse(&bed.node, (&bed.pod, SocketAddr::new(address(POD[0]), 5001)), REMOTE[0], "outbound4")
}

fn assert_held_to_its_origin(remote: &Namespace, node: &Namespace, map: &str) {
    let since = Instant::now();
    loop {
        let asking = converse_inward(remote, node, map);
        let before = node.drops("foreign inner source");
        // From here on it speaks under the MAC of another cluster's node.
        remote.run("ip link set eth1 address 02:c5:c6:12:02:01");
        let in_time = knows(node, map, "10.2.0.2");
        (0..20).for_each(|_| assert!(asking.send(b"who").is_ok()));
        assert!(node.drops("foreign inner source") >= before + 20);
        if in_time {
            return;
        }
        assert!(since.elapsed() < LIMIT, "its time is always over");
        remote.run("ip link set eth1 address 02:c5:c6:12:01:65");
    }
}

#[test]
fn nobody_but_its_origin_sends_into_a_flow() {
    let bed = fast_bed();
    assert_held_to_its_origin(&bed.remote, &bed.node, "inbound4");
}

#[test]
fn a_flow_goes_where_routes_lead_as_soon_as_it_is_forgotten() {
    let bed = fast_bed();
    let forget = || {
        let table = to_pod().ruleset(&origins());
        let forget = forget_flows(&table, |_| true).expect("it has flows");
        nft::apply(&mut socket(), &forget).expect("they are forgotten");
    };
    let since = Instant::now();
    loop {
        let asking = converse_outward(&bed);
        neighbour(&bed.node, "vx-bridge", "198.18.1.1", 99);
        asking.send(b"who").expect("it is sent");
        // For its time it goes to whom it went before.
        let in_time = receive(&asking).is_ok();
        bed.node.call(forget);
        asking.send(b"who").expect("it is sent");
        assert!(receive(&asking).is_err());
        if in_time {
            return;
        }
        assert!(since.elapsed() < LIMIT, "its time is always over");
        neighbour(&bed.node, "vx-bridge", "198.18.1.1", 101);
    }
}

#[test]
fn a_device_of_the_cni_that_is_made_anew_is_led_to_by_the_hooks() {
    let Gateway { remote, node, pod } = &Gateway::new();
    let asking = converse_inward(remote, node, "onward4");
    node.run("ip link delete flannel.1");
    join((node, "flannel.1", 15), (pod, "eth2", 16));
    neighbour(node, "flannel.1", "198.18.0.9", 16);
    node.run("ip route add 10.1.1.2 via 198.18.0.9 dev flannel.1 onlink");
    // Nobody has told the rules of its new index.
    std::thread::sleep(nft::LEASE);
    for _ in 0..20 {
        asking.send(b"who").expect("it is sent");
        receive(&asking).expect("an answer");
    }
}

#[test]
fn a_flow_is_let_through_anew_after_its_time() {
    let bed = fast_bed();
    let asking = converse_inward(&bed.remote, &bed.node, "inbound4");
    let (before, since) = (bed.node.counted("inet watch", "forward"), Instant::now());
    let (mut sent, mut forwarded) = (0, 0);
    // Twice in both directions. Every packet is answered, whichever way it takes.
    while forwarded < 4 {
        assert!(since.elapsed() < LIMIT, "its time is never over");
        asking.send(b"who").expect("it is sent");
        receive(&asking).expect("an answer");
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
    assert!(receive(&asking).is_err());
}
