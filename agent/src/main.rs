//! `causeway-agent`: keeps one node's kernel as its plan says.

mod args;
mod atomic;
mod converge;
mod drift;
mod examination;
mod gateways;
mod last_known;
mod plans;
mod quality;
mod report;
mod restore;
mod run;
mod source;
mod telemetry;

use std::process::ExitCode;

use clap::Parser;

use crate::args::{Cli, Command};
use crate::run::RunError;

fn main() -> ExitCode {
    let cli = Cli::parse();
    causeway_daemon::start_logging(cli.log_format);
    let result = match &cli.command {
        Some(Command::Cleanup(args)) => run::cleanup(args),
        Some(Command::Examine(args)) => run::examine(args),
        Some(Command::Wait) => causeway_daemon::run(causeway_daemon::stop_requested())
            .and_then(|waited| waited)
            .map_err(|error| RunError::System("signals", error)),
        None => causeway_daemon::run(run::run(cli.run))
            .unwrap_or_else(|error| Err(RunError::System("runtime", error))),
    };
    causeway_daemon::exit_code(result, RunError::is_input)
}
