//! Hostile input: documents of every kind, broken or twisted by a seeded generator, through all that reads them:
//! files, conversion, planner, desired kernel state, nftables and the command line.
//!
//! Whatever comes, nothing panics or runs on, the good objects beside it are used as if it were not there, and what
//! is said of it names the object and the field, or the file and the line. The same seed gives the same documents.

mod bed;
mod mutation;
mod random;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::abort;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use bed::Bed;
use mutation::Document;
pub use random::Random;

/// How long one document may take before all is ended: far more than any needs.
const LIMIT: Duration = Duration::from_secs(60);

/// What a run came to.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub struct Summary {
    /// Documents that were tried.
    pub documents: u64,
    /// Those of which at least one object was used.
    pub used: u64,
    /// Those of which something was refused, and said so.
    pub refused: u64,
    /// Those that also went through the command line.
    pub commands: u64,
}

/// A document that did harm.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Harm {
    /// Which one; with it the same document is made again.
    pub seed: u64,
    /// What it did.
    pub what: String,
    /// Its text.
    pub text: String,
}

impl fmt::Display for Harm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 2000;
        let text: String = self.text.chars().take(SHOWN).collect();
        write!(f, "seed {}: {}\n{text}", self.seed, self.what)
    }
}

/// Tries documents with the numbers `first` to before `first + count`.
///
/// # Errors
/// [`Harm`] of the first document that did any.
///
/// # Panics
/// If files cannot be written.
pub fn run(first: u64, count: u64) -> Result<Summary, Box<Harm>> {
    let current = AtomicU64::new(first);
    let done = AtomicU64::new(0);
    thread::scope(|scope| {
        let watchdog = scope.spawn(|| watch(&current, &done));
        let result = try_all(first, count, &current);
        done.store(1, Ordering::Relaxed);
        watchdog.thread().unpark();
        result
    })
}

fn try_all(first: u64, count: u64, current: &AtomicU64) -> Result<Summary, Box<Harm>> {
    let mut bed = Bed::new();
    let mut summary = Summary::default();
    for seed in first..first + count {
        current.store(seed, Ordering::Relaxed);
        let document = Document::new(seed);
        let tried = catch_unwind(AssertUnwindSafe(|| bed.try_out(seed, &document)));
        let harm = |what| Box::new(Harm { seed, what, text: document.shown() });
        let outcome = match tried {
            Ok(outcome) => outcome.map_err(harm)?,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().map(String::as_str);
                let text = text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
                return Err(harm(format!("panics: {text}")));
            }
        };
        summary.documents += 1;
        summary.used += u64::from(outcome.used);
        summary.refused += u64::from(outcome.refused);
        summary.commands += u64::from(outcome.commanded);
    }
    Ok(summary)
}

/// Ends the process if one document takes for ever.
fn watch(current: &AtomicU64, done: &AtomicU64) {
    let mut last = u64::MAX;
    while done.load(Ordering::Relaxed) == 0 {
        let seed = current.load(Ordering::Relaxed);
        if seed == last {
            eprintln!("seed {seed}: takes for ever");
            abort();
        }
        last = seed;
        thread::park_timeout(LIMIT);
    }
}
