//! Reading a directory: what is used, what is reported, what changed.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod common;

use std::fs;
use std::os::unix::fs::symlink;

use causeway_api::{Cluster, NodeConfig};
use causeway_objects::{Filter, Kind, ObjectRef, Store};
use common::{changed, cluster, cluster_status, clusters, key, problems, put};

#[test]
fn all_files_and_documents_below_the_directory_are_read() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        "b.yml",
        &format!("# two\n---\n{}---\n{}", cluster("b1", "10.1.0.0/16"), cluster("b2", "10.2.0.0/16")),
    );
    put(dir.path(), "deep/er/a.yaml", &cluster("a", "10.0.0.0/16"));
    put(
        dir.path(),
        "c.json",
        r#"{"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "c1"}, "spec": {"podCIDRs": ["10.3.0.0/16"], "mode": null}}
           {"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "c2"}, "spec": {}}"#,
    );
    put(
        dir.path(),
        "list.yaml",
        &format!(
            "apiVersion: v1\nkind: List\nitems:\n- {}",
            cluster("listed", "10.4.0.0/16").trim_end().replace('\n', "\n  ")
        ),
    );
    put(dir.path(), "notes.txt", "not: [yaml");
    put(dir.path(), ".hidden.yaml", "not: [yaml");
    put(dir.path(), "..data/x.yaml", "not: [yaml");
    put(dir.path(), "foreign.yaml", "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\ndata: {a: b}\n");
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(
        clusters(&store),
        ["a 10.0.0.0/16", "b1 10.1.0.0/16", "b2 10.2.0.0/16", "c1 10.3.0.0/16", "c2 ", "listed 10.4.0.0/16"]
    );
    assert_eq!(problems(&store), [""; 0]);
}

/// Enough files that all processors read them.
#[test]
fn many_files_come_to_what_each_of_them_says_and_the_first_of_two_that_say_the_same_object_wins() {
    let dir = tempfile::tempdir().unwrap();
    let mut wanted = Vec::new();
    for number in 100..200 {
        let file = format!("{number}.yaml");
        if number % 10 == 3 {
            put(dir.path(), &file, "kind: [\n");
            continue;
        }
        // Every seventh speaks of an object that the one before speaks of.
        let of = if number % 7 == 0 && number % 10 != 4 { number - 1 } else { number };
        let cidr = format!("10.{number}.0.0/16");
        put(dir.path(), &file, &cluster(&format!("c{of}"), &cidr));
        wanted.extend((of == number).then(|| format!("c{of} {cidr}")));
    }
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(clusters(&store), wanted);
    let broken = problems(&store).iter().filter(|problem| problem.contains("3.yaml:")).count();
    assert_eq!(broken, 10, "{:?}", problems(&store));
    assert!(store.refresh().is_empty());
    for number in [100, 101, 102, 104, 106, 107, 108, 109, 110, 111] {
        put(dir.path(), &format!("{number}.yaml"), &cluster("all", &format!("10.{}.0.0/16", 210 - number)));
    }
    store.refresh();
    assert_eq!(clusters(&store).first().map(String::as_str), Some("all 10.110.0.0/16"));
}

