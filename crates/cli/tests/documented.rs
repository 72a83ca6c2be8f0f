//! Every command of this program that the documentation shows is one that it takes.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::path::{Path, PathBuf};
use std::process::Command;

fn pages() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let docs = std::fs::read_dir(root.join("docs")).unwrap().map(|entry| entry.unwrap().path());
    let pages = docs.filter(|page| page.extension().is_some_and(|end| end == "md"));
    // What the program says of itself is held by another test.
    let pages = pages.filter(|page| !page.ends_with("cli.md"));
    pages.chain([root.join("README.md"), root.join("deploy/README.md")]).collect()
}

/// What follows `causeway ` in text between backquotes, and in lines that begin with `$ `.
fn commands(page: &str) -> Vec<String> {
    // A command may be broken over two lines of a paragraph.
    let paragraphs =
        page.split("\n\n").map(|paragraph| paragraph.split_whitespace().collect::<Vec<_>>().join(" "));
    let inline: Vec<String> = paragraphs
        .flat_map(|text| text.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>())
        .collect();
    let lines = page.lines().filter_map(|line| line.strip_prefix("$ ")).map(|line| {
        let line = line.split(" #").next().unwrap_or_default();
        line.trim().to_owned()
    });
    let all = inline.into_iter().chain(lines);
    all.filter_map(|command| command.strip_prefix("causeway ").map(str::to_owned)).collect()
}

#[test]
fn commands_in_the_documentation_are_taken() {
    let mut found = 0;
    for page in pages() {
        for command in commands(&std::fs::read_to_string(&page).unwrap()) {
            let words: Vec<&str> = command.split_whitespace().filter(|word| *word != "…").collect();
            // With --help everything before it is read, and nothing is done.
            let output =
                Command::new(env!("CARGO_BIN_EXE_causeway")).args(&words).arg("--help").output().unwrap();
            let errors = String::from_utf8_lossy(&output.stderr);
            assert!(output.status.success(), "{}: causeway {command}: {errors}", page.display());
            found += 1;
        }
    }
    assert!(found > 20, "only {found} commands were found");
}
