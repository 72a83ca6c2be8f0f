//! Which objects to look at next: by rank, each once at a time, and again later after a failure.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use causeway_api::{Kind, ObjectRef};
use tokio::time::Instant;

/// First and longest wait before an object that could not be written is tried again.
const RETRY: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(30));

/// When an object's turn is. Whatever has a lower rank is finished first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rank {
    /// What a restart needs to know: allocations of clusters.
    Allocations,
    /// Peers and links, so that a node that learns of its role finds them.
    Peers,
    /// Roles of nodes.
    Nodes,
    /// What is said about facts.
    Findings,
    /// What is no more: last, so that the new way is there before the old one goes.
    Removals,
}

/// The rank of an object that is, or is not, part of the plan.
pub fn rank(key: &ObjectRef, planned: bool) -> Rank {
    match key.kind {
        Kind::ClusterSet | Kind::Cluster => Rank::Allocations,
        Kind::ClusterNode => Rank::Findings,
        Kind::NodeConfig | Kind::ClusterLink | Kind::PeerSlice if !planned => Rank::Removals,
        Kind::NodeConfig => Rank::Nodes,
        Kind::ClusterLink | Kind::PeerSlice => Rank::Peers,
    }
}

/// Objects to look at.
#[derive(Debug, Default)]
pub struct Queue {
    ready: BTreeSet<(Rank, ObjectRef)>,
    flying: BTreeMap<ObjectRef, Rank>,
    /// Objects that changed while they were being written.
    again: BTreeMap<ObjectRef, Rank>,
    /// Objects that wait after a failure.
    later: BTreeMap<ObjectRef, (Rank, Instant)>,
    /// How often objects failed in a row.
    failures: BTreeMap<ObjectRef, u32>,
}

impl Queue {
    /// Adds an object. One that failed keeps waiting for its next turn.
    pub fn add(&mut self, rank: Rank, key: ObjectRef) {
        if self.flying.contains_key(&key) {
            self.again.insert(key, rank);
        } else if let Some((waiting, _)) = self.later.get_mut(&key) {
            *waiting = rank;
        } else {
            self.ready.insert((rank, key));
        }
    }

    /// The next object, among those for which `may` holds. It is being looked at until it is
    /// [done](Queue::done).
    pub fn next(&mut self, now: Instant, may: impl Fn(&ObjectRef) -> bool) -> Option<ObjectRef> {
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

    /// The object is as it should be, or its request failed.
    pub fn done(&mut self, key: &ObjectRef, succeeded: bool, now: Instant) {
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

    /// When the next failed object is due.
    pub fn next_due(&self) -> Option<Instant> {
        self.later.values().map(|(_, at)| *at).min()
    }

    /// How many objects could not be written so far.
    pub fn failed(&self) -> usize {
        self.failures.len()
    }

    /// Whether nothing is to do or under way.
    pub fn is_idle(&self) -> bool {
        self.ready.is_empty() && self.flying.is_empty() && self.later.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str) -> ObjectRef {
        ObjectRef { kind: Kind::NodeConfig, namespace: Some("n".to_owned()), name: name.to_owned() }
    }

    fn next(queue: &mut Queue, now: Instant) -> Option<String> {
        queue.next(now, |_| true).map(|key| key.name)
    }

    #[test]
    fn a_higher_rank_waits_until_the_lower_is_done() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(Rank::Nodes, key("node"));
        queue.add(Rank::Peers, key("slice"));
        queue.add(Rank::Peers, key("link"));
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
    fn what_changes_while_it_is_written_is_looked_at_again() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(Rank::Nodes, key("a"));
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
        queue.add(Rank::Nodes, key("a"));
        assert_eq!(next(&mut queue, now), None);
        queue.done(&key("a"), true, now);
        assert_eq!(next(&mut queue, now).as_deref(), Some("a"));
    }

    #[test]
    fn a_failure_is_tried_again_later_and_later_and_holds_nobody_up() {
        let (mut queue, start) = (Queue::default(), Instant::now());
        queue.add(Rank::Peers, key("bad"));
        queue.add(Rank::Nodes, key("good"));
        let mut now = start;
        assert_eq!(next(&mut queue, now).as_deref(), Some("bad"));
        queue.done(&key("bad"), false, now);
        assert_eq!(queue.failed(), 1);
        assert_eq!(next(&mut queue, now).as_deref(), Some("good"));
        queue.done(&key("good"), true, now);
        for wait in [1, 2, 4] {
            queue.add(Rank::Peers, key("bad"));
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
    fn objects_that_may_not_be_written_yet_hold_nobody_up() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        queue.add(Rank::Peers, key("a"));
        queue.add(Rank::Nodes, key("b"));
        let taken = queue.next(now, |key| key.name != "a");
        assert_eq!(taken.map(|key| key.name).as_deref(), Some("b"));
    }
}
