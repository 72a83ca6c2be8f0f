//! What an API server itself refuses, by the schemas and rules of the definitions that are shipped, and in
//! which words.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::collections::BTreeSet;

use causeway_kubernetes::{Client, ensure};
use causeway_test_deploy::eventually;
use causeway_test_deploy::objects::in_folder;
use causeway_test_deploy::samples::full;
use causeway_test_deploy::server::Server;
use kube::core::{ApiResource, DynamicObject, GroupVersionKind};
use kube_client::Api;
use kube_client::api::{Patch, PatchParams, PostParams};
use serde_json::{Value, json};

fn full_status(kind: &str) -> Value {
    let found = json!([{"cidr": "10.1.0.0/16", "source": "Nodes"}]);
    match kind {
        "Cluster" => json!({
            "podCIDRs": found, "serviceCIDRs": found, "overlayCIDRs": ["198.18.0.0/24"],
            "globalCIDRs": [{"cidr": "10.1.0.0/16", "global": "100.64.0.0/16"}],
        }),
        "ClusterNode" => json!({"underlay": ["192.0.2.1"]}),
        "Diagnosis" => json!({
            "host": {"addresses": ["192.0.2.1"], "pods": ["10.1.0.5"]},
            "services": [{"address": "10.96.0.1"}],
            "paths": [{"address": "198.18.1.1", "source": "198.18.0.1"}],
        }),
        _ => json!({}),
    }
}

