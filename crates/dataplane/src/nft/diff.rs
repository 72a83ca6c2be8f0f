//! What must change so that nftables is as it should be. Decides only; as little as possible is
//! touched: single elements of sets, whole chains.

use std::collections::{BTreeMap, BTreeSet};

use super::digest::Digest;
use super::foreign::{ForeignAccept, ForeignChain};
use super::observed::{Observed, ObservedChain, ObservedSet, ObservedTable};
use super::ruleset::{Chain, Elements, Rule, Ruleset, Set, TableKind};
use super::transaction::{Change, Transaction};

/// The transaction that turns our table `inet` and foreign chains into `desired`; `None` if there is nothing to do. Without
/// `desired` all that is ours is removed.
pub fn diff(desired: Option<&Ruleset>, observed: &Observed) -> Option<Transaction> {
    let Observed { table, fast_path: _, foreign_forward } = observed;
    let mut changes = Vec::new();
    mend_table(desired, table.as_ref(), &mut changes);
    let accepts = desired.map_or(&[][..], |desired| &desired.accept_in_foreign_forward);
    let wanted: BTreeSet<ForeignAccept> = accepts.iter().copied().collect();
    for chain in foreign_forward {
        mend_foreign(&wanted, chain, &mut changes);
    }
    Transaction::new(changes)
}

/// The same for our table `netdev`. A transaction of its own: it names devices of others, which may be gone by then.
pub fn diff_fast_path(desired: Option<&Ruleset>, observed: &Observed) -> Option<Transaction> {
    let mut changes = Vec::new();
    mend_table(desired, observed.fast_path.as_ref(), &mut changes);
    Transaction::of(TableKind::Netdev, changes)
}

fn mend_table(desired: Option<&Ruleset>, table: Option<&ObservedTable>, changes: &mut Vec<Change>) {
    match (desired, table) {
        (None, None) => {}
        (None, Some(_)) => changes.push(Change::DeleteTable),
        (Some(desired), Some(table)) if can_be_mended(desired, table) => mend(desired, table, changes),
        (Some(desired), table) => {
            // Inside one transaction no packet meets the moment between the two.
            changes.extend(table.is_some().then_some(Change::DeleteTable));
            changes.push(Change::AddTable);
            mend(desired, &ObservedTable::default(), changes);
        }
    }
}

/// Whether everything that has one of our names is what that name should be. Neither a set's type nor
/// a chain's hook can be changed in place; a chain with other devices is made anew.
fn can_be_mended(desired: &Ruleset, table: &ObservedTable) -> bool {
    let Ruleset { kind: _, sets, chains, accept_in_foreign_forward: _ } = desired;
    let set_fits = |set: &Set| match table.sets.get(&set.name) {
        None => true,
        Some(ObservedSet::Odd) => false,
        Some(ObservedSet::Plain { family, elements }) => {
            (*family, elements.kind()) == (set.family, set.elements.kind())
        }
    };
    let chain_fits = |chain: &Chain| {
        let found = table.chains.get(&chain.name);
        found.is_none_or(|found| found.base.as_ref().is_some_and(|base| base.fits(&chain.base)))
    };
    !table.flagged && sets.iter().all(set_fits) && chains.iter().all(chain_fits)
}

/// Sets come first, so that rules find them; what is not wanted goes last, when no rule uses it.
fn mend(desired: &Ruleset, table: &ObservedTable, changes: &mut Vec<Change>) {
    let Ruleset { kind: _, sets, chains, accept_in_foreign_forward: _ } = desired;
    for set in sets {
        mend_set(set, table.sets.get(&set.name), changes);
    }
    for chain in chains {
        let found = table.chains.get(&chain.name);
        mend_chain(chain, found, changes);
        // What was learned at one device says nothing of another.
        if found.is_some_and(|found| found.base.as_ref() != Some(&chain.base)) {
            let learned: BTreeSet<&str> = chain.rules.iter().filter_map(Rule::fills).collect();
            let known = learned.into_iter().filter(|map| table.sets.contains_key(*map));
            changes.extend(known.map(|map| Change::ForgetFlows(map.to_owned())));
        }
    }
    let wanted_chains: BTreeSet<&str> = chains.iter().map(|chain| chain.name.as_str()).collect();
    let wanted_sets: BTreeSet<&str> = sets.iter().map(|set| set.name.as_str()).collect();
    let extra_chains = extra(&table.chains, &wanted_chains);
    // All are emptied before one is removed: they may jump to each other.
    changes.extend(extra_chains.iter().cloned().map(Change::FlushChain));
    changes.extend(extra(&table.sets, &wanted_sets).into_iter().map(Change::DeleteSet));
    changes.extend(extra_chains.into_iter().map(Change::DeleteChain));
}

fn extra<T>(found: &BTreeMap<String, T>, wanted: &BTreeSet<&str>) -> Vec<String> {
    found.keys().filter(|name| !wanted.contains(name.as_str())).cloned().collect()
}

fn mend_set(set: &Set, found: Option<&ObservedSet>, changes: &mut Vec<Change>) {
    let Set { name, family, elements: wanted } = set;
    let none = Elements::none(wanted.kind());
    let present = match found {
        Some(ObservedSet::Plain { elements, .. }) => elements,
        Some(ObservedSet::Odd) | None => {
            changes.push(Change::AddSet { name: name.clone(), family: *family, kind: wanted.kind() });
            &none
        }
    };
    let (gone, new) = (present.without(wanted), wanted.without(present));
    if !gone.is_empty() {
        changes.push(Change::DeleteElements { set: name.clone(), elements: gone });
    }
    if !new.is_empty() {
        changes.push(Change::AddElements { set: name.clone(), elements: new });
    }
}

fn mend_chain(chain: &Chain, found: Option<&ObservedChain>, changes: &mut Vec<Change>) {
    let Chain { name, base, rules } = chain;
    match found {
        None => changes.push(Change::AddChain { name: name.clone(), base: base.clone() }),
        Some(found) if found.base.as_ref() != Some(base) => {
            changes.extend((!found.rules.is_empty()).then(|| Change::FlushChain(name.clone())));
            changes.push(Change::DeleteChain(name.clone()));
            changes.push(Change::AddChain { name: name.clone(), base: base.clone() });
        }
        Some(found) if found.rules.iter().copied().eq(rules.iter().map(|rule| Some(Digest::of(rule)))) => {
            return;
        }
        Some(found) if found.rules.is_empty() => {}
        Some(_) => changes.push(Change::FlushChain(name.clone())),
    }
    changes.extend(rules.iter().cloned().map(|rule| Change::AddRule { chain: name.clone(), rule }));
}

fn mend_foreign(wanted: &BTreeSet<ForeignAccept>, chain: &ForeignChain, changes: &mut Vec<Change>) {
    let mut missing = if chain.drops() { wanted.clone() } else { BTreeSet::new() };
    let mut superfluous = Vec::new();
    for (rule, accept) in chain.ours() {
        if !accept.is_some_and(|accept| missing.remove(&accept)) {
            superfluous.push(rule);
        }
    }
    let before = chain.insert_before();
    changes.extend(missing.into_iter().map(|accept| Change::AddAccept {
        chain: chain.id.clone(),
        accept,
        before,
    }));
    changes
        .extend(superfluous.into_iter().map(|rule| Change::DeleteAccept { chain: chain.id.clone(), rule }));
}
