//! The clusterset at a glance, for people.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use super::report::{ClusterRow, Count, LinkRow, State, StatusReport};
use super::wrong::Wrong;
use crate::inventory::show_problems;
use crate::report::{Page, Table, Tone};

/// How many objects are named that are wrong in the same way.
const NAMED: usize = 3;

/// The page. `now` is the time to which ages are counted.
pub fn page(report: &StatusReport, wide: bool, now: Timestamp) -> Page {
    let mut page = Page::default();
    let summary = &report.summary;
    page.line(format!("clusterset at {}", report.source));
    if let Some(trouble) = &report.trouble {
        page.toned(Tone::Bad, format!("it does not answer; what follows was so before: {trouble}"));
    }
    page.line(format!(
        "{} clusters, {} nodes, {} links ready",
        summary.clusters.words(),
        summary.nodes.words(),
        summary.links.words()
    ));
    let count = report.wrong.len() + report.problems.len();
    if report.healthy && report.clusters.is_empty() {
        page.line(
            "no cluster is here yet: causeway join adds one to a hub, a Cluster in a file one to a directory",
        );
    } else if report.healthy {
        page.toned(Tone::Good, "nothing is wrong");
    } else if count > 0 {
        page.toned(
            Tone::Bad,
            if count == 1 { "1 thing is wrong".to_owned() } else { format!("{count} things are wrong") },
        );
    }
    page.section("WRONG", wrong(&report.wrong, now));
    show_problems(&mut page, &report.problems);
    page.section("CLUSTERS", clusters(&report.clusters, wide, now));
    page.section("LINKS", links(&report.links, wide));
    if report.nodes_not_looked_at > 0 {
        page.line(format!(
            "{} nodes were not looked at one by one; --all-nodes does",
            report.nodes_not_looked_at
        ));
    }
    page
}

fn wrong(all: &[Wrong], now: Timestamp) -> Table {
    let mut table = Table::new(&["OBJECT", "CONDITION", "REASON", "SINCE"]);
    for Wrong { objects, condition, reason, message, since, remedy } in all {
        let mut named = objects.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
        if objects.len() > NAMED {
            named.push_str(&format!(" and {} more", objects.len() - NAMED));
        }
        table.toned_row(Tone::Bad, [named, condition.clone(), reason.clone(), age(since.as_deref(), now)]);
        let lines = [message.clone(), format!("What to do: {remedy}")];
        table.detail(lines.into_iter().filter(|line| !line.is_empty()));
    }
    table
}

fn tone(state: State) -> Tone {
    match state {
        State::Ready => Tone::Good,
        State::Leaving => Tone::Plain,
        State::NotReady | State::Unknown | State::Degraded => Tone::Bad,
    }
}

fn dash(text: Option<String>) -> String {
    text.filter(|text| !text.is_empty()).unwrap_or_else(|| "-".to_owned())
}

fn clusters(rows: &[ClusterRow], wide: bool, now: Timestamp) -> Table {
    let mut headers = vec!["NAME", "MODE", "CNI", "STATE", "NODES", "LINKS", "AGE"];
    if wide {
        headers.extend(["GATEWAYS", "PODS", "SERVICES", "GLOBAL"]);
    }
    let mut table = Table::new(&headers);
    for row in rows {
        let mut cells = vec![
            row.name.clone(),
            row.mode.clone(),
            dash(row.cni.clone()),
            row.state.word().to_owned(),
            dash(row.nodes.map(Count::words)),
            row.links.words(),
            age(row.since.as_deref(), now),
        ];
        if wide {
            let lists = [&row.gateways, &row.pod_cidrs, &row.service_cidrs, &row.global_cidrs];
            cells.extend(lists.map(|list| dash(Some(list.join(",")))));
        }
        table.toned_row(tone(row.state), cells);
    }
    table
}

fn links(rows: &[LinkRow], wide: bool) -> Table {
    let mut headers = vec!["FROM", "TO", "VIA", "TRANSPORT", "STATE", "NODES", "RTT", "LOSS"];
    if wide {
        headers.extend(["MTU", "PREFIXES"]);
    }
    let mut table = Table::new(&headers);
    for row in rows {
        let mut cells = vec![
            row.from.clone(),
            row.to.clone(),
            row.via.clone(),
            row.transport.clone(),
            row.state.word().to_owned(),
            dash(row.nodes.map(Count::words)),
            dash(row.rtt.clone()),
            dash(row.loss.clone()),
        ];
        if wide {
            cells.extend([dash(row.mtu.map(|mtu| mtu.to_string())), dash(Some(row.prefixes.join(",")))]);
        }
        table.toned_row(tone(row.state), cells);
    }
    table
}

/// How long ago a time was, as kubectl writes it.
fn age(since: Option<&str>, now: Timestamp) -> String {
    let Some(since) = since.and_then(|since| since.parse::<Timestamp>().ok()) else { return "-".to_owned() };
    let seconds = u64::try_from(now.duration_since(since).as_secs()).unwrap_or(0);
    in_short(Duration::from_secs(seconds))
}

fn in_short(span: Duration) -> String {
    let seconds = span.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (minutes, hours, days) {
        (0..2, ..) => format!("{seconds}s"),
        (_, 0..2, _) => format!("{minutes}m"),
        (_, _, 0..2) => format!("{hours}h"),
        _ => format!("{days}d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_are_short() {
        let shown = |seconds| in_short(Duration::from_secs(seconds));
        assert_eq!(
            [0, 119, 120, 7_199, 7_200, 172_799, 172_800].map(shown),
            ["0s", "119s", "2m", "119m", "2h", "47h", "2d"]
        );
    }
}
