//! What is written down of the command line, compared with the program: the page of all commands, the schemas of JSON
//! outputs, manual pages. `CAUSEWAY_REWRITE_GOLDEN=1 cargo test -p causeway-cli --test reference` writes them anew.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn docs() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

fn same(path: &Path, text: &str) {
    if std::env::var_os("CAUSEWAY_REWRITE_GOLDEN").is_some() {
        fs::create_dir_all(path.parent().expect("a folder")).expect("the folder");
        fs::write(path, text).expect("a file");
    }
    let written = fs::read_to_string(path).unwrap_or_default();
    assert!(
        written == text,
        "{} is not what the program says; CAUSEWAY_REWRITE_GOLDEN=1 writes it anew",
        path.display()
    );
}

fn causeway(words: &str) -> (Option<i32>, String) {
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data");
    let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
    let output = command.args(words.split(' ')).current_dir(data).output().expect("causeway runs");
    (output.status.code(), String::from_utf8(output.stdout).expect("UTF-8"))
}

#[test]
fn the_page_of_commands_is_what_the_program_says() {
    same(&docs().join("cli.md"), &causeway_cli::markdown());
}

#[test]
fn every_command_shows_examples() {
    let page = causeway_cli::markdown();
    let mut sections = page.split("\n## ").skip(1);
    assert!(sections.clone().count() > 10);
    // `install` and `bench` alone are no commands, only what stands before one.
    let lacking: Vec<&str> = sections
        .by_ref()
        .filter(|section| {
            !section.contains("Example")
                && !section.starts_with("causeway install\n")
                && !section.starts_with("causeway bench\n")
        })
        .filter_map(|section| section.lines().next())
        .collect();
    assert!(lacking.is_empty(), "{lacking:?}");
}

#[test]
fn schemas_are_what_the_types_say() {
    for (name, schema) in causeway_cli::schemas() {
        let text = serde_json::to_string_pretty(&schema).expect("JSON") + "\n";
        same(&docs().join("schemas").join(format!("{name}.json")), &text);
    }
}

#[test]
fn what_commands_print_is_as_their_schemas_say() {
    let schemas = causeway_cli::schemas();
    for words in [
        "status --objects running",
        "status --objects fresh",
        "status --objects troubled",
        "plan --objects many",
        "plan --objects many -f change.yaml",
        "plan --objects troubled",
        "plan --objects many-after --against many",
        "explain --objects many --from east/e1:10.1.1.5 --to 10.2.3.7",
        "explain --objects troubled --from old/o1 --to 10.9.0.1",
        "version --client",
    ] {
        let name = words.split(' ').next().expect("a command");
        let (_, schema) = schemas.iter().find(|(of, _)| *of == name).expect("its schema");
        let (_, text) = causeway(&format!("{words} -o json"));
        let value: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{words}: {error}: {text}"));
        let mut faults = Vec::new();
        check(schema, schema, &value, "", &mut faults);
        assert!(faults.is_empty(), "{words}: {faults:#?}");
    }
}

#[test]
fn the_check_of_schemas_finds_what_is_not_so() {
    let schemas = causeway_cli::schemas();
    let (_, schema) = schemas.iter().find(|(name, _)| *name == "status").expect("a schema");
    let (_, text) = causeway("status --objects running -o json");
    let good: Value = serde_json::from_str(&text).expect("JSON");
    let faults = |spoil: &dyn Fn(&mut Value)| {
        let (mut value, mut faults) = (good.clone(), Vec::new());
        spoil(&mut value);
        check(schema, schema, &value, "", &mut faults);
        faults.len()
    };
    assert_eq!(faults(&|_| {}), 0);
    assert!(faults(&|value| value["links"][0]["state"] = "Good".into()) > 0);
    assert!(faults(&|value| value["links"][0]["new"] = 1.into()) > 0);
    assert!(faults(&|value| value["healthy"] = "yes".into()) > 0);
    assert!(faults(&|value| drop(value.as_object_mut().and_then(|object| object.remove("summary")))) > 0);
}

/// What of JSON Schema (draft 2020-12) these schemas use.
fn check(root: &Value, schema: &Value, value: &Value, path: &str, faults: &mut Vec<String>) {
    if let Some(reference) = schema["$ref"].as_str() {
        let target = root.pointer(reference.trim_start_matches('#'));
        return check(root, target.expect("a definition"), value, path, faults);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(options) = schema[choice].as_array() {
            let fits = options.iter().any(|option| {
                let mut inner = Vec::new();
                check(root, option, value, path, &mut inner);
                inner.is_empty()
            });
            if !fits {
                faults.push(format!("{path}: {value} is none of what it may be"));
            }
        }
    }
    let is = |name: &Value| match name.as_str() {
        Some("object") => value.is_object(),
        Some("array") => value.is_array(),
        Some("string") => value.is_string(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("null") => value.is_null(),
        other => panic!("{path}: type {other:?}"),
    };
    let types = &schema["type"];
    let typed = types.is_null() || is_any(types, &is);
    let named = schema["enum"].as_array().is_none_or(|words| words.contains(value));
    let constant = schema.get("const").is_none_or(|constant| constant == value);
    if !typed || !named || !constant {
        faults.push(format!("{path}: {value} is not as {schema}"));
    }
    for name in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        if value.get(name).is_none() {
            faults.push(format!("{path}: no {name}"));
        }
    }
    for (name, inner) in value.as_object().into_iter().flatten() {
        match schema["properties"].get(name) {
            Some(property) => check(root, property, inner, &format!("{path}.{name}"), faults),
            None if schema["additionalProperties"] == false => {
                faults.push(format!("{path}: {name} is not known"))
            }
            None => {}
        }
    }
    if let (Some(items), Some(values)) = (schema.get("items"), value.as_array()) {
        for (index, inner) in values.iter().enumerate() {
            check(root, items, inner, &format!("{path}[{index}]"), faults);
        }
    }
}

fn is_any(types: &Value, is: &dyn Fn(&Value) -> bool) -> bool {
    types.as_array().map_or_else(|| is(types), |types| types.iter().any(is))
}

#[test]
fn each_command_has_a_manual_page() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let (code, said) = causeway(&format!("man {}", folder.path().display()));
    assert_eq!(code, Some(0), "{said}");
    for page in ["causeway.1", "causeway-status.1", "causeway-plan.1", "causeway-install-hub.1"] {
        let text =
            fs::read_to_string(folder.path().join(page)).unwrap_or_else(|error| panic!("{page}: {error}"));
        assert!(text.contains(".TH"), "{page}: {text}");
    }
}

#[test]
fn colours_come_when_they_are_asked_for_and_only_then() {
    let (_, plain) = causeway("status --objects running");
    let (_, coloured) = causeway("status --objects running --color always");
    assert!(!plain.contains('\x1b') && coloured.contains("\x1b[31m"));
}

#[test]
fn an_archive_of_a_directory_holds_its_objects_and_status() {
    let folder = tempfile::TempDir::new().expect("a folder");
    let file = folder.path().join("a.tar.gz");
    let (code, said) = causeway(&format!("gather --objects running --file {}", file.display()));
    assert_eq!(code, Some(0), "{said}");
    let list = Command::new("tar").arg("-tzf").arg(&file).output().expect("tar runs");
    let list = String::from_utf8(list.stdout).expect("UTF-8");
    for name in ["objects/clusters.yaml", "objects/clusterlinks.yaml", "status.yaml", "README.txt"] {
        assert!(list.lines().any(|line| line.ends_with(name)), "{name} in {list}");
    }
}
