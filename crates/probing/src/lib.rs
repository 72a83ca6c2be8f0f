//! Whether the gateways that a node uses answer, and how fast.
//!
//! ```text
//! timer, answers ─▶ Roster ─ a Detector for each target ─▶ probes to send, states
//!                     ▲                                        │
//!                     └──────────── Prober: sockets ◀──────────┘ ─▶ watch ─▶ agent
//! ```
//!
//! [`detector`], [`impairment`] and [`roster`] decide. They do no I/O and are told what time it is. [`prober`] is a
//! plain thread that sends, receives and measures time, and decides nothing.

pub mod detector;
pub mod impairment;
pub mod packet;
pub mod prober;
pub mod roster;
pub mod tally;

mod loss;
mod rtt;
mod socket;

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub use detector::{Detector, State};
pub use impairment::Impairment;
pub use prober::{Prober, ProberError, Tallies};
pub use roster::Roster;
pub use tally::{Distribution, Tally};

/// What is probed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Target {
    /// Where echo requests go: the overlay address of a gateway.
    pub address: IpAddr,
    /// Their source: the own overlay address of the same family.
    pub source: IpAddr,
    /// The link that they leave through.
    pub device: &'static str,
    /// The largest IP packet that should reach it, in bytes.
    pub mtu: u32,
    /// Targets of one pool and family stand in for each other. None of them is called dead unless
    /// another one answers.
    pub pool: Arc<str>,
    /// Whether it is out of use when probing begins. It counts as dead then until it answers.
    pub left_out: bool,
}

impl Target {
    /// Pool and family: targets that have these in common can stand in for each other.
    pub fn pool(&self) -> (Arc<str>, bool) {
        (self.pool.clone(), self.address.is_ipv4())
    }

    /// Whether this is the same target, whatever the size of packets that should reach it, and however it was before.
    pub fn is_same(&self, other: &Target) -> bool {
        let Target { address, source, device, mtu: _, pool, left_out: _ } = self;
        (address, source, device, pool) == (&other.address, &other.source, &other.device, &other.pool)
    }
}

/// How a target is at one moment.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Status {
    /// Which target.
    pub target: Target,
    /// Whether it answers.
    pub state: State,
    /// The smoothed round-trip time; `None` before the first answer.
    pub rtt: Option<Duration>,
    /// The smoothed deviation of the round-trip time.
    pub jitter: Option<Duration>,
    /// Probes decided in the last minute.
    pub sent: u32,
    /// How many of those were lost.
    pub lost: u32,
    /// Probes lost in a row just now.
    pub lost_in_a_row: usize,
    /// What is wrong with it though it answers.
    pub impairments: BTreeSet<Impairment>,
}
