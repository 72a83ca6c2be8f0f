//! Documents of a file, each read by itself.

use std::path::PathBuf;
use std::sync::Arc;

use causeway_api::unknown::KnownFields;
use causeway_api::{GROUP, Kind, Object, ObjectRef};
use serde_json::Value;

use crate::locate;
use crate::problem::{Cause, Location, Problem};
use crate::split::{self, Piece};
use crate::store::{Filter, Header};

/// A document of one of our kinds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Document {
    pub key: ObjectRef,
    /// Its first line in the file, counted from 1.
    pub line: usize,
    pub body: Body,
}

/// What a document holds.
#[derive(Clone, PartialEq, Debug)]
pub(crate) enum Body {
    /// A whole object.
    Whole(Arc<Object>),
    /// A status alone; the spec is in another document.
    Status(Arc<Value>),
}

impl Body {
    /// Whether the two would stand for the same part of the same object.
    pub(crate) fn same_part(&self, other: &Body) -> bool {
        matches!((self, other), (Body::Whole(_), Body::Whole(_)) | (Body::Status(_), Body::Status(_)))
    }
}

/// What a file came to.
#[derive(Debug, Default)]
pub(crate) struct Contents {
    pub documents: Vec<Document>,
    pub problems: Vec<Problem>,
    /// Documents of any kind that the file holds, also unusable ones.
    pub count: usize,
    /// Whether some document could not be read, so that it is not known what it holds.
    pub broken: bool,
}

/// Reads the documents of one file.
pub(crate) struct Reader<'a> {
    pub file: Arc<PathBuf>,
    pub filter: &'a Filter,
    pub known: &'a KnownFields,
    pub contents: Contents,
}

impl Reader<'_> {
    /// Reads `bytes`, as JSON where the file's name says so, else as YAML.
    pub(crate) fn read(&mut self, bytes: &[u8]) {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => text,
            Err(error) => {
                let before = &bytes[..error.valid_up_to()];
                let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
                return self.broken(line, None, Cause::Syntax("not UTF-8 text".to_owned()));
            }
        };
        if self.file.extension().is_some_and(|extension| extension == "json") {
            self.read_json(text);
        } else {
            for piece in split::pieces(text) {
                match serde_saphyr::from_str::<Value>(piece.text) {
                    Ok(value) => self.document(piece, value),
                    Err(error) => {
                        let line = error.location().map_or(1, |at| usize::try_from(at.line()).unwrap_or(1));
                        let line = piece.lines_before + line.max(1);
                        let error = error.without_snippet().to_string();
                        self.broken(line, None, Cause::Syntax(error));
                    }
                }
            }
        }
    }

    fn read_json(&mut self, text: &str) {
        let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Value>();
        loop {
            let start = stream.byte_offset();
            let Some(next) = stream.next() else { return };
            let skipped = text[start..].len() - text[start..].trim_start().len();
            let lines_before = text[..start + skipped].matches('\n').count();
            match next {
                Ok(value) => {
                    let text = &text[start + skipped..stream.byte_offset()];
                    self.document(Piece { text, lines_before }, value);
                }
                Err(error) => {
                    // The parser counts lines of the whole text.
                    return self.broken(error.line(), None, Cause::Syntax(error.to_string()));
                }
            }
        }
    }

    fn problem(&mut self, line: usize, object: Option<ObjectRef>, cause: Cause) {
        let location = Location { file: self.file.clone(), line };
        self.contents.problems.push(Problem { location, object, cause });
    }

    fn broken(&mut self, line: usize, object: Option<ObjectRef>, cause: Cause) {
        self.contents.count += 1;
        self.contents.broken = true;
        self.problem(line, object, cause);
    }

    fn document(&mut self, piece: Piece<'_>, mut value: Value) {
        drop_nulls(&mut value);
        if value.is_null() {
            return;
        }
        self.object(piece, "", value);
    }

    /// One object, found at `path` of its document.
    fn object(&mut self, piece: Piece<'_>, path: &str, mut value: Value) {
        let line = |field: &str| line_of(piece, path, field);
        if !value.is_object() {
            return self.broken(line(""), None, Cause::NotAnObject);
        }
        let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).map(str::to_owned);
        let Some(api_version) = text("/apiVersion") else {
            return self.broken(line(""), None, Cause::Missing("apiVersion"));
        };
        let Some(kind_text) = text("/kind") else {
            return self.broken(line(""), None, Cause::Missing("kind"));
        };
        let ours = api_version.split_once('/').is_some_and(|(group, _)| group == GROUP);
        if (ours || api_version == "v1") && kind_text.ends_with("List") {
            let items = value.get_mut("items").and_then(Value::as_array_mut).map(std::mem::take);
            for (index, item) in items.into_iter().flatten().enumerate() {
                self.object(piece, &format!("{path}.items[{index}]"), item);
            }
            return;
        }
        let Some(kind) = Kind::of(&api_version, &kind_text) else {
            if ours {
                let cause = Cause::UnknownKind { api_version, kind: kind_text };
                return self.broken(line("kind"), None, cause);
            }
            tracing::debug!(file = %self.file.display(), api_version, kind = kind_text, "not ours");
            self.contents.count += 1;
            return;
        };
        let Some(name) = text("/metadata/name").filter(|name| !name.is_empty()) else {
            return self.broken(line("metadata"), None, Cause::Missing("metadata.name"));
        };
        let namespace = text("/metadata/namespace").filter(|_| kind.namespaced());
        if kind.namespaced() && namespace.is_none() {
            let key = ObjectRef { kind, namespace, name };
            return self.broken(line("metadata"), Some(key), Cause::Missing("metadata.namespace"));
        }
        let key = ObjectRef { kind, namespace, name };
        self.contents.count += 1;
        if self.filter.wants(&Header::of(&key, &value)) {
            self.ours(piece, path, key, value);
        }
    }

    /// An object of one of our kinds that the reader wants.
    fn ours(&mut self, piece: Piece<'_>, path: &str, key: ObjectRef, value: Value) {
        let line = |field: &str| line_of(piece, path, field);
        for field in self.known.unknown(key.kind, &value) {
            self.problem(line(&field), Some(key.clone()), Cause::UnknownField(field));
        }
        let status_only = value.get("spec").is_none() && value.get("status").is_some();
        let read = if status_only { status(key.kind, &value) } else { whole(key.kind, &value) };
        match read {
            Ok(body) => self.contents.documents.push(Document { line: line(""), key, body }),
            Err((field, error)) => {
                let at = line(&field);
                let cause = Cause::Shape { field, message: error.to_string() };
                self.contents.broken = true;
                self.problem(at, Some(key), cause);
            }
        }
    }
}

