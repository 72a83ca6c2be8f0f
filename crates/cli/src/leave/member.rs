//! The member's side of leaving: what is left to be cleaned up on its nodes, then its objects.
//!
//! Where controller-manager did its part, no NodeConfig is left. Where it did not, it is stopped, and its
//! part is done from here: each NodeConfig gets a finalizer and is deleted; its agent cleans up and says so
//! in its status; then the finalizer goes, and the object with it.

use std::fmt::Debug;

use causeway_api::conditions::{CLEANED_UP, PROGRAMMED};
use causeway_api::{
    CLEANUP_FINALIZER, ClusterLink, ClusterNode, Diagnosis, GROUP, Kind, NodeConfig, PeerSlice,
    SYSTEM_NAMESPACE,
};
use causeway_kubernetes::{Client, DynamicObject, NameRef, RequestError};
use causeway_model::{ClusterName, SHARED_NAMESPACE};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Node};
use kube::core::{ApiResource, GroupVersionKind, NamespaceResourceScope, TypeMeta};
use kube_client::Api;
use kube_client::api::{DeleteParams, ListParams, Patch, PatchParams};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::access::{self, Look};
use crate::apply::{Became, Changes, Side};
use crate::error::Error;
use crate::join::read_cluster;
use crate::leave::LeaveArgs;
use crate::{credential, manifests};

const CONTROLLER_MANAGER: &str = "causeway-controller-manager";

/// A member that is joined under another name is not the one that was meant.
///
/// # Errors
/// [`Error::OtherCluster`]. A member that does not answer is no error with --force.
pub async fn refuse_another_name(client: &Client, args: &LeaveArgs) -> Result<(), Error> {
    let found = match deployment(client, CONTROLLER_MANAGER).await {
        Err(_) if args.force => return Ok(()),
        found => found?,
    };
    match found.as_ref().and_then(manifests::cluster_of) {
        Some(other) if other != args.cluster => {
            Err(Error::OtherCluster { asked: args.cluster.clone(), joined: other })
        }
        _ => Ok(()),
    }
}

/// Cleans up what is left, and removes Causeway from the member.
///
/// # Errors
/// What the API server refuses; [`Error::Timeout`] if nodes do not clean up, unless forced.
pub async fn remove(args: &LeaveArgs, client: &Client, changes: &mut Changes) -> Result<(), Error> {
    // From here on nobody writes copies of plans anew.
    let manager = reference("apps/v1", "Deployment", Some(SYSTEM_NAMESPACE), CONTROLLER_MANAGER);
    delete_and_wait(args, client, &manager, changes).await?;
    clean_up_nodes(args, client, changes).await?;
    delete_copies::<ClusterLink>(client, Kind::ClusterLink).await?;
    delete_copies::<PeerSlice>(client, Kind::PeerSlice).await?;
    delete_copies::<ClusterNode>(client, Kind::ClusterNode).await?;
    delete_copies::<Diagnosis>(client, Kind::Diagnosis).await?;
    let is_hub = is_hub(client, &args.cluster).await?;
    for object in to_delete(args, is_hub)? {
        delete_and_wait(args, client, &object, changes).await?;
    }
    if is_hub {
        changes.note(format!(
            "this API server is a hub: {SYSTEM_NAMESPACE} and the definitions of objects stay"
        ));
    }
    Ok(())
}

/// Whether this API server holds the objects of a clusterset, as far as can be seen: it knows Clusters, and has the
/// namespace that all members read. A member to which all definitions were applied is none by that.
async fn is_hub(client: &Client, name: &ClusterName) -> Result<bool, Error> {
    match read_cluster(client, name).await {
        Ok(_) => {}
        Err(Error::NoHub { .. }) => return Ok(false),
        Err(error) => return Err(error),
    }
    let namespaces: Api<Namespace> = Api::all(client.clone());
    let shared = namespaces.get_metadata_opt(SHARED_NAMESPACE).await;
    Ok(shared.map_err(|error| refused("read", "Namespace", SHARED_NAMESPACE, &error))?.is_some())
}

async fn delete_copies<T>(client: &Client, kind: Kind) -> Result<(), Error>
where
    T: kube::Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
{
    let api: Api<T> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    match api.delete_collection(&DeleteParams::default(), &ListParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube_client::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => {
            let what = format!("delete {kind}s in {SYSTEM_NAMESPACE}");
            Err(Error::Request(RequestError::new(what, &error)))
        }
    }
}

