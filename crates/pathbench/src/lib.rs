//! What paths between two machines cost, against each other: round trips, new connections, bytes.
//!
//! One end [serves](serve), the other [measures](measure) several addresses of that end, for example its address on
//! the underlay and its address inside a tunnel. Short slices of all paths follow each other in random order, and the
//! first path is measured under two names: what differs between those two is what the figures are worth. Quotients
//! are of slices of the same round only, so that what changes meanwhile meets all paths alike.

pub mod measure;
pub mod schedule;
pub mod serve;
pub mod statistics;

/// The port that is served if nobody says otherwise, TCP and UDP: next to those of the tunnels.
pub const PORT: u16 = 4879;
