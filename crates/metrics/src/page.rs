//! Numbers by metric and labels, and how they are written.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::SERIES;
use crate::catalogue::{Kind, Metric, REFUSED_SERIES};

/// A number, or many in buckets.
#[derive(Clone, PartialEq, Debug)]
pub enum Value {
    /// How often something happened.
    Count(u64),
    /// A quantity.
    Number(f64),
    /// A histogram.
    Distribution {
        /// Upper bounds, ascending and without infinity, each with how many values are in its bucket alone.
        buckets: Vec<(f64, u64)>,
        /// How many values there are, those above the last bound included.
        count: u64,
        /// Their sum.
        sum: f64,
    },
}

/// Values of a metric's labels, in the order of [`Metric::labels`].
type Labels = Vec<Box<str>>;

#[derive(Clone, Debug)]
struct Series {
    metric: &'static Metric,
    values: BTreeMap<Labels, Value>,
}

/// What is known at one moment.
#[derive(Clone, Debug, Default)]
pub struct Page(BTreeMap<&'static str, Series>);

impl Page {
    /// Sets a number to what it is now.
    pub fn put(&mut self, metric: &'static Metric, labels: &[&str], value: Value) {
        debug_assert_eq!(metric.labels.len(), labels.len(), "labels of {}", metric.name);
        let series = self.series(metric);
        let labels: Labels = labels.iter().map(|label| Box::from(*label)).collect();
        if series.values.len() >= SERIES && !series.values.contains_key(&labels) {
            self.add(&REFUSED_SERIES, &[], 1);
            return;
        }
        series.values.insert(labels, value);
    }

    /// Counts.
    pub fn add(&mut self, metric: &'static Metric, labels: &[&str], by: u64) {
        match self.value(metric, labels) {
            Some(Value::Count(count)) => *count = count.saturating_add(by),
            Some(_) | None => self.put(metric, labels, Value::Count(by)),
        }
    }

    /// Takes a value into a histogram.
    pub fn observe(&mut self, metric: &'static Metric, labels: &[&str], value: f64) {
        let Kind::Histogram(bounds) = metric.kind else { return };
        if self.value(metric, labels).is_none() {
            let buckets = bounds.iter().map(|bound| (*bound, 0)).collect();
            self.put(metric, labels, Value::Distribution { buckets, count: 0, sum: 0.0 });
        }
        if let Some(Value::Distribution { buckets, count, sum }) = self.value(metric, labels) {
            *count += 1;
            *sum += value;
            if let Some((_, within)) = buckets.iter_mut().find(|(bound, _)| value <= *bound) {
                *within += 1;
            }
        }
    }

    /// Puts everything of `other` here too.
    pub fn extend(&mut self, other: &Page) {
        for Series { metric, values } in other.0.values() {
            for (labels, value) in values {
                let labels: Vec<&str> = labels.iter().map(|label| &**label).collect();
                self.put(metric, &labels, value.clone());
            }
        }
    }

    /// Forgets all numbers of a metric.
    pub fn clear(&mut self, metric: &'static Metric) {
        self.0.remove(metric.name);
    }

    fn series(&mut self, metric: &'static Metric) -> &mut Series {
        self.0.entry(metric.name).or_insert_with(|| Series { metric, values: BTreeMap::new() })
    }

    fn value(&mut self, metric: &'static Metric, labels: &[&str]) -> Option<&mut Value> {
        let labels: Labels = labels.iter().map(|label| Box::from(*label)).collect();
        self.0.get_mut(metric.name)?.values.get_mut(&labels)
    }

    /// The page in OpenMetrics text
    /// (<https://github.com/prometheus/OpenMetrics/blob/v1.0.0/specification/OpenMetrics.md>).
    ///
    /// # Errors
    /// None that a string could give rise to.
    pub fn text(self) -> Result<String, fmt::Error> {
        let mut registry = Registry::default();
        registry.register_collector(Box::new(self));
        let mut text = String::new();
        encode(&mut text, &registry)?;
        Ok(text)
    }
}

impl Collector for Page {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for Series { metric, values } in self.0.values() {
            let (name, kind) = match metric.kind {
                Kind::Counter => (metric.name.trim_end_matches("_total"), MetricType::Counter),
                Kind::Gauge => (metric.name, MetricType::Gauge),
                Kind::Histogram(_) => (metric.name, MetricType::Histogram),
            };
            let mut described = encoder.encode_descriptor(name, metric.help, None, kind)?;
            for (labels, value) in values {
                let labels: Vec<(&str, &str)> =
                    metric.labels.iter().copied().zip(labels.iter().map(|label| &**label)).collect();
                if labels.is_empty() {
                    write_value(&mut described, metric.kind, value)?;
                } else {
                    write_value(&mut described.encode_family(&labels)?, metric.kind, value)?;
                }
            }
        }
        Ok(())
    }
}

