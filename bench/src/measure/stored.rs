//! The size of an object as an API server stores it: what the manager writes, and what the server
//! adds to its metadata.

use anyhow::Result;
use serde::Serialize;
use serde_json::{Map, Value, json};

/// Bytes of JSON of `object` when it is stored.
///
/// # Errors
/// If it cannot be written as JSON.
pub fn stored_size(object: &impl Serialize) -> Result<u64> {
    let mut value = serde_json::to_value(object)?;
    let fields = managed(&value);
    if let Some(metadata) = value.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.extend(added_by_server(fields));
    }
    Ok(serde_json::to_vec(&value)?.len() as u64)
}

/// What an API server adds to the metadata of an object that one manager applies.
fn added_by_server(fields: Value) -> Map<String, Value> {
    let added = json!({
        "uid": "3c6b2a5e-6f0e-4c0a-9f57-0d6f8a1b2c3d",
        "creationTimestamp": "2026-11-23T05:00:00Z",
        "generation": 1000,
        "resourceVersion": "123456789",
        "managedFields": [{
            "manager": "causeway-network-manager",
            "operation": "Apply",
            "apiVersion": "causeway.dev/v1alpha1",
            "time": "2026-11-23T05:00:00Z",
            "fieldsType": "FieldsV1",
            "fieldsV1": fields,
        }],
    });
    match added {
        Value::Object(added) => added,
        _ => Map::new(),
    }
}

/// The fields that the manager owns, as `fieldsV1` writes them. All our lists are atomic: owned as a
/// whole. What identifies the object is owned by nobody.
fn managed(value: &Value) -> Value {
    fn of(value: &Value, top: bool) -> Value {
        let Value::Object(object) = value else { return json!({}) };
        let identity = ["apiVersion", "kind", "name", "namespace"];
        let owned = object.iter().filter(|(key, _)| !(top && identity.contains(&key.as_str())));
        let inner = |key: &str, value| of(value, top && key == "metadata");
        Value::Object(owned.map(|(key, value)| (format!("f:{key}"), inner(key, value))).collect())
    }
    of(value, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn owned_fields_are_named_down_to_lists_and_values() {
        let object = json!({
            "apiVersion": "causeway.dev/v1alpha1",
            "kind": "NodeConfig",
            "metadata": {"name": "n", "namespace": "ns", "labels": {"a": "b"}},
            "spec": {"role": "Node", "underlay": ["192.0.2.1"], "tunnels": {"bridge": {"vni": 54}}},
        });
        let expected = json!({
            "f:metadata": {"f:labels": {"f:a": {}}},
            "f:spec": {"f:role": {}, "f:underlay": {}, "f:tunnels": {"f:bridge": {"f:vni": {}}}},
        });
        assert_eq!(managed(&object), expected);
    }

    #[test]
    fn a_stored_object_is_larger_than_what_was_written() {
        let object = json!({"metadata": {"name": "n"}, "spec": {"role": "Node"}});
        let written = serde_json::to_vec(&object).unwrap().len() as u64;
        assert!(stored_size(&object).unwrap() > written + 300);
    }
}
