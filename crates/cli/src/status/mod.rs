//! `causeway status`: the clusterset at a glance, what is wrong first.

mod advice;
mod facts;
mod feed;
mod page;
mod report;
mod watch;
mod wrong;

use clap::Args;
use k8s_openapi::jiff::Timestamp;

use crate::error::Error;
use crate::report::{Format, Outcome, Page, Report};
use crate::source::{Hub, Source, SourceArgs};
pub use advice::advice;
pub use facts::Facts;
pub use feed::{Feed, News, TICK};
pub use report::{LinkRow, State, StatusReport, report};
pub use watch::watch;

/// Show the clusterset at a glance: clusters, links, and first what is wrong
///
/// Reads the objects of the hub, or of a directory. Nodes are counted by what their cluster says of them; what is
/// refused of single nodes is looked at for the first thousand of them.
#[derive(Args, Debug)]
#[command(after_help = "Exit code 1 if anything is wrong.

Examples:
  causeway status --context hub
  causeway status -o wide                                 with prefixes, gateways and MTU
  causeway status --watch                                 anew at every change
  causeway status -o json | jq '.links[] | select(.state != \"Ready\")'
  causeway status --objects hub/                          of objects in files")]
pub struct StatusArgs {
    #[command(flatten)]
    pub source: SourceArgs,
    /// Look at every ClusterNode, however many there are
    #[arg(long)]
    pub all_nodes: bool,
    /// Show it anew whenever it changes, until interrupted
    #[arg(short, long)]
    pub watch: bool,
    /// Rows that each table shows; 0 for all
    #[arg(long, default_value_t = 100, value_name = "N")]
    pub limit: usize,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

/// Builds the report.
///
/// # Errors
/// If the source cannot be read.
pub fn run(args: &StatusArgs) -> Result<StatusReport, Error> {
    let facts = match &args.source.objects {
        Some(directory) => Facts::in_directory(directory)?,
        None => crate::wait_for(async {
            match args.source.source().await? {
                Source::Directory(directory) => Facts::in_directory(&directory),
                Source::Hub(hub) => Facts::at_hub(&hub, args.all_nodes).await,
            }
        })?,
    };
    Ok(report(&facts))
}

/// The status of a directory.
///
/// # Errors
/// If it cannot be read.
pub fn of_directory(directory: &std::path::Path) -> Result<StatusReport, Error> {
    Ok(report(&Facts::in_directory(directory)?))
}

/// The status of a hub, for commands that show it among other things.
///
/// # Errors
/// As [`run`].
pub async fn of_hub(hub: &Hub) -> Result<StatusReport, Error> {
    Ok(report(&Facts::at_hub(hub, false).await?))
}

impl StatusReport {
    /// The same, of a source that does not answer any more, if there is `trouble`.
    #[must_use]
    pub fn with_trouble(self, trouble: Option<String>) -> StatusReport {
        StatusReport { healthy: self.healthy && trouble.is_none(), trouble, ..self }
    }
}

impl Report for StatusReport {
    fn page(&self) -> Page {
        page::page(self, false, Timestamp::now())
    }

    fn wide_page(&self) -> Page {
        page::page(self, true, Timestamp::now())
    }

    fn outcome(&self) -> Outcome {
        if self.healthy { Outcome::Fine } else { Outcome::Findings }
    }
}

#[cfg(test)]
mod tests;