fn write_value(encoder: &mut MetricEncoder<'_>, kind: Kind, value: &Value) -> fmt::Result {
    match (kind, value) {
        (Kind::Counter, Value::Count(count)) => encoder.encode_counter::<NoLabelSet, u64, u64>(count, None),
        (Kind::Counter, Value::Number(number)) => {
            encoder.encode_counter::<NoLabelSet, f64, u64>(number, None)
        }
        (_, Value::Count(count)) => encoder.encode_gauge(count),
        (_, Value::Number(number)) => encoder.encode_gauge(number),
        (_, Value::Distribution { buckets, count, sum }) => {
            let within: u64 = buckets.iter().map(|(_, count)| count).sum();
            let mut buckets = buckets.clone();
            buckets.push((f64::INFINITY, count.saturating_sub(within)));
            encoder.encode_histogram::<NoLabelSet>(*sum, *count, &buckets, None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalogue::{LINK_RTT, LINK_UP, RECONCILE_DURATION, RECONCILE_STEPS, ROUTES};

    #[test]
    fn numbers_are_written_with_name_labels_and_type() {
        let mut page = Page::default();
        page.add(&RECONCILE_STEPS, &["route_added"], 2);
        page.add(&RECONCILE_STEPS, &["route_added"], 1);
        page.put(&ROUTES, &[], Value::Count(7));
        page.put(&LINK_UP, &["a\"b"], Value::Number(1.0));
        let text = page.text().unwrap();
        for line in [
            "# TYPE causeway_reconcile_steps counter",
            "causeway_reconcile_steps_total{kind=\"route_added\"} 3",
            "# TYPE causeway_routes gauge",
            "causeway_routes 7",
            "causeway_link_up{remote=\"a\\\"b\"} 1.0",
        ] {
            assert!(text.lines().any(|one| one == line), "{line} in\n{text}");
        }
        assert!(text.ends_with("# EOF\n"));
    }

    #[test]
    fn buckets_are_cumulative_and_end_with_all() {
        let mut page = Page::default();
        for seconds in [0.0005, 0.003, 0.003, 1e9] {
            page.observe(&RECONCILE_DURATION, &[], seconds);
        }
        let text = page.text().unwrap();
        let bucket = |le: &str| {
            let start = format!("causeway_reconcile_duration_seconds_bucket{{le=\"{le}\"}} ");
            text.lines().find_map(|line| line.strip_prefix(start.as_str())).map(str::to_owned)
        };
        assert_eq!(bucket("0.001").as_deref(), Some("1"), "{text}");
        assert_eq!(bucket("0.005").as_deref(), Some("3"));
        assert_eq!(bucket("+Inf").as_deref(), Some("4"));
        assert!(text.contains("causeway_reconcile_duration_seconds_count 4\n"));
    }

    #[test]
    fn a_histogram_without_bounds_still_has_sum_and_count() {
        let mut page = Page::default();
        page.put(&LINK_RTT, &["b"], Value::Distribution { buckets: Vec::new(), count: 2, sum: 0.5 });
        let text = page.text().unwrap();
        assert!(text.contains("causeway_link_rtt_seconds_bucket{le=\"+Inf\",remote=\"b\"} 2\n"), "{text}");
        assert!(text.contains("causeway_link_rtt_seconds_sum{remote=\"b\"} 0.5\n"), "{text}");
    }

    #[test]
    fn label_sets_beyond_the_bound_are_left_out_and_counted() {
        let mut page = Page::default();
        for number in 0..SERIES + 3 {
            page.put(&LINK_UP, &[&format!("c{number}")], Value::Number(1.0));
        }
        page.put(&LINK_UP, &["c0"], Value::Number(0.0));
        let text = page.text().unwrap();
        assert_eq!(text.matches("causeway_link_up{").count(), SERIES);
        assert!(text.contains("causeway_metrics_refused_series_total 3\n"), "{text}");
        assert!(text.contains("causeway_link_up{remote=\"c0\"} 0.0\n"));
    }
}
