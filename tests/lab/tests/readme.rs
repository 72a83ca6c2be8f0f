//! What the README shows of a lab works as it stands there: a bed that is broken, explained and mended.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::path::Path;
use std::process::Command;

use common::PROGRAM;

/// What a shell is to run of the README's part about a topology of one's own: lines that begin with `$ `, and what
/// follows up to the next one where that is text for a program.
fn commands() -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../README.md");
    let page = std::fs::read_to_string(path).unwrap();
    let part = page.split("Try a topology of your own:").nth(1).unwrap().split("\n## ").next().unwrap();
    let blocks: Vec<&str> =
        part.split("```console\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    blocks
        .concat()
        .replace("$ ", "")
        .replace("target/release/", &format!("{}/", Path::new(PROGRAM).parent().unwrap().display()))
}

#[test]
fn a_lab_is_brought_up_broken_explained_and_mended() {
    let folder = tempfile::tempdir().unwrap();
    let name = format!("readme-{}", std::process::id());
    // The name keeps it apart from other tests' beds.
    let lab = |command: &str| command.replace("causeway-lab ", &format!("causeway-lab --name {name} "));
    let commands = lab(&commands());
    let count = commands.matches(&name).count();
    assert!(count >= 6, "{commands}");
    // The first verdict of doctor is that something is wrong; all else succeeds.
    let first = commands.lines().find(|line| line.contains("causeway doctor")).unwrap();
    let finds = format!("if {} >found; then exit 9; fi; cat found", first.split('#').next().unwrap());
    let commands = commands.replacen(first, &finds, 1);
    let output = Command::new("sh").args(["-exc", &commands]).current_dir(folder.path()).output().unwrap();
    let text =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    if !output.status.success() {
        let _ = Command::new(PROGRAM).args(["--name", &name, "down"]).output();
    }
    assert!(output.status.success(), "{text}");
    let found = std::fs::read_to_string(folder.path().join("found")).unwrap();
    assert!(found.contains("CW1106") && found.contains("east/n1"), "{found}");
}
