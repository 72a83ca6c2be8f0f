//! Objects of YAML files, by what tells them apart.

use std::collections::BTreeMap;
use std::fs;

use serde_json::Value;

use crate::repository;

/// Kind, namespace and name.
pub type Key = (String, Option<String>, String);

/// The documents of a text.
///
/// # Panics
/// If it is not YAML.
pub fn documents(text: &str) -> Vec<Value> {
    let all: Vec<Value> = serde_saphyr::from_multiple(text).unwrap_or_else(|error| panic!("{error}\n{text}"));
    all.into_iter().filter(|document| !document.is_null()).collect()
}

/// The documents of all YAML files of a folder, in the order of the files' names.
///
/// # Panics
/// If one cannot be read.
pub fn in_folder(path: &str) -> Vec<Value> {
    let entries = fs::read_dir(repository(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    let mut paths: Vec<_> = paths.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    paths.sort();
    let text = |path| fs::read_to_string(path).expect("a readable file");
    paths.iter().flat_map(|path| documents(&text(path))).collect()
}

/// Objects by their keys.
///
/// # Panics
/// If two have the same.
pub fn by_key(objects: Vec<Value>) -> BTreeMap<Key, Value> {
    let mut found = BTreeMap::new();
    for object in objects {
        let text = |at: &str| object.pointer(at).and_then(Value::as_str).map(str::to_owned);
        let key = (
            text("/kind").expect("a kind"),
            text("/metadata/namespace"),
            text("/metadata/name").expect("a name"),
        );
        assert!(found.insert(key.clone(), object).is_none(), "{key:?} is there twice");
    }
    found
}

/// Objects that belong to no program.
const SHARED: [&str; 2] = ["Namespace", "CustomResourceDefinition"];
/// What an object may be a part of.
const COMPONENTS: [&str; 5] = ["network-manager", "controller-manager", "agent", "cleanup", "metrics"];

/// It, and the Pods that it makes, have the labels that Kubernetes recommends, with the version of this source
/// (<https://kubernetes.io/docs/concepts/overview/working-with-objects/common-labels/>).
///
/// # Panics
/// If one is missing or another.
pub fn assert_labelled(object: &Value, instance: &str) {
    let name = format!("{} {}", object["kind"], object["metadata"]["name"]);
    let template = object.pointer("/spec/template/metadata/labels");
    for labels in template.into_iter().chain([&object["metadata"]["labels"]]) {
        for (label, value) in [
            ("name", "causeway"),
            ("instance", instance),
            ("version", env!("CARGO_PKG_VERSION")),
            ("part-of", "causeway"),
        ] {
            assert_eq!(labels[format!("app.kubernetes.io/{label}")], value, "{label} of {name}");
        }
        let component = labels["app.kubernetes.io/component"].as_str();
        match SHARED.iter().any(|kind| object["kind"] == *kind) {
            true => assert_eq!(component, None, "{name}"),
            false => assert!(component.is_some_and(|it| COMPONENTS.contains(&it)), "{name}: {component:?}"),
        }
    }
}
