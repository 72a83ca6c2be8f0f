//! How well links carry packets, as the node's status tells it: round-trip times and losses from what probes measure,
//! seldom anew. Decides only.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use causeway_api::{LinkState, loss_differs, loss_per_mille, loss_told, rtt_differs};
use causeway_probing::{Distribution, Tallies, Tally};
use tokio::time::Instant;

/// How long is measured before a figure is told for another one, and how much longer at most, by node and chance: what is
/// measured changes on many nodes at once.
const WINDOW: (Duration, Duration) = (Duration::from_secs(60), Duration::from_secs(20));
/// How often a round-trip time is looked for that was never told.
const SOON: Duration = Duration::from_secs(2);
/// So many probes make a first round-trip time, and a figure of a window.
const LEAST: u64 = 20;

/// Something measured of a link.
#[derive(Clone, Copy, Debug, Default)]
struct Figure {
    /// As last told.
    told: Option<i64>,
    /// What the last window measured and is not told yet.
    doubted: Option<i64>,
}

impl Figure {
    /// Takes in what was measured. Returns whether there is something else to tell.
    fn consider(&mut self, measured: Option<i64>, differs: fn(i64, i64) -> bool) -> bool {
        let before = self.told;
        *self = decide(*self, measured, differs);
        self.told != before
    }
}

/// How well a link carries packets.
#[derive(Debug, Default)]
struct Link {
    /// In microseconds.
    rtt: Figure,
    /// In thousandths. With the first round-trip time it is told that none is lost, since those that were lost while the
    /// way was made say nothing; only whole windows say another thing.
    loss: Figure,
    /// Everything that was measured before this window.
    before: Tally,
}

/// How well the link to each cluster carries packets.
#[derive(Debug)]
pub struct Quality {
    links: BTreeMap<Arc<str>, Link>,
    window_ends: Instant,
    lacking: bool,
    looked: Instant,
    seed: u64,
}

impl Quality {
    /// Nothing told yet. `seed` tells nodes apart.
    pub fn new(seed: u64, now: Instant) -> Quality {
        let mut quality =
            Quality { links: BTreeMap::new(), window_ends: now, lacking: true, looked: now, seed: seed | 1 };
        quality.begin_window(&Tallies::new(), now);
        quality
    }

    /// Goes on from what a status tells: an agent that starts anew has nothing to tell.
    pub fn adopt(&mut self, links: &[LinkState]) {
        for LinkState { remote_cluster, ready: _, rtt_microseconds, loss_per_mille } in links {
            if rtt_microseconds.is_none() && loss_per_mille.is_none() {
                continue;
            }
            let link = self.links.entry(remote_cluster.as_str().into()).or_default();
            link.rtt.told = link.rtt.told.or(*rtt_microseconds);
            link.loss.told = link.loss.told.or(*loss_per_mille);
        }
    }

    /// The round-trip time to a cluster, in microseconds.
    pub fn rtt(&self, remote: &str) -> Option<i64> {
        self.links.get(remote)?.rtt.told
    }

