//! Directories that hold planned objects beside facts, as network-manager leaves them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

fn data() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data")
}

fn causeway(arguments: &[&str]) -> (Value, Option<i32>) {
    let output = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(arguments)
        .args(["-o", "json"])
        .output()
        .expect("causeway runs");
    let printed: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)));
    (printed, output.status.code())
}

/// A copy of the facts in `many`, with every object that their plan would write.
fn planned() -> TempDir {
    let dir = TempDir::new().expect("a directory");
    for entry in fs::read_dir(data().join("many")).expect("facts") {
        let path = entry.expect("an entry").path();
        fs::copy(&path, dir.path().join(path.file_name().expect("a name"))).expect("a copy");
    }
    let (plan, _) = causeway(&["plan", "--objects", &path(&dir)]);
    for (index, change) in plan["changes"].as_array().expect("changes").iter().enumerate() {
        let object = &change["object"];
        if !object.is_null() {
            fs::write(dir.path().join(format!("written-{index}.json")), object.to_string()).expect("a file");
        }
    }
    dir
}

fn path(dir: &TempDir) -> String {
    dir.path().display().to_string()
}

/// Changes each written object that `edit` says to.
fn edit(dir: &TempDir, kind: &str, edit: impl Fn(&mut Value)) {
    for entry in fs::read_dir(dir.path()).expect("a directory") {
        let path = entry.expect("an entry").path();
        if path.extension().is_some_and(|e| e == "json") {
            let mut object: Value =
                serde_json::from_str(&fs::read_to_string(&path).expect("text")).expect("JSON");
            if object["kind"] == kind {
                edit(&mut object);
                fs::write(&path, object.to_string()).expect("a file");
            }
        }
    }
}

#[test]
fn a_plan_that_is_written_leaves_nothing_to_write() {
    let dir = planned();
    let (plan, exit) = causeway(&["plan", "--objects", &path(&dir)]);
    let left = ["create", "change", "delete"].map(|what| plan["summary"][what].clone());
    assert_eq!((left, exit), ([0, 0, 0].map(Value::from), Some(0)), "{}", plan["changes"]);
}

#[test]
fn written_objects_are_what_nodes_are_rendered_from() {
    let dir = planned();
    let node = ["render", "--objects", &path(&dir), "--cluster", "east", "--node", "e1"].map(str::to_owned);
    let render = |more: &[&str]| {
        let all: Vec<&str> = node.iter().map(String::as_str).chain(more.iter().copied()).collect();
        causeway(&all).0
    };
    let from_objects = render(&[]);
    assert_eq!((&from_objects["derivedFrom"], &from_objects["stale"]), (&"objects".into(), &false.into()));
    let planned = render(&["--planned"]);
    assert_eq!(planned["derivedFrom"], "plan");
    for part in ["link", "address", "rule", "nexthop", "route", "neigh", "fdb", "nftables", "sysctl"] {
        assert_eq!(from_objects[part], planned[part], "{part}");
        assert!(!from_objects[part].is_null(), "{part}");
    }
}

#[test]
fn a_change_of_an_object_by_somebody_else_is_shown_as_one_to_undo() {
    let dir = planned();
    edit(&dir, "ClusterLink", |link| {
        if link["metadata"]["name"] == "wide" {
            link["spec"]["prefixes"] = Value::Array(Vec::new());
        }
    });
    let (plan, exit) = causeway(&["plan", "--objects", &path(&dir)]);
    assert_eq!((&plan["summary"]["change"], exit), (&3.into(), Some(0)));
    let (way, exit) =
        causeway(&["explain", "--objects", &path(&dir), "--from", "east/e1", "--to", "10.4.0.9"]);
    assert_eq!((&way["reachable"], &way["stale"], exit), (&false.into(), &true.into(), Some(1)));
    let (way, exit) = causeway(&[
        "explain",
        "--objects",
        &path(&dir),
        "--from",
        "east/e1",
        "--to",
        "10.4.0.9",
        "--planned",
    ]);
    assert_eq!((&way["reachable"], exit), (&true.into(), Some(0)));
}

