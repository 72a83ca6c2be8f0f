//! Objects in a directory of YAML and JSON files, instead of in an API server.
//!
//! [`Store`] reads every `*.yaml`, `*.yml` and `*.json` below a directory and tells what changed;
//! [`Watcher`] says when to look again; [`Writer`] puts objects there. It is a source of the same
//! objects that an API server would give, and nothing above it knows the difference.
//!
//! A document that cannot be read is reported with file, line and field, and the others are used. What
//! a file held stays in force until the file reads well again or is gone: a half-written file never
//! means that something was removed.

mod document;
mod locate;
mod parallel;
mod problem;
mod scan;
mod split;
mod store;
mod text;
mod watch;
mod writer;

pub use causeway_api::{CausewayObject, Change, Kind, Object, ObjectRef, Objects};
pub use problem::{Cause, Location, OpenError, Problem, WriteError};
pub use store::{Filter, Header, Store};
pub use text::{Text, read_text};
pub use watch::{Hint, WatchError, Watcher};
pub use writer::{Outcome, Writer};