/// What breaks a rule that a wrong text alone does not: kind, a merge patch of the full object, and the words.
fn broken() -> Vec<(&'static str, Value, &'static str)> {
    let spec = |patch: Value| json!({"spec": patch});
    vec![
        ("ClusterSet", json!({"metadata": {"name": "other"}}), "the one ClusterSet is named default"),
        (
            "ClusterSet",
            spec(json!({"tunnels": {"local": {"port": 4876}}})),
            "bridge and local need different UDP ports",
        ),
        ("Cluster", json!({"metadata": {"name": "a.b"}}), "at most 46 characters and no dot"),
        (
            "Cluster",
            spec(json!({"globalCIDRs": {"mode": "Auto"}})),
            "mode Map needs map, and map needs mode Map",
        ),
        (
            "Cluster",
            spec(json!({"globalCIDRs": {"map": [{"cidr": "10.1.0.0/16", "global": "100.64.0.0/17"}]}})),
            "cidr and global need the same family and the same length",
        ),
        (
            "Cluster",
            spec(json!({"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "In"}]}})),
            "In and NotIn need values; Exists and DoesNotExist take none",
        ),
        (
            "Cluster",
            spec(
                json!({"gateways": {"nodeSelector": {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]}}}),
            ),
            "In and NotIn need values; Exists and DoesNotExist take none",
        ),
        (
            "Cluster",
            spec(json!({"underlay": {"source": "Interface", "canReach": null}})),
            "source Interface needs interface",
        ),
        ("Cluster", spec(json!({"underlay": {"canReach": null}})), "source CanReach needs canReach"),
        ("Cluster", spec(json!({"underlay": {"annotation": "a"}})), "annotation needs source Annotation"),
        ("Cluster", spec(json!({"mode": "Bridge"})), "Unsupported value: \"Bridge\""),
        ("Cluster", spec(json!({"gateways": {"count": 0}})), "should be greater than or equal to 1"),
        ("Cluster", spec(json!({"gateways": {"count": 65}})), "should be less than or equal to 64"),
        ("Cluster", spec(json!({"underlay": {"mtu": 500}})), "should be greater than or equal to 576"),
        (
            "ClusterNode",
            spec(json!({"underlay": ["192.0.2.1", "192.0.2.2"]})),
            "at most one address of each family",
        ),
        (
            "ClusterNode",
            spec(json!({"resolve": {"interface": "eth0"}})),
            "exactly one of interface and canReach",
        ),
        (
            "NodeConfig",
            spec(json!({"role": "Internal"})),
            "roles Node and Gateway have the tunnel bridge, role Internal has not",
        ),
        (
            "NodeConfig",
            spec(json!({"role": "Gateway"})),
            "roles Gateway and Internal have the tunnel local, role Node has not",
        ),
        (
            "NodeConfig",
            spec(json!({"globalCIDRs": [{"cidr": "10.1.0.0/16", "global": "fd00::/16"}]})),
            "cidr and global need the same family and the same length",
        ),
        (
            "ClusterLink",
            json!({"metadata": {"name": "north"}}),
            "a ClusterLink is named like its remote cluster",
        ),
        ("ClusterLink", spec(json!({"sourceCluster": "west"})), "a cluster has no link to itself"),
        (
            "PeerSlice",
            json!({"metadata": {"name": "east.gateways.0"}}),
            "a PeerSlice is named CLUSTER.nodes.N or CLUSTER.gateways.N",
        ),
        (
            "PeerSlice",
            json!({"metadata": {"name": "east.nodes.1"}}),
            "a PeerSlice is named CLUSTER.nodes.N or CLUSTER.gateways.N",
        ),
    ]
}

/// What never changes: kind, a merge patch, and the words.
fn fixed() -> Vec<(&'static str, Value, &'static str)> {
    vec![
        ("NodeConfig", json!({"cluster": "west"}), "a node does not move to another cluster"),
        ("ClusterLink", json!({"sourceCluster": "north"}), "a link does not change its ends"),
        ("ClusterLink", json!({"remoteCluster": "north"}), "a link does not change its ends"),
        ("PeerSlice", json!({"cluster": "west"}), "a slice does not move to another cluster"),
        ("PeerSlice", json!({"scope": "Gateways"}), "a slice does not change its scope"),
        ("PeerSlice", json!({"index": 1}), "a slice does not change its index"),
    ]
}

struct Definition {
    kind: String,
    plural: String,
    namespaced: bool,
    schema: Value,
}

fn definitions() -> Vec<Definition> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    in_folder("deploy/crds")
        .iter()
        .map(|crd| Definition {
            kind: text(&crd["spec"]["names"]["kind"]),
            plural: text(&crd["spec"]["names"]["plural"]),
            namespaced: crd["spec"]["scope"] == "Namespaced",
            schema: crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"].clone(),
        })
        .collect()
}

/// Every rule with its message, by the JSON pointer of what it holds for in a full object.
fn rules(schema: &Value, at: &str, found: &mut Vec<(String, String, String)>) {
    for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
        let text = |field: &str| rule[field].as_str().unwrap_or_default().trim().to_owned();
        found.push((at.to_owned(), text("rule"), text("message")));
    }
    for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
        rules(schema, &format!("{at}/{name}"), found);
    }
    if schema["items"].is_object() {
        rules(&schema["items"], &format!("{at}/0"), found);
    }
}

impl Definition {
    fn api(&self, client: &Client) -> Api<DynamicObject> {
        let kind = GroupVersionKind::gvk("causeway.dev", "v1alpha1", &self.kind);
        let resource = ApiResource::from_gvk_with_plural(&kind, &self.plural);
        if self.namespaced {
            Api::namespaced_with(client.clone(), "default", &resource)
        } else {
            Api::all_with(client.clone(), &resource)
        }
    }

    /// What the server says against the object; empty if nothing.
    async fn refusal(&self, client: &Client, object: &Value) -> String {
        let object: DynamicObject = serde_json::from_value(object.clone()).unwrap();
        let dry = PostParams { dry_run: true, ..PostParams::default() };
        self.api(client).create(&dry, &object).await.map_or_else(|error| error.to_string(), |_| String::new())
    }
}

fn merged(mut object: Value, patch: &Value) -> Value {
    fn merge(target: &mut Value, patch: &Value) {
        let Value::Object(changes) = patch else { return *target = patch.clone() };
        for (key, change) in changes {
            if change.is_null() {
                target.as_object_mut().unwrap().remove(key);
            } else {
                merge(&mut target[key], change);
            }
        }
    }
    merge(&mut object, patch);
    object
}

