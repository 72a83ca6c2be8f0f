//! `causeway-lab faults`.

use std::collections::BTreeSet;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;

use super::report::MatrixReport;
use super::run::{Matrix, Settings};
use super::{Row, rows};
use crate::error::{LabError, Result};
use crate::lab::Programs;
use crate::machine::Watch;

/// Which faults, and how much of them.
#[derive(Clone, Debug, Args)]
pub(crate) struct FaultsArgs {
    /// Only this row; may be given several times
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Print the names of all rows, and run none
    #[arg(long)]
    pub list: bool,
    /// How often a gateway is killed
    #[arg(long, default_value_t = 100)]
    pub kills: usize,
    /// How long the machine is kept busy
    #[arg(long, default_value_t = 10)]
    pub minutes: u64,
    /// Where to write faults.json and faults.md
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
}

/// Runs it. Exit code 1 if a row is outside of its bound.
pub(crate) fn main(program: &Path, args: &FaultsArgs) -> Result<ExitCode> {
    let all = rows();
    if args.list {
        let list: String = all.iter().map(|row| format!("{:<28} {}\n", row.name, row.fault)).collect();
        // A reader that went away early has seen enough.
        let _ = std::io::stdout().write_all(list.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    let chosen = choose(all, &args.only)?;
    let settings = Settings { kills: args.kills, busy: Duration::from_secs(60 * args.minutes) };
    let watch = Watch::start();
    let matrix = Matrix::up(program, Programs::beside(program), "faults", settings)?;
    let mut outcomes = Vec::new();
    for row in &chosen {
        let outcome = matrix.run(row);
        eprintln!("{:<28} {}", row.name, if outcome.holds() { "holds" } else { "DOES NOT HOLD" });
        for what in outcome.misses.iter().chain(&outcome.late) {
            eprintln!("    {what}");
        }
        outcomes.push(outcome);
    }
    let report = MatrixReport::new(watch.finish(), outcomes);
    println!("{}", report.to_table());
    if let Some(directory) = &args.report {
        report.write(directory)?;
    }
    Ok(if report.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn choose(all: Vec<Row>, only: &[String]) -> Result<Vec<Row>> {
    let names: BTreeSet<&str> = all.iter().map(|row| row.name).collect();
    if let Some(unknown) = only.iter().find(|name| !names.contains(name.as_str())) {
        return Err(LabError::UnknownRow(unknown.clone()));
    }
    Ok(all.into_iter().filter(|row| only.is_empty() || only.iter().any(|name| name == row.name)).collect())
}
