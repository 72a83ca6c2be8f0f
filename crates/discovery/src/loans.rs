//! Borrowed addresses: a pod's address that lies in a block of another node. The borrower announces it, and
//! the lender its block without it. A node announces so many prefixes at most; where that is not enough, an
//! address stays with its block, and the CNI carries its packets from there.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::Prefix;

use crate::node::POD_CIDRS;
use crate::prefixes::{aggregated, without};

/// How many addresses a node announces that it borrowed, at most.
const BORROWED: usize = 16;
/// How many prefixes a node's own blocks may become by what it lends.
const OWN: usize = POD_CIDRS - BORROWED;

/// One borrowed address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loan {
    /// The address.
    pub address: IpAddr,
    /// The node that has the block; none if it is nobody's.
    pub lender: Option<String>,
    /// The node whose pod has the address.
    pub borrower: String,
}

/// Address, and name of the object that says so.
type Key = (IpAddr, String);

/// All loans, by both sides.
#[derive(Debug, Default)]
pub(crate) struct Loans {
    all: BTreeMap<Key, Loan>,
    lent: BTreeMap<String, BTreeSet<Key>>,
    borrowed: BTreeMap<String, BTreeSet<Key>>,
}

fn take(index: &mut BTreeMap<String, BTreeSet<Key>>, node: &str, key: &Key) {
    if let Some(keys) = index.get_mut(node) {
        keys.remove(key);
        if keys.is_empty() {
            index.remove(node);
        }
    }
}

impl Loans {
    /// An object says that this is a loan.
    pub fn insert(&mut self, object: &str, loan: &Loan) {
        let key = (loan.address, object.to_owned());
        self.remove(object, loan.address);
        if let Some(lender) = &loan.lender {
            self.lent.entry(lender.clone()).or_default().insert(key.clone());
        }
        self.borrowed.entry(loan.borrower.clone()).or_default().insert(key.clone());
        self.all.insert(key, loan.clone());
    }

