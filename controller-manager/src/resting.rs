//! Sums over many nodes, which rest after they were written, and longer the longer they go on changing: the first
//! change is told at once, and a thousand nodes that join cost a few writes and not a thousand.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::item::Item;

/// How long a sum rests that has not changed for a while, and the longest that one rests.
const REST: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(10));

/// Which sums were written when.
#[derive(Default)]
pub struct Resting(BTreeMap<Item, Rest>);

#[derive(Clone, Copy)]
struct Rest {
    until: Instant,
    length: Duration,
}

impl Resting {
    /// A sum was written.
    pub fn written(&mut self, item: &Item, now: Instant) {
        let before = self.0.get(item).filter(|rest| now < rest.until + rest.length);
        let length = before.map_or(REST.0, |rest| (rest.length * 2).min(REST.1));
        self.0.insert(item.clone(), Rest { until: now + length, length });
    }

    /// Whether an item may be written now.
    pub fn may(&self, item: &Item, now: Instant) -> bool {
        self.0.get(item).is_none_or(|rest| rest.until <= now)
    }

    /// An item need not wait this time.
    pub fn wake(&mut self, item: &Item) {
        self.0.remove(item);
    }

    /// All is forgotten.
    pub fn clear(&mut self) {
        self.0.clear();
    }

    /// When the next one has rested.
    pub fn next_due(&self, now: Instant) -> Option<Instant> {
        self.0.values().map(|rest| rest.until).filter(|until| *until > now).min()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_changes_once_is_told_at_once_and_what_goes_on_changing_ever_more_rarely() {
        let start = Instant::now();
        let mut resting = Resting::default();
        let (mut now, mut writes) = (start, Vec::new());
        // A node joins every 100 ms for a minute.
        while now < start + Duration::from_secs(60) {
            if resting.may(&Item::ClusterStatus, now) {
                resting.written(&Item::ClusterStatus, now);
                writes.push((now - start).as_secs());
            }
            now += Duration::from_millis(100);
        }
        assert_eq!(writes, [0, 2, 6, 14, 24, 34, 44, 54]);
        assert_eq!(resting.next_due(now), Some(start + Duration::from_secs(64)));
        // Then nothing for a while: the next change is told at once, and rests as long as at first.
        now += Duration::from_secs(60);
        assert!(resting.may(&Item::ClusterStatus, now));
        resting.written(&Item::ClusterStatus, now);
        assert_eq!(resting.next_due(now), Some(now + Duration::from_secs(2)));
        resting.wake(&Item::ClusterStatus);
        assert!(resting.may(&Item::ClusterStatus, now));
    }
}
