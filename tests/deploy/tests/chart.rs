//! The Helm chart says the same as the plain manifests.

use std::collections::BTreeMap;
use std::process::Command;

use causeway_test_deploy::objects::{Key, assert_labelled, by_key, documents, in_folder};
use causeway_test_deploy::{kubernetes_program, repository, succeed};
use serde_json::Value;

fn helm() -> Command {
    let mut helm = Command::new(kubernetes_program("helm"));
    helm.current_dir(repository("deploy"));
    helm
}

fn rendered(values: &[&str]) -> BTreeMap<Key, Value> {
    let mut command = helm();
    command.args(["template", "causeway", "chart"]);
    for value in values {
        command.args(["--set", value]);
    }
    by_key(documents(&succeed(&mut command)))
}

/// Takes the labels away that only a release has.
fn without_release(mut objects: BTreeMap<Key, Value>) -> BTreeMap<Key, Value> {
    for (key, object) in &mut objects {
        let labels = object["metadata"]["labels"].as_object_mut().expect("labels");
        assert_eq!(labels.remove("app.kubernetes.io/managed-by"), Some("Helm".into()), "{key:?}");
        let chart = concat!("causeway-", env!("CARGO_PKG_VERSION"));
        assert_eq!(labels.remove("helm.sh/chart"), Some(chart.into()), "{key:?}");
    }
    objects
}

fn definitions(kinds: &[&str]) -> Vec<Value> {
    let all = in_folder("deploy/crds").into_iter();
    all.filter(|object| kinds.contains(&object["spec"]["names"]["plural"].as_str().expect("a plural")))
        .collect()
}

/// The plain manifests with a cluster's name in place of the one that they have.
fn plain(folder: &str, cluster: &str, kinds: &[&str]) -> BTreeMap<Key, Value> {
    let manifests = in_folder(folder).into_iter().map(|object| {
        let text = object.to_string().replace("CLUSTER-NAME", cluster);
        serde_json::from_str(&text).expect("JSON")
    });
    let mut objects = definitions(kinds);
    for definition in &mut objects {
        // They stay when the release goes.
        definition["metadata"]["annotations"] = serde_json::json!({"helm.sh/resource-policy": "keep"});
    }
    objects.extend(manifests);
    by_key(objects)
}

const MEMBER_KINDS: [&str; 5] = ["clusternodes", "nodeconfigs", "clusterlinks", "peerslices", "diagnoses"];
const HUB_KINDS: [&str; 7] =
    ["clustersets", "clusters", "clusternodes", "nodeconfigs", "clusterlinks", "peerslices", "diagnoses"];

fn assert_same(chart: &BTreeMap<Key, Value>, plain: &BTreeMap<Key, Value>) {
    let chart = without_release(chart.clone());
    let keys = |objects: &BTreeMap<Key, Value>| objects.keys().cloned().collect::<Vec<Key>>();
    assert_eq!(keys(&chart), keys(plain));
    for (key, object) in plain {
        assert_eq!(chart[key], *object, "{key:?}");
    }
}

#[test]
fn a_hub_by_chart_is_a_hub_by_plain_manifests() {
    assert_same(&rendered(&["role=hub"]), &plain("deploy/manifests/hub", "", &HUB_KINDS));
}

#[test]
fn a_member_by_chart_is_a_member_by_plain_manifests() {
    let chart = rendered(&["role=member", "cluster=east"]);
    assert_same(&chart, &plain("deploy/manifests/member", "east", &MEMBER_KINDS));
}

#[test]
fn a_release_of_both_roles_has_what_either_has_and_the_namespace_that_agents_need() {
    let both = rendered(&["role=both", "cluster=east"]);
    let mut expected = plain("deploy/manifests/hub", "", &HUB_KINDS);
    expected.extend(plain("deploy/manifests/member", "east", &MEMBER_KINDS));
    assert_same(&both, &expected);
}

#[test]
fn values_reach_the_objects_that_they_are_for() {
    let objects = rendered(&[
        "role=both",
        "cluster=east",
        "image.name=registry.example/causeway:1",
        "image.pullSecrets[0].name=pull",
        "podLabels.team=net",
        "podAnnotations.note=x",
        "logFormat=text",
        "agent.maxUnavailable=3",
        "agent.seLinuxOptions.type=spc_t",
        "agent.fastPath=never",
        "agent.resources.limits.memory=256Mi",
        "networkManager.replicas=3",
        "crds=false",
        "createNamespaces=false",
    ]);
    assert!(objects.keys().all(|(kind, ..)| kind != "Namespace" && kind != "CustomResourceDefinition"));
    let workloads: Vec<&Value> =
        objects.values().filter(|o| o["kind"] == "Deployment" || o["kind"] == "DaemonSet").collect();
    assert_eq!(workloads.len(), 3);
    for workload in workloads {
        let template = &workload["spec"]["template"];
        assert_eq!(template["metadata"]["labels"]["team"], "net");
        assert_eq!(template["metadata"]["annotations"]["note"], "x");
        assert_eq!(template["spec"]["imagePullSecrets"][0]["name"], "pull");
        let container = &template["spec"]["containers"][0];
        assert_eq!(container["image"], "registry.example/causeway:1");
        assert!(
            container["args"]
                .as_array()
                .is_some_and(|args| args.iter().any(|arg| arg == "--log-format=text"))
        );
    }
    let key = |kind: &str, name: &str| (kind.to_owned(), Some("causeway-system".to_owned()), name.to_owned());
    let agent = &objects[&key("DaemonSet", "causeway-agent")]["spec"];
    assert_eq!(agent["updateStrategy"]["rollingUpdate"]["maxUnavailable"], 3);
    assert_eq!(agent["template"]["spec"]["securityContext"]["seLinuxOptions"]["type"], "spc_t");
    let container = &agent["template"]["spec"]["containers"][0];
    assert_eq!(container["resources"]["limits"]["memory"], "256Mi");
    assert!(
        container["args"].as_array().is_some_and(|args| args.iter().any(|arg| arg == "--fast-path=never"))
    );
    assert_eq!(objects[&key("Deployment", "causeway-network-manager")]["spec"]["replicas"], 3);
}

