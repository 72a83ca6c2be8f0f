//! From slices to figures: quotients of each round, the control, and when a run is no ground for a verdict.

use causeway_pathbench::statistics::Estimate;

/// By how much a layout may differ from itself in a run that is to be believed.
pub const CONTROL: f64 = 0.02;

/// One figure of one layout in one round.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Sample {
    /// The layout, by its place in the list.
    pub path: usize,
    /// The round.
    pub round: u32,
    /// The figure.
    pub value: f64,
}

/// Figures of one layout, by round.
pub fn of_path(samples: &[Sample], path: usize) -> Vec<f64> {
    let mut found: Vec<&Sample> = samples.iter().filter(|sample| sample.path == path).collect();
    found.sort_by_key(|sample| sample.round);
    found.iter().map(|sample| sample.value).collect()
}

/// One layout over another: the median of the quotients of each round, with its interval.
pub fn quotient(samples: &[Sample], above: usize, below: usize) -> Estimate {
    pairs(samples, above, below, |above, below| above / below)
}

/// One layout minus another, likewise.
pub fn difference(samples: &[Sample], above: usize, below: usize) -> Estimate {
    pairs(samples, above, below, |above, below| above - below)
}

fn pairs(samples: &[Sample], above: usize, below: usize, of: fn(f64, f64) -> f64) -> Estimate {
    let (above, below) = (of_path(samples, above), of_path(samples, below));
    Estimate::of(&above.into_iter().zip(below).map(|(above, below)| of(above, below)).collect::<Vec<f64>>())
}

/// How far apart the same layout may be under two names, from the interval of the control of this very run: at most
/// [`CONTROL`], and never less than what the run cannot tell apart.
pub fn tolerance(control: &Estimate) -> f64 {
    let widest = (control.low - 1.0).abs().max((control.high - 1.0).abs());
    widest.min(CONTROL)
}

/// Why figures of a run can be no ground for a verdict, if so.
pub fn doubt(control: &Estimate, load: f64, cores: usize) -> Option<String> {
    let off = (control.median - 1.0).abs();
    let most = 1.5 * cores as f64;
    if off.is_nan() || off > CONTROL {
        return Some(format!("the same layout under two names differs by {:.1} %", off * 100.0));
    }
    (load > most).then(|| format!("load average {load:.1} on {cores} processors"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples() -> Vec<Sample> {
        // The machine is half as fast from round 2 on; the second layout takes a tenth more all the while.
        let speed = |round| if round < 2 { 1.0 } else { 2.0 };
        let of = |path: usize, factor: f64| {
            (0..4).rev().map(move |round| Sample { path, round, value: 10.0 * factor * speed(round) })
        };
        of(0, 1.0).chain(of(1, 1.1)).collect()
    }

    #[test]
    fn quotients_are_of_the_same_round_so_a_machine_that_slows_down_changes_none() {
        let found = quotient(&samples(), 1, 0);
        assert!((found.low - 1.1).abs() < 1e-9 && (found.high - 1.1).abs() < 1e-9, "{found:?}");
        assert!((difference(&samples(), 1, 0).median - 1.5).abs() < 1e-9);
        assert_eq!(of_path(&samples(), 0), [10.0, 10.0, 20.0, 20.0]);
    }

    #[test]
    fn a_control_that_is_off_by_more_than_two_percent_or_a_busy_machine_leaves_no_verdict() {
        let control = |median| Estimate { median, low: median - 0.01, high: median + 0.01 };
        assert_eq!(doubt(&control(1.015), 1.0, 2), None);
        assert!(doubt(&control(1.021), 1.0, 2).is_some_and(|why| why.contains("2.1 %")));
        assert!(doubt(&control(0.975), 1.0, 2).is_some());
        assert!(doubt(&control(1.0), 3.1, 2).is_some_and(|why| why.contains("load")));
        assert!(doubt(&control(f64::NAN), 0.0, 2).is_some());
    }

    #[test]
    fn the_tolerance_is_what_the_control_shows_and_never_more_than_two_percent() {
        let control = |low, high| Estimate { median: 1.0, low, high };
        assert!((tolerance(&control(0.995, 1.008)) - 0.008).abs() < 1e-9);
        assert!((tolerance(&control(0.988, 1.002)) - 0.012).abs() < 1e-9);
        assert_eq!(tolerance(&control(0.9, 1.1)), CONTROL);
    }
}
