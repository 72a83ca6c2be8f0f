//! What clusters of each kind show, and what is found of them. The scenarios are data.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

use std::collections::BTreeMap;
use std::sync::LazyLock;

use causeway_api::{ClusterSpec, CniType};
use causeway_discovery::{Found, Source, SourceId, sources};
use proptest::prelude::*;
use serde::Deserialize;
use serde_json::Value;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    #[serde(default)]
    spec: ClusterSpec,
    #[serde(default)]
    objects: Vec<Value>,
    /// Sources that cannot be read.
    #[serde(default)]
    unavailable: Vec<String>,
    #[serde(default)]
    service_errors: Vec<String>,
    expect: Expect,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(deny_unknown_fields)]
struct Expect {
    cni: Option<String>,
    #[serde(default)]
    pods: BTreeMap<String, String>,
    #[serde(default)]
    services: BTreeMap<String, String>,
    #[serde(default)]
    nodes: BTreeMap<String, Vec<String>>,
    reason: String,
    /// Words that the condition's message has.
    #[serde(default)]
    says: Vec<String>,
}

fn text<'a>(object: &'a Value, at: &str) -> &'a str {
    object.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

/// The source that an object is of.
fn source_of(object: &Value) -> Option<Source> {
    let group_version = |source: &Source| match source.group {
        "" => source.version.to_owned(),
        group => format!("{group}/{}", source.version),
    };
    sources(CniType::Auto).into_iter().find(|source| {
        group_version(source) == text(object, "/apiVersion")
            && source.kind == text(object, "/kind")
            && source.name.is_none_or(|name| name == text(object, "/metadata/name"))
            && source.namespace.is_none_or(|namespace| namespace == text(object, "/metadata/namespace"))
            && source.labels.is_none_or(|labels| {
                labels == format!("component={}", text(object, "/metadata/labels/component"))
            })
    })
}

/// The source that an object is of, and its name there; a Node is of none.
fn place_of(object: &Value) -> Option<(SourceId, String)> {
    let name = text(object, "/metadata/name");
    if text(object, "/kind") == "Node" {
        return None;
    }
    let source = source_of(object).unwrap_or_else(|| panic!("no source has {object}"));
    let namespace = object.pointer("/metadata/namespace").and_then(Value::as_str);
    Some((source.id, source.id.object_name(namespace, name)))
}

fn hear_objects(found: &mut Found, scenario: &Scenario) {
    for object in &scenario.objects {
        match place_of(object) {
            Some((source, name)) => drop(found.applied(source, &name, object)),
            None => drop(found.node_applied(text(object, "/metadata/name"), object)),
        }
    }
}

fn heard(scenario: &Scenario) -> Found {
    let mut found = Found::default();
    hear_objects(&mut found, scenario);
    for (place, error) in scenario.service_errors.iter().enumerate() {
        found.applied(SourceId::ServiceError, &place.to_string(), &Value::String(error.clone()));
    }
    for source in sources(CniType::Auto) {
        if scenario.unavailable.iter().any(|id| *id == format!("{:?}", source.id)) {
            found.unavailable(source.id, "not allowed");
        } else {
            found.complete(source.id);
        }
    }
    found.nodes_complete();
    found
}

fn result(scenario: &Scenario) -> Expect {
    result_of(&heard(scenario), scenario)
}

fn result_of(found: &Found, scenario: &Scenario) -> Expect {
    let spec = &scenario.spec;
    let findings = found.cluster(spec).unwrap();
    let cni = found.cni(spec);
    let listed = |cidrs: &[causeway_api::DiscoveredCidr]| {
        cidrs.iter().map(|cidr| (cidr.cidr.0.clone(), cidr.source.clone())).collect()
    };
    let nodes = found.node_names().map(|name| {
        let node = found.node(name, spec, cni.as_ref(), &[]).unwrap();
        (name.to_owned(), node.pod_cidrs.into_iter().map(|cidr| cidr.0).collect())
    });
    let message = findings.verdict.message;
    Expect {
        cni: findings.cni,
        pods: listed(&findings.pod_cidrs),
        services: listed(&findings.service_cidrs),
        nodes: nodes.collect(),
        reason: findings.verdict.reason,
        says: scenario.expect.says.iter().filter(|words| message.contains(*words)).cloned().collect(),
    }
}

static SCENARIOS: LazyLock<Vec<Scenario>> =
    LazyLock::new(|| serde_saphyr::from_str(include_str!("data/scenarios.yaml")).unwrap());

fn scenario(name: &str) -> &'static Scenario {
    SCENARIOS.iter().find(|scenario| scenario.name.starts_with(name)).unwrap()
}

