//! Random rulesets after one another: the model does what the kernel does, and one transaction is
//! always enough.

use std::collections::{BTreeMap, BTreeSet};

use causeway_dataplane::Device;
use causeway_dataplane::Overlay;
use causeway_dataplane::nft::foreign::{
    Direction, Fate, ForeignAccept, ForeignChain, ForeignChainId, ForeignRule, ForeignRuleKind, RuleHandle,
    TableFamily,
};
use causeway_dataplane::nft::observed::{ObservedChain, ObservedSet, ObservedTable};
use causeway_dataplane::nft::{
    Action, Address, Base, Chain, ChainType, Change, Digest, Elements, Hook, Match, Origin, Rule, Set,
    SetKind, TableKind,
};
use causeway_model::{Family, Mac, Prefix, PrefixSet};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use std::net::Ipv4Addr;

use super::*;

/// Names are few, so that rulesets have much in common.
const SETS: [(&str, Family, SetKind); 9] = [
    ("a", Family::V4, SetKind::Addresses),
    ("b", Family::V6, SetKind::Addresses),
    ("c", Family::V4, SetKind::Prefixes),
    ("d", Family::V6, SetKind::Prefixes),
    ("e", Family::V4, SetKind::Prefixes),
    ("f", Family::V4, SetKind::Vteps),
    ("g", Family::V6, SetKind::Vteps),
    ("h", Family::V4, SetKind::Origins),
    ("i", Family::V6, SetKind::Origins),
];

/// The `n`th address of a small world that touches both ends of each family's space.
fn nth_address(family: Family, n: u8) -> IpAddr {
    let spread = u32::from(n) << 24 | u32::from(n % 4);
    match family {
        Family::V4 => IpAddr::V4(spread.into()),
        Family::V6 => IpAddr::V6((u128::from(spread) << 96 | u128::from(n)).into()),
    }
}

fn any_elements(family: Family, kind: SetKind) -> BoxedStrategy<Elements> {
    match kind {
        SetKind::Addresses => proptest::collection::btree_set(any::<u8>(), 0..12)
            .prop_map(move |all| {
                let all: BTreeSet<IpAddr> = all.into_iter().map(|n| nth_address(family, n)).collect();
                Elements::Addresses(all.into_iter().collect())
            })
            .boxed(),
        SetKind::Prefixes => proptest::collection::vec((any::<u8>(), 0..40u8), 0..12)
            .prop_map(move |all| {
                let prefix = |(n, length): (u8, u8)| {
                    let length = length.clamp(1, 33).min(family.bits());
                    Prefix::containing(nth_address(family, n), length)
                };
                let set: PrefixSet = all.into_iter().filter_map(prefix).collect();
                Elements::Prefixes(set.as_slice().to_vec())
            })
            .boxed(),
        SetKind::Vteps => proptest::collection::btree_set((any::<u8>(), 0..4u8), 0..12)
            .prop_map(move |all| {
                let vtep = |(n, last): (u8, u8)| {
                    (nth_address(family, n), Mac::of_vtep(Ipv4Addr::new(198, 18, 0, last)))
                };
                let all: BTreeSet<(IpAddr, Mac)> = all.into_iter().map(vtep).collect();
                Elements::Vteps(all.into_iter().collect())
            })
            .boxed(),
        SetKind::Flows => Just(Elements::Flows).boxed(),
        SetKind::Origins => {
            (any_elements(family, SetKind::Prefixes), any_elements(Family::V4, SetKind::Prefixes))
                .prop_map(|both| match both {
                    (Elements::Prefixes(sources), Elements::Prefixes(senders)) => {
                        let of = |sources: Prefix| {
                            senders.iter().map(move |senders| Origin { sources, senders: *senders })
                        };
                        Elements::Origins(sources.into_iter().flat_map(of).collect())
                    }
                    _ => unreachable!("prefixes were asked for"),
                })
                .boxed()
        }
    }
}

