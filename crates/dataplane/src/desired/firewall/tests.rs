//! Rulesets of each role as text, and which packets each rule is for.

use std::path::Path;

use std::net::Ipv4Addr;

use causeway_model::{
    DualStack, OverlayAddresses, OwnPrefixes, Tunnel, TunnelPair, Tunnels, UdpPort, Vni, Vtep,
};

use super::*;
use crate::nft::{Link, Observed, diff};

fn prefixes(texts: &[&str]) -> Vec<Prefix> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

fn device(name: &str) -> Device {
    Device::from_name(name).unwrap()
}

/// A dual-stack node of cluster `one`, whose pod CIDRs are 10.1.0.0/16 and fd00:1::/56.
pub fn node(role: Role) -> NodePlan {
    let TunnelPair { bridge, local } = TunnelPair::default();
    NodePlan {
        id: "one/n1".parse().unwrap(),
        role,
        vtep: Vtep {
            underlay: DualStack { v4: Some("192.0.2.1".parse().unwrap()), v6: None },
            overlay: OverlayAddresses {
                v4: "198.18.0.1".parse().unwrap(),
                v6: "fd00:c5::1".parse().unwrap(),
            },
            families: Families::DUAL,
        },
        tunnels: Tunnels {
            bridge: (role != Role::Internal).then_some(bridge),
            local: (role != Role::Node).then_some(local),
        },
        own: OwnPrefixes {
            pods: prefixes(&["10.1.0.0/16", "fd00:1::/56"]),
            services: prefixes(&["10.96.0.0/16", "fd00:96::/112"]),
            overlay: prefixes(&["198.18.0.0/24", "fd00:c5::/120"]),
        },
        local_pods: prefixes(&["10.1.1.0/24", "fd00:1:0:1::/64"]),
        translations: Vec::new(),
    }
}

/// What a node has around it.
pub struct Around {
    remote: PrefixSet,
    carried: PrefixSet,
    origins: Vec<Origin>,
    pub devices: BTreeMap<Device, Vxlan>,
    fdb: Table<(Device, Mac), IpAddr>,
}

/// Peers 192.0.2.11 and .12 behind `vx-bridge`, 192.0.2.2 behind `vx-local`.
pub fn around(names: &[&str]) -> Around {
    let vxlan = |name: &&str| {
        let (vni, port) = if name.starts_with("vx-bridge") { (54, 4876) } else { (55, 4877) };
        let local = if name.ends_with('6') { "2001:db8::1" } else { "192.0.2.1" };
        let vxlan = Vxlan {
            vni: Vni(vni),
            port: UdpPort(port),
            local: local.parse().unwrap(),
            learning: false,
            mac: Mac::of_vtep(Ipv4Addr::new(198, 18, 0, 1)),
            mtu: 1450,
            up: true,
        };
        (device(name), vxlan)
    };
    let peers = [
        ("vx-bridge", 11, "192.0.2.11"),
        ("vx-bridge", 12, "192.0.2.12"),
        ("vx-bridge6", 13, "2001:db8::13"),
        ("vx-local", 2, "192.0.2.2"),
    ];
    let peers = peers.iter().filter(|(name, ..)| names.contains(name));
    let peer = |(name, n, underlay): &(&str, u8, &str)| {
        ((device(name), Mac::of_vtep(Ipv4Addr::new(198, 18, 1, *n))), underlay.parse().unwrap())
    };
    let remote = prefixes(&["10.2.0.0/16", "10.97.0.0/16", "198.18.1.0/24", "fd00:2::/56", "fd00:97::/112"]);
    let carried = prefixes(&["10.97.0.0/16", "fd00:97::/112"]);
    let senders = "198.18.1.0/24".parse().unwrap();
    Around {
        origins: remote.iter().map(|sources| Origin { sources: *sources, senders }).collect(),
        remote: remote.into_iter().collect(),
        carried: carried.into_iter().collect(),
        devices: names.iter().map(vxlan).collect(),
        fdb: peers.map(peer).collect(),
    }
}

fn inputs<'a>(node: &'a NodePlan, around: &'a Around, link_mtu: Option<u32>) -> Inputs<'a> {
    let Around { remote, carried, origins, devices, fdb } = around;
    let (families, remote, carried) = (node.vtep.families, remote.clone(), carried.clone());
    let fast = None;
    Inputs { node, families, remote, carried, origins: origins.clone(), devices, fdb, link_mtu, fast }
}