/// The line of a field of the object at `path` in a document; without a field, its first line.
fn line_of(piece: Piece<'_>, path: &str, field: &str) -> usize {
    let line = match (path, field) {
        // Asked for every document there is, so not worth parsing it once more.
        ("", "") => 1 + piece.text.lines().take_while(|line| split::is_blank(line)).count(),
        _ => locate::line(piece.text, &format!("{path}.{field}")),
    };
    piece.lines_before + line
}

type Read = Result<Body, (String, serde_json::Error)>;

fn whole(kind: Kind, value: &Value) -> Read {
    match Object::deserialize(kind, value) {
        Ok(object) => Ok(Body::Whole(Arc::new(object))),
        Err(error) => Err((field_of(value, |value| Object::deserialize(kind, value).map(drop)), error)),
    }
}

fn status(kind: Kind, value: &Value) -> Read {
    let status = value.get("status").unwrap_or(&Value::Null);
    match Object::check_status(kind, status) {
        Ok(()) => Ok(Body::Status(Arc::new(status.clone()))),
        Err(error) => {
            let field = field_of(status, |status| Object::check_status(kind, status));
            Err((format!("status.{field}"), error))
        }
    }
}

/// The field at which `read` fails. Keeping track of it is slow, so it is done for bad documents only.
fn field_of(value: &Value, read: impl FnOnce(Tracked<'_, '_>) -> Result<(), serde_json::Error>) -> String {
    let mut track = serde_path_to_error::Track::new();
    // That it fails is known.
    drop(read(serde_path_to_error::Deserializer::new(value, &mut track)));
    track.path().to_string()
}

type Tracked<'v, 't> = serde_path_to_error::Deserializer<'t, 't, &'v Value>;

/// Drops fields that are null, as API servers do: null means that the field is not given.
fn drop_nulls(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            fields.retain(|_, value| !value.is_null());
            fields.values_mut().for_each(drop_nulls);
        }
        Value::Array(items) => items.iter_mut().for_each(drop_nulls),
        _ => {}
    }
}
