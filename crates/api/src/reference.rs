//! The reference of the custom resources for people, from the same definitions that API servers get:
//! `cargo run -p causeway-api --example docs` rewrites `docs/resources.md`.

use std::fmt::Write;

use serde_json::{Map, Value};

use crate::Kind;
use crate::crd::{GenerateError, definition};

const HEAD: &str = "\
# Custom resources

Group `causeway.dev`, version `v1alpha1`. Generated from the definitions in [deploy/crds](../deploy/crds) by `make docs`; `kubectl explain
cluster.spec` shows the same at a cluster. A field that is not marked as required may be left out. What is wrong with a value is said by the
API server as it is written, or, where only the plan can know, by a [condition](conditions.md).
";

/// The page.
///
/// # Errors
/// As [`definition`].
pub fn page() -> Result<String, GenerateError> {
    let mut page = HEAD.to_owned();
    for kind in Kind::ALL {
        let definition = serde_json::to_value(definition(kind)?)
            .map_err(|source| GenerateError::Definition { kind, source })?;
        section(&mut page, kind, &definition["spec"]);
    }
    Ok(page)
}

/// Writing to a String cannot fail, so outcomes of `write!` are not looked at here and below.
fn section(page: &mut String, kind: Kind, spec: &Value) {
    let schema = &spec["versions"][0]["schema"]["openAPIV3Schema"];
    let short: Vec<&str> = list(&spec["names"]["shortNames"]).filter_map(Value::as_str).collect();
    let scope = if kind.namespaced() { "Namespaced" } else { "Cluster-scoped" };
    let _ = write!(
        page,
        "\n## {kind}\n\n{} {scope}; `kubectl get {}`, short {}.\n",
        cell(schema["description"].as_str().unwrap_or_default()),
        kind.plural(),
        short.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", "),
    );
    let columns: Vec<&str> = list(&spec["versions"][0]["additionalPrinterColumns"])
        .filter_map(|column| column["name"].as_str())
        .collect();
    let _ = writeln!(page, "\nColumns: {}.", columns.join(", "));
    for part in ["spec", "status"] {
        let mut rows = Vec::new();
        fields(&schema["properties"][part], part, &mut rows);
        if rows.is_empty() {
            continue;
        }
        page.push_str("\n| field | type | meaning |\n| --- | --- | --- |\n");
        rows.iter().for_each(|row| {
            let _ = writeln!(page, "{row}");
        });
    }
}

/// A row for each field below `schema`, the fields of an object behind the object's own.
fn fields(schema: &Value, path: &str, rows: &mut Vec<String>) {
    let Some(properties) = schema["properties"].as_object() else { return };
    let required: Vec<&str> = list(&schema["required"]).filter_map(Value::as_str).collect();
    for (name, field) in properties {
        // Kubernetes' own type, and the same everywhere.
        if name == "conditions" {
            rows.push(format!("| `{path}.conditions` | list | [Conditions](conditions.md). |"));
            continue;
        }
        let (below, mark) = match field["type"].as_str() {
            Some("array") => (&field["items"], "[]"),
            _ => (field, ""),
        };
        let path = format!("{path}.{name}{mark}");
        let needed = if required.contains(&name.as_str()) { " Required." } else { "" };
        let meaning = cell(field["description"].as_str().unwrap_or_default());
        rows.push(format!("| `{path}` | {} | {meaning}{needed}{} |", type_of(field), rules(field)));
        fields(below, &path, rows);
    }
}

fn type_of(field: &Value) -> String {
    let words: Vec<&str> = list(&field["enum"]).filter_map(Value::as_str).collect();
    match (field["type"].as_str(), words.is_empty()) {
        (_, false) => words.join(", "),
        (Some("array"), _) => format!("list of {}", type_of(&field["items"])),
        (Some("object"), _) if field["additionalProperties"].is_object() => {
            format!("map of {}", type_of(&field["additionalProperties"]))
        }
        (Some(name), _) => name.to_owned(),
        (None, _) if field["x-kubernetes-int-or-string"] == true => "integer or string".to_owned(),
        (None, _) => "any".to_owned(),
    }
}

/// What the API server holds a value to beside its type: of its own bounds, and of the rules in words.
fn rules(field: &Value) -> String {
    let of = |field: &Value| -> Vec<String> {
        let messages = list(&field["x-kubernetes-validations"]).filter_map(|rule| rule["message"].as_str());
        let bounds = field.as_object().map(bounds).unwrap_or_default();
        messages.map(str::to_owned).chain(bounds).collect()
    };
    let mut all = of(field);
    if field["type"] == "array" {
        all.extend(of(&field["items"]).into_iter().map(|rule| format!("each: {rule}")));
    }
    if all.is_empty() { String::new() } else { format!(" *{}.*", cell(&all.join("; "))) }
}

fn bounds(field: &Map<String, Value>) -> Vec<String> {
    let bound = |name: &str, words: &str| field.get(name).map(|value| format!("{words} {}", number(value)));
    [
        bound("minimum", "at least"),
        bound("maximum", "at most"),
        bound("minItems", "items at least"),
        bound("maxItems", "items at most"),
        bound("minLength", "characters at least"),
        bound("maxLength", "characters at most"),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Bounds are floating-point numbers in the definition's type; whole ones are shown as such.
fn number(value: &Value) -> String {
    match value.as_f64() {
        Some(float) if float.fract() == 0.0 => format!("{float:.0}"),
        _ => value.to_string(),
    }
}

/// One line that breaks no table.
fn cell(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").replace('|', "\\|")
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}