fn ruleset(node: &NodePlan, around: &Around) -> Ruleset {
    firewall(&inputs(node, around, None)).unwrap()
}

/// What a chain of the ruleset says, one line for each rule, without comments.
fn rules(ruleset: &Ruleset, chain: &str) -> Vec<String> {
    let text = ruleset.to_string();
    let body = text.split(&format!("\tchain {chain} {{\n")).nth(1).unwrap_or_default();
    let lines = body.lines().skip(1).take_while(|line| *line != "\t}");
    lines.map(|line| line.trim().split(" comment ").next().unwrap().to_owned()).collect()
}

/// Ends of a fast path for pods of IPv4, and on a gateway for what it passes on.
fn ends(role: Role) -> Ends {
    let end = |name: &str| End {
        link: Link { name: name.to_owned(), index: 7 },
        mac: Mac([2, 0, 0, 0, 0, 7]),
        mtu: 1450,
    };
    let families: Families = [Family::V4].into_iter().collect();
    let from_tunnel = role != Role::Internal;
    let prefixes = prefixes(&["10.1.1.0/24"]);
    let pods = Pods { bridge: end("cni0"), ports: Vec::new(), families, prefixes, from_tunnel };
    let transit = Transit { nodes: "vx-local".to_owned(), cni: Some(end("flannel.1")), families };
    Ends { tunnel: end("vx-bridge"), pods: Some(pods), transit: (role == Role::Gateway).then_some(transit) }
}

/// The first rules of a chain where there is a fast path.
fn with_fast_path(role: Role, devices: &[&str], chain: &str, rules_of_it: usize) -> Vec<String> {
    let (node, around, ends) = (node(role), around(devices), ends(role));
    let inputs = Inputs { fast: Some(&ends), ..inputs(&node, &around, None) };
    let mut rules = rules(&firewall(&inputs).unwrap(), chain);
    rules.truncate(rules_of_it);
    rules
}

const SETTLED: &str = "ct status & (seen-reply|snat|dnat) == seen-reply meta mark set meta mark | 0x00001000";

#[test]
fn what_may_take_the_fast_path_is_marked_before_it_is_let_through() {
    assert_eq!(
        with_fast_path(Role::Node, &["vx-bridge"], "forward", 4),
        [
            "iifgroup != 4876 oifgroup != 4876 accept".to_owned(),
            format!("iif \"cni0\" oifgroup 4876 {SETTLED}"),
            format!("iifgroup 4876 oif \"cni0\" {SETTLED}"),
            "ct status assured accept".to_owned(),
        ]
    );
}

/// There they would accept it.
#[test]
fn it_is_marked_behind_foreign_chains_that_accept_the_mark() {
    let unmark = "meta mark & 0x00001000 == 0x00001000 meta mark set meta mark & 0xffffefff".to_owned();
    let untracked = "ct state untracked meta mark set meta mark | 0x00001000";
    assert_eq!(
        with_fast_path(Role::Gateway, &["vx-bridge", "vx-local"], "filter_postrouting", 9),
        [
            unmark.clone(),
            format!("iifgroup 4877 oifgroup 4876 {untracked}"),
            format!("iifgroup 4876 oif \"flannel.1\" {untracked}"),
            format!("iif \"cni0\" oifgroup 4876 {SETTLED}"),
            format!("iifgroup 4876 oif \"cni0\" {SETTLED}"),
        ]
    );
    assert_eq!(
        with_fast_path(Role::Internal, &["vx-local"], "filter_postrouting", 9),
        [unmark, format!("iif \"cni0\" oifgroup 4877 {SETTLED}")]
    );
    let forward = with_fast_path(Role::Gateway, &["vx-bridge", "vx-local"], "forward", 99);
    assert!(
        !forward.iter().any(|rule| rule.contains("seen-reply") || rule.contains("untracked")),
        "{forward:#?}"
    );
}

#[track_caller]
/// Compares with the file `name`. `CAUSEWAY_REWRITE_GOLDEN=1` in the environment writes it anew.
fn assert_text(ruleset: &Ruleset, name: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/desired/firewall").join(name);
    let text = ruleset.to_string();
    if std::env::var_os("CAUSEWAY_REWRITE_GOLDEN").is_some() {
        std::fs::write(&path, &text).unwrap();
    }
    assert!(text == std::fs::read_to_string(&path).unwrap(), "{text}");
}

