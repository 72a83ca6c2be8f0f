//! What was read of nftables: all of our tables, and the foreign forward chains that concern us.

use std::collections::BTreeMap;

use causeway_model::Family;

use super::digest::Digest;
use super::foreign::ForeignChain;
use super::ruleset::{Base, Elements};

/// What was read of nftables.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Observed {
    /// Our table `inet`, if there is one.
    pub table: Option<ObservedTable>,
    /// Our table `netdev`, if there is one.
    pub fast_path: Option<ObservedTable>,
    /// Base chains of others at the forward hook which drop what they do not know, or which hold
    /// rules of ours.
    pub foreign_forward: Vec<ForeignChain>,
}

/// A table of ours as the kernel holds it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct ObservedTable {
    /// Whether it has flags that we never set, such as `dormant`, which switches it off.
    pub flagged: bool,
    /// Its named sets, whoever made them.
    pub sets: BTreeMap<String, ObservedSet>,
    /// Its chains, whoever made them.
    pub chains: BTreeMap<String, ObservedChain>,
}

/// A named set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ObservedSet {
    /// Of a kind that we make.
    Plain {
        /// The family of its elements.
        family: Family,
        /// Its elements, sorted.
        elements: Elements,
    },
    /// Of another type, or with elements that we never add, such as a range that is no prefix.
    Odd,
}

/// A chain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ObservedChain {
    /// Its type and place; `None` if it is no base chain, has a policy other than accept, or a type
    /// or hook that we never use.
    pub base: Option<Base>,
    /// Its rules in order: the digest that their comment carries. `None` for a rule of somebody else.
    pub rules: Vec<Option<Digest>>,
}
