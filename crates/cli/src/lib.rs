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
mod bench;
mod complete;
mod credential;
mod dashboard;
mod doctor;
mod error;
mod explain;
mod gather;
mod input;
mod install;
mod interrupt;
mod inventory;
mod join;
mod leave;
mod live;
mod manifests;
mod node_state;
mod plan;
mod reference;
mod render;
mod report;
mod rollout;
mod schema;
mod source;
mod status;
mod version;

use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser};

use args::{Cli, Command};
use bench::{Bench, BenchArgs};
use error::Error;
use install::{InstallArgs, What};
pub use reference::markdown;
use report::{Colour, ColourChoice, Format, Outcome, Report};
pub use schema::schemas;

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

/// Answers kubectl's question what could come next on the command line of this process.
pub fn complete() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().skip(1).collect();
    match print(complete::answer(&words).as_bytes()) {
        Ok(_) => ExitCode::SUCCESS,
        Err(_) => ExitCode::from(FINDING),
    }
}

fn run(name: &'static str, arguments: &[OsString]) -> Result<Outcome, Error> {
    let mut command = Cli::command().bin_name(name);
    let matches = command.clone().get_matches_from(arguments);
    let cli = Cli::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    let color = cli.color;
    let show = |report: &dyn Shown, format, limit| report.shown(format, limit, color);
    match cli.command {
        Command::Status(args) if args.watch => {
            wait_for(status::watch(&args, colour(color))).map(|()| Outcome::Fine)
        }
        Command::Status(args) => show(&status::run(&args)?, args.output, args.limit),
        Command::Dashboard(args) => wait_for(dashboard::run(&args)).map(|()| Outcome::Fine),
        Command::Plan(args) => show(&plan::run(&args)?, args.common.output, args.limit),
        Command::Render(args) => show(&render::run(&args)?, args.common.output, 0),
        Command::Explain(args) => show(&explain::run(&args)?, args.common.output, 0),
        Command::Doctor(args) => match args.explain {
            Some(cause) => show(&doctor::explain(cause), args.output, 0),
            None => show(&doctor::run(&args)?, args.output, 0),
        },
        Command::Install(InstallArgs { what: What::Hub(args) }) if args.output.dry_run => {
            said(install::planned(&args)?.text(&args.output)?.as_bytes())
        }
        Command::Install(InstallArgs { what: What::Hub(args) }) => {
            show(&wait_for(install::run(&args))?, args.output.output, 0)
        }
        Command::Join(args) if args.output.dry_run => {
            said(wait_for(join::planned(&args))?.text(&args.output)?.as_bytes())
        }
        Command::Join(args) => show(&wait_for(join::run(&args))?, args.output.output, 0),
        Command::Leave(args) => show(&wait_for(leave::run(&args))?, args.output, 0),
        Command::Version(args) => show(&version::run(&args)?, args.output, 0),
        Command::Gather(args) => show(&gather::run(&args)?, args.output, 0),
        Command::Bench(BenchArgs { what: Bench::Nodes(args) }) => show(&bench::nodes(&args)?, args.output, 0),
        Command::Bench(BenchArgs { what: Bench::Serve(args) }) => bench::answer(&args),
        Command::Bench(BenchArgs { what: Bench::Run(args) }) => show(&bench::ask(&args)?, args.output, 0),
        Command::Completion(args) => {
            let mut script = Vec::new();
            let word = name.replace(' ', "-");
            clap_complete::generate(args.shell, &mut command, word, &mut script);
            said(&script)
        }
        Command::Man(args) => {
            let pages = reference::manual(&args.directory)?;
            said(format!("wrote {pages} manual pages to {}\n", args.directory.display()).as_bytes())
        }
        Command::Schema(args) => {
            let text = serde_json::to_string_pretty(&args.of.schema()).map_err(Error::Json)?;
            said(format!("{text}\n").as_bytes())
        }
    }
}

fn said(bytes: &[u8]) -> Result<Outcome, Error> {
    print(bytes).map(|_| Outcome::Fine)
}

/// Runs what speaks to API servers.
fn wait_for<T>(work: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(Error::Runtime)?.block_on(work)
}

/// What a choice of colours comes to on this standard output.
fn colour(choice: ColourChoice) -> Colour {
    Colour::wanted(choice, io::stdout().is_terminal(), std::env::var_os("NO_COLOR").as_deref())
}

/// A report of any kind that can be printed.
trait Shown {
    /// Prints it; tables show `limit` rows each, 0 for all.
    fn shown(&self, format: Format, limit: usize, choice: ColourChoice) -> Result<Outcome, Error>;
}

impl<R: Report> Shown for R {
    fn shown(&self, format: Format, limit: usize, choice: ColourChoice) -> Result<Outcome, Error> {
        print(report::write(self, format, limit, colour(choice))?.as_bytes())?;
        Ok(self.outcome())
    }
}

/// What a command that only reads (`status`, `plan`, `render`, `explain`) would print with these words, the program's name first,
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
        Ok(Command::Status(args)) if !args.watch => {
            told(status::run(&args).and_then(|report| written(&report, args.output, args.limit)))
        }
        Ok(Command::Plan(args)) => {
            told(plan::run(&args).and_then(|report| written(&report, args.common.output, args.limit)))
        }
        Ok(Command::Render(args)) => {
            told(render::run(&args).and_then(|report| written(&report, args.common.output, 0)))
        }
        Ok(Command::Explain(args)) => {
            told(explain::run(&args).and_then(|report| written(&report, args.common.output, 0)))
        }
        Ok(_) => (USAGE, "only status, plan, render and explain just read".to_owned()),
        Err(error) => (USAGE, error.to_string()),
    }
}

/// What became of a text that was written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Written {
    /// All of it.
    All,
    /// A reader that has seen enough, such as `head`, is no failure.
    NobodyReads,
}

/// Writes to standard output.
fn print(bytes: &[u8]) -> Result<Written, Error> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Ok(()) => Ok(Written::All),
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(Written::NobodyReads),
        Err(error) => Err(Error::Output(error)),
    }
}
