//! House rules that a search can hold.

use std::fs;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace")
}

fn sources(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).expect("a readable directory") {
        let path = entry.expect("an entry").path();
        let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_dir() && name != "target" && !name.starts_with(".git") {
            sources(&path, found);
        } else if path.extension().is_some_and(|e| e == "rs") {
            found.push(path);
        }
    }
}

fn all_sources() -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    sources(&root(), &mut found);
    assert!(found.len() > 20, "sources are found");
    found.into_iter().map(|p| (p.clone(), fs::read_to_string(p).expect("readable"))).collect()
}

#[test]
fn no_crate_allows_unsafe_code() {
    let word = ["un", "safe"].concat();
    for (path, text) in all_sources() {
        let code = text.lines().filter(|l| !l.trim_start().starts_with("//"));
        for line in code {
            let found = line.contains(&format!("{word} {{")) || line.contains(&format!("allow({word}_code"));
            assert!(!found, "{}: {line}", path.display());
        }
    }
}

#[test]
fn every_module_says_what_it_is() {
    for (path, text) in all_sources() {
        let first = text.lines().find(|l| !l.trim().is_empty() && !l.starts_with("#!")).unwrap_or_default();
        assert!(first.starts_with("//!"), "{} does not begin with a module comment", path.display());
    }
}

#[test]
fn tests_are_neither_ignored_nor_unfinished() {
    let marks = [["#[", "ignore"].concat(), ["todo", "!("].concat(), ["unimplemented", "!("].concat()];
    for (path, text) in all_sources() {
        for mark in &marks {
            assert!(!text.contains(mark.as_str()), "{} has {mark}", path.display());
        }
    }
}

#[test]
fn files_stay_readable_in_size() {
    for (path, text) in all_sources() {
        let lines = text.lines().count();
        assert!(lines <= 700, "{} has {lines} lines; split it by what it is about", path.display());
    }
}

/// Files whose words of several humps are reasons of conditions.
const REASONS: [&str; 9] = [
    "agent/src/report.rs",
    "agent/src/converge.rs",
    "agent/src/gateways.rs",
    "controller-manager/src/statuses.rs",
    "crates/api/src/conditions.rs",
    "crates/dataplane/src/desired/notice.rs",
    "crates/discovery/src/cluster.rs",
    "crates/model/src/finding.rs",
    "network-manager/src/outputs.rs",
];

#[test]
fn every_reason_of_a_condition_is_documented() {
    let page = fs::read_to_string(root().join("docs/conditions.md")).expect("docs/conditions.md");
    let mut found = 0;
    for file in REASONS {
        let text = fs::read_to_string(root().join(file)).expect(file);
        let code = text.split("mod tests {").next().unwrap_or_default();
        let lines = code.lines().filter(|line| !line.trim_start().starts_with("//"));
        for word in lines.flat_map(|line| line.split('"').skip(1).step_by(2)) {
            let capitals = word.chars().filter(char::is_ascii_uppercase).count();
            let is_word = word.chars().all(|c| c.is_ascii_alphanumeric());
            let begins = word.starts_with(|c: char| c.is_ascii_uppercase());
            if is_word && begins && capitals > 1 && word.chars().any(|c| c.is_ascii_lowercase()) {
                found += 1;
                assert!(page.contains(&format!("`{word}`")), "{file}: {word} is not in docs/conditions.md");
            }
        }
    }
    assert!(found > 40, "only {found} reasons were found");
}
