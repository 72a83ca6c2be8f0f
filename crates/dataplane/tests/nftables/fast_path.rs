//! The table of the fast path: what we write is what `nft` makes of our text, and what was changed is found.

use super::*;
use causeway_dataplane::desired::fast_path::{End, Ends, Pods};
use causeway_dataplane::nft::{Action, Link, Origin, Ruleset, SetKind, TableKind};
use causeway_model::{Families, Family, Mac};

fn index_of(name: &str) -> u32 {
    let line = run(&format!("ip -oneline link show dev {name}"));
    line.split(':').next().and_then(|index| index.parse().ok()).expect("an index")
}

fn link(name: &str) -> Link {
    Link { name: name.to_owned(), index: index_of(name) }
}

fn bed() {
    run("ip link add vx-bridge type vxlan id 54 dstport 4876 local 127.0.0.1 nolearning");
    run("ip link add cni0 type bridge");
    for number in 1..=3 {
        run(&format!("ip link add veth{number} type veth peer name pod{number}"));
    }
}

pub fn end(name: &str, mac: Mac) -> End {
    End { link: link(name), mac, mtu: 1450 }
}

/// From these ports of `cni0` to `vx-bridge`, in both families.
pub fn ends(ports: &[&str]) -> Ends {
    let pods = Pods {
        bridge: end("cni0", Mac([2, 0, 0, 0, 0, 7])),
        ports: ports.iter().map(|port| (*port).to_owned()).collect(),
        families: Families::DUAL,
        prefixes: prefixes(&["10.1.1.0/24", "fd00:1:0:1::/64"]),
        from_tunnel: true,
    };
    Ends { tunnel: end("vx-bridge", Mac([2, 0xc5, 0xc6, 0x12, 0, 1])), pods: Some(pods), transit: None }
}

fn desired(ports: &[&str]) -> Ruleset {
    let origin = |sources: &str| Origin { sources: prefix(sources), senders: prefix("198.18.1.0/24") };
    ends(ports).ruleset(&[origin("10.2.0.0/16"), origin("fd00:2::/56")])
}

fn listed() -> String {
    run("nft -s list table netdev causeway")
}

fn without_digests(listing: &str) -> String {
    let line = |line: &str| line.split(" #").next().expect("a part").trim_end_matches('"').to_owned() + "\n";
    listing.lines().map(line).collect()
}

/// Makes the kernel as `desired`, checks that nothing is left to do, and says what was done.
pub fn settle(desired: Option<&Ruleset>) -> String {
    let mut socket = socket();
    let transaction = nft::diff_fast_path(desired, &observe());
    let text = transaction.as_ref().map(ToString::to_string).unwrap_or_default();
    if let Some(transaction) = transaction {
        nft::apply(&mut socket, &transaction).unwrap_or_else(|error| panic!("{error}\n{text}"));
    }
    assert_eq!(nft::diff_fast_path(desired, &observe()).map(|t| t.to_string()), None);
    text
}

/// Runs a test in a network namespace of its own, with links in it.
fn in_bed(test: impl FnOnce() + Send) {
    in_namespace(|| {
        bed();
        test();
    });
}

/// But for the rules that pass flows on, for which `nft` has no words, and the keys of IPv6, for which that of Debian 12 has too few
/// registers.
#[test]
fn netlink_and_text_make_the_same_table() {
    let (mut by_netlink, mut by_text, mut by_ruleset) = (String::new(), String::new(), String::new());
    in_bed(|| {
        let mut desired = desired(&["veth1", "veth2"]);
        for chain in &mut desired.chains {
            chain.rules.retain(|rule| {
                matches!(rule.action, Action::Accept | Action::Unmark | Action::Learn(Family::V4, _))
            });
        }
        settle(Some(&desired));
        by_netlink = listed();
        settle(None);
        assert_eq!(run("nft list ruleset"), "");
        let transaction = nft::diff_fast_path(Some(&desired), &observe()).expect("a transaction");
        nft_text(&transaction.to_string());
        by_text = listed();
        assert_eq!(settle(Some(&desired)), "");
        settle(None);
        nft_text(&desired.to_string());
        by_ruleset = listed();
    });
    assert_eq!(by_netlink, by_text);
    assert_eq!(without_digests(&by_netlink), without_digests(&by_ruleset));
    assert!(by_netlink.contains("devices = { veth1, veth2 }"), "{by_netlink}");
}