/// What goes, in its order: programs, then what they need. What a hub here needs too stays.
fn to_delete(args: &LeaveArgs, is_hub: bool) -> Result<Vec<NameRef>, Error> {
    let mut objects = manifests::member(manifests::DEFAULT_IMAGE, &args.cluster)?;
    objects.push(credential::readable(""));
    let shared = ["Namespace", "CustomResourceDefinition"];
    let keeps = |object: &Value| is_hub && shared.iter().any(|kind| object["kind"] == *kind);
    objects.retain(|object| !keeps(object));
    let mut names: Vec<NameRef> = objects.iter().rev().filter_map(NameRef::of).collect();
    if !is_hub {
        // Also those that a member does not need, where they were applied with the others.
        let definitions = Kind::ALL.map(|kind| {
            let name = format!("{}.{GROUP}", kind.plural());
            reference("apiextensions.k8s.io/v1", "CustomResourceDefinition", None, &name)
        });
        let others: Vec<NameRef> = definitions.into_iter().filter(|of| !names.contains(of)).collect();
        names.extend(others);
    }
    Ok(names)
}

async fn clean_up_nodes(args: &LeaveArgs, client: &Client, changes: &mut Changes) -> Result<(), Error> {
    let api: Api<NodeConfig> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let Some(configs) = list(&api).await? else { return Ok(()) };
    for config in &configs {
        begin(&api, config).await?;
    }
    let waited =
        access::wait("all nodes have cleaned up", args.limit(), || look_at_nodes(client, &api)).await;
    let late = match waited {
        Err(Error::Timeout { missing, .. }) if args.force => missing,
        result => return result,
    };
    changes.problem(format!("{late}; run `causeway-agent cleanup` on them"));
    for config in list(&api).await?.unwrap_or_default() {
        finish(&api, &config).await?;
    }
    Ok(())
}

/// Deletes a NodeConfig; it stays until its agent has answered.
async fn begin(api: &Api<NodeConfig>, config: &NodeConfig) -> Result<(), Error> {
    let name = config.metadata.name.as_deref().unwrap_or_default();
    if config.metadata.deletion_timestamp.is_some() {
        return Ok(());
    }
    let mut finalizers = config.metadata.finalizers.clone().unwrap_or_default();
    if !finalizers.iter().any(|finalizer| finalizer == CLEANUP_FINALIZER) {
        finalizers.push(CLEANUP_FINALIZER.to_owned());
        set_finalizers(api, name, &finalizers).await?;
    }
    match api.delete(name, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube_client::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(refused("delete", "NodeConfig", name, &error)),
    }
}

/// Lets go of those that have answered, or whose node is gone.
async fn look_at_nodes(client: &Client, api: &Api<NodeConfig>) -> Result<Look<()>, Error> {
    let nodes: Api<Node> = Api::all(client.clone());
    let mut waiting = Vec::new();
    for config in list(api).await?.unwrap_or_default() {
        let name = config.metadata.name.clone().unwrap_or_default();
        let node = nodes.get_metadata_opt(&name).await;
        let node = node.map_err(|error| refused("read", "Node", &name, &error))?;
        if node.is_none() || has_cleaned_up(&config) {
            finish(api, &config).await?;
        } else {
            waiting.push(name);
        }
    }
    Ok(if waiting.is_empty() { Look::Done(()) } else { Look::Missing(unfinished(&waiting)) })
}

fn unfinished(nodes: &[String]) -> String {
    let shown = nodes.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
    let more = nodes.len().saturating_sub(5);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("nodes that have not cleaned up: {shown}{more}")
}

/// Whether the agent has answered to the deletion.
fn has_cleaned_up(config: &NodeConfig) -> bool {
    let Some(status) = &config.status else { return false };
    config.metadata.deletion_timestamp.is_some()
        && status.conditions.iter().any(|condition| {
            condition.type_ == PROGRAMMED
                && condition.reason == CLEANED_UP
                && condition.observed_generation == config.metadata.generation
        })
}

async fn finish(api: &Api<NodeConfig>, config: &NodeConfig) -> Result<(), Error> {
    let name = config.metadata.name.as_deref().unwrap_or_default();
    let mut finalizers = config.metadata.finalizers.clone().unwrap_or_default();
    finalizers.retain(|finalizer| finalizer != CLEANUP_FINALIZER);
    set_finalizers(api, name, &finalizers).await
}

