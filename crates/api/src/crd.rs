//! The custom resource definitions, generated from the Rust types.
//!
//! What the generator writes is brought to the form that API servers ask for: no `nullable` (a null is
//! dropped, as if the field were absent), no number formats that Kubernetes does not know, and a
//! description on every field. `cargo run -p causeway-api --example crds` rewrites `deploy/crds`.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;
use serde_json::{Map, Value, json};

use crate::{Cluster, ClusterLink, ClusterNode, ClusterSet, Diagnosis, Kind, NodeConfig, PeerSlice};

/// Why a definition could not be generated.
#[derive(Debug, thiserror::Error)]
pub enum GenerateError {
    /// The generated definition does not survive its own format.
    #[error("custom resource definition of {kind} is not JSON of its own type")]
    Definition {
        /// Whose definition.
        kind: Kind,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The definition cannot be written as YAML.
    #[error("custom resource definition of {kind} cannot be written as YAML")]
    Yaml {
        /// Whose definition.
        kind: Kind,
        /// What is wrong.
        source: serde_saphyr::SerializeError,
    },
}

/// The definition of one kind.
///
/// # Errors
/// [`GenerateError`] if the generated definition cannot be read back; a defect of this crate.
pub fn definition(kind: Kind) -> Result<CustomResourceDefinition, GenerateError> {
    let definition = |source| GenerateError::Definition { kind, source };
    serde_json::from_value(definition_json(kind).map_err(definition)?).map_err(definition)
}

/// The definition of one kind as YAML, as `deploy/crds` holds it.
///
/// # Errors
/// As [`definition`].
pub fn yaml(kind: Kind) -> Result<String, GenerateError> {
    let definition = serde_json::to_value(definition(kind)?)
        .map(whole_numbers)
        .map_err(|source| GenerateError::Definition { kind, source })?;
    serde_saphyr::to_string(&definition).map_err(|source| GenerateError::Yaml { kind, source })
}

/// Bounds are floating-point numbers in the definition's type; whole ones are written as such.
fn whole_numbers(value: Value) -> Value {
    match value {
        Value::Number(number) => match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => json!(float as i64),
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(whole_numbers).collect(),
        Value::Object(fields) => {
            Value::Object(fields.into_iter().map(|(name, value)| (name, whole_numbers(value))).collect())
        }
        other => other,
    }
}

/// All definitions, in the order of [`Kind::ALL`].
///
/// # Errors
/// As [`definition`].
pub fn definitions() -> Result<Vec<CustomResourceDefinition>, GenerateError> {
    Kind::ALL.into_iter().map(definition).collect()
}

/// The OpenAPI schema of a whole object of `kind`, as its definition carries it.
///
/// # Errors
/// As [`definition`].
pub fn schema(kind: Kind) -> Result<Value, GenerateError> {
    let mut definition =
        definition_json(kind).map_err(|source| GenerateError::Definition { kind, source })?;
    Ok(definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema").map(Value::take).unwrap_or_default())
}

fn definition_json(kind: Kind) -> Result<Value, serde_json::Error> {
    let mut definition = serde_json::to_value(match kind {
        Kind::ClusterSet => ClusterSet::crd(),
        Kind::Cluster => Cluster::crd(),
        Kind::ClusterNode => ClusterNode::crd(),
        Kind::NodeConfig => NodeConfig::crd(),
        Kind::ClusterLink => ClusterLink::crd(),
        Kind::PeerSlice => PeerSlice::crd(),
        Kind::Diagnosis => Diagnosis::crd(),
    })?;
    if let Some(schema) = definition.pointer_mut("/spec/versions/0/schema/openAPIV3Schema") {
        tidy(schema);
    }
    if let Some(metadata) = definition.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.insert("labels".to_owned(), labels());
    }
    Ok(definition)
}

/// By convention (<https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>), so that
/// definitions are found and their version is seen.
fn labels() -> Value {
    json!({
        "app.kubernetes.io/name": "causeway",
        "app.kubernetes.io/instance": "causeway",
        "app.kubernetes.io/version": env!("CARGO_PKG_VERSION"),
        "app.kubernetes.io/part-of": "causeway",
    })
}

/// Number formats that Kubernetes knows; it ignores others with a warning.
const FORMATS: [&str; 5] = ["int32", "int64", "float", "double", "date-time"];

/// Brings a schema, and all below it, to the form that API servers ask for.
fn tidy(schema: &mut Value) {
    let Value::Object(fields) = schema else { return };
    fields.remove("nullable");
    fields.remove("default");
    if fields.get("format").and_then(Value::as_str).is_some_and(|f| !FORMATS.contains(&f)) {
        fields.remove("format");
    }
    if let Some(Value::Array(words)) = fields.get_mut("enum") {
        words.retain(|word| !word.is_null());
    }
    join_lines(fields);
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(tidy);
    }
    for below in ["items", "additionalProperties"] {
        if let Some(schema) = fields.get_mut(below) {
            tidy(schema);
        }
    }
}

/// Line breaks inside a paragraph are those of the source file; they mean nothing to a reader.
fn join_lines(fields: &mut Map<String, Value>) {
    if let Some(Value::String(description)) = fields.get_mut("description") {
        let paragraphs: Vec<String> =
            description.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
        *description = paragraphs.join("\n\n");
    }
}
