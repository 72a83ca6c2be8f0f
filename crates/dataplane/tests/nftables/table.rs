//! Our table: what we write is what `nft` makes of our text, and what was changed is found.

use super::*;
use causeway_dataplane::Overlay;
use causeway_dataplane::nft::{
    Action, Address, Base, Chain, ChainType, Elements, Hook, Link, Match, Origin, Rule, Set, TableKind,
    Transaction,
};
use causeway_model::{Family, Mac, UdpPort, Vni};
use std::net::Ipv4Addr;

fn rule(matches: Vec<Match>, action: Action) -> Rule {
    Rule { matches, action, comment: "why".to_owned() }
}

fn chain(name: &str, chain_type: ChainType, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    Chain { name: name.to_owned(), base: Base { chain_type, hook, priority, devices: Vec::new() }, rules }
}

fn set(name: &str, family: Family, elements: Elements) -> Set {
    Set { name: name.to_owned(), family, elements }
}

/// A prefix of each length that is encoded differently, of one family.
fn samples(family: Family) -> Vec<Prefix> {
    match family {
        Family::V4 => prefixes(&["10.0.0.0/8", "10.1.0.0/16", "10.1.1.0/24", "10.1.1.1/32", "10.1.0.0/18"]),
        Family::V6 => prefixes(&["fd00::/8", "fd00:1::/32", "fd00:1::/64", "fd00:1::1/128", "fd00:1::/61"]),
    }
}

fn loopback() -> Link {
    Link { name: "lo".to_owned(), index: 1 }
}

fn every_match(family: Family) -> Vec<Match> {
    let digit = if family == Family::V4 { '4' } else { '6' };
    let mut all = vec![
        Match::In(Overlay::Bridge),
        Match::NotIn(Overlay::Local),
        Match::Out(Overlay::Local),
        Match::NotOut(Overlay::Bridge),
        Match::Of(family),
        Match::UdpTo(UdpPort(4876)),
        Match::OtherVni(Vni(54)),
        Match::OtherVni(Vni(0xff_00_01)),
        Match::Assured,
        Match::Settled,
        Match::Untracked,
        Match::InFrom(loopback()),
        Match::OutTo(loopback()),
        Match::TcpSyn,
        Match::Dnat,
        Match::Marked,
        Match::Unmarked,
    ];
    let named = |name: &str| format!("{name}{digit}");
    let mut addresses = vec![
        Address::InSet(named("prefixes")),
        Address::NotInSet(named("prefixes")),
        Address::InSet(named("addresses")),
        Address::NotInSet(named("addresses")),
    ];
    addresses.extend(samples(family).into_iter().map(Address::Within));
    addresses.extend(samples(family).into_iter().map(Address::Outside));
    for address in addresses {
        all.push(Match::Source(family, address.clone()));
        all.push(Match::Destination(family, address));
    }
    all
}

/// These sources, each from two blocks of nodes and one single node.
fn origins(sources: &str) -> Vec<Origin> {
    let senders = prefixes(&["198.18.1.0/24", "198.18.4.0/22", "198.19.0.1/32"]);
    let sources = sources.split(' ').map(prefix);
    sources
        .flat_map(|sources| senders.iter().map(move |senders| Origin { sources, senders: *senders }))
        .collect()
}

fn vteps(addresses: &[&str]) -> Vec<(IpAddr, Mac)> {
    let mac = |n| Mac::of_vtep(Ipv4Addr::new(198, 18, 0, n));
    (1..).zip(addresses).map(|(n, of)| (address(of), mac(n))).collect()
}

