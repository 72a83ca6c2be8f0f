//! Which measurements are taken, and which figures and bounds follow.

mod apply;
mod live;
mod memory;
mod plan;
mod rates;
mod sizes;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{Options, Suite};
use crate::report::{Report, Section, table};
use causeway_lab::machine::Watch;

/// A section to be measured.
type Measured = fn(&Options) -> Result<Section>;

/// All sections in order.
const SECTIONS: [(Suite, &str, Measured); 9] = [
    (Suite::Plan, "full plans", plan::full),
    (Suite::Plan, "single changes", plan::single),
    (Suite::Sizes, "object sizes", sizes::section),
    (Suite::Apply, "apply rates", rates::section),
    (Suite::Apply, "one node's pipeline", apply::section),
    (Suite::Apply, "agent memory", memory::section),
    (Suite::Converge, "joining nodes", live::joins),
    (Suite::Scale, "a large member", live::members),
    (Suite::Scale, "a large hub", live::hub),
];

/// Measures what was asked for, prints it as it comes, and writes the report. A section that cannot be
/// measured is a failure of the run and keeps no other from being measured.
///
/// # Errors
/// If the report cannot be written.
pub fn run(options: &Options) -> Result<ExitCode> {
    let watch = Watch::start();
    let (mut sections, mut failures) = (Vec::new(), Vec::new());
    for (_, name, measure) in SECTIONS.iter().filter(|(suite, ..)| options.wants(*suite)) {
        eprintln!("measuring {name} …");
        match measure(options) {
            Ok(section) => {
                println!("{}", table(&section));
                sections.push(section);
            }
            Err(error) => {
                eprintln!("{name} could not be measured: {error:#}");
                failures.push(format!("{name}: {error:#}"));
            }
        }
    }
    let report = Report::new(watch.finish(), sections, failures);
    println!("{}", report.preface());
    if let Some(directory) = &options.report {
        report.write(directory)?;
        println!("{} and report.md written", directory.join("report.json").display());
    }
    Ok(if report.holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
