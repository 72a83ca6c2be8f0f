//! The whole state of a network namespace, in an order and with values that two snapshots can be
//! compared by: what counts or ages is left out.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::error::{LabError, Result};
use crate::namespace::Namespace;
use crate::state::{from_json, to_json};

/// What is asked, by the name under which the snapshot keeps it.
const QUESTIONS: &[(&str, &[&str])] = &[
    ("links", &["ip", "-json", "-details", "link", "show"]),
    ("addresses", &["ip", "-json", "address", "show"]),
    ("routes4", &["ip", "-json", "-4", "route", "show", "table", "all"]),
    ("routes6", &["ip", "-json", "-6", "route", "show", "table", "all"]),
    ("rules4", &["ip", "-json", "-4", "rule", "show"]),
    ("rules6", &["ip", "-json", "-6", "rule", "show"]),
    ("nexthops", &["ip", "-json", "nexthop", "show"]),
    ("permanentNeighbours", &["ip", "-json", "neighbour", "show", "nud", "permanent"]),
    ("fdb", &["bridge", "-json", "fdb", "show"]),
    ("nftables", &["nft", "-j", "-s", "list", "ruleset"]),
];

/// Fields that change by themselves.
const RESTLESS: &[&str] = &[
    "used",
    "refcnt",
    "expires",
    "preferred_life_time",
    "valid_life_time",
    "operstate",
    "metainfo",
    "gc_timer",
    "hello_timer",
    "tcn_timer",
    "hold_timer",
    "forward_delay_timer",
    "message_age_timer",
    "topology_change_timer",
    "unbalanced_time",
];

/// Sysctls below `/proc/sys/net` that are read: those that an overlay may touch.
const SYSCTLS: &[&str] = &[
    "ip_forward",
    "forwarding",
    "rp_filter",
    "accept_redirects",
    "send_redirects",
    "secure_redirects",
    "proxy_ndp",
    "accept_local",
    "src_valid_mark",
];

/// Takes a snapshot, as JSON.
pub(crate) fn take(namespace: &Namespace) -> Result<String> {
    let mut snapshot: BTreeMap<String, Value> = BTreeMap::new();
    for (name, question) in QUESTIONS.iter().copied() {
        let text = namespace.output(question)?;
        let text = if text.trim().is_empty() { "[]" } else { text.as_str() };
        let mut answer: Value = from_json(text, &question.join(" "))?;
        settle(&mut answer);
        snapshot.insert(name.to_owned(), answer);
    }
    snapshot.insert("sysctls".to_owned(), namespace.within(|| Ok(sysctls()))?);
    to_json(&snapshot, "the snapshot")
}

/// Removes what changes by itself.
fn settle(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            // What rules have put into a set or map, for a time.
            if fields.contains_key("timeout") {
                fields.remove("elem");
            }
            RESTLESS.iter().for_each(|name| drop(fields.remove(*name)));
            fields.values_mut().for_each(settle);
        }
        Value::Array(items) => items.iter_mut().for_each(settle),
        _ => {}
    }
}

/// A snapshot without the numbers that the kernel, or who writes to it, gives to what is made anew: interface indexes,
/// handles, numbers of next hops, and the digests of rules, which speak of indexes. What refers to a next hop says what it is instead.
pub(crate) fn without_numbers(snapshot: &Value) -> Value {
    let empty = Vec::new();
    let hops = snapshot["nexthops"].as_array().unwrap_or(&empty);
    let single = |hop: &Value| format!("{} {} {}", hop["gateway"], hop["dev"], hop["protocol"]);
    let mut names: BTreeMap<u64, String> = BTreeMap::new();
    for hop in hops.iter().filter(|hop| hop["group"].is_null()) {
        names.extend(hop["id"].as_u64().map(|id| (id, single(hop))));
    }
    let groups = hops.iter().filter_map(|hop| Some((hop["id"].as_u64()?, hop["group"].as_array()?)));
    let groups: Vec<(u64, String)> = groups
        .map(|(id, members)| {
            let of = |member: &Value| {
                member["id"].as_u64().and_then(|id| names.get(&id).cloned()).unwrap_or_default()
            };
            let mut members: Vec<String> = members.iter().map(of).collect();
            members.sort();
            (id, members.join(", "))
        })
        .collect();
    names.extend(groups);
    let mut value = snapshot.clone();
    strip(&mut value, &names);
    value
}

