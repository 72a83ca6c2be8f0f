//! What is made of repeated measurements: medians, intervals, growth.
//!
//! Nothing here measures. Random choices come from a generator with a fixed seed, so that the same
//! samples always give the same interval.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How often samples are drawn anew for an interval.
const RESAMPLES: usize = 2_000;

/// Pseudo-random numbers (SplitMix64): for the order of trials and for resampling.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// The sequence that belongs to `seed`.
    pub fn new(seed: u64) -> Random {
        Random(seed)
    }

    /// The next number.
    pub fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.number() % end.max(1) as u64) as usize
    }

    /// Puts `items` into random order.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last + 1));
        }
    }
}

/// A median and the interval in which it lies with 95 % confidence.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    /// The median of the samples.
    pub median: f64,
    /// Lower end of the interval.
    pub low: f64,
    /// Upper end of the interval.
    pub high: f64,
}

impl Estimate {
    /// From samples, by the percentile bootstrap. Not a number if there are none.
    pub fn of(samples: &[f64]) -> Estimate {
        let mut random = Random::new(1);
        let medians: Vec<f64> = (0..RESAMPLES)
            .map(|_| {
                let drawn: Vec<f64> = samples.iter().map(|_| samples[random.below(samples.len())]).collect();
                median(&drawn)
            })
            .collect();
        Estimate { median: median(samples), low: quantile(&medians, 0.025), high: quantile(&medians, 0.975) }
    }
}

/// The middle sample, or the mean of the two in the middle. Not a number if there are none.
pub fn median(samples: &[f64]) -> f64 {
    quantile(samples, 0.5)
}

/// The sample below which the share `q` of all lies, interpolated. Not a number if there are none.
pub fn quantile(samples: &[f64], q: f64) -> f64 {
    let mut sorted = samples.to_vec();
    sorted.sort_by(f64::total_cmp);
    let place = q.clamp(0.0, 1.0) * sorted.len().saturating_sub(1) as f64;
    let (below, above) = (place.floor() as usize, place.ceil() as usize);
    match (sorted.get(below), sorted.get(above)) {
        (Some(low), Some(high)) => low + (high - low) * (place - place.floor()),
        _ => f64::NAN,
    }
}

/// The exponent `e` of the power law `y = c · x^e` that fits the points best (least squares of the
/// logarithms): 0 for what does not grow, 1 for linear. Not a number for fewer than two points.
pub fn growth_exponent(points: &[(f64, f64)]) -> f64 {
    let logs: Vec<(f64, f64)> = points.iter().map(|(x, y)| (x.ln(), y.ln())).collect();
    let count = logs.len() as f64;
    let mean_x = logs.iter().map(|p| p.0).sum::<f64>() / count;
    let mean_y = logs.iter().map(|p| p.1).sum::<f64>() / count;
    let covariance: f64 = logs.iter().map(|(x, y)| (x - mean_x) * (y - mean_y)).sum();
    let variance: f64 = logs.iter().map(|(x, _)| (x - mean_x).powi(2)).sum();
    covariance / variance
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_of_samples_lies_between_the_middle_two() {
        assert_eq!(median(&[4.0, 1.0, 3.0]), 3.0);
        assert_eq!(median(&[4.0, 1.0, 3.0, 2.0]), 2.5);
        assert_eq!(median(&[7.0]), 7.0);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn quantiles_are_interpolated_between_samples() {
        let samples = [0.0, 10.0, 20.0, 30.0, 40.0];
        assert_eq!(quantile(&samples, 0.0), 0.0);
        assert_eq!(quantile(&samples, 1.0), 40.0);
        assert_eq!(quantile(&samples, 0.375), 15.0);
    }

    #[test]
    fn an_interval_holds_its_median_and_narrows_with_more_samples() {
        let samples = |count: u64| -> Vec<f64> {
            let mut random = Random::new(7);
            (0..count).map(|_| 3.0 + (random.below(1_000) as f64) / 1_000.0).collect()
        };
        let (few, many) = (Estimate::of(&samples(8)), Estimate::of(&samples(400)));
        for estimate in [few, many] {
            assert!(estimate.low <= estimate.median && estimate.median <= estimate.high, "{estimate:?}");
        }
        assert!(many.high - many.low < few.high - few.low, "{few:?} {many:?}");
        assert!((3.4..3.6).contains(&many.median), "{many:?}");
    }

    #[test]
    fn equal_samples_leave_no_doubt() {
        assert_eq!(Estimate::of(&[2.0; 5]), Estimate { median: 2.0, low: 2.0, high: 2.0 });
        assert!(Estimate::of(&[]).median.is_nan());
    }

    #[test]
    fn a_single_outlier_does_not_move_the_estimate() {
        let estimate = Estimate::of(&[3.0, 3.1, 3.2, 3.1, 3.0, 3.1, 3.2, 3.1, 90.0]);
        assert_eq!(estimate.median, 3.1);
        assert!(estimate.high < 4.0, "{estimate:?}");
    }

    #[test]
    fn growth_is_told_from_the_slope_of_the_logarithms() {
        let sizes = [1e3, 1e4, 1e5];
        let fit = |y: fn(f64) -> f64| growth_exponent(&sizes.map(|x| (x, y(x))));
        assert!((fit(|x| 5.0 * x) - 1.0).abs() < 1e-9);
        assert!(fit(|_| 42.0).abs() < 1e-9);
        assert!((fit(|x| 0.1 * x * x) - 2.0).abs() < 1e-9);
        assert!(growth_exponent(&[(1.0, 1.0)]).is_nan());
    }

    #[test]
    fn a_shuffle_keeps_all_and_changes_the_order() {
        let mut items: Vec<u32> = (0..100).collect();
        Random::new(3).shuffle(&mut items);
        assert_ne!(items, (0..100).collect::<Vec<_>>());
        items.sort_unstable();
        assert_eq!(items, (0..100).collect::<Vec<_>>());
    }
}
