//! What is built in: from where, under which licence, and always by the lock file. The rules are those of `deny.toml`.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Every package of the lock file, for all platforms.
fn packages() -> Vec<Value> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--format-version", "1", "--locked", "--all-features"]).current_dir(top());
    let output = command.output().expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    metadata["packages"].as_array().expect("packages").clone()
}

/// The licences that `deny.toml` allows.
fn allowed() -> BTreeSet<String> {
    let text = read("deny.toml");
    let (_, licences) = text.split_once("[licenses]\nallow = [").expect("licences");
    let (list, _) = licences.split_once(']').expect("the end of the list");
    list.split(',')
        .map(|item| item.trim().trim_matches('"').to_owned())
        .filter(|item| !item.is_empty())
        .collect()
}

/// Whether an SPDX expression can be met by what is allowed: one of what `OR` joins, all of what `AND` joins, which
/// binds closer (<https://spdx.github.io/spdx-spec/v2.3/SPDX-license-expressions/>).
fn is_allowed(expression: &str, allowed: &BTreeSet<String>) -> bool {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut at = 0;
    let met = any_of(&words, &mut at, allowed);
    met && at == words.len()
}

fn any_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = all_of(words, at, allowed);
    while words.get(*at) == Some(&"OR") {
        *at += 1;
        met |= all_of(words, at, allowed);
    }
    met
}

fn all_of(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let mut met = one(words, at, allowed);
    while words.get(*at) == Some(&"AND") {
        *at += 1;
        met &= one(words, at, allowed);
    }
    met
}

fn one(words: &[&str], at: &mut usize, allowed: &BTreeSet<String>) -> bool {
    let Some(word) = words.get(*at) else { return false };
    *at += 1;
    if *word == "(" {
        let met = any_of(words, at, allowed);
        let closed = words.get(*at) == Some(&")");
        *at += 1;
        return met && closed;
    }
    match (words.get(*at), words.get(*at + 1)) {
        (Some(&"WITH"), Some(exception)) => {
            *at += 2;
            allowed.contains(&format!("{word} WITH {exception}"))
        }
        _ => allowed.contains(*word),
    }
}

#[test]
fn licence_expressions_are_read_as_spdx_means_them() {
    let allowed = ["MIT", "ISC", "Apache-2.0 WITH LLVM-exception"].map(str::to_owned).into_iter().collect();
    for good in [
        "MIT",
        "GPL-3.0 OR MIT",
        "GPL-3.0/MIT",
        "(GPL-3.0 OR MIT) AND ISC",
        "GPL-3.0 AND ISC OR MIT",
        "Apache-2.0 WITH LLVM-exception",
    ] {
        assert!(is_allowed(good, &allowed), "{good}");
    }
    for bad in
        ["", "GPL-3.0", "MIT AND GPL-3.0", "(MIT AND GPL-3.0) OR LGPL-2.1", "Apache-2.0", "MIT MIT", "(MIT"]
    {
        assert!(!is_allowed(bad, &allowed), "{bad}");
    }
}

#[test]
fn everything_built_in_has_a_licence_that_is_allowed_and_no_allowed_one_is_idle() {
    let allowed = allowed();
    let mut all = String::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_default();
        assert!(is_allowed(licence, &allowed), "{}: {licence:?} is not in deny.toml", package["name"]);
        all.push_str(&format!(" {licence} "));
    }
    let words = all.replace(['(', ')', '/'], " ");
    let idle: Vec<&String> = allowed.iter().filter(|one| !words.contains(&format!(" {one} "))).collect();
    assert!(idle.is_empty(), "nothing has {idle:?}; take it out of deny.toml");
}

#[test]
fn everything_built_in_is_of_this_repository_or_of_crates_io_in_the_very_bytes_of_the_lock_file() {
    for package in packages() {
        let (name, source) = (&package["name"], package["source"].as_str());
        assert!(matches!(source, None | Some(CRATES_IO)), "{name} comes from {source:?}");
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            let of_ours = source.is_none() && dependency["path"].is_null();
            assert!(
                !of_ours || dependency["req"] != "*",
                "{name} takes any version of {}",
                dependency["name"]
            );
        }
    }
    let lock = read("Cargo.lock");
    for package in lock.split("[[package]]").skip(1).filter(|package| package.contains("\nsource = ")) {
        assert!(package.contains("\nchecksum = "), "no checksum: {package}");
    }
}

#[test]
fn whatever_builds_uses_the_lock_file() {
    let image = read("deploy/image/build.sh");
    assert!(image.contains("flags=(--locked"), "deploy/image/build.sh gives cargo its flags in one place");
    for file in ["Makefile", "deploy/image/build.sh"] {
        for line in read(file).lines() {
            let Some((_, words)) = line.split_once("cargo ") else { continue };
            let builds = ["build", "test", "run", "clippy", "doc", "check", "bench"]
                .iter()
                .any(|w| words.starts_with(w));
            let locked = words.contains("--locked") || words.contains("${flags[@]}");
            assert!(!builds || locked, "{file}: {line}");
        }
    }
}