#[test]
fn a_node_of_a_p2p_cluster() {
    assert_text(&ruleset(&node(Role::Node), &around(&["vx-bridge"])), "node.nft");
}

#[test]
fn a_gateway() {
    let around = around(&["vx-bridge", "vx-bridge6", "vx-local"]);
    assert_text(&ruleset(&node(Role::Gateway), &around), "gateway.nft");
}

#[test]
fn an_internal_node() {
    assert_text(&ruleset(&node(Role::Internal), &around(&["vx-local"])), "internal.nft");
}

#[test]
fn a_node_whose_pods_are_shown_under_a_global_cidr() {
    let mut node = node(Role::Node);
    let translation = |real: &str, global: &str| Translation {
        real: real.parse().unwrap(),
        global: global.parse().unwrap(),
    };
    node.translations =
        vec![translation("10.1.0.0/16", "100.64.0.0/16"), translation("fd00:1::/56", "fd00:64::/56")];
    assert_text(&ruleset(&node, &around(&["vx-bridge"])), "translated.nft");
}

#[test]
fn a_node_of_a_cluster_whose_cni_gives_nodes_no_prefix() {
    let mut node = node(Role::Node);
    node.local_pods.clear();
    assert_text(&ruleset(&node, &around(&["vx-bridge"])), "cluster_wide.nft");
}

#[test]
fn a_family_that_is_not_used_does_not_come_in() {
    let mut node = node(Role::Node);
    node.vtep.families = [Family::V4].into_iter().collect();
    let ruleset = ruleset(&node, &around(&["vx-bridge"]));
    assert!(rules(&ruleset, "raw_prerouting").contains(&"meta nfproto ipv6 counter drop".to_owned()));
    assert!(ruleset.sets.iter().all(|set| set.family == Family::V4));
    assert!(!rules(&ruleset, "nat_postrouting").iter().any(|rule| rule.contains("ip6")));
}

#[test]
fn segments_fit_the_narrowest_tunnel() {
    let (node, mut around) = (node(Role::Node), around(&["vx-bridge", "vx-bridge6"]));
    around.devices.get_mut(&device("vx-bridge6")).unwrap().mtu = 1430;
    let clamps = |link_mtu| {
        let ruleset = firewall(&inputs(&node, &around, link_mtu)).unwrap();
        rules(&ruleset, "forward")[2..4].to_vec()
    };
    let clamp =
        |family, size| format!("meta nfproto {family} tcp flags syn tcp option maxseg size set {size}");
    assert_eq!(clamps(None), [clamp("ipv4", 1390), clamp("ipv6", 1370)]);
    assert_eq!(clamps(Some(9000)), clamps(None));
    assert_eq!(clamps(Some(1300)), [clamp("ipv4", 1260), clamp("ipv6", 1240)]);
}

#[test]
fn several_pod_prefixes_of_a_node_become_a_set() {
    let mut node = node(Role::Node);
    node.local_pods = prefixes(&["10.1.1.0/26", "10.1.7.64/26"]);
    let ruleset = ruleset(&node, &around(&["vx-bridge"]));
    assert!(ruleset.to_string().contains("elements = { 10.1.1.0/26, 10.1.7.64/26 }"));
    let first = "oifgroup 4876 ip saddr @local_pods4 snat ip to ip saddr";
    assert_eq!(rules(&ruleset, "nat_postrouting")[0], first);
}

#[test]
fn a_packet_that_is_not_ours_leaves_early() {
    for (role, names) in [
        (Role::Node, &["vx-bridge"][..]),
        (Role::Gateway, &["vx-bridge", "vx-local"]),
        (Role::Internal, &["vx-local"]),
    ] {
        let ruleset = ruleset(&node(role), &around(names));
        let exits = |chain: &str| {
            let rules = rules(&ruleset, chain);
            rules.iter().position(|rule| rule.starts_with("iifgroup != ") && rule.ends_with(" accept"))
        };
        // Ahead of it only the rules about the port of each device, and the one that looks where IPv6
        // packets go.
        assert_eq!(exits("raw_prerouting"), Some(names.len() + 1));
        // Ahead of it only, for each family, a rule that a look at the source ends, and the one for known connections.
        let marking = rules(&ruleset, "forward")
            .iter()
            .filter(|rule| rule.starts_with("ip saddr @remote4") || rule.starts_with("ip6 saddr @remote6"))
            .count();
        assert_eq!(marking, if role == Role::Node { 0 } else { 2 });
        assert_eq!(exits("forward"), Some(marking + 1));
        let last = rules(&ruleset, "filter_postrouting");
        assert!(last.is_empty() == (role == Role::Node) && last.len() <= 1);
        let of_ports = |chain: &str| {
            let rules = rules(&ruleset, chain);
            rules.iter().map(|rule| rule.starts_with("udp dport ")).collect::<Vec<_>>()
        };
        assert_eq!(of_ports("raw_input"), vec![true; 2 * names.len()]);
        // Last the rule for IPv6 that the host itself sends.
        assert_eq!(of_ports("raw_output"), [vec![true; names.len()], vec![false]].concat());
    }
}

