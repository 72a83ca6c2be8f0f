//! One figure, its unit, and what it is held to.

use std::fmt;

use serde::{Deserialize, Serialize};

use causeway_pathbench::statistics::Estimate;

/// Bytes of a mebibyte.
pub const MIB: f64 = 1024.0 * 1024.0;

/// What a figure is held to.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Bound {
    /// At most this.
    AtMost(f64),
    /// At least this.
    AtLeast(f64),
    /// Shown for the reader only.
    None,
}

/// Unit of a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Unit {
    /// Seconds, shown in the unit that fits.
    Seconds,
    /// Bytes, shown in binary units.
    Bytes,
    /// A quotient of two figures of the same run.
    Ratio,
    /// A count.
    Count,
    /// Entries per second.
    Rate,
    /// Bits per second.
    BitRate,
    /// The exponent of a power law.
    Exponent,
}

/// One measured figure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The figure: a median where it was taken more than once.
    pub value: f64,
    /// The interval in which it lies with 95 % confidence, where it was estimated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<(f64, f64)>,
    /// Its unit.
    pub unit: Unit,
    /// What it is held to.
    pub bound: Bound,
    /// What is said beside the figure, for example the difference beside a quotient.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub beside: Option<String>,
    /// Why the figure can be no ground for a verdict, if so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub doubt: Option<String>,
    /// Why the bound is not met, where that is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// What a figure says of its bound.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// There is no bound.
    Unbounded,
    /// The bound holds.
    Holds,
    /// It does not.
    Broken,
    /// The figure deserves too little trust to say.
    NotJudged,
}

impl Row {
    /// A figure without a bound.
    pub fn shown(what: impl Into<String>, value: f64, unit: Unit) -> Row {
        Row {
            what: what.into(),
            value,
            interval: None,
            unit,
            bound: Bound::None,
            beside: None,
            doubt: None,
            why: None,
        }
    }

    /// The same, held to be no larger than `bound`.
    #[must_use]
    pub fn at_most(self, bound: f64) -> Row {
        Row { bound: Bound::AtMost(bound), ..self }
    }

    /// The same, held to be no smaller than `bound`.
    #[must_use]
    pub fn at_least(self, bound: f64) -> Row {
        Row { bound: Bound::AtLeast(bound), ..self }
    }

    /// A figure that was estimated.
    pub fn estimated(what: impl Into<String>, estimate: Estimate, unit: Unit) -> Row {
        let interval = Some((estimate.low, estimate.high));
        Row { interval, ..Row::shown(what, estimate.median, unit) }
    }

    /// The same, with something said beside it.
    #[must_use]
    pub fn beside(self, text: impl Into<String>) -> Row {
        Row { beside: Some(text.into()), ..self }
    }

    /// The same, not to be judged where there is a doubt.
    #[must_use]
    pub fn doubted(self, doubt: Option<String>) -> Row {
        Row { doubt: doubt.or(self.doubt), ..self }
    }

    /// The same, with what is known of why it does not meet its bound, if it does not.
    #[must_use]
    pub fn because(self, why: impl Into<String>) -> Row {
        Row { why: Some(why.into()), ..self }
    }

    /// What the figure says of its bound.
    pub fn verdict(&self) -> Verdict {
        match self.holds() {
            None => Verdict::Unbounded,
            Some(_) if self.doubt.is_some() => Verdict::NotJudged,
            Some(true) => Verdict::Holds,
            Some(false) => Verdict::Broken,
        }
    }

    /// Whether the bound holds, doubts left aside; `None` where there is none. The whole interval must hold it, not only
    /// the median, and what is not a number holds none.
    pub fn holds(&self) -> Option<bool> {
        let (low, high) = self.interval.unwrap_or((self.value, self.value));
        (self.bound != Bound::None).then(|| self.is_within(low, high))
    }

    /// Whether all from `low` to `high` is within the bound; what is not a number is in none.
    fn is_within(&self, low: f64, high: f64) -> bool {
        match self.bound {
            Bound::AtMost(most) => high <= most,
            Bound::AtLeast(least) => low >= least,
            Bound::None => true,
        }
    }

    /// The cells of a table: what, figure, bound, whether it holds.
    pub fn cells(&self) -> [String; 4] {
        let show = |value| Shown(value, self.unit);
        let bound = match self.bound {
            Bound::AtMost(most) => format!("≤ {}", show(most)),
            Bound::AtLeast(least) => format!("≥ {}", show(least)),
            Bound::None => String::new(),
        };
        let value = match self.interval {
            Some((low, high)) => format!("{} [{}, {}]", show(self.value), show(low), show(high)),
            None => show(self.value).to_string(),
        };
        let value = match &self.beside {
            Some(beside) => format!("{value} ({beside})"),
            None => value,
        };
        let verdict = match (self.verdict(), &self.doubt) {
            (Verdict::Holds, _) => "holds".to_owned(),
            (Verdict::Broken, _) if self.is_within(self.value, self.value) => {
                "DOES NOT HOLD for all of the interval, though for the median: more rounds would narrow it"
                    .to_owned()
            }
            (Verdict::Broken, _) => match &self.why {
                Some(why) => format!("DOES NOT HOLD: {why}"),
                None => "DOES NOT HOLD".to_owned(),
            },
            (Verdict::NotJudged, Some(doubt)) => format!("not judged: {doubt}"),
            (_, Some(doubt)) => format!("doubtful: {doubt}"),
            (_, None) => String::new(),
        };
        [self.what.clone(), value, bound, verdict]
    }
}

