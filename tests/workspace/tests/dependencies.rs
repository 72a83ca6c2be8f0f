//! Who may depend on whom. The table is the architecture; a dependency that it does not allow fails.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use serde_json::Value;

/// Crate, and everything that it may name under `[dependencies]`.
const ALLOWED: &[(&str, &[&str])] = &[
    ("causeway-model", &["ipnetwork", "serde", "thiserror"]),
    (
        "causeway-api",
        &[
            "causeway-model",
            "k8s-openapi",
            "kube",
            "schemars",
            "serde",
            "serde_json",
            "serde-saphyr",
            "thiserror",
        ],
    ),
    (
        "causeway-objects",
        &[
            "causeway-model",
            "causeway-api",
            "notify",
            "serde",
            "serde_json",
            "serde-saphyr",
            "thiserror",
            "serde_path_to_error",
            "tokio",
            "tracing",
        ],
    ),
    ("causeway-planner", &["causeway-model", "rustc-hash", "thiserror"]),
    (
        "causeway-kubernetes",
        &[
            "causeway-model",
            "causeway-api",
            "causeway-metrics",
            "futures",
            "http",
            "k8s-openapi",
            "kube",
            "kube-client",
            "kube-runtime",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tracing",
        ],
    ),
    (
        "causeway-discovery",
        &["causeway-model", "causeway-api", "serde", "serde_json", "serde-saphyr", "thiserror"],
    ),
    ("causeway-diagnosis", &["causeway-model", "causeway-api", "k8s-openapi"]),
    (
        "causeway-dataplane",
        &[
            "causeway-model",
            "libc",
            "netlink-packet-core",
            "netlink-packet-route",
            "netlink-sys",
            "nix",
            "rustc-hash",
            "thiserror",
            "tracing",
        ],
    ),
    ("causeway-probing", &["libc", "nix", "thiserror", "tokio", "tracing"]),
    ("causeway-pathbench", &["schemars", "serde", "thiserror"]),
    // Numbers only: who has them puts them in.
    ("causeway-metrics", &["prometheus-client"]),
];

/// What the pure crates must not reach, however indirectly.
const NEVER: &[(&str, &[&str])] = &[
    ("causeway-model", &["tokio", "kube", "k8s-openapi", "netlink-sys", "rtnetlink", "rand"]),
    ("causeway-planner", &["tokio", "kube", "k8s-openapi", "netlink-sys", "rtnetlink", "rand"]),
    ("causeway-discovery", &["tokio", "kube-client", "kube-runtime", "netlink-sys", "rtnetlink", "rand"]),
    ("causeway-diagnosis", &["tokio", "kube-client", "kube-runtime", "netlink-sys", "rtnetlink", "rand"]),
    ("causeway-kubernetes", &["netlink-sys", "rtnetlink", "causeway-planner", "causeway-dataplane"]),
    ("causeway-api", &["tokio", "kube-client", "kube-runtime", "netlink-sys", "rtnetlink"]),
    (
        "causeway-probing",
        &[
            "kube",
            "kube-core",
            "k8s-openapi",
            "netlink-sys",
            "rtnetlink",
            "rand",
            "causeway-model",
            "causeway-metrics",
        ],
    ),
    (
        "causeway-dataplane",
        &["tokio", "kube", "kube-core", "k8s-openapi", "causeway-api", "causeway-metrics"],
    ),
];

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--format-version",
            "1",
            "--locked",
            "--filter-platform",
            "x86_64-unknown-linux-gnu",
        ])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo metadata runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo metadata prints JSON")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a string").to_owned()
}

/// Package id → ids of its normal dependencies.
fn normal_graph(metadata: &Value) -> BTreeMap<String, Vec<String>> {
    let nodes = metadata["resolve"]["nodes"].as_array().expect("a resolved graph");
    let normal =
        |dep: &&Value| dep["dep_kinds"].as_array().expect("kinds").iter().any(|k| k["kind"].is_null());
    nodes
        .iter()
        .map(|node| {
            let deps = node["deps"]
                .as_array()
                .expect("deps")
                .iter()
                .filter(normal)
                .map(|d| text(&d["pkg"]))
                .collect();
            (text(&node["id"]), deps)
        })
        .collect()
}

#[test]
fn crates_name_only_the_dependencies_that_the_architecture_allows() {
    let metadata = metadata();
    for package in metadata["packages"].as_array().expect("packages") {
        let name = text(&package["name"]);
        let Some((_, allowed)) = ALLOWED.iter().find(|(crate_name, _)| *crate_name == name) else { continue };
        for dependency in package["dependencies"].as_array().expect("dependencies") {
            if dependency["kind"].is_null() {
                let dependency = text(&dependency["name"]);
                assert!(allowed.contains(&dependency.as_str()), "{name} must not depend on {dependency}");
            }
        }
    }
}

#[test]
fn pure_crates_reach_no_runtime_client_or_kernel_however_indirectly() {
    let metadata = metadata();
    let names: BTreeMap<String, String> = metadata["packages"]
        .as_array()
        .expect("packages")
        .iter()
        .map(|p| (text(&p["id"]), text(&p["name"])))
        .collect();
    let graph = normal_graph(&metadata);
    for (root, never) in NEVER {
        let id =
            names.iter().find(|(_, name)| name == root).map(|(id, _)| id.clone()).expect("a known crate");
        let (mut seen, mut open) = (BTreeSet::new(), vec![id]);
        while let Some(id) = open.pop() {
            assert!(!never.contains(&names[&id].as_str()), "{root} reaches {}", names[&id]);
            if seen.insert(id.clone()) {
                open.extend(graph[&id].iter().cloned());
            }
        }
    }
}
