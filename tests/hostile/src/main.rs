//! `causeway-hostile`: tries hostile documents, as many as are asked for.

use std::process::ExitCode;

use clap::Parser;

/// Tries hostile documents of every kind through all that reads them. Exit code 1 if one did harm.
#[derive(Parser)]
#[command(version)]
struct Args {
    /// How many
    #[arg(long, default_value_t = 1_000_000)]
    objects: u64,
    /// The number of the first one: the same number gives the same document
    #[arg(long, default_value_t = 0)]
    first: u64,
}

fn main() -> ExitCode {
    const STEP: u64 = 10_000;
    let Args { objects, first } = Args::parse();
    let (mut at, end) = (first, first.saturating_add(objects));
    while at < end {
        let count = STEP.min(end - at);
        match causeway_hostile::run(at, count) {
            Ok(summary) => println!("{at} to {}: {summary:?}", at + count),
            Err(harm) => {
                eprintln!("{harm}");
                return ExitCode::FAILURE;
            }
        }
        at += count;
    }
    ExitCode::SUCCESS
}
