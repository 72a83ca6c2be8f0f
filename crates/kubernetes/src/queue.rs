//! Which things to look at next: by rank, each once at a time, again later after a failure, and not before its
//! own writes were heard of.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

/// First and longest wait before something that failed is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));
/// How long a write is waited for to come back by the watch. One that changed nothing never does.
const ECHO: Duration = Duration::from_secs(1);

/// Things to look at, of type `K`, in ranks `R`: whatever has a lower rank is finished first.
#[derive(Debug)]
pub struct Queue<R, K> {
    ready: BTreeSet<(R, K)>,
    flying: BTreeMap<K, Flying<R>>,
    /// Things that were written and not heard of since: whether they are to be looked at again, and until when that
    /// waits. What is known of them is what they were before.
    unheard: BTreeMap<K, (Option<R>, Instant)>,
    /// Things that wait after a failure.
    later: BTreeMap<K, (R, Instant)>,
    /// How often things failed in a row.
    failures: BTreeMap<K, u32>,
}

/// Something that is being looked at.
#[derive(Debug)]
struct Flying<R> {
    rank: R,
    /// It changed meanwhile.
    again: Option<R>,
    /// It was heard of meanwhile: the watch may be faster than the answer.
    heard: bool,
}

impl<R, K> Default for Queue<R, K> {
    fn default() -> Self {
        Queue {
            ready: BTreeSet::new(),
            flying: BTreeMap::new(),
            unheard: BTreeMap::new(),
            later: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }
}

impl<R: Ord + Copy, K: Ord + Clone> Queue<R, K> {
    /// Adds something. What failed keeps waiting for its next turn.
    pub fn add(&mut self, rank: R, key: K) {
        if let Some(flying) = self.flying.get_mut(&key) {
            flying.again = Some(rank);
        } else if let Some((waiting, _)) = self.unheard.get_mut(&key) {
            *waiting = Some(rank);
        } else if let Some((waiting, _)) = self.later.get_mut(&key) {
            *waiting = rank;
        } else {
            self.ready.insert((rank, key));
        }
    }

    /// The watch told of it: what is known of it is as new as what was written.
    pub fn heard(&mut self, key: &K) {
        if let Some(flying) = self.flying.get_mut(key) {
            flying.heard = true;
        } else if let Some((Some(rank), _)) = self.unheard.remove(key) {
            self.ready.insert((rank, key.clone()));
        }
    }

    /// The next one, among those for which `may` holds. It is being looked at until it is
    /// [as it should be](Queue::fine), [written](Queue::written), or [failed](Queue::failed).
    pub fn next(&mut self, now: Instant, may: impl Fn(&K) -> bool) -> Option<K> {
        for (key, (rank, _)) in self.later.extract_if(.., |_, (_, at)| *at <= now) {
            self.ready.insert((rank, key));
        }
        for (key, (rank, _)) in self.unheard.extract_if(.., |_, (_, until)| *until <= now) {
            self.ready.extend(rank.map(|rank| (rank, key)));
        }
        let (rank, key) =
            self.ready.iter().find(|(_, key)| may(key) && !self.flying.contains_key(key)).cloned()?;
        if self.flying.values().any(|busy| busy.rank < rank) {
            return None;
        }
        self.ready.remove(&(rank, key.clone()));
        self.flying.insert(key.clone(), Flying { rank, again: None, heard: false });
        Some(key)
    }

    /// It is as it should be, by what is known of it.
    pub fn fine(&mut self, key: &K) {
        let again = self.flying.remove(key).and_then(|flying| flying.again);
        self.failures.remove(key);
        self.ready.extend(again.map(|rank| (rank, key.clone())));
    }

    /// It was written. Until the watch tells of that, what is known of it is no longer true, and it is not looked at.
    pub fn written(&mut self, key: &K, now: Instant) {
        if let Some(flying) = self.flying.get(key).filter(|flying| !flying.heard) {
            self.unheard.insert(key.clone(), (flying.again, now + ECHO));
            self.flying.remove(key);
        }
        self.fine(key);
    }

