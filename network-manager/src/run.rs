//! Where the objects are, and what can keep the network manager from working.

use std::io;

use causeway_kubernetes::ConnectError;
use causeway_objects::{OpenError, WatchError};

use crate::args::Cli;
use crate::{directory, hub};

/// Why the network manager does not go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The objects cannot be read.
    #[error(transparent)]
    Objects(#[from] OpenError),
    /// The objects cannot be watched.
    #[error(transparent)]
    Watch(#[from] WatchError),
    /// There is no API server to speak to.
    #[error(transparent)]
    Connect(#[from] ConnectError),
    /// `--once` ended with something refused or not written.
    #[error("{findings} findings, {failed} objects not written; see above")]
    Incomplete {
        /// How much was refused.
        findings: usize,
        /// How much could not be written.
        failed: usize,
    },
    /// The system refused something.
    #[error("{0}: {1}")]
    System(&'static str, io::Error),
}

impl RunError {
    /// Whether what the command line names is at fault.
    pub fn is_input(&self) -> bool {
        matches!(self, RunError::Objects(_) | RunError::Connect(_))
    }
}

/// Runs until asked to stop, or once.
///
/// # Errors
/// [`RunError`] if it cannot work at all; what may pass is logged and tried again.
pub async fn run(args: Cli) -> Result<(), RunError> {
    match args.objects {
        Some(objects) => directory::run(objects, args.once).await,
        None => hub::run(args.hub).await,
    }
}
