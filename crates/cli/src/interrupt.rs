//! Ctrl-C for a command that has something to put away first.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

use crate::error::Error;

/// What shells expect of a program that Ctrl-C ended: 128 and the signal's number.
const ENDED_BY_INTERRUPT: i32 = 130;

/// Whether this process was asked to end.
#[derive(Clone, Debug)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// From now on SIGINT and SIGTERM are noted and end nothing; a second one ends the process at once.
    ///
    /// # Errors
    /// If signals cannot be listened to.
    pub fn noted() -> Result<Interrupt, Error> {
        let asked = Interrupt(Arc::new(AtomicBool::new(false)));
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        let listen = |kind| {
            let _inside = runtime.enter();
            signal(kind).map_err(Error::Runtime)
        };
        let (mut interrupt, mut terminate) =
            (listen(SignalKind::interrupt())?, listen(SignalKind::terminate())?);
        let noted = asked.clone();
        // It ends with the process.
        thread::spawn(move || {
            runtime.block_on(async {
                loop {
                    tokio::select! {
                        _ = interrupt.recv() => {}
                        _ = terminate.recv() => {}
                    }
                    if noted.0.swap(true, Ordering::Relaxed) {
                        std::process::exit(ENDED_BY_INTERRUPT);
                    }
                }
            })
        });
        Ok(asked)
    }

    /// Whether it was.
    pub fn is_asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}
