//! The fields in which two versions of an object differ.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

/// A field that changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct FieldChange {
    /// Its path, such as `spec.prefixes[2].cidr`.
    pub field: String,
    /// Its value before; absent where the field is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// Its value after; absent where the field goes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

impl FieldChange {
    /// Whether another field says enough for people: a condition's status stands for its type, reason and
    /// message.
    fn is_detail(&self) -> bool {
        self.field.contains("conditions[") && !self.field.ends_with(".status")
    }
}

/// The same changes for people: an item of a list that comes or goes as a whole is one change, and what
/// says no more than another one is left out.
pub fn in_short(changes: &[FieldChange]) -> Vec<String> {
    let item = |change: &FieldChange| {
        let whole = change.before.is_none() || change.after.is_none();
        let item = [".node", ".cidr", ".type"].iter().find_map(|name| change.field.strip_suffix(name));
        item.filter(|item| whole && item.ends_with(']')).map(str::to_owned)
    };
    let items: Vec<String> = changes.iter().filter_map(item).collect();
    let inside = |change: &FieldChange| items.iter().any(|item| change.field.starts_with(item.as_str()));
    let mut lines = Vec::new();
    for change in changes {
        if let Some(item) = item(change).filter(|item| !item.contains("conditions[")) {
            lines.push(format!("{}{item}", if change.before.is_none() { '+' } else { '-' }));
        } else if !change.is_detail() && (change.field.contains("conditions[") || !inside(change)) {
            lines.push(change.to_string());
        }
    }
    lines
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let FieldChange { field, before, after } = self;
        let one = |f: &mut fmt::Formatter<'_>, sign: char, value: &str| {
            // An item that is its own key needs no value.
            let keyed = field.ends_with(&format!("[{value}]"));
            if keyed { write!(f, "{sign}{field}") } else { write!(f, "{sign}{field}: {value}") }
        };
        match (before, after) {
            (Some(before), Some(after)) => write!(f, "{field}: {before} -> {after}"),
            (None, Some(after)) => one(f, '+', after),
            (Some(before), None) => one(f, '-', before),
            (None, None) => f.write_str(field),
        }
    }
}

/// Fields that say when and for which version something was written, not what.
const BOOKKEEPING: [&str; 2] = ["lastTransitionTime", "observedGeneration"];

/// Where `before` and `after` differ, below the field `root`, in order.
pub fn differences<B: Serialize, A: Serialize>(root: &str, before: &B, after: &A) -> Vec<FieldChange> {
    let (mut old, mut new) = (BTreeMap::new(), BTreeMap::new());
    flatten(root, &serde_json::to_value(before).unwrap_or_default(), &mut old);
    flatten(root, &serde_json::to_value(after).unwrap_or_default(), &mut new);
    let mut fields: Vec<&String> = old.keys().chain(new.keys()).collect();
    fields.sort_unstable();
    fields.dedup();
    let changed = fields.into_iter().filter(|field| old.get(*field) != new.get(*field));
    changed
        .map(|field| FieldChange {
            field: field.clone(),
            before: old.get(field).cloned(),
            after: new.get(field).cloned(),
        })
        .collect()
}

fn flatten(path: &str, value: &Value, into: &mut BTreeMap<String, String>) {
    match value {
        Value::Null => {}
        Value::Object(fields) => {
            for (name, inner) in fields.iter().filter(|(name, _)| !BOOKKEEPING.contains(&name.as_str())) {
                let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                flatten(&path, inner, into);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                flatten(&format!("{path}[{}]", key(item).unwrap_or_else(|| index.to_string())), item, into);
            }
        }
        Value::String(text) => drop(into.insert(path.to_owned(), text.clone())),
        Value::Bool(_) | Value::Number(_) => drop(into.insert(path.to_owned(), value.to_string())),
    }
}

/// What tells an item of a list from the others, so that one more of them is one change: a condition's
/// type, a peer's node, a prefix, or the value itself.
fn key(item: &Value) -> Option<String> {
    let named = |name: &str| item.get(name).and_then(Value::as_str);
    let keyed = named("type").or(named("node")).or(named("cidr"));
    keyed.or(item.as_str()).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn items_are_told_apart_by_what_they_are_not_by_their_place() {
        let before = json!({"prefixes": [{"cidr": "10.1.0.0/16", "via": "Nodes"}], "old": 1, "same": "x"});
        let after = json!({
            "prefixes": [{"cidr": "10.0.0.0/16", "via": "Nodes"}, {"cidr": "10.1.0.0/16", "via": "Gateways"}],
            "same": "x",
        });
        let shown: Vec<String> = differences("spec", &before, &after)
            .into_iter()
            .map(|c| format!("{} {:?} {:?}", c.field, c.before.as_deref(), c.after.as_deref()))
            .collect();
        assert_eq!(
            shown,
            [
                r#"spec.old Some("1") None"#,
                r#"spec.prefixes[10.0.0.0/16].cidr None Some("10.0.0.0/16")"#,
                r#"spec.prefixes[10.0.0.0/16].via None Some("Nodes")"#,
                r#"spec.prefixes[10.1.0.0/16].via Some("Nodes") Some("Gateways")"#,
            ]
        );
    }

    #[test]
    fn for_people_an_item_that_comes_or_goes_is_one_change() {
        let before =
            json!({"peers": [{"node": "a", "underlay": ["192.0.2.1"]}], "podCIDRs": ["10.1.0.0/16"]});
        let after = json!({
            "peers": [{"node": "b", "underlay": ["192.0.2.2"]}],
            "podCIDRs": ["10.2.0.0/16"],
            "conditions": [{"type": "Ready", "status": "True", "reason": "Ready"}],
        });
        assert_eq!(
            in_short(&differences("spec", &before, &after)),
            [
                "+spec.conditions[Ready].status: True",
                "-spec.peers[a]",
                "+spec.peers[b]",
                "-spec.podCIDRs[10.1.0.0/16]",
                "+spec.podCIDRs[10.2.0.0/16]",
            ]
        );
    }

    #[test]
    fn bookkeeping_is_no_change() {
        let before = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "a"}]});
        let after = json!({
            "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "b"}],
        });
        assert_eq!(differences("status", &before, &after), []);
    }
}
