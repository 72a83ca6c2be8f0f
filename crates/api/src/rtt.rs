//! Round-trip times in statuses: when one is told anew, and how it is written.

use crate::figure::{decimal, differs};

/// A time that differs by no more is not told anew: it would be a write for nothing.
const LEAST_MICROSECONDS: u64 = 100;

/// Whether a round-trip time is plainly another than the one that was told, both in microseconds.
pub fn rtt_differs(told: i64, measured: i64) -> bool {
    differs(told, measured, LEAST_MICROSECONDS + 1)
}

/// The round-trip time of several nodes; `None` of none.
pub fn rtt_median(microseconds: impl IntoIterator<Item = i64>) -> Option<i64> {
    let mut times: Vec<i64> = microseconds.into_iter().collect();
    times.sort_unstable();
    times.get(times.len() / 2).copied()
}

/// A round-trip time of so many microseconds as ClusterLink.status has it, for example `0.42ms`.
pub fn rtt_text(microseconds: i64) -> String {
    format!("{}.{:02}ms", microseconds / 1000, microseconds % 1000 / 10)
}

/// Microseconds of a text that [`rtt_text`] wrote; `None` of any other.
pub fn rtt_of_text(text: &str) -> Option<i64> {
    let (whole, hundredths) = decimal(text, "ms", 2)?;
    Some(i64::from(whole) * 1000 + i64::from(hundredths) * 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_told_anew_from_half_as_much_again_and_a_tenth_of_a_millisecond_on() {
        for (told, measured, anew) in [
            (400, 400, false),
            (400, 590, false),
            (400, 600, true),
            (600, 400, true),
            (590, 400, false),
            (50, 150, false),
            (50, 151, true),
            (151, 50, true),
            (200_000, 299_000, false),
            (200_000, 300_000, true),
            (0, 101, true),
            (i64::MAX, 1, true),
            (-5, 3, false),
        ] {
            assert_eq!(rtt_differs(told, measured), anew, "{told} {measured}");
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (microseconds, text) in [(0, "0.00ms"), (420, "0.42ms"), (1_230, "1.23ms"), (250_000, "250.00ms")]
        {
            assert_eq!((rtt_text(microseconds).as_str(), rtt_of_text(text)), (text, Some(microseconds)));
        }
        for foreign in ["", "ms", "1ms", "1.2ms", "1.234ms", "-1.00ms", "1.00s", "a.00ms"] {
            assert_eq!(rtt_of_text(foreign), None, "{foreign}");
        }
    }
}
