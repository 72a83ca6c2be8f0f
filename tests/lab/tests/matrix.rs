//! One case of every row of the fault matrix, by the code that `make faults` runs. Whether it was in time is a question
//! for the report; here it has to come about, and nothing may be lost where nothing may.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

mod common;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Duration;

use causeway_lab::Programs;
use causeway_lab::matrix::{Class, Matrix, Settings, rows};
use common::{PROGRAM, causeway_lab};

const SETTINGS: Settings = Settings { kills: 2, busy: Duration::from_secs(10) };

fn every_row_of(classes: &[Class], name: &str) {
    let name = format!("{name}-{}", std::process::id());
    let matrix =
        Matrix::up(Path::new(PROGRAM), Programs::beside(Path::new(PROGRAM)), &name, SETTINGS).unwrap();
    let mut failed = Vec::new();
    for row in rows().into_iter().filter(|row| classes.contains(&row.class)) {
        let outcome = matrix.run(&row);
        if !outcome.misses.is_empty() {
            failed.push(format!("{}: {}", row.name, outcome.misses.join("; ")));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn traffic_leaves_gateways_that_die_and_stays_on_those_that_only_seem_to() {
    every_row_of(&[Class::Failover], "matrix-failover");
}

#[test]
fn whatever_others_change_of_ours_is_put_right() {
    every_row_of(&[Class::Drift], "matrix-drift");
}

#[test]
fn programs_come_and_go_and_the_underlay_changes() {
    every_row_of(&[Class::Hitless, Class::Underlay], "matrix-hitless");
}

#[test]
fn a_busy_machine_takes_no_gateway_for_dead() {
    every_row_of(&[Class::Load], "matrix-load");
}

#[test]
fn rows_have_names_of_their_own_and_are_chosen_by_them() {
    let names: Vec<&str> = rows().iter().map(|row| row.name).collect();
    assert_eq!(names.iter().collect::<BTreeSet<_>>().len(), names.len());
    let listed = causeway_lab(&["faults", "--list"]);
    let listed = String::from_utf8(listed.stdout).unwrap();
    assert!(names.iter().all(|name| listed.contains(name)), "{listed}");
    let unknown = causeway_lab(&["faults", "--only", "nonsense"]);
    assert_eq!(unknown.status.code(), Some(2), "{unknown:?}");
}
