//! VXLAN packets of somebody who does not belong: each is dropped, and counted for its reason where a user
//! reads it: `nft list table inet causeway`.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};

use causeway_lab::{Action, Forged, Lab};
use causeway_model::{Family, Mac};
use serde_json::Value;

use crate::bed::{eventually, object, well};
use crate::common::in_bed;

const BED: &str = "
clusters:
  - {name: a, nodes: 2}
  - {name: b, nodes: 1}
  - name: c
    spec: {mode: Gateway, gateways: {count: 1, nodeSelector: {matchLabels: {gateway: \"yes\"}}}}
    nodes: [{name: gw, labels: {gateway: \"yes\"}}, {name: in}]";

const BRIDGE: (u16, u32) = (4876, 54);
const LOCAL: (u16, u32) = (4877, 55);
/// A port that nobody listens on: what arrives there is counted as such.
const NOBODY: u16 = 9;
/// How many packets each case sends: far more than the few that come by themselves, as of IPv6.
const PACKETS: u64 = 10;

/// What becomes of a packet.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Fate {
    /// The pod gets it.
    Delivered,
    /// A rule with this comment drops it.
    Dropped(String),
    /// Nobody listens for tunnel packets there: the node counts it as UDP without a port.
    NoTunnel,
}

/// Addresses of a node's VTEP, of the given inner family where it matters.
fn vtep(lab: &Lab, node: &str) -> (IpAddr, Mac) {
    let config = object(lab, &format!("nodeconfigs/causeway-cluster-{node}.yaml")).unwrap();
    let first = |field: &str| config["spec"][field][0].as_str().unwrap().to_owned();
    let overlay: Ipv4Addr = first("overlay").parse().unwrap();
    (first("underlay").parse().unwrap(), Mac::of_vtep(overlay))
}

fn pod(lab: &Lab, name: &str, family: Family) -> IpAddr {
    let topology = lab.topology().unwrap();
    let pod: causeway_lab::Endpoint = name.parse().unwrap();
    pod.addresses(&topology).into_iter().find(|address| Family::of(*address) == family).unwrap()
}

/// The packet that the VTEP `from` would send for a pod of its cluster to the pod of `to`.
fn honest(lab: &Lab, (port, vni): (u16, u32), from: &str, to: &str, inner: (&str, Family)) -> Forged {
    let ((outer_from, inner_from_mac), (outer_to, inner_to_mac)) = (vtep(lab, from), vtep(lab, to));
    Forged {
        at: "underlay".to_owned(),
        outer_from,
        outer_to,
        port,
        vni,
        inner_from_mac,
        inner_to_mac,
        inner_from: pod(lab, inner.0, inner.1),
        inner_to: pod(lab, &format!("{to}/p1"), inner.1),
        inner_port: NOBODY,
    }
}

/// Packets that each rule of the node has dropped, by its comment without the digest.
fn drops(lab: &Lab, node: &str) -> BTreeMap<String, u64> {
    let table = in_bed(lab, node, &["nft", "-j", "list", "table", "inet", "causeway"]);
    let table: Value = serde_json::from_str(&table).unwrap();
    let mut drops = BTreeMap::new();
    for rule in table["nftables"].as_array().unwrap().iter().filter_map(|item| item.get("rule")) {
        let statements = rule["expr"].as_array().unwrap();
        if statements.iter().any(|statement| statement.get("drop").is_some()) {
            let packets = statements.iter().find_map(|statement| statement["counter"]["packets"].as_u64());
            let comment = rule["comment"].as_str().unwrap().split(" #").next().unwrap();
            *drops.entry(comment.to_owned()).or_default() += packets.expect("each drop is counted");
        }
    }
    drops
}

/// UDP packets that came to a node or pod on a port where nobody listens, of both families.
fn unheard(lab: &Lab, endpoint: &str) -> u64 {
    let text = in_bed(lab, endpoint, &["cat", "/proc/net/snmp", "/proc/net/snmp6"]);
    let mut udp = text.lines().filter(|line| line.starts_with("Udp:"));
    let (names, values) = (udp.next().unwrap(), udp.next().unwrap());
    let v4 = names.split(' ').zip(values.split(' ')).find(|(name, _)| *name == "NoPorts").unwrap().1;
    let v6 = text.lines().find(|line| line.starts_with("Udp6NoPorts")).unwrap();
    let number = |text: &str| text.trim().parse::<u64>().unwrap();
    number(v4) + number(v6.rsplit(|c: char| c.is_whitespace()).next().unwrap())
}

/// Sends the packet several times to the pod of `node`: that, and only that, becomes of it.
fn assert_fate(lab: &Lab, what: &str, node: &str, packet: &Forged, fate: &Fate) {
    let pod = format!("{node}/p1");
    let counts = || {
        let mut counts: BTreeMap<Fate, u64> = drops(lab, node)
            .into_iter()
            .map(|(comment, packets)| (Fate::Dropped(comment), packets))
            .collect();
        counts.insert(Fate::Delivered, unheard(lab, &pod));
        counts.insert(Fate::NoTunnel, unheard(lab, node));
        counts
    };
    let before = counts();
    for _ in 0..PACKETS {
        lab.forge(packet).unwrap();
    }
    let since = |(fate, now): (Fate, u64)| {
        let before = before.get(&fate).copied().unwrap_or_default();
        (fate, now - before)
    };
    let grown = || counts().into_iter().map(since).collect::<BTreeMap<_, _>>();
    eventually(what, || {
        let grown = grown();
        if grown.get(fate).is_some_and(|packets| *packets >= PACKETS) {
            Ok(())
        } else {
            Err(format!("{grown:?}"))
        }
    });
    let others: Vec<_> =
        grown().into_iter().filter(|(other, packets)| other != fate && *packets >= PACKETS).collect();
    assert!(others.is_empty(), "{what}: {others:?}");
    assert!(*fate == Fate::Delivered || grown()[&Fate::Delivered] == 0, "{what}: some were delivered");
}

fn dropped(comment: &str) -> Fate {
    Fate::Dropped(comment.to_owned())
}

/// Addresses that nobody has: one to send from, one to send to.
fn nobodies(family: Family) -> [IpAddr; 2] {
    match family {
        Family::V4 => ["192.0.2.7", "192.0.2.8"],
        Family::V6 => ["2001:db8::7", "2001:db8::8"],
    }
    .map(address)
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// What it is, the packet, and what is to become of it.
type Case = (&'static str, Forged, Fate);

/// What a node of a P2P cluster gets that is linked to a P2P cluster and to a Gateway cluster; the honest ones first.
fn to_a_node(lab: &Lab, family: Family) -> Vec<Case> {
    let [strange, elsewhere] = nobodies(family);
    let base = honest(lab, BRIDGE, "b/n1", "a/n1", ("b/n1/p1", family));
    let gateway = honest(lab, BRIDGE, "c/gw", "a/n1", ("c/in/p1", family));
    let router = address("192.0.2.9");
    vec![
        ("what a VTEP sends", base.clone(), Fate::Delivered),
        ("what a gateway sends", gateway, Fate::Delivered),
        ("no VTEP", Forged { outer_from: router, ..base.clone() }, dropped("unknown VTEP")),
        (
            "a node of a member that is no VTEP of ours",
            honest(lab, BRIDGE, "c/in", "a/n1", ("c/in/p1", family)),
            dropped("unknown VTEP"),
        ),
        (
            "a node of the own cluster",
            honest(lab, BRIDGE, "a/n2", "a/n1", ("b/n1/p1", family)),
            dropped("unknown VTEP"),
        ),
        ("the other overlay's VNI", Forged { vni: LOCAL.1, ..base.clone() }, dropped("wrong VNI")),
        ("a VNI of nobody", Forged { vni: 0xff_ff_ff, ..base.clone() }, dropped("wrong VNI")),
        (
            "an inner source of nobody",
            Forged { inner_from: strange, ..base.clone() },
            dropped("foreign inner source"),
        ),
        (
            "an inner source of the own cluster",
            Forged { inner_from: pod(lab, "a/n2/p1", family), ..base.clone() },
            dropped("foreign inner source"),
        ),
        (
            "an inner source of another linked cluster",
            Forged { inner_from: pod(lab, "c/in/p1", family), ..base.clone() },
            dropped("foreign inner source"),
        ),
        (
            "the same under the MAC of that one's gateway",
            Forged {
                inner_from: pod(lab, "c/in/p1", family),
                inner_from_mac: vtep(lab, "c/gw").1,
                ..base.clone()
            },
            dropped("unknown VTEP"),
        ),
        (
            "an inner destination of nobody",
            Forged { inner_to: elsewhere, ..base.clone() },
            dropped("foreign inner destination"),
        ),
        (
            "an inner destination of another cluster",
            Forged { inner_to: pod(lab, "c/gw/p1", family), ..base.clone() },
            dropped("foreign inner destination"),
        ),
        (
            "an overlay that the node has no part in",
            Forged { port: LOCAL.0, vni: LOCAL.1, ..base },
            Fate::NoTunnel,
        ),
    ]
}

/// What an internal node of a Gateway cluster gets; the honest one first.
fn to_an_internal_node(lab: &Lab, family: Family) -> Vec<Case> {
    let base = honest(lab, LOCAL, "c/gw", "c/in", ("b/n1/p1", family));
    let [_, nobody] = nobodies(family);
    vec![
        ("what the own gateway passes on", base.clone(), Fate::Delivered),
        (
            "a VTEP of another cluster",
            honest(lab, LOCAL, "b/n1", "c/in", ("b/n1/p1", family)),
            dropped("unknown VTEP"),
        ),
        (
            "an inner destination of nobody",
            Forged { inner_to: nobody, ..base.clone() },
            dropped("foreign inner destination"),
        ),
        ("the other overlay's VNI", Forged { vni: BRIDGE.1, ..base.clone() }, dropped("wrong VNI")),
        (
            "an inner source of the own cluster's pods",
            Forged { inner_from: pod(lab, "c/gw/p1", family), ..base },
            dropped("foreign inner source"),
        ),
        (
            "the overlay between clusters",
            honest(lab, BRIDGE, "b/n1", "c/in", ("b/n1/p1", family)),
            Fate::NoTunnel,
        ),
    ]
}

/// What a gateway gets, over both overlays; an honest one first.
fn to_a_gateway(lab: &Lab, family: Family) -> Vec<Case> {
    let bridge = honest(lab, BRIDGE, "b/n1", "c/gw", ("b/n1/p1", family));
    let local = honest(lab, LOCAL, "c/in", "c/gw", ("c/in/p1", family));
    let [strange, elsewhere] = nobodies(family);
    let (own, remote) = (pod(lab, "c/in/p1", family), pod(lab, "a/n1/p1", family));
    vec![
        ("what another cluster sends", bridge.clone(), Fate::Delivered),
        ("what an own node sends", local.clone(), Fate::Delivered),
        (
            "an own source out of another cluster",
            Forged { inner_from: own, ..bridge.clone() },
            dropped("foreign inner source"),
        ),
        (
            "transit from cluster to cluster",
            Forged { inner_to: remote, ..bridge.clone() },
            dropped("foreign inner destination"),
        ),
        (
            "a node of another cluster as an own one",
            honest(lab, LOCAL, "b/n1", "c/gw", ("b/n1/p1", family)),
            dropped("unknown VTEP"),
        ),
        (
            "an own node as one of another cluster",
            honest(lab, BRIDGE, "c/in", "c/gw", ("b/n1/p1", family)),
            dropped("unknown VTEP"),
        ),
        ("the other VNI from outside", Forged { vni: LOCAL.1, ..bridge }, dropped("wrong VNI")),
        ("the other VNI from inside", Forged { vni: BRIDGE.1, ..local.clone() }, dropped("wrong VNI")),
        (
            "a source of nobody from inside",
            Forged { inner_from: strange, ..local.clone() },
            dropped("foreign inner source"),
        ),
        (
            "a destination of nobody from inside",
            Forged { inner_to: elsewhere, ..local },
            dropped("foreign inner destination"),
        ),
    ]
}

/// The nodes that are sent to, with what each gets.
fn all_cases(lab: &Lab, family: Family) -> [(&'static str, Vec<Case>); 3] {
    [
        ("a/n1", to_a_node(lab, family)),
        ("c/in", to_an_internal_node(lab, family)),
        ("c/gw", to_a_gateway(lab, family)),
    ]
}

#[test]
fn packets_of_somebody_who_does_not_belong_are_dropped_and_counted_by_reason() {
    let lab = well("spoofed", BED);
    for family in Family::BOTH {
        for (node, cases) in all_cases(&lab, family) {
            for (what, packet, fate) in cases {
                assert_fate(&lab, &format!("{family}: {what}"), node, &packet, &fate);
            }
        }
    }
}

/// Those of our drop rules that no packet of this file is about, by chain and comment: `crates/dataplane/tests/nftables/packets.rs` is.
const OF_OTHERS: [(&str, &str); 1] = [("forward", "others into a tunnel")];

/// A drop rule of a node.
#[derive(Debug)]
struct DropRule {
    chain: String,
    comment: String,
    handle: String,
}

fn drop_rules(lab: &Lab, node: &str) -> Vec<DropRule> {
    let mut chain = "";
    let mut rules = Vec::new();
    let table = in_bed(lab, node, &["nft", "-a", "list", "table", "inet", "causeway"]);
    for line in table.lines().map(str::trim) {
        if let Some(name) = line.strip_prefix("chain ") {
            chain = name.split(' ').next().unwrap();
        } else if let Some((_, rest)) = line.split_once(" drop comment \"") {
            let (comment, handle) = rest.split_once(" # handle ").unwrap();
            let comment = comment.split(" #").next().unwrap().trim_end_matches('"').to_owned();
            rules.push(DropRule { chain: chain.to_owned(), comment, handle: handle.to_owned() });
        }
    }
    rules
}

/// Whether the packet is dropped and counted for `comment`. One that is let through follows it, so that it was dealt with.
fn is_dropped(lab: &Lab, node: &str, packet: &Forged, comment: &str, honest: &Forged) -> bool {
    let pod = format!("{node}/p1");
    let counted = || drops(lab, node).get(comment).copied().unwrap_or_default();
    let (before, delivered) = (counted(), unheard(lab, &pod));
    for _ in 0..PACKETS {
        lab.forge(packet).unwrap();
    }
    lab.forge(honest).unwrap();
    eventually("what follows to be delivered", || {
        if unheard(lab, &pod) > delivered { Ok(()) } else { Err("nothing".to_owned()) }
    });
    counted() - before >= PACKETS
}

/// Each rule is taken away alone: the packets above show it.
#[test]
fn each_of_those_rules_is_what_keeps_its_packets_out() {
    let lab = well("loosened", BED);
    let [of_v4, of_v6] = Family::BOTH.map(|family| all_cases(&lab, family));
    for (of_v4, of_v6) in of_v4.into_iter().zip(of_v6) {
        let (node, families) = (of_v4.0, [of_v4.1, of_v6.1]);
        // It would put the rules back.
        lab.node(node).unwrap().agent(Action::Stop).unwrap();
        let keep = "nft -s list table inet causeway >/run/kept.nft";
        in_bed(&lab, node, &["sh", "-ec", keep]);
        let whole = drop_rules(&lab, node);
        assert!(whole.len() > 5, "{whole:?}");
        for at in 0..whole.len() {
            // Numbers are new each time that the table was put back.
            let DropRule { chain, comment, handle } = &drop_rules(&lab, node)[at];
            if OF_OTHERS.contains(&(chain, comment)) {
                continue;
            }
            in_bed(&lab, node, &["nft", "delete", "rule", "inet", "causeway", chain, "handle", handle]);
            let noticed = families.iter().any(|cases| {
                let honest = &cases[0].1;
                let about = cases.iter().filter(|(_, _, fate)| *fate == Fate::Dropped(comment.clone()));
                about.into_iter().any(|(_, packet, _)| !is_dropped(&lab, node, packet, comment, honest))
            });
            assert!(noticed, "{node}: no packet shows that {comment:?} is gone from {chain}");
            let put_back = "{ echo delete table inet causeway; cat /run/kept.nft; } | nft -f -";
            in_bed(&lab, node, &["sh", "-ec", put_back]);
        }
    }
}

/// What lets packets to pods in asks who sent them. Without that question, pods get those of nobody.
#[test]
fn the_origin_in_an_accept_is_what_keeps_foreign_sources_out() {
    let lab = well("origins", BED);
    for family in Family::BOTH {
        let cases = to_a_node(&lab, family);
        let (_, packet, fate) =
            &cases.iter().find(|(what, ..)| *what == "an inner source of nobody").unwrap();
        assert_fate(&lab, "before", "a/n1", packet, fate);
        lab.node("a/n1").unwrap().agent(Action::Stop).unwrap();
        let (ip, set) = if family == Family::V4 { ("ip", "@origins4") } else { ("ip6", "@origins6") };
        let asked = format!("{ip} saddr . ether saddr {set} ");
        let table =
            in_bed(&lab, "a/n1", &["nft", "-a", "list", "chain", "inet", "causeway", "raw_prerouting"]);
        let rule =
            table.lines().find(|line| line.contains(&asked) && line.contains("this node's pods")).unwrap();
        let (rule, handle) = rule.trim().split_once(" # handle ").unwrap();
        let loosened = rule.split(" comment ").next().unwrap().replace(&asked, "");
        let replace = format!("nft 'replace rule inet causeway raw_prerouting handle {handle} {loosened}'");
        in_bed(&lab, "a/n1", &["sh", "-ec", &replace]);
        assert_fate(&lab, "without the question", "a/n1", packet, &Fate::Delivered);
        lab.node("a/n1").unwrap().agent(Action::Start).unwrap();
        eventually("the agent to put it right", || {
            let table = in_bed(&lab, "a/n1", &["nft", "list", "chain", "inet", "causeway", "raw_prerouting"]);
            if table.matches("this node's pods").count() == 2 { Ok(()) } else { Err(table) }
        });
    }
}