#[test]
fn a_peer_that_is_missing_at_the_other_end_is_found_as_an_unknown_sender() {
    let dir = planned();
    edit(&dir, "PeerSlice", |slice| {
        let peers = slice["spec"]["peers"].as_array_mut().expect("peers");
        peers.retain(|peer| peer["node"] != "e1");
    });
    let (way, exit) =
        causeway(&["explain", "--objects", &path(&dir), "--from", "east/e1", "--to", "10.2.1.9"]);
    assert_eq!(exit, Some(1));
    let end = &way["request"]["end"];
    assert_eq!((&end["delivered"], &end["node"]), (&false.into(), &"west/w1".into()), "{end}");
    assert!(end["text"].as_str().expect("text").contains("does not know the sender 192.0.2.11"), "{end}");
}

#[test]
fn an_underlay_address_that_nobody_has_ends_the_way_where_it_is_used() {
    let dir = planned();
    edit(&dir, "PeerSlice", |slice| {
        for peer in slice["spec"]["peers"].as_array_mut().expect("peers") {
            if peer["node"] == "x1" {
                peer["underlay"] = Value::from(vec!["192.0.2.99"]);
            }
        }
    });
    let (way, exit) =
        causeway(&["explain", "--objects", &path(&dir), "--from", "east/e1", "--to", "10.4.0.9"]);
    let end = &way["request"]["end"];
    assert_eq!((&end["delivered"], exit), (&false.into(), Some(1)));
    assert!(end["text"].as_str().expect("text").contains("192.0.2.41"), "{end}");
}

#[test]
fn each_member_of_a_group_is_followed_by_its_own_state() {
    let dir = planned();
    // Gateway w2 does not know all pods of its cluster, gateway w1 does.
    edit(&dir, "NodeConfig", |config| {
        if config["metadata"]["name"] == "w2" {
            config["spec"]["own"]["podCIDRs"] = Value::from(vec!["10.2.2.0/24"]);
        }
    });
    let from = ["explain", "--objects", &path(&dir), "--from", "east/e1:10.1.1.5", "--to", "10.2.3.7"]
        .map(str::to_owned);
    let walk = |member: &str| {
        let arguments: Vec<&str> = from.iter().map(String::as_str).chain(["--member", member]).collect();
        causeway(&arguments)
    };
    assert_eq!(walk("1").0["reachable"], true);
    let (way, exit) = walk("2");
    assert_eq!(exit, Some(1));
    assert!(way["request"]["end"]["text"].as_str().expect("text").contains("west/w2 drops"), "{way}");
}

/// Files of Diagnoses below the directory.
fn diagnoses(dir: &TempDir) -> Vec<PathBuf> {
    let below = |folder: PathBuf| {
        fs::read_dir(folder).into_iter().flatten().map(|entry| entry.expect("an entry").path())
    };
    below(dir.path().join("diagnoses")).flat_map(below).collect()
}

#[test]
fn a_doctor_that_is_interrupted_takes_its_requests_with_it() {
    let dir = planned();
    // No agent is there to answer.
    let doctor = Command::new(env!("CARGO_BIN_EXE_causeway"))
        .args(["doctor", "--objects", &path(&dir)])
        .stderr(Stdio::piped())
        .spawn()
        .expect("causeway runs");
    let limit = Instant::now() + Duration::from_secs(30);
    while diagnoses(&dir).is_empty() {
        assert!(Instant::now() < limit, "nothing was asked");
        std::thread::sleep(Duration::from_millis(10));
    }
    let kill = Command::new("sh").args(["-c", "kill -INT $0", &doctor.id().to_string()]).status();
    assert!(kill.expect("sh runs").success());
    let output = doctor.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("interrupted"), "{}: {said}", output.status);
    assert_eq!(diagnoses(&dir), Vec::<PathBuf>::new());
}
