//! What is taken from an API server: only fields that are named here, and no Secret, ConfigMap or environment
//! variable's value is ever asked for or kept.

use causeway_api::{API_VERSION, Kind, SYSTEM_NAMESPACE};
use futures::{StreamExt, stream};
use serde_json::{Map, Value, json};

use super::archive::Archive;
use crate::error::Error;
use crate::live;
use crate::source::Hub;

/// Objects in a page of a list.
const PAGE: usize = 1000;
/// Events that are looked through.
const EVENTS: usize = 20_000;
/// Pods of agents whose logs are taken; those that are not ready come first.
const AGENTS: usize = 20;
/// Logs that are asked for at the same time.
const AT_ONCE: usize = 8;

/// Puts what is there in, below the folder `folder`. What cannot be had is noted.
pub async fn add(archive: &mut Archive, server: &Hub, folder: &str, log_lines: u32) {
    for kind in Kind::ALL {
        let path = format!("/apis/{API_VERSION}/{}", kind.plural());
        let file = format!("{folder}/objects/{}.yaml", kind.plural());
        take(archive, server, &path, usize::MAX, &file, ours).await;
    }
    let system = |group: &str, plural: &str| format!("{group}/namespaces/{SYSTEM_NAMESPACE}/{plural}");
    let lists: [(String, usize, &str, Keep); 8] = [
        (system("/apis/apps/v1", "deployments"), PAGE, "deployments", workload),
        (system("/apis/apps/v1", "daemonsets"), PAGE, "daemonsets", workload),
        (system("/api/v1", "pods"), usize::MAX, "pods", pod),
        (system("/apis/coordination.k8s.io/v1", "leases"), PAGE, "leases", lease),
        ("/api/v1/nodes".to_owned(), usize::MAX, "nodes", node),
        ("/api/v1/namespaces".to_owned(), usize::MAX, "namespaces", namespace),
        ("/apis/events.k8s.io/v1/events".to_owned(), EVENTS, "events", event),
        (
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions".to_owned(),
            usize::MAX,
            "definitions",
            definition,
        ),
    ];
    for (path, most, name, keep) in lists {
        take(archive, server, &path, most, &format!("{folder}/kubernetes/{name}.yaml"), keep).await;
    }
    match live::get(&server.client, &server.name, "get /version", "/version").await {
        Ok(text) => archive.text(format!("{folder}/kubernetes/version.json"), &text),
        Err(error) => archive.lacks(error),
    }
    logs(archive, server, folder, log_lines).await;
}

/// What of an object is kept; `None` if it is not looked at.
type Keep = fn(&Value) -> Option<Value>;

async fn take(archive: &mut Archive, server: &Hub, path: &str, most: usize, file: &str, keep: Keep) {
    match list(server, path, most).await {
        Ok(items) => {
            let kept: Vec<Value> = items.iter().filter_map(keep).collect();
            archive.documents(file, &kept);
        }
        Err(error) => archive.lacks(error),
    }
}

async fn list(server: &Hub, path: &str, most: usize) -> Result<Vec<Value>, Error> {
    let what = format!("list {path}");
    let (mut items, mut next) = (Vec::new(), String::new());
    loop {
        let text =
            live::get(&server.client, &server.name, &what, &format!("{path}?limit={PAGE}{next}")).await?;
        let mut page: Value =
            serde_json::from_str(&text).map_err(|error| Error::Answer { what: what.clone(), error })?;
        // Items of a list do not say what they are.
        let kind = page["kind"].as_str().and_then(|kind| kind.strip_suffix("List")).map(str::to_owned);
        let version = page["apiVersion"].clone();
        if let Value::Array(found) = page["items"].take() {
            items.extend(found.into_iter().map(|mut item| {
                if let (Some(kind), true) = (&kind, item.is_object()) {
                    item["kind"] = json!(kind);
                    item["apiVersion"] = version.clone();
                }
                item
            }));
        }
        match page["metadata"]["continue"].as_str().filter(|token| !token.is_empty()) {
            Some(token) if items.len() < most => next = format!("&continue={token}"),
            _ => return Ok(items),
        }
    }
}

/// The fields of `object` that `names` list, where they are there.
fn pick(object: &Value, names: &[&str]) -> Value {
    let fields = names.iter().filter_map(|name| Some(((*name).to_owned(), object.get(name)?.clone())));
    Value::Object(fields.collect::<Map<String, Value>>())
}