async fn set_finalizers(api: &Api<NodeConfig>, name: &str, finalizers: &[String]) -> Result<(), Error> {
    let patch = json!({"metadata": {"finalizers": finalizers}});
    match api.patch_metadata(name, &PatchParams::default(), &Patch::Merge(&patch)).await {
        Ok(_) => Ok(()),
        Err(kube_client::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(refused("change finalizers of", "NodeConfig", name, &error)),
    }
}

/// All of them; `None` if their kind is not served any more.
async fn list(api: &Api<NodeConfig>) -> Result<Option<Vec<NodeConfig>>, Error> {
    match api.list(&ListParams::default()).await {
        Ok(list) => Ok(Some(list.items)),
        Err(kube_client::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => {
            let what = format!("list {}s in {SYSTEM_NAMESPACE}", Kind::NodeConfig);
            Err(Error::Request(RequestError::new(what, &error)))
        }
    }
}

/// Deletes an object after what it owns, and waits until it is gone.
async fn delete_and_wait(
    args: &LeaveArgs,
    client: &Client,
    object: &NameRef,
    changes: &mut Changes,
) -> Result<(), Error> {
    let api = dynamic(client, object)?;
    match api.delete(&object.name, &DeleteParams::foreground()).await {
        Ok(_) => {}
        Err(kube_client::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(Error::Request(RequestError::new(format!("delete {object}"), &error))),
    }
    access::wait(&format!("{object} is gone"), args.limit(), || async {
        let found = api.get_metadata_opt(&object.name).await;
        let found =
            found.map_err(|error| Error::Request(RequestError::new(format!("read {object}"), &error)))?;
        Ok(found.map_or(Look::Done(()), |_| Look::Missing(format!("{object} is being deleted"))))
    })
    .await?;
    changes.add(Side::Member, object, Became::Deleted);
    Ok(())
}

fn dynamic(client: &Client, object: &NameRef) -> Result<Api<DynamicObject>, Error> {
    let types = TypeMeta { api_version: object.api_version.clone(), kind: object.kind.clone() };
    let kind = GroupVersionKind::try_from(&types).map_err(|error| Error::Manifest(error.to_string()))?;
    let resource = ApiResource::from_gvk(&kind);
    Ok(match &object.namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    })
}

async fn deployment(client: &Client, name: &str) -> Result<Option<Deployment>, Error> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    api.get_opt(name).await.map_err(|error| refused("read", "Deployment", name, &error))
}

fn reference(api_version: &str, kind: &str, namespace: Option<&str>, name: &str) -> NameRef {
    NameRef {
        api_version: api_version.to_owned(),
        kind: kind.to_owned(),
        namespace: namespace.map(str::to_owned),
        name: name.to_owned(),
    }
}

fn refused(verb: &str, kind: &str, name: &str, error: &kube_client::Error) -> Error {
    Error::Request(RequestError::new(format!("{verb} {kind} {name}"), error))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(deleted: bool, reason: &str, observed: i64) -> NodeConfig {
        let mut metadata = json!({"name": "n1", "generation": 2});
        if deleted {
            metadata["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        }
        let condition = json!({
            "type": "Programmed", "status": "False", "reason": reason, "message": "",
            "observedGeneration": observed, "lastTransitionTime": "2026-01-01T00:00:00Z",
        });
        serde_json::from_value(json!({
            "apiVersion": causeway_api::API_VERSION, "kind": "NodeConfig", "metadata": metadata,
            "spec": {"cluster": "a", "role": "Node", "underlay": [], "overlay": [], "tunnels": {}},
            "status": {"conditions": [condition]},
        }))
        .unwrap()
    }

    #[test]
    fn an_answer_counts_if_it_is_to_this_deletion() {
        assert!(has_cleaned_up(&config(true, "CleanedUp", 2)));
        assert!(!has_cleaned_up(&config(false, "CleanedUp", 2)));
        assert!(!has_cleaned_up(&config(true, "InKernel", 2)));
        assert!(!has_cleaned_up(&config(true, "CleanedUp", 1)));
    }

    #[test]
    fn many_nodes_are_counted_and_some_are_named() {
        let nodes: Vec<String> = (1..=7).map(|n| format!("n{n}")).collect();
        assert_eq!(unfinished(&nodes), "nodes that have not cleaned up: n1, n2, n3, n4, n5 and 2 more");
        assert_eq!(unfinished(&nodes[..2]), "nodes that have not cleaned up: n1, n2");
    }

    #[test]
    fn agents_go_before_their_rights_and_a_hub_keeps_what_it_needs() {
        let args = |words: &[&str]| {
            use clap::{Args as _, FromArgMatches};
            let command = LeaveArgs::augment_args(clap::Command::new("leave"));
            LeaveArgs::from_arg_matches(&command.get_matches_from(words)).unwrap()
        };
        let args = args(&["leave", "--cluster", "east"]);
        let all = to_delete(&args, false).unwrap();
        let at = |kind: &str| all.iter().position(|object| object.kind == kind).unwrap();
        assert!(at("DaemonSet") < at("ServiceAccount"));
        assert!(at("Secret") < at("Namespace"));
        let definitions = all.iter().filter(|object| object.kind == "CustomResourceDefinition").count();
        assert_eq!(definitions, Kind::ALL.len());
        let kept = to_delete(&args, true).unwrap();
        assert!(
            kept.iter()
                .all(|object| !["Namespace", "CustomResourceDefinition"].contains(&object.kind.as_str()))
        );
        assert_eq!(kept.len(), all.len() - 1 - definitions);
    }
}
