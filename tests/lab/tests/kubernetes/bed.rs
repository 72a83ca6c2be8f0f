//! Beds with real control planes, and what is asked of them.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Duration;

use causeway_lab::{CheckOptions, Lab, Programs, wait_until};
use serde_json::Value;

use crate::common::{PROGRAM, topology};

/// How long anything may take: these machines may have two beds up, each with three API servers.
pub const LIMIT: Duration = Duration::from_secs(90);

/// A bed of which all is well.
pub fn well(test: &str, yaml: &str) -> Lab {
    let yaml = format!("controlPlane: kubernetes\n{yaml}");
    let lab = Lab::up(PROGRAM, topology(test, &yaml), Programs::beside(Path::new(PROGRAM))).unwrap();
    is_well(&lab);
    lab
}

/// Waits until everybody reaches whom they should, and nobody else.
pub fn is_well(lab: &Lab) {
    let report = lab.wait_until_ready(&CheckOptions::default(), LIMIT).unwrap();
    assert!(report.is_fine(), "{}", report.to_table());
}

/// Waits until that is so, though what was before a change may answer for a while.
pub fn becomes_well(lab: &Lab) {
    eventually("all to be well", || {
        let report = lab.check(&CheckOptions::default()).unwrap();
        if report.is_fine() { Ok(()) } else { Err(report.to_table()) }
    });
}

/// What kubectl prints; it must succeed.
pub fn kubectl(lab: &Lab, server: &str, arguments: &[&str]) -> String {
    let output = lab.kubectl(server, arguments).unwrap();
    assert!(output.status.success(), "kubectl {arguments:?} at {server}: {}", output.stderr);
    output.stdout
}

/// An object, or a list of them.
pub fn get(lab: &Lab, server: &str, arguments: &[&str]) -> Value {
    let text = kubectl(lab, server, &[&["get", "-o", "json"], arguments].concat());
    serde_json::from_str(&text).unwrap()
}

/// The names in a list.
pub fn names(lab: &Lab, server: &str, arguments: &[&str]) -> Vec<String> {
    let list = get(lab, server, arguments);
    list["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| item["metadata"]["name"].as_str().unwrap().to_owned())
        .collect()
}

/// A condition of an object as `STATUS REASON`.
pub fn condition(object: &Value, type_: &str) -> Option<String> {
    let found =
        object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == type_)?;
    Some(format!("{} {}", found["status"].as_str()?, found["reason"].as_str()?))
}

/// Waits until `holds`; what it returned last is said if it never does.
pub fn eventually(what: &str, mut holds: impl FnMut() -> Result<(), String>) {
    wait_until(what, LIMIT, || Ok(holds())).unwrap();
}

/// Waits until `value` gives what is expected.
pub fn becomes<T: PartialEq + std::fmt::Debug>(what: &str, expected: T, mut value: impl FnMut() -> T) {
    eventually(what, || {
        let now = value();
        if now == expected { Ok(()) } else { Err(format!("{now:?}")) }
    });
}

/// What is there of Causeway's kinds and of those that it writes beside them, each object under its kind, namespace and
/// name.
pub fn objects(lab: &Lab, server: &str) -> BTreeMap<String, Value> {
    let ours = match server {
        "hub" => "clustersets,clusters,clusternodes,nodeconfigs,clusterlinks,peerslices",
        _ => "clusternodes,nodeconfigs,clusterlinks,peerslices",
    };
    let others = "namespaces,serviceaccounts,roles,rolebindings,clusterroles,clusterrolebindings,secrets";
    let mut found = BTreeMap::new();
    for kinds in [ours, others] {
        for item in get(lab, server, &["-A", kinds])["items"].as_array().unwrap() {
            let meta = &item["metadata"];
            let id = format!("{} {} {}", item["kind"], meta["namespace"], meta["name"]);
            found.insert(id, item.clone());
        }
    }
    found
}

/// The objects that were written between `before` and `after`, as they were and as they are.
pub fn written(before: &BTreeMap<String, Value>, after: &BTreeMap<String, Value>) -> Vec<String> {
    let ids: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
    let differ = ids.into_iter().filter(|id| before.get(*id) != after.get(*id));
    let show = |object: Option<&Value>| object.map_or("nothing".to_owned(), Value::to_string);
    differ.map(|id| format!("{id}: {}\nnow {}", show(before.get(id)), show(after.get(id)))).collect()
}

/// Waits until nothing was written at the servers for a while, and returns what there is then.
pub fn settled(lab: &Lab, servers: &[&str]) -> Vec<BTreeMap<String, Value>> {
    let all = || servers.iter().map(|server| objects(lab, server)).collect::<Vec<_>>();
    let mut before = all();
    let mut since = std::time::Instant::now();
    eventually("nothing to be written for five seconds", || {
        let now = all();
        if now != before {
            (before, since) = (now, std::time::Instant::now());
        }
        if since.elapsed() > Duration::from_secs(5) { Ok(()) } else { Err("still writing".to_owned()) }
    });
    before
}