/// One rule for every form of condition and action, for both families.
fn everything() -> Ruleset {
    let (mut filter, mut nat) = (Vec::new(), Vec::new());
    for family in Family::BOTH {
        let of = || vec![Match::Of(family)];
        filter.extend(every_match(family).into_iter().map(|m| rule(vec![m], Action::Drop)));
        filter.push(rule(every_match(family)[..4].to_vec(), Action::Accept));
        filter.push(rule(
            vec![
                Match::UdpTo(UdpPort(4877)),
                Match::Source(family, Address::Within(samples(family)[1])),
                Match::Destination(family, Address::Outside(samples(family)[2])),
            ],
            Action::NoTrack,
        ));
        filter.push(rule(vec![Match::UdpTo(UdpPort(4877))], Action::AcceptUntracked));
        filter.push(rule(vec![Match::Of(family), Match::TcpSyn], Action::ClampMss(1360)));
        filter.push(rule(Vec::new(), Action::ClearFlowLabel));
        filter.push(rule(of(), Action::Mark));
        filter.push(rule(vec![Match::Marked], Action::Unmark));
        for prefix in samples(family) {
            let matches = vec![Match::Source(family, Address::Within(prefix))];
            filter.push(rule(matches, Action::RewriteSource(prefix, prefix)));
            let matches = vec![Match::Destination(family, Address::Within(prefix))];
            filter.push(rule(matches, Action::RewriteDestination(prefix, prefix)));
        }
        filter.push(rule(Vec::new(), Action::RewriteDestination(samples(family)[2], samples(family)[2])));
        nat.push(rule(Vec::new(), Action::KeepSource(family)));
        nat.push(rule(
            vec![Match::Out(Overlay::Bridge), Match::Source(family, Address::Within(samples(family)[1]))],
            Action::KeepSource(family),
        ));
        nat.push(rule(of(), Action::SnatTo(samples(family)[3].first())));
    }
    nat.push(rule(vec![Match::Dnat], Action::Masquerade));
    let arriving = Family::BOTH.into_iter().flat_map(|family| {
        let digit = if family == Family::V4 { '4' } else { '6' };
        let vteps = Match::OtherVtep(family, format!("vteps{digit}"));
        let origins = format!("origins{digit}");
        let (origin, other) = (Match::Origin(family, origins.clone()), Match::OtherOrigin(family, origins));
        [
            rule(vec![Match::UdpTo(UdpPort(4877)), vteps], Action::Drop),
            rule(vec![Match::In(Overlay::Bridge), other], Action::Drop),
            rule(vec![Match::In(Overlay::Bridge), origin], Action::AcceptUntracked),
        ]
    });
    let arriving = arriving.collect();
    let filter_at =
        |name: &str, hook, priority| chain(name, ChainType::Filter, hook, priority, filter.clone());
    Ruleset {
        kind: TableKind::Inet,
        sets: vec![
            set(
                "addresses4",
                Family::V4,
                Elements::Addresses(vec![address("192.0.2.1"), address("192.0.2.9")]),
            ),
            set("addresses6", Family::V6, Elements::Addresses(vec![address("2001:db8::1")])),
            set("empty", Family::V6, Elements::Prefixes(Vec::new())),
            set("origins4", Family::V4, Elements::Origins(origins("10.1.0.0/16 10.2.0.1/32"))),
            set("origins6", Family::V6, Elements::Origins(origins("fd00::/64 fd01::/61"))),
            set(
                "prefixes4",
                Family::V4,
                Elements::Prefixes(prefixes(&[
                    "0.0.0.0/8",
                    "10.0.0.0/16",
                    "10.1.0.0/16",
                    "10.9.0.1/32",
                    "255.0.0.0/8",
                ])),
            ),
            set("prefixes6", Family::V6, Elements::Prefixes(prefixes(&["fd00::/64", "fd00:0:0:1::/64"]))),
            set("vteps4", Family::V4, Elements::Vteps(vteps(&["192.0.2.1", "192.0.2.9"]))),
            set("vteps6", Family::V6, Elements::Vteps(vteps(&["2001:db8::1"]))),
        ],
        chains: vec![
            filter_at("arriving", Hook::Prerouting, -300),
            chain("judged", ChainType::Filter, Hook::Prerouting, -290, arriving),
            filter_at("for_us", Hook::Input, -300),
            filter_at("passing", Hook::Forward, -150),
            filter_at("from_us", Hook::Output, -300),
            chain(
                "routed",
                ChainType::Route,
                Hook::Output,
                -150,
                vec![rule(Vec::new(), Action::ClearFlowLabel)],
            ),
            chain("leaving", ChainType::Nat, Hook::Postrouting, 99, nat),
            filter_at("last", Hook::Postrouting, 200),
        ],
        accept_in_foreign_forward: Vec::new(),
    }
}

fn without_digests(listing: &str) -> String {
    listing
        .lines()
        .map(|line| line.split(" #").next().expect("a part").trim_end_matches('"').to_owned() + "\n")
        .collect()
}

