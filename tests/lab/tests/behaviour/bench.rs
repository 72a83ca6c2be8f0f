//! `causeway bench` between nodes of a bed.

use std::path::Path;
use std::process::{Command, Output};

use causeway_lab::Lab;
use serde_json::Value;

use crate::bed::well;
use crate::common::PROGRAM;

fn bench(lab: &Lab, more: &[&str]) -> Output {
    let program = Path::new(PROGRAM).with_file_name("causeway").display().to_string();
    let exec = |node: &str| format!("{PROGRAM} --name {} exec {node} --", lab.name());
    let mut command = Command::new(&program);
    command.args(["bench", "nodes", "--objects"]).arg(lab.objects_dir());
    command.args(["--from", "a/n1", "--to", "b/n1", "--program", &program]);
    command.args(["--exec-from", &exec("a/n1"), "--exec-to", &exec("b/n1")]);
    command.args(["--seconds", "1", "--transfer", "1", "--transfers", "3", "-o", "json"]).args(more);
    command.output().unwrap()
}

#[test]
fn the_tunnel_is_compared_with_the_underlay_between_the_same_two_nodes() {
    let lab = well("bench", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 1, spec: {mode: Gateway}}]");
    for more in [&[][..], &["--ipv6"]] {
        let output = bench(&lab, more);
        let report: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
        assert_eq!((&report["from"], &report["to"]), (&"a/n1".into(), &"b/n1".into()));
        let compared = report["compared"].as_array().unwrap();
        assert_eq!(compared.len(), 4, "{report:#}");
        for kind in compared {
            let names: Vec<&str> = kind["figures"]
                .as_array()
                .unwrap()
                .iter()
                .map(|figure| figure["path"].as_str().unwrap())
                .collect();
            assert_eq!(names, ["underlay", "overlay"]);
        }
        let address = compared[0]["figures"][1]["address"].as_str().unwrap();
        assert_eq!(address.contains(':'), !more.is_empty(), "{address}");
        // Which of the two is faster is no matter here; whether it is to be trusted is in the exit code.
        let trusted = report["trusted"].as_bool().unwrap();
        assert_eq!(output.status.code(), Some(i32::from(!trusted)));
    }
}

#[test]
fn an_end_that_does_not_answer_is_named_with_what_to_look_at() {
    let lab = well("bench-cut", "clusters: [{name: a, nodes: 1}, {name: b, nodes: 1}]");
    lab.exec("b/n1", &["nft", "add table ip cut; add chain ip cut in { type filter hook input priority 0; }; add rule ip cut in tcp dport 4879 drop"])
        .unwrap();
    let output = bench(&lab, &[]);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("port 4879 open") && said.contains("round trip, TCP"), "{said}");
}
