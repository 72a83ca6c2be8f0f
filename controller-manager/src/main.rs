//! `causeway-controller-manager`: tells the hub the facts of its cluster, and brings the plans to it.

mod args;
mod copies;
mod credential;
mod item;
mod manager;
mod member;
mod news;
mod requests;
mod resting;
mod run;
mod statuses;
mod view;

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
