//! What a run found: as a table for people, as Markdown and as JSON.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use causeway_lab::machine::Machine;
use serde::{Deserialize, Serialize};

use crate::growth::Curve;
use crate::measure::Pace;
use crate::plot;
use crate::row::{Row, Unit, Verdict};

/// Figures that belong together.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Section {
    /// What they are about.
    pub title: String,
    /// How they were taken, where that is not plain.
    pub note: String,
    /// How fast the machine was meanwhile, by a fixed piece of work.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pace: Option<Pace>,
    /// What grows with the clusterset.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub curves: Vec<Curve>,
    /// The figures.
    pub rows: Vec<Row>,
}

/// From how much more time for the fixed work on the machine counts as slow: between two runs of it on a quiet machine lie
/// a few percent.
const SLOW: f64 = 1.15;

impl Section {
    /// A section without figures yet.
    pub fn new(title: impl Into<String>, note: impl Into<String>) -> Section {
        Section { title: title.into(), note: note.into(), pace: None, curves: Vec::new(), rows: Vec::new() }
    }

    /// The same, taken on a machine that went at this pace. Where that was too slow, a bound in seconds that does not hold
    /// says nothing: it is not judged. One that holds on a slow machine holds.
    #[must_use]
    pub fn at(mut self, pace: Pace) -> Section {
        let slowness = pace.slowness();
        if slowness > SLOW {
            let doubt = format!(
                "a fixed piece of work took {slowness:.1} times as long as on the machine that the bound is for"
            );
            for row in &mut self.rows {
                if row.unit == Unit::Seconds && row.verdict() == Verdict::Broken {
                    row.doubt = Some(doubt.clone());
                }
            }
        }
        self.pace = Some(pace);
        self
    }

    /// As Markdown; `plots` is what comes before the name of its plot.
    pub fn markdown(&self, plots: &str) -> String {
        let mut text = format!("## {}\n\n", self.title);
        if !self.note.is_empty() {
            text.push_str(&format!("{}\n\n", self.note));
        }
        if let Some(pace) = self.pace {
            text.push_str(&format!("Pace of the machine: {pace}.\n\n"));
        }
        if plot::svg(self).is_some() {
            text.push_str(&format!("![{}]({plots}{})\n\n", self.title, self.plot_file()));
        }
        text.push_str("| what | figure | bound | holds |\n| --- | ---: | ---: | --- |\n");
        for row in &self.rows {
            text.push_str(&format!("| {} |\n", row.cells().join(" | ")));
        }
        text
    }

    /// The file of its plot, if it has one.
    pub fn plot_file(&self) -> String {
        let letter = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
        let name: String = self.title.chars().map(letter).collect();
        let words: Vec<&str> = name.split('-').filter(|word| !word.is_empty()).collect();
        format!("{}.svg", words.join("-"))
    }
}

/// A whole run.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// Where it was taken.
    pub machine: Machine,
    /// Why its figures deserve little trust, if so.
    pub doubts: Vec<String>,
    /// Whether every bound was judged and holds, and every measurement was taken.
    pub holds: bool,
    /// What could not be measured, and why.
    pub failures: Vec<String>,
    /// The figures.
    pub sections: Vec<Section>,
}

impl Report {
    /// Puts a run together.
    pub fn new(machine: Machine, sections: Vec<Section>, failures: Vec<String>) -> Report {
        let fails = |row: &Row| matches!(row.verdict(), Verdict::Broken | Verdict::NotJudged);
        let broken = sections.iter().flat_map(|section| &section.rows).any(fails);
        Report {
            doubts: machine.doubts(),
            holds: !broken && failures.is_empty(),
            failures,
            machine,
            sections,
        }
    }

    /// Writes `report.json`, `report.md` and plots into `directory`, which is made if it is not there.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write(&self, directory: &Path) -> Result<()> {
        self.write_plots(directory)?;
        let json = serde_json::to_string_pretty(self)? + "\n";
        write(&directory.join("report.json"), &json)?;
        write(&directory.join("report.md"), &self.markdown())
    }

    /// Writes a plot for each section with quotients into `directory`, which is made if it is not there. Plots of
    /// an earlier run are removed.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_plots(&self, directory: &Path) -> Result<()> {
        fs::create_dir_all(directory).with_context(|| format!("making {}", directory.display()))?;
        for file in fs::read_dir(directory)?.flatten().map(|entry| entry.path()) {
            if file.extension().is_some_and(|end| end == "svg") {
                fs::remove_file(&file).with_context(|| format!("removing {}", file.display()))?;
            }
        }
        for section in &self.sections {
            if let Some(svg) = plot::svg(section) {
                write(&directory.join(section.plot_file()), &svg)?;
            }
        }
        Ok(())
    }

    fn markdown(&self) -> String {
        let mut text = format!("# Bench\n\n{}\n", self.preface());
        for section in &self.sections {
            text.push_str(&format!("\n{}", section.markdown("")));
        }
        text
    }

    /// The machine, the doubts and the failures, a line each.
    pub fn preface(&self) -> String {
        let mut text = self.machine.words() + "\n";
        for doubt in &self.doubts {
            text.push_str(&format!("\nDo not trust these figures: {doubt}.\n"));
        }
        for failure in &self.failures {
            text.push_str(&format!("\nNot measured: {failure}\n"));
        }
        text
    }
}