fn strip(value: &mut Value, names: &BTreeMap<u64, String>) {
    match value {
        Value::Object(fields) => {
            ["ifindex", "handle"].iter().for_each(|number| drop(fields.remove(*number)));
            for (field, value) in fields.iter_mut() {
                strip(value, names);
                let name =
                    value.as_u64().and_then(|id| names.get(&id)).filter(|_| field == "id" || field == "nhid");
                if let Some(name) = name {
                    *value = Value::String(name.clone());
                }
                if let Some((words, _)) =
                    value.as_str().filter(|_| field == "comment").and_then(|text| text.rsplit_once(" #"))
                {
                    *value = Value::String(words.to_owned());
                }
                // Members stand in the order of their numbers.
                if let Some(members) =
                    value.as_array_mut().filter(|_| field == "group" || field == "nexthops")
                {
                    members.sort_by_key(Value::to_string);
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(|value| strip(value, names)),
        _ => {}
    }
}

fn sysctls() -> Value {
    let mut found = BTreeMap::new();
    for root in ["ipv4", "ipv4/conf", "ipv6/conf"] {
        collect(&Path::new("/proc/sys/net").join(root), &mut found);
    }
    Value::Object(found.into_iter().map(|(key, value)| (key, Value::String(value))).collect())
}

fn collect(directory: &Path, found: &mut BTreeMap<String, String>) {
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if path.is_dir() && directory.ends_with("conf") {
            collect(&path, found);
        } else if SYSCTLS.iter().any(|s| *s == name) {
            let value = fs::read_to_string(&path).unwrap_or_default();
            found.insert(path.display().to_string(), value.trim().to_owned());
        }
    }
}

/// Two snapshots as text, one line for each difference; empty if there is none.
pub(crate) fn difference(before: &Value, after: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    compare("", before, after, &mut lines);
    lines
}

fn compare(path: &str, before: &Value, after: &Value, lines: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(a), Value::Object(b)) => {
            let keys: std::collections::BTreeSet<&String> = a.keys().chain(b.keys()).collect();
            for key in keys {
                let null = Value::Null;
                compare(
                    &format!("{path}/{key}"),
                    a.get(key).unwrap_or(&null),
                    b.get(key).unwrap_or(&null),
                    lines,
                );
            }
        }
        (Value::Array(a), Value::Array(b)) => {
            let surplus = |a: &[Value], b: &[Value], word: &str| -> Vec<String> {
                let mut left: Vec<&Value> = b.iter().collect();
                let mut more = Vec::new();
                for item in a {
                    match left.iter().position(|other| *other == item) {
                        Some(at) => drop(left.swap_remove(at)),
                        None => more.push(format!("{path}: {word}: {item}")),
                    }
                }
                more
            };
            let known = lines.len();
            lines.extend(surplus(a, b, "gone"));
            lines.extend(surplus(b, a, "new"));
            if lines.len() == known && path == "/nftables/nftables" && rules(a) != rules(b) {
                lines.push(format!("{path}: rules in another order"));
            }
        }
        _ if before != after => lines.push(format!("{path}: {before} became {after}")),
        _ => {}
    }
}

/// The rules of each chain of `nft -j list ruleset`, as they follow one another: only there does the order
/// mean something. Which table was loaded first is no matter.
fn rules(ruleset: &[Value]) -> BTreeMap<[&str; 3], Vec<&Value>> {
    let mut found: BTreeMap<[&str; 3], Vec<&Value>> = BTreeMap::new();
    for rule in ruleset.iter().filter_map(|object| object.get("rule")) {
        let chain = ["family", "table", "chain"].map(|part| rule[part].as_str().unwrap_or_default());
        found.entry(chain).or_default().push(rule);
    }
    found
}

/// Reads what [`take`] printed.
pub(crate) fn parse(text: &str) -> Result<Value> {
    serde_json::from_str(text)
        .map_err(|e| LabError::Document { what: "the snapshot".to_owned(), message: e.to_string() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn snapshot(ids: [u64; 3]) -> Value {
        let [a, b, group] = ids;
        json!({
            "nexthops": [
                {"id": a, "gateway": "198.18.1.1", "dev": "vx-bridge"},
                {"id": b, "gateway": "198.18.1.2", "dev": "vx-bridge"},
                {"id": group, "group": [{"id": a.min(b)}, {"id": a.max(b)}]},
            ],
            "routes4": [{"dst": "10.2.0.0/16", "nhid": group}],
        })
    }

    #[test]
    fn next_hops_are_told_apart_by_what_they_are_and_not_by_their_numbers() {
        let (one, other) = (snapshot([1, 2, 9]), snapshot([7, 3, 4]));
        assert!(!difference(&one, &other).is_empty());
        assert_eq!(difference(&without_numbers(&one), &without_numbers(&other)), Vec::<String>::new());
        let mut moved = snapshot([7, 3, 4]);
        moved["nexthops"][1]["gateway"] = json!("198.18.1.3");
        assert!(!difference(&without_numbers(&one), &without_numbers(&moved)).is_empty());
        let mut lost = snapshot([7, 3, 4]);
        lost["routes4"][0]["nhid"] = json!(3);
        assert!(!difference(&without_numbers(&one), &without_numbers(&lost)).is_empty());
    }

    #[test]
    fn the_order_of_rules_counts_and_that_of_tables_does_not() {
        let table = |name: &str, verdicts: [&str; 2]| {
            let rule = |verdict: &str| json!({"rule": {"family": "ip", "table": name, "chain": "c", "expr": [{verdict: null}]}});
            [json!({"table": {"family": "ip", "name": name}}), rule(verdicts[0]), rule(verdicts[1])]
        };
        let ruleset = |tables: [[Value; 3]; 2]| json!({"nftables": {"nftables": tables.concat()}});
        let ours = || table("ours", ["accept", "drop"]);
        let theirs = || table("theirs", ["accept", "drop"]);
        let before = ruleset([ours(), theirs()]);
        assert_eq!(difference(&before, &ruleset([theirs(), ours()])), Vec::<String>::new());
        assert!(!difference(&before, &ruleset([table("ours", ["drop", "accept"]), theirs()])).is_empty());
    }
}
