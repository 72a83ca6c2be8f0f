//! The generated custom resource definitions: current, structural, described, bounded.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::collections::BTreeSet;
use std::path::Path;

use causeway_api::{Kind, crd};
use serde_json::Value;

#[test]
fn committed_yaml_is_current() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/crds");
    let mut expected = BTreeSet::new();
    for kind in Kind::ALL {
        let name = format!("{}.yaml", kind.plural());
        let committed = std::fs::read_to_string(folder.join(&name)).unwrap_or_default();
        assert_eq!(
            committed,
            crd::yaml(kind).unwrap(),
            "deploy/crds/{name} is not current; run: cargo run -p causeway-api --example crds"
        );
        expected.insert(name);
    }
    let present =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    // What kustomize reads stands beside them.
    let present: BTreeSet<String> = present.filter(|name| name != "Kustomization").collect();
    assert_eq!(present, expected, "files in deploy/crds");
}

#[test]
fn yaml_reads_back_as_the_same_definition() {
    for kind in Kind::ALL {
        let read: Value = serde_saphyr::from_str(&crd::yaml(kind).unwrap()).unwrap();
        let read = serde_json::from_value(read).unwrap();
        assert_eq!(crd::definition(kind).unwrap(), read, "{kind}");
    }
}

/// Visits every schema with its path.
fn walk(schema: &Value, path: &str, visit: &mut dyn FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        walk(inner, &format!("{path}.{name}"), visit);
    }
    if let Some(items) = schema.get("items") {
        walk(items, &format!("{path}[]"), visit);
    }
    if let Some(values) = schema.get("additionalProperties") {
        walk(values, &format!("{path}{{}}"), visit);
    }
}

fn each_schema(mut visit: impl FnMut(&str, &Value)) {
    for kind in Kind::ALL {
        walk(&crd::schema(kind).unwrap(), kind.as_str(), &mut visit);
    }
}

#[test]
fn schemas_are_structural() {
    let allowed = [
        "type",
        "description",
        "properties",
        "required",
        "items",
        "additionalProperties",
        "enum",
        "format",
        "minimum",
        "maximum",
        "minLength",
        "maxLength",
        "minItems",
        "maxItems",
        "maxProperties",
        "title",
        "x-kubernetes-list-type",
        "x-kubernetes-list-map-keys",
        "x-kubernetes-validations",
    ];
    each_schema(|path, schema| {
        for key in schema.as_object().unwrap().keys() {
            assert!(allowed.contains(&key.as_str()), "{path} has {key}");
        }
        assert!(schema["type"].is_string(), "{path} has no type");
        let words = schema["enum"].as_array().cloned().unwrap_or_default();
        assert!(words.iter().all(Value::is_string), "{path}: {words:?}");
    });
}

#[test]
fn every_field_is_described_and_says_its_default() {
    each_schema(|path, schema| {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let description = property["description"].as_str().unwrap_or_default();
            assert!(description.len() > 8 && description.ends_with('.'), "{path}.{name}: {description:?}");
        }
        // A number or a word that may be left out has a meaning then.
        let required = schema["required"].as_array().cloned().unwrap_or_default();
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            let settled = required.contains(&Value::from(name.as_str())) || path.contains(".status");
            let plain = matches!(property["type"].as_str(), Some("integer" | "boolean"))
                || property.get("enum").is_some();
            let description = property["description"].as_str().unwrap_or_default();
            assert!(settled || !plain || description.contains("Default:"), "{path}.{name}: {description:?}");
        }
    });
}

#[test]
fn every_list_is_bounded_and_says_how_it_merges() {
    each_schema(|path, schema| {
        if schema["type"] == "array" {
            assert!(schema["maxItems"].is_number(), "{path} has no maxItems");
            assert!(schema["x-kubernetes-list-type"].is_string(), "{path} has no list type");
        }
        if schema.get("additionalProperties").is_some() {
            assert!(schema["maxProperties"].is_number(), "{path} has no maxProperties");
        }
    });
}

#[test]
fn every_rule_says_what_would_be_right() {
    let mut rules = 0;
    each_schema(|path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules += 1;
            assert!(!rule["rule"].as_str().unwrap().is_empty(), "{path}");
            assert!(rule["message"].as_str().unwrap().len() > 20, "{path}: {rule}");
        }
    });
    assert!(rules > 20, "{rules}");
}

#[test]
fn names_status_and_columns_are_there_and_meet_nobody_elses() {
    let taken = [
        "po", "no", "ns", "svc", "ep", "cm", "cs", "rc", "rs", "sa", "pv", "pvc", "ds", "sts", "deploy",
        "hpa", "cj", "ing", "netpol", "pdb", "pc", "sc", "crd", "crds", "csr", "ev", "limits", "quota", "cl",
        "psp",
    ];
    let mut short_names = BTreeSet::new();
    for definition in crd::definitions().unwrap() {
        let names = &definition.spec.names;
        assert_eq!(names.categories.as_deref(), Some(&["causeway".to_owned()][..]));
        for short in names.short_names.as_deref().unwrap() {
            assert!(!taken.contains(&short.as_str()) && short_names.insert(short.clone()), "{short}");
        }
        let version = &definition.spec.versions[0];
        assert!(version.subresources.as_ref().unwrap().status.is_some(), "{}", names.kind);
        let columns: Vec<&str> =
            version.additional_printer_columns.iter().flatten().map(|column| column.name.as_str()).collect();
        assert_eq!(columns.last(), Some(&"Age"), "{}", names.kind);
        let properties = crd::schema(Kind::of(causeway_api::API_VERSION, &names.kind).unwrap()).unwrap();
        let status = &properties["properties"]["status"]["properties"];
        assert_eq!(status["conditions"]["x-kubernetes-list-type"], "map", "{}", names.kind);
        assert!(status["observedGeneration"].is_object(), "{}", names.kind);
    }
    let links = crd::definition(Kind::ClusterLink).unwrap();
    let shown: Vec<String> = links.spec.versions[0]
        .additional_printer_columns
        .iter()
        .flatten()
        .filter(|column| column.priority.unwrap_or(0) == 0)
        .map(|column| column.name.to_uppercase())
        .collect();
    assert_eq!(shown, ["REMOTE", "VIA", "TRANSPORT", "READY", "RTT", "AGE"]);
}

#[test]
fn the_page_of_resources_is_current() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/resources.md");
    let there = std::fs::read_to_string(file).unwrap_or_default();
    assert_eq!(
        there,
        causeway_api::reference::page().unwrap(),
        "docs/resources.md is not current; run: cargo run -p causeway-api --example docs"
    );
}