/// Writes a file.
///
/// # Errors
/// If it cannot be written.
pub fn write(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("writing {}", path.display()))
}

/// A section as text: its title, then a line for each figure.
pub fn table(section: &Section) -> String {
    let cells: Vec<[String; 4]> = section.rows.iter().map(Row::cells).collect();
    let width = |column: usize| cells.iter().map(|c| c[column].chars().count()).max().unwrap_or(0);
    let (what, value, bound) = (width(0), width(1), width(2));
    let mut text = format!("{}\n", section.title);
    if let Some(pace) = section.pace {
        text.push_str(&format!("  at {pace}\n"));
    }
    for [a, b, c, d] in &cells {
        let line = format!("  {a:<what$}  {b:>value$}  {c:<bound$}  {d}");
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_lab::machine::Watch;

    fn section(rows: Vec<Row>) -> Section {
        Section { rows, ..Section::new("planner", "One core.") }
    }

    fn rows() -> Vec<Row> {
        vec![
            Row::shown("full plan", 0.5, Unit::Seconds).at_most(1.0),
            Row::shown("apply rate", 2.0, Unit::Ratio).at_least(3.0),
            Row::shown("object", 2048.0, Unit::Bytes),
        ]
    }

    #[test]
    fn a_table_says_which_bounds_hold() {
        let expected = "planner\n\
                        \x20 full plan   500.0 ms  ≤ 1.00 s  holds\n\
                        \x20 apply rate     2.00×  ≥ 3.00×   DOES NOT HOLD\n\
                        \x20 object        2048 B\n";
        assert_eq!(table(&section(rows())), expected);
    }

    #[test]
    fn on_a_slow_machine_a_broken_bound_in_seconds_is_not_judged_and_all_else_is() {
        let rows = || {
            vec![
                Row::shown("too long", 2.0, Unit::Seconds).at_most(1.0),
                Row::shown("in time", 0.5, Unit::Seconds).at_most(1.0),
                Row::shown("too large", 2.0, Unit::Bytes).at_most(1.0),
            ]
        };
        let verdicts = |section: Section| section.rows.iter().map(Row::verdict).collect::<Vec<_>>();
        let expected = Pace::EXPECTED;
        let quick = section(rows()).at(expected);
        assert_eq!(verdicts(quick), [Verdict::Broken, Verdict::Holds, Verdict::Broken]);
        let slow = section(rows()).at(Pace { read: expected.read * 2.0, ..expected });
        assert_eq!(
            slow.rows[0].cells()[3],
            "not judged: a fixed piece of work took 2.0 times as long as on the machine that the bound is for"
        );
        assert!(slow.markdown("").contains("2.0 times as long"), "{}", slow.markdown(""));
        assert_eq!(verdicts(slow), [Verdict::NotJudged, Verdict::Holds, Verdict::Broken]);
    }

    #[test]
    fn a_run_holds_only_if_all_bounds_do_and_nothing_failed() {
        let machine = || Watch::start().finish();
        let good = || vec![section(rows().into_iter().take(1).collect())];
        assert!(Report::new(machine(), good(), Vec::new()).holds);
        assert!(!Report::new(machine(), vec![section(rows())], Vec::new()).holds);
        assert!(!Report::new(machine(), good(), vec!["apply: no rights".to_owned()]).holds);
    }

    #[test]
    fn plots_are_written_for_quotients_and_old_ones_go() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("old.svg"), "").unwrap();
        let mut section = section(rows());
        section.title = "Round trips, 1 byte".to_owned();
        for row in &mut section.rows {
            (row.unit, row.interval) = (Unit::Ratio, Some((row.value, row.value)));
        }
        Report::new(Watch::start().finish(), vec![section], Vec::new()).write(directory.path()).unwrap();
        assert!(directory.path().join("round-trips-1-byte.svg").exists());
        assert!(!directory.path().join("old.svg").exists());
        let markdown = fs::read_to_string(directory.path().join("report.md")).unwrap();
        assert!(markdown.contains("![Round trips, 1 byte](round-trips-1-byte.svg)"), "{markdown}");
    }

    #[test]
    fn both_files_are_written_and_name_every_figure() {
        let directory = tempfile::tempdir().unwrap();
        let report = Report::new(Watch::start().finish(), vec![section(rows())], vec!["x: y".to_owned()]);
        report.write(&directory.path().join("new")).unwrap();
        let markdown = fs::read_to_string(directory.path().join("new/report.md")).unwrap();
        assert!(markdown.contains("| apply rate | 2.00× | ≥ 3.00× | DOES NOT HOLD |"), "{markdown}");
        assert!(markdown.contains("Not measured: x: y"), "{markdown}");
        let json = fs::read_to_string(directory.path().join("new/report.json")).unwrap();
        let json: serde_json::Value = serde_json::from_str(&json).unwrap();
        assert_eq!(json["holds"], false);
        assert_eq!(json["sections"][0]["rows"][2]["what"], "object");
    }
}