    /// An object says it no more.
    pub fn remove(&mut self, object: &str, address: IpAddr) {
        let key = (address, object.to_owned());
        let Some(loan) = self.all.remove(&key) else { return };
        if let Some(lender) = &loan.lender {
            take(&mut self.lent, lender, &key);
        }
        take(&mut self.borrowed, &loan.borrower, &key);
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    fn of<'a>(
        &'a self,
        index: &'a BTreeMap<String, BTreeSet<Key>>,
        node: &str,
    ) -> impl Iterator<Item = &'a Loan> {
        index.get(node).into_iter().flatten().filter_map(|key| self.all.get(key))
    }

    /// `nodes`, and those whose prefixes may be others when something about `nodes` is another: whoever lends
    /// to one of them, and whoever borrows from one of all these.
    pub fn around(&self, nodes: &BTreeSet<String>) -> BTreeSet<String> {
        let lenders = nodes
            .iter()
            .flat_map(|node| self.of(&self.borrowed, node))
            .filter_map(|loan| loan.lender.clone());
        let lenders: BTreeSet<String> = lenders.chain(nodes.iter().cloned()).collect();
        let borrowers =
            lenders.iter().flat_map(|node| self.of(&self.lent, node)).map(|loan| loan.borrower.clone());
        borrowers.chain(lenders.iter().cloned()).collect()
    }

    /// The node's prefixes, with what it borrowed and without what it lends. `own` says what a node's own blocks
    /// are, sorted and disjoint.
    pub fn settled(&self, node: &str, own: &dyn Fn(&str) -> Vec<Prefix>) -> Vec<Prefix> {
        let (kept, _) = self.lending(node, own);
        let borrowed = self.announced(node, own).into_iter().map(Prefix::host);
        aggregated(kept.into_iter().chain(borrowed))
    }

    /// The addresses that the node announces since it borrowed them.
    fn announced(&self, node: &str, own: &dyn Fn(&str) -> Vec<Prefix>) -> BTreeSet<IpAddr> {
        let mut by_lender: BTreeMap<&str, BTreeSet<IpAddr>> = BTreeMap::new();
        let mut announced = BTreeSet::new();
        for loan in self.wanted(node, own) {
            let is_lent = loan.lender.as_deref().is_none_or(|lender| {
                let lent = by_lender.entry(lender).or_insert_with(|| self.lending(lender, own).1);
                lent.contains(&loan.address)
            });
            if is_lent {
                announced.insert(loan.address);
            }
        }
        announced
    }

    /// The loans that the borrower has room for. Follows from its own blocks and its loans alone, so that lenders can
    /// ask for it.
    fn wanted(&self, borrower: &str, own: &dyn Fn(&str) -> Vec<Prefix>) -> Vec<&Loan> {
        let room = POD_CIDRS.saturating_sub(own(borrower).len()).min(BORROWED);
        self.of(&self.borrowed, borrower).take(room).collect()
    }

    /// What the node keeps of its own blocks, and the addresses that it leaves to others.
    fn lending(&self, node: &str, own: &dyn Fn(&str) -> Vec<Prefix>) -> (Vec<Prefix>, BTreeSet<IpAddr>) {
        let mut kept = own(node);
        let mut lent = BTreeSet::new();
        if kept.len() > OWN {
            return (kept, lent);
        }
        let mut wanted: BTreeMap<&str, Vec<&Loan>> = BTreeMap::new();
        for loan in self.of(&self.lent, node) {
            let by = loan.borrower.as_str();
            if !wanted.entry(by).or_insert_with(|| self.wanted(by, own)).contains(&loan) {
                continue;
            }
            let less = without(&kept, loan.address);
            if less.len() <= OWN {
                kept = less;
                lent.insert(loan.address);
            }
        }
        (kept, lent)
    }

    /// Which nodes borrowed more than there is room for, and how many of these addresses they do not announce.
    pub fn left_out(&self, own: &dyn Fn(&str) -> Vec<Prefix>) -> Vec<(&str, usize)> {
        let of = |(node, keys): (&String, &BTreeSet<Key>)| {
            let addresses: BTreeSet<IpAddr> = keys.iter().map(|(address, _)| *address).collect();
            addresses.len() - self.announced(node, own).len()
        };
        let counts = self.borrowed.iter().map(|(node, keys)| (node.as_str(), of((node, keys))));
        counts.filter(|(_, count)| *count > 0).collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const NODES: [&str; 4] = ["n0", "n1", "n2", "n3"];

    /// Each node has a /26 and, if it has much, 60 blocks that do not join.
    fn own(node: &str, much: &[bool]) -> Vec<Prefix> {
        let Some(place) = NODES.iter().position(|name| *name == node) else { return Vec::new() };
        let base: Prefix = format!("10.{place}.0.0/26").parse().unwrap();
        let more = format!("10.{place}.128.0/17").parse::<Prefix>().unwrap();
        let more = more.subnets(26).step_by(2).take(if much[place] { 60 } else { 0 });
        std::iter::once(base).chain(more).collect()
    }

    fn loans(said: &[(usize, u8, usize)]) -> Loans {
        let mut loans = Loans::default();
        for (lender, at, borrower) in said.iter().filter(|(lender, _, borrower)| lender != borrower) {
            let address = IpAddr::from([10, u8::try_from(*lender).unwrap(), 0, *at]);
            let lender = (*lender < NODES.len()).then(|| NODES[*lender].to_owned());
            loans.insert("block", &Loan { address, lender, borrower: NODES[*borrower].to_owned() });
        }
        loans
    }

    fn settled(loans: &Loans, much: &[bool]) -> Vec<Vec<Prefix>> {
        NODES.map(|node| loans.settled(node, &|node| own(node, much))).to_vec()
    }

    fn any_loans() -> impl Strategy<Value = Vec<(usize, u8, usize)>> {
        prop::collection::vec((0usize..5, 0u8..64, 0usize..4), 0..160)
    }

    proptest! {
        #[test]
        fn no_address_is_announced_twice_none_of_a_block_is_lost_and_no_node_has_too_many(
            said in any_loans(), much in prop::collection::vec(prop::bool::weighted(0.2), 4),
        ) {
            let loans = loans(&said);
            let prefixes = settled(&loans, &much);
            let mut counts = BTreeMap::new();
            for node in &prefixes {
                prop_assert!(node.len() <= POD_CIDRS, "{}", node.len());
                for address in node.iter().filter(|prefix| prefix.len() >= 26).flat_map(|prefix| prefix.subnets(32)) {
                    *counts.entry(address.first()).or_insert(0) += 1;
                }
            }
            prop_assert!(counts.values().all(|count| *count == 1));
            for place in 0..4u8 {
                prop_assert!((0..64).all(|at| counts.contains_key(&IpAddr::from([10, place, 0, at]))));
            }
        }

        #[test]
        fn what_changes_is_around_what_changed(
            said in any_loans(), other in any_loans(), much in prop::collection::vec(any::<bool>(), 4), which in 0usize..4,
        ) {
            let (before, after) = (loans(&said), loans(&[said.clone(), other].concat()));
            let differ = [(&before, &after), (&after, &before)].into_iter().flat_map(|(one, other)| {
                one.all.iter().filter(|(key, loan)| other.all.get(*key) != Some(*loan))
            });
            let differ: BTreeSet<String> =
                differ.flat_map(|(_, loan)| loan.lender.iter().chain([&loan.borrower])).cloned().collect();
            let around: BTreeSet<String> = before.around(&differ).union(&after.around(&differ)).cloned().collect();
            for (place, (one, two)) in settled(&before, &much).iter().zip(settled(&after, &much)).enumerate() {
                prop_assert!(*one == two || around.contains(NODES[place]), "{}", NODES[place]);
            }
            let mut grown = much.clone();
            grown[which] = !grown[which];
            let around = before.around(&[NODES[which].to_owned()].into());
            for (place, (one, two)) in settled(&before, &much).iter().zip(settled(&before, &grown)).enumerate() {
                prop_assert!(*one == two || around.contains(NODES[place]), "{}", NODES[place]);
            }
        }
    }

    #[test]
    fn a_loan_that_is_taken_back_leaves_nothing() {
        let mut loans = loans(&[(0, 5, 1), (0, 6, 2), (4, 7, 1)]);
        let addresses: Vec<IpAddr> = loans.all.keys().map(|(address, _)| *address).collect();
        for address in addresses {
            loans.remove("block", address);
        }
        assert!(loans.all.is_empty() && loans.lent.is_empty() && loans.borrowed.is_empty());
    }

    #[test]
    fn what_there_is_no_room_for_stays_with_its_block_and_is_counted() {
        // Of 20 borrowed ones, 16 are announced by the borrower; scattered ones split more than there is room for.
        let neighbours: Vec<(usize, u8, usize)> = (0..20).map(|at| (0, at, 1)).collect();
        let much = [false; 4];
        assert_eq!(loans(&neighbours).left_out(&|node| own(node, &much)), [("n1", 4)]);
        let scattered: Vec<(usize, u8, usize)> =
            (0..32).map(|at| (0, at * 2, 1 + usize::from(at) % 3)).collect();
        let scattered = loans(&scattered);
        assert!(
            scattered.left_out(&|node| own(node, &much)).is_empty(),
            "32 single addresses are 32 prefixes"
        );
        let full = [false, true, false, false];
        let left: Vec<(&str, usize)> = scattered.left_out(&|node| own(node, &full));
        assert_eq!(left, [("n1", 8)], "61 blocks leave room for 3");
    }
}
