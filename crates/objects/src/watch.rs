//! Says when something below a directory may have changed.
//!
//! Only a hint: the kernel's notifications may be lost, come late, or come for nothing. So everything is
//! looked at every few seconds as well, and the watch is set up anew when the directory was replaced.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use notify::event::{AccessKind, AccessMode};
use notify::{Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher as _};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long the directory must be quiet before a change is told.
const QUIET: Duration = Duration::from_millis(20);
/// How long a change is held back at most while others keep coming.
const AT_MOST: Duration = Duration::from_millis(200);
/// How often everything is looked at, whether or not something was told.
const RESCAN: Duration = Duration::from_secs(3);
/// How often the directory is looked for while it cannot be watched.
const UNWATCHED: Duration = Duration::from_millis(250);
/// More paths than this are not worth telling apart.
const MANY: usize = 1024;

/// Where something may have changed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Hint {
    /// At these paths, or below them.
    Paths(BTreeSet<PathBuf>),
    /// Anywhere.
    Everything,
}

/// Why a directory cannot be watched.
#[derive(Debug, thiserror::Error)]
#[error("cannot watch {}; is fs.inotify.max_user_watches or max_user_instances used up?", path.display())]
pub struct WatchError {
    /// The directory.
    pub path: PathBuf,
    /// What is wrong.
    pub source: notify::Error,
}

struct Pending {
    /// The directory as the caller names it, and as the kernel's notifications do.
    root: PathBuf,
    absolute: PathBuf,
    hint: Mutex<Option<Hint>>,
    wake: Notify,
}

impl Pending {
    fn add(&self, event: notify::Result<Event>) {
        let paths = match event {
            Ok(event) if event.need_rescan() => None,
            Ok(event) if !is_change(&event.kind) => return,
            Ok(event) => self.below_root(event.paths),
            // The queue ran over, or a folder could not be watched.
            Err(_) => None,
        };
        // A panic while the lock was held leaves a hint that is as good as any.
        let mut hint = self.hint.lock().unwrap_or_else(PoisonError::into_inner);
        *hint = Some(match (hint.take(), paths) {
            (Some(Hint::Everything), _) | (_, None) => Hint::Everything,
            (Some(Hint::Paths(paths)), Some(_)) if paths.len() >= MANY => Hint::Everything,
            (Some(Hint::Paths(mut paths)), Some(more)) => {
                paths.extend(more);
                Hint::Paths(paths)
            }
            (None, Some(paths)) => Hint::Paths(paths),
        });
        drop(hint);
        self.wake.notify_one();
    }

    /// The paths as the caller would write them; `None` if one is not below the directory.
    fn below_root(&self, paths: Vec<PathBuf>) -> Option<BTreeSet<PathBuf>> {
        let below = |path: PathBuf| {
            let rest = path.strip_prefix(&self.absolute).or_else(|_| path.strip_prefix(&self.root)).ok()?;
            // Joining nothing would add a slash.
            Some(if rest.as_os_str().is_empty() { self.root.clone() } else { self.root.join(rest) })
        };
        paths.into_iter().map(below).collect()
    }

    /// Whether something was told that nobody has taken yet.
    fn has_hint(&self) -> bool {
        self.hint.lock().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    fn take(&self) -> Option<Hint> {
        self.hint.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Reading a file is no change of it.
fn is_change(kind: &EventKind) -> bool {
    match kind {
        EventKind::Access(access) => *access == AccessKind::Close(AccessMode::Write),
        _ => true,
    }
}

/// Watches a directory and all below it.
pub struct Watcher {
    root: PathBuf,
    pending: Arc<Pending>,
    watch: Option<(RecommendedWatcher, (u64, u64))>,
    rescan: Instant,
    /// When the caller was last told to look at everything.
    told: Option<Instant>,
}

impl Watcher {
    /// Watches `root`. Changes after this call are told.
    ///
    /// # Errors
    /// [`WatchError`] if the kernel refuses, or `root` is not there.
    pub fn new(root: impl Into<PathBuf>) -> Result<Watcher, WatchError> {
        let root = root.into();
        let absolute = std::path::absolute(&root).unwrap_or_else(|_| root.clone());
        let (hint, wake) = (Mutex::new(None), Notify::new());
        let pending = Arc::new(Pending { root: root.clone(), absolute, hint, wake });
        let watch = watch(&root, &pending).map_err(|source| WatchError { path: root.clone(), source })?;
        Ok(Watcher { root, pending, watch: Some(watch), rescan: Instant::now() + RESCAN, told: None })
    }

    /// Waits until something may have changed, and the directory is quiet again; at most a few seconds.
    /// Nothing is lost if the wait is given up half-way.
    pub async fn changed(&mut self) -> Hint {
        if let Some(looked) = self.told.take().map(|told| told.elapsed()) {
            // Looking at everything takes a small part of the time, however much there is.
            self.rescan = self.rescan.max(Instant::now() + looked * 20);
        }
        // A wait that was given up after it was woken has left its hint behind.
        let told =
            self.pending.has_hint() || timeout_at(self.rescan, self.pending.wake.notified()).await.is_ok();
        if told {
            let deadline = Instant::now() + AT_MOST;
            loop {
                let quiet = (Instant::now() + QUIET).min(deadline);
                if timeout_at(quiet, self.pending.wake.notified()).await.is_err() {
                    break;
                }
                if Instant::now() >= deadline {
                    sleep_until(deadline).await;
                    break;
                }
            }
        }
        let replaced = self.follow();
        let due = Instant::now() >= self.rescan;
        if replaced || due {
            // Without a watch, looking is all there is.
            self.rescan = Instant::now() + if self.watch.is_some() { RESCAN } else { UNWATCHED };
            self.pending.take();
            self.told = Some(Instant::now());
            return Hint::Everything;
        }
        self.pending.take().unwrap_or(Hint::Everything)
    }

    /// Watches the directory that is there now, if it is another one than before.
    fn follow(&mut self) -> bool {
        let now = identity(&self.root);
        if now.is_some() && self.watch.as_ref().map(|(_, identity)| *identity) == now {
            return false;
        }
        let had = self.watch.take().is_some();
        match watch(&self.root, &self.pending) {
            Ok(watch) => {
                self.watch = Some(watch);
                true
            }
            Err(error) => {
                tracing::debug!(directory = %self.root.display(), %error, "cannot watch; looking from time to time");
                had
            }
        }
    }
}

fn identity(root: &Path) -> Option<(u64, u64)> {
    fs::metadata(root).ok().map(|meta| (meta.dev(), meta.ino()))
}

fn watch(root: &Path, pending: &Arc<Pending>) -> Result<(RecommendedWatcher, (u64, u64)), notify::Error> {
    let pending = pending.clone();
    let identity = identity(root).ok_or_else(notify::Error::path_not_found)?;
    let mut watcher = notify::recommended_watcher(move |event| pending.add(event))?;
    watcher.watch(root, RecursiveMode::Recursive)?;
    Ok((watcher, identity))
}
