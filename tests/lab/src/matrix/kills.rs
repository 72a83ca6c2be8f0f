//! A gateway dies, again and again: the one that carries most flows, and after each the agents that use it start
//! anew, so that none remembers an earlier death.

use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use super::act::perform;
use super::judge::{Measured, Moved};
use super::paths::{Path, Streams};
use super::row::{Act, Bound};
use super::run::{Matrix, moved_besides};
use super::users;
use crate::error::Result;

/// How long traffic may be without a way, each time.
pub(super) const BOUND: Bound = Bound::Within(500);
/// How long packets go on after the last node has turned away from the dead gateway.
const AFTER: Duration = Duration::from_millis(300);

/// The paths that lead over gateways.
const HIT: &[Path] = &[Path::Remote, Path::Internal];
const SPARED: &[Path] = &[Path::Elsewhere];

pub(super) fn run(matrix: &Matrix) -> Result<Measured> {
    let lab = &matrix.lab;
    matrix.refresh_users()?;
    let streams = Streams::start(lab, HIT.iter().chain(SPARED).copied(), true)?;
    let mut times = Vec::new();
    let mut moved = Moved::default();
    for _ in 0..matrix.settings.kills {
        let before = users::carried(lab)?;
        let gateway = users::busiest(lab, &before)?;
        times.push(now());
        perform(lab, &[Act::Fault("kill {gateway}")], gateway)?;
        matrix.wait_until_left(gateway)?;
        thread::sleep(AFTER);
        let more = moved_besides(&before, &users::carried(lab)?, &users::overlay(lab, gateway)?);
        moved = Moved { stayed: moved.stayed + more.stayed, moved: moved.moved + more.moved };
        perform(lab, &[Act::Fault("revive {gateway}")], gateway)?;
        // Agents that start anew use all gateways at once, also one whose neighbours still look for it.
        matrix.wait_for_groups()?;
        matrix.refresh_users()?;
    }
    let reports = streams.finish()?;
    let all = [HIT, SPARED].concat();
    Ok(Measured {
        sent: reports.sent(&all),
        lost: reports.lost(&all),
        spared_lost: reports.lost(SPARED),
        outages: reports.longest_after(&times, HIT),
        took: None,
        by: "failover on each node".to_owned(),
        moved: Some(moved),
        broken: reports.broken(&all),
        misses: Vec::new(),
    })
}

/// Microseconds of the Unix epoch.
fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64
}
