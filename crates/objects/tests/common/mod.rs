//! What the tests of this crate share: directories with files, and short forms of what a store holds.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses its part; a panic is how a test fails"
)]

use std::fs;
use std::path::Path;

use causeway_objects::{Change, Kind, ObjectRef, Store};

/// Writes a file, and the folders above it.
pub fn put(root: &Path, file: &str, text: &str) {
    let path = root.join(file);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
}

/// A Cluster with one pod CIDR.
pub fn cluster(name: &str, cidr: &str) -> String {
    format!(
        "apiVersion: causeway.dev/v1alpha1\nkind: Cluster\nmetadata:\n  name: {name}\nspec:\n  podCIDRs:\n  - {cidr}\n"
    )
}

/// A status of a Cluster, alone.
pub fn cluster_status(name: &str, block: &str) -> String {
    format!(
        "apiVersion: causeway.dev/v1alpha1\nkind: Cluster\nmetadata:\n  name: {name}\nstatus:\n  overlayCIDRs: [{block}]\n"
    )
}

/// The key of a Cluster.
pub fn key(name: &str) -> ObjectRef {
    ObjectRef { kind: Kind::Cluster, namespace: None, name: name.to_owned() }
}

/// The names of all Clusters with their first pod CIDR.
pub fn clusters(store: &Store) -> Vec<String> {
    store
        .all::<causeway_api::Cluster>()
        .map(|cluster| {
            let cidr = cluster.spec.pod_cidrs.first().map_or("", |cidr| cidr.0.as_str());
            format!("{} {cidr}", cluster.metadata.name.as_deref().unwrap())
        })
        .collect()
}

/// Changes as `+name` and `-name`.
pub fn changed(changes: &[Change]) -> Vec<String> {
    changes
        .iter()
        .map(|change| match change {
            Change::Applied(object) => format!("+{}", object.key().name),
            Change::Deleted(key) => format!("-{}", key.name),
        })
        .collect()
}

/// Problems without the directory.
pub fn problems(store: &Store) -> Vec<String> {
    let root = format!("{}/", store.root().display());
    store.problems().iter().map(|problem| problem.to_string().replace(&root, "")).collect()
}
