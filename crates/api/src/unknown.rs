//! Fields that a kind does not have. They do no harm and are ignored; a user who mistyped one wants to
//! be told.

use serde_json::Value;

use crate::Kind;
use crate::crd::{self, GenerateError};

/// The schemas to compare objects with, one per kind.
#[derive(Clone, Debug)]
pub struct KnownFields {
    schemas: Vec<(Kind, Value)>,
}

impl KnownFields {
    /// The fields of all kinds.
    ///
    /// # Errors
    /// As [`crd::definition`].
    pub fn new() -> Result<KnownFields, GenerateError> {
        let schemas = Kind::ALL.into_iter().map(|kind| Ok((kind, crd::schema(kind)?)));
        Ok(KnownFields { schemas: schemas.collect::<Result<_, GenerateError>>()? })
    }

    /// Paths of the fields in `object` that `kind` does not have, such as `spec.podCidrs`, in order.
    /// `metadata` is not looked into.
    pub fn unknown(&self, kind: Kind, object: &Value) -> Vec<String> {
        let mut found = Vec::new();
        if let Some((_, schema)) = self.schemas.iter().find(|(k, _)| *k == kind)
            && !all_known(schema, object, true)
        {
            compare(schema, object, "", &mut found);
        }
        found
    }
}

/// What is below a field of the schema. Maps with free keys, and objects that the definition leaves
/// open, as metadata is, have no properties.
fn below<'s>(schema: &'s Value, root: bool, name: &str) -> Option<&'s Value> {
    let open = root && matches!(name, "apiVersion" | "kind" | "metadata");
    if open { Some(&Value::Null) } else { schema.get("properties")?.get(name) }
}

/// Whether every field is known: the answer for nearly all objects, without the cost of paths.
fn all_known(schema: &Value, value: &Value, root: bool) -> bool {
    match value {
        Value::Object(fields) => {
            schema.get("properties").is_none()
                || fields.iter().all(|(name, inner)| {
                    below(schema, root, name).is_some_and(|schema| all_known(schema, inner, false))
                })
        }
        Value::Array(items) => {
            schema.get("items").is_none_or(|schema| items.iter().all(|item| all_known(schema, item, false)))
        }
        _ => true,
    }
}

fn compare(schema: &Value, value: &Value, path: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) if schema.get("properties").is_some() => {
            for (name, inner) in fields {
                let inner_path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
                match below(schema, path.is_empty(), name) {
                    Some(schema) => compare(schema, inner, &inner_path, found),
                    None => found.push(inner_path),
                }
            }
        }
        Value::Array(items) => {
            let Some(schema) = schema.get("items") else { return };
            for (index, item) in items.iter().enumerate() {
                compare(schema, item, &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn mistyped_fields_are_named_with_their_path() {
        let object = json!({
            "apiVersion": crate::API_VERSION,
            "kind": "Cluster",
            "metadata": {"name": "east", "labels": {"anything": "goes"}},
            "spec": {
                "podCidrs": ["10.0.0.0/8"],
                "gateways": {"count": 2, "selector": {}},
                "nodeSelector": {"matchLabels": {"free": "key"}},
                "globalCIDRs": {"mode": "Map", "map": [{"cidr": "10.0.0.0/8", "globl": "11.0.0.0/8"}]},
            },
            "stats": {},
        });
        let unknown = KnownFields::new().unwrap().unknown(Kind::Cluster, &object);
        assert_eq!(
            unknown,
            ["spec.gateways.selector", "spec.globalCIDRs.map[0].globl", "spec.podCidrs", "stats"]
        );
    }
}
