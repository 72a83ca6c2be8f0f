//! What the kernel counts is read as `ip` and `nft` show it.

use causeway_dataplane::Counters;

use super::*;

#[test]
fn packets_of_our_devices_are_counted_as_ip_shows_them() {
    in_namespace(|| {
        kernel().apply(&ground(BRIDGE)).unwrap();
        run("ip link add vxlan9 type vxlan id 9 dstport 4799 local 192.0.2.1");
        run("ip route add 203.0.113.0/24 dev vx-bridge");
        run("ip neighbour replace 203.0.113.5 lladdr 02:c5:00:00:00:09 dev vx-bridge nud permanent");
        let _ = Command::new("ping").args(["-c3", "-i0.01", "-W1", "203.0.113.5"]).output();
        let counted = Counters::open().unwrap().devices().unwrap();
        let shown = json("ip -json -statistics link show vx-bridge")[0]["stats64"].clone();
        assert_eq!(counted.keys().collect::<Vec<_>>(), [&BRIDGE]);
        let (received, sent) = (counted[&BRIDGE].received, counted[&BRIDGE].sent);
        let number = |way: &str, what: &str| shown[way][what].as_u64().unwrap();
        assert_eq!((sent.packets, sent.bytes), (number("tx", "packets"), number("tx", "bytes")));
        assert_eq!((sent.errors, sent.dropped), (number("tx", "errors"), number("tx", "dropped")));
        assert_eq!((received.packets, received.bytes), (number("rx", "packets"), number("rx", "bytes")));
        assert!(sent.packets + sent.dropped + sent.errors >= 3, "{shown}");
    });
}

#[test]
fn packets_that_rules_of_ours_dropped_are_counted_by_what_the_rules_say() {
    in_namespace(|| {
        let mut counters = Counters::open().unwrap();
        assert!(counters.drops().unwrap().is_empty(), "without a table nothing was dropped");
        assert!(counters.received().unwrap().is_empty(), "and nothing came");
        let rules = "
            table inet causeway {
                chain c {
                    type filter hook output priority 0
                    ip daddr 127.0.0.7 counter drop comment \"unknown VTEP #00000001\"
                    ip daddr 127.0.0.8 counter drop comment \"unknown VTEP #00000002\"
                    ip daddr 127.0.0.9 counter drop comment \"wrong VNI #00000003\"
                    counter accept comment \"passes #00000004\"
                    counter drop comment \"not ours\"
                }
            }
            table inet other {
                chain c {
                    type filter hook output priority 1
                    ip daddr 127.0.0.1 counter drop comment \"wrong VNI #00000005\"
                }
            }
";
        let file = std::env::temp_dir().join(format!("causeway-counters-{}.nft", std::process::id()));
        std::fs::write(&file, rules).unwrap();
        run(&format!("nft -f {}", file.display()));
        std::fs::remove_file(&file).unwrap();
        for to in ["127.0.0.7", "127.0.0.8", "127.0.0.8", "127.0.0.1"] {
            let _ = std::net::UdpSocket::bind("127.0.0.1:0").unwrap().send_to(b"x", (to, 9));
        }
        let drops: Vec<(String, u64)> = counters.drops().unwrap().into_iter().collect();
        assert_eq!(drops, [("unknown VTEP".to_owned(), 3), ("wrong VNI".to_owned(), 0)]);
    });
}
