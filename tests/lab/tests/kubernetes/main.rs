//! Causeway on real API servers: a hub and a control plane for each cluster, every program with just its
//! ServiceAccount's rights, and real packets between all nodes, pods and Services.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../common/mod.rs"]
mod common;

mod bed;

mod away;
mod disk;
mod doctor;
mod facts;
mod leave;
mod metrics;
mod real;
mod steady;
