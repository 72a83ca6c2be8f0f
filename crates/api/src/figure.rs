//! What figures in statuses have in common: when one is plainly another, and how decimals are read.

/// A figure that differs by a smaller factor than this is not told anew: numerator and denominator.
const LEAST_FACTOR: (u128, u128) = (3, 2);

/// Whether a figure differs from the one that was told by `least` and by half as much again.
pub(crate) fn differs(told: i64, measured: i64, least: u64) -> bool {
    let (less, more) = (told.min(measured).max(0), told.max(measured).max(0));
    let (times, parts) = LEAST_FACTOR;
    told.abs_diff(measured) >= least
        && u128::from(more.unsigned_abs()) * parts >= u128::from(less.unsigned_abs()) * times
}

/// What stands before and behind the point of a decimal with so many `digits` behind it, and `unit` at its end.
pub(crate) fn decimal(text: &str, unit: &str, digits: usize) -> Option<(u32, u32)> {
    let (whole, part) = text.strip_suffix(unit)?.split_once('.')?;
    if part.len() != digits {
        return None;
    }
    Some((whole.parse().ok()?, part.parse().ok()?))
}
