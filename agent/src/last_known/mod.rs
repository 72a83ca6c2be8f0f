//! The last known state: a node's plan in a file of the state directory, so that its network comes up though
//! neither the hub nor the API server of its cluster answers.
//!
//! The file is written behind the loop's back, after a pass that brought the kernel to a plan that an API
//! server told. It counts only until the API server has told the whole plan, and it is never a reason to take
//! away or change what the kernel holds when the agent starts. Nothing about it ends the agent.

mod basis;
mod codec;
mod content;
mod file;
#[cfg(test)]
mod tests;

use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use causeway_daemon::Complaints;
use causeway_daemon::health::Health;
use causeway_model::NodeName;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep_until};

pub use self::basis::{Basis, first_loss};
use self::basis::{Saved, basis};
pub use self::content::Identity;
use self::content::{Snapshot, Unusable};
use self::file::Loaded;
use crate::plans::{Known, Plans};
use crate::source::Source;

/// The shortest time from one write to the next: while a clusterset grows, plans change every moment.
const REST: Duration = Duration::from_secs(5);
/// How long until a write that failed is tried again.
const RETRY: Duration = Duration::from_secs(60);
/// The check of readiness that says that the file counts.
const CHECK: &str = "confirmed plan";

/// The file of last known state, what was in it, and when it is to be written.
pub struct LastKnown {
    path: PathBuf,
    identity: Option<Identity>,
    started: Instant,
    health: Health,
    state: State,
    /// Whether the plan in force may be another than the one in the file.
    unsaved: bool,
    /// Whether the kernel is as the plan in force says.
    passed: bool,
    not_before: Instant,
    writing: Option<Writing>,
    complaints: Complaints,
}

enum State {
    Unread,
    Plan {
        loaded: Box<Loaded>,
        /// Whether the kernel may hold what is newer.
        on_trial: bool,
    },
    Nothing,
}

struct Writing {
    thread: thread::JoinHandle<()>,
    done: oneshot::Receiver<io::Result<()>>,
}

/// The plan in the file of `state_dir`, for one who only looks; `None` if there is no file.
///
/// # Errors
/// [`Unusable`] unless it is whole and of the node `node`.
pub fn plans_in(state_dir: &Path, node: &NodeName) -> Result<Option<Plans>, Unusable> {
    let here = Identity { node: node.clone(), authorities: Vec::new() };
    Ok(file::load(&content::path(state_dir), &here)?.map(|loaded| loaded.plans))
}

impl LastKnown {
    /// The file in `state_dir` for an agent that starts now as `identity`. Nothing is read yet. `None`: its
    /// source is no API server but a directory, which outlives a reboot by itself; nothing is read or written.
    pub fn new(state_dir: &Path, identity: Option<Identity>, health: Health) -> LastKnown {
        LastKnown {
            path: content::path(state_dir),
            identity,
            started: Instant::now(),
            health,
            state: State::Unread,
            unsaved: true,
            passed: false,
            not_before: Instant::now(),
            writing: None,
            complaints: Complaints::default(),
        }
    }

    /// What is to be gone by now. Reads the file if it is time to.
    pub fn basis(&mut self, source: &Source) -> Basis {
        loop {
            let saved = match &self.state {
                State::Unread => Saved::Unread,
                State::Plan { .. } => Saved::Plan,
                State::Nothing => Saved::Nothing,
            };
            match basis(source.has_told(), self.started.elapsed(), saved) {
                Basis::Read => self.read(),
                Basis::Source if saved != Saved::Nothing => self.replaced(),
                decided => return decided,
            }
        }
    }

    fn read(&mut self) {
        let path = self.path.display();
        let loaded = self.identity.as_ref().map_or(Ok(None), |here| file::load(&self.path, here));
        self.state = match loaded {
            Ok(Some(loaded)) => {
                let age = loaded.age.map_or("in the future of this node's clock".to_owned(), ago);
                tracing::warn!(
                    "the API server has not told the plan; going by the last known state in {path}, written {age}"
                );
                let why = format!(
                    "the last known state in {path}, written {age}, counts until the API server tells"
                );
                self.health.not_ready(CHECK, why);
                State::Plan { loaded: Box::new(loaded), on_trial: true }
            }
            Ok(None) => {
                tracing::info!(
                    "the API server has not told the plan, and there is no last known state in {path}; the kernel stays as it is"
                );
                State::Nothing
            }
            Err(error) => {
                tracing::warn!(
                    "the last known state in {path} is not used: {error}; the kernel stays as it is until the API server tells the plan, and then the file is replaced"
                );
                State::Nothing
            }
        };
    }

