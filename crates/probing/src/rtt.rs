//! Smoothed round-trip time, and how long an answer is waited for (as RFC 6298 §2).

use std::time::Duration;

/// The wait before anything was measured.
const FIRST: Duration = Duration::from_secs(1);
/// The shortest wait: what a busy host may take to answer.
const FLOOR: Duration = Duration::from_millis(50);
/// The longest wait.
const CAP: Duration = Duration::from_secs(1);

/// A smoothed round-trip time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Rtt(Option<(Duration, Duration)>);

impl Rtt {
    /// Takes in a measurement.
    pub fn measured(&mut self, rtt: Duration) {
        self.0 = Some(match self.0 {
            None => (rtt, rtt / 2),
            Some((smooth, jitter)) => ((smooth * 7 + rtt) / 8, (jitter * 3 + smooth.abs_diff(rtt)) / 4),
        });
    }

    /// The smoothed round-trip time.
    pub fn smooth(&self) -> Option<Duration> {
        self.0.map(|(smooth, _)| smooth)
    }

    /// Its smoothed deviation.
    pub fn jitter(&self) -> Option<Duration> {
        self.0.map(|(_, jitter)| jitter)
    }

    /// The time after which most answers are there.
    fn usual(&self) -> Option<Duration> {
        self.0.map(|(smooth, jitter)| smooth + jitter * 4)
    }

    /// After how long a probe without an answer is lost.
    pub fn wait(&self) -> Duration {
        self.usual().map_or(FIRST, |usual| usual.clamp(FLOOR, CAP))
    }

    /// After how long a probe without an answer is a reason to look closer, at least `floor`.
    pub fn doubt(&self, floor: Duration) -> Duration {
        self.usual().map_or(FIRST, |usual| usual.clamp(floor.min(CAP), CAP))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_wait_follows_what_is_measured_between_floor_and_cap() {
        let mut rtt = Rtt::default();
        assert_eq!(rtt.wait(), FIRST);
        (0..50).for_each(|_| rtt.measured(Duration::from_millis(1)));
        assert_eq!(rtt.wait(), FLOOR);
        assert_eq!(rtt.doubt(Duration::from_millis(20)), Duration::from_millis(20));
        rtt.measured(Duration::from_millis(200));
        assert!(rtt.wait() > Duration::from_millis(200), "{:?}", rtt.wait());
        (0..200).for_each(|_| rtt.measured(Duration::from_millis(80)));
        assert!(rtt.wait() >= Duration::from_millis(80) && rtt.wait() < Duration::from_millis(90));
        rtt.measured(Duration::from_secs(9));
        assert_eq!(rtt.wait(), CAP);
    }
}
