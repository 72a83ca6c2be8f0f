//! All objects below a directory, and what changed since the last look.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hasher};
use std::ops::Bound;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;
use std::{fmt, fs, io};

use causeway_api::unknown::KnownFields;
use causeway_api::{CausewayObject, Change, Kind, Object, ObjectRef, Objects};
use serde_json::Value;

use crate::document::{Body, Contents, Document, Reader};
use crate::locate;
use crate::parallel;
use crate::problem::{Cause, Location, OpenError, Problem};
use crate::scan::{Scan, Stamp, is_gone, is_hidden};
use crate::watch::Hint;

/// What a document says of itself before it is read: what a [`Filter`] decides by.
#[derive(Clone, Copy, Debug)]
pub struct Header<'a> {
    /// Which object.
    pub key: &'a ObjectRef,
    labels: Option<&'a serde_json::Map<String, Value>>,
}

impl<'a> Header<'a> {
    pub(crate) fn of(key: &'a ObjectRef, value: &'a Value) -> Header<'a> {
        Header { key, labels: value.pointer("/metadata/labels").and_then(Value::as_object) }
    }

    /// The value of a label; `None` if the document does not carry it.
    pub fn label(&self, key: &str) -> Option<&'a str> {
        self.labels?.get(key)?.as_str()
    }
}

type Predicate = dyn Fn(&Header<'_>) -> bool + Send + Sync;
type PathPredicate = dyn Fn(&Path) -> bool + Send + Sync;

/// Which objects a reader wants; the others are not kept.
#[derive(Clone, Default)]
pub struct Filter {
    objects: Option<Arc<Predicate>>,
    paths: Option<Arc<PathPredicate>>,
}

impl Filter {
    /// Every object.
    pub fn all() -> Filter {
        Filter::default()
    }

    /// Objects for which `wanted` holds.
    pub fn new(wanted: impl Fn(&Header<'_>) -> bool + Send + Sync + 'static) -> Filter {
        Filter { objects: Some(Arc::new(wanted)), paths: None }
    }

    /// The same filter, which does not even look at files and folders for which `wanted` does not hold.
    /// It is asked with the path below the directory. For readers of a small part of a large
    /// directory, where the files of a kind are written by programs only.
    #[must_use]
    pub fn with_paths(self, wanted: impl Fn(&Path) -> bool + Send + Sync + 'static) -> Filter {
        Filter { paths: Some(Arc::new(wanted)), ..self }
    }

    pub(crate) fn wants(&self, header: &Header<'_>) -> bool {
        self.objects.as_ref().is_none_or(|wanted| wanted(header))
    }

    pub(crate) fn wants_path(&self, path: &Path) -> bool {
        self.paths.as_ref().is_none_or(|wanted| wanted(path))
    }
}

impl fmt::Debug for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Filter { objects, paths } = self;
        f.debug_struct("Filter")
            .field("objects", &objects.is_some())
            .field("paths", &paths.is_some())
            .finish()
    }
}

/// A place of a document: file, and which document of it.
type Place = (Arc<PathBuf>, usize);

/// The documents that speak of one object.
#[derive(Default, Debug)]
struct Claims {
    whole: BTreeMap<Place, (usize, Arc<Object>)>,
    status: BTreeMap<Place, (usize, Arc<Value>)>,
}

#[derive(Debug)]
struct File {
    path: Arc<PathBuf>,
    stamp: Option<Stamp>,
    /// Whether a change after the last look must show in the stamp.
    settled: bool,
    hash: u64,
    documents: Vec<Document>,
    problems: Vec<Problem>,
}

/// How a file was when it was read.
#[derive(Clone, Copy, Debug)]
struct Seen {
    stamp: Stamp,
    settled: bool,
    hash: u64,
}

/// What a look at a file came to.
enum Look {
    /// It cannot be read, or is gone.
    Failed(io::Error),
    /// It holds what it held before.
    Same(Seen),
    /// It holds this.
    Other(Arc<PathBuf>, Seen, Contents),
}

/// All objects below a directory.
#[derive(Debug)]
pub struct Store {
    root: PathBuf,
    filter: Filter,
    known: &'static KnownFields,
    files: BTreeMap<PathBuf, File>,
    unreadable: BTreeMap<PathBuf, String>,
    claims: BTreeMap<ObjectRef, Claims>,
    contested: BTreeSet<ObjectRef>,
    objects: Objects,
}