#[test]
fn packets_are_marked_where_the_cni_may_bring_them_to_the_pods_node() {
    let marks = |node: &NodePlan| {
        let ruleset = ruleset(node, &around(&["vx-bridge"]));
        let rules = rules(&ruleset, "forward");
        let sets = rules.iter().filter(|rule| rule.contains("meta mark set"));
        let sets: Vec<&str> = sets.map(|rule| rule.split(' ').next().unwrap()).collect();
        let accepts = ruleset.accept_in_foreign_forward.contains(&ForeignAccept::Marked);
        assert_eq!(accepts, !sets.is_empty());
        assert_eq!(ruleset.chains.iter().any(|chain| chain.name == "filter_postrouting"), accepts);
        sets.join(" ")
    };
    assert_eq!(marks(&node(Role::Node)), "");
    assert_eq!(marks(&node(Role::Internal)), "ip ip6");
    assert_eq!(marks(&node(Role::Gateway)), "ip ip6");
    // The same cluster may give nodes prefixes of one family and none of the other.
    let mut half = node(Role::Node);
    half.local_pods.truncate(1);
    assert_eq!(marks(&half), "ip6");
    half.own.pods.truncate(1);
    assert_eq!(marks(&half), "");
}

#[test]
fn the_mark_is_gone_before_addresses_are_rewritten() {
    let mut node = node(Role::Gateway);
    let (real, global) = ("10.1.0.0/16".parse().unwrap(), "100.64.0.0/16".parse().unwrap());
    node.translations = vec![Translation { real, global }];
    assert_eq!(
        rules(&ruleset(&node, &around(&["vx-bridge", "vx-local"])), "filter_postrouting"),
        [
            "meta mark & 0x00001000 == 0x00001000 meta mark set meta mark & 0xffffefff",
            "oifgroup != 4876 accept",
            "ip saddr 10.1.0.0/16 ip saddr set ip saddr & 0.0.255.255 | 100.64.0.0",
        ]
    );
}

#[test]
fn a_peer_or_a_link_that_comes_or_goes_changes_elements_only() {
    let node = node(Role::Gateway);
    let full = around(&["vx-bridge", "vx-local"]);
    let mut empty = around(&["vx-bridge", "vx-local"]);
    (empty.remote, empty.carried) = Default::default();
    empty.fdb = Table::default();
    let mut kernel = Observed::default();
    kernel.apply(&diff(Some(&ruleset(&node, &empty)), &kernel).unwrap()).unwrap();
    let change = diff(Some(&ruleset(&node, &full)), &kernel).unwrap().to_string();
    assert!(change.lines().all(|line| line.starts_with("create element")), "{change}");
    assert_eq!(change.lines().count(), 5);
}

#[test]
fn a_node_without_tunnels_has_no_table() {
    assert_eq!(firewall(&inputs(&node(Role::Node), &around(&[]), None)), None);
}

#[test]
fn tunnels_of_other_numbers_are_guarded_too() {
    let (node, mut around) = (node(Role::Node), around(&["vx-bridge"]));
    let Tunnel { port, vni } = Tunnel { vni: Vni(1), port: UdpPort(5000) };
    let vxlan = around.devices.get_mut(&device("vx-bridge")).unwrap();
    (vxlan.port, vxlan.vni) = (port, vni);
    let ruleset = ruleset(&node, &around);
    assert_eq!(
        rules(&ruleset, "raw_input"),
        [
            "udp dport 5000 ip saddr . @th,176,48 != @bridge_vteps4 counter drop",
            "udp dport 5000 meta nfproto ipv4 @th,96,24 != 0x1 counter drop",
        ]
    );
}
