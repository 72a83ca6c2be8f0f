//! Puts objects into a directory: one file each, replaced in one step.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use causeway_api::{Kind, Object, ObjectRef, StatusOnly};
use serde::Serialize;

use crate::problem::WriteError;

/// What temporary files begin and end with. They are hidden and no YAML by their name, so no reader
/// looks at them.
const TEMPORARY: (&str, &str) = (".causeway-", ".tmp");
/// A temporary file as old as this was left behind by a writer that died.
const ABANDONED: Duration = Duration::from_secs(600);

/// How often a write is tried while others remove its folder.
const TRIES: usize = 1000;

/// What came of a write or removal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Outcome {
    /// The file is new, different, or gone now.
    Changed,
    /// The file was as it should be.
    Unchanged,
}

/// Writes objects below a directory, as `<plural>/[<namespace>/]<name>.yaml`.
#[derive(Clone, Debug)]
pub struct Writer {
    root: PathBuf,
}

impl Writer {
    /// A writer into `root`, which is made when the first object is written.
    pub fn new(root: impl Into<PathBuf>) -> Writer {
        Writer { root: root.into() }
    }

    /// The file of a whole object.
    ///
    /// # Errors
    /// [`WriteError::Name`] if its name or namespace cannot be part of a path.
    pub fn path(&self, key: &ObjectRef) -> Result<PathBuf, WriteError> {
        self.file(key, ".yaml")
    }

    /// The file of an object's status alone.
    ///
    /// # Errors
    /// [`WriteError::Name`] if its name or namespace cannot be part of a path.
    pub fn status_path(&self, key: &ObjectRef) -> Result<PathBuf, WriteError> {
        self.file(key, ".status.yaml")
    }

    fn file(&self, key: &ObjectRef, suffix: &str) -> Result<PathBuf, WriteError> {
        let refuse = || WriteError::Name(key.clone());
        let usable = |part: &str| !part.is_empty() && !part.starts_with('.') && !part.contains(['/', '\0']);
        let mut path = self.root.join(key.kind.plural());
        if key.kind.namespaced() {
            path.push(key.namespace.as_deref().filter(|part| usable(part)).ok_or_else(refuse)?);
        }
        // A whole object named "x.status" would lie where the status of "x" does.
        if !usable(&key.name) || key.name.ends_with(".status") {
            return Err(refuse());
        }
        path.push(format!("{}{suffix}", key.name));
        Ok(path)
    }

    /// Writes a whole object.
    ///
    /// # Errors
    /// [`WriteError`] if it has no usable name, or the file system refuses.
    pub fn write(&self, object: &Object) -> Result<Outcome, WriteError> {
        let key = object.key();
        put(&self.path(&key)?, &yaml(&key, object)?)
    }

    /// Writes the status of an object whose spec has another writer.
    ///
    /// # Errors
    /// As [`Writer::write`].
    pub fn write_status(&self, object: &Object) -> Result<Outcome, WriteError> {
        let key = object.key();
        put(&self.status_path(&key)?, &yaml(&key, &StatusOnly(object))?)
    }

    /// Removes a whole object, with the status beside it, and folders that are empty then.
    ///
    /// # Errors
    /// [`WriteError`] if the file system refuses. What is not there is no error.
    pub fn remove(&self, key: &ObjectRef) -> Result<Outcome, WriteError> {
        let whole = self.take_away(&self.path(key)?)?;
        let status = self.take_away(&self.status_path(key)?)?;
        Ok(if whole == Outcome::Changed { whole } else { status })
    }

    /// Removes the status of an object, and folders that are empty then.
    ///
    /// # Errors
    /// As [`Writer::remove`].
    pub fn remove_status(&self, key: &ObjectRef) -> Result<Outcome, WriteError> {
        self.take_away(&self.status_path(key)?)
    }

