//! Discovery on a real API server: each scenario's objects are written there as their CNI would write them, and
//! controller-manager, with the rights that it is shipped with, finds what the scenario says. Cilium's definitions
//! are its published ones; those of the others are written from their documentation.

#![allow(clippy::unwrap_used, reason = "all of this is tests")]

use std::collections::BTreeMap;
use std::fs;

use causeway_api::{Cluster, ClusterNode};
use causeway_kubernetes::Client;
use causeway_test_deploy::hub::{controller_manager, credential_file, install, join};
use causeway_test_deploy::objects::documents;
use causeway_test_deploy::server::Server;
use causeway_test_deploy::{eventually, kubernetes_folder, repository};
use kube_client::Api;
use kube_client::api::{
    ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams, PostParams,
};
use serde::Deserialize;
use serde_json::{Value, json};

#[derive(Deserialize)]
struct Scenario {
    name: String,
    #[serde(default)]
    spec: Value,
    #[serde(default)]
    objects: Vec<Value>,
    expect: Expect,
}

#[derive(Deserialize)]
struct Expect {
    cni: Option<String>,
    #[serde(default)]
    pods: BTreeMap<String, String>,
    #[serde(default)]
    nodes: BTreeMap<String, Vec<String>>,
}

/// What was found, or is to be.
#[derive(PartialEq, Debug, Default)]
struct Facts {
    cni: Option<String>,
    pods: BTreeMap<String, String>,
    nodes: BTreeMap<String, Vec<String>>,
}

/// Group, version, kind and plural of what CNIs have without publishing it where it could be had by name.
const DOCUMENTED: [(&str, &str, &str, &str); 7] = [
    ("crd.projectcalico.org", "v1", "IPPool", "ippools"),
    ("crd.projectcalico.org", "v1", "BlockAffinity", "blockaffinities"),
    ("crd.projectcalico.org", "v1", "IPAMBlock", "ipamblocks"),
    ("projectcalico.org", "v3", "IPPool", "ippools"),
    ("projectcalico.org", "v3", "BlockAffinity", "blockaffinities"),
    ("projectcalico.org", "v3", "IPAMBlock", "ipamblocks"),
    ("kubeovn.io", "v1", "Subnet", "subnets"),
];

fn definition((group, version, kind, plural): (&str, &str, &str, &str)) -> Value {
    let mut definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}")},
        "spec": {
            "group": group, "scope": "Cluster", "names": {"kind": kind, "plural": plural},
            "versions": [{"name": version, "served": true, "storage": true, "schema": {"openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true,
            }}}],
        },
    });
    if group.ends_with("k8s.io") || group == "projectcalico.org" {
        definition["metadata"]["annotations"] = json!({"api-approved.kubernetes.io": "unapproved, a test"});
    }
    definition
}

/// Cilium's own definitions, as published.
fn published() -> Vec<Value> {
    let folder = kubernetes_folder().join("crds");
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let texts = entries.map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap());
    texts.flat_map(|text| documents(&text)).collect()
}

fn text<'a>(object: &'a Value, at: &str) -> &'a str {
    object.pointer(at).and_then(Value::as_str).unwrap_or_default()
}

fn api(client: &Client, object: &Value) -> Api<DynamicObject> {
    let (group, version) =
        text(object, "/apiVersion").split_once('/').unwrap_or(("", text(object, "/apiVersion")));
    let kind = text(object, "/kind");
    let plural = match kind {
        "BlockAffinity" => "blockaffinities".to_owned(),
        kind => format!("{}s", kind.to_lowercase()),
    };
    let resource = ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version: text(object, "/apiVersion").to_owned(),
        kind: kind.to_owned(),
        plural,
    };
    match text(object, "/metadata/namespace") {
        "" => Api::all_with(client.clone(), &resource),
        namespace => Api::namespaced_with(client.clone(), namespace, &resource),
    }
}

async fn apply(client: &Client, object: &Value) {
    let params = PatchParams::apply("test").force();
    let name = text(object, "/metadata/name");
    // A definition that is new is not served yet, and a namespace has no ServiceAccount yet.
    eventually(name, async || {
        let applied = api(client, object).patch(name, &params, &Patch::Apply(object)).await;
        applied.map(drop).map_err(|error| format!("{object}: {error}"))
    })
    .await;
}

/// Makes a scenario's object one that an API server takes.
fn whole(mut object: Value) -> Value {
    if text(&object, "/kind") == "Pod" {
        for container in object["spec"]["containers"].as_array_mut().into_iter().flatten() {
            container["name"] = json!("c");
            container["image"] = json!("none");
        }
    }
    object
}

/// The API server has that one by itself, and there it says what is true.
fn is_its_own(object: &Value) -> bool {
    text(object, "/kind") == "ServiceCIDR" && text(object, "/metadata/name") == "kubernetes"
}

