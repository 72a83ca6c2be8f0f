//! What is bad for so long that a person must know: a restart, a node that joins, a moment's trouble is nobody's
//! business. It is told once while it lasts, and that it is over only if it was told.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::events::News;

/// How long something has to be bad to be told.
pub const LASTS: Duration = Duration::from_secs(60);

/// What is bad, by what it is about.
#[derive(Clone, Debug)]
pub struct Lasting<K>(BTreeMap<K, Bad>);

#[derive(Clone, Debug)]
struct Bad {
    since: Instant,
    told: bool,
    news: News,
}

impl<K> Default for Lasting<K> {
    fn default() -> Lasting<K> {
        Lasting(BTreeMap::new())
    }
}

impl<K: Ord + Clone> Lasting<K> {
    /// How it is with `key` now. That it is good again is to be told if this returns it.
    pub fn is(&mut self, key: K, news: News, now: Instant) -> Option<News> {
        if news.good {
            return self.0.remove(&key).filter(|bad| bad.told).map(|_| news);
        }
        match self.0.get_mut(&key) {
            // The text may change all the time.
            Some(bad) => bad.news = news,
            None => drop(self.0.insert(key, Bad { since: now, told: false, news })),
        }
        None
    }

    /// There is no `key` any more, and so nothing to be told of it.
    pub fn forget(&mut self, key: &K) {
        self.0.remove(key);
    }

    /// What is bad now.
    pub fn bad(&self) -> impl Iterator<Item = &K> {
        self.0.keys()
    }

    /// What has become bad for long, to be told.
    pub fn due(&mut self, now: Instant) -> Vec<(K, News)> {
        let due = self.0.iter_mut().filter(|(_, bad)| !bad.told && now.duration_since(bad.since) >= LASTS);
        due.map(|(key, bad)| {
            bad.told = true;
            (key.clone(), bad.news.clone())
        })
        .collect()
    }

    /// When [`Lasting::due`] has something, if nothing changes before.
    pub fn next_due(&self) -> Option<Instant> {
        self.0.values().filter(|bad| !bad.told).map(|bad| bad.since + LASTS).min()
    }

    /// Somebody else told it before: what is bad is to be told again.
    pub fn untold(&mut self) {
        self.0.values_mut().for_each(|bad| bad.told = false);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn news(good: bool, message: &str) -> News {
        News { good, reason: "R".to_owned(), message: message.to_owned() }
    }

    fn told(due: Vec<(&'static str, News)>) -> Vec<(&'static str, String)> {
        due.into_iter().map(|(key, news)| (key, news.message)).collect()
    }

    #[test]
    fn what_lasts_is_told_once_in_its_last_words_and_its_end_if_it_was_told() {
        let start = Instant::now();
        let mut lasting = Lasting::default();
        assert_eq!(lasting.is("a", news(false, "1"), start), None);
        assert_eq!(lasting.is("a", news(false, "2"), start + LASTS / 2), None);
        assert_eq!(lasting.next_due(), Some(start + LASTS));
        assert!(lasting.due(start + LASTS - Duration::from_millis(1)).is_empty());
        assert_eq!(told(lasting.due(start + LASTS)), [("a", "2".to_owned())]);
        assert_eq!(lasting.next_due(), None);
        assert!(lasting.due(start + LASTS * 3).is_empty());
        assert_eq!(lasting.is("a", news(true, "3"), start + LASTS * 3), Some(news(true, "3")));
        assert_eq!(lasting.is("a", news(true, "4"), start + LASTS * 4), None);
    }

    #[test]
    fn what_ends_before_and_what_is_gone_is_nobodys_business() {
        let start = Instant::now();
        let mut lasting = Lasting::default();
        lasting.is("a", news(false, "1"), start);
        assert_eq!(lasting.is("a", news(true, "2"), start + LASTS / 2), None);
        lasting.is("b", news(false, "1"), start);
        lasting.due(start + LASTS);
        lasting.forget(&"b");
        assert_eq!(lasting.is("b", news(true, "2"), start + LASTS * 2), None);
    }

    #[test]
    fn who_takes_over_tells_again() {
        let start = Instant::now();
        let mut lasting = Lasting::default();
        lasting.is("a", news(false, "1"), start);
        assert_eq!(lasting.due(start + LASTS).len(), 1);
        lasting.untold();
        assert_eq!(lasting.due(start + LASTS).len(), 1);
    }
}
