//! Shares of lost probes in statuses: when one is told anew, and how it is written.

use crate::figure::{decimal, differs};

/// A smaller share, in thousandths, is told as 0. Nor is one told anew that differs by less.
const LEAST_PER_MILLE: i64 = 5;
/// What is written of a share below [`LEAST_PER_MILLE`].
const BELOW: &str = "<0.5%";

/// The share in thousandths, 0 to 1000, of `lost` out of `all`, which are not none.
pub fn loss_per_mille(lost: u64, all: u64) -> i64 {
    i64::try_from(u128::from(lost) * 1000 / u128::from(all.max(1))).unwrap_or(1000).min(1000)
}

/// A share in thousandths as it is told: 0 if it is below 5.
pub fn loss_told(per_mille: i64) -> i64 {
    if per_mille < LEAST_PER_MILLE { 0 } else { per_mille }
}

/// Whether a share is plainly another than the one that was told, both in thousandths.
pub fn loss_differs(told: i64, measured: i64) -> bool {
    differs(told.clamp(0, 1000), measured.clamp(0, 1000), LEAST_PER_MILLE.unsigned_abs())
}

/// The share that several nodes lose on average, in thousandths; `None` of none.
pub fn loss_average(per_mille: impl IntoIterator<Item = i64>) -> Option<i64> {
    let (sum, count) =
        per_mille.into_iter().fold((0, 0), |(sum, count): (i64, i64), one| (sum + one, count + 1));
    sum.checked_div(count)
}

/// A share of so many thousandths as ClusterLink.status has it, for example `2.5%` or `<0.5%`.
pub fn loss_text(per_mille: i64) -> String {
    match loss_told(per_mille) {
        0 => BELOW.to_owned(),
        per_mille => format!("{}.{}%", per_mille / 10, per_mille % 10),
    }
}

/// Thousandths of a text that [`loss_text`] wrote; `None` of any other.
pub fn loss_of_text(text: &str) -> Option<i64> {
    if text == BELOW {
        return Some(0);
    }
    let (whole, tenths) = decimal(text, "%", 1)?;
    Some(i64::from(whole) * 10 + i64::from(tenths))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_share_is_told_anew_from_half_as_much_again_and_half_a_percent_on() {
        for (told, measured, anew) in [
            (0, 0, false),
            (0, 4, false),
            (0, 5, true),
            (7, 4, false),
            (7, 2, true),
            (200, 0, true),
            (200, 290, false),
            (200, 300, true),
            (8, 12, false),
            (8, 13, true),
            (1000, 700, false),
            (1000, 600, true),
            (i64::MAX, -3, true),
        ] {
            assert_eq!(loss_differs(told, measured), anew, "{told} {measured}");
        }
    }

    #[test]
    fn shares_are_of_all() {
        let shares = [(0, 100), (4, 1000), (5, 1000), (1, 3), (7, 7), (0, 0), (u64::MAX, u64::MAX)];
        let shares: Vec<i64> = shares.iter().map(|(lost, all)| loss_per_mille(*lost, *all)).collect();
        assert_eq!(shares, [0, 4, 5, 333, 1000, 0, 1000]);
    }

    #[test]
    fn what_is_written_is_read_back() {
        for (per_mille, text) in [(0, "<0.5%"), (5, "0.5%"), (25, "2.5%"), (1000, "100.0%")] {
            assert_eq!((loss_text(per_mille).as_str(), loss_of_text(text)), (text, Some(per_mille)));
        }
        assert_eq!((loss_text(4), loss_told(4), loss_told(5)), ("<0.5%".to_owned(), 0, 5));
        for foreign in ["", "5%", "0.55%", "0.5", "-1.0%", "1.x%"] {
            assert_eq!(loss_of_text(foreign), None, "{foreign}");
        }
    }
}
