//! All outcomes: as a table, as Markdown and as JSON.

use std::fs;
use std::path::Path;

use serde::Serialize;

use super::judge::{Gaps, Moved, Outcome};
use crate::error::{LabError, Result};
use crate::machine::Machine;

const HEAD: [&str; 8] =
    ["fault", "sent", "lost", "longest gap ms", "bound", "recovered by", "flows moved", "verdict"];

/// A whole run.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct MatrixReport {
    /// Where it was taken.
    pub machine: Machine,
    /// Whether the programs were built with optimisation.
    pub optimised: bool,
    /// Why times deserve little trust, if so.
    pub doubts: Vec<String>,
    /// Whether every row is inside its bound.
    pub holds: bool,
    /// The rows.
    pub rows: Vec<Outcome>,
}

impl MatrixReport {
    pub(super) fn new(machine: Machine, rows: Vec<Outcome>) -> MatrixReport {
        MatrixReport {
            optimised: !cfg!(debug_assertions),
            doubts: machine.doubts(),
            holds: rows.iter().all(Outcome::holds),
            machine,
            rows,
        }
    }

    /// One line for each row.
    pub fn to_table(&self) -> String {
        let lines: Vec<[String; 8]> =
            [HEAD.map(str::to_owned)].into_iter().chain(self.rows.iter().map(cells)).collect();
        let width = |column: usize| lines.iter().map(|l| l[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..HEAD.len()).map(width).collect();
        let mut text = String::new();
        for line in &lines {
            let padded: Vec<String> =
                line.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}")).collect();
            text.push_str(padded.join("  ").trim_end());
            text.push('\n');
        }
        text
    }

    /// The same as a page.
    pub fn to_markdown(&self) -> String {
        let build = if self.optimised { "a release build" } else { "a development build" };
        let mut text = format!(
            "# Fault matrix\n\nWritten by `make faults` from a run with {build}. {}\n\n| {} |\n|{}\n",
            self.machine.words(),
            HEAD.join(" | "),
            " --- |".repeat(HEAD.len())
        );
        for row in &self.rows {
            text.push_str(&format!("| {} |\n", cells(row).join(" | ")));
        }
        for doubt in &self.doubts {
            text.push_str(&format!("\nDo not trust times of this run: {doubt}.\n"));
        }
        text.push_str(MEANING);
        text
    }

    /// Writes `faults.json` and `faults.md` into `directory`, which is made if it is not there.
    ///
    /// # Errors
    /// A file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory).map_err(LabError::file("create", directory))?;
        let json = serde_json::to_string_pretty(self)
            .map_err(|e| LabError::Document { what: "the report".to_owned(), message: e.to_string() })?;
        for (name, text) in [("faults.json", json + "\n"), ("faults.md", self.to_markdown())] {
            let path = directory.join(name);
            fs::write(&path, text).map_err(LabError::file("write", &path))?;
        }
        Ok(())
    }
}

/// The most characters of a reason that a table shows; the JSON has all.
const WHY: usize = 200;

/// What the columns say.
const MEANING: &str = "
Sent and lost are UDP packets with their echoes, one every 5 ms on each pair of pods and family: over the gateways from outside
and from inside, and between nodes that have nothing to do with the fault, where none may be lost. The longest gap runs from the first lost
packet to the next answered one; of repeated faults it is median, 99th percentile and maximum. Behind `recovered by` stands the time from
the fault until the expected state was seen, which includes the looking. Flows moved are those that took another gateway though
theirs was alive. The bed: `tests/lab/topologies/faults.yaml`, three clusters in network namespaces of one machine.
";

fn cells(row: &Outcome) -> [String; 8] {
    let count = |n: u64| if row.sent == 0 { "-".to_owned() } else { n.to_string() };
    let gaps = match row.gaps {
        None => "-".to_owned(),
        Some(Gaps { count: 1, max, .. }) => max.to_string(),
        Some(Gaps { count, p50, p99, max }) => format!("{p50} / {p99} / {max} of {count}"),
    };
    let after = row.recovered_after.map(|ms| format!(", {ms} ms")).unwrap_or_default();
    let moved = match row.flows_moved {
        None => "-".to_owned(),
        Some(Moved { stayed, moved }) => {
            let broken = match row.broken_connections {
                0 => String::new(),
                broken => format!(", {broken} TCP broken"),
            };
            format!("{moved} of {stayed}{broken}")
        }
    };
    let verdict = match (&row.misses[..], &row.late[..]) {
        ([], []) => "holds".to_owned(),
        (misses, late) => {
            let why = [misses, late].concat().join("; ").replace(['\n', '|'], " ");
            format!("DOES NOT HOLD: {}", why.chars().take(WHY).collect::<String>())
        }
    };
    [
        row.fault.clone(),
        count(row.sent),
        count(row.lost),
        gaps,
        row.bound.words(),
        format!("{}{after}", row.recovered_by),
        moved,
        verdict,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::Watch;
    use crate::matrix::row::Bound;

    fn outcome(misses: &[&str]) -> Outcome {
        Outcome {
            name: "kills".to_owned(),
            fault: "gateway killed".to_owned(),
            sent: 1000,
            lost: 7,
            gaps: Some(Gaps { count: 3, p50: 10, p99: 30, max: 31 }),
            bound: Bound::Within(500),
            repaired: false,
            recovered_by: "failover".to_owned(),
            recovered_after: Some(412),
            flows_moved: Some(Moved { stayed: 16, moved: 0 }),
            broken_connections: 0,
            misses: misses.iter().map(|miss| (*miss).to_owned()).collect(),
            late: Vec::new(),
        }
    }

    #[test]
    fn a_row_is_a_line_of_the_table_and_of_the_page() {
        let report = MatrixReport::new(Watch::start().finish(), vec![outcome(&[])]);
        let line = "| gateway killed | 1000 | 7 | 10 / 30 / 31 of 3 | ≤ 500 ms | failover, 412 ms | 0 of 16 | holds |";
        assert!(report.to_markdown().contains(line), "{}", report.to_markdown());
        assert!(report.to_table().contains("gateway killed  1000  7"), "{}", report.to_table());
        assert!(report.holds);
    }

    #[test]
    fn one_row_outside_its_bound_is_enough_and_says_why() {
        let report = MatrixReport::new(Watch::start().finish(), vec![outcome(&[]), outcome(&["a\nb"])]);
        assert!(!report.holds);
        assert!(report.to_markdown().contains("DOES NOT HOLD: a b |"));
        let directory = std::env::temp_dir().join(format!("causeway-matrix-{}", std::process::id()));
        report.write(&directory).unwrap();
        let json = fs::read_to_string(directory.join("faults.json")).unwrap();
        assert!(json.contains("\"holds\": false") && json.contains("\"recoveredAfter\": 412"), "{json}");
        fs::remove_dir_all(&directory).unwrap();
    }
}
