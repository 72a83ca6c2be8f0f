//! What a transaction does to a state held in memory, with the kernel's refusals.

use std::collections::BTreeMap;
use std::io;

use super::digest::Digest;
use super::foreign::{ForeignRule, ForeignRuleKind, RuleHandle};
use super::observed::{Observed, ObservedChain, ObservedSet, ObservedTable};
use super::ruleset::{Address, Elements, Match, Rule, TableKind};
use super::transaction::{Change, Transaction};
use crate::kernel::KernelError;

impl Observed {
    /// Does what the kernel would do. A transaction that is refused changes nothing.
    ///
    /// # Errors
    /// [`KernelError::Refused`] with `EEXIST` if something added is there, `ENOENT` if something
    /// removed or named is not, `EBUSY` if a chain to be removed has rules.
    pub fn apply(&mut self, transaction: &Transaction) -> Result<(), KernelError> {
        let mut next = self.clone();
        for change in transaction.changes() {
            next.change(transaction.table(), change).map_err(|errno| KernelError::Refused {
                operation: "nftables transaction",
                source: io::Error::from_raw_os_error(errno),
                detail: format!(": {}", change.summary(transaction.table())),
            })?;
        }
        *self = next;
        Ok(())
    }

    fn change(&mut self, kind: TableKind, change: &Change) -> Result<(), i32> {
        let table = match kind {
            TableKind::Inet => &mut self.table,
            TableKind::Netdev => &mut self.fast_path,
        };
        match change {
            Change::AddTable if table.is_some() => Err(libc::EEXIST),
            Change::AddTable => {
                *table = Some(ObservedTable::default());
                Ok(())
            }
            Change::DeleteTable => table.take().map(drop).ok_or(libc::ENOENT),
            Change::AddAccept { chain, accept, before } => {
                let fresh = self.foreign_forward.iter().flat_map(|c| &c.rules).map(|r| r.handle.0).max();
                let handle = RuleHandle(fresh.unwrap_or(0) + 1);
                let chain = self.foreign_forward.iter_mut().find(|c| c.id == *chain).ok_or(libc::ENOENT)?;
                let place = match before {
                    None => chain.rules.len(),
                    Some(rule) => position(&chain.rules, *rule)?,
                };
                let kind = ForeignRuleKind::Ours(Some(*accept));
                chain.rules.insert(place, ForeignRule { handle, kind });
                Ok(())
            }
            Change::DeleteAccept { chain, rule } => {
                let chain = self.foreign_forward.iter_mut().find(|c| c.id == *chain).ok_or(libc::ENOENT)?;
                let place = position(&chain.rules, *rule)?;
                chain.rules.remove(place);
                Ok(())
            }
            _ => table.as_mut().ok_or(libc::ENOENT)?.change(change),
        }
    }
}

fn position(rules: &[ForeignRule], handle: RuleHandle) -> Result<usize, i32> {
    rules.iter().position(|rule| rule.handle == handle).ok_or(libc::ENOENT)
}

impl ObservedTable {
    fn change(&mut self, change: &Change) -> Result<(), i32> {
        match change {
            Change::AddSet { name, family, kind } => {
                let set = ObservedSet::Plain { family: *family, elements: Elements::none(*kind) };
                insert(&mut self.sets, name, set)
            }
            Change::DeleteSet(name) => self.sets.remove(name).map(drop).ok_or(libc::ENOENT),
            Change::AddElements { set, elements } => self.elements(set)?.add(elements),
            Change::DeleteElements { set, elements } => self.elements(set)?.remove(elements),
            Change::ForgetFlows(map) => match self.elements(map)? {
                Elements::Flows => Ok(()),
                _ => Err(libc::EINVAL),
            },
            Change::AddChain { name, base } => {
                insert(&mut self.chains, name, ObservedChain { base: Some(base.clone()), rules: Vec::new() })
            }
            Change::FlushChain(name) => {
                self.chains.get_mut(name).ok_or(libc::ENOENT)?.rules.clear();
                Ok(())
            }
            Change::DeleteChain(name) => match self.chains.get(name) {
                None => Err(libc::ENOENT),
                Some(chain) if !chain.rules.is_empty() => Err(libc::EBUSY),
                Some(_) => {
                    self.chains.remove(name);
                    Ok(())
                }
            },
            Change::AddRule { chain, rule } => {
                if sets_of(rule).chain(rule.fills()).any(|set| !self.sets.contains_key(set)) {
                    return Err(libc::ENOENT);
                }
                let chain = self.chains.get_mut(chain).ok_or(libc::ENOENT)?;
                chain.rules.push(Some(Digest::of(rule)));
                Ok(())
            }
            Change::AddTable | Change::DeleteTable => Err(libc::EINVAL),
            Change::AddAccept { .. } | Change::DeleteAccept { .. } => Err(libc::EINVAL),
        }
    }

    fn elements(&mut self, set: &str) -> Result<&mut Elements, i32> {
        match self.sets.get_mut(set) {
            Some(ObservedSet::Plain { elements, .. }) => Ok(elements),
            Some(ObservedSet::Odd) => Err(libc::EINVAL),
            None => Err(libc::ENOENT),
        }
    }
}

fn insert<T>(found: &mut BTreeMap<String, T>, name: &str, value: T) -> Result<(), i32> {
    match found.insert(name.to_owned(), value) {
        None => Ok(()),
        Some(_) => Err(libc::EEXIST),
    }
}

/// Names of the sets that a rule looks up.
fn sets_of(rule: &Rule) -> impl Iterator<Item = &str> {
    rule.matches.iter().filter_map(|condition| match condition {
        Match::Source(_, Address::InSet(set) | Address::NotInSet(set))
        | Match::Destination(_, Address::InSet(set) | Address::NotInSet(set))
        | Match::Origin(_, set)
        | Match::OtherOrigin(_, set)
        | Match::OtherVtep(_, set)
        | Match::Flow(_, set) => Some(set.as_str()),
        _ => None,
    })
}

impl Elements {
    fn add(&mut self, new: &Elements) -> Result<(), i32> {
        match (self, new) {
            (Elements::Addresses(all), Elements::Addresses(new)) => add(all, new, |a, b| a == b),
            (Elements::Prefixes(all), Elements::Prefixes(new)) => add(all, new, |a, b| a.overlaps(b)),
            (Elements::Vteps(all), Elements::Vteps(new)) => add(all, new, |a, b| a == b),
            (Elements::Origins(all), Elements::Origins(new)) => {
                if new.iter().any(|a| all.iter().any(|b| a.overlaps(b))) {
                    return Err(libc::EEXIST);
                }
                add(all, new, |a, b| a == b)
            }
            (Elements::Flows, Elements::Flows) => Ok(()),
            _ => Err(libc::EINVAL),
        }
    }

    fn remove(&mut self, gone: &Elements) -> Result<(), i32> {
        if !gone.without(self).is_empty() {
            return Err(libc::ENOENT);
        }
        *self = self.without(gone);
        Ok(())
    }
}

/// Adds `new` to `all`. Two that clash may not be in one set: equal addresses, overlapping prefixes.
fn add<T: Ord + Copy>(all: &mut Vec<T>, new: &[T], clash: impl Fn(&T, &T) -> bool) -> Result<(), i32> {
    all.extend_from_slice(new);
    all.sort_unstable();
    if all.windows(2).any(|pair| clash(&pair[0], &pair[1])) { Err(libc::EEXIST) } else { Ok(()) }
}