#[test]
fn nft_shows_both_families_alike() {
    in_bed(|| {
        settle(Some(&desired(&["veth1"])));
        let listed = without_digests(&listed());
        let of = |words: [&str; 2]| -> Vec<String> {
            let lines = listed.lines().filter(|line| words.iter().any(|word| line.contains(word)));
            let alike = lines.map(|line| {
                let line = line
                    .replace("ip6 nexthdr", "ip protocol")
                    .replace("ip6", "ip")
                    .replace("hoplimit", "ttl");
                line.replace("ip version 4 ip hdrlength 5 ip frag-off & 16383 == 0 ", "")
                    .replace("length <= 1410", "length <= 1450")
                    .replace(" ip flowlabel set 0", "")
            });
            let alike = alike.map(|line| line.replace("bound6", "bound4").replace("origins6", "origins4"));
            // What compensates for the link header in the sum, and where it is put for that.
            alike
                .map(|line| line.split_once(" @nh").map_or(line.clone(), |(before, _)| before.to_owned()))
                .collect()
        };
        let (v4, v6) = (of(["ip protocol", "bound4 {"]), of(["ip6 nexthdr", "bound6 {"]));
        assert_eq!(v4, v6);
        assert_eq!(v6.len(), 12, "{v6:#?}");
    });
}

#[test]
fn a_port_that_comes_or_goes_changes_one_chain_and_what_was_learned_stays() {
    in_bed(|| {
        settle(Some(&desired(&["veth1", "veth2"])));
        let change = settle(Some(&desired(&["veth1", "veth2", "veth3"])));
        let others = change.lines().find(|line| {
            !line.contains("chain netdev causeway from_pods")
                && !line.contains("rule netdev causeway from_pods")
        });
        assert_eq!(others, None, "{change}");
        assert!(listed().contains("devices = { veth1, veth2, veth3 }"));
        // From Linux 6.16 on a chain keeps the name of a device that is gone.
        run("ip link delete veth2");
        settle(Some(&desired(&["veth1", "veth3"])));
        assert!(listed().contains("devices = { veth1, veth3 }"));
    });
}

#[test]
fn a_device_that_was_made_anew_is_used_under_its_new_index() {
    in_bed(|| {
        let ports = ["veth1"];
        settle(Some(&desired(&ports)));
        run("ip link delete vx-bridge");
        run("ip link add vx-bridge type vxlan id 54 dstport 4876 local 127.0.0.1 nolearning");
        let anew = desired(&ports);
        let change = settle(Some(&anew));
        assert!(change.contains("add rule netdev causeway from_pods"), "{change}");
        let mended = listed();
        settle(None);
        settle(Some(&anew));
        assert_eq!(mended, listed());
    });
}

#[test]
fn what_others_changed_is_found() {
    for commands in [
        "flush chain netdev causeway from_tunnel",
        "insert rule netdev causeway to_pods accept",
        "delete element netdev causeway origins4 { 10.2.0.0/16 . 02:c5:c6:12:01:00-02:c5:c6:12:01:ff }",
        "add chain netdev causeway stray",
        "add table netdev causeway { flags dormant; }",
        "delete table netdev causeway",
    ] {
        in_bed(|| {
            let desired = desired(&["veth1"]);
            settle(Some(&desired));
            let right = listed();
            nft_text(commands);
            assert_ne!(settle(Some(&desired)), "", "{commands}");
            assert_eq!(listed(), right, "{commands}");
        });
    }
}

/// How long a flow is let through is how long a policy waits, so a map that keeps them longer is none of ours.
#[test]
fn maps_that_keep_flows_otherwise_are_replaced() {
    const KEY: &str = "typeof ip saddr . ip daddr . ip protocol . @th,0,32";
    for odd in [
        format!("map inbound4 {{ {KEY} : ether daddr; size 65536; flags dynamic,timeout; timeout 1h; }}"),
        format!("map inbound4 {{ {KEY} : ether daddr; size 16; flags dynamic,timeout; timeout 1s; }}"),
        format!("map inbound4 {{ {KEY} : ip daddr; size 65536; flags dynamic,timeout; timeout 1s; }}"),
        format!("set inbound4 {{ {KEY}; size 65536; flags dynamic,timeout; timeout 1s; }}"),
    ] {
        in_bed(|| {
            let desired = desired(&["veth1"]);
            settle(Some(&desired));
            let right = listed();
            settle(None);
            nft_text(&format!("table netdev causeway {{\n{odd}\n}}\n"));
            assert_ne!(settle(Some(&desired)), "", "{odd}");
            assert_eq!(listed(), right, "{odd}");
        });
    }
}

#[test]
fn this_kernel_is_able_to_and_asking_leaves_nothing() {
    in_bed(|| {
        assert_eq!(nft::takes_fast_path(&mut socket()).unwrap(), Some(true));
        assert_eq!(run("nft list ruleset"), "");
        settle(Some(&desired(&["veth1"])));
        let right = listed();
        assert_eq!(nft::takes_fast_path(&mut socket()).unwrap(), Some(true));
        assert_eq!(listed(), right);
        let observed = observe().fast_path.expect("a table");
        let kind = |name: &str| match &observed.sets[name] {
            nft::observed::ObservedSet::Plain { elements, .. } => Some(elements.kind()),
            nft::observed::ObservedSet::Odd => None,
        };
        assert_eq!(kind("inbound4"), Some(SetKind::Flows));
        assert_eq!(kind("outbound6"), Some(SetKind::Flows));
        assert_eq!(desired(&["veth1"]).kind, TableKind::Netdev);
    });
}
