//! Completion for `kubectl causeway`: kubectl runs a program of this name with the words that are there.

use std::process::ExitCode;

fn main() -> ExitCode {
    causeway_cli::complete()
}
