//! Saying what is wrong, once while it lasts.

use std::collections::BTreeSet;

/// What was said to be wrong.
#[derive(Clone, Debug, Default)]
pub struct Complaints(BTreeSet<String>);

impl Complaints {
    /// Takes `now` for all that is wrong: logs what is new, and what is wrong no longer.
    pub fn say(&mut self, now: impl IntoIterator<Item = String>) {
        let now: BTreeSet<String> = now.into_iter().collect();
        for complaint in now.difference(&self.0) {
            tracing::warn!("{complaint}");
        }
        for complaint in self.0.difference(&now) {
            tracing::info!("no longer: {complaint}");
        }
        self.0 = now;
    }
}