#[test]
fn a_bad_document_is_named_with_file_line_and_field_and_the_others_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let shape = cluster("shape", "x").replace("podCIDRs:\n  - x", "mode: P2P\n  podCIDRs: 10.0.0.0/8");
    put(
        dir.path(),
        "a.yaml",
        &format!(
            "{}---\n{shape}---\nkind: [\n---\n- a\n---\n{}---\n{}---\n{}---\n{}",
            cluster("good1", "10.1.0.0/16"),
            cluster("late", "10.9.0.0/16").replace("v1alpha1", "v2"),
            cluster("x", "10.9.0.0/16").replace("  name: x\n", "  labels: {}\n"),
            cluster("typo", "10.7.0.0/16").replace("podCIDRs:", "podCIDRS:"),
            cluster("good2", "10.2.0.0/16"),
        ),
    );
    put(dir.path(), "b.json", "{\n\"a\":\n}");
    put(
        dir.path(),
        "c.yaml",
        "apiVersion: causeway.dev/v1alpha1\nkind: NodeConfig\nmetadata:\n  name: n1\nspec: {}\n",
    );
    fs::write(dir.path().join("d.yaml"), b"a: \xff\xfe").unwrap();
    put(dir.path(), "e.yaml", "a: 1\n");
    let store = Store::open(dir.path()).unwrap();
    assert_eq!(clusters(&store), ["good1 10.1.0.0/16", "good2 10.2.0.0/16", "typo "]);
    let problems = problems(&store);
    let expected = [
        "a.yaml:15: Cluster shape: spec.podCIDRs: invalid type: string \"10.0.0.0/8\", expected a sequence",
        "a.yaml:17: cannot be parsed: ",
        "a.yaml:19: is not an object; it needs apiVersion, kind, metadata and spec",
        "a.yaml:22: causeway.dev/v2 Cluster is not known here; group causeway.dev has ClusterSet, Cluster, ClusterNode, NodeConfig, ClusterLink, PeerSlice, Diagnosis of causeway.dev/v1alpha1",
        "a.yaml:31: has no metadata.name",
        "a.yaml:42: Cluster typo: spec.podCIDRS: there is no such field; it is ignored",
        "b.json:3: cannot be parsed: ",
        "c.yaml:3: NodeConfig n1: has no metadata.namespace",
        "d.yaml:1: cannot be parsed: not UTF-8 text",
        "e.yaml:1: has no apiVersion",
    ];
    assert_eq!(problems.len(), expected.len(), "{problems:#?}");
    for (problem, expected) in problems.iter().zip(expected) {
        assert!(problem.starts_with(expected), "{problem}\n{expected}");
    }
}

#[test]
fn spec_and_status_in_two_files_are_one_object() {
    let dir = tempfile::tempdir().unwrap();
    let own = "status:\n  cni: flannel\n  overlayCIDRs: [10.255.0.0/24]\n";
    put(dir.path(), "mine.yaml", &format!("{}{own}", cluster("east", "10.1.0.0/16")));
    put(dir.path(), "clusters/east.status.yaml", &cluster_status("east", "198.18.0.0/24"));
    put(dir.path(), "clusters/lonely.status.yaml", &cluster_status("lonely", "198.18.1.0/24"));
    let mut store = Store::open(dir.path()).unwrap();
    let status = |store: &Store| store.all::<Cluster>().next().unwrap().status.clone().unwrap();
    assert_eq!(status(&store).overlay_cidrs[0].0, "198.18.0.0/24");
    assert_eq!(status(&store).cni.as_deref(), Some("flannel"));
    assert_eq!(clusters(&store), ["east 10.1.0.0/16"], "a status alone is no object");
    assert_eq!(problems(&store), [""; 0]);

    put(dir.path(), "clusters/east.status.yaml", &cluster_status("east", "198.18.9.0/24"));
    assert_eq!(changed(&store.refresh()), ["+east"]);
    assert_eq!(status(&store).overlay_cidrs[0].0, "198.18.9.0/24");

    put(dir.path(), "clusters/east.status.yaml", &cluster_status("east", "{}").replace("[{}]", "7"));
    assert_eq!(changed(&store.refresh()), [""; 0]);
    assert_eq!(
        problems(&store),
        [
            "clusters/east.status.yaml:6: Cluster east: status.overlayCIDRs: invalid type: integer `7`, expected a sequence"
        ]
    );

    fs::remove_file(dir.path().join("clusters/east.status.yaml")).unwrap();
    assert_eq!(changed(&store.refresh()), ["+east"]);
    assert_eq!(status(&store).overlay_cidrs[0].0, "10.255.0.0/24");
}

