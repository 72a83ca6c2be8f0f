//! `causeway status --watch`: the same report, shown anew whenever it differs.

use std::io::{self, IsTerminal};
use std::path::Path;
use std::time::Duration;

use causeway_api::Kind;
use causeway_kubernetes::{Replica, Selection};
use causeway_objects::Store;
use k8s_openapi::jiff::Timestamp;
use tokio::time::{Instant, sleep, timeout};

use super::facts::{self, Facts, Manager};
use super::report::report;
use super::{StatusArgs, StatusReport};
use crate::error::Error;
use crate::inventory::Problem;
use crate::report::{self as print, Colour, Format};
use crate::source::{Hub, Source};

/// How long changes are gathered before they are shown, and how often files are looked at.
const PAUSE: Duration = Duration::from_millis(500);

/// How often it is shown anew because of ages and of who is at work, and not because of a change.
const TICK: Duration = Duration::from_secs(5);

/// Shows the status until somebody interrupts, or nobody reads on.
///
/// # Errors
/// If the source cannot be read at first. What goes wrong later is shown among the problems.
pub async fn watch(args: &StatusArgs, colour: Colour) -> Result<(), Error> {
    let mut screen = Screen { last: String::new(), args, colour, terminal: io::stdout().is_terminal() };
    match args.source.source().await? {
        Source::Directory(directory) => of_directory(&directory, &mut screen).await,
        Source::Hub(hub) => of_hub(&hub, &mut screen).await,
    }
}

async fn of_directory(directory: &Path, screen: &mut Screen<'_>) -> Result<(), Error> {
    let mut store = Store::open(directory).map_err(|source| Error::Open { source })?;
    loop {
        if screen.show(&report(&Facts::read(directory, &store)))? == Reader::Gone {
            return Ok(());
        }
        sleep(PAUSE).await;
        store.refresh();
    }
}

async fn of_hub(hub: &Hub, screen: &mut Screen<'_>) -> Result<(), Error> {
    // A first answer tells what is wrong with the source itself, in words for the command line.
    Facts::at_hub(hub, screen.args.all_nodes).await?;
    let mut replica = Replica::new(hub.client.clone());
    let mut kinds = vec![Kind::ClusterSet, Kind::Cluster, Kind::ClusterLink];
    if screen.args.all_nodes {
        kinds.push(Kind::ClusterNode);
    }
    for kind in kinds {
        let not_namespace = kind.namespaced().then(|| causeway_api::SYSTEM_NAMESPACE.to_owned());
        replica.select(kind, Selection { not_namespace, ..Selection::default() });
    }
    loop {
        gather(&mut replica).await;
        if !replica.is_complete() {
            continue;
        }
        let manager = facts::manager(hub).await.unwrap_or(Manager::Unknown);
        let problems = replica.problems("").into_iter().map(|problem| Problem {
            file: hub.name.clone(),
            line: 0,
            object: None,
            message: problem.text,
        });
        let facts = Facts {
            source: hub.name.clone(),
            objects: replica.objects().clone(),
            nodes_left_out: 0,
            manager,
            problems: problems.collect(),
            now: Timestamp::now(),
        };
        if screen.show(&report(&facts))? == Reader::Gone {
            return Ok(());
        }
    }
}

/// Waits for a change, and takes in what else comes soon.
async fn gather(replica: &mut Replica) {
    // A change in time or none: both are looked at.
    let _ = timeout(TICK, replica.changed()).await;
    let end = Instant::now() + PAUSE;
    while let Some(left) = end.checked_duration_since(Instant::now()).filter(|left| !left.is_zero()) {
        let _ = timeout(left, replica.changed()).await;
    }
}

#[derive(PartialEq, Eq)]
enum Reader {
    There,
    Gone,
}

struct Screen<'a> {
    last: String,
    args: &'a StatusArgs,
    colour: Colour,
    terminal: bool,
}

impl Screen<'_> {
    /// Shows `report` if it differs from the last one but for ages.
    fn show(&mut self, report: &StatusReport) -> Result<Reader, Error> {
        let same = serde_json::to_string(report).map_err(Error::Json)?;
        if same == self.last && !self.terminal {
            return Ok(Reader::There);
        }
        self.last = same;
        let mut text = match self.args.output {
            Format::Json => format!("{}\n", self.last),
            format => print::write(report, format, self.args.limit, self.colour)?,
        };
        match self.args.output {
            // Home, the page, and nothing below it: no flicker.
            Format::Table | Format::Wide if self.terminal => text = format!("\x1b[H\x1b[2J{text}"),
            Format::Table | Format::Wide | Format::Yaml => text = format!("--- {}\n{text}", Timestamp::now()),
            Format::Json => {}
        }
        match crate::print(text.as_bytes())? {
            crate::Written::All => Ok(Reader::There),
            crate::Written::NobodyReads => Ok(Reader::Gone),
        }
    }
}
