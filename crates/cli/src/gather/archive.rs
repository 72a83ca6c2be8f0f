//! The archive: texts by path, without secrets, as one compressed tar file.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use flate2::Compression;
use flate2::write::GzEncoder;
use serde::Serialize;

use super::redact::{redact, redact_value};

/// Texts by their path in the archive.
#[derive(Default)]
pub struct Archive {
    entries: Vec<(String, String)>,
    /// What could not be had, and why.
    pub missing: Vec<String>,
}

impl Archive {
    /// Puts a text in, without its secrets.
    pub fn text(&mut self, path: impl Into<String>, text: &str) {
        self.entries.push((path.into(), redact(text)));
    }

    /// Puts a value in, as YAML.
    pub fn yaml<T: Serialize>(&mut self, path: impl Into<String>, value: &T) {
        self.documents(path, &[value]);
    }

    /// Puts values in, as YAML documents; nothing if there are none.
    pub fn documents<T: Serialize>(&mut self, path: impl Into<String>, values: &[T]) {
        let path = path.into();
        let mut all = String::new();
        for value in values {
            match document(value) {
                Ok(text) => all.push_str(&format!("---\n{text}")),
                Err(error) => self.missing.push(format!("{path}: {error}")),
            }
        }
        if !all.is_empty() {
            self.text(path, &all);
        }
    }

    /// Notes what could not be had.
    pub fn lacks(&mut self, what: impl std::fmt::Display) {
        self.missing.push(redact(&what.to_string()));
    }

    /// The paths.
    pub fn paths(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|(path, _)| path.as_str())
    }

    /// Writes `file`, all below the folder `root`. It is for its owner's eyes only. `seconds` is the time that its
    /// entries carry, in seconds of the Unix epoch.
    ///
    /// # Errors
    /// If the file cannot be written, or is there already.
    pub fn write(&self, file: &Path, root: &str, seconds: u64) -> io::Result<()> {
        use std::os::unix::fs::OpenOptionsExt;
        let out = File::options().write(true).create_new(true).mode(0o600).open(file)?;
        let mut tar = tar::Builder::new(GzEncoder::new(out, Compression::default()));
        for (path, text) in &self.entries {
            let mut header = tar::Header::new_gnu();
            header.set_size(text.len() as u64);
            header.set_mode(0o644);
            header.set_mtime(seconds);
            tar.append_data(&mut header, format!("{root}/{path}"), text.as_bytes())?;
        }
        tar.into_inner()?.finish()?.flush()
    }
}

/// A value as YAML, its secrets taken out before lines are broken.
fn document<T: Serialize>(value: &T) -> Result<String, String> {
    let mut value = serde_json::to_value(value).map_err(|error| error.to_string())?;
    redact_value(&mut value);
    serde_saphyr::to_string(&value).map_err(|error| error.to_string())
}
