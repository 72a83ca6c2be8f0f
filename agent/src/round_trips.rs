//! Round-trip times that the node's status tells: from what probes measure, seldom anew. Decides only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_api::{LinkState, rtt_differs};
use causeway_probing::{Distribution, Tallies};
use tokio::time::Instant;

/// How long is measured before a time is told for another one, and how much longer at most, by node and chance: what is
/// measured changes on many nodes at once.
const WINDOW: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// How often a time is looked for that was never told.
const SOON: Duration = Duration::from_secs(2);
/// So many answers make a first time, and a time of a window.
const LEAST: u64 = 20;

/// The round-trip time to each linked cluster.
#[derive(Debug)]
pub struct RoundTrips {
    /// In microseconds, as last told.
    told: BTreeMap<Arc<str>, i64>,
    /// What the last window measured and is not told yet.
    doubted: BTreeMap<Arc<str>, i64>,
    /// Everything that was measured before this window.
    before: BTreeMap<Arc<str>, Distribution>,
    window_ends: Instant,
    lacking: bool,
    looked: Instant,
    seed: u64,
}

impl RoundTrips {
    /// Nothing told yet. `seed` tells nodes apart.
    pub fn new(seed: u64, now: Instant) -> RoundTrips {
        let mut trips = RoundTrips {
            told: BTreeMap::new(),
            doubted: BTreeMap::new(),
            before: BTreeMap::new(),
            window_ends: now,
            lacking: true,
            looked: now,
            seed: seed | 1,
        };
        trips.begin_window(&Tallies::new(), now);
        trips
    }

    /// Goes on from what a status tells: an agent that starts anew has nothing to tell.
    pub fn adopt(&mut self, links: &[LinkState]) {
        for LinkState { remote_cluster, rtt_microseconds, ready: _ } in links {
            if let Some(rtt) = rtt_microseconds {
                self.told.entry(remote_cluster.as_str().into()).or_insert(*rtt);
            }
        }
    }

    /// The time to a cluster, in microseconds.
    pub fn told(&self, remote: &str) -> Option<i64> {
        self.told.get(remote).copied()
    }

    /// When to look again.
    pub fn due(&self) -> Instant {
        if self.lacking { self.window_ends.min(self.looked + SOON) } else { self.window_ends }
    }

    /// Looks at what was measured up to `now`. Returns whether there is something else to tell.
    pub fn look(&mut self, tallies: &Tallies, now: Instant) -> bool {
        self.looked = now;
        let over = now >= self.window_ends;
        let mut changed = false;
        for (remote, tally) in tallies {
            let told = self.told.get(remote).copied();
            if told.is_some() && !over {
                continue;
            }
            let measured = match (told, self.before.get(remote)) {
                (Some(_), Some(before)) => median(&tally.rtts.since(before)),
                _ => median(&tally.rtts),
            };
            let doubted = self.doubted.remove(remote);
            let (next, doubted) = decide(told, doubted, measured);
            self.doubted.extend(doubted.map(|doubted| (remote.clone(), doubted)));
            if next != told {
                changed = true;
                self.told.extend(next.map(|next| (remote.clone(), next)));
            }
        }
        self.lacking = tallies.keys().any(|remote| !self.told.contains_key(remote)) || tallies.is_empty();
        if over {
            self.begin_window(tallies, now);
        }
        changed
    }

    fn begin_window(&mut self, tallies: &Tallies, now: Instant) {
        self.before = tallies.iter().map(|(remote, tally)| (remote.clone(), tally.rtts.clone())).collect();
        self.seed = self.seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
        let more = WINDOW.1.mul_f64((self.seed >> 11) as f64 / (1u64 << 53) as f64);
        self.window_ends = now + WINDOW.0 + more;
    }
}

/// In microseconds; `None` if too little was measured.
fn median(measured: &Distribution) -> Option<i64> {
    if measured.count() < LEAST {
        return None;
    }
    measured.median().and_then(|median| i64::try_from(median.as_micros()).ok())
}