#[test]
fn netlink_and_text_make_the_same_table() {
    let desired = everything();
    let transaction = nft::diff(Some(&desired), &Observed::default()).expect("a transaction");
    let (mut by_netlink, mut by_text, mut by_ruleset) = (String::new(), String::new(), String::new());
    in_namespace(|| {
        converge(Some(&desired));
        by_netlink = listing();
    });
    in_namespace(|| {
        nft_text(&transaction.to_string());
        by_text = listing();
        // What `nft` made of the text is right in our eyes too.
        converge(Some(&desired));
        assert_eq!(nft::diff(Some(&desired), &observe()), None);
    });
    in_namespace(|| {
        nft_text(&desired.to_string());
        by_ruleset = listing();
    });
    assert_eq!(by_netlink, by_text);
    assert_eq!(without_digests(&by_netlink), without_digests(&by_ruleset));
    assert!(by_netlink.lines().count() > 400, "{by_netlink}");
}

#[test]
fn a_table_that_is_no_more_wanted_goes_and_leaves_nothing() {
    in_namespace(|| {
        nft_text("table ip other { chain input { type filter hook input priority 0; policy drop; }\n }");
        let before = run("nft list ruleset");
        converge(Some(&everything()));
        assert_ne!(run("nft list ruleset"), before);
        converge(None);
        assert_eq!(run("nft list ruleset"), before);
    });
}

/// Breaks our table with `commands` and repairs it; returns the repair.
fn repair(commands: &str) -> Transaction {
    let mut repair = None;
    in_namespace(|| {
        let desired = everything();
        converge(Some(&desired));
        let right = listing();
        nft_text(commands);
        assert_ne!(listing(), right, "{commands}");
        repair = nft::diff(Some(&desired), &observe());
        assert!(repair.is_some(), "not noticed: {commands}");
        converge(Some(&desired));
        assert_eq!(listing(), right, "{commands}");
    });
    repair.expect("a repair")
}

#[test]
fn elements_that_were_changed_are_repaired_one_by_one() {
    let text = |commands: &str| repair(commands).to_string();
    assert_eq!(
        text("delete element inet causeway addresses4 { 192.0.2.9 }"),
        "create element inet causeway addresses4 { 192.0.2.9 }\n"
    );
    assert_eq!(
        text("add element inet causeway prefixes4 { 172.16.0.0/12 }"),
        "delete element inet causeway prefixes4 { 172.16.0.0/12 }\n"
    );
    assert_eq!(
        text("flush set inet causeway prefixes6"),
        "create element inet causeway prefixes6 { fd00::/64, fd00:0:0:1::/64 }\n"
    );
    assert_eq!(
        text("delete element inet causeway prefixes4 { 10.0.0.0/16 }"),
        "create element inet causeway prefixes4 { 10.0.0.0/16 }\n"
    );
    assert_eq!(
        text("delete element inet causeway prefixes4 { 255.0.0.0/8 }"),
        "create element inet causeway prefixes4 { 255.0.0.0/8 }\n"
    );
}

#[test]
fn a_chain_whose_rules_were_touched_is_written_anew_and_no_other() {
    let index = "index 3";
    for commands in [
        "flush chain inet causeway leaving".to_owned(),
        "add rule inet causeway leaving counter".to_owned(),
        "insert rule inet causeway leaving ct state invalid drop".to_owned(),
        format!("add rule inet causeway leaving {index} counter comment \"why #00000000\""),
    ] {
        let repair = repair(&commands).to_string();
        let other = repair.lines().find(|line| {
            !line.contains("chain inet causeway leaving")
                && !line.starts_with("add rule inet causeway leaving")
        });
        assert_eq!(other, None, "{commands}");
    }
}

#[test]
fn removed_replaced_reordered_and_doubled_rules_are_found() {
    in_namespace(|| {
        let desired = everything();
        let handles = || -> Vec<String> {
            let text = run("nft -a list chain inet causeway leaving");
            let after = |line: &str| line.split_once("# handle ").map(|(_, handle)| handle.to_owned());
            text.lines().filter(|line| line.contains("why")).filter_map(after).collect()
        };
        let rule_text = |line: usize| -> String {
            let text = run("nft list chain inet causeway leaving");
            text.lines().filter(|line| line.contains("why")).nth(line).expect("a rule").trim().to_owned()
        };
        converge(Some(&desired));
        let right = listing();
        let breaks: [&dyn Fn() -> String; 4] = [
            &|| format!("delete rule inet causeway leaving handle {}", handles()[2]),
            &|| format!("replace rule inet causeway leaving handle {} counter", handles()[0]),
            &|| format!("add rule inet causeway leaving {}", rule_text(0)),
            &|| {
                let (first, text) = (&handles()[0], rule_text(0));
                format!(
                    "delete rule inet causeway leaving handle {first}\nadd rule inet causeway leaving {text}"
                )
            },
        ];
        for commands in breaks {
            let commands = commands();
            nft_text(&commands);
            assert!(nft::diff(Some(&desired), &observe()).is_some(), "not noticed: {commands}");
            converge(Some(&desired));
            assert_eq!(listing(), right);
        }
    });
}

