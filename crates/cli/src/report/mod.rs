//! Reports: values that can be printed as a table, as JSON or as YAML. Nothing is known to one form
//! that is not in the others.

mod page;

use std::ffi::OsStr;

use clap::ValueEnum;
use serde::Serialize;

use crate::error::Error;
pub use page::{Page, Table, Tone};

/// How a report is printed.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// For people
    #[default]
    Table,
    /// For people, with more columns where there are more
    Wide,
    /// For programs
    Json,
    /// For programs and people
    Yaml,
}

/// What a report says as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// All is as it should be: exit code 0.
    Fine,
    /// There is something to mend: exit code 1.
    Findings,
}

/// Whether to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// Escape sequences of a terminal.
    On,
    /// Plain text.
    Off,
}

/// When to use colours, as it is asked for.
#[derive(ValueEnum, Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ColourChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl Colour {
    /// What `choice` comes to. `Auto` is colours on a terminal, unless the environment has a `NO_COLOR` that is not
    /// empty (<https://no-color.org>).
    pub fn wanted(choice: ColourChoice, terminal: bool, no_color: Option<&OsStr>) -> Colour {
        let forbidden = no_color.is_some_and(|value| !value.is_empty());
        match choice {
            ColourChoice::Always => Colour::On,
            ColourChoice::Auto if terminal && !forbidden => Colour::On,
            ColourChoice::Auto | ColourChoice::Never => Colour::Off,
        }
    }
}

/// What a command has to say.
pub trait Report: Serialize {
    /// The same for people.
    fn page(&self) -> Page;

    /// The same with more columns.
    fn wide_page(&self) -> Page {
        self.page()
    }

    /// What the process ends with.
    fn outcome(&self) -> Outcome {
        Outcome::Fine
    }
}

/// The text of a report. Tables for people show `limit` rows each, 0 for all.
pub fn write<R: Report>(report: &R, format: Format, limit: usize, colour: Colour) -> Result<String, Error> {
    match format {
        Format::Table => Ok(report.page().text(limit, colour)),
        Format::Wide => Ok(report.wide_page().text(limit, colour)),
        Format::Json => {
            let mut text = serde_json::to_string_pretty(report).map_err(Error::Json)?;
            text.push('\n');
            Ok(text)
        }
        Format::Yaml => serde_saphyr::to_string(report).map_err(|error| Error::Yaml(Box::new(error))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_for_terminals_that_want_them_and_for_who_asks() {
        let auto = |terminal, no_color: Option<&str>| {
            Colour::wanted(ColourChoice::Auto, terminal, no_color.map(OsStr::new))
        };
        assert_eq!(auto(true, None), Colour::On);
        assert_eq!(auto(true, Some("")), Colour::On);
        assert_eq!(auto(true, Some("1")), Colour::Off);
        assert_eq!(auto(false, None), Colour::Off);
        assert_eq!(Colour::wanted(ColourChoice::Always, false, Some(OsStr::new("1"))), Colour::On);
        assert_eq!(Colour::wanted(ColourChoice::Never, true, None), Colour::Off);
    }
}
