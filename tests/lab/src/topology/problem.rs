//! What can be wrong with a lab file, said with line and field.

use std::fmt;

use serde_saphyr::Location;

/// A lab file that cannot be used: where, which field, and what would be right.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct TopologyError {
    /// The file, as it was named by the caller.
    pub file: String,
    /// The line, counted from 1; `None` where the fault is in no single line.
    pub line: Option<u64>,
    /// The field, as a path such as `clusters[1].nodes[0].addresses[0]`; `.` for the file.
    pub field: String,
    /// In words.
    pub message: String,
}

impl fmt::Display for TopologyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        write!(f, ": {}: {}", self.field, self.message)
    }
}

/// The line of a place in the file, if it is known.
pub(super) fn line_of(location: Location) -> Option<u64> {
    Some(location.line()).filter(|line| *line > 0)
}

/// A fault found while the file's values are put together; the file's name is added later.
#[derive(Debug)]
pub(super) struct Problem {
    pub line: Option<u64>,
    pub field: String,
    pub message: String,
}

impl Problem {
    pub fn new(location: Location, field: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { line: line_of(location), field: field.into(), message: message.into() }
    }

    pub fn in_file(self, file: &str) -> TopologyError {
        TopologyError { file: file.to_owned(), line: self.line, field: self.field, message: self.message }
    }
}
