//! Counts what is asked of an API server, and how it ends.

use causeway_api::Kind;
use causeway_metrics::Metrics;
use causeway_metrics::catalogue::{API_WRITES, WATCH_FAILURES};

use crate::{RequestError, Trouble};

/// Counts for one API server.
#[derive(Clone, Default)]
pub struct Meter {
    metrics: Metrics,
    server: &'static str,
}

impl Meter {
    /// Counts into `metrics` what `server`, `hub` or `member`, is asked.
    pub fn new(metrics: Metrics, server: &'static str) -> Meter {
        Meter { metrics, server }
    }

    /// A request that writes ended so.
    pub(crate) fn wrote<T>(&self, kind: Kind, verb: &'static str, result: &Result<T, RequestError>) {
        let outcome = result.as_ref().map_or_else(RequestError::class, |_| "OK");
        self.metrics.add(&API_WRITES, &[self.server, kind.as_str(), verb, outcome], 1);
    }

    /// A watch of a resource, by its plural, begins: that it cannot reach the server is counted from zero on.
    pub fn watches(&self, resource: &str) {
        self.metrics.start(&WATCH_FAILURES, &[self.server, resource, "Unreachable"]);
    }

    /// A watch of a resource, by its plural, failed.
    pub fn watch_failed(&self, resource: &str, trouble: &Trouble) {
        self.metrics.add(&WATCH_FAILURES, &[self.server, resource, trouble.class()], 1);
    }
}
