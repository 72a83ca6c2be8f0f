//! What users may rely on, with the real programs on the real kernel: each test is a bed of clusters,
//! and real packets between all of its nodes, pods and Services.

#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

#[path = "../common/mod.rs"]
mod common;

mod bed;

mod addresses;
mod bench;
mod failover;
mod families;
mod fast_path;
mod lifecycle;
mod modes;
mod overlap;
mod refused;
mod services;
mod silent;
mod spoofed;