async fn show(client: &Client, scenario: &Scenario) {
    for object in scenario.objects.iter().filter(|object| !is_its_own(object)).cloned().map(whole) {
        let namespace = text(&object, "/metadata/namespace");
        if !namespace.is_empty() {
            let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
            apply(client, &namespace).await;
        }
        apply(client, &object).await;
    }
}

async fn take_away(client: &Client, scenario: &Scenario) {
    let now = DeleteParams { grace_period_seconds: Some(0), ..DeleteParams::default() };
    for object in scenario.objects.iter().filter(|object| !is_its_own(object)) {
        let name = text(object, "/metadata/name");
        if let Err(error) = api(client, object).delete(name, &now).await {
            panic!("{object}: {error}");
        }
    }
}

async fn found(hub: &Client) -> Facts {
    let clusters: Api<Cluster> = Api::all(hub.clone());
    let nodes: Api<ClusterNode> = Api::namespaced(hub.clone(), "causeway-cluster-east");
    let status = clusters.get("east").await.unwrap().status.unwrap_or_default();
    let nodes = nodes.list(&ListParams::default()).await.unwrap().items.into_iter().map(|node| {
        (node.metadata.name.unwrap(), node.spec.pod_cidrs.into_iter().map(|cidr| cidr.0).collect())
    });
    Facts {
        cni: status.cni,
        pods: status.pod_cidrs.into_iter().map(|found| (found.cidr.0, found.source)).collect(),
        nodes: nodes.collect(),
    }
}

#[tokio::test]
async fn what_each_cni_writes_is_found_on_a_real_api_server() {
    let file = repository("crates/discovery/tests/data/scenarios.yaml");
    let scenarios: Vec<Scenario> = serde_saphyr::from_str(&fs::read_to_string(file).unwrap()).unwrap();
    let (hub, member) = tokio::join!(Server::start(), Server::start());
    let _manager = install(&hub).await;
    let (hub_client, client) = (hub.admin().await, member.admin().await);
    for definition in published().into_iter().chain(DOCUMENTED.map(definition)) {
        apply(&client, &definition).await;
    }
    let clusters: Api<Cluster> = Api::all(hub_client.clone());
    let cluster = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "east"}, "spec": {}});
    clusters.create(&PostParams::default(), &serde_json::from_value(cluster).unwrap()).await.unwrap();
    join(&hub, &member, "east", &[]);
    let folder = credential_file(&client).await;
    let (kubeconfig, log) = (folder.path().join("kubeconfig"), folder.path().join("log"));
    let _controller_manager = controller_manager(&member, "east", &kubeconfig, &log).await;

    let mut tried = 0;
    // What is invalid to an API server never gets there, and of a cluster that shows nothing what was found stays.
    // The second version of Cilium's pools is in no published definition yet.
    let is_possible = |object: &Value| {
        let version = (text(object, "/apiVersion"), text(object, "/kind"));
        version != ("cilium.io/v2", "CiliumPodIPPool") && !object.to_string().contains("nonsense")
    };
    let possible = |scenario: &&Scenario| {
        let is_valid = !scenario.spec.to_string().contains("nonsense");
        is_valid && !scenario.expect.pods.is_empty() && scenario.objects.iter().all(is_possible)
    };
    // Flags of a static Pod that is gone count on, so those who have one come last.
    let mut scenarios: Vec<&Scenario> = scenarios.iter().filter(possible).collect();
    let has_flags = |object: &Value| text(object, "/metadata/name").starts_with("kube-controller-manager");
    scenarios.sort_by_key(|scenario| scenario.objects.iter().any(has_flags));
    for scenario in scenarios {
        let spec = if scenario.spec.is_null() { json!({}) } else { scenario.spec.clone() };
        let of_spec = |field: &str| spec.get(field).cloned().unwrap_or_default();
        let spec = json!({"podCIDRs": of_spec("podCIDRs"), "serviceCIDRs": of_spec("serviceCIDRs"), "cni": of_spec("cni")});
        clusters.patch("east", &PatchParams::default(), &Patch::Merge(json!({"spec": spec}))).await.unwrap();
        show(&client, scenario).await;
        let Expect { cni, pods, nodes } = &scenario.expect;
        let expected = Facts { cni: cni.clone(), pods: pods.clone(), nodes: nodes.clone() };
        eventually(&scenario.name, async || {
            let now = found(&hub_client).await;
            let log = || fs::read_to_string(&log).unwrap();
            if now == expected {
                Ok(())
            } else {
                Err(format!("{now:#?} in place of {expected:#?}\n{}", log()))
            }
        })
        .await;
        take_away(&client, scenario).await;
        tried += 1;
    }
    assert!(tried > 15, "{tried}");
}
