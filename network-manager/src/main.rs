//! `causeway-network-manager`: turns the facts of a clusterset into plans.

mod args;
mod directory;
mod facts;
mod hub;
mod outputs;
mod planning;
mod run;

use std::process::ExitCode;

use clap::Parser;

use crate::args::Cli;
use crate::run::RunError;

fn main() -> ExitCode {
    let cli = Cli::parse();
    causeway_daemon::start_logging(cli.log_format);
    let result =
        causeway_daemon::run(run::run(cli)).unwrap_or_else(|error| Err(RunError::System("runtime", error)));
    causeway_daemon::exit_code(result, RunError::is_input)
}
