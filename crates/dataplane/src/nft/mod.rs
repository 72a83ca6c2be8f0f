//! Our nftables table, and the rules that must stand in foreign forward chains.
//!
//! ```text
//! Ruleset ─┐
//!          ├─ diff ─▶ Transaction ─ apply ─▶ kernel, or Observed::apply
//! Observed ┘
//! ```
//!
//! [`ruleset`] says what should be, [`observed`] what is there, [`diff()`] what to change, as one
//! [`Transaction`]. Only [`Socket`], [`observe()`] and [`apply`] touch the kernel, by netlink and
//! without the `nft` program; the text forms are for people and for tests. Nothing here reads or
//! changes tables of others, but for accept rules in their forward chains, see [`foreign`].

mod counters;
mod decode;
mod diff;
mod digest;
mod early;
mod elements;
mod expression;
pub mod foreign;
mod kube_proxy;
mod message;
mod model;
mod observe;
pub mod observed;
mod probe;
pub mod ruleset;
mod socket;
mod text;
pub mod transaction;
mod uapi;

pub use counters::{Received, drops, received};
pub use diff::{diff, diff_fast_path};
pub use digest::Digest;
pub use early::early_source_nat;
pub use foreign::iptables_legacy;
pub use kube_proxy::kube_proxy;
pub use observe::observe;
pub use observed::Observed;
pub use probe::takes_fast_path;
pub use ruleset::{
    Action, Address, Base, Chain, ChainType, Elements, Hook, LEASE, Link, MARK, Match, Origin, Protocol,
    Rule, Ruleset, Set, SetKind, TABLE, TableKind,
};
pub use socket::{Socket, apply};
pub use transaction::{Change, Transaction};
