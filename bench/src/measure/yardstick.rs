//! A fixed piece of work, measured beside everything else: it says how fast the machine is just then.
//!
//! A virtual machine slows down without a trace in its load or in stolen time when others share its caches, its memory
//! or the clock of its processor. The same work then takes longer, whoever does it.

use std::fmt;
use std::hint::black_box;
use std::time::Instant;

use anyhow::Result;
use causeway_pathbench::statistics::median;
use serde::{Deserialize, Serialize};

use crate::child::{Measurement, Place};

/// Memory that no cache of a processor holds, in bytes.
const MEMORY: usize = 64 << 20;
/// Reads of which each must wait for the one before.
const READS: u32 = 500_000;
/// Multiplications of which each must wait for the one before.
const MULTIPLICATIONS: u32 = 20_000_000;
/// Memory that is asked of the kernel and written to for the first time, in bytes.
const FRESH: usize = 32 << 20;
/// The middle of so many counts: another process may take one of them.
const ROUNDS: usize = 5;

/// Measures the fixed work.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Yardstick;

/// How long it took, in seconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Pace {
    /// One multiplication that waits for the one before: the processor's clock.
    pub multiplication: f64,
    /// One read of 64 MiB of memory at a random place: caches and memory.
    pub read: f64,
    /// One MiB of fresh memory: page faults and the kernel.
    pub fresh_mebibyte: f64,
}

impl Pace {
    /// What bounds in seconds are for: a virtual machine with two processors of an AMD EPYC server, as one rents it in 2026, while
    /// its neighbours are quiet.
    pub const EXPECTED: Pace = Pace { multiplication: 0.85e-9, read: 185e-9, fresh_mebibyte: 650e-6 };

    /// How many times as long as [expected](Pace::EXPECTED) the worst part took. What is measured needs all three.
    pub fn slowness(&self) -> f64 {
        let expected = Pace::EXPECTED;
        (self.multiplication / expected.multiplication)
            .max(self.read / expected.read)
            .max(self.fresh_mebibyte / expected.fresh_mebibyte)
    }

    /// The middle between two.
    pub fn between(&self, other: &Pace) -> Pace {
        let middle = |a: f64, b: f64| (a + b) / 2.0;
        Pace {
            multiplication: middle(self.multiplication, other.multiplication),
            read: middle(self.read, other.read),
            fresh_mebibyte: middle(self.fresh_mebibyte, other.fresh_mebibyte),
        }
    }
}

impl fmt::Display for Pace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:.2} times as long as expected for a fixed piece of work ({:.2} ns a multiplication, {:.0} ns a read of memory, {:.0} µs a fresh MiB)",
            self.slowness(),
            self.multiplication * 1e9,
            self.read * 1e9,
            self.fresh_mebibyte * 1e6
        )
    }
}

impl Measurement for Yardstick {
    const NAME: &'static str = "yardstick";
    const PLACE: Place = Place::Here;
    type Outcome = Pace;

    fn measure(&self) -> Result<Pace> {
        let ring = ring(MEMORY / size_of::<u32>());
        let mut place = 0;
        Ok(Pace {
            multiplication: middle(multiplication),
            read: middle(|| read(&ring, &mut place)),
            fresh_mebibyte: middle(fresh_mebibyte),
        })
    }
}

fn middle(one: impl FnMut() -> f64) -> f64 {
    median(&std::iter::repeat_with(one).take(ROUNDS).collect::<Vec<f64>>())
}

/// Places of which each names the next, in one ring through all of them in random order (Sattolo's algorithm).
fn ring(places: usize) -> Vec<u32> {
    let mut next: Vec<u32> = (0..).take(places).collect();
    let mut random = 0x9E37_79B9_7F4A_7C15u64;
    for place in (1..places).rev() {
        // xorshift64, Marsaglia 2003.
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        next.swap(place, (random % place as u64) as usize);
    }
    next
}

fn multiplication() -> f64 {
    let started = Instant::now();
    let mut product = 1u64;
    for _ in 0..MULTIPLICATIONS {
        // Known to nobody before it is there, so that no compiler takes several steps at once.
        product = black_box(product.wrapping_mul(6_364_136_223_846_793_005));
    }
    black_box(product);
    started.elapsed().as_secs_f64() / f64::from(MULTIPLICATIONS)
}

/// Goes on from `place`: what was read a moment ago is in a cache.
fn read(ring: &[u32], place: &mut u32) -> f64 {
    let started = Instant::now();
    for _ in 0..READS {
        *place = ring[*place as usize];
    }
    black_box(*place);
    started.elapsed().as_secs_f64() / f64::from(READS)
}

fn fresh_mebibyte() -> f64 {
    let started = Instant::now();
    black_box(vec![1u8; FRESH]);
    started.elapsed().as_secs_f64() * f64::from(1 << 20) / FRESH as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ring_leads_through_every_place_once() {
        let ring = ring(1_000);
        let mut place = 0;
        let mut seen = std::collections::BTreeSet::new();
        while seen.insert(place) {
            place = ring[place] as usize;
        }
        assert_eq!((place, seen.len()), (0, 1_000));
    }

    #[test]
    fn the_worst_part_says_how_slow_a_machine_is() {
        let expected = Pace::EXPECTED;
        let is = |pace: Pace, slowness: f64| (pace.slowness() - slowness).abs() < 1e-9;
        assert!(is(expected, 1.0));
        assert!(is(Pace { read: expected.read * 3.0, ..expected }, 3.0));
        let slow = Pace { multiplication: expected.multiplication * 2.0, ..expected };
        assert!(is(Pace { read: expected.read / 9.0, ..slow }, 2.0));
        assert!(is(slow.between(&expected), 1.5));
    }

    #[test]
    fn all_parts_take_time() {
        let Pace { multiplication, read, fresh_mebibyte } = Yardstick.measure().unwrap();
        assert!(multiplication > 0.0 && read > multiplication && fresh_mebibyte > read);
    }
}
