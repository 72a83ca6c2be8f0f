//! Writing objects: where they go, in one step, only if they differ, and what is cleaned up.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use causeway_api::{
    Cluster, ClusterSpec, ClusterStatus, NodeConfig, PeerSlice, PeerSlicePeer, PeerSliceSpec,
};
use causeway_objects::{Kind, Object, ObjectRef, Outcome, Store, Writer};
use common::{cluster, clusters, put};
use proptest::prelude::*;

fn east() -> Cluster {
    let mut object =
        Cluster::new("east", ClusterSpec { pod_cidrs: vec!["10.1.0.0/16".into()], ..ClusterSpec::default() });
    object.status = Some(ClusterStatus { cni: Some("flannel".to_owned()), ..ClusterStatus::default() });
    object
}

fn node_config(namespace: &str, name: &str) -> Object {
    let mut object = NodeConfig::new(name, Default::default());
    object.metadata.namespace = Some(namespace.to_owned());
    object.into()
}

fn files(root: &Path) -> Vec<String> {
    fn visit(root: &Path, folder: &Path, found: &mut Vec<String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            found.push(path.strip_prefix(root).unwrap().display().to_string());
            if path.is_dir() {
                visit(root, &path, found);
            }
        }
    }
    let mut found = Vec::new();
    visit(root, root, &mut found);
    found.sort();
    found
}

#[test]
fn the_text_is_what_a_person_would_write() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::new(dir.path());
    let object = Object::from(east());
    writer.write(&object).unwrap();
    writer.write_status(&object).unwrap();
    assert_eq!(
        fs::read_to_string(dir.path().join("clusters/east.yaml")).unwrap(),
        "apiVersion: causeway.dev/v1alpha1\nkind: Cluster\nmetadata:\n  name: east\nspec:\n  podCIDRs:\n  - 10.1.0.0/16\nstatus:\n  cni: flannel\n"
    );
    assert_eq!(
        fs::read_to_string(dir.path().join("clusters/east.status.yaml")).unwrap(),
        "apiVersion: causeway.dev/v1alpha1\nkind: Cluster\nmetadata:\n  name: east\nstatus:\n  cni: flannel\n"
    );
}

#[test]
fn what_is_there_already_is_not_written() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::new(dir.path().join("made/when/needed"));
    let object = node_config("causeway-cluster-east", "n1");
    assert_eq!(writer.write(&object).unwrap(), Outcome::Changed);
    let path = writer.path(&object.key()).unwrap();
    let inode = fs::metadata(&path).unwrap().ino();
    assert_eq!(writer.write(&object).unwrap(), Outcome::Unchanged);
    assert_eq!(fs::metadata(&path).unwrap().ino(), inode);
    fs::write(&path, "broken: [").unwrap();
    assert_eq!(writer.write(&object).unwrap(), Outcome::Changed);
}

#[test]
fn removal_takes_the_status_and_empty_folders_along() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::new(dir.path());
    let object = node_config("ns", "n1");
    writer.write(&object).unwrap();
    writer.write_status(&object).unwrap();
    writer.write(&node_config("other", "n1")).unwrap();
    assert_eq!(writer.remove(&object.key()).unwrap(), Outcome::Changed);
    assert_eq!(writer.remove(&object.key()).unwrap(), Outcome::Unchanged);
    assert_eq!(files(dir.path()), ["nodeconfigs", "nodeconfigs/other", "nodeconfigs/other/n1.yaml"]);
    writer.remove(&node_config("other", "n1").key()).unwrap();
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn pruning_removes_stale_objects_of_its_kind_only() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::new(dir.path());
    for name in ["n1", "n2"] {
        writer.write(&node_config("ns", name)).unwrap();
        writer.write_status(&node_config("ns", name)).unwrap();
    }
    writer.write_status(&east().into()).unwrap();
    put(dir.path(), "clusters/mine.yaml", &cluster("mine", "10.1.0.0/16"));
    put(dir.path(), "nodeconfigs/ns/README.md", "hands off");
    put(dir.path(), "nodeconfigs/ns/.causeway-1-2-3.tmp", "left behind");
    put(dir.path(), "nodeconfigs/ns/.causeway-1-2-4.tmp", "being written");
    let old =
        fs::File::options().write(true).open(dir.path().join("nodeconfigs/ns/.causeway-1-2-3.tmp")).unwrap();
    old.set_modified(SystemTime::now() - Duration::from_secs(3600)).unwrap();

    let keep: BTreeSet<ObjectRef> = [node_config("ns", "n1").key()].into();
    assert_eq!(writer.prune(Kind::NodeConfig, &keep).unwrap(), 1);
    assert_eq!(writer.prune(Kind::NodeConfig, &keep).unwrap(), 0);
    assert_eq!(writer.prune(Kind::PeerSlice, &BTreeSet::new()).unwrap(), 0);
    assert_eq!(writer.prune_status(Kind::Cluster, &BTreeSet::new()).unwrap(), 1);
    assert_eq!(
        files(dir.path()),
        [
            "clusters",
            "clusters/mine.yaml",
            "nodeconfigs",
            "nodeconfigs/ns",
            "nodeconfigs/ns/.causeway-1-2-4.tmp",
            "nodeconfigs/ns/README.md",
            "nodeconfigs/ns/n1.status.yaml",
            "nodeconfigs/ns/n1.yaml",
        ]
    );
}