/// Metadata without annotations but ours, and without who wrote which field.
fn metadata(object: &Value) -> Value {
    let mut kept = pick(
        &object["metadata"],
        &[
            "name",
            "namespace",
            "labels",
            "generation",
            "creationTimestamp",
            "deletionTimestamp",
            "finalizers",
            "uid",
            "resourceVersion",
        ],
    );
    let annotations = object["metadata"]["annotations"].as_object().into_iter().flatten();
    let ours: Map<String, Value> = annotations
        .filter(|(key, _)| key.starts_with("causeway.dev/"))
        .map(|(key, value)| (key.clone(), value.clone()))
        .collect();
    if !ours.is_empty() {
        kept["annotations"] = Value::Object(ours);
    }
    kept
}

fn with(object: &Value, fields: Value) -> Option<Value> {
    let mut kept = pick(object, &["apiVersion", "kind"]);
    kept["metadata"] = metadata(object);
    for (name, value) in fields.as_object().into_iter().flatten() {
        kept[name] = value.clone();
    }
    Some(kept)
}

/// One of our own objects: it holds no secret by its definition.
fn ours(object: &Value) -> Option<Value> {
    with(object, pick(object, &["spec", "status"]))
}

fn containers(pods: &Value) -> Value {
    let one = |container: &Value| {
        let mut kept = pick(container, &["name", "image", "command", "args", "resources", "securityContext"]);
        let names =
            container["env"].as_array().into_iter().flatten().map(|variable| variable["name"].clone());
        kept["environment"] = names.collect();
        kept
    };
    pods["containers"].as_array().into_iter().flatten().map(one).collect()
}

fn workload(object: &Value) -> Option<Value> {
    let mut spec = pick(&object["spec"], &["replicas", "strategy", "updateStrategy"]);
    spec["containers"] = containers(&object["spec"]["template"]["spec"]);
    with(object, json!({"spec": spec, "status": object["status"]}))
}

fn pod(object: &Value) -> Option<Value> {
    let mut spec = pick(
        &object["spec"],
        &["nodeName", "hostNetwork", "priorityClassName", "serviceAccountName", "tolerations"],
    );
    spec["containers"] = containers(&object["spec"]);
    with(object, json!({"spec": spec, "status": object["status"]}))
}

fn lease(object: &Value) -> Option<Value> {
    with(object, pick(object, &["spec"]))
}

fn node(object: &Value) -> Option<Value> {
    let spec = pick(&object["spec"], &["podCIDR", "podCIDRs", "providerID", "taints", "unschedulable"]);
    let status = pick(&object["status"], &["addresses", "conditions", "nodeInfo"]);
    with(object, json!({"spec": spec, "status": status}))
}

fn namespace(object: &Value) -> Option<Value> {
    let name = object["metadata"]["name"].as_str()?;
    if name.starts_with("causeway-") { with(object, pick(object, &["status"])) } else { None }
}

/// Events about our objects, and in our namespaces.
fn event(object: &Value) -> Option<Value> {
    let about = object["regarding"]["apiVersion"].as_str().unwrap_or_default();
    let within = object["metadata"]["namespace"].as_str().unwrap_or_default();
    if !about.starts_with("causeway.dev/") && !within.starts_with("causeway-") {
        return None;
    }
    let names = [
        "type",
        "reason",
        "note",
        "action",
        "regarding",
        "related",
        "reportingController",
        "reportingInstance",
        "eventTime",
        "series",
        "deprecatedCount",
        "deprecatedFirstTimestamp",
        "deprecatedLastTimestamp",
    ];
    with(object, pick(object, &names))
}

/// Which versions of our kinds are served; not their schemas.
fn definition(object: &Value) -> Option<Value> {
    let name = object["metadata"]["name"].as_str()?;
    if !name.ends_with(".causeway.dev") {
        return None;
    }
    let versions = object["spec"]["versions"].as_array().into_iter().flatten();
    let versions: Value = versions.map(|version| pick(version, &["name", "served", "storage"])).collect();
    with(
        object,
        json!({"versions": versions, "status": pick(&object["status"], &["conditions", "storedVersions"])}),
    )
}

/// A log to ask for.
struct Log {
    pod: String,
    container: String,
    previous: bool,
}

