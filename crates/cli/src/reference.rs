//! The command line described by itself: as one page of Markdown, and as manual pages.

use std::fmt::Write;
use std::path::Path;

use clap::{Command, CommandFactory};

use crate::args::Cli;
use crate::error::Error;

/// Every command with its help, as Markdown.
pub fn markdown() -> String {
    let mut command = Cli::command().term_width(100);
    command.build();
    let mut text = String::from(
        "# The command line\n\n<!-- Written by a test of crates/cli from the program itself: CAUSEWAY_REWRITE_GOLDEN=1 cargo test -p causeway-cli --test reference -->\n\n\
         `kubectl causeway` is the same program. Exit codes: 0 fine, 1 a finding or a failure, 2 usage or input. What `-o json`\n\
         prints is described by the JSON Schemas in [schemas](schemas), which `causeway schema` prints too.\n",
    );
    describe(&command, "causeway", &mut text);
    text
}

fn describe(command: &Command, path: &str, text: &mut String) {
    // Writing to a String cannot fail.
    let help = command.clone().bin_name(path).render_long_help().to_string();
    let help: Vec<&str> = help.lines().map(str::trim_end).collect();
    let _ = write!(text, "\n## {path}\n\n```text\n{}\n```\n", help.join("\n").trim_end());
    for inner in command.get_subcommands().filter(|inner| inner.get_name() != "help") {
        describe(inner, &format!("{path} {}", inner.get_name()), text);
    }
}

/// Writes a manual page of each command into `directory`, which is made if it is not there.
///
/// # Errors
/// [`Error::Written`].
pub fn manual(directory: &Path) -> Result<usize, Error> {
    let failed = |error| Error::Written { file: directory.display().to_string(), error };
    std::fs::create_dir_all(directory).map_err(failed)?;
    clap_mangen::generate_to(Cli::command(), directory).map_err(failed)?;
    let pages = std::fs::read_dir(directory).map_err(failed)?.flatten();
    Ok(pages.filter(|page| page.file_name().to_string_lossy().starts_with("causeway")).count())
}
