//! Beds with Causeway running, and what is asked of them.

use std::path::Path;

use causeway_lab::{CheckOptions, Lab, Programs, Report, wait_until};
use serde_json::Value;

use crate::common::{LIMIT, PROGRAM, topology};

/// A bed with network-manager and agents.
pub fn linked(test: &str, yaml: &str) -> Lab {
    Lab::up(PROGRAM, topology(test, yaml), Programs::beside(Path::new(PROGRAM))).unwrap()
}

/// Waits until everybody reaches whom they should, and nobody else; the full check.
pub fn all_is_well(lab: &Lab) -> Report {
    let report = lab.wait_until_ready(&CheckOptions::default(), LIMIT).unwrap();
    assert!(report.is_fine(), "{}", report.to_table());
    report
}

/// Waits until the full check finds nothing: right after a change, the state before it may still answer.
pub fn becomes_well(lab: &Lab) {
    passes(lab, &CheckOptions::default());
}

/// The same of a part of the bed.
pub fn passes(lab: &Lab, options: &CheckOptions) {
    eventually("all that is checked to be well", || {
        let report = lab.check(options).unwrap();
        if report.is_fine() { Ok(()) } else { Err(report.to_table()) }
    });
}

/// A bed of which all is well.
pub fn well(test: &str, yaml: &str) -> Lab {
    let lab = linked(test, yaml);
    all_is_well(&lab);
    lab
}

/// Waits until `from` reaches `to` in every family that both have.
pub fn reaches(lab: &Lab, from: &str, to: &str) {
    let options =
        CheckOptions { from: vec![from.to_owned()], to: vec![to.to_owned()], ..CheckOptions::default() };
    let report = lab.wait_until_ready(&options, LIMIT).unwrap();
    assert!(report.is_fine(), "{}", report.to_table());
}

/// An object that the bed's programs or its file wrote: a path below the objects directory.
pub fn object(lab: &Lab, path: &str) -> Option<Value> {
    let file = lab.objects_dir().join(path);
    if file.exists() { lab.objects().read(&file).ok() } else { None }
}

/// A condition as `STATUS REASON`, with its message.
fn condition(object: &Value, type_: &str) -> Option<(String, String)> {
    let conditions = object["status"]["conditions"].as_array()?;
    let found = conditions.iter().find(|c| c["type"] == type_)?;
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Some((format!("{} {}", text("status"), text("reason")), text("message")))
}

/// Waits until the object at `path` has the condition `type_` with this status and reason; its message.
pub fn wait_for_condition(lab: &Lab, path: &str, type_: &str, expected: &str) -> String {
    wait_until(&format!("{path}: {type_} {expected}"), LIMIT, || {
        let now = object(lab, path).and_then(|object| condition(&object, type_));
        Ok(match now {
            Some((state, message)) if state == expected => Ok(message),
            other => Err(format!("{other:?}")),
        })
    })
    .unwrap()
}

/// Waits until `holds`; what it returned last is said if it never does.
pub fn eventually(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    wait_until(what, LIMIT, || Ok(holds())).unwrap();
}
