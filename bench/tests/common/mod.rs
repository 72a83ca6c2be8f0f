//! What the tests of whole suites share.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::fs;
use std::process::Command;

use serde_json::Value;

/// Runs suites with sizes that say nothing about speed, their report into `directory`: what was printed, and the report, in
/// which every section was measured.
pub fn quick(suites: &[&str], directory: &std::path::Path) -> (String, Value) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway-bench"));
    command.args(suites.iter().flat_map(|suite| ["--suite", suite]));
    let output = command.args(["--quick", "--report"]).arg(directory).output().unwrap();
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let report = fs::read_to_string(directory.join("report.json")).unwrap_or_else(|_| panic!("{said}"));
    let report: Value = serde_json::from_str(&report).unwrap();
    assert_eq!(report["failures"].as_array().unwrap().len(), 0, "{said}");
    (said, report)
}

/// The rows of a section.
pub fn rows(report: &Value, title: &str) -> Vec<Value> {
    let sections = report["sections"].as_array().unwrap();
    let titles: Vec<&str> = sections.iter().map(|section| section["title"].as_str().unwrap()).collect();
    let section = sections.iter().find(|section| section["title"] == title);
    section.unwrap_or_else(|| panic!("{title} in {titles:?}"))["rows"].as_array().unwrap().clone()
}