impl Store {
    /// Reads all objects below `root`.
    ///
    /// # Errors
    /// [`OpenError::Directory`] if `root` is no directory that can be read. Later on, a directory that
    /// is gone is a [`Problem`], and what it held stays in force.
    pub fn open(root: impl Into<PathBuf>) -> Result<Store, OpenError> {
        Store::open_filtered(root, Filter::all())
    }

    /// As [`Store::open`], keeping only what `filter` wants. A document that holds a status alone is
    /// judged by its own labels.
    ///
    /// # Errors
    /// As [`Store::open`].
    pub fn open_filtered(root: impl Into<PathBuf>, filter: Filter) -> Result<Store, OpenError> {
        let root = root.into();
        fs::read_dir(&root).map_err(|source| OpenError::Directory { path: root.clone(), source })?;
        let mut store = Store {
            root,
            filter,
            known: known_fields()?,
            files: BTreeMap::new(),
            unreadable: BTreeMap::new(),
            claims: BTreeMap::new(),
            contested: BTreeSet::new(),
            objects: Objects::default(),
        };
        store.refresh();
        Ok(store)
    }

    /// The directory.
    pub fn root(&self) -> &Path {
        &self.root
    }

    /// All objects.
    pub fn objects(&self) -> &Objects {
        &self.objects
    }

    /// The objects of one kind, ordered by namespace and name.
    pub fn all<K: CausewayObject>(&self) -> impl Iterator<Item = &K> {
        self.objects.all()
    }

    /// One object.
    pub fn get(&self, key: &ObjectRef) -> Option<&Arc<Object>> {
        self.objects.get(key)
    }

    /// Looks at everything and re-reads the files that changed. The changes are ordered by kind,
    /// namespace and name.
    pub fn refresh(&mut self) -> Vec<Change> {
        let root = self.root.clone();
        self.refresh_below([root])
    }

    /// Looks only where `hint` says that something happened.
    pub fn refresh_hinted(&mut self, hint: &Hint) -> Vec<Change> {
        match hint {
            Hint::Everything => self.refresh(),
            Hint::Paths(paths) if paths.iter().any(|path| self.is_behind_links(path)) => self.refresh(),
            Hint::Paths(paths) => self.refresh_below(paths.iter().cloned()),
        }
    }

    /// Whether `path` may stand behind links anywhere: outside the directory, or `..data`, the link
    /// that changes when a mounted ConfigMap does.
    fn is_behind_links(&self, path: &Path) -> bool {
        path.strip_prefix(&self.root)
            .is_ok_and(|below| below.as_os_str().as_encoded_bytes().starts_with(b".."))
            || !path.starts_with(&self.root)
    }

    /// Whether `path`, and what is above it in the directory, is to be looked at.
    fn is_wanted(&self, path: &Path) -> bool {
        let Ok(below) = path.strip_prefix(&self.root) else { return false };
        let parts = below.ancestors().filter(|part| !part.as_os_str().is_empty());
        parts.into_iter().all(|part| !is_hidden(part) && self.filter.wants_path(part))
    }

    fn refresh_below(&mut self, paths: impl IntoIterator<Item = PathBuf>) -> Vec<Change> {
        if !self.root.is_dir() {
            // Not there is not the same as empty: everything stays as it was.
            self.unreadable.insert(self.root.clone(), "no such directory".to_owned());
            return Vec::new();
        }
        self.unreadable.remove(&self.root);
        let mut touched = BTreeSet::new();
        for path in paths {
            if self.is_wanted(&path) {
                self.look_below(&path, &mut touched);
            }
        }
        self.settle(touched)
    }

    fn look_below(&mut self, path: &Path, touched: &mut BTreeSet<ObjectRef>) {
        let scan = Scan::of(path, |path| self.is_wanted(path));
        self.unreadable.retain(|place, _| !place.starts_with(path));
        self.unreadable.extend(scan.unreadable);
        let gone: Vec<PathBuf> = self
            .files
            .range::<Path, _>((Bound::Included(path), Bound::Unbounded))
            .map(|(file, _)| file)
            .take_while(|file| file.starts_with(path))
            .filter(|file| !scan.files.contains_key(*file))
            .filter(|file| !self.unreadable.keys().any(|place| file.starts_with(place)))
            .cloned()
            .collect();
        for file in gone {
            self.forget(&file, touched);
        }
        let is_known = |(file, stamp): &(PathBuf, Stamp)| {
            self.files.get(file).is_some_and(|known| known.stamp == Some(*stamp) && known.settled)
        };
        let changed = scan.files.into_iter().filter(|file| !is_known(file)).map(|(path, _)| path);
        let changed: Vec<PathBuf> = changed.collect();
        // Reading takes processors rather than the disk.
        let looks = parallel::map(&changed, |path| self.look(path));
        for (path, look) in changed.iter().zip(looks) {
            self.take(path, look, touched);
        }
    }

