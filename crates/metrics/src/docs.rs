//! The page of documentation that the catalogue comes to.

use std::fmt::Write;

use crate::catalogue::{ALL, Kind, Metric, Program};

const HEAD: &str = "\
# Metrics

Written from `crates/metrics/src/catalogue.rs` by `make docs`; do not edit.

Every program serves Prometheus metrics (OpenMetrics text) at `/metrics`, on the address of `/healthz` and `/readyz`
(`--listen`): managers on port 8080 of their Pods, agents on 127.0.0.1:4880 of their nodes unless the chart's
`metrics.enabled` is set. With objects from a directory (`--objects`) nothing is served.

`remote` is the name of the linked cluster; on a node of a Gateway cluster that is no gateway also its own cluster, whose
gateways it probes. There are no series for single peers. A metric has at most 256 label sets; the rest is left out and
counted. An agent with 100 links to clusters of short names (14 characters) answers with less than 50 kB.

`deploy/monitoring/alerts.yaml` has alert rules on these, `deploy/monitoring/dashboard.json` is a dashboard for Grafana.
";

/// The page, in Markdown.
pub fn page() -> String {
    let mut text = HEAD.to_owned();
    let shared = |metric: &&&Metric| metric.of.len() == Program::ALL.len();
    section(&mut text, "All programs", ALL.iter().filter(shared));
    for program in Program::ALL {
        let own = |metric: &&&Metric| metric.of.contains(&program) && !shared(metric);
        section(&mut text, &format!("causeway-{}", program.name()), ALL.iter().filter(own));
    }
    text
}

fn section<'a>(text: &mut String, title: &str, metrics: impl Iterator<Item = &'a &'static Metric>) {
    let _ = write!(text, "\n## {title}\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n");
    for Metric { name, kind, labels, help, of: _ } in metrics {
        let labels: Vec<String> = labels.iter().map(|label| format!("`{label}`")).collect();
        let bounds = match kind {
            Kind::Histogram(bounds) => {
                let bounds: Vec<String> = bounds.iter().map(ToString::to_string).collect();
                format!(". Bounds: {}", bounds.join(", "))
            }
            Kind::Counter | Kind::Gauge => String::new(),
        };
        let _ = writeln!(text, "| `{name}` | {} | {} | {help}{bounds} |", kind.name(), labels.join(", "));
    }
}
