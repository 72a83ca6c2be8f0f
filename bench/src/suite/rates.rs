//! Figures of writing entries into the kernel.

use anyhow::Result;

use crate::args::Options;
use crate::child::run;
use crate::clock::Spent;
use crate::measure::{Entry, Rates, Trial, Writer};
use crate::report::Section;
use crate::row::{Row, Unit};
use causeway_pathbench::statistics::{Estimate, median};

/// Rates of all kinds of entries, and their quotients with those of iproute2.
///
/// # Errors
/// If they cannot be measured.
pub fn section(options: &Options) -> Result<Section> {
    let (entries, rounds) = if options.quick { (2_000, 3) } else { (10_000, 15) };
    let note = format!(
        "The same {entries} entries written by the data plane and by `ip -batch` or `bridge -batch`, {rounds} times each in \
         random order in one namespace. Medians of the quotients of each round with 95 % intervals; the whole \
         interval must hold the bound. The quotient of the data plane with itself shows the noise."
    );
    let trials = run(&Rates { entries, rounds })?;
    let mut section = Section::new("Apply rate against ip -batch and bridge -batch", note);
    for entry in Entry::ALL {
        let name = entry.name();
        let quotients = |a, b, of: fn(&Spent) -> f64| Estimate::of(&quotients(&trials, entry, a, b, of));
        let rate = |writer| f64::from(entries) / median(&seconds(&trials, entry, writer, |spent| spent.wall));
        let faster = quotients(Writer::Batch, Writer::Dataplane, |spent| spent.wall);
        let cheaper = quotients(Writer::Batch, Writer::Dataplane, |spent| spent.cpu);
        let noise = quotients(Writer::Again, Writer::Dataplane, |spent| spent.wall);
        let faster = Row::estimated(format!("{name}: times as fast"), faster, Unit::Ratio);
        section.rows.extend([
            if options.quick { faster } else { faster.at_least(3.0) },
            Row::estimated(format!("{name}: times as little processor time"), cheaper, Unit::Ratio),
            Row::estimated(format!("{name}: data plane against itself"), noise, Unit::Ratio),
            Row::shown(format!("{name}: data plane"), rate(Writer::Dataplane), Unit::Rate),
            Row::shown(format!("{name}: iproute2"), rate(Writer::Batch), Unit::Rate),
        ]);
    }
    Ok(section)
}

/// Seconds of the trials of one kind, in the order of the rounds.
fn seconds(trials: &[Trial], entry: Entry, writer: Writer, of: fn(&Spent) -> f64) -> Vec<f64> {
    let mut found: Vec<&Trial> = trials.iter().filter(|t| t.entry == entry && t.writer == writer).collect();
    found.sort_by_key(|trial| trial.round);
    found.into_iter().map(|trial| of(&trial.spent)).collect()
}

/// What `above` took over what `below` took, in each round.
fn quotients(
    trials: &[Trial],
    entry: Entry,
    above: Writer,
    below: Writer,
    of: fn(&Spent) -> f64,
) -> Vec<f64> {
    let (above, below) = (seconds(trials, entry, above, of), seconds(trials, entry, below, of));
    above.into_iter().zip(below).map(|(above, below)| above / below).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trials_of_one_round_are_divided_whatever_their_order() {
        let trial = |writer, round, wall| Trial {
            entry: Entry::Fdb,
            writer,
            round,
            spent: Spent { wall, cpu: wall / 2.0 },
        };
        let trials = [
            trial(Writer::Batch, 1, 8.0),
            trial(Writer::Dataplane, 0, 1.0),
            trial(Writer::Batch, 0, 3.0),
            trial(Writer::Dataplane, 1, 2.0),
        ];
        let found = quotients(&trials, Entry::Fdb, Writer::Batch, Writer::Dataplane, |spent| spent.wall);
        assert_eq!(found, [3.0, 4.0]);
        assert!(quotients(&trials, Entry::NextHop, Writer::Batch, Writer::Dataplane, |s| s.wall).is_empty());
    }
}
