//! What the dashboard remembers of links: how each was, and since when, for an hour. Pure: the caller says what time it is.
//!
//! Only changes are kept. The bounds: [`SPAN`] back, [`CHANGES`] changes of a link, [`LINKS`] links; 2,000,000
//! changes of 24 bytes at the very most, and in a calm clusterset one a link.

use std::collections::{BTreeMap, VecDeque};

use schemars::JsonSchema;
use serde::Serialize;

use crate::status::State;

/// How far back is remembered, in seconds.
pub const SPAN: i64 = 3600;
/// How many changes of a link are kept, the latest.
pub const CHANGES: usize = 200;
/// How many links are remembered.
pub const LINKS: usize = 10_000;

/// How a link was from some time on, until the next one begins.
#[derive(Serialize, JsonSchema, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Moment {
    /// From when on, in seconds since 1970 (UTC).
    pub at: i64,
    /// How it was. Absent if nobody could see it, or it was not there.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<State>,
    /// Median round-trip time in microseconds. Absent if none was told.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rtt_microseconds: Option<u32>,
}

/// How a link is at one time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen<'a> {
    /// The source cluster.
    pub from: &'a str,
    /// The remote cluster.
    pub to: &'a str,
    /// How it is.
    pub state: State,
    /// Median round-trip time in microseconds.
    pub rtt_microseconds: Option<u32>,
}

/// How links were.
#[derive(Default, Debug)]
pub struct History(BTreeMap<(String, String), VecDeque<Moment>>);

impl History {
    /// Takes in how all links are at `now`.
    pub fn note<'a>(&mut self, now: i64, links: impl IntoIterator<Item = Seen<'a>>) {
        let mut gone: Vec<(String, String)> = Vec::new();
        let mut seen = BTreeMap::new();
        for link in links {
            let key = (link.from.to_owned(), link.to.to_owned());
            seen.insert(
                key,
                Moment { at: now, state: Some(link.state), rtt_microseconds: link.rtt_microseconds },
            );
        }
        for (key, moments) in &mut self.0 {
            let moment = seen.remove(key).unwrap_or(unseen(now));
            push(moments, moment);
            if moments.len() == 1 && moment.state.is_none() {
                gone.push(key.clone());
            }
        }
        for key in gone {
            self.0.remove(&key);
        }
        for (key, moment) in seen {
            if self.0.len() < LINKS {
                self.0.insert(key, VecDeque::from([moment]));
            }
        }
    }

    /// Takes in that at `now` nobody can see how links are.
    pub fn blind(&mut self, now: i64) {
        for moments in self.0.values_mut() {
            push(moments, unseen(now));
        }
    }

    /// How one link was, the oldest first.
    pub fn of(&self, from: &str, to: &str) -> Vec<Moment> {
        let moments = self.0.get(&(from.to_owned(), to.to_owned()));
        moments.into_iter().flatten().copied().collect()
    }
}

fn unseen(at: i64) -> Moment {
    Moment { at, state: None, rtt_microseconds: None }
}

/// Adds `moment` if it is another than the last one, and forgets what is too old or too much.
fn push(moments: &mut VecDeque<Moment>, moment: Moment) {
    let same = |last: &Moment| (last.state, last.rtt_microseconds) == (moment.state, moment.rtt_microseconds);
    if !moments.back().is_some_and(same) {
        moments.push_back(moment);
    }
    // One that began before the span still holds at its beginning, until the next one began before it too.
    while moments.len() > CHANGES || moments.get(1).is_some_and(|next| next.at <= moment.at - SPAN) {
        moments.pop_front();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(to: &str, state: State, rtt: Option<u32>) -> Seen<'_> {
        Seen { from: "a", to, state, rtt_microseconds: rtt }
    }

    fn moment(at: i64, state: Option<State>, rtt_microseconds: Option<u32>) -> Moment {
        Moment { at, state, rtt_microseconds }
    }

    #[test]
    fn only_changes_are_kept() {
        let mut history = History::default();
        for (now, rtt) in [(0, 400), (5, 400), (10, 900), (15, 900)] {
            history.note(now, [seen("b", State::Ready, Some(rtt))]);
        }
        let ready = Some(State::Ready);
        assert_eq!(history.of("a", "b"), [moment(0, ready, Some(400)), moment(10, ready, Some(900))]);
        assert!(history.of("b", "a").is_empty());
    }

    #[test]
    fn not_to_be_seen_is_neither_as_before_nor_gone() {
        let mut history = History::default();
        history.note(0, [seen("b", State::Ready, None)]);
        history.blind(5);
        history.blind(10);
        history.note(15, [seen("b", State::Ready, None)]);
        let ready = Some(State::Ready);
        assert_eq!(
            history.of("a", "b"),
            [moment(0, ready, None), moment(5, None, None), moment(15, ready, None)]
        );
    }

    #[test]
    fn what_ended_an_hour_ago_is_forgotten_and_what_still_held_then_is_not() {
        let mut history = History::default();
        history.note(0, [seen("b", State::Ready, None)]);
        history.note(100, [seen("b", State::NotReady, None)]);
        history.note(SPAN + 99, [seen("b", State::NotReady, None)]);
        assert_eq!(history.of("a", "b").len(), 2);
        history.note(SPAN + 100, [seen("b", State::NotReady, None)]);
        assert_eq!(history.of("a", "b"), [moment(100, Some(State::NotReady), None)]);
        history.note(9 * SPAN, [seen("b", State::NotReady, None)]);
        assert_eq!(history.of("a", "b"), [moment(100, Some(State::NotReady), None)], "since when it is so");
    }

    #[test]
    fn a_link_that_is_gone_is_forgotten_an_hour_later() {
        let mut history = History::default();
        history.note(0, [seen("b", State::Ready, None), seen("c", State::Ready, None)]);
        history.note(10, [seen("c", State::Ready, None)]);
        assert_eq!(history.of("a", "b").len(), 2);
        history.note(10 + SPAN, [seen("c", State::Ready, None)]);
        assert!(history.of("a", "b").is_empty());
        assert_eq!(history.of("a", "c").len(), 1);
    }

    #[test]
    fn a_link_that_changes_all_the_time_and_links_without_end_take_bounded_memory() {
        let mut history = History::default();
        for now in 0..1000 {
            history.note(now, [seen("b", State::Ready, u32::try_from(now).ok())]);
        }
        let kept = history.of("a", "b");
        assert_eq!((kept.len(), kept[CHANGES - 1].at), (CHANGES, 999));
        let names: Vec<String> = (0..LINKS + 5).map(|number| format!("n{number:06}")).collect();
        history.note(1000, names.iter().map(|name| seen(name, State::Ready, None)));
        assert_eq!(history.0.len(), LINKS);
    }
}