fn any_rule(sets: Vec<Set>) -> impl Strategy<Value = Rule> {
    let condition = (any::<prop::sample::Index>(), 0..9u8).prop_map(move |(index, form)| {
        let set = (!sets.is_empty()).then(|| index.get(&sets));
        match (form, set) {
            (_, Some(Set { name, family, elements: Elements::Vteps(_) })) => {
                Match::OtherVtep(*family, name.clone())
            }
            (_, Some(Set { name, family, elements: Elements::Origins(_) })) => {
                if form == 0 {
                    Match::Origin(*family, name.clone())
                } else {
                    Match::OtherOrigin(*family, name.clone())
                }
            }
            (0, Some(set)) => Match::Source(set.family, Address::InSet(set.name.clone())),
            (1, Some(set)) => Match::Source(set.family, Address::NotInSet(set.name.clone())),
            (2 | 3, Some(set)) => Match::Destination(set.family, Address::InSet(set.name.clone())),
            (4, _) => Match::In(Overlay::Bridge),
            (5, _) => Match::NotOut(Overlay::Local),
            (6, _) => Match::Dnat,
            (7, _) => Match::Marked,
            _ => Match::TcpSyn,
        }
    });
    let action = prop_oneof![Just(Action::Accept), Just(Action::Drop), Just(Action::Mark)];
    (proptest::collection::vec(condition, 0..3), action, 0..3u8).prop_map(|(matches, action, n)| Rule {
        matches,
        action,
        comment: format!("rule {n}"),
    })
}

fn any_sets() -> impl Strategy<Value = Vec<Set>> {
    let one = |(name, family, kind): (&'static str, Family, SetKind)| {
        let set = any_elements(family, kind).prop_map(move |elements| Set {
            name: name.to_owned(),
            family,
            elements,
        });
        proptest::option::weighted(0.8, set)
    };
    SETS.map(one).prop_map(|sets| sets.into_iter().flatten().collect())
}

fn any_ruleset() -> impl Strategy<Value = Ruleset> {
    let accepts = proptest::sample::subsequence(every_accept(), 0..=9);
    (any_sets(), accepts).prop_flat_map(|(sets, accepts)| {
        let rules = proptest::collection::vec(any_rule(sets.clone()).boxed(), 0..4);
        let hooks = [Hook::Prerouting, Hook::Input, Hook::Forward];
        // A chain may be at another place from one ruleset to the next.
        let chain = |n: usize| {
            (rules.clone(), proptest::bool::weighted(0.1)).prop_map(move |(rules, moved)| Chain {
                name: format!("chain{n}"),
                base: Base {
                    chain_type: ChainType::Filter,
                    hook: hooks[n],
                    priority: if moved { 7 } else { -300 },
                    devices: Vec::new(),
                },
                rules,
            })
        };
        let chains = [0, 1, 2].map(|n| proptest::option::weighted(0.8, chain(n)));
        (Just(sets), chains, Just(accepts)).prop_map(|(sets, chains, accepts)| Ruleset {
            kind: TableKind::Inet,
            sets,
            chains: chains.into_iter().flatten().collect(),
            accept_in_foreign_forward: accepts,
        })
    })
}

/// Nothing at all, or a ruleset.
fn any_desired() -> impl Strategy<Value = Option<Ruleset>> {
    proptest::option::weighted(0.9, any_ruleset())
}

/// Whatever we let foreign chains accept.
fn every_accept() -> Vec<ForeignAccept> {
    let crossing = |direction| Device::ALL.map(|device| ForeignAccept::Crossing { direction, device });
    [Direction::In, Direction::Out].into_iter().flat_map(crossing).chain([ForeignAccept::Marked]).collect()
}

fn any_foreign() -> impl Strategy<Value = ForeignChain> {
    let accept = proptest::sample::select(every_accept());
    let fate = || prop_oneof![Just(Fate::Accept), Just(Fate::Drop)];
    let kind = prop_oneof![
        4 => proptest::option::weighted(0.9, accept).prop_map(ForeignRuleKind::Ours),
        2 => Just(ForeignRuleKind::Harmless),
        2 => Just(ForeignRuleKind::Restrictive),
        1 => fate().prop_map(ForeignRuleKind::Final),
    ];
    let rules = proptest::collection::vec(kind, 0..12);
    (any::<bool>(), fate(), rules).prop_map(|(inet, policy, kinds)| ForeignChain {
        id: ForeignChainId {
            family: if inet { TableFamily::Inet } else { TableFamily::Ip },
            table: "filter".to_owned(),
            chain: "FORWARD".to_owned(),
        },
        policy,
        rules: kinds
            .into_iter()
            .zip(1..)
            .map(|(kind, n)| ForeignRule { handle: RuleHandle(n), kind })
            .collect(),
    })
}

/// What a kernel may hold: a ruleset of ours, and what others did to it.
fn any_observed() -> impl Strategy<Value = Observed> {
    let drift = proptest::collection::vec((0..6u8, any::<prop::sample::Index>()), 0..4);
    (any_desired(), drift, any_foreign()).prop_map(|(ruleset, drift, foreign)| {
        let mut observed = Observed::default();
        if let Some(transaction) = nft::diff(ruleset.as_ref(), &observed) {
            observed.apply(&transaction).expect("the model takes it");
        }
        observed.foreign_forward = vec![foreign];
        for (kind, index) in drift {
            if let Some(table) = &mut observed.table {
                disturb(table, kind, index);
            }
        }
        observed
    })
}

