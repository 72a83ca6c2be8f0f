//! Loss over the last minute, second by second.

use std::time::Instant;

const SECONDS: usize = 60;

/// Probes answered and lost in the last minute.
#[derive(Clone, Debug)]
pub(crate) struct Loss {
    began: Instant,
    /// Which second the newest count is of.
    second: u64,
    counts: [(u16, u16); SECONDS],
}

impl Loss {
    pub fn new(now: Instant) -> Loss {
        Loss { began: now, second: 0, counts: [(0, 0); SECONDS] }
    }

    /// Counts a probe whose fate was decided at `now`.
    pub fn count(&mut self, now: Instant, lost: bool) {
        self.advance(now);
        let (sent, missing) = &mut self.counts[slot(self.second)];
        *sent = sent.saturating_add(1);
        *missing = missing.saturating_add(u16::from(lost));
    }

    /// Probes, and how many of them were lost.
    pub fn totals(&self, now: Instant) -> (u32, u32) {
        let mut upto = self.clone();
        upto.advance(now);
        upto.counts
            .iter()
            .fold((0, 0), |(sent, lost), one| (sent + u32::from(one.0), lost + u32::from(one.1)))
    }

    /// Forgets what is more than a minute old.
    fn advance(&mut self, now: Instant) {
        let second = now.saturating_duration_since(self.began).as_secs();
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        for step in 0..passed {
            self.counts[slot(second - step)] = (0, 0);
        }
        self.second = self.second.max(second);
    }
}

fn slot(second: u64) -> usize {
    (second % SECONDS as u64) as usize
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_minute_is_counted_and_what_is_older_forgotten() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut loss = Loss::new(start);
        loss.count(at(0), true);
        loss.count(at(30), false);
        assert_eq!(loss.totals(at(59)), (2, 1));
        assert_eq!(loss.totals(at(60)), (1, 0));
        assert_eq!(loss.totals(at(300)), (0, 0));
        loss.count(at(301), true);
        assert_eq!(loss.totals(at(302)), (1, 1));
    }
}
