//! Speaking to an API server: connect, watch, write, hold a Lease.
//!
//! [`Watches`] runs any number of watches and says what changed, also across reconnects and re-lists;
//! [`Replica`] keeps our own objects up to date with them and speaks in the same
//! [`Change`](causeway_api::Change)s as a directory of files does. [`Writer`] applies objects and
//! statuses with server-side apply. [`Lease`] says who of several is the active one.
//!
//! Nothing here decides anything about clusters, nodes or plans.

mod account;
mod connect;
mod error;
mod events;
mod lasting;
mod lease;
mod meter;
mod problem;
mod queue;
mod register;
mod replica;
mod watches;
mod write;

pub use account::{dry_run_error, request_token};
pub use connect::{Access, ConnectError, authorities, connect, connect_with};
pub use error::{RequestError, Trouble};
pub use events::{Events, News, Publisher, news, reference};
pub use kube_client::Client;
pub use kube_client::core::DynamicObject;
pub use lasting::{LASTS, Lasting};
pub use lease::{Held, Lease, LeaseError, LeaseSettings};
pub use meter::Meter;
pub use problem::{Failures, LeaseTrouble, Problem, merged, problems};
pub use queue::Queue;
pub use register::{Given, NameRef, ensure, remove};
pub use replica::{Replica, Selection, read_object};
pub use watches::{ObjectName, Resource, Update, Watches};
pub use write::Writer;
