//! The suite `path` from end to end, with sizes that say nothing about speed: every layout stands, takes the way that
//! it claims, and comes to figures.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

mod common;

use std::fs;

use common::{quick, rows};

#[test]
fn every_layout_takes_its_way_and_has_figures() {
    let directory = tempfile::tempdir().unwrap();
    // A layout that takes another way than it claims is a failure of the whole section.
    let (_, report) = quick(&["path"], directory.path());
    let rows = |title: &str| rows(&report, title);
    assert_eq!(rows("Ways that were walked").len(), 32, "16 layouts, 2 families");
    for title in [
        "Round trips, TCP, 1 byte, one processor, IPv4",
        "Round trips, UDP, 1024 bytes, one processor, IPv6",
        "New TCP connections, one processor, IPv4",
        "Throughput, 1 stream, IPv4",
        "Throughput, 8 streams, IPv4",
    ] {
        let rows = rows(title);
        assert!(rows.len() > 10, "{title}: {rows:?}");
        for row in rows {
            // JSON has no infinity and no NaN: what is no number is null. Processor time is counted in ticks of 10 ms,
            // of which so few bytes may take none.
            let is_of_ticks =
                row["what"].as_str().is_some_and(|what| what.ends_with("processor time for a byte"));
            assert!(is_of_ticks || row["value"].is_f64() || row["value"].is_u64(), "{title}: {row}");
        }
    }
    assert_eq!(rows("iperf3 with its RTT column: one cluster against two").len(), 48);
    let plots = fs::read_dir(directory.path()).unwrap().flatten();
    let plots = plots.filter(|file| file.path().extension().is_some_and(|end| end == "svg")).count();
    assert!(plots > 10, "{plots} plots");
}