#[test]
fn every_scenario_is_found_as_it_is() {
    for scenario in SCENARIOS.iter() {
        assert_eq!(result(scenario), scenario.expect, "{}", scenario.name);
    }
}

#[test]
fn what_is_gone_leaves_nothing_behind() {
    // Flags of a static Pod count on until it is made anew, and answers of a server until there are others.
    let stays = |object: &Value| text(object, "/kind") == "Pod";
    let goes =
        |scenario: &&Scenario| scenario.service_errors.is_empty() && !scenario.objects.iter().any(stays);
    for before in SCENARIOS.iter().filter(goes) {
        for scenario in SCENARIOS.iter().filter(|scenario| scenario.service_errors.is_empty()) {
            let mut found = heard(before);
            for object in &before.objects {
                match place_of(object) {
                    Some((source, name)) => drop(found.deleted(source, &name)),
                    None => found.node_deleted(text(object, "/metadata/name")),
                }
            }
            hear_objects(&mut found, scenario);
            let (now, fresh) = (result_of(&found, scenario), result(scenario));
            let names = format!("{} after {}", scenario.name, before.name);
            assert_eq!((now.pods, now.nodes, now.cni), (fresh.pods, fresh.nodes, fresh.cni), "{names}");
        }
    }
}

#[test]
fn nothing_is_said_before_all_was_heard() {
    let (mut found, spec) = (Found::default(), ClusterSpec::default());
    found.nodes_complete();
    for source in sources(CniType::Auto) {
        assert!(found.cluster(&spec).is_none() && found.cni(&spec).is_none());
        found.complete(source.id);
    }
    assert_eq!(found.cluster(&spec).unwrap().verdict.reason, "NotFound");
}

#[test]
fn a_source_that_cannot_be_read_any_more_keeps_what_it_said() {
    let scenario = scenario("calico, both");
    let mut found = heard(scenario);
    let before = found.cluster(&scenario.spec);
    for source in sources(CniType::Auto) {
        found.unavailable(source.id, "connection refused");
    }
    assert_eq!(found.cluster(&scenario.spec), before);
}

#[test]
fn one_object_concerns_just_the_nodes_that_it_names() {
    let mut found = Found::default();
    let affinity =
        |node: &str| serde_json::json!({"spec": {"cidr": "10.1.0.0/26", "node": node, "state": "confirmed"}});
    let source = SourceId::CalicoAffinities;
    assert_eq!(found.applied(source, "a", &affinity("n1")), Some(["n1".to_owned()].into()));
    assert_eq!(found.applied(source, "a", &affinity("n1")), None);
    let both = ["n1".to_owned(), "n2".to_owned()].into();
    assert_eq!(found.applied(source, "a", &affinity("n2")), Some(both));
    assert_eq!(found.deleted(source, "a"), Some(["n2".to_owned()].into()));
    assert_eq!(found.deleted(source, "a"), None);
}

#[test]
fn a_loan_concerns_lender_and_borrower_and_whoever_lends_or_borrows_with_them() {
    let mut found = Found::default();
    let source = SourceId::CalicoBlocks;
    let block = |cidr: &str, owner: &str, borrowers: &[&str]| {
        let attributes = borrowers.iter().map(|node| serde_json::json!({"secondary": {"node": node}}));
        serde_json::json!({"spec": {
            "cidr": cidr,
            "affinity": format!("host:{owner}"),
            "allocations": (0..borrowers.len()).collect::<Vec<_>>(),
            "attributes": attributes.collect::<Vec<_>>(),
        }})
    };
    let names = |names: &[&str]| Some(names.iter().map(|name| (*name).to_owned()).collect());
    assert_eq!(found.applied(source, "a", &block("10.1.0.0/26", "n1", &["n1", "n2"])), names(&["n1", "n2"]));
    // A pod of its own node changes nothing.
    assert_eq!(found.applied(source, "a", &block("10.1.0.0/26", "n1", &["n1", "n2", "n1"])), None);
    assert_eq!(found.applied(source, "b", &block("10.1.0.64/26", "n3", &["n2"])), names(&["n1", "n2", "n3"]));
    let affinity = serde_json::json!({"spec": {"cidr": "10.1.0.0/26", "node": "n1", "state": "confirmed"}});
    assert_eq!(found.applied(SourceId::CalicoAffinities, "a", &affinity), names(&["n1", "n2"]));
    assert_eq!(found.deleted(source, "b"), names(&["n1", "n2", "n3"]));
    assert_eq!(found.deleted(source, "a"), names(&["n1", "n2"]));
    assert_eq!(found.deleted(SourceId::CalicoAffinities, "a"), names(&["n1"]));
}

