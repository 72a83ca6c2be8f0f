//! What Causeway's programs measure of themselves, for Prometheus.
//!
//! ```text
//! programs ── add, set, observe ─▶ Metrics ─ text ─▶ GET /metrics
//!                                    ▲
//! kernel, prober ── read at a scrape ┘
//! ```
//!
//! Every metric is in the [`catalogue`], with its labels and its meaning; there is no other way to make one, and
//! `docs/metrics.md` is written from it. Nothing here does I/O or knows where the numbers come from.

pub mod catalogue;
pub mod docs;

mod page;
mod record;

pub use catalogue::{Kind, Metric, Program};
pub use page::{Page, Value};
pub use record::Metrics;

/// The media type of [`Metrics::text`].
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Label sets of one metric at most. What comes beyond is left out and counted, so that a scrape stays small
/// whatever the clusterset does.
pub const SERIES: usize = 256;