    fn forget(&mut self, file: &Path, touched: &mut BTreeSet<ObjectRef>) {
        if let Some(file) = self.files.remove(file) {
            self.withdraw(&file, touched);
        }
    }

    fn look(&self, path: &Path) -> Look {
        // The stamp is taken first: a change while reading shows in the next one.
        let now = SystemTime::now();
        let read = fs::metadata(path).and_then(|meta| Ok((Stamp::of(&meta), fs::read(path)?)));
        let (stamp, bytes) = match read {
            Ok(read) => read,
            Err(error) => return Look::Failed(error),
        };
        let mut hasher = DefaultHasher::new();
        hasher.write(&bytes);
        let seen = Seen { stamp, settled: stamp.is_settled(now), hash: hasher.finish() };
        let known = self.files.get(path);
        if known.is_some_and(|known| known.hash == seen.hash && known.stamp.is_some()) {
            return Look::Same(seen);
        }
        let file = Arc::new(path.to_owned());
        let (filter, known) = (&self.filter, self.known);
        let mut reader = Reader { file: file.clone(), filter, known, contents: Contents::default() };
        reader.read(&bytes);
        Look::Other(file, seen, reader.contents)
    }

    /// Takes in what was found in a file.
    fn take(&mut self, path: &Path, look: Look, touched: &mut BTreeSet<ObjectRef>) {
        match look {
            Look::Failed(error) if is_gone(&error) => self.forget(path, touched),
            Look::Failed(error) => self.unreadable_file(path.to_owned(), &error),
            Look::Same(seen) => {
                if let Some(known) = self.files.get_mut(path) {
                    known.stamp = Some(seen.stamp);
                    known.settled = seen.settled;
                }
            }
            Look::Other(shared, seen, contents) => {
                let before = self.files.remove(path);
                if let Some(before) = &before {
                    self.withdraw(before, touched);
                }
                let file = file(shared, contents, before, seen);
                self.claim(&file, touched);
                self.files.insert(path.to_owned(), file);
            }
        }
    }

    fn unreadable_file(&mut self, path: PathBuf, error: &io::Error) {
        let file = self.files.entry(path.clone()).or_insert_with(|| File {
            path: Arc::new(path),
            stamp: None,
            settled: false,
            hash: 0,
            documents: Vec::new(),
            problems: Vec::new(),
        });
        let location = Location { file: file.path.clone(), line: 0 };
        file.stamp = None;
        file.problems = vec![Problem { location, object: None, cause: Cause::Unreadable(error.to_string()) }];
    }

    fn withdraw(&mut self, file: &File, touched: &mut BTreeSet<ObjectRef>) {
        for (index, document) in file.documents.iter().enumerate() {
            let place = (file.path.clone(), index);
            if let Some(claims) = self.claims.get_mut(&document.key) {
                claims.whole.remove(&place);
                claims.status.remove(&place);
            }
            touched.insert(document.key.clone());
        }
    }

    fn claim(&mut self, file: &File, touched: &mut BTreeSet<ObjectRef>) {
        for (index, document) in file.documents.iter().enumerate() {
            let place = (file.path.clone(), index);
            let claims = self.claims.entry(document.key.clone()).or_default();
            match &document.body {
                Body::Whole(object) => drop(claims.whole.insert(place, (document.line, object.clone()))),
                Body::Status(status) => drop(claims.status.insert(place, (document.line, status.clone()))),
            }
            touched.insert(document.key.clone());
        }
    }

    /// Brings the objects in `touched` up to their claims.
    fn settle(&mut self, touched: BTreeSet<ObjectRef>) -> Vec<Change> {
        let mut changes = Vec::new();
        for key in touched {
            let claims = self.claims.get(&key);
            let contested = claims.is_some_and(|c| c.whole.len() > 1 || c.status.len() > 1);
            if contested {
                self.contested.insert(key.clone());
            } else {
                self.contested.remove(&key);
            }
            let object = claims.and_then(Claims::object);
            if claims.is_some_and(|c| c.whole.is_empty() && c.status.is_empty()) {
                self.claims.remove(&key);
            }
            changes.extend(match object {
                Some(object) => self.objects.put(object),
                None => self.objects.take(&key),
            });
        }
        changes
    }

