//! A clusterset at a hub, with what its managers would say of it.

use causeway_kubernetes::ensure;
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Namespace;
use kube_client::api::{DynamicObject, Patch, PatchParams};
use kube_client::core::{ApiResource, GroupVersionKind};
use kube_client::{Api, Client};
use serde_json::{Value, json};

use crate::eventually;

/// Requests at the same time.
const AT_ONCE: usize = 32;

/// Makes `object` be there.
///
/// # Panics
/// If the API server does not take it, in the end.
pub async fn given(client: &Client, object: Value) {
    let what = format!("{} {}", object["kind"], object["metadata"]["name"]);
    eventually(&what, async || ensure(client, "test", &object).await.map_err(|error| error.to_string()))
        .await;
}

/// An object of ours.
pub fn ours(kind: &str, namespace: Option<&str>, name: &str, spec: Value) -> Value {
    let metadata = json!({"name": name, "namespace": namespace});
    let mut object =
        json!({"apiVersion": "causeway.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec});
    if namespace.is_none() {
        object["metadata"] = json!({"name": name});
    }
    object
}

/// A condition.
pub fn condition(type_: &str, status: &str, reason: &str, message: &str) -> Value {
    json!({
        "type": type_, "status": status, "reason": reason, "message": message,
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    })
}

/// Writes a part of a status, under the name of `manager`.
///
/// # Panics
/// If the API server does not take it, in the end.
pub async fn say(
    client: &Client,
    manager: &str,
    kind: &str,
    namespace: Option<&str>,
    name: &str,
    status: Value,
) {
    let gvk = GroupVersionKind::gvk("causeway.dev", "v1alpha1", kind);
    let resource = ApiResource::from_gvk(&gvk);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut object = ours(kind, namespace, name, Value::Null);
    if let Some(fields) = object.as_object_mut() {
        fields.remove("spec");
    }
    object["status"] = status;
    let params = PatchParams::apply(manager).force();
    eventually(&format!("the status of {kind} {name}"), async || {
        let done = api.patch_status(name, &params, &Patch::Apply(&object)).await;
        done.map(drop).map_err(|error| error.to_string())
    })
    .await;
}

/// Makes `count` clusters with a link for each ordered pair, and says that all is well with them. Nobody but the
/// caller writes at this hub.
///
/// # Panics
/// If the API server does not take it.
pub async fn healthy(client: &Client, count: usize) {
    let well =
        json!([condition("Accepted", "True", "Accepted", ""), condition("Ready", "True", "Ready", "")]);
    let well = &well;
    let one = async |cluster: usize| {
        let name = format!("c{cluster}");
        let namespace = format!("causeway-cluster-{name}");
        let meta = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        given(client, meta).await;
        let spec = json!({"mode": "P2P", "podCIDRs": [format!("10.{cluster}.0.0/16")]});
        given(client, ours("Cluster", None, &name, spec)).await;
        let status = json!({"conditions": well, "nodes": {"ready": 1000, "total": 1000}, "cni": "flannel"});
        say(client, "causeway-controller-manager", "Cluster", None, &name, status).await;
        for remote in (0..count).filter(|remote| *remote != cluster) {
            let to = format!("c{remote}");
            let prefixes = json!([{"cidr": format!("10.{remote}.0.0/16"), "kind": "Pod", "via": "Nodes"}]);
            let spec =
                json!({"sourceCluster": name, "remoteCluster": to, "via": "Nodes", "prefixes": prefixes});
            given(client, ours("ClusterLink", Some(&namespace), &to, spec)).await;
            let status =
                json!({"conditions": well, "nodes": {"ready": 1000, "total": 1000}, "rtt": "0.42ms"});
            say(client, "causeway-controller-manager", "ClusterLink", Some(&namespace), &to, status).await;
        }
    };
    stream::iter(0..count).map(one).buffer_unordered(AT_ONCE).collect::<Vec<()>>().await;
}

/// Waits until a namespace is there.
///
/// # Panics
/// If it never is.
pub async fn namespace_is_there(client: &Client, name: &str) {
    let namespaces: Api<Namespace> = Api::all(client.clone());
    crate::until(name, async || namespaces.get_opt(name).await.is_ok_and(|found| found.is_some())).await;
}
