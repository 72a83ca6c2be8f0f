//! What is wrong with a target that answers: it loses some packets, or all that are large. Such a target stays in
//! use, and is told of.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// A target's fault that is no death.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Impairment {
    /// A twentieth of the probes or more is lost, here and there: one gap, as while a path is changed, is none.
    Loss,
    /// Packets of full size are lost while small ones are answered.
    LargePackets,
}

/// So many probes are looked back on.
const WINDOW: usize = 200;
/// With fewer nothing is said.
const LEAST: usize = 100;
/// From so many lost in a hundred on it is a fault, and below so many no more.
const SHARE: (usize, usize) = (5, 2);
/// In so many places at least.
const GAPS: usize = 4;

/// What became of the last probes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Recent {
    /// Since the first answer: before it, the target or its tunnel may not be there yet.
    lost: VecDeque<bool>,
    /// Probes lost since the last answer. They count once there is another: until then it may be a death.
    run: usize,
    many: bool,
}

impl Recent {
    /// Counts a probe.
    pub fn count(&mut self, lost: bool) {
        if lost {
            self.run += 1;
            return;
        }
        let run = std::mem::take(&mut self.run);
        if !self.lost.is_empty() {
            self.lost.extend(std::iter::repeat_n(true, run));
        }
        self.lost.push_back(false);
        self.lost.drain(..self.lost.len().saturating_sub(WINDOW));
        if self.lost.len() >= LEAST {
            self.many = if self.many {
                self.share_is(SHARE.1)
            } else {
                self.share_is(SHARE.0) && self.gaps() >= GAPS
            };
        }
    }

    fn share_is(&self, percent: usize) -> bool {
        self.lost.iter().filter(|lost| **lost).count() * 100 >= self.lost.len() * percent
    }

    /// In how many places probes were lost; those in a row are one.
    fn gaps(&self) -> usize {
        // An answer comes last, always.
        self.lost.iter().zip(self.lost.iter().skip(1)).filter(|(lost, next)| **lost && !**next).count()
    }

    /// A probe that was counted as lost was answered after all, late.
    pub fn was_late(&mut self) {
        if self.run > 0 {
            self.run -= 1;
            self.count(false);
        } else if let Some(newest) = self.lost.iter_mut().rev().find(|lost| **lost) {
            *newest = false;
        }
    }

    /// The target is silent, which is another fault.
    pub fn forget(&mut self) {
        *self = Recent::default();
    }

    /// Whether many are lost.
    pub fn loses(&self) -> bool {
        self.many
    }
}

/// Time between two probes of full size to a target.
const EVERY: Duration = Duration::from_secs(1);
/// Probes of full size that a node sends in a second at most: 50 packets of 1,500 bytes, 0.6 Mbit/s. With more targets
/// each is probed more rarely.
pub const LARGE_PER_SECOND: u32 = 50;
/// So many in a row must be lost while small ones are answered. A path that loses 20 % each way loses as many large
/// ones in a row by chance once in an hour.
pub const LOST_AFTER: u32 = 8;
/// So many in a row must be answered after that.
const FINE_AFTER: u32 = 3;
/// Time between two probes of full size to a target, if there are so many targets.
pub(crate) fn period(targets: u32) -> Duration {
    EVERY.max(Duration::from_secs(1) * targets / LARGE_PER_SECOND)
}

/// In the number of a probe: it is of full size.
pub(crate) const LARGE: u32 = 1 << 31;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    /// Nothing is under way.
    Settled,
    Pending,
    /// Sent when the prober was late.
    Void,
}

/// Watches whether packets of full size reach a target. A probe is lost if it is not answered before the next one is
/// sent.
#[derive(Clone, Debug)]
pub(crate) struct Large {
    seq: u32,
    fate: Fate,
    due: Instant,
    lost_run: u32,
    answered_run: u32,
    lost: bool,
}

impl Large {
    /// The first one is due at `first`.
    pub fn new(first: Instant) -> Large {
        Large { seq: 0, fate: Fate::Settled, due: first, lost_run: 0, answered_run: 0, lost: false }
    }

    /// When the next one is due.
    pub fn due(&self) -> Instant {
        self.due
    }

    /// The number of the next one.
    pub fn next_seq(&self) -> u32 {
        LARGE | self.seq.wrapping_add(1)
    }