async fn logs(archive: &mut Archive, server: &Hub, folder: &str, lines: u32) {
    let path = format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods");
    let Ok(pods) = list(server, &path, usize::MAX).await else { return };
    let asked = stream::iter(wanted_logs(&pods)).map(|log| async move {
        let Log { pod, container, previous } = &log;
        let query = format!("container={container}&tailLines={lines}&timestamps=true&previous={previous}");
        let path = format!("/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods/{pod}/log?{query}");
        let answer =
            live::get(&server.client, &server.name, &format!("get the log of Pod {pod}"), &path).await;
        (log, answer)
    });
    let answers: Vec<_> = asked.buffered(AT_ONCE).collect().await;
    for (Log { pod, container, previous }, answer) in answers {
        let suffix = if previous { ".previous" } else { "" };
        match answer {
            Ok(text) => archive.text(format!("{folder}/logs/{pod}/{container}{suffix}.log"), &text),
            Err(error) => archive.lacks(error),
        }
    }
}

fn wanted_logs(pods: &[Value]) -> Vec<Log> {
    let part =
        |pod: &Value, label: &str| pod["metadata"]["labels"][label].as_str().unwrap_or_default().to_owned();
    let ready = |pod: &Value| {
        let conditions = pod["status"]["conditions"].as_array().into_iter().flatten();
        conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True")
    };
    let is_ours = |pod: &&Value| part(pod, "app.kubernetes.io/name") == "causeway";
    let (mut agents, others): (Vec<&Value>, Vec<&Value>) =
        pods.iter().filter(is_ours).partition(|pod| part(pod, "app.kubernetes.io/component") == "agent");
    agents.sort_by_key(|pod| ready(pod));
    let mut logs = Vec::new();
    for pod in others.into_iter().chain(agents.into_iter().take(AGENTS)) {
        let name = pod["metadata"]["name"].as_str().unwrap_or_default();
        for container in pod["spec"]["containers"].as_array().into_iter().flatten() {
            let container = container["name"].as_str().unwrap_or_default();
            let log = |previous| Log { pod: name.to_owned(), container: container.to_owned(), previous };
            logs.push(log(false));
            let statuses = pod["status"]["containerStatuses"].as_array().into_iter().flatten();
            let restarted = |one: &Value| one["name"] == container && one["restartCount"].as_u64() > Some(0);
            if statuses.into_iter().any(restarted) {
                logs.push(log(true));
            }
        }
    }
    logs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_variables_and_foreign_annotations_are_not_kept() {
        let object = json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": {
                "name": "p", "managedFields": [1],
                "annotations": {"causeway.dev/x": "1", "kubectl.kubernetes.io/last-applied-configuration": "hidden"},
            },
            "spec": {
                "nodeName": "n1", "volumes": ["hidden"],
                "containers": [{"name": "c", "image": "i", "env": [{"name": "A", "value": "hidden"}]}],
            },
            "status": {"phase": "Running"},
        });
        let kept = pod(&object).unwrap();
        assert!(!kept.to_string().contains("hidden"), "{kept}");
        assert_eq!(kept["spec"]["containers"][0]["environment"], json!(["A"]));
        assert_eq!(kept["metadata"]["annotations"], json!({"causeway.dev/x": "1"}));
        assert_eq!(kept["status"]["phase"], "Running");
    }

    #[test]
    fn only_events_and_namespaces_of_ours_are_kept() {
        let about = |namespace: &str, version: &str| {
            event(
                &json!({"metadata": {"name": "e", "namespace": namespace}, "regarding": {"apiVersion": version}}),
            )
        };
        assert!(
            about("default", "causeway.dev/v1alpha1").is_some() && about("causeway-system", "v1").is_some()
        );
        assert!(about("default", "v1").is_none());
        assert!(namespace(&json!({"metadata": {"name": "shop"}})).is_none());
    }

    #[test]
    fn agents_that_are_not_ready_are_heard_first_and_what_restarted_is_heard_before_too() {
        let of = |name: &str, component: &str, ready: &str, restarts: u64| {
            json!({
                "metadata": {"name": name, "labels": {"app.kubernetes.io/name": "causeway", "app.kubernetes.io/component": component}},
                "spec": {"containers": [{"name": "c"}]},
                "status": {
                    "conditions": [{"type": "Ready", "status": ready}],
                    "containerStatuses": [{"name": "c", "restartCount": restarts}],
                },
            })
        };
        let mut pods: Vec<Value> = (0..30).map(|n| of(&format!("a{n}"), "agent", "True", 0)).collect();
        pods.push(of("bad", "agent", "False", 2));
        pods.push(of("m", "controller-manager", "True", 0));
        let logs = wanted_logs(&pods);
        let names: Vec<(&str, bool)> = logs.iter().map(|log| (log.pod.as_str(), log.previous)).collect();
        assert_eq!(names[..3], [("m", false), ("bad", false), ("bad", true)]);
        assert_eq!(names.len(), 1 + 20 + 1);
    }
}