    fn replaced(&mut self) {
        if let State::Plan { .. } = self.state {
            tracing::info!("the API server has told what there is; the last known state counts no more");
            self.health.ready(CHECK);
            self.plan_changed();
        }
        self.state = State::Nothing;
    }

    /// What is known by what is gone by.
    pub fn known<'a>(&'a self, source: &'a Source) -> Known<'a> {
        match &self.state {
            State::Plan { loaded, .. } => loaded.plans.known(),
            State::Unread | State::Nothing => source.known(),
        }
    }

    /// Whether the kernel has to be looked at before it is brought to the last known state: it may hold what
    /// is newer.
    pub fn is_on_trial(&self) -> bool {
        matches!(self.state, State::Plan { on_trial: true, .. })
    }

    /// The kernel holds what `loss`, a step towards the last known state, would take away or change.
    pub fn contradicted(&mut self, loss: &str) {
        let path = self.path.display();
        let complaint = format!(
            "the kernel holds what is not in the last known state in {path}, and stays as it is until the API server tells the plan; first: {loss}"
        );
        self.health.not_ready(CHECK, complaint.as_str());
        self.complaints.say([complaint]);
    }

    /// The plan in force changed.
    pub fn plan_changed(&mut self) {
        (self.unsaved, self.passed) = (true, false);
    }

    /// The kernel is as the plan in force says. If that is the last known state, what differs from now on is
    /// what others change, and is put right.
    pub fn passed(&mut self) {
        self.passed = true;
        if let State::Plan { on_trial, .. } = &mut self.state
            && std::mem::take(on_trial)
        {
            self.complaints.say::<String>([]);
        }
    }

    /// Waits until the plan in force is to be [saved](LastKnown::save). Giving up waiting loses nothing.
    pub async fn due(&mut self) {
        if let Some(writing) = &mut self.writing {
            let written = (&mut writing.done).await;
            self.writing = None;
            self.wrote(written.unwrap_or_else(|_| Err(io::Error::other("its thread panicked"))));
        }
        if self.unsaved && self.passed && self.identity.is_some() && matches!(self.state, State::Nothing) {
            sleep_until(self.not_before).await;
        } else {
            std::future::pending().await
        }
    }

    /// Starts to write the plan that the source told, in a thread of its own.
    pub fn save(&mut self, known: Known<'_>) {
        self.unsaved = false;
        let (Known::Plan(inputs), Some(identity)) = (known, &self.identity) else { return };
        let (snapshot, path) = (Snapshot::of(inputs, identity), self.path.clone());
        let (tell, done) = oneshot::channel();
        let write = move || {
            // Nobody listens any more if the state is to be forgotten.
            let _ = tell.send(file::save(&path, &snapshot));
        };
        match thread::Builder::new().name("last-known".to_owned()).spawn(write) {
            Ok(thread) => self.writing = Some(Writing { thread, done }),
            Err(error) => self.wrote(Err(error)),
        }
    }

    fn wrote(&mut self, result: io::Result<()>) {
        let wait = if result.is_ok() { REST } else { RETRY };
        self.not_before = Instant::now() + wait;
        self.unsaved |= result.is_err();
        let path = self.path.display();
        self.complaints.say(result.err().map(|error| {
            format!(
                "the last known state cannot be written to {path}: {error}; make room, make it writable, or remove what stands in its place: until then a start without the API server finds what was written before, or nothing"
            )
        }));
    }

    /// Removes the file: the node takes part no more.
    ///
    /// # Errors
    /// If it is there and cannot be removed.
    pub fn forget(&mut self) -> io::Result<()> {
        if let Some(Writing { thread, .. }) = self.writing.take() {
            // A write that is under way would bring it back. One that panicked brings nothing.
            let _ = thread.join();
        }
        self.state = State::Nothing;
        self.plan_changed();
        remove(&self.path)
    }
}

/// Removes the file from `state_dir`.
///
/// # Errors
/// If it is there and cannot be removed.
pub fn remove_from(state_dir: &Path) -> io::Result<()> {
    remove(&content::path(state_dir))
}

fn remove(path: &Path) -> io::Result<()> {
    let explained = |error: io::Error| {
        io::Error::new(error.kind(), format!("cannot remove {}: {error}; remove it by hand", path.display()))
    };
    file::remove(path).map_err(explained)
}

/// A time in the past in words.
fn ago(age: Duration) -> String {
    match age.as_secs() {
        seconds @ 0..120 => format!("{seconds} s ago"),
        seconds @ 120..7200 => format!("{} min ago", seconds / 60),
        seconds @ 7200..172_800 => format!("{} h ago", seconds / 3600),
        seconds => format!("{} d ago", seconds / 86_400),
    }
}
