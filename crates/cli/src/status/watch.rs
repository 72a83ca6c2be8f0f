//! `causeway status --watch`: the same report, shown anew whenever it differs.

use std::io::{self, IsTerminal};

use k8s_openapi::jiff::Timestamp;

use super::feed::Feed;
use super::report::report;
use super::{StatusArgs, StatusReport};
use crate::error::Error;
use crate::report::{self as print, Colour, Format};

/// Shows the status until somebody interrupts, or nobody reads on.
///
/// # Errors
/// If the source cannot be read at first. What goes wrong later is shown among the problems.
pub async fn watch(args: &StatusArgs, colour: Colour) -> Result<(), Error> {
    let mut screen = Screen { last: String::new(), args, colour, terminal: io::stdout().is_terminal() };
    let mut feed = Feed::open(args.source.source().await?, args.all_nodes).await?;
    loop {
        let news = feed.next().await;
        if screen.show(&report(&news.facts).with_trouble(news.trouble))? == Reader::Gone {
            return Ok(());
        }
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
