//! Which files there are, and whether one changed since it was read.

use std::collections::{BTreeMap, HashSet};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How deep folders are looked into.
const DEPTH: usize = 32;

/// Time stamps of files move in steps of the kernel's clock tick (at most 10 ms). A file that changed
/// shorter ago than this when it was read may change again without a new time stamp.
const SETTLED: Duration = Duration::from_millis(50);

/// What tells one state of a file from another without reading it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    pub(crate) fn of(meta: &Metadata) -> Stamp {
        Stamp {
            device: meta.dev(),
            inode: meta.ino(),
            size: meta.size(),
            modified: (meta.mtime(), meta.mtime_nsec()),
            changed: (meta.ctime(), meta.ctime_nsec()),
        }
    }

    /// Whether a further change after `now` must show in the stamp.
    pub(crate) fn is_settled(&self, now: SystemTime) -> bool {
        let (seconds, nanos) = self.changed;
        let (Ok(seconds), Ok(nanos)) = (u64::try_from(seconds), u32::try_from(nanos)) else { return false };
        now.duration_since(UNIX_EPOCH)
            .ok()
            .and_then(|now| now.checked_sub(Duration::new(seconds, nanos)))
            .is_some_and(|age| age > SETTLED)
    }
}

/// What a scan found.
#[derive(Debug, Default)]
pub(crate) struct Scan {
    /// Files that may hold objects.
    pub files: BTreeMap<PathBuf, Stamp>,
    /// What could not be looked at. What is known of files below such a path is not known to be gone.
    pub unreadable: BTreeMap<PathBuf, String>,
}

impl Scan {
    /// Looks at `path` and all `wanted` below it. Nothing there is nothing found.
    pub(crate) fn of(path: &Path, wanted: impl Fn(&Path) -> bool) -> Scan {
        let mut scan = Scan::default();
        scan.visit(path, DEPTH, &wanted, &mut HashSet::new());
        scan
    }

    fn visit(
        &mut self,
        path: &Path,
        depth: usize,
        wanted: &dyn Fn(&Path) -> bool,
        seen: &mut HashSet<(u64, u64)>,
    ) {
        let meta = match fs::metadata(path) {
            Ok(meta) => meta,
            // Gone, or a link to nothing.
            Err(error) if is_gone(&error) => return,
            Err(error) => return self.refused(path, &error),
        };
        if meta.is_file() {
            if is_object_file(path) {
                self.files.insert(path.to_owned(), Stamp::of(&meta));
            }
        } else if meta.is_dir() && depth > 0 && seen.insert((meta.dev(), meta.ino())) {
            self.visit_folder(path, depth, wanted, seen);
        }
    }

    fn visit_folder(
        &mut self,
        path: &Path,
        depth: usize,
        wanted: &dyn Fn(&Path) -> bool,
        seen: &mut HashSet<(u64, u64)>,
    ) {
        let entries = match fs::read_dir(path) {
            Ok(entries) => entries,
            Err(error) if is_gone(&error) => return,
            Err(error) => return self.refused(path, &error),
        };
        let mut children: Vec<PathBuf> = Vec::new();
        for entry in entries {
            match entry {
                Ok(entry) => children.push(entry.path()),
                Err(error) => return self.refused(path, &error),
            }
        }
        // Links may show one folder twice; the first by path is the one that counts.
        children.sort_unstable();
        for child in children.into_iter().filter(|child| wanted(child)) {
            self.visit(&child, depth - 1, wanted, seen);
        }
    }

    fn refused(&mut self, path: &Path, error: &io::Error) {
        self.unreadable.insert(path.to_owned(), error.to_string());
    }
}

/// Whether there is nothing at a path: no such entry, or a file where a folder was.
pub(crate) fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// Names with a leading dot are editors' and writers' temporary files, and the folders behind the links
/// of a mounted ConfigMap.
pub(crate) fn is_hidden(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

pub(crate) fn is_object_file(path: &Path) -> bool {
    let extension = path.extension().and_then(|extension| extension.to_str());
    matches!(extension, Some("yaml" | "yml" | "json"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_changed_just_now_or_in_the_future_is_not_settled() {
        let at = |millis: i64| {
            let changed = (100 + millis.div_euclid(1000), millis.rem_euclid(1000) * 1_000_000);
            Stamp { device: 1, inode: 1, size: 1, modified: (0, 0), changed }
        };
        let now = UNIX_EPOCH + Duration::from_secs(100);
        assert!(at(-51).is_settled(now));
        for millis in [-50, -1, 0, 1, 5_000] {
            assert!(!at(millis).is_settled(now), "{millis}");
        }
    }
}
