//! What faults cost: how long packets have no way, for each row of the fault matrix.

use std::time::Duration;

use anyhow::Result;
use causeway_lab::Programs;
use causeway_lab::matrix::{Bound, Matrix, Outcome, Settings, rows};

use crate::args::Options;
use crate::report::Section;
use crate::row::{Row, Unit};

/// The one row that is run where only its being run matters.
const QUICK: &str = "gateway-killed";

/// The gaps of all faults.
///
/// # Errors
/// If the bed does not come up.
pub fn section(options: &Options) -> Result<Section> {
    let settings = if options.quick {
        Settings { kills: 2, busy: Duration::from_secs(5) }
    } else {
        Settings { kills: 20, busy: Duration::from_secs(60) }
    };
    let note = format!(
        "Three clusters in namespaces; a packet and its echo each 5 ms on each pair of pods and family. The longest time without an answer \
         on any path that the fault may hit, and the time until kernel state is right again where the fault is a change of it; a gateway \
         is killed {} times. `make faults` does more of it and says more.",
        settings.kills
    );
    let mut section = Section::new("Faults", note);
    let program = std::env::current_exe()?.with_file_name("causeway-lab");
    let name = format!("bench-{}", std::process::id());
    let matrix = Matrix::up(&program, Programs::beside(&program), &name, settings)?;
    for row in rows().iter().filter(|row| !options.quick || row.name == QUICK) {
        section.rows.extend(of(&matrix.run(row)));
    }
    Ok(section)
}

fn of(outcome: &Outcome) -> Vec<Row> {
    let fault = &outcome.fault;
    let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
    let within = |row: Row| match outcome.bound {
        Bound::Within(most) => row.at_most(seconds(most)),
        Bound::Lossless | Bound::Reported => row,
    };
    let mut rows = Vec::new();
    if let Some(gaps) = outcome.gaps {
        let row = within(Row::shown(format!("{fault}: longest gap"), seconds(gaps.max), Unit::Seconds));
        rows.push(match gaps.count {
            0 | 1 => row,
            count => {
                row.beside(format!("median {} ms, 99th percentile {} ms of {count}", gaps.p50, gaps.p99))
            }
        });
    }
    if let (true, Some(after)) = (outcome.repaired, outcome.recovered_after) {
        rows.push(within(Row::shown(format!("{fault}: right again after"), seconds(after), Unit::Seconds)));
    }
    if outcome.bound == Bound::Lossless {
        rows.push(Row::shown(format!("{fault}: lost"), outcome.lost as f64, Unit::Count).at_most(0.0));
    }
    if !outcome.misses.is_empty() {
        let what = format!("{fault}: not as expected: {}", outcome.misses.join("; "));
        rows.push(Row::shown(what, outcome.misses.len() as f64, Unit::Count).at_most(0.0));
    }
    rows
}
