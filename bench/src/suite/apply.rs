//! Figures of one node's way from plans to the kernel.

use anyhow::Result;

use crate::args::Options;
use crate::child::run;
use crate::measure::{Convergence, Pipeline, Round, Stack};
use crate::report::Section;
use crate::row::{Row, Unit};
use crate::suite::plan::grouped;
use causeway_pathbench::statistics::median;

/// P2P nodes with many peers: from empty, one change, no change, removal.
///
/// # Errors
/// If one cannot be measured.
pub fn section(options: &Options) -> Result<Section> {
    let note = "A P2P node: from plans in memory to a kernel that was read back and is as it should be. Seconds that \
                passed; medians of several rounds in one namespace.";
    let mut section = Section::new("One node's pipeline", note);
    let peers: &[usize] = if options.quick { &[2_000] } else { &[16_000, 100_000] };
    for peers in peers {
        for stack in [Stack::Single, Stack::Dual] {
            let rounds = run(&Pipeline { peers: *peers, stack, rounds: if options.quick { 2 } else { 5 } })?;
            section.rows.extend(rows(*peers, stack, &rounds));
        }
    }
    Ok(section)
}

fn rows(peers: usize, stack: Stack, rounds: &[Round]) -> Vec<Row> {
    let name = format!("{} peers, {}", grouped(peers), stack.name());
    let over = |of: &dyn Fn(&Round) -> f64| median(&rounds.iter().map(of).collect::<Vec<f64>>());
    let seconds = |what: &str, value| Row::shown(format!("{name}: {what}"), value, Unit::Seconds);
    let from_empty = seconds("from empty", over(&|round| round.from_empty.seconds()));
    let checks: Vec<f64> = rounds.iter().flat_map(|r| r.check.iter().map(|c| c.seconds())).collect();
    let check = seconds("no-change check", median(&checks));
    let (from_empty, check) = match peers {
        16_000 => (from_empty.at_most(0.5), check),
        100_000 => {
            let kernels = "nearly all of it is the kernel's own time for hundreds of thousands of entries, which varies by half from day to day";
            (from_empty.at_most(3.0).because(kernels), check.at_most(1.5).because(kernels))
        }
        _ => (from_empty, check),
    };
    let processor = over(&|round| round.from_empty.processor_seconds());
    let mut rows = vec![from_empty, seconds("from empty, processor time", processor)];
    rows.extend(parts(&name, "from empty", rounds, |round| &round.from_empty));
    rows.push(Row::shown(
        format!("{name}: from empty, steps"),
        over(&|r| r.from_empty.steps as f64),
        Unit::Count,
    ));
    rows.extend([
        check,
        seconds("one peer joins", over(&|round| round.join.seconds())),
        seconds("one peer joins, last state remembered", over(&|round| round.follow.wall)),
        seconds("one peer leaves", over(&|round| round.leave.seconds())),
        seconds("one peer's underlay address changes", over(&|round| round.change.seconds())),
        seconds("removal of all", over(&|round| round.removal.seconds())),
    ]);
    rows.extend(parts(&name, "removal of all", rounds, |round| &round.removal));
    rows
}

/// A row for each part of a convergence: where the time went.
fn parts(name: &str, what: &str, rounds: &[Round], of: fn(&Round) -> &Convergence) -> Vec<Row> {
    let Some(first) = rounds.first() else { return Vec::new() };
    let parts = of(first).parts().map(|(part, _)| part);
    let part = |(place, part): (usize, &str)| {
        let spent: Vec<f64> = rounds.iter().map(|round| of(round).parts()[place].1.wall).collect();
        Row::shown(format!("{name}: {what}, {part}"), median(&spent), Unit::Seconds)
    };
    parts.into_iter().enumerate().map(part).collect()
}
