//! What was measured against what is expected. Pure.

use std::time::Duration;

use serde::Serialize;

use super::row::{Bound, Row};

/// What was measured while a row was run.
#[derive(Clone, PartialEq, Debug, Default)]
pub(super) struct Measured {
    /// UDP packets sent, on all paths.
    pub sent: u64,
    /// UDP packets lost, on all paths.
    pub lost: u64,
    /// UDP packets lost on paths that must lose none.
    pub spared_lost: u64,
    /// The longest outage of a path that may be hit, one for each time that the fault was made.
    pub outages: Vec<Duration>,
    /// Time from the fault until what is expected had come about.
    pub took: Option<Duration>,
    /// What dealt with the fault.
    pub by: String,
    /// Flows over gateways that did not carry the fault, and how many of them moved.
    pub moved: Option<Moved>,
    /// TCP connections that broke.
    pub broken: u64,
    /// What is not as expected.
    pub misses: Vec<String>,
}

/// Flows that did not have to move, and how many did.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Moved {
    /// Flows over gateways that stayed.
    pub stayed: usize,
    /// How many of them took another gateway.
    pub moved: usize,
}

/// How long outages were over many repetitions, in milliseconds.
#[derive(Clone, Copy, PartialEq, Debug, Serialize)]
pub struct Gaps {
    /// Repetitions.
    pub count: usize,
    /// Median.
    pub p50: u64,
    /// 99th percentile: of 100 the second longest.
    pub p99: u64,
    /// The longest.
    pub max: u64,
}

impl Gaps {
    fn of(outages: &[Duration]) -> Option<Gaps> {
        let mut sorted: Vec<u64> = outages.iter().map(|outage| outage.as_millis() as u64).collect();
        sorted.sort_unstable();
        let max = *sorted.last()?;
        let at =
            |share: f64| sorted[((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1];
        Some(Gaps { count: sorted.len(), p50: at(0.5), p99: at(0.99), max })
    }
}

/// A row with what became of it.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Outcome {
    /// The row's name.
    pub name: String,
    /// The fault in words.
    pub fault: String,
    /// UDP packets sent.
    pub sent: u64,
    /// UDP packets lost.
    pub lost: u64,
    /// The longest outages; `None` if there is nothing to measure.
    pub gaps: Option<Gaps>,
    /// What the fault may cost.
    pub bound: Bound,
    /// Whether the bound holds for the time until the state is right, too.
    #[serde(skip)]
    pub repaired: bool,
    /// What dealt with it.
    pub recovered_by: String,
    /// Milliseconds from the fault until what is expected had come about.
    pub recovered_after: Option<u64>,
    /// Flows that moved though they did not have to.
    pub flows_moved: Option<Moved>,
    /// TCP connections that broke.
    pub broken_connections: u64,
    /// What did not come about as expected.
    pub misses: Vec<String>,
    /// What took longer than it may.
    pub late: Vec<String>,
}

impl Outcome {
    /// Whether all is as expected, and in time.
    pub fn holds(&self) -> bool {
        self.misses.is_empty() && self.late.is_empty()
    }

    /// A row that could not be run.
    pub(super) fn failed(row: &Row, bound: Bound, error: &crate::LabError) -> Outcome {
        let measured = Measured { misses: vec![format!("not run: {error}")], ..Measured::default() };
        judge(row, bound, false, measured)
    }
}

/// Judges a row. `repaired`: the bound holds for the time until the state is right, too.
pub(super) fn judge(row: &Row, bound: Bound, repaired: bool, measured: Measured) -> Outcome {
    let Measured { sent, lost, spared_lost, outages, took, by, moved, broken, mut misses } = measured;
    let gaps = Gaps::of(&outages);
    let mut late = Vec::new();
    if spared_lost > 0 {
        misses.push(format!("{spared_lost} packets lost on paths that must lose none"));
    }
    if let Bound::Within(most) = bound {
        if let Some(gaps) = gaps.filter(|gaps| gaps.max > most) {
            late.push(format!("{} ms without a way", gaps.max));
        }
        let after = took.map_or(0, |took| took.as_millis() as u64);
        if repaired && after > most {
            late.push(format!("right again after {after} ms"));
        }
    }
    Outcome {
        name: row.name.to_owned(),
        fault: row.fault.to_owned(),
        sent,
        lost,
        gaps,
        bound,
        repaired,
        recovered_by: by,
        recovered_after: took.map(|took| took.as_millis() as u64),
        flows_moved: moved,
        broken_connections: broken,
        misses,
        late,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::rows;

    fn judged(bound: Bound, measured: Measured) -> Outcome {
        judge(&rows()[0], bound, true, measured)
    }

    fn lasting(milliseconds: &[u64]) -> Measured {
        let outages = milliseconds.iter().map(|ms| Duration::from_millis(*ms)).collect();
        Measured { outages, ..Measured::default() }
    }

    #[test]
    fn of_a_hundred_the_second_longest_is_the_99th_percentile() {
        let all: Vec<u64> = (1..=100).collect();
        let gaps = judged(Bound::Within(100), lasting(&all)).gaps.unwrap();
        assert_eq!((gaps.count, gaps.p50, gaps.p99, gaps.max), (100, 50, 99, 100));
        assert_eq!(judged(Bound::Within(100), lasting(&[])).gaps, None);
    }

    #[test]
    fn a_bound_is_for_outages_and_for_the_time_until_the_state_is_right() {
        assert!(judged(Bound::Within(100), lasting(&[100])).holds());
        let slow = judged(Bound::Within(100), lasting(&[7, 101]));
        assert_eq!((slow.holds(), slow.misses.len(), slow.late.len()), (false, 0, 1));
        let took = Some(Duration::from_millis(101));
        assert!(!judged(Bound::Within(100), Measured { took, ..lasting(&[]) }).holds());
        assert!(judge(&rows()[0], Bound::Within(100), false, Measured { took, ..lasting(&[]) }).holds());
        assert!(judged(Bound::Reported, lasting(&[9000])).holds());
    }

    #[test]
    fn a_packet_lost_where_none_may_be_is_a_miss_whatever_the_bound() {
        for bound in [Bound::Lossless, Bound::Within(1000), Bound::Reported] {
            let outcome = judged(bound, Measured { spared_lost: 1, ..Measured::default() });
            assert_eq!((outcome.holds(), outcome.misses.len()), (false, 1));
        }
    }
}
