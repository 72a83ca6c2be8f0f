//! Waiting for a condition, with a deadline.

use std::thread;
use std::time::{Duration, Instant};

use crate::error::{LabError, Result};

/// How often a condition is looked at.
const EVERY: Duration = Duration::from_millis(10);

/// Looks at `condition` until it holds. It returns `Ok(Ok(value))` when it holds, `Ok(Err(state))`
/// with a word on how things stand while it does not, and `Err` when waiting is of no use.
///
/// # Errors
/// [`LabError::Deadline`] with `what` and the last state; or the condition's own error.
pub fn wait_until<T>(
    what: &str,
    limit: Duration,
    mut condition: impl FnMut() -> Result<std::result::Result<T, String>>,
) -> Result<T> {
    let end = Instant::now() + limit;
    loop {
        match condition()? {
            Ok(value) => return Ok(value),
            Err(last) if Instant::now() >= end => {
                return Err(LabError::Deadline { what: what.to_owned(), last });
            }
            Err(_) => thread::sleep(EVERY),
        }
    }
}
