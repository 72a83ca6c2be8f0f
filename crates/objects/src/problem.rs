//! What can be wrong with files and documents.

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use causeway_api::{API_VERSION, GROUP, Kind, ObjectRef};

/// A place in a file.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Location {
    /// The file.
    pub file: Arc<PathBuf>,
    /// The line, counted from 1; 0 for the file as a whole.
    pub line: usize,
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

/// Something that keeps a file, a document or a field from being used.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Problem {
    /// Where.
    pub location: Location,
    /// The object, as far as the document says which.
    pub object: Option<ObjectRef>,
    /// What is wrong.
    pub cause: Cause,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: ", self.location)?;
        if let Some(object) = &self.object {
            write!(f, "{object}: ")?;
        }
        self.cause.fmt(f)
    }
}

/// What is wrong.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, thiserror::Error)]
pub enum Cause {
    /// The file or folder cannot be read.
    #[error("cannot be read: {0}; what it held stays in force")]
    Unreadable(String),
    /// The file held objects and is empty now.
    #[error("is empty; what it held stays in force. Delete the file to remove its objects")]
    Emptied,
    /// The text is no YAML or JSON.
    #[error("cannot be parsed: {0}")]
    Syntax(String),
    /// The document is a list or a single value.
    #[error("is not an object; it needs apiVersion, kind, metadata and spec")]
    NotAnObject,
    /// The document does not say what it is.
    #[error("has no {0}")]
    Missing(&'static str),
    /// Our group, but no kind or version of it that is known here.
    #[error("{api_version} {kind} is not known here; group {GROUP} has {} of {API_VERSION}", kinds())]
    UnknownKind {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
    /// A field has a value of another type, or is missing.
    #[error("{field}: {message}")]
    Shape {
        /// The field, as a path such as `spec.podCIDRs[1]`; `.` for the document.
        field: String,
        /// What is wrong with it.
        message: String,
    },
    /// The kind does not have this field. It is ignored; the rest of the object is used.
    #[error("{0}: there is no such field; it is ignored")]
    UnknownField(String),
    /// Another document has the same object; the first one by path is used.
    #[error("is not used: the same object is in {0} too, which comes first")]
    Duplicate(Location),
}

impl Cause {
    /// Whether the object is used all the same.
    pub fn is_warning(&self) -> bool {
        matches!(self, Cause::UnknownField(_))
    }
}

fn kinds() -> String {
    Kind::ALL.map(Kind::as_str).join(", ")
}

/// Why a directory cannot be used at all.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not there or cannot be read.
    #[error("cannot read directory {}; give one that exists", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
    /// The fields of our kinds are not known; a defect of this program.
    #[error(transparent)]
    Fields(#[from] causeway_api::crd::GenerateError),
}

/// Why an object was not written or removed.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// Its name or namespace is no file name, or is missing.
    #[error(
        "{0} cannot be a file: name and, for kinds in namespaces, namespace are needed, without \"/\" and leading \".\""
    )]
    Name(ObjectRef),
    /// It cannot be written as YAML.
    #[error("{object} cannot be written as YAML")]
    Yaml {
        /// The object.
        object: ObjectRef,
        /// What is wrong.
        source: serde_saphyr::SerializeError,
    },
    /// The file system refused.
    #[error("cannot {operation} {}", path.display())]
    File {
        /// What was tried: `write` or `remove`.
        operation: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// What is wrong.
        source: io::Error,
    },
}
