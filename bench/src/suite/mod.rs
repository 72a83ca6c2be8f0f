//! Which measurements are taken, and which figures and bounds follow.

mod apply;
mod counted;
mod fail;
mod live;
mod memory;
mod path;
mod plan;
mod rates;
mod sizes;

use std::process::ExitCode;

use anyhow::Result;

use crate::args::{Options, Suite};
use crate::child;
use crate::measure::Yardstick;
use crate::report::{Report, Section, table};
use causeway_lab::machine::Watch;

/// Measures one or several sections.
type Measured = fn(&Options) -> Result<Vec<Section>>;

/// All sections in order.
const SECTIONS: [(Suite, &str, Measured); 16] = [
    (Suite::Plan, "full plans", |options| one(plan::full(options))),
    (Suite::Plan, "full plans by number of clusters", |options| one(plan::by_clusters(options))),
    (Suite::Plan, "single changes", |options| one(plan::single(options))),
    (Suite::Sizes, "object sizes", |options| one(sizes::section(options))),
    (Suite::Apply, "apply rates", |options| one(rates::section(options))),
    (Suite::Apply, "one node's pipeline", |options| one(apply::section(options))),
    (Suite::Path, "paths between pods", path::sections),
    (Suite::Converge, "joining nodes", |options| one(live::joins(options))),
    (Suite::Converge, "changes of clusters", live::changes),
    (Suite::Fail, "faults", |options| one(fail::section(options))),
    (Suite::Fail, "naming a cause", |options| one(live::doctor(options))),
    (Suite::Scale, "a large member", |options| one(live::members(options))),
    (Suite::Scale, "a large hub", |options| one(live::hub(options))),
    (Suite::Scale, "what is counted", |options| one(counted::section(options))),
    (Suite::Memory, "agent memory", |options| one(memory::section(options))),
    (Suite::Memory, "idle programs", |options| one(live::idle(options))),
];

fn one(section: Result<Section>) -> Result<Vec<Section>> {
    Ok(vec![section?])
}

/// Measures what was asked for, prints it as it comes, and writes the report. A section that cannot be
/// measured is a failure of the run and keeps no other from being measured.
///
/// # Errors
/// If the report cannot be written, or the machine's pace not measured.
pub fn run(options: &Options) -> Result<ExitCode> {
    let watch = Watch::start();
    let (mut sections, mut failures) = (Vec::new(), Vec::new());
    for (_, name, measure) in SECTIONS.iter().filter(|(suite, ..)| options.wants(*suite)) {
        eprintln!("measuring {name} …");
        let before = child::run(&Yardstick)?;
        match measure(options) {
            Ok(measured) => {
                let pace = before.between(&child::run(&Yardstick)?);
                let measured: Vec<Section> = measured.into_iter().map(|section| section.at(pace)).collect();
                measured.iter().for_each(|section| println!("{}", table(section)));
                sections.extend(measured);
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
