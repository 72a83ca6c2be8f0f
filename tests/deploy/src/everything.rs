//! All that an API server holds, so that what something leaves behind shows whatever it is.

use std::collections::BTreeMap;

use causeway_kubernetes::{Client, DynamicObject};
use kube_client::Api;
use kube_client::api::ListParams;
use kube_client::discovery::{Discovery, Scope, verbs};
use serde_json::Value;

use crate::eventually;

/// Objects by `RESOURCE.GROUP NAMESPACE/NAME`, without what changes by itself: versions, who wrote which field, statuses.
pub type Everything = BTreeMap<String, Value>;

/// What comes and goes by itself: Events, and how parts of the control plane are.
const PASSING: [&str; 2] = ["events", "componentstatuses"];

/// Reads all objects of all kinds.
///
/// # Errors
/// If some cannot be listed, such as those of a kind that is just going.
pub async fn everything(admin: &Client) -> Result<Everything, String> {
    let discovery = Discovery::new(admin.clone()).run().await.map_err(|error| error.to_string())?;
    let mut found = Everything::new();
    for (resource, capabilities) in discovery.groups().flat_map(|group| group.recommended_resources()) {
        if !capabilities.supports_operation(verbs::LIST) || PASSING.contains(&resource.plural.as_str()) {
            continue;
        }
        assert!(matches!(capabilities.scope, Scope::Cluster | Scope::Namespaced));
        let api: Api<DynamicObject> = Api::all_with(admin.clone(), &resource);
        let list = api.list(&ListParams::default()).await;
        for object in list.map_err(|error| format!("{}: {error}", resource.plural))?.items {
            let key = format!(
                "{}.{} {}/{}",
                resource.plural,
                resource.group,
                object.metadata.namespace.as_deref().unwrap_or_default(),
                object.metadata.name.as_deref().unwrap_or_default()
            );
            found.insert(key, lasting(object, &resource.plural));
        }
    }
    Ok(found)
}

/// The same, as soon as all can be listed: kinds that are just coming or going cannot for a moment.
///
/// # Panics
/// If they never can.
pub async fn all(admin: &Client) -> Everything {
    eventually("a list of all objects", async || everything(admin).await).await
}

fn lasting(mut object: DynamicObject, plural: &str) -> Value {
    object.metadata.resource_version = None;
    object.metadata.managed_fields = None;
    let mut value = serde_json::to_value(object).expect("JSON");
    if let Some(fields) = value.as_object_mut() {
        fields.remove("status");
        // The time of the last renewal.
        if plural == "leases" {
            fields.remove("spec");
        }
    }
    value
}

/// What is in one and not in the other, or not the same in both.
pub fn difference(before: &Everything, after: &Everything) -> Vec<String> {
    let gone = before.keys().filter(|key| !after.contains_key(*key)).map(|key| format!("gone: {key}"));
    let others = after.iter().filter_map(|(key, value)| match before.get(key) {
        None => Some(format!("left: {key}")),
        Some(old) if old != value => Some(format!("changed: {key}\n{old}\n{value}")),
        Some(_) => None,
    });
    gone.chain(others).collect()
}

/// Waits until all is as it was `before`: what owns nothing any more is collected, a namespace ends, in the background.
///
/// # Panics
/// If it does not come to that, with what differs.
pub async fn is_as_before(admin: &Client, before: &Everything) {
    eventually("everything is as before", async || {
        let differs = difference(before, &everything(admin).await?);
        if differs.is_empty() { Ok(()) } else { Err(differs.join("\n")) }
    })
    .await;
}

/// What an API server that nobody uses holds when it has come to rest.
///
/// # Panics
/// If it never rests.
pub async fn at_rest(admin: &Client) -> Everything {
    eventually("an API server at rest", async || {
        let first = everything(admin).await?;
        // Made by the control plane after its start, the last of them by kube-controller-manager.
        let made = ["configmaps. kube-public/kube-root-ca.crt", "serviceaccounts. default/default"];
        if let Some(missing) = made.iter().find(|key| !first.contains_key(**key)) {
            return Err(format!("{missing} is not there yet"));
        }
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let differs = difference(&first, &everything(admin).await?);
        if differs.is_empty() { Ok(first) } else { Err(differs.join("\n")) }
    })
    .await
}
