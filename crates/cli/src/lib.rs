//! `causeway`, also `kubectl causeway`: what a clusterset's objects come to, without touching a kernel;
//! and how clusters come to be in a clusterset: `install`, `join` and `leave` are what writes objects.
//!
//! Each command builds one report, a value that is printed as a table, as JSON or as YAML. The
//! decisions are those of `causeway-planner` and `causeway-dataplane`; this crate only reads, compares
//! and follows what they say.
//!
//! Exit codes: 0 fine, 1 a finding or a failure, 2 usage or input.

mod access;
mod apply;
mod args;
mod credential;
mod error;
mod explain;
mod install;
mod inventory;
mod join;
mod leave;
mod manifests;
mod node_state;
mod plan;
mod render;
mod report;
mod rollout;
mod version;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use args::{Cli, Command};
use error::Error;
use install::{InstallArgs, What};
use report::{Colour, Format, Outcome, Report};

/// What the command came to, as the process tells it.
const FINDING: u8 = 1;
const USAGE: u8 = 2;

/// Runs the program under the name `name` with the arguments of this process.
pub fn main(name: &'static str) -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match run(name, &arguments) {
        Ok(Outcome::Fine) => ExitCode::SUCCESS,
        Ok(Outcome::Findings) => ExitCode::from(FINDING),
        Err(error) => {
            // Nobody is left to tell where standard error is gone too.
            let _ = writeln!(io::stderr(), "error: {error}");
            ExitCode::from(if error.is_input() { USAGE } else { FINDING })
        }
    }
}

fn run(name: &'static str, arguments: &[OsString]) -> Result<Outcome, Error> {
    let mut command = Cli::command().bin_name(name);
    let matches = command.clone().get_matches_from(arguments);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match cli.command {
        Command::Plan(args) => show(&plan::run(&args)?, args.common.output, args.limit),
        Command::Render(args) => show(&render::run(&args)?, args.common.output, 0),
        Command::Explain(args) => show(&explain::run(&args)?, args.common.output, 0),
        Command::Install(InstallArgs { what: What::Hub(args) }) if args.output.dry_run => {
            print(install::planned(&args)?.text(&args.output)?.as_bytes()).map(|()| Outcome::Fine)
        }
        Command::Install(InstallArgs { what: What::Hub(args) }) => {
            show(&wait_for(install::run(&args))?, args.output.output, 0)
        }
        Command::Join(args) if args.output.dry_run => {
            let planned = wait_for(join::planned(&args))?;
            print(planned.text(&args.output)?.as_bytes()).map(|()| Outcome::Fine)
        }
        Command::Join(args) => show(&wait_for(join::run(&args))?, args.output.output, 0),
        Command::Leave(args) => show(&wait_for(leave::run(&args))?, args.output, 0),
        Command::Version(args) => show(&version::report(), args.output, 0),
        Command::Completion(args) => {
            let mut script = Vec::new();
            let word = name.replace(' ', "-");
            clap_complete::generate(args.shell, &mut command, word, &mut script);
            print(&script).map(|()| Outcome::Fine)
        }
    }
}

/// Runs what speaks to API servers.
fn wait_for<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::Runtime)?.block_on(work)
}

/// Prints a report; tables show `limit` rows each, 0 for all.
fn show<R: Report>(report: &R, format: Format, limit: usize) -> Result<Outcome, Error> {
    let colour = Colour::wanted(io::stdout().is_terminal(), std::env::var_os("NO_COLOR").as_deref());
    print(report::write(report, format, limit, colour)?.as_bytes())?;
    Ok(report.outcome())
}

/// What a command that only reads (`plan`, `render`, `explain`) would print with these words, the program's name first,
/// and its exit code. Nothing is printed. Any other command is an error of usage.
pub fn answer(words: &[&str]) -> (u8, String) {
    fn written<R: Report>(report: &R, format: Format, limit: usize) -> Result<(Outcome, String), Error> {
        Ok((report.outcome(), report::write(report, format, limit, Colour::Off)?))
    }
    let told = |result: Result<(Outcome, String), Error>| match result {
        Ok((Outcome::Fine, text)) => (0, text),
        Ok((Outcome::Findings, text)) => (FINDING, text),
        Err(error) => (if error.is_input() { USAGE } else { FINDING }, error.to_string()),
    };
    match Cli::try_parse_from(words).map(|cli| cli.command) {
        Ok(Command::Plan(args)) => {
            told(plan::run(&args).and_then(|report| written(&report, args.common.output, args.limit)))
        }
        Ok(Command::Render(args)) => {
            told(render::run(&args).and_then(|report| written(&report, args.common.output, 0)))
        }
        Ok(Command::Explain(args)) => {
            told(explain::run(&args).and_then(|report| written(&report, args.common.output, 0)))
        }
        Ok(_) => (USAGE, "only plan, render and explain just read".to_owned()),
        Err(error) => (USAGE, error.to_string()),
    }
}

/// Writes to standard output. A reader that has seen enough, such as `head`, is no failure.
fn print(bytes: &[u8]) -> Result<(), Error> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Error::Output(error)),
        _ => Ok(()),
    }
}