#[test]
fn names_that_leave_the_directory_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::new(dir.path().join("objects"));
    for (namespace, name) in [
        ("..", "n"),
        ("", "n"),
        ("ns", ".."),
        ("ns", "../../n"),
        ("a/b", "n"),
        ("ns", ""),
        ("ns", ".n"),
        ("ns", "x.status"),
    ] {
        let error = writer.write(&node_config(namespace, name)).unwrap_err().to_string();
        assert!(error.contains("cannot be a file"), "{error}");
    }
    assert_eq!(files(dir.path()), [""; 0]);
}

#[test]
fn a_reader_never_sees_half_an_object() {
    let dir = tempfile::tempdir().unwrap();
    let slice = |count: usize| {
        let peer = |i: usize| PeerSlicePeer { node: format!("node-{i}"), ..PeerSlicePeer::default() };
        let spec = PeerSliceSpec { peers: (0..count).map(peer).collect(), ..PeerSliceSpec::default() };
        let mut object = PeerSlice::new("s", spec);
        object.metadata.namespace = Some("ns".to_owned());
        Object::from(object)
    };
    let writer = Writer::new(dir.path());
    writer.write(&slice(1)).unwrap();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0..300 {
                writer.write(&slice(1 + i % 200)).unwrap();
            }
            done.store(true, Ordering::SeqCst);
        });
        let mut store = Store::open(dir.path()).unwrap();
        while !done.load(Ordering::SeqCst) {
            store.refresh();
            assert_eq!(store.problems(), []);
            assert_eq!(store.objects().len(), 1);
        }
    });
}

#[test]
fn writers_that_empty_and_fill_one_folder_do_not_disturb_each_other() {
    let dir = tempfile::tempdir().unwrap();
    let writer = Writer::new(dir.path());
    thread::scope(|scope| {
        for name in ["n1", "n2"] {
            let writer = &writer;
            scope.spawn(move || {
                for _ in 0..200 {
                    let object = node_config("ns", name);
                    writer.write(&object).unwrap();
                    writer.remove(&object.key()).unwrap();
                }
            });
        }
    });
    assert_eq!(files(dir.path()), [""; 0]);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_text_in_a_field_comes_back_as_it_was(text in any::<String>(), more in "[-:#'\"|>&*!%@`{}\\[\\], \n\t0-9a-fxon~.]{0,20}") {
        let dir = tempfile::tempdir().unwrap();
        let mut object = east();
        object.spec.pod_cidrs = vec![text.as_str().into(), more.as_str().into()];
        object.status.as_mut().unwrap().cni = Some(more);
        let writer = Writer::new(dir.path());
        writer.write(&object.clone().into()).unwrap();
        let store = Store::open(dir.path()).unwrap();
        prop_assert_eq!(store.problems(), vec![]);
        prop_assert_eq!(store.all::<Cluster>().collect::<Vec<_>>(), [&object]);
        // The words of YAML that are no text where they are not quoted.
        for word in ["null", "~", "true", "on", "1e3", "0x10", "08", ".inf", "2026-01-01", "="] {
            object.spec.pod_cidrs = vec![word.into()];
            writer.write(&object.clone().into()).unwrap();
            let store = Store::open(dir.path()).unwrap();
            prop_assert_eq!(clusters(&store), [format!("east {word}")]);
        }
    }
}