#[test]
fn of_two_documents_for_one_object_the_first_by_path_is_used() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "b.yaml", &cluster("east", "10.2.0.0/16"));
    put(dir.path(), "c.yaml", &format!("---\n\n{}", cluster("east", "10.3.0.0/16")));
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(clusters(&store), ["east 10.2.0.0/16"]);
    assert_eq!(
        problems(&store),
        ["c.yaml:3: Cluster east: is not used: the same object is in b.yaml:1 too, which comes first"]
    );

    put(dir.path(), "a.yaml", &cluster("east", "10.1.0.0/16"));
    assert_eq!(changed(&store.refresh()), ["+east"]);
    assert_eq!((clusters(&store), store.problems().len()), (vec!["east 10.1.0.0/16".to_owned()], 2));

    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    fs::remove_file(dir.path().join("b.yaml")).unwrap();
    assert_eq!(changed(&store.refresh()), ["+east"]);
    assert_eq!((clusters(&store), store.problems().len()), (vec!["east 10.3.0.0/16".to_owned()], 0));
}

#[test]
fn only_what_changed_is_told() {
    let dir = tempfile::tempdir().unwrap();
    put(
        dir.path(),
        "a.yaml",
        &format!("{}---\n{}", cluster("a1", "10.1.0.0/16"), cluster("a2", "10.2.0.0/16")),
    );
    put(dir.path(), "sub/b.yaml", &cluster("b", "10.3.0.0/16"));
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!(changed(&store.refresh()), [""; 0]);

    put(
        dir.path(),
        "a.yaml",
        &format!("{}---\n{}", cluster("a1", "10.1.0.0/16"), cluster("a2", "10.9.0.0/16")),
    );
    put(dir.path(), "new.yaml", &cluster("new", "10.4.0.0/16"));
    assert_eq!(changed(&store.refresh()), ["+a2", "+new"]);

    fs::rename(dir.path().join("sub"), dir.path().join("moved")).unwrap();
    assert_eq!(changed(&store.refresh()), [""; 0], "the same objects elsewhere");

    fs::remove_dir_all(dir.path().join("moved")).unwrap();
    put(dir.path(), "a.yaml", &cluster("a1", "10.1.0.0/16"));
    assert_eq!(changed(&store.refresh()), ["-a2", "-b"]);
}

#[test]
fn a_change_within_one_tick_of_the_clock_and_of_equal_size_is_seen() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.yaml", &cluster("a", "10.0.0.0/16"));
    let mut store = Store::open(dir.path()).unwrap();
    for i in 1..100 {
        put(dir.path(), "a.yaml", &cluster("a", &format!("10.{}.0.0/16", i % 10)));
        assert_eq!(changed(&store.refresh()), ["+a"], "{i}");
    }
}

#[test]
fn a_half_written_file_takes_nothing_away() {
    let dir = tempfile::tempdir().unwrap();
    let whole = format!("{}---\n{}", cluster("a", "10.1.0.0/16"), cluster("b", "10.2.0.0/16"));
    put(dir.path(), "x.yaml", &whole);
    let mut store = Store::open(dir.path()).unwrap();

    put(dir.path(), "x.yaml", "");
    assert_eq!(changed(&store.refresh()), [""; 0]);
    assert!(problems(&store)[0].contains("x.yaml: is empty"), "{:?}", problems(&store));

    put(dir.path(), "x.yaml", &format!("{}---\nkind: {{", cluster("a", "10.9.0.0/16")));
    assert_eq!(changed(&store.refresh()), ["+a"]);
    assert_eq!(clusters(&store), ["a 10.9.0.0/16", "b 10.2.0.0/16"]);

    fs::write(dir.path().join("x.yaml"), b"\xff").unwrap();
    assert_eq!(changed(&store.refresh()), [""; 0]);
    assert_eq!(clusters(&store), ["a 10.9.0.0/16", "b 10.2.0.0/16"]);

    put(dir.path(), "x.yaml", &cluster("a", "10.1.0.0/16"));
    assert_eq!(changed(&store.refresh()), ["+a", "-b"]);
    assert_eq!(problems(&store), [""; 0]);
}

