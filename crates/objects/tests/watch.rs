//! The watcher: every change is told in the end, whatever happens to the directory.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::fs;
use std::path::Path;
use std::time::Duration;

use causeway_api::{Cluster, ClusterSpec};
use causeway_objects::{Hint, Store, Watcher, Writer};
use common::{cluster, clusters, put};
use tokio::time::{Instant, timeout_at};

/// Follows the hints until the store holds these clusters; the hints that it took.
async fn until(store: &mut Store, watcher: &mut Watcher, expected: &[&str]) -> Vec<Hint> {
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut hints = Vec::new();
    while clusters(store) != expected {
        let hint = timeout_at(deadline, watcher.changed()).await;
        let hint =
            hint.unwrap_or_else(|_| panic!("{:?} never came; {:?} {hints:?}", expected, clusters(store)));
        store.refresh_hinted(&hint);
        hints.push(hint);
    }
    hints
}

fn watched(root: &Path) -> (Watcher, Store) {
    let watcher = Watcher::new(root).unwrap();
    (watcher, Store::open(root).unwrap())
}

#[tokio::test]
async fn changes_are_told_by_their_paths() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "sub/a.yaml", &cluster("a", "10.1.0.0/16"));
    let (mut watcher, mut store) = watched(dir.path());
    put(dir.path(), "sub/a.yaml", &cluster("a", "10.2.0.0/16"));
    let hints = until(&mut store, &mut watcher, &["a 10.2.0.0/16"]).await;
    assert!(hints.iter().any(|hint| matches!(hint, Hint::Paths(_))), "{hints:?}");
    fs::remove_file(dir.path().join("sub/a.yaml")).unwrap();
    until(&mut store, &mut watcher, &[]).await;
}

#[tokio::test]
async fn files_in_new_folders_and_moved_folders_are_seen() {
    let outside = tempfile::tempdir().unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (mut watcher, mut store) = watched(dir.path());
    put(dir.path(), "x/y/z/a.yaml", &cluster("a", "10.1.0.0/16"));
    until(&mut store, &mut watcher, &["a 10.1.0.0/16"]).await;
    put(outside.path(), "in/b.yaml", &cluster("b", "10.2.0.0/16"));
    fs::rename(outside.path().join("in"), dir.path().join("in")).unwrap();
    until(&mut store, &mut watcher, &["a 10.1.0.0/16", "b 10.2.0.0/16"]).await;
    fs::rename(dir.path().join("x"), outside.path().join("x")).unwrap();
    until(&mut store, &mut watcher, &["b 10.2.0.0/16"]).await;
}

#[tokio::test]
async fn a_directory_that_is_removed_and_made_again_is_followed() {
    let parent = tempfile::tempdir().unwrap();
    let root = parent.path().join("objects");
    put(&root, "a.yaml", &cluster("a", "10.1.0.0/16"));
    let (mut watcher, mut store) = watched(&root);
    fs::remove_dir_all(&root).unwrap();
    let hint = watcher.changed().await;
    store.refresh_hinted(&hint);
    assert_eq!(clusters(&store), ["a 10.1.0.0/16"], "gone is not empty");
    put(&root, "b.yaml", &cluster("b", "10.2.0.0/16"));
    until(&mut store, &mut watcher, &["b 10.2.0.0/16"]).await;
    put(&root, "c.yaml", &cluster("c", "10.3.0.0/16"));
    until(&mut store, &mut watcher, &["b 10.2.0.0/16", "c 10.3.0.0/16"]).await;
}

#[tokio::test]
async fn more_changes_than_are_worth_telling_apart_are_all_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (mut watcher, mut store) = watched(dir.path());
    let writer = Writer::new(dir.path());
    let names: Vec<String> = (0..3000).map(|i| format!("c{i:04}")).collect();
    for name in &names {
        writer.write(&Cluster::new(name, ClusterSpec::default()).into()).unwrap();
    }
    let expected: Vec<String> = names.iter().map(|name| format!("{name} ")).collect();
    let expected: Vec<&str> = expected.iter().map(String::as_str).collect();
    until(&mut store, &mut watcher, &expected).await;
}

#[tokio::test]
async fn a_wait_that_is_given_up_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let (mut watcher, mut store) = watched(dir.path());
    put(dir.path(), "a.yaml", &cluster("a", "10.1.0.0/16"));
    for _ in 0..50 {
        let soon = Instant::now() + Duration::from_millis(1);
        if let Ok(hint) = timeout_at(soon, watcher.changed()).await {
            store.refresh_hinted(&hint);
        }
    }
    until(&mut store, &mut watcher, &["a 10.1.0.0/16"]).await;
}

#[tokio::test]
async fn a_directory_named_from_here_is_watched_like_any_other() {
    let dir = tempfile::Builder::new().prefix(".watched-").tempdir_in(".").unwrap();
    let relative = Path::new(".").join(dir.path().file_name().unwrap());
    let (mut watcher, mut store) = watched(&relative);
    put(&relative, "a.yaml", &cluster("a", "10.1.0.0/16"));
    let hints = until(&mut store, &mut watcher, &["a 10.1.0.0/16"]).await;
    assert!(hints.iter().all(|hint| matches!(hint, Hint::Paths(_))), "{hints:?}");
}

#[tokio::test]
async fn reading_is_no_change() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.yaml", &cluster("a", "10.1.0.0/16"));
    let (mut watcher, _) = watched(dir.path());
    for _ in 0..5 {
        Store::open(dir.path()).unwrap();
    }
    // The next thing told is the look from time to time, which is everything.
    assert_eq!(watcher.changed().await, Hint::Everything);
}

#[test]
fn a_directory_that_is_not_there_cannot_be_watched() {
    let dir = tempfile::tempdir().unwrap();
    let error = Watcher::new(dir.path().join("nowhere")).err().unwrap();
    assert!(error.to_string().contains("cannot watch"), "{error}");
}
