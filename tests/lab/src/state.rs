//! What a bed remembers while it is up: its topology, and which faults are in force. Kept in the
//! bed's own `/run`, so it goes when the bed goes.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{LabError, Result};
use crate::fault::PacketFault;
use crate::topology::{Endpoint, Topology};

/// The bed's directory, as seen inside it.
pub(crate) const DIRECTORY: &str = "/run/causeway-lab";

/// Everything remembered.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct State {
    pub topology: Topology,
    /// Where Causeway's own programs are; `None` if the bed runs none.
    pub programs: Option<PathBuf>,
    /// Nodes that were killed or cut off; nothing is expected of them.
    #[serde(default)]
    pub down: Vec<Endpoint>,
    /// Packet faults in force.
    #[serde(default)]
    pub faults: Vec<PacketFault>,
}

impl State {
    fn path() -> PathBuf {
        Path::new(DIRECTORY).join("bed.json")
    }

    /// Reads it, inside the bed.
    pub fn load() -> Result<State> {
        State::read(&State::path())
    }

    /// Reads it from outside, through the holder's root directory.
    pub fn of_bed(root: &Path) -> Result<State> {
        State::read(&root.join("bed.json"))
    }

    fn read(path: &Path) -> Result<State> {
        let text = fs::read_to_string(path).map_err(LabError::file("read", path))?;
        from_json(&text, "the bed's state")
    }

    /// Writes it, inside the bed.
    pub fn save(&self) -> Result<()> {
        let text = to_json(self, "the bed's state")?;
        write_whole(&State::path(), &text)
    }
}

/// Writes a file so that a reader sees the old text or the new, never a part.
pub(crate) fn write_whole(path: &Path, text: &str) -> Result<()> {
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(LabError::file("create", parent))?;
    }
    // Hidden and with another ending, so that nobody who watches the directory takes it for an object.
    let name = path.file_name().map(|n| n.to_string_lossy().into_owned()).unwrap_or_default();
    let fresh = path.with_file_name(format!(".{name}.new"));
    fs::write(&fresh, text).map_err(LabError::file("write", &fresh))?;
    fs::rename(&fresh, path).map_err(LabError::file("write", path))
}

pub(crate) fn to_json(value: &impl Serialize, what: &str) -> Result<String> {
    serde_json::to_string(value)
        .map_err(|e| LabError::Document { what: what.to_owned(), message: e.to_string() })
}

pub(crate) fn from_json<T: for<'de> Deserialize<'de>>(text: &str, what: &str) -> Result<T> {
    serde_json::from_str(text)
        .map_err(|e| LabError::Document { what: what.to_owned(), message: e.to_string() })
}

/// Values kept as the text that they are written as.
pub(crate) mod text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}
