//! `kubectl causeway`: the same program under the name by which kubectl finds it.

use std::process::ExitCode;

fn main() -> ExitCode {
    causeway_cli::main("kubectl causeway")
}
