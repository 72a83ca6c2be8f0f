//! What is read from files, or from standard input.

use std::fs;
use std::io::{self, Read as _};
use std::path::Path;

use crate::error::Error;

/// The bytes of a file; of standard input where its name is `-`.
///
/// # Errors
/// [`Error::File`] if it cannot be read.
pub fn bytes(file: &Path) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    let result = match file.to_str() {
        Some("-") => io::stdin().read_to_end(&mut bytes).map(|_| bytes),
        _ => fs::read(file),
    };
    result.map_err(|error| Error::File { file: file.display().to_string(), error })
}
