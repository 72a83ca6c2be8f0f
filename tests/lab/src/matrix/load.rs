//! A busy machine: a process on every processor that does nothing but count, and not one gateway may be taken
//! for dead.

use std::hint::black_box;
use std::io::Read;
use std::path;
use std::process::{Child, Command, Stdio};
use std::thread;

use super::judge::Measured;
use super::paths::{Path, Streams};
use super::row::{Class, Kind, Row};
use super::run::Matrix;
use super::users::Logged;
use crate::error::{LabError, Result};

pub(super) const ROWS: &[Row] = &[Row {
    name: "idle-under-load",
    fault: "every processor kept busy, nothing broken",
    class: Class::Load,
    kind: Kind::Busy,
}];

/// Processes that keep processors busy until this is dropped.
struct Burners(Vec<Child>);

impl Burners {
    /// `program` is `causeway-lab`.
    fn start(program: &path::Path) -> Result<Burners> {
        let processors = thread::available_parallelism().map_or(1, usize::from);
        let mut burners = Burners(Vec::new());
        for _ in 0..processors {
            let mut command = Command::new(program);
            command.args(["inside", "burn"]).stdin(Stdio::piped());
            burners.0.push(command.spawn().map_err(LabError::run("burn"))?);
        }
        Ok(burners)
    }

    /// Ends them. Fails if one was not busy until now: nothing would have been shown.
    fn finish(mut self) -> Result<()> {
        for burner in &mut self.0 {
            if let Some(status) = burner.try_wait().map_err(LabError::run("burn"))? {
                let message = format!("it ended by itself: {status}");
                return Err(LabError::Failed { program: "inside burn".to_owned(), message });
            }
        }
        Ok(())
    }
}

impl Drop for Burners {
    fn drop(&mut self) {
        for burner in &mut self.0 {
            // Without its input it ends by itself.
            drop(burner.stdin.take());
            let _ = burner.wait();
        }
    }
}

/// Keeps one processor busy until standard input ends.
pub(crate) fn burn() {
    thread::spawn(|| {
        let mut count = 0u64;
        loop {
            count = black_box(count.wrapping_add(1));
        }
    });
    let mut rest = [0; 64];
    while matches!(std::io::stdin().lock().read(&mut rest), Ok(n) if n > 0) {}
}

pub(super) fn run(matrix: &Matrix) -> Result<Measured> {
    const PATHS: &[Path] = &[Path::ToGateways, Path::ToNode];
    let lab = &matrix.lab;
    matrix.wait_for_groups()?;
    let logged = Logged::read(lab)?;
    let streams = Streams::start(lab, PATHS.iter().copied(), false)?;
    let burners = Burners::start(&lab.program)?;
    thread::sleep(matrix.settings.busy);
    burners.finish()?;
    let reports = streams.finish()?;
    let logged = Logged::read(lab)?.since(&logged);
    let mut misses = Vec::new();
    if logged.deaths > 0 {
        misses.push(format!("{} times a gateway was taken for dead", logged.deaths));
    }
    Ok(Measured {
        sent: reports.sent(PATHS),
        lost: reports.lost(PATHS),
        outages: vec![reports.longest_outage(PATHS)],
        by: format!("{} false failovers in {} s", logged.deaths, matrix.settings.busy.as_secs()),
        misses,
        ..Measured::default()
    })
}
