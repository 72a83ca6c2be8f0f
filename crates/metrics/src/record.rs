//! Where a program's parts put their numbers, and a scrape takes them.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::catalogue::{ALL, BUILD_INFO, Kind, Metric, Program};
use crate::page::{Page, Value};

/// Reads numbers that others keep, at each scrape.
type Source = Box<dyn FnMut(&mut Page) + Send>;

/// The numbers of one program; clones share them.
#[derive(Clone, Default)]
pub struct Metrics(Arc<Shared>);

#[derive(Default)]
struct Shared {
    page: Mutex<Page>,
    sources: Mutex<Vec<Source>>,
}

impl Metrics {
    /// Those of `program`, whose `version` is one of them. What is counted and has no labels starts at zero: a counter
    /// that appears with its first event hides that event from `rate`.
    pub fn new(program: Program, version: &str) -> Metrics {
        let metrics = Metrics::default();
        metrics.set(&BUILD_INFO, &[program.name(), version], 1.0);
        for metric in ALL.iter().filter(|metric| metric.labels.is_empty() && metric.of.contains(&program)) {
            metrics.start(metric, &[]);
        }
        metrics
    }

    /// Makes a counter or histogram with these labels be there before it has anything to tell.
    pub fn start(&self, metric: &'static Metric, labels: &[&str]) {
        match metric.kind {
            Kind::Counter => self.add(metric, labels, 0),
            Kind::Histogram(bounds) => {
                let buckets = bounds.iter().map(|bound| (*bound, 0)).collect();
                self.page().put(metric, labels, Value::Distribution { buckets, count: 0, sum: 0.0 });
            }
            Kind::Gauge => {}
        }
    }

    /// Counts.
    pub fn add(&self, metric: &'static Metric, labels: &[&str], by: u64) {
        self.page().add(metric, labels, by);
    }

    /// Sets a quantity.
    pub fn set(&self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.page().put(metric, labels, Value::Number(value));
    }

    /// Sets a quantity for each of these values of the metric's one label, and forgets all others.
    pub fn set_all<L: AsRef<str>>(
        &self,
        metric: &'static Metric,
        values: impl IntoIterator<Item = (L, f64)>,
    ) {
        let mut page = self.page();
        page.clear(metric);
        for (label, value) in values {
            page.put(metric, &[label.as_ref()], Value::Number(value));
        }
    }

    /// Takes a value into a histogram.
    pub fn observe(&self, metric: &'static Metric, labels: &[&str], value: f64) {
        self.page().observe(metric, labels, value);
    }

    /// Asks `source` at each scrape.
    pub fn on_scrape(&self, source: impl FnMut(&mut Page) + Send + 'static) {
        self.0.sources.lock().unwrap_or_else(PoisonError::into_inner).push(Box::new(source));
    }

    /// All of it now, as [`crate::MEDIA_TYPE`].
    pub fn text(&self) -> String {
        let mut page = self.page().clone();
        for source in self.0.sources.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            source(&mut page);
        }
        page.text().unwrap_or_default()
    }

    fn page(&self) -> MutexGuard<'_, Page> {
        // A number is whole between any two statements.
        self.0.page.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{LINK_UP, PEERS, RECONCILE_ERRORS, RECONCILE_REPAIRS};

    #[test]
    fn counters_without_labels_are_there_from_the_start_and_gauges_when_they_are_known() {
        let metrics = Metrics::new(Program::Agent, "1.2.3");
        metrics.start(&RECONCILE_ERRORS, &["ChangesFailed"]);
        let text = metrics.text();
        assert!(text.contains("causeway_build_info{program=\"agent\",version=\"1.2.3\"} 1.0\n"), "{text}");
        assert!(text.contains(&format!("\n{} 0\n", RECONCILE_REPAIRS.name)), "{text}");
        assert!(text.contains("causeway_reconcile_duration_seconds_count 0\n"), "{text}");
        assert!(text.contains("{reason=\"ChangesFailed\"} 0\n"), "{text}");
        assert!(!text.contains(PEERS.name) && !text.contains("causeway_planner"), "{text}");
    }

    #[test]
    fn what_is_not_named_any_more_goes_and_a_scrape_asks_its_sources() {
        let metrics = Metrics::default();
        metrics.set_all(&LINK_UP, [("a", 1.0), ("b", 1.0)]);
        metrics.set_all(&LINK_UP, [("b", 0.0)]);
        let mut scrapes = 0;
        metrics.on_scrape(move |page| {
            scrapes += 1;
            page.put(&PEERS, &[], Value::Count(scrapes));
        });
        assert!(metrics.text().contains("causeway_peers 1\n"));
        let text = metrics.text();
        assert!(text.contains("causeway_peers 2\n") && text.contains("{remote=\"b\"} 0.0\n"), "{text}");
        assert!(!text.contains("remote=\"a\""), "{text}");
    }
}
