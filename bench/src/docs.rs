//! The page of figures for readers of the project, made from a report: bounds first, what Causeway loses, then all.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::report::{self, Report, Section};
use crate::row::{Row, Unit, Verdict};

/// Where plots are, beside the page.
const PLOTS: &str = "benchmarks";

const METHOD: &str = "\
Every figure of this page is measured by `make bench` on one machine in one run; `make bench SUITE=path` measures the paths \
alone. `causeway-bench --docs docs --report bench/report` writes the page from `bench/report/report.json`.

* Layouts that are compared stand at once. Short slices follow each other in random order, seeded; a quotient is of two slices of \
the same round, and what is shown is the median of all rounds with its 95 % interval (percentile bootstrap, seeded).
* A bound is held to the whole interval, not to the median.
* Beside each section a fixed piece of work is measured: multiplications, reads of memory at random places, fresh memory. Where it takes plainly \
longer than on the machine that bounds in seconds are for, such a bound is not judged unless it holds.
* The same layout is measured under two names. If that quotient is off by more than 2 %, or the machine is too busy, bounds of quotients are not judged.
* Connection tracking is on in every node, with kube-proxy's rules and a CNI's; it takes TCP's sequence numbers as they come, as with kube-proxy's `conntrack.tcpBeLiberal`, so that Causeway's nodes have a fast path, but for the layout that is to have none.
* The machine has no wire in between: a tunnel's cost is all that there is to see, and quotients are larger than between machines. The \
difference in microseconds stands beside each.
";

/// The largest costs that earlier runs showed and that are mended. Figures of the past are of the machine and the day they
/// were taken on; what they say is how they compare.
const MENDED: &str = "\
| suite | cost, and what was done | before → after |
| --- | --- | --- |
| path | rules compared names of devices; now the group of a device | 0.4 µs of a round trip less |
| path | a chain of its own cleared flow labels of what the host sends; now one output chain for all | 0.25 µs of a round trip less |
| path | each packet of a known connection was judged in `forward`; now those that both ends agreed on pass at once | 0.1 µs of a round trip less |
| path | rules said what is kept out of what comes from a tunnel, and every IPv6 packet lost its flow label; now they say what is let in, most packets' first, and labels go only where several nodes carry | over a like layout by hand: 1.04 → 0.78 µs (IPv4), 1.96 → 1.37 µs (IPv6) |
| path | every packet took all hooks of the IP layer; now known connections pass from device to device where the node allows it | P2P ÷ in-cluster VXLAN: 1.14 → 0.92 (IPv4), 1.15 → 0.91 (IPv6); Gateway ÷ reference gateway: 1.12 → 0.88, 1.15 → 0.90; one stream ÷ in-cluster VXLAN: 0.90 to 0.94 → 1.00 and more |
| apply | a request, then its answer; now many messages in one system call, and errors by their number | 1.2 → 3.6 to 7.5 times `ip -batch` |
| apply | one element of an nftables set of 10,000 through `nft`; now own messages | 16 to 40 → 0.27 ms |
| converge | what was found waited for sums of statuses: from a node's being added to its first packet | 1,478 → 207 ms |
| scale | an agent watched its Diagnosis; now it is told of requests by its NodeConfig: watches of an agent | 5 → 4 |
";

/// Reads `report.json` in `report` and writes `benchmarks.md`, with its plots, into `directory`.
///
/// # Errors
/// If there is no report, or a file cannot be written.
pub fn write(report: &Path, directory: &Path) -> Result<()> {
    let from = report.join("report.json");
    let text = fs::read_to_string(&from).with_context(|| format!("reading {}", from.display()))?;
    let report: Report =
        serde_json::from_str(&text).with_context(|| format!("reading {}", from.display()))?;
    report.write_plots(&directory.join(PLOTS))?;
    report::write(&directory.join("benchmarks.md"), &page(&report))
}

