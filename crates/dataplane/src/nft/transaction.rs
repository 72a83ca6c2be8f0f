//! A change of nftables: all of it is done, or nothing.

use super::foreign::{ForeignAccept, ForeignChainId, RuleHandle};
use super::ruleset::{Base, Elements, Rule, SetKind, TableKind};
use causeway_model::Family;

/// One atomic change of nftables. Written as text that `nft -f -` accepts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transaction {
    /// Which of our tables it speaks of.
    pub(super) table: TableKind,
    /// What is done, in this order; at least one.
    pub(super) changes: Vec<Change>,
}

impl Transaction {
    /// A transaction of these changes to our table `inet` and to foreign chains; `None` if there are none.
    pub fn new(changes: Vec<Change>) -> Option<Transaction> {
        Transaction::of(TableKind::Inet, changes)
    }

    /// A transaction of these changes; `None` if there are none.
    pub fn of(table: TableKind, changes: Vec<Change>) -> Option<Transaction> {
        (!changes.is_empty()).then_some(Transaction { table, changes })
    }

    /// Which of our tables it speaks of.
    pub fn table(&self) -> TableKind {
        self.table
    }

    /// What is done, in order.
    pub fn changes(&self) -> &[Change] {
        &self.changes
    }
}

/// One part of a [`Transaction`]. What is added must not exist (`EEXIST`), what is removed or changed
/// must (`ENOENT`).
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Make our table.
    AddTable,
    /// Remove our table with all that it holds.
    DeleteTable,
    /// Make an empty set.
    AddSet {
        /// Its name.
        name: String,
        /// The family of its elements.
        family: Family,
        /// What it holds.
        kind: SetKind,
    },
    /// Remove a set that no rule uses any more.
    DeleteSet(String),
    /// Add elements to a set.
    AddElements {
        /// The set.
        set: String,
        /// What is added.
        elements: Elements,
    },
    /// Remove elements of a set.
    DeleteElements {
        /// The set.
        set: String,
        /// What is removed.
        elements: Elements,
    },
    /// Remove all flows from a map.
    ForgetFlows(String),
    /// Make an empty base chain of policy accept.
    AddChain {
        /// Its name.
        name: String,
        /// Its type and place.
        base: Base,
    },
    /// Remove all rules of a chain.
    FlushChain(String),
    /// Remove an empty chain.
    DeleteChain(String),
    /// Append a rule.
    AddRule {
        /// The chain.
        chain: String,
        /// The rule.
        rule: Rule,
    },
    /// Let a foreign chain accept what is ours.
    AddAccept {
        /// The chain.
        chain: ForeignChainId,
        /// What it accepts.
        accept: ForeignAccept,
        /// The rule that it goes before; `None`: last.
        before: Option<RuleHandle>,
    },
    /// Remove a rule of ours from a foreign chain.
    DeleteAccept {
        /// The chain.
        chain: ForeignChainId,
        /// The rule.
        rule: RuleHandle,
    },
}