    /// What was tried failed. It is tried again.
    pub fn failed(&mut self, key: &K, now: Instant) {
        if let Some(Flying { rank, again, .. }) = self.flying.remove(key) {
            let failures = self.failures.entry(key.clone()).or_default();
            let wait = (RETRY.0 * 2u32.saturating_pow(*failures)).min(RETRY.1);
            *failures = (*failures + 1).min(16);
            self.later.insert(key.clone(), (again.unwrap_or(rank), now + wait));
        }
    }

    /// When the next one is due that waits.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.values().map(|(_, at)| *at).chain(self.waiting()).min()
    }

    /// How many failed and were not mended so far.
    pub fn failures(&self) -> usize {
        self.failures.len()
    }

    /// How many are to be looked at, under way, or waiting.
    pub fn depth(&self) -> usize {
        self.ready.len() + self.flying.len() + self.later.len() + self.waiting().count()
    }

    /// Whether nothing is to do or under way.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty()
            && self.flying.is_empty()
            && self.later.is_empty()
            && self.waiting().next().is_none()
    }

    /// What is to be looked at when what was written was heard of, and until when that is waited for.
    fn waiting(&self) -> impl Iterator<Item = Instant> {
        self.unheard.values().filter(|(rank, _)| rank.is_some()).map(|(_, until)| *until)
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
        queue.fine(&key("link"));
        assert_eq!(next(&mut queue, now), None);
        queue.fine(&key("slice"));
        assert_eq!(next(&mut queue, now).as_deref(), Some("node"));
        queue.fine(&key("node"));
        assert!(queue.is_idle());
    }

    #[test]
    fn what_changes_while_it_is_looked_at_is_looked_at_again() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(SECOND, key("a"));
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
        queue.add(SECOND, key("a"));
        assert_eq!(next(&mut queue, now), None);
        queue.fine(&key("a"));
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
    }

    #[test]
    fn what_was_written_is_not_looked_at_before_it_was_heard_of() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let write = |queue: &mut Queue<u8, String>| {
            queue.add(FIRST, key("a"));
            assert_eq!(next(queue, now).as_deref(), Some("a"));
        };
        write(&mut queue);
        queue.written(&key("a"), now);
        assert!(queue.is_idle() && queue.next_due().is_none(), "nobody asks for it");
        queue.add(FIRST, key("a"));
        assert_eq!((queue.depth(), queue.next_due()), (1, Some(now + ECHO)));
        assert_eq!(next(&mut queue, now + ECHO - Duration::from_millis(1)), None);
        queue.heard(&key("a"));
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
        // A write that changed nothing is never heard of.
        queue.add(FIRST, key("a"));
        queue.written(&key("a"), now);
        assert_eq!(next(&mut queue, now), None);
        assert_eq!(next(&mut queue, now + ECHO).as_deref(), Some("a"));
        queue.fine(&key("a"));
        // The watch was faster than the answer.
        write(&mut queue);
        queue.heard(&key("a"));
        queue.add(FIRST, key("a"));
        queue.written(&key("a"), now);
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
        queue.fine(&key("a"));
        assert!(queue.is_idle());
    }

    #[test]
    fn a_failure_is_tried_again_later_and_later_and_holds_nobody_up() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.add(FIRST, key("bad"));
        queue.add(SECOND, key("good"));
        let mut now = start;
        assert_eq!(next(&mut queue, now).as_deref(), Some("bad"));
        queue.failed(&key("bad"), now);
        assert_eq!((queue.failures(), queue.depth()), (1, 2));
        assert_eq!(next(&mut queue, now).as_deref(), Some("good"));
        queue.fine(&key("good"));
        for wait in [1, 2, 4] {
            queue.add(FIRST, key("bad"));
            now += RETRY.0 * wait - Duration::from_millis(1);
            assert_eq!(next(&mut queue, now), None, "after {wait}");
            now += Duration::from_millis(1);
            assert_eq!(queue.next_due(), Some(now));
            assert_eq!(next(&mut queue, now).as_deref(), Some("bad"));
            queue.failed(&key("bad"), now);
        }
        now += RETRY.1;
        assert_eq!(next(&mut queue, now).as_deref(), Some("bad"));
        queue.fine(&key("bad"));
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
