//! How the probes of a pool ended since it is probed, for who counts over longer times than a detector does.

use std::time::Duration;

/// Upper bound of the first bucket of a [`Distribution`].
const FIRST: f64 = 12.5e-6;
/// Buckets to a doubling.
const STEPS: u32 = 4;
/// The last bucket ends at 3.3 s, when no answer is recognised any more.
const BUCKETS: usize = 18 * STEPS as usize + 1;

/// Round-trip times in buckets, each a fifth wider than the one before it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Distribution([u64; BUCKETS]);

impl Default for Distribution {
    fn default() -> Self {
        Distribution([0; BUCKETS])
    }
}

/// The bucket of a round-trip time.
fn bucket(rtt: Duration) -> usize {
    let place = (rtt.as_secs_f64() / FIRST).log2() * f64::from(STEPS);
    // Of what is exactly at a bound, logarithms may say a little more.
    let place = (place - 1e-9).ceil().max(0.0);
    (place as usize).min(BUCKETS - 1)
}

/// The upper bound of a bucket, in seconds.
fn bound(bucket: usize) -> f64 {
    FIRST * 2f64.powf(bucket as f64 / f64::from(STEPS))
}

impl Distribution {
    /// Takes in a round-trip time.
    pub fn add(&mut self, rtt: Duration) {
        self.0[bucket(rtt)] += 1;
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// How many are at most `seconds`, to the next bucket: exact at 12.5 µs and its doubles.
    pub fn within(&self, seconds: f64) -> u64 {
        let upto = |(place, _): &(usize, &u64)| bound(*place) <= seconds * 1.000_001;
        self.0.iter().enumerate().take_while(upto).map(|(_, count)| count).sum()
    }

    /// What came since `earlier`, which is this distribution as it was then.
    pub fn since(&self, earlier: &Distribution) -> Distribution {
        let mut rest = self.clone();
        for (now, before) in rest.0.iter_mut().zip(&earlier.0) {
            *now = now.saturating_sub(*before);
        }
        rest
    }

    /// The median, to a tenth; `None` if there is nothing.
    pub fn median(&self) -> Option<Duration> {
        let half = self.count().div_ceil(2);
        let mut seen = 0;
        let place = self.0.iter().position(|count| {
            seen += count;
            half > 0 && seen >= half
        })?;
        // The middle of the bucket.
        Some(Duration::from_secs_f64(bound(place) / 2f64.powf(0.5 / f64::from(STEPS))))
    }
}

/// How probes ended. Each probe is counted once; those that were under way while the prober was late and were not
/// answered are not counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Round-trip times of those that were answered, late ones too.
    pub rtts: Distribution,
    /// Their sum.
    pub sum: Duration,
    /// Those that were not answered while an answer would have been recognised.
    pub lost: u64,
    /// How many of these went to targets that were dead: nothing but probes is sent there.
    pub lost_unused: u64,
}

impl Tally {
    /// What came since `earlier`, which is this tally as it was then.
    pub fn since(&self, earlier: &Tally) -> Tally {
        Tally {
            rtts: self.rtts.since(&earlier.rtts),
            sum: self.sum.saturating_sub(earlier.sum),
            lost: self.lost.saturating_sub(earlier.lost),
            lost_unused: self.lost_unused.saturating_sub(earlier.lost_unused),
        }
    }

    /// A probe was answered.
    pub(crate) fn answered(&mut self, rtt: Duration) {
        self.rtts.add(rtt);
        self.sum += rtt;
    }

    /// Takes all of `other` in, and empties it; of a target that is in use, or dead.
    pub(crate) fn take(&mut self, other: &mut Outcomes, used: bool) {
        let lost = u64::from(std::mem::take(&mut other.lost));
        self.lost += lost;
        self.lost_unused += if used { 0 } else { lost };
        other.rtts.drain(..).for_each(|rtt| self.answered(rtt));
    }
}

/// How the probes of one target ended since that was last taken.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Outcomes {
    pub rtts: Vec<Duration>,
    pub lost: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(micros: &[u64]) -> Distribution {
        let mut all = Distribution::default();
        micros.iter().for_each(|us| all.add(Duration::from_micros(*us)));
        all
    }

    #[test]
    fn what_is_within_a_doubled_bound_is_counted_exactly() {
        let all = of(&[1, 50, 51, 100, 101, 819_200, 819_201, 3_000_000, 60_000_000]);
        let within: Vec<u64> =
            [50e-6, 100e-6, 200e-6, 0.8192].iter().map(|bound| all.within(*bound)).collect();
        assert_eq!((within, all.count()), (vec![2, 4, 5, 6], 9));
    }

    #[test]
    fn the_median_is_true_to_a_tenth() {
        assert_eq!(of(&[]).median(), None);
        for (all, median) in
            [(vec![400], 400.0), (vec![90, 100, 110, 5_000], 100.0), (vec![20, 700_000, 700_000], 7e5)]
        {
            let told = of(&all).median().unwrap().as_secs_f64() * 1e6;
            assert!((told / median - 1.0).abs() < 0.1, "{all:?}: {told}");
        }
        let (earlier, now) = (of(&[50; 100]), of(&[&[50; 100][..], &[900; 3]].concat()));
        let told = now.since(&earlier).median().unwrap().as_micros();
        assert!((800..1000).contains(&told), "{told}");
    }
}
