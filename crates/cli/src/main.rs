//! `causeway`.

use std::process::ExitCode;

fn main() -> ExitCode {
    causeway_cli::main("causeway")
}