fn disturb(table: &mut ObservedTable, kind: u8, index: prop::sample::Index) {
    let chains: Vec<String> = table.chains.keys().cloned().collect();
    let chain = (!chains.is_empty()).then(|| index.get(&chains)).and_then(|name| table.chains.get_mut(name));
    match (kind, chain) {
        (0, Some(chain)) => chain.rules.push(None),
        (1, Some(chain)) => chain.rules.reverse(),
        (2, Some(chain)) => chain.base = None,
        (3, _) => table.flagged = true,
        (4, _) => drop(table.sets.insert(SETS[index.index(SETS.len())].0.to_owned(), ObservedSet::Odd)),
        _ => {
            let stray = ObservedChain { base: None, rules: vec![None] };
            table.chains.insert("stray".to_owned(), stray);
        }
    }
}

proptest! {
    #[test]
    fn one_transaction_is_always_enough_and_never_refused(
        observed in any_observed(),
        desired in any_desired(),
    ) {
        let mut after = observed;
        if let Some(transaction) = nft::diff(desired.as_ref(), &after) {
            let result = after.apply(&transaction);
            prop_assert!(result.is_ok(), "{}\n{transaction}", result.unwrap_err());
        }
        prop_assert_eq!(nft::diff(desired.as_ref(), &after).map(|t| t.to_string()), None);
        prop_assert_eq!(after.table.is_some(), desired.is_some());
        let wanted = desired.map_or(0, |d| d.accept_in_foreign_forward.len());
        for chain in &after.foreign_forward {
            let expected = if chain.drops() { wanted } else { 0 };
            prop_assert_eq!(chain.ours().filter(|(_, accept)| accept.is_some()).count(), expected);
            prop_assert_eq!(chain.ours().count(), expected);
        }
    }

    #[test]
    fn what_is_right_is_not_touched(before in any_ruleset(), after in any_ruleset()) {
        let mut observed = Observed::default();
        observed.apply(&nft::diff(Some(&before), &observed).expect("a table to make")).expect("it is made");
        let Some(transaction) = nft::diff(Some(&after), &observed) else {
            return Ok(());
        };
        let moved = transaction.changes().contains(&Change::DeleteTable);
        let old_elements: BTreeMap<&str, &Elements> =
            before.sets.iter().map(|set| (set.name.as_str(), &set.elements)).collect();
        for change in transaction.changes().iter().filter(|_| !moved) {
            match change {
                Change::AddElements { set, elements } => {
                    let old = old_elements.get(set.as_str());
                    prop_assert!(old.is_none_or(|old| elements.without(old) == *elements));
                }
                Change::FlushChain(name) => {
                    let same = |chain: &&Chain| chain.name == *name && before.chains.contains(chain);
                    prop_assert_eq!(after.chains.iter().find(same), None);
                }
                _ => {}
            }
        }
    }
}

#[test]
fn the_model_does_what_the_kernel_does() {
    in_namespace(|| {
        let mut socket = socket();
        let mut model = Observed::default();
        let config = Config { cases: 150, failure_persistence: None, ..Config::default() };
        let mut runner = TestRunner::new(config);
        let socket = std::cell::RefCell::new(&mut socket);
        let model = std::cell::RefCell::new(&mut model);
        let result = runner.run(&any_desired(), |desired| {
            let (socket, model) = (&mut **socket.borrow_mut(), &mut **model.borrow_mut());
            if let Some(transaction) = nft::diff(desired.as_ref(), model) {
                let done = nft::apply(socket, &transaction);
                prop_assert!(done.is_ok(), "{}\n{transaction}", done.unwrap_err());
                model.apply(&transaction).expect("the model takes what the kernel takes");
            }
            let observed = nft::observe(socket).expect("an observation");
            prop_assert_eq!(&observed, &*model);
            Ok(())
        });
        result.unwrap_or_else(|error| panic!("{error}"));
    });
}

#[test]
fn a_digest_that_the_kernel_shows_is_that_of_the_rule() {
    in_namespace(|| {
        let rule = Rule { matches: Vec::new(), action: Action::Accept, comment: "all".to_owned() };
        let base =
            Base { chain_type: ChainType::Filter, hook: Hook::Input, priority: 0, devices: Vec::new() };
        let chain = Chain { name: "only".to_owned(), base, rules: vec![rule.clone()] };
        converge(Some(&Ruleset { chains: vec![chain], ..Ruleset::default() }));
        let table = observe().table.expect("our table");
        assert_eq!(table.chains["only"].rules, [Some(Digest::of(&rule))]);
    });
}