    /// The share of probes to a cluster that are lost, in thousandths; a small one is none.
    pub fn loss(&self, remote: &str) -> Option<i64> {
        self.links.get(remote)?.loss.told.map(loss_told)
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
            let link = self.links.entry(remote.clone()).or_default();
            let window = tally.since(&link.before);
            if link.rtt.told.is_none() {
                changed |= link.rtt.consider(median(&tally.rtts), rtt_differs);
            } else if over {
                changed |= link.rtt.consider(median(&window.rtts), rtt_differs);
            }
            if link.rtt.told.is_some() && link.loss.told.is_none() {
                link.loss.told = Some(0);
                changed = true;
            } else if over {
                changed |= link.loss.consider(share(&window), loss_differs);
            }
        }
        self.lacking = tallies.keys().any(|remote| self.rtt(remote).is_none()) || tallies.is_empty();
        if over {
            self.begin_window(tallies, now);
        }
        changed
    }

    fn begin_window(&mut self, tallies: &Tallies, now: Instant) {
        self.links.retain(|remote, _| tallies.contains_key(remote));
        for (remote, tally) in tallies {
            self.links.entry(remote.clone()).or_default().before = tally.clone();
        }
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

/// Of those that were lost, in thousandths; `None` if too little was measured.
fn share(window: &Tally) -> Option<i64> {
    let lost = window.lost.saturating_sub(window.lost_unused);
    let all = lost + window.rtts.count();
    (all >= LEAST).then(|| loss_per_mille(lost, all))
}

/// What is to be told, and what is not believed yet. A figure that is plainly another is told when two windows in a row
/// measure about the same: a busy minute is no news.
fn decide(figure: Figure, measured: Option<i64>, differs: fn(i64, i64) -> bool) -> Figure {
    let Figure { told, doubted } = figure;
    let (told, doubted) = match (told, measured) {
        (told, None) => (told, None),
        (None, measured) => (measured, None),
        (Some(told), Some(measured)) if !differs(told, measured) => (Some(told), None),
        (told, Some(measured)) => match doubted {
            Some(doubted) if !differs(doubted, measured) => (Some(measured), None),
            Some(_) | None => (told, Some(measured)),
        },
    };
    Figure { told, doubted }
}

#[cfg(test)]
mod tests {
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
        let decide = |told, doubted, measured| {
            let Figure { told, doubted } = decide(Figure { told, doubted }, measured, rtt_differs);
            (told, doubted)
        };
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
        let (mut quality, mut tallies) = (Quality::new(1, start), Tallies::new());
        assert_eq!(quality.due(), start + SOON);
        measured(&mut tallies, "b", 400, LEAST - 1);
        assert!(!quality.look(&tallies, quality.due()));
        measured(&mut tallies, "b", 400, 1);
        assert!(quality.look(&tallies, quality.due()));
        assert!(near(quality.rtt("b"), 400.0), "{quality:?}");
        let mut told = Vec::new();
        for window in 0..6 {
            let before = quality.due();
            assert!(before >= start + WINDOW.0, "nothing lacks, so it waits for the window");
            measured(&mut tallies, "b", if window < 1 { 400 } else { 2_000 }, 600);
            told.push(quality.look(&tallies, before));
            let length = quality.due() - before;
            assert!(length >= WINDOW.0 && length <= WINDOW.0 + WINDOW.1, "{length:?}");
        }
        assert_eq!(told, [false, false, true, false, false, false]);
        assert!(near(quality.rtt("b"), 2_000.0), "{quality:?}");
    }

    #[test]
    fn an_agent_that_starts_anew_on_a_busy_node_has_nothing_to_tell() {
        let start = Instant::now();
        let (mut quality, mut tallies) = (Quality::new(7, start), Tallies::new());
        let link = LinkState {
            remote_cluster: "b".into(),
            ready: true,
            rtt_microseconds: Some(400),
            loss_per_mille: Some(0),
        };
        quality.adopt(std::slice::from_ref(&link));
        measured(&mut tallies, "b", 30_000, 50);
        assert!(!quality.look(&tallies, quality.due()));
        assert_eq!(quality.rtt("b"), Some(400));
        // One busy window is no news either.
        measured(&mut tallies, "b", 30_000, 600);
        assert!(!quality.look(&tallies, quality.due()));
        measured(&mut tallies, "b", 450, 700);
        assert!(!quality.look(&tallies, quality.due()));
        assert_eq!(quality.rtt("b"), Some(400));
        // What a status says later does not undo what was told since.
        quality.adopt(&[LinkState { rtt_microseconds: Some(9), ..link }]);
        assert_eq!(quality.rtt("b"), Some(400));
    }

    #[test]
    fn loss_is_told_when_two_windows_lose_and_no_more_when_two_do_not() {
        let start = Instant::now();
        let (mut quality, mut tallies) = (Quality::new(3, start), Tallies::new());
        measured(&mut tallies, "b", 400, 600);
        // While a way is made the first ones are lost.
        tallies.get_mut("b").unwrap().lost = 30;
        assert!(quality.look(&tallies, quality.due()), "the round-trip time");
        let mut told = Vec::new();
        for lost in [0, 150, 150, 160, 0, 0, 2] {
            measured(&mut tallies, "b", 400, 600 - lost);
            let tally = tallies.get_mut("b").unwrap();
            tally.lost += lost + 40;
            tally.lost_unused += 40;
            quality.look(&tallies, quality.due());
            told.push(quality.loss("b").unwrap());
        }
        assert_eq!(told, [0, 0, 250, 250, 250, 0, 0]);
        // A link that comes back is another one.
        quality.look(&Tallies::new(), quality.due());
        assert_eq!(quality.loss("b"), None);
        // One that starts anew goes on from what was told.
        let mut next = Quality::new(4, start);
        next.adopt(&[LinkState {
            remote_cluster: "b".into(),
            loss_per_mille: Some(250),
            ..LinkState::default()
        }]);
        assert_eq!((next.loss("b"), next.rtt("b")), (Some(250), None));
    }
}