/// The CIDRs that were found and where, after Nodes `n4` and on join a cluster.
fn with_more_nodes(scenario: &Scenario, pods: &[&str]) -> BTreeMap<String, String> {
    let mut found = heard(scenario);
    for (place, cidr) in pods.iter().enumerate() {
        let name = format!("n{}", place + 4);
        found.node_applied(&name, &serde_json::json!({"spec": {"podCIDRs": [cidr]}}));
    }
    let cidrs = found.cluster(&scenario.spec).unwrap().pod_cidrs;
    cidrs.into_iter().map(|found| (found.cidr.0, found.source)).collect()
}

#[test]
fn a_node_that_joins_changes_no_cidr_where_something_says_the_range() {
    for name in [
        "generic, the range from kubeadm",
        "generic, the range from the flags",
        "cilium in kubernetes mode, kubeadm",
    ] {
        let scenario = scenario(name);
        assert_eq!(with_more_nodes(scenario, &["10.1.77.0/24"]), scenario.expect.pods, "{name}");
        let outside = with_more_nodes(scenario, &["172.16.0.0/24"]);
        assert!(outside.contains_key("172.16.0.0/24") && !outside.contains_key("10.1.0.0/16"), "{outside:?}");
    }
}

#[test]
fn a_static_pod_that_is_made_anew_changes_nothing() {
    let scenario = scenario("generic, the range from the flags");
    let mut found = heard(scenario);
    let before = found.cluster(&scenario.spec);
    let source = SourceId::ControllerManagerPods;
    assert_eq!(found.deleted(source, "kube-controller-manager-cp2"), Some([].into()));
    assert_eq!(found.cluster(&scenario.spec), before);
    assert_eq!(found.deleted(source, "kube-controller-manager-cp1"), None);
    assert_eq!(found.cluster(&scenario.spec), before);
    let other = |range: &str| {
        let command = ["kube-controller-manager".to_owned(), format!("--cluster-cidr={range}")];
        serde_json::json!({"spec": {"containers": [{"command": command}]}})
    };
    found.applied(source, "kube-controller-manager-cp3", &other("10.0.0.0/8"));
    let cidrs = found.cluster(&scenario.spec).unwrap().pod_cidrs;
    assert_eq!(cidrs.len(), 1);
    assert_eq!(cidrs[0].source, "Pod kube-controller-manager-cp3, --cluster-cidr");
}

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        "[ -~]{0,12}".prop_map(Value::from),
        prop::sample::select(vec![
            "10.0.0.0/8",
            "fd00::/64",
            "10.1.2.3/33",
            "host:n1",
            "confirmed",
            "--cluster-cidr=10.0.0.0/8",
            "{",
            "a: [b"
        ])
        .prop_map(Value::from),
    ];
    let key = prop::sample::select(vec![
        "spec",
        "data",
        "type",
        "allowedUses",
        "networking",
        "podSubnet",
        "cidr",
        "cidrs",
        "node",
        "state",
        "allocations",
        "attributes",
        "secondary",
        "affinity",
        "net-conf.json",
        "Network",
        "ipam",
        "podCIDRs",
        "pools",
        "allocated",
        "cidrBlock",
        "vpc",
        "containers",
        "command",
        "args",
        "ClusterConfiguration",
        "antrea-controller.conf",
        "status",
        "addresses",
        "metadata",
        "name",
        "labels",
        "annotations",
        "conditions",
    ]);
    leaf.prop_recursive(4, 48, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((key.clone(), inner), 0..6).prop_map(|fields| Value::Object(
                fields.into_iter().map(|(k, v)| (k.to_owned(), v)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn no_object_disturbs_what_others_say(objects in prop::collection::vec((0usize..19, any_json()), 1..8), node in any_json()) {
        let scenario = scenario("generic, aggregated");
        let mut found = heard(scenario);
        let all = sources(CniType::Auto);
        for (source, object) in &objects {
            found.applied(all[source % all.len()].id, "odd", object);
        }
        found.node_applied("odd", &node);
        found.cluster(&scenario.spec).unwrap();
        let generic = serde_json::from_value(serde_json::json!({"cni": {"type": "generic"}})).unwrap();
        let cni = found.cni(&generic);
        let own = found.node("n1", &generic, cni.as_ref(), &[]).unwrap();
        prop_assert_eq!(own.pod_cidrs[0].0.as_str(), "10.1.0.0/24");
        for (source, _) in &objects {
            found.deleted(all[source % all.len()].id, "odd");
        }
        found.node_deleted("odd");
        prop_assert_eq!(found.cluster(&scenario.spec), heard(scenario).cluster(&scenario.spec));
    }
}
