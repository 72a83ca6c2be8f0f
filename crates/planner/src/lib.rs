//! From the facts of a clusterset to its plan.
//!
//! [`Planner`] takes [`Event`]s and gives [`Changes`]. It is pure: no I/O, no clock, no randomness; the
//! same facts and the same earlier allocations give the same plan, whatever the order of the events
//! in a batch. A full plan is the same code, fed everything before the first [`Planner::plan`].
//!
//! What is allocated once and then kept (overlay blocks and addresses, global CIDRs, gateways, places
//! in slices) is part of the plan itself, so that a restarted planner reads it back with
//! [`Planner::adopt`] and changes nothing.
//!
//! [`checker`] judges a finished plan and shares nothing with the planner but the model; [`synth`]
//! makes clustersets of any size for tests and benches.

mod addresses;
mod blocks;
mod changes;
pub mod checker;
mod claims;
mod cluster;
mod cluster_plan;
mod conflicts;
mod event;
mod findings;
mod gateways;
mod global_cidrs;
mod guard;
mod indexes;
mod links;
mod membership;
mod node;
mod planner;
mod prefix_index;
mod settings;
mod slices;
pub mod synth;
mod translate;
mod work;

pub use changes::{Changes, Plan};
pub use event::{Adopted, Event};
pub use planner::Planner;
pub use slices::{SLICE_BYTES, peer_size};
pub use work::Work;