#[test]
fn a_directory_that_is_gone_takes_nothing_away_until_it_is_back() {
    let dir = tempfile::tempdir().unwrap();
    let root = dir.path().join("objects");
    put(&root, "a.yaml", &cluster("a", "10.1.0.0/16"));
    let mut store = Store::open(&root).unwrap();
    fs::remove_dir_all(&root).unwrap();
    assert_eq!(changed(&store.refresh()), [""; 0]);
    assert!(store.problems()[0].to_string().contains("no such directory"));
    put(&root, "b.yaml", &cluster("b", "10.2.0.0/16"));
    assert_eq!(changed(&store.refresh()), ["-a", "+b"]);
    assert_eq!(problems(&store), [""; 0]);
    assert!(Store::open(dir.path().join("nowhere")).is_err());
}

#[test]
fn a_file_that_cannot_be_read_keeps_what_it_held() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.yaml", &cluster("a", "10.1.0.0/16"));
    let mut store = Store::open(dir.path()).unwrap();
    // A link that leads to itself is refused by the kernel whoever asks.
    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    symlink("a.yaml", dir.path().join("a.yaml")).unwrap();
    assert_eq!(changed(&store.refresh()), [""; 0]);
    assert_eq!(clusters(&store), ["a 10.1.0.0/16"]);
    assert!(problems(&store)[0].starts_with("a.yaml: cannot be read: "), "{:?}", problems(&store));
    fs::remove_file(dir.path().join("a.yaml")).unwrap();
    assert_eq!(changed(&store.refresh()), ["-a"]);
    assert_eq!(problems(&store), [""; 0]);
}

#[test]
fn links_are_followed_and_loops_end() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "..2026/a.yaml", &cluster("a", "10.1.0.0/16"));
    symlink("..2026", dir.path().join("..data")).unwrap();
    symlink("..data/a.yaml", dir.path().join("a.yaml")).unwrap();
    symlink(".", dir.path().join("loop")).unwrap();
    let mut store = Store::open(dir.path()).unwrap();
    assert_eq!((clusters(&store), problems(&store)), (vec!["a 10.1.0.0/16".to_owned()], vec![]));
    // As a mounted ConfigMap is changed.
    put(dir.path(), "..2027/a.yaml", &cluster("a", "10.2.0.0/16"));
    symlink("..2027", dir.path().join("..data_tmp")).unwrap();
    fs::rename(dir.path().join("..data_tmp"), dir.path().join("..data")).unwrap();
    let hint = causeway_objects::Hint::Paths([dir.path().join("..data")].into());
    assert_eq!(changed(&store.refresh_hinted(&hint)), ["+a"]);
}

#[test]
fn a_file_where_a_folder_was_holds_nothing_of_it() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "x/a.yaml", &cluster("a", "10.1.0.0/16"));
    let mut store = Store::open(dir.path()).unwrap();
    fs::remove_dir_all(dir.path().join("x")).unwrap();
    put(dir.path(), "x", "");
    let hint = causeway_objects::Hint::Paths([dir.path().join("x/a.yaml")].into());
    assert_eq!(changed(&store.refresh_hinted(&hint)), ["-a"]);
    assert_eq!(problems(&store), [""; 0]);
}

