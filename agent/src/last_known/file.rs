//! The file of last known state: read, replaced, removed.

use std::fs;
use std::io::{self, Write as _};
use std::path::Path;
use std::time::{Duration, SystemTime};

use crate::atomic;
use crate::last_known::codec::{self, Seal};
use crate::last_known::content::{self, Identity, Snapshot, Unusable};
use crate::plans::Plans;

/// What a file holds.
#[derive(Debug)]
pub struct Loaded {
    /// The plan.
    pub plans: Plans,
    /// How long ago it was written; `None` if that is in the future of this clock.
    pub age: Option<Duration>,
}

/// Reads the file at `path`; `None` if there is none.
///
/// # Errors
/// [`Unusable`] unless it is whole and of the agent that runs as `here`.
pub fn load(path: &Path, here: &Identity) -> Result<Option<Loaded>, Unusable> {
    let meta = match fs::metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        other => other?,
    };
    if !meta.is_file() {
        return Err(Unusable::NoFile);
    }
    let (origin, objects) = codec::read(&fs::read(path)?)?;
    let plans = content::plans(&origin, objects, here)?;
    let age = meta.modified().ok().and_then(|written| SystemTime::now().duration_since(written).ok());
    Ok(Some(Loaded { plans, age }))
}

/// Makes the file at `path` hold `snapshot`. It is not written if it does already.
///
/// # Errors
/// If it cannot be written; what it held before stays.
pub fn save(path: &Path, snapshot: &Snapshot) -> io::Result<()> {
    let origin = snapshot.origin();
    let seal = Seal::of(|sum| codec::write_body(&origin, snapshot.objects(), sum))?;
    if holds(path, &seal) {
        return Ok(());
    }
    atomic::replace(path, |file| {
        file.write_all(seal.header().as_bytes())?;
        codec::write_body(&origin, snapshot.objects(), file)
    })
}

/// Whether the file is whole and holds just that.
fn holds(path: &Path, seal: &Seal) -> bool {
    let regular = fs::metadata(path).is_ok_and(|meta| meta.is_file());
    let bytes = if regular { fs::read(path).unwrap_or_default() } else { Vec::new() };
    codec::open(&bytes).is_ok_and(|(found, _)| found == *seal)
}

/// Removes the file.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove(path: &Path) -> io::Result<()> {
    atomic::remove_with_attempts(path)
}