fn page(report: &Report) -> String {
    let mut text = format!("# Benchmarks\n\n{}\n## How\n\n{METHOD}", report.preface());
    let rows =
        || report.sections.iter().flat_map(|section| section.rows.iter().map(move |row| (section, row)));
    list(&mut text, "Bounds", rows().filter(|(_, row)| row.verdict() != Verdict::Unbounded));
    list(&mut text, "Where Causeway loses", rows().filter(|(_, row)| loses(row)));
    text.push_str(&format!("\n## What was mended\n\n{MENDED}"));
    for section in &report.sections {
        text.push_str(&format!("\n{}", section.markdown(&format!("{PLOTS}/"))));
    }
    text
}

/// A quotient of Causeway's over something else's of which less is better, and the whole interval is above 1; or a
/// bound that does not hold.
fn loses(row: &Row) -> bool {
    let ours = row.unit == Unit::Ratio && row.what.starts_with("Causeway") && row.what.contains('÷');
    let more = row.beside.is_some() && row.interval.is_some_and(|(low, _)| low > 1.0);
    row.verdict() == Verdict::Broken || (ours && more)
}

fn list<'a>(text: &mut String, title: &str, rows: impl Iterator<Item = (&'a Section, &'a Row)>) {
    text.push_str(&format!("\n## {title}\n\n"));
    let lines: Vec<String> =
        rows.map(|(section, row)| format!("| {} | {} |\n", section.title, row.cells().join(" | "))).collect();
    if lines.is_empty() {
        text.push_str("Nothing in this run.\n");
        return;
    }
    text.push_str("| section | what | figure | bound | holds |\n| --- | --- | ---: | ---: | --- |\n");
    lines.iter().for_each(|line| text.push_str(line));
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_lab::machine::Watch;
    use causeway_pathbench::statistics::Estimate;

    fn report() -> Report {
        let row = |what: &str, median: f64| {
            Row::estimated(what, Estimate { median, low: median - 0.01, high: median + 0.01 }, Unit::Ratio)
        };
        let mut section = Section::new("Round trips", "A note.");
        section.rows = vec![
            row("Causeway P2P ÷ in-cluster VXLAN", 1.0).at_most(1.02).beside("+0.1 µs"),
            row("Causeway Gateway ÷ in-cluster VXLAN", 1.5).beside("+9.0 µs"),
            row("host to host ÷ in-cluster VXLAN", 1.5).beside("+9.0 µs"),
        ];
        Report::new(Watch::start().finish(), vec![section], Vec::new())
    }

    #[test]
    fn bounds_come_first_and_losses_are_named() {
        let page = page(&report());
        let part =
            |from: &str, to: &str| page.split(from).nth(1).unwrap().split(to).next().unwrap().to_owned();
        let (bounds, losses) = (part("## Bounds", "\n## "), part("## Where Causeway loses", "\n## "));
        assert!(bounds.contains("Causeway P2P ÷") && !bounds.contains("Gateway"), "{bounds}");
        assert!(losses.contains("Causeway Gateway ÷"), "{losses}");
        assert!(!losses.contains("host to host") && !losses.contains("P2P"), "{losses}");
        assert!(page.contains("(benchmarks/round-trips.svg)"), "{page}");
    }

    #[test]
    fn a_page_is_written_from_a_report_on_the_disk() {
        let directory = tempfile::tempdir().unwrap();
        let (from, to) = (directory.path().join("report"), directory.path().join("docs"));
        report().write(&from).unwrap();
        write(&from, &to).unwrap();
        assert!(to.join("benchmarks/round-trips.svg").exists());
        assert_eq!(fs::read_to_string(to.join("benchmarks.md")).unwrap(), page(&report_of(&from)));
        assert!(write(&to, &to).is_err());
    }

    fn report_of(directory: &Path) -> Report {
        serde_json::from_str(&fs::read_to_string(directory.join("report.json")).unwrap()).unwrap()
    }
}
