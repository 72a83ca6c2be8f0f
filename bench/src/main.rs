//! `causeway-bench`: measures what Causeway promises about speed, memory and sizes, and holds the
//! figures against their bounds.
//!
//! Each measurement runs in a process of its own, which this program starts from itself, so that the
//! memory it needed is its own; those that touch a kernel run in a network namespace that ends with
//! them. Figures of the kernel are compared with `ip -batch` and `bridge -batch` in the same run;
//! nothing is ever compared with a figure of another run.

mod args;
mod child;
mod clock;
mod docs;
mod growth;
mod measure;
mod plot;
mod report;
mod row;
mod suite;

use std::process::ExitCode;

fn main() -> ExitCode {
    let done = match args::parse() {
        args::Work::Bench(options) => suite::run(&options),
        args::Work::Docs { report, directory } => {
            docs::write(&report, &directory).map(|()| ExitCode::SUCCESS)
        }
        args::Work::Measure { name, input } => child::answer(&name, &input),
    };
    done.unwrap_or_else(|error| {
        eprintln!("{error:#}");
        ExitCode::FAILURE
    })
}
