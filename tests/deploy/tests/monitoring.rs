//! Alert rules and dashboard: understood by Prometheus, about metrics that there are, and each alert tried both ways.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::process::Command;

use causeway_metrics::catalogue::{ALL, Kind};
use causeway_test_deploy::{repository, succeed};
use serde_json::{Value, json};

fn read(name: &str) -> String {
    fs::read_to_string(repository("deploy/monitoring").join(name)).unwrap()
}

fn yaml(name: &str) -> Value {
    serde_saphyr::from_str(&read(name)).unwrap()
}

/// Prometheus' own checks; `make deps` installs the program.
fn promtool(arguments: &[&str]) -> String {
    let mut command = Command::new("promtool");
    command.current_dir(repository("deploy/monitoring")).args(arguments);
    succeed(&mut command)
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().unwrap().iter()
}

fn alerts() -> Vec<Value> {
    list(&yaml("alerts.yaml")["groups"])
        .flat_map(|group| group["rules"].as_array().unwrap().clone())
        .collect()
}

/// The expressions of a dashboard's panels, with what Grafana puts in place of its variables.
fn expressions(dashboard: &Value) -> Vec<String> {
    let targets = list(&dashboard["panels"]).filter_map(|panel| panel["targets"].as_array()).flatten();
    let whole = |target: &Value| {
        let text = target["expr"].as_str().unwrap().replace("$__rate_interval", "5m");
        let text = text.replace("$remote", ".*").replace("$node", ".*");
        assert!(!text.contains('$'), "{text}");
        text
    };
    targets.map(whole).collect()
}

/// Every name in a text that looks like one of a metric of ours.
fn names(text: &str) -> BTreeSet<String> {
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    let ours = |word: &&str| word.starts_with("causeway_") || word.starts_with("process_");
    words.filter(ours).map(str::to_owned).collect()
}

/// The names of all samples that there may be.
fn samples() -> BTreeSet<String> {
    let of = |metric: &&causeway_metrics::Metric| match metric.kind {
        Kind::Histogram(_) => {
            ["_bucket", "_sum", "_count"].map(|end| format!("{}{end}", metric.name)).to_vec()
        }
        Kind::Counter | Kind::Gauge => vec![metric.name.to_owned()],
    };
    ALL.iter().flat_map(of).collect()
}

#[test]
fn prometheus_takes_the_rules_and_their_tests_hold() {
    promtool(&["check", "rules", "alerts.yaml"]);
    promtool(&["test", "rules", "alerts.test.yaml"]);
}

#[test]
fn each_alert_is_tried_when_it_is_told_and_when_not_and_says_what_to_do() {
    let mut tried: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    for test in list(&yaml("alerts.test.yaml")["tests"]) {
        for case in list(&test["alert_rule_test"]) {
            let (told, quiet) = tried.entry(case["alertname"].as_str().unwrap().to_owned()).or_default();
            *(if list(&case["exp_alerts"]).next().is_some() { told } else { quiet }) += 1;
        }
    }
    for alert in alerts() {
        let name = alert["alert"].as_str().unwrap();
        let (told, quiet) = tried.remove(name).unwrap_or_default();
        assert!(told > 0 && quiet > 0, "{name} is told in {told} tests and not in {quiet}");
        let severity = alert["labels"]["severity"].as_str().unwrap();
        assert!(["critical", "warning", "info"].contains(&severity), "{name}: {severity}");
        for text in ["summary", "description"] {
            assert!(
                alert["annotations"][text].as_str().is_some_and(|text| text.len() > 20),
                "{name}: {text}"
            );
        }
    }
    assert!(tried.is_empty(), "tests of no alert: {tried:?}");
}

#[test]
fn rules_and_panels_name_only_metrics_that_there_are() {
    let there = samples();
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let rules = alerts().into_iter().map(|alert| alert["expr"].as_str().unwrap().to_owned());
    for expression in rules.chain(expressions(&dashboard)) {
        let named = names(&expression);
        assert!(!named.is_empty(), "{expression} is about nothing");
        for name in named {
            assert!(there.contains(&name), "{name} in {expression}");
        }
    }
}

#[test]
fn the_expressions_of_the_dashboard_are_such_to_prometheus() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    let rules: Vec<Value> = expressions(&dashboard)
        .into_iter()
        .enumerate()
        .map(|(at, expr)| json!({"record": format!("panel:{at}"), "expr": expr}))
        .collect();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("panels.yaml");
    // JSON is YAML too.
    fs::write(&file, json!({"groups": [{"name": "panels", "rules": rules}]}).to_string()).unwrap();
    promtool(&["check", "rules", file.to_str().unwrap()]);
}

#[test]
fn panels_have_numbers_of_their_own_a_place_a_source_and_words() {
    let dashboard: Value = serde_json::from_str(&read("dashboard.json")).unwrap();
    assert!(dashboard["schemaVersion"].as_u64().unwrap() >= 36 && dashboard["uid"] == "causeway");
    let variables: BTreeSet<&str> =
        list(&dashboard["templating"]["list"]).map(|one| one["name"].as_str().unwrap()).collect();
    assert_eq!(variables, ["datasource", "node", "remote"].into());
    let (mut ids, mut taken) = (BTreeSet::new(), BTreeSet::new());
    for panel in list(&dashboard["panels"]) {
        let title = panel["title"].as_str().unwrap();
        assert!(ids.insert(panel["id"].as_u64().unwrap()), "{title}");
        let at = |key: &str| panel["gridPos"][key].as_u64().unwrap();
        assert!(at("x") + at("w") <= 24, "{title}");
        for x in at("x")..at("x") + at("w") {
            for y in at("y")..at("y") + at("h") {
                assert!(taken.insert((x, y)), "{title} overlaps another one");
            }
        }
        if panel["type"] == "row" {
            continue;
        }
        assert!(["timeseries", "stat"].contains(&panel["type"].as_str().unwrap()), "{title}");
        assert!(panel["description"].as_str().is_some_and(|text| text.len() > 5), "{title}");
        assert!(panel["fieldConfig"]["defaults"]["unit"].is_string(), "{title}");
        for target in list(&panel["targets"]) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
        }
    }
}