    /// All that is wrong now, ordered by file and line.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems: Vec<Problem> =
            self.files.values().flat_map(|file| file.problems.iter().cloned()).collect();
        for (path, message) in &self.unreadable {
            let location = Location { file: Arc::new(path.clone()), line: 0 };
            problems.push(Problem { location, object: None, cause: Cause::Unreadable(message.clone()) });
        }
        for key in &self.contested {
            if let Some(claims) = self.claims.get(key) {
                problems.extend(duplicates(key, claims.whole.iter().map(place_and_line)));
                problems.extend(duplicates(key, claims.status.iter().map(place_and_line)));
            }
        }
        problems.sort_unstable();
        problems
    }

    /// Where `field`, a path such as `spec.podCIDRs[1]`, of an object stands: its line, or that of what
    /// encloses it. Reads the file again.
    pub fn locate(&self, key: &ObjectRef, field: &str) -> Option<Location> {
        let claims = self.claims.get(key)?;
        let whole = claims.whole.iter().next().map(place_and_line);
        let status = claims.status.iter().next().map(place_and_line);
        let in_status = field == "status" || field.starts_with("status.");
        let (place, start) = if in_status { status.or(whole) } else { whole.or(status) }?;
        let file = place.0.clone();
        let text = fs::read_to_string(file.as_path()).unwrap_or_default();
        let piece = crate::split::pieces(&text).into_iter().rfind(|piece| piece.lines_before < start);
        let line = piece.map_or(start, |piece| piece.lines_before + locate::line(piece.text, field));
        Some(Location { file, line: line.max(start) })
    }
}

impl Claims {
    /// The object: the first whole document by path, with the fields of the first separate status put
    /// over its own.
    fn object(&self) -> Option<Arc<Object>> {
        let (_, object) = self.whole.values().next()?;
        let Some((_, status)) = self.status.values().next() else { return Some(object.clone()) };
        Some(with_status(object, status).map_or_else(|| object.clone(), Arc::new))
    }
}

/// The fields of our kinds: the same for every store, and not quick to make.
pub(crate) fn known_fields() -> Result<&'static KnownFields, OpenError> {
    static KNOWN: OnceLock<KnownFields> = OnceLock::new();
    match KNOWN.get() {
        Some(known) => Ok(known),
        None => {
            let known = KnownFields::new()?;
            Ok(KNOWN.get_or_init(|| known))
        }
    }
}

fn with_status(object: &Object, status: &Value) -> Option<Object> {
    let mut value = serde_json::to_value(object).ok()?;
    let fields = value.as_object_mut()?;
    let own = fields.entry("status").or_insert_with(|| Value::Object(serde_json::Map::new()));
    own.as_object_mut()?.extend(status.as_object()?.clone());
    let kind: Kind = object.kind();
    Object::deserialize(kind, value).ok()
}

fn place_and_line<'a, T>((place, (line, _)): (&'a Place, &(usize, T))) -> (&'a Place, usize) {
    (place, *line)
}

fn duplicates<'a>(key: &ObjectRef, mut places: impl Iterator<Item = (&'a Place, usize)>) -> Vec<Problem> {
    let at = |(place, line): (&Place, usize)| Location { file: place.0.clone(), line };
    let Some(first) = places.next().map(at) else { return Vec::new() };
    places
        .map(|place| Problem {
            location: at(place),
            object: Some(key.clone()),
            cause: Cause::Duplicate(first.clone()),
        })
        .collect()
}

/// What is known of a file after it was read again. If it is not known what some document of it holds,
/// or it holds nothing although it did, what it held before stays beside what it holds now.
fn file(path: Arc<PathBuf>, contents: Contents, before: Option<File>, seen: Seen) -> File {
    let Seen { stamp, settled, hash } = seen;
    let Contents { mut documents, mut problems, count, broken } = contents;
    let kept = before.map(|before| before.documents).unwrap_or_default();
    let emptied = count == 0 && !kept.is_empty();
    if emptied {
        let location = Location { file: path.clone(), line: 0 };
        problems.push(Problem { location, object: None, cause: Cause::Emptied });
    }
    if broken || emptied {
        for old in kept {
            if !documents.iter().any(|new| new.key == old.key && new.body.same_part(&old.body)) {
                documents.push(old);
            }
        }
    }
    File { path, stamp: Some(stamp), settled, hash, documents, problems }
}
