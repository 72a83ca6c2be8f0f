//! Hot paths take no more instructions than `bench/instructions.json` says they do.
//!
//! Instructions are counted by valgrind, which needs no counters of the processor and gives the same number whatever
//! else the machine does. `make instructions` writes the file anew.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::{env, fs, thread};

use causeway_instructions::HotPath;
use serde_json::{Value, json};

/// Share by which a count may differ with the compiler that the file names. Repeated runs differ by less than a
/// thousandth; processors differ in which memcpy and memcmp glibc takes, which is some percent of the paths that copy most.
const MARGIN: f64 = 0.03;
/// The same with another compiler, which translates everything anew.
const OTHER_COMPILER: f64 = 0.20;
/// Which measures anew and writes the file.
const WRITE: &str = "CAUSEWAY_WRITE_INSTRUCTIONS";

#[test]
fn hot_paths_take_as_many_instructions_as_recorded() {
    let program = build();
    let (file, compiler) = (root().join("bench/instructions.json"), compiler());
    let counted = count_all(&program);
    if env::var_os(WRITE).is_some() {
        let text =
            serde_json::to_string_pretty(&json!({"compiler": compiler, "instructions": counted})).unwrap();
        fs::write(&file, text + "\n").unwrap();
        return;
    }
    let recorded: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
    let margin = if recorded["compiler"] == json!(compiler) { MARGIN } else { OTHER_COMPILER };
    let recorded: BTreeMap<String, u64> = serde_json::from_value(recorded["instructions"].clone()).unwrap();
    let wrong = contradictions(&recorded, &counted, margin);
    assert!(
        wrong.is_empty(),
        "with {compiler}:\n{}\nIf that is meant, `make instructions` records it.",
        wrong.join("\n")
    );
}

/// What is beyond the margin, each with its figures. Fewer are told as well: a gain that is not recorded can be lost
/// again unnoticed.
fn contradictions(
    recorded: &BTreeMap<String, u64>,
    counted: &BTreeMap<String, u64>,
    margin: f64,
) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, count) in counted {
        let Some(before) = recorded.get(name) else {
            wrong.push(format!("{name}: {count}, and nothing is recorded"));
            continue;
        };
        let change = *count as f64 / *before as f64 - 1.0;
        if change.abs() > margin {
            wrong.push(format!("{name}: {count} instead of {before}, {:+.1} %", change * 100.0));
        }
    }
    let gone = recorded.keys().filter(|name| !counted.contains_key(*name));
    wrong.extend(gone.map(|name| format!("{name}: recorded, and no longer measured")));
    wrong
}

#[test]
fn what_is_beyond_the_margin_missing_or_left_over_is_told() {
    let counts = |counts: &[(&str, u64)]| -> BTreeMap<String, u64> {
        counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
    };
    let recorded = counts(&[("a", 1000), ("b", 1000), ("c", 1000), ("old", 5)]);
    let counted = counts(&[("a", 1029), ("b", 1031), ("c", 969), ("new", 7)]);
    let wrong = contradictions(&recorded, &counted, 0.03);
    let begins: Vec<&str> = wrong.iter().map(|line| line.split(' ').next().unwrap()).collect();
    assert_eq!(begins, ["b:", "c:", "new:", "old:"], "{wrong:?}");
    assert!(wrong[0].ends_with("+3.1 %") && wrong[1].ends_with("-3.1 %"), "{wrong:?}");
}

#[test]
fn counts_are_read_from_what_valgrind_says() {
    assert_eq!(instructions("==7== \n==7== I   refs:      1,234,567\n"), Some(1_234_567));
    assert_eq!(instructions("==7== I refs:        42\n"), Some(42));
    assert_eq!(instructions("valgrind: failed to start tool"), None);
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn compiler() -> String {
    let output = Command::new("rustc").arg("--version").current_dir(root()).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Builds the program in the profile that is counted, and says where it is.
fn build() -> PathBuf {
    let mut command = Command::new(env!("CARGO"));
    command.args(["build", "--locked", "--profile", "instructions", "--package", "causeway-instructions"]);
    command
        .args(["--message-format", "json-render-diagnostics"])
        .current_dir(root())
        .stderr(Stdio::inherit());
    let output = command.output().unwrap();
    assert!(output.status.success(), "the program does not build");
    let messages = String::from_utf8(output.stdout).unwrap();
    let executable = |line: &str| {
        let message: Value = serde_json::from_str(line).ok()?;
        message["executable"].as_str().map(PathBuf::from)
    };
    messages.lines().filter_map(executable).next_back().unwrap()
}

/// Counts of all paths, two at a time.
fn count_all(program: &Path) -> BTreeMap<String, u64> {
    let waiting = Mutex::new(HotPath::ALL.iter().map(|path| path.name).collect::<Vec<_>>());
    let counted = Mutex::new(BTreeMap::new());
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                loop {
                    let Some(name) = waiting.lock().unwrap().pop() else { break };
                    let count = run(program, name, 2) - run(program, name, 1);
                    counted.lock().unwrap().insert(name.to_owned(), count);
                }
            });
        }
    });
    counted.into_inner().unwrap()
}

/// Instructions of a run, in a network namespace of its own.
fn run(program: &Path, path: &str, repetitions: usize) -> u64 {
    let mut command = Command::new("unshare");
    let search = format!("{}:/usr/sbin:/sbin", env::var("PATH").unwrap_or_default());
    if fs::metadata("/proc/self").unwrap().uid() != 0 {
        command.arg("--map-root-user");
    }
    command.env("PATH", search).args(["--net", "valgrind", "--tool=cachegrind"]);
    command.args(["--cache-sim=no", "--cachegrind-out-file=/dev/null"]).arg(program);
    let output = command.args([path, &repetitions.to_string()]).output();
    let output = output.expect("unshare of util-linux and valgrind, of Debian's packages of those names");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{path}: {said}");
    instructions(&said).unwrap_or_else(|| panic!("{path}: no count in {said}"))
}

/// `I refs: N` in what valgrind says at the end.
fn instructions(said: &str) -> Option<u64> {
    let line = said.lines().find(|line| line.split_whitespace().skip(1).take(2).eq(["I", "refs:"]))?;
    line.rsplit(' ').next()?.replace(',', "").parse().ok()
}