/// A value with its unit, for people.
struct Shown(f64, Unit);

impl fmt::Display for Shown {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(value, unit) = *self;
        match unit {
            Unit::Seconds if value < 1e-3 => write!(f, "{:.1} µs", value * 1e6),
            Unit::Seconds if value < 1.0 => write!(f, "{:.1} ms", value * 1e3),
            Unit::Seconds => write!(f, "{value:.2} s"),
            Unit::Bytes if value < 10.0 * 1024.0 => write!(f, "{value:.0} B"),
            Unit::Bytes if value < 1024.0 * 1024.0 => write!(f, "{:.1} KiB", value / 1024.0),
            Unit::Bytes => write!(f, "{:.1} MiB", value / 1024.0 / 1024.0),
            Unit::Ratio if value < 1.995 => write!(f, "{value:.3}×"),
            Unit::Ratio => write!(f, "{value:.2}×"),
            Unit::Count if value.fract() != 0.0 => write!(f, "{value:.2}"),
            Unit::Count => write!(f, "{value:.0}"),
            Unit::BitRate => write!(f, "{:.2} Gb/s", value / 1e9),
            Unit::Rate => write!(f, "{:.0}k/s", value / 1e3),
            Unit::Exponent => write!(f, "n^{value:.2}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_whole_interval_must_hold_the_bound() {
        let estimate = Estimate { median: 3.2, low: 2.9, high: 3.4 };
        let row = Row::estimated("rate", estimate, Unit::Ratio);
        assert_eq!(row.clone().at_least(3.0).holds(), Some(false));
        assert_eq!(row.clone().at_least(2.9).holds(), Some(true));
        assert_eq!(row.clone().at_most(3.3).holds(), Some(false));
        assert!(row.clone().at_most(3.3).cells()[3].starts_with("DOES NOT HOLD for all of the interval"));
        assert_eq!(row.clone().because("so").at_most(3.1).cells()[3], "DOES NOT HOLD: so");
        assert_eq!(row.holds(), None);
    }

    #[test]
    fn a_doubtful_figure_is_not_judged_whatever_it_says() {
        let row = Row::shown("round trip", 1.5, Unit::Ratio).doubted(Some("busy".to_owned()));
        assert_eq!(row.clone().at_most(1.0).verdict(), Verdict::NotJudged);
        assert_eq!(row.clone().at_most(2.0).cells()[3], "not judged: busy");
        assert_eq!(row.verdict(), Verdict::Unbounded);
        assert_eq!(row.cells()[3], "doubtful: busy");
    }

    #[test]
    fn why_is_told_of_a_bound_that_does_not_hold_only() {
        let row = Row::shown("round trip", 1.5, Unit::Ratio).because("eight chains");
        assert_eq!(row.clone().at_most(1.0).cells()[3], "DOES NOT HOLD: eight chains");
        assert_eq!(row.at_most(2.0).cells()[3], "holds");
    }

    #[test]
    fn a_figure_that_is_no_number_holds_no_bound() {
        let row = Row::shown("full plan", f64::NAN, Unit::Seconds);
        assert_eq!(row.clone().at_most(1.0).holds(), Some(false));
        assert_eq!(row.at_least(0.0).holds(), Some(false));
    }

    #[test]
    fn values_are_shown_in_the_unit_that_fits() {
        let shown = |value, unit| Shown(value, unit).to_string();
        assert_eq!(shown(0.000_123, Unit::Seconds), "123.0 µs");
        assert_eq!(shown(0.5, Unit::Seconds), "500.0 ms");
        assert_eq!(shown(2048.0, Unit::Bytes), "2048 B");
        assert_eq!(shown(65_536.0, Unit::Bytes), "64.0 KiB");
        assert_eq!(shown(16.0 * 1048576.0, Unit::Bytes), "16.0 MiB");
        assert_eq!(
            (shown(1.0234, Unit::Ratio), shown(3.4567, Unit::Ratio)),
            ("1.023×".into(), "3.46×".into())
        );
        assert_eq!(shown(9.41e9, Unit::BitRate), "9.41 Gb/s");
        assert_eq!(shown(186_000.0, Unit::Rate), "186k/s");
        assert_eq!(shown(0.98, Unit::Exponent), "n^0.98");
    }
}