#[test]
fn what_others_put_into_our_table_goes() {
    for commands in [
        "add chain inet causeway stray",
        "add set inet causeway stray { type inet_service; }",
        "add map inet causeway stray { type ipv4_addr : verdict; }",
        "add chain inet causeway a\nadd chain inet causeway b\nadd rule inet causeway a jump b\nadd rule inet causeway leaving jump a",
        "add chain inet causeway stray { type filter hook input priority 0; policy drop; }",
    ] {
        assert!(!repair(commands).to_string().contains("delete table"), "{commands}");
    }
}

/// As agents before counters left them.
#[test]
fn sets_of_origins_that_do_not_count_are_replaced() {
    in_namespace(|| {
        let desired = everything();
        converge(Some(&desired));
        let right = listing();
        let old = desired.to_string().replace("\t\tcounter\n", "");
        nft_text(&format!("delete table inet causeway\n{old}"));
        let repair = nft::diff(Some(&desired), &observe()).expect("a repair").to_string();
        assert!(repair.starts_with("delete table inet causeway\n"), "{repair}");
        converge(Some(&desired));
        assert_eq!(listing(), right);
    });
}

#[test]
fn what_cannot_be_changed_in_place_is_replaced_in_one_transaction() {
    for commands in [
        "add element inet causeway prefixes4 { 172.16.0.1-172.16.0.7 }",
        "add table inet causeway { flags dormant; }",
        "flush chain inet causeway leaving\ndelete chain inet causeway leaving\nadd chain inet causeway leaving",
        "add chain inet causeway passing { type filter hook forward priority -150; policy drop; }",
        "delete set inet causeway empty\nadd set inet causeway empty { type inet_service; }",
    ] {
        assert!(repair(commands).to_string().starts_with("delete table"), "{commands}");
    }
}

#[test]
fn large_sets_go_in_one_transaction_and_come_back_whole() {
    in_namespace(|| {
        let host = |n: u32| IpAddr::V4((0x0a00_0000 + n * 3).into());
        let net = |n: u128| {
            Prefix::containing(IpAddr::V6(((0xfd00u128 << 112) + (n << 64)).into()), 64).expect("a prefix")
        };
        let ruleset = |addresses: u32, prefixes: u128| Ruleset {
            sets: vec![
                set("hosts", Family::V4, Elements::Addresses((0..addresses).map(host).collect())),
                set("nets", Family::V6, Elements::Prefixes((0..prefixes).map(net).collect())),
            ],
            ..Ruleset::default()
        };
        // A hash set of this size still grows while it is read back.
        converge(Some(&ruleset(100_000, 5000)));
        let observed = observe();
        let smaller = ruleset(99_999, 4999);
        let transaction = nft::diff(Some(&smaller), &observed).expect("a transaction");
        assert_eq!(transaction.changes().len(), 2);
        converge(Some(&smaller));
        converge(Some(&ruleset(0, 0)));
    });
}

#[test]
fn a_transaction_that_is_refused_changes_nothing_and_says_what_was_refused() {
    in_namespace(|| {
        converge(Some(&everything()));
        let before = listing();
        let mut wider = everything();
        wider.sets.push(set("new", Family::V4, Elements::Prefixes(prefixes(&["10.0.0.0/8"]))));
        let transaction = nft::diff(Some(&wider), &observe()).expect("a transaction");
        let transaction = Transaction::new(
            transaction
                .changes()
                .iter()
                .cloned()
                .chain([nft::Change::DeleteSet("absent".to_owned())])
                .collect(),
        );
        let error = nft::apply(&mut socket(), &transaction.expect("changes")).expect_err("it is refused");
        assert!(error.to_string().contains("delete set inet causeway absent"), "{error}");
        assert_eq!(listing(), before);
    });
}