    /// Removes objects of `kind` that are not in `keep`, written by this program or one before it: files
    /// where [`Writer::write`] would put them, each with the status beside it. Also removes temporary
    /// files that a writer left behind. Returns how many objects went.
    ///
    /// # Errors
    /// As [`Writer::remove`].
    pub fn prune(&self, kind: Kind, keep: &BTreeSet<ObjectRef>) -> Result<usize, WriteError> {
        let mut removed = 0;
        for key in self.written(kind, ".yaml")? {
            if !keep.contains(&key) && self.remove(&key)? == Outcome::Changed {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// As [`Writer::prune`], for statuses alone.
    ///
    /// # Errors
    /// As [`Writer::remove`].
    pub fn prune_status(&self, kind: Kind, keep: &BTreeSet<ObjectRef>) -> Result<usize, WriteError> {
        let mut removed = 0;
        for key in self.written(kind, ".status.yaml")? {
            if !keep.contains(&key) && self.remove_status(&key)? == Outcome::Changed {
                removed += 1;
            }
        }
        Ok(removed)
    }

    /// The objects of `kind` that have a file with this suffix.
    fn written(&self, kind: Kind, suffix: &str) -> Result<BTreeSet<ObjectRef>, WriteError> {
        let folder = self.root.join(kind.plural());
        let mut found = BTreeSet::new();
        let mut collect = |folder: &Path, namespace: Option<&str>| -> Result<(), WriteError> {
            for name in names(folder)? {
                let status = name.ends_with(".status.yaml");
                let Some(name) = name.strip_suffix(suffix) else { continue };
                if status == (suffix == ".status.yaml") {
                    let namespace = namespace.map(str::to_owned);
                    found.insert(ObjectRef { kind, namespace, name: name.to_owned() });
                }
            }
            Ok(())
        };
        if kind.namespaced() {
            for namespace in names(&folder)? {
                collect(&folder.join(&namespace), Some(&namespace))?;
            }
        } else {
            collect(&folder, None)?;
        }
        Ok(found)
    }

    fn take_away(&self, path: &Path) -> Result<Outcome, WriteError> {
        match fs::remove_file(path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Outcome::Unchanged),
            Err(source) => return Err(file_error("remove", path, source)),
        }
        // A folder that is not empty cannot be removed, which ends this.
        for folder in path.ancestors().skip(1).take_while(|folder| *folder != self.root) {
            if fs::remove_dir(folder).is_err() {
                break;
            }
        }
        Ok(Outcome::Changed)
    }
}

fn file_error(operation: &'static str, path: &Path, source: io::Error) -> WriteError {
    WriteError::File { operation, path: path.to_owned(), source }
}

fn yaml(key: &ObjectRef, value: &impl Serialize) -> Result<String, WriteError> {
    serde_saphyr::to_string(value).map_err(|source| WriteError::Yaml { object: key.clone(), source })
}

/// Names in a folder; none if there is no such folder. Removes abandoned temporary files.
fn names(folder: &Path) -> Result<Vec<String>, WriteError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(source) => return Err(file_error("read", folder, source)),
    };
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry.map_err(|source| file_error("read", folder, source))?;
        let Ok(name) = entry.file_name().into_string() else { continue };
        if name.starts_with(TEMPORARY.0) && name.ends_with(TEMPORARY.1) {
            let old = entry.metadata().and_then(|meta| meta.modified()).ok();
            let age = old.and_then(|then| SystemTime::now().duration_since(then).ok());
            if age.is_some_and(|age| age > ABANDONED) {
                // Whoever else cleans up may be first; the next time is soon enough for the rest.
                drop(fs::remove_file(entry.path()));
            }
        } else {
            names.push(name);
        }
    }
    Ok(names)
}

/// Makes `path` hold `text`, in one step for every reader.
fn put(path: &Path, text: &str) -> Result<Outcome, WriteError> {
    if fs::read(path).is_ok_and(|present| present == text.as_bytes()) {
        return Ok(Outcome::Unchanged);
    }
    let folder = path.parent().unwrap_or(path);
    // Another writer may remove the folder, empty for a moment, between the steps; each further try
    // means that one did so once more.
    let mut result = Ok(());
    for _ in 0..TRIES {
        result = fs::create_dir_all(folder).and_then(|()| replace(folder, path, text));
        // A folder that goes while it is made is reported as being there already.
        let kind = result.as_ref().err().map(io::Error::kind);
        if !matches!(kind, Some(io::ErrorKind::NotFound | io::ErrorKind::AlreadyExists)) {
            break;
        }
    }
    result.map(|()| Outcome::Changed).map_err(|source| file_error("write", path, source))
}

fn replace(folder: &Path, path: &Path, text: &str) -> io::Result<()> {
    static COUNTER: AtomicU64 = AtomicU64::new(0);
    let (first, last) = TEMPORARY;
    let count = COUNTER.fetch_add(1, Ordering::Relaxed);
    // Network namespaces share files but may not share process ids, so the time is part of the name.
    let time = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |since| since.as_nanos());
    let temporary = folder.join(format!("{first}{}-{count}-{time}{last}", std::process::id()));
    let mut file = fs::OpenOptions::new().write(true).create_new(true).open(&temporary)?;
    let written = file.write_all(text.as_bytes()).and_then(|()| fs::rename(&temporary, path));
    if written.is_err() {
        // The first error says more than one of cleaning up.
        drop(fs::remove_file(&temporary));
    }
    written
}