/// What is to be told, and what is not believed yet. A time that is plainly another is told when two windows in a row
/// measure about the same: a busy minute is no news.
fn decide(told: Option<i64>, doubted: Option<i64>, measured: Option<i64>) -> (Option<i64>, Option<i64>) {
    match (told, measured) {
        (told, None) => (told, None),
        (None, measured) => (measured, None),
        (Some(told), Some(measured)) if !rtt_differs(told, measured) => (Some(told), None),
        (told, Some(measured)) => match doubted {
            Some(doubted) if !rtt_differs(doubted, measured) => (Some(measured), None),
            Some(_) | None => (told, Some(measured)),
        },
    }
}

#[cfg(test)]
mod tests {
    use causeway_probing::Tally;

    use super::*;

    fn measured(tallies: &mut Tallies, remote: &str, micros: u64, times: u64) {
        let tally: &mut Tally = tallies.entry(remote.into()).or_default();
        (0..times).for_each(|_| tally.rtts.add(Duration::from_micros(micros)));
    }

    fn near(told: Option<i64>, micros: f64) -> bool {
        told.is_some_and(|told| (told as f64 / micros - 1.0).abs() < 0.1)
    }

    #[test]
    fn a_time_is_told_anew_only_when_two_windows_agree() {
        assert_eq!(decide(None, None, None), (None, None));
        assert_eq!(decide(None, None, Some(400)), (Some(400), None));
        assert_eq!(decide(Some(400), None, None), (Some(400), None));
        assert_eq!(decide(Some(400), None, Some(550)), (Some(400), None));
        assert_eq!(decide(Some(400), None, Some(900)), (Some(400), Some(900)));
        assert_eq!(decide(Some(400), Some(900), Some(450)), (Some(400), None));
        assert_eq!(decide(Some(400), Some(900), Some(5_000)), (Some(400), Some(5_000)));
        assert_eq!(decide(Some(400), Some(900), Some(1_000)), (Some(1_000), None));
    }

    #[test]
    fn the_first_time_is_told_soon_and_another_one_only_after_two_windows() {
        let start = Instant::now();
        let (mut trips, mut tallies) = (RoundTrips::new(1, start), Tallies::new());
        assert_eq!(trips.due(), start + SOON);
        measured(&mut tallies, "b", 400, LEAST - 1);
        assert!(!trips.look(&tallies, trips.due()));
        measured(&mut tallies, "b", 400, 1);
        assert!(trips.look(&tallies, trips.due()));
        assert!(near(trips.told("b"), 400.0), "{trips:?}");
        let mut told = Vec::new();
        for window in 0..6 {
            let before = trips.due();
            assert!(before >= start + WINDOW.0, "nothing lacks, so it waits for the window");
            measured(&mut tallies, "b", if window < 1 { 400 } else { 2_000 }, 600);
            told.push(trips.look(&tallies, before));
            let length = trips.due() - before;
            assert!(length >= WINDOW.0 && length <= WINDOW.0 + WINDOW.1, "{length:?}");
        }
        assert_eq!(told, [false, false, true, false, false, false]);
        assert!(near(trips.told("b"), 2_000.0), "{trips:?}");
    }

    #[test]
    fn an_agent_that_starts_anew_on_a_busy_node_has_nothing_to_tell() {
        let start = Instant::now();
        let (mut trips, mut tallies) = (RoundTrips::new(7, start), Tallies::new());
        let link = LinkState { remote_cluster: "b".into(), ready: true, rtt_microseconds: Some(400) };
        trips.adopt(std::slice::from_ref(&link));
        measured(&mut tallies, "b", 30_000, 50);
        assert!(!trips.look(&tallies, trips.due()));
        assert_eq!(trips.told("b"), Some(400));
        // One busy window is no news either.
        measured(&mut tallies, "b", 30_000, 600);
        assert!(!trips.look(&tallies, trips.due()));
        measured(&mut tallies, "b", 450, 700);
        assert!(!trips.look(&tallies, trips.due()));
        assert_eq!(trips.told("b"), Some(400));
        // What a status says later does not undo what was told since.
        trips.adopt(&[LinkState { rtt_microseconds: Some(9), ..link }]);
        assert_eq!(trips.told("b"), Some(400));
    }
}
