//! Directories that hold planned objects beside facts, as network-manager leaves them.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, Stdio};
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
    let files = below(dir.path().join("diagnoses")).flat_map(below);
    // The writer's own are renamed in a moment.
    files.filter(|file| file.extension().is_some_and(|end| end == "yaml")).collect()
}

/// A doctor that no agent answers, and what it says.
struct Doctor(Child, BufReader<ChildStderr>);

impl Doctor {
    fn start(dir: &TempDir) -> Doctor {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(["doctor", "--objects", &path(dir), "--node", "east/e1"]);
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("causeway runs");
        let said = BufReader::new(child.stderr.take().expect("it is read"));
        Doctor(child, said)
    }

    fn interrupt(&self) {
        let kill = Command::new("sh").args(["-c", "kill -INT $0", &self.0.id().to_string()]).status();
        assert!(kill.expect("sh runs").success());
    }

    /// The next line that it says.
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).expect("text");
        line
    }

    /// What else it says, as it ends with exit code 1.
    #[track_caller]
    fn end(mut self) -> String {
        let mut said = String::new();
        self.1.read_to_string(&mut said).expect("text");
        assert_eq!(self.0.wait().expect("it ends").code(), Some(1), "{said}");
        said
    }
}

impl Drop for Doctor {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[track_caller]
fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < limit, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// Where another doctor's request for the same node stands, and what it says.
fn of_another(dir: &TempDir) -> (PathBuf, String) {
    let file = dir.path().join("diagnoses/causeway-cluster-east/e1.yaml");
    let at = now();
    let text = format!(
        "apiVersion: causeway.dev/v1alpha1\nkind: Diagnosis\nmetadata: {{name: e1, namespace: causeway-cluster-east}}\nspec: {{request: other, requestedAt: {at}, targets: []}}\n"
    );
    (file, text)
}

fn now() -> String {
    let date = Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%SZ"]).output().expect("date runs");
    String::from_utf8_lossy(&date.stdout).trim().to_owned()
}

#[test]
fn a_doctor_that_is_interrupted_takes_its_requests_with_it() {
    let dir = planned();
    let doctor = Doctor::start(&dir);
    until("something is asked", || !diagnoses(&dir).is_empty());
    doctor.interrupt();
    let said = doctor.end();
    assert!(said.contains("interrupted"), "{said}");
    assert_eq!(diagnoses(&dir), Vec::<PathBuf>::new());
}

#[test]
fn a_doctor_waits_until_another_one_has_ended() {
    let dir = planned();
    let (file, text) = of_another(&dir);
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(&file, &text).expect("a file");
    let mut doctor = Doctor::start(&dir);
    let said = doctor.line();
    assert!(said.contains("waiting for another doctor"), "{said}");
    assert_eq!(fs::read_to_string(&file).expect("a file"), text);
    fs::remove_file(&file).expect("the other one ends");
    until("it asks in its turn", || !diagnoses(&dir).is_empty());
    doctor.interrupt();
    doctor.end();
    // What was left behind an hour ago keeps nobody.
    let old = text.replace(&now()[..4], "2020");
    fs::create_dir_all(file.parent().expect("a folder")).expect("a folder");
    fs::write(&file, &old).expect("a file");
    let doctor = Doctor::start(&dir);
    until("it asks", || fs::read_to_string(&file).is_ok_and(|text| !text.contains("request: other")));
    doctor.interrupt();
    doctor.end();
}

#[test]
fn a_doctor_whose_request_another_one_overwrites_says_so_and_leaves_that_one_alone() {
    let dir = planned();
    let doctor = Doctor::start(&dir);
    until("something is asked", || !diagnoses(&dir).is_empty());
    let (file, text) = of_another(&dir);
    fs::write(&file, &text).expect("a file");
    let said = doctor.end();
    assert!(said.contains("another doctor has asked east/e1"), "{said}");
    assert_eq!(fs::read_to_string(&file).expect("a file"), text);
}

#[test]
fn a_doctor_says_that_there_is_nobody_to_test() {
    let run = |dir: &Path, more: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_causeway"));
        command.args(["doctor", "--objects", &dir.display().to_string()]).args(more);
        let output = command.output().expect("causeway runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    // Facts alone: nothing is planned yet.
    let (exit, said) = run(&data().join("many"), &[]);
    assert!(exit == Some(2) && said.contains("nothing is planned there yet"), "{exit:?} {said}");
    let (exit, said) = run(planned().path(), &["--service", "nowhere/10.96.0.1:443"]);
    assert!(exit == Some(2) && said.contains("there is no cluster nowhere"), "{exit:?} {said}");
}
