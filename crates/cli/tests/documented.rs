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
        // What a shell makes of the output is not this program's.
        let line = line.split(" | ").next().unwrap_or_default();
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

/// Blocks of a page that are marked as `language`.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    let starts = page.match_indices(&fence).map(|(at, fence)| at + fence.len());
    starts.map(|start| page[start..].split("\n```").next().unwrap_or_default()).collect()
}

#[test]
fn the_example_of_overlapping_cidrs_says_what_the_page_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/overlap.md")).unwrap();
    let folder = tempfile::TempDir::new().unwrap();
    let [file]: [&str; 1] = blocks(&page, "yaml").try_into().unwrap();
    let path = folder.path().join(file.lines().next().unwrap().strip_prefix("# ").unwrap());
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, file).unwrap();
    let program = Path::new(env!("CARGO_BIN_EXE_causeway")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let examples = blocks(&page, "console");
    assert_eq!(examples.len(), 2);
    for example in examples {
        let (command, expected) = example.split_once('\n').unwrap();
        let mut shell = Command::new("bash");
        shell.args(["-c", command.strip_prefix("$ ").unwrap()]).current_dir(folder.path()).env("PATH", &path);
        let output = shell.output().unwrap();
        let told = String::from_utf8(output.stdout).unwrap();
        assert_eq!(told.trim_end(), expected, "{command}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