async fn serve_definitions(client: &Client) {
    for crd in in_folder("deploy/crds") {
        ensure(client, "test", &crd).await.unwrap();
    }
    for definition in definitions() {
        eventually(&definition.kind, async || {
            let said = definition.refusal(client, &full(&definition.kind)).await;
            if said.is_empty() { Ok(()) } else { Err(said) }
        })
        .await;
    }
}

#[tokio::test]
async fn every_rule_of_the_definitions_is_kept_by_a_real_api_server_in_its_own_words() {
    let server = Server::start().await;
    let client = server.admin().await;
    serve_definitions(&client).await;
    let mut tried: BTreeSet<(String, String)> = BTreeSet::new();
    let definitions = definitions();
    let of = |kind: &str| definitions.iter().find(|definition| definition.kind == kind).unwrap();

    for (kind, patch, words) in broken() {
        let said = of(kind).refusal(&client, &merged(full(kind), &patch)).await;
        assert!(said.contains(words), "{kind} {patch}: {said:?}");
        tried.insert((kind.to_owned(), words.to_owned()));
    }
    for (kind, patch, words) in fixed() {
        let definition = of(kind);
        let api = definition.api(&client);
        let object: DynamicObject = serde_json::from_value(full(kind)).unwrap();
        let name = object.metadata.name.clone().unwrap();
        if api.get_opt(&name).await.unwrap().is_none() {
            api.create(&PostParams::default(), &object).await.unwrap();
        }
        let patched = api.patch(&name, &PatchParams::default(), &Patch::Merge(json!({"spec": patch}))).await;
        let said = patched.unwrap_err().to_string();
        assert!(said.contains(words), "{kind} {patch}: {said}");
        tried.insert((kind.to_owned(), words.to_owned()));
    }
    for definition in &definitions {
        wrong_texts(definition, &client, &mut tried).await;
    }
    // No rule is left out.
    for definition in &definitions {
        let mut all = Vec::new();
        rules(&definition.schema, "", &mut all);
        for (at, rule, message) in all {
            let of_kind = |(kind, words): &(String, String)| {
                *kind == definition.kind && message.contains(words.as_str())
            };
            assert!(tried.iter().any(of_kind), "{} {at}: nothing breaks {rule}", definition.kind);
        }
    }
}

/// Breaks each rule on one text, an address or a prefix, wherever it stands.
async fn wrong_texts(definition: &Definition, client: &Client, tried: &mut BTreeSet<(String, String)>) {
    let mut all = Vec::new();
    rules(&definition.schema, "", &mut all);
    for (at, rule, message) in all {
        let wrong = match rule.as_str() {
            "isCIDR(self)" | "isIP(self)" => "nonsense",
            "!isCIDR(self) || cidr(self) == cidr(self).masked()" => "10.1.0.1/16",
            _ => continue,
        };
        let said = if at.starts_with("/status") {
            let mut status = json!({"status": full_status(&definition.kind)});
            *status.pointer_mut(&at).unwrap_or_else(|| panic!("{} has no {at}", definition.kind)) =
                json!(wrong);
            let api = definition.api(client);
            let object: DynamicObject = serde_json::from_value(full(&definition.kind)).unwrap();
            let name = object.metadata.name.clone().unwrap();
            if api.get_opt(&name).await.unwrap().is_none() {
                api.create(&PostParams::default(), &object).await.unwrap();
            }
            let patched = api.patch_status(&name, &PatchParams::default(), &Patch::Merge(status)).await;
            patched.unwrap_err().to_string()
        } else {
            let mut object = full(&definition.kind);
            *object.pointer_mut(&at).unwrap_or_else(|| panic!("{} has no {at}", definition.kind)) =
                json!(wrong);
            definition.refusal(client, &object).await
        };
        assert!(said.contains(&message), "{} {at} = {wrong}: {said:?}", definition.kind);
        tried.insert((definition.kind.clone(), message));
    }
}
