//! The command line.

use std::num::NonZeroU32;
use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};

/// A group of measurements.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Suite {
    /// From facts to plans: full plans, single changes, memory.
    Plan,
    /// Encoded sizes of objects.
    Sizes,
    /// Programming a kernel: rates, whole pipelines, checks.
    Apply,
    /// What a path between pods costs: round trips, connections, bytes, against what others use.
    Path,
    /// From an event to traffic, with objects in files and on real API servers.
    Converge,
    /// Faults: how long packets have no way.
    Fail,
    /// Many nodes at real API servers: time, memory, writes; and by counting, more than a machine holds.
    Scale,
    /// What each program holds, idle and at scale.
    Memory,
}

/// What to do.
pub enum Work {
    /// Measure and report.
    Bench(Options),
    /// Measure nothing: write the page of figures from an earlier report.
    Docs {
        /// The directory of the report.
        report: PathBuf,
        /// The directory of the page.
        directory: PathBuf,
    },
    /// Do one measurement in this process, and print its outcome as one line of JSON.
    Measure {
        /// Which measurement.
        name: String,
        /// Its parameters as JSON.
        input: String,
    },
}

/// Measures Causeway's planner and data plane and holds the figures against their bounds.
///
/// Exits with 0 if all bounds hold, with 1 if one does not or a measurement failed, with 2 if it was
/// called wrongly.
#[derive(Parser, Clone, Debug)]
#[command(name = "causeway-bench", version)]
pub struct Options {
    /// Measure only this; may be given more than once. Default: everything.
    #[arg(long = "suite", value_enum, value_name = "SUITE")]
    pub suites: Vec<Suite>,
    /// Write report.json, report.md and plots into this directory.
    #[arg(long, value_name = "DIR")]
    pub report: Option<PathBuf>,
    /// Small sizes and few repetitions: shows in a minute that everything runs. Bounds of sizes that
    /// were not measured are left out.
    #[arg(long)]
    pub quick: bool,
    /// How many ClusterNodes the large hub of suite `scale` has. The bounds are for 100,000, whose writing
    /// takes an API server on 2 cores a quarter of an hour.
    #[arg(long, value_name = "N", default_value = "20000")]
    pub hub_nodes: NonZeroU32,
    /// Measure nothing: from the report in the directory of --report write benchmarks.md, with plots, into this one.
    #[arg(long, value_name = "DIR", requires = "report", conflicts_with_all = ["suites", "quick"])]
    docs: Option<PathBuf>,
    #[command(subcommand)]
    measure: Option<Measure>,
}

#[derive(Subcommand, Clone, Debug)]
enum Measure {
    /// Do one measurement in this process.
    #[command(hide = true)]
    Measure { name: String, input: String },
}

impl Options {
    /// Whether `suite` is to be measured.
    pub fn wants(&self, suite: Suite) -> bool {
        self.suites.is_empty() || self.suites.contains(&suite)
    }
}

/// Reads the command line; on a mistake says so and exits with 2.
pub fn parse() -> Work {
    let mut options = Options::parse();
    match (options.measure.take(), options.docs.take(), options.report.clone()) {
        (Some(Measure::Measure { name, input }), ..) => Work::Measure { name, input },
        (None, Some(directory), Some(report)) => Work::Docs { report, directory },
        (None, ..) => Work::Bench(options),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound_and_suites_can_be_chosen() {
        Options::command().debug_assert();
        let all = Options::parse_from(["causeway-bench"]);
        assert!(all.wants(Suite::Plan) && all.wants(Suite::Apply));
        let one = Options::parse_from(["causeway-bench", "--suite", "apply", "--quick"]);
        assert!(!one.wants(Suite::Plan) && one.wants(Suite::Apply) && one.quick);
        assert!(Options::try_parse_from(["causeway-bench", "--suite", "nothing"]).is_err());
    }
}