    /// The next one was sent at `at`, one of `targets` of this node. `small_pass`: whether small ones are answered.
    pub fn sent(&mut self, at: Instant, targets: u32, small_pass: bool) {
        match self.fate {
            Fate::Pending if small_pass => {
                self.answered_run = 0;
                self.lost_run = self.lost_run.saturating_add(1);
                self.lost |= self.lost_run >= LOST_AFTER;
            }
            // Nothing passes, which is another fault.
            Fate::Pending => self.lost_run = 0,
            Fate::Settled | Fate::Void => {}
        }
        self.fate = Fate::Pending;
        self.not_sent(at, targets);
    }

    /// The next one could not be sent from here, which says nothing.
    pub fn not_sent(&mut self, at: Instant, targets: u32) {
        self.seq = self.seq.wrapping_add(1) & !LARGE;
        self.due = at + period(targets);
    }

    /// The answer to the probe `seq` came. Returns whether it is the last one that was sent.
    pub fn answered(&mut self, seq: u32) -> bool {
        if seq != LARGE | self.seq || self.fate == Fate::Settled {
            return false;
        }
        self.fate = Fate::Settled;
        self.lost_run = 0;
        self.answered_run = self.answered_run.saturating_add(1);
        self.lost &= self.answered_run < FINE_AFTER;
        true
    }

    /// The prober was late.
    pub fn stalled(&mut self) {
        if self.fate == Fate::Pending {
            self.fate = Fate::Void;
        }
    }

    /// Whether large packets are lost.
    pub fn loses(&self) -> bool {
        self.lost
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loss_is_told_from_a_twentieth_on_and_forgotten_below_a_fiftieth() {
        let mut recent = Recent::default();
        (0..99).for_each(|n| recent.count(n % 10 == 0));
        assert!(!recent.loses(), "too few to say");
        (0..200).for_each(|n| recent.count(n % 20 == 0));
        assert!(recent.loses());
        (0..200).for_each(|n| recent.count(n % 40 == 0));
        assert!(recent.loses(), "it does not flap");
        (0..200).for_each(|n| recent.count(n % 100 == 0));
        assert!(!recent.loses());
        (0..200).for_each(|_| recent.count(true));
        assert!(!recent.loses(), "it may be dead");
        recent.forget();
        recent.count(false);
        assert!(!recent.loses());
    }

    #[test]
    fn gaps_are_no_loss_until_there_are_several() {
        let mut recent = Recent::default();
        for gap in 1..=GAPS {
            (0..15).for_each(|_| recent.count(false));
            assert!(!recent.loses(), "{gap} gaps");
            (0..10).for_each(|_| recent.count(true));
        }
        (0..15).for_each(|_| recent.count(false));
        assert!(recent.loses());
    }

    #[test]
    fn what_is_lost_before_the_first_answer_and_what_is_late_is_no_loss() {
        let mut recent = Recent::default();
        (0..17).for_each(|_| recent.count(true));
        (0..LEAST).for_each(|_| recent.count(false));
        assert!(!recent.loses(), "it was not there yet");
        for _ in 0..WINDOW {
            recent.count(true);
            recent.count(true);
            recent.was_late();
            recent.was_late();
        }
        assert!(!recent.loses());
        assert_eq!(recent.lost.iter().filter(|lost| **lost).count(), 0);
    }

    /// A second each: whether the large probe is answered, and whether small ones are.
    fn after(seconds: &[(bool, bool)]) -> bool {
        let mut now = Instant::now();
        let mut large = Large::new(now);
        for (answered, small_pass) in seconds {
            now = large.due();
            let seq = large.next_seq();
            large.sent(now, 1, *small_pass);
            assert!(!answered || large.answered(seq));
            assert!(!large.answered(seq.wrapping_sub(1)));
        }
        // What became of the last one shows when the next one is due.
        large.sent(now, 1, seconds.last().is_some_and(|last| last.1));
        large.loses()
    }

    #[test]
    fn large_packets_are_lost_if_many_in_a_row_are_while_small_ones_pass() {
        let lost = [(false, true); LOST_AFTER as usize];
        assert!(after(&lost));
        assert!(!after(&lost[1..]));
        assert!(!after(&[&lost[1..], &[(true, true)], &lost[1..]].concat()), "not in a row");
        assert!(!after(&[(false, false); 30]), "nothing passes");
        assert!(after(&[&lost[..], &[(true, true); 2]].concat()));
        assert!(!after(&[&lost[..], &[(true, true); 3]].concat()));
    }

    #[test]
    fn what_was_under_way_in_a_stall_is_not_lost_and_many_targets_are_probed_rarely() {
        let mut now = Instant::now();
        let mut large = Large::new(now);
        for _ in 0..30 {
            large.sent(now, 1000, true);
            large.stalled();
            assert_eq!(large.due(), now + Duration::from_secs(20));
            now = large.due();
        }
        assert!(!large.loses());
    }
}