#[test]
fn metrics_are_within_reach_only_where_that_is_asked_for() {
    let pods = |objects: &BTreeMap<Key, Value>| -> Vec<Value> {
        let workloads = objects.values().filter(|o| o["kind"] == "Deployment" || o["kind"] == "DaemonSet");
        workloads.map(|object| object["spec"]["template"].clone()).collect()
    };
    let base = ["role=both", "cluster=east", "podAnnotations.note=x"];
    let annotated = rendered(&[&base[..], &["metrics.enabled=true"]].concat());
    for pod in pods(&annotated) {
        let (annotations, container) = (&pod["metadata"]["annotations"], &pod["spec"]["containers"][0]);
        let port = &container["ports"][0];
        assert_eq!(annotations["prometheus.io/scrape"], "true");
        assert_eq!(annotations["prometheus.io/path"], "/metrics");
        assert_eq!(annotations["prometheus.io/port"], port["containerPort"].to_string());
        assert_eq!(annotations["note"], "x");
        let is_agent = container["name"] == "agent";
        let args = container["args"].to_string();
        assert_eq!(args.contains("--listen=[::]:4880"), is_agent, "{args}");
        assert_eq!(port.get("hostIP"), None);
    }
    let is_monitor = |(kind, ..): &Key| kind == "PodMonitor";
    assert!(!annotated.keys().any(is_monitor));
    let monitored = rendered(&[&base[..], &["metrics.enabled=true", "metrics.podMonitor=true"]].concat());
    assert!(monitored.keys().any(is_monitor));
    for pod in pods(&monitored) {
        assert_eq!(pod["metadata"]["annotations"], serde_json::json!({"note": "x"}));
    }
}

#[test]
fn every_object_has_the_labels_of_the_convention_and_the_release_by_name() {
    let values = ["role=both", "cluster=east", "metrics.enabled=true", "metrics.podMonitor=true"];
    let mut command = helm();
    command.args(["template", "other", "chart"]);
    values.iter().for_each(|value| {
        command.args(["--set", value]);
    });
    let objects = documents(&succeed(&mut command));
    assert!(objects.len() > 30);
    for object in &objects {
        assert_labelled(object, "other");
    }
    without_release(by_key(objects));
}

#[test]
fn chart_and_programs_have_one_version() {
    let chart = std::fs::read_to_string(repository("deploy/chart/Chart.yaml")).expect("a chart");
    let chart = documents(&chart).remove(0);
    assert_eq!(chart["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(chart["appVersion"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn values_that_cannot_be_right_are_refused_by_name() {
    for (values, word) in [
        (&["role=master"][..], "/role"),
        (&["cluster=east", "agent.memory=1Gi"], "'memory'"),
        (&["cluster=east", "agent.resources.limits.memory=much"], "/agent/resources/limits/memory"),
        (&["cluster=east", "controllerManager.resources.request.cpu=1"], "'request'"),
        (&["cluster=east", "agent.tolerations[0].opertor=Exists"], "'opertor'"),
        (&["cluster=east", "agent.tolerations[0].effect=Never"], "/agent/tolerations/0/effect"),
        (&["cluster=east", "agent.affinity.node=x"], "'node'"),
        (&["cluster=east", "crds=perhaps"], "/crds"),
        (&["cluster=east", "image.name="], "/image/name"),
        (&["cluster=east", "image.tag=1"], "'tag'"),
        (&["cluster=east", "image.pullSecrets[0].nam=x"], "'nam'"),
        (&["cluster=east", "logFormat=xml"], "/logFormat"),
        (&["cluster=east", "podLabels.a=1"], "/podLabels/a"),
        (&["cluster=east", "metrics.podMonitor=true"], "metrics.enabled"),
        (&["role=member"], "cluster"),
        (&["cluster=East_1"], "/cluster"),
        (&["cluster=east", "imagee=x"], "imagee"),
        (&["cluster=east", "agent.maxUnavailable=0"], "/agent/maxUnavailable"),
        (&["cluster=east", "networkManager.replicas=0"], "/networkManager/replicas"),
    ] {
        let mut command = helm();
        command.args(["template", "causeway", "chart"]);
        values.iter().for_each(|value| {
            command.args(["--set", value]);
        });
        let output = command.output().expect("helm runs");
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && told.contains(word), "{values:?}: {told}");
    }
}

#[test]
fn helm_finds_nothing_to_say() {
    for role in ["hub", "member", "both"] {
        let role = format!("role={role}");
        let told =
            succeed(helm().args(["lint", "--strict", "chart", "--set", "cluster=east", "--set", &role]));
        assert!(!told.contains("[WARNING]") && !told.contains("[ERROR]"), "{told}");
    }
}