#[test]
fn a_filter_keeps_only_what_is_wanted() {
    let dir = tempfile::tempdir().unwrap();
    for i in 0..50 {
        put(
            dir.path(),
            &format!("nodeconfigs/ns/n{i}.yaml"),
            &format!(
                "apiVersion: causeway.dev/v1alpha1\nkind: NodeConfig\nmetadata: {{name: n{i}, namespace: ns}}\nspec:\n  cluster: east\n  role: Node\n  overlay: []\n  tunnels: {{}}\n"
            ),
        );
        put(
            dir.path(),
            &format!("peerslices/s/c{i}.nodes.0.yaml"),
            &format!(
                "apiVersion: causeway.dev/v1alpha1\nkind: PeerSlice\nmetadata:\n  name: c{i}.nodes.0\n  namespace: s\n  labels: {{causeway.dev/cluster: c{i}}}\nspec: {{cluster: c{i}, scope: Nodes, index: 0}}\n"
            ),
        );
    }
    let filter = Filter::new(|header| match header.key.kind {
        Kind::NodeConfig => header.key.name == "n7",
        Kind::PeerSlice => header.label("causeway.dev/cluster") == Some("c3"),
        _ => false,
    });
    let store = Store::open_filtered(dir.path(), filter).unwrap();
    let names: Vec<String> = store.objects().iter().map(|object| object.key().name).collect();
    assert_eq!(names, ["n7", "c3.nodes.0"]);
    assert_eq!(store.all::<NodeConfig>().count(), 1);
    assert_eq!(problems(&store), [""; 0]);
}

#[test]
fn paths_that_are_not_wanted_are_not_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "mine/a.yaml", &cluster("a", "10.1.0.0/16"));
    put(dir.path(), "others/b.yaml", "not: [yaml");
    put(dir.path(), "mine/not/c.yaml", "not: [yaml");
    let filter = Filter::all().with_paths(|path| path.starts_with("mine") && !path.ends_with("not"));
    let mut store = Store::open_filtered(dir.path(), filter).unwrap();
    let hint = |path: &str| causeway_objects::Hint::Paths([dir.path().join(path)].into());
    store.refresh_hinted(&hint("others/b.yaml"));
    store.refresh_hinted(&hint("mine/not/c.yaml"));
    assert_eq!((clusters(&store), problems(&store)), (vec!["a 10.1.0.0/16".to_owned()], vec![]));
}

#[test]
fn a_field_of_an_object_is_found_in_its_file() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "a.yaml", &format!("{}---\n{}", cluster("a", "10.1.0.0/16"), cluster("b", "nonsense")));
    put(dir.path(), "b.status.yaml", &cluster_status("b", "nonsense"));
    let store = Store::open(dir.path()).unwrap();
    let at = |name: &str, field: &str| {
        let location = store.locate(&key(name), field)?;
        Some(format!("{}:{}", location.file.file_name()?.to_str()?, location.line))
    };
    assert_eq!(at("a", "spec.podCIDRs[0]").as_deref(), Some("a.yaml:7"));
    assert_eq!(at("b", "spec.podCIDRs[0]").as_deref(), Some("a.yaml:15"));
    assert_eq!(at("b", "status.overlayCIDRs[0]").as_deref(), Some("b.status.yaml:6"));
    assert_eq!(at("nobody", "spec"), None);
}

#[test]
fn a_hint_makes_only_its_paths_be_read() {
    let dir = tempfile::tempdir().unwrap();
    put(dir.path(), "sub/a.yaml", &cluster("a", "10.1.0.0/16"));
    put(dir.path(), "sub2/b.yaml", &cluster("b", "10.2.0.0/16"));
    let mut store = Store::open(dir.path()).unwrap();
    put(dir.path(), "sub/a.yaml", &cluster("a", "10.9.0.0/16"));
    put(dir.path(), "sub2/b.yaml", &cluster("b", "10.9.0.0/16"));
    let hint = |path: &str| causeway_objects::Hint::Paths([dir.path().join(path)].into());
    assert_eq!(changed(&store.refresh_hinted(&hint("sub"))), ["+a"]);
    assert_eq!(changed(&store.refresh_hinted(&hint("sub/.a.yaml.swp"))), [""; 0]);
    assert_eq!(changed(&store.refresh_hinted(&hint("sub2/b.yaml"))), ["+b"]);
    fs::remove_dir_all(dir.path().join("sub")).unwrap();
    assert_eq!(changed(&store.refresh_hinted(&hint("sub"))), ["-a"]);
    let missing = ObjectRef { kind: Kind::Cluster, namespace: None, name: "a".to_owned() };
    assert!(store.get(&missing).is_none());
}
