//! The suites that bring whole clustersets up, from end to end, with sizes that say nothing about speed.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

mod common;

use common::{quick, rows};

#[test]
fn events_lead_to_traffic_and_programs_have_figures() {
    let directory = tempfile::tempdir().unwrap();
    let (said, report) = quick(&["converge", "memory", "fail"], directory.path());
    let figure = |title: &str, what: &str| {
        let rows = rows(&report, title);
        let row = rows.iter().find(|row| row["what"] == what);
        row.unwrap_or_else(|| panic!("{title}: {what}: {said}"))["value"].as_f64().unwrap()
    };
    for plane in ["in files", "at API servers"] {
        let title = format!("Changes of clusters, objects {plane}");
        for what in
            ["a mode switched: median", "a CIDR added or taken away: median", "a cluster joins: median"]
        {
            assert!(figure(&title, what) > 0.0, "{title}: {what}: {said}");
        }
    }
    let title = "Changes of clusters, objects at API servers";
    for what in [
        "a mode switched: writes at the hub",
        "a CIDR added or taken away: bytes that the hub tells to watches",
    ] {
        assert!(figure(title, what) >= 1.0, "{what}: {said}");
    }
    assert!(figure("Faults", "gateway killed: longest gap") > 0.0, "{said}");
    let verdict = "nothing, in a network that is well: time to the verdict";
    assert!(figure("Naming a cause", verdict) > 0.0, "{said}");
    for program in ["network-manager", "controller-manager", "agent of a gateway"] {
        let mib = figure("Idle programs", &format!("{program}: memory")) / (1024.0 * 1024.0);
        assert!((2.0..500.0).contains(&mib), "{program}: {mib} MiB");
    }
}
