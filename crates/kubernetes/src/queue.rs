//! Which things to look at next: by rank, each once at a time, and again later after a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// First and longest wait before something that failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// Things to look at, of type `K`, in ranks `R`: whatever has a lower rank is finished first.
#[derive(Debug)]
pub struct Queue<R, K> {
    ready: BTreeSet<(R, K)>,
    flying: BTreeMap<K, R>,
    /// Things that changed while they were being looked at.
    again: BTreeMap<K, R>,
    /// Things that wait after a failure.
    later: BTreeMap<K, (R, Instant)>,
    /// How often things failed in a row.
    failures: BTreeMap<K, u32>,
}

impl<R, K> Default for Queue<R, K> {
    fn default() -> Self {
        Queue {
            ready: BTreeSet::new(),
            flying: BTreeMap::new(),
            again: BTreeMap::new(),
            later: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }
}

impl<R: Ord + Copy, K: Ord + Clone> Queue<R, K> {
    /// Adds something. What failed keeps waiting for its next turn.
    pub fn add(&mut self, rank: R, key: K) {
        if self.flying.contains_key(&key) {
            self.again.insert(key, rank);
        } else if let Some((waiting, _)) = self.later.get_mut(&key) {
            *waiting = rank;
        } else {
            self.ready.insert((rank, key));
        }
    }

    /// The next one, among those for which `may` holds. It is being looked at until it is
    /// [done](Queue::done).
    pub fn next(&mut self, now: Instant, may: impl Fn(&K) -> bool) -> Option<K> {
        for (key, (rank, _)) in self.later.extract_if(.., |_, (_, at)| *at <= now) {
            self.ready.insert((rank, key));
        }
        let (rank, key) =
            self.ready.iter().find(|(_, key)| may(key) && !self.flying.contains_key(key)).cloned()?;
        if self.flying.values().any(|busy| *busy < rank) {
            return None;
        }
        self.ready.remove(&(rank, key.clone()));
        self.flying.insert(key.clone(), rank);
        Some(key)
    }

    /// It is as it should be, or what was tried failed.
    pub fn done(&mut self, key: &K, succeeded: bool, now: Instant) {
        let rank = self.flying.remove(key);
        let again = self.again.remove(key);
        if succeeded {
            self.failures.remove(key);
            self.ready.extend(again.map(|rank| (rank, key.clone())));
        } else if let Some(rank) = again.or(rank) {
            let failures = self.failures.entry(key.clone()).or_default();
            let wait = (RETRY.0 * 2u32.saturating_pow(*failures)).min(RETRY.1);
            *failures = (*failures + 1).min(16);
            self.later.insert(key.clone(), (rank, now + wait));
        }
    }

    /// When the next one that failed is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.values().map(|(_, at)| *at).min()
    }

    /// How many failed and were not mended so far.
    pub fn failed(&self) -> usize {
        self.failures.len()
    }

    /// How many are to be looked at, under way, or waiting after a failure.
    pub fn depth(&self) -> usize {
        self.ready.len() + self.flying.len() + self.later.len()
    }

    /// Whether nothing is to do or under way.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.flying.is_empty() && self.later.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: u8 = 0;
    const SECOND: u8 = 1;

    fn key(name: &str) -> String {
        name.to_owned()
    }

    fn next(queue: &mut Queue<u8, String>, now: Instant) -> Option<String> {
        queue.next(now, |_| true)
    }

    #[test]
    fn a_higher_rank_waits_until_the_lower_is_done() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(SECOND, key("node"));
        queue.add(FIRST, key("slice"));
        queue.add(FIRST, key("link"));
        assert_eq!(next(&mut queue, now).as_deref(), Some("link"));
        assert_eq!(next(&mut queue, now).as_deref(), Some("slice"));
        assert_eq!(next(&mut queue, now), None);
        queue.done(&key("link"), true, now);
        assert_eq!(next(&mut queue, now), None);
        queue.done(&key("slice"), true, now);
        assert_eq!(next(&mut queue, now).as_deref(), Some("node"));
        queue.done(&key("node"), true, now);
        assert!(queue.is_idle());
    }

    #[test]
    fn what_changes_while_it_is_looked_at_is_looked_at_again() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(SECOND, key("a"));
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
        queue.add(SECOND, key("a"));
        assert_eq!(next(&mut queue, now), None);
        queue.done(&key("a"), true, now);
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
    }

    #[test]
    fn a_failure_is_tried_again_later_and_later_and_holds_nobody_up() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.add(FIRST, key("bad"));
        queue.add(SECOND, key("good"));
        let mut now = start;
        assert_eq!(next(&mut queue, now).as_deref(), Some("bad"));
        queue.done(&key("bad"), false, now);
        assert_eq!((queue.failed(), queue.depth()), (1, 2));
        assert_eq!(next(&mut queue, now).as_deref(), Some("good"));
        queue.done(&key("good"), true, now);
        for wait in [1, 2, 4] {
            queue.add(FIRST, key("bad"));
            now += RETRY.0 * wait - Duration::from_millis(1);
            assert_eq!(next(&mut queue, now), None, "after {wait}");
            now += Duration::from_millis(1);
            assert_eq!(queue.next_due(), Some(now));
            assert_eq!(next(&mut queue, now).as_deref(), Some("bad"));
            queue.done(&key("bad"), false, now);
        }
        now += RETRY.1;
        assert_eq!(next(&mut queue, now).as_deref(), Some("bad"));
        queue.done(&key("bad"), true, now);
        assert!(queue.is_idle());
    }

    #[test]
    fn what_may_not_be_looked_at_yet_hold_nobody_up() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(FIRST, key("a"));
        queue.add(SECOND, key("b"));
        let taken = queue.next(now, |key| key != "a");
        assert_eq!(taken.as_deref(), Some("b"));
    }
}
