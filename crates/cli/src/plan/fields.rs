//! The fields in which two versions of an object differ.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

/// A field that changes.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
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
    fn bookkeeping_is_no_change() {
        let before = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "a"}]});
        let after = json!({
            "observedGeneration": 2,
            "conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": "b"}],
        });
        assert_eq!(differences("status", &before, &after), []);
    }
}
