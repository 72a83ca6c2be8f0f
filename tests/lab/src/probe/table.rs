//! A report as a table for people.

use std::collections::BTreeMap;
use std::fmt::Write;

use causeway_model::Family;

use super::{Check, Probe, Protocol, Report, Size};
use crate::topology::Endpoint;

/// Findings shown one by one; the rest is counted.
const MOST_FINDINGS: usize = 40;

/// A column: a cluster and what is reached in it.
type Column = (String, &'static str);

pub(super) fn render(report: &Report) -> String {
    let mut text = String::new();
    for family in Family::BOTH {
        let checks: Vec<&Check> = report.checks.iter().filter(|c| c.probe.family == family).collect();
        if !checks.is_empty() {
            matrix(&mut text, family, &checks);
        }
    }
    let findings: Vec<&Check> = report.findings().collect();
    for finding in findings.iter().take(MOST_FINDINGS) {
        let _ = writeln!(text, "FAIL {finding}");
    }
    if findings.len() > MOST_FINDINGS {
        let _ = writeln!(text, "FAIL … and {} more", findings.len() - MOST_FINDINGS);
    }
    let fine = report.checks.len() - findings.len();
    let _ = writeln!(text, "{fine} of {} probes as expected", report.checks.len());
    text
}

fn matrix(text: &mut String, family: Family, checks: &[&Check]) {
    let mut columns: Vec<Column> = checks.iter().map(|c| column(&c.probe.to)).collect();
    columns.sort();
    columns.dedup();
    let mut rows: BTreeMap<String, BTreeMap<Column, Vec<&Check>>> = BTreeMap::new();
    for check in checks {
        let row = rows.entry(check.probe.from.to_string()).or_default();
        row.entry(column(&check.probe.to)).or_default().push(check);
    }
    let heads: Vec<String> = columns.iter().map(|(cluster, kind)| format!("{cluster} {kind}")).collect();
    let mut lines: Vec<Vec<String>> = vec![[vec![format!("{family} from")], heads].concat()];
    for (from, row) in &rows {
        let cells = columns.iter().map(|c| row.get(c).map_or_else(|| "-".to_owned(), |checks| cell(checks)));
        lines.push(std::iter::once(from.clone()).chain(cells).collect());
    }
    let width = |n: usize| lines.iter().map(|l| l[n].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..=columns.len()).map(width).collect();
    for line in &lines {
        for (cell, width) in line.iter().zip(&widths) {
            let _ = write!(text, "{cell:<width$}  ");
        }
        text.truncate(text.trim_end().len());
        text.push('\n');
    }
    let _ = writeln!(text, "(probes as expected / sent, median round trip of small UDP in ms)\n");
}

fn column(to: &Endpoint) -> Column {
    let kind = match to {
        Endpoint::Pod(_) => "pods",
        Endpoint::Node(_) => "nodes",
        Endpoint::Service(_) => "services",
    };
    (to.cluster().to_string(), kind)
}

fn cell(checks: &[&Check]) -> String {
    let fine = checks.iter().filter(|c| c.is_fine()).count();
    let is_ping = |p: &Probe| p.protocol == Protocol::Udp && p.size == Size::Small;
    let mut times: Vec<u64> =
        checks.iter().filter(|c| is_ping(&c.probe)).filter_map(|c| c.rtt_microseconds()).collect();
    times.sort_unstable();
    let mark = if fine == checks.len() { "" } else { "!" };
    match times.get(times.len() / 2) {
        Some(rtt) => format!("{mark}{fine}/{} {:.2}", checks.len(), *rtt as f64 / 1000.0),
        None => format!("{mark}{fine}/{}", checks.len()),
    }
}
