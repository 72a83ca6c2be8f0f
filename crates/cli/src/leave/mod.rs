//! `causeway leave`: the other clusters drop the cluster first, then its nodes clean up and say so, then
//! its objects go.
//!
//! A Cluster that is deleted stays, by a finalizer, until network-manager has removed what it planned for it and
//! the cluster's controller-manager has written the condition `Left`: each NodeConfig at the member was
//! deleted, and its agent has answered with `Programmed` false, reason `CleanedUp`. With --force neither is
//! waited for, and what of it can be done from here is done from here.

mod member;

use std::time::Duration;

use causeway_api::{API_VERSION, Cluster, FORCE_LEAVE_ANNOTATION, Kind, conditions};
use causeway_kubernetes::{Client, NameRef, RequestError};
use causeway_model::ClusterName;
use clap::Args;
use kube_client::Api;
use kube_client::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;

use crate::access::{self, HubServerArgs, Look, ServerArgs};
use crate::apply::{Became, Changes, Side};
use crate::error::Error;
use crate::join::read_cluster;
use crate::report::Format;

/// Take a cluster out of the clusterset
///
/// Deletes the Cluster at the hub: the other clusters drop their links to it, its own nodes remove
/// everything of Causeway from their kernels and say so. Then Causeway's programs and objects are removed
/// from the member. Doing it again goes on where it ended.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  causeway leave --cluster east --context east --hub-context hub
  causeway leave --cluster east --hub-kubeconfig hub.conf --kubeconfig east.conf --force")]
pub struct LeaveArgs {
    /// Name of the cluster in the clusterset
    #[arg(long, value_name = "NAME")]
    pub cluster: ClusterName,
    #[command(flatten)]
    pub member: ServerArgs,
    #[command(flatten)]
    pub hub: HubServerArgs,
    /// Do not wait for nodes, or for a hub or a member, that do not answer. Nodes that could not clean up
    /// keep what they have until `causeway-agent cleanup` is run there or they restart
    #[arg(long)]
    pub force: bool,
    /// How long to wait for each step, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    /// How to print the answer
    #[arg(short, long, value_enum, default_value_t, value_name = "FORMAT")]
    pub output: Format,
}

impl LeaveArgs {
    fn limit(&self) -> Duration {
        Duration::from_secs(self.timeout)
    }
}

/// Takes the cluster out.
///
/// # Errors
/// What an API server refuses, and [`Error::Timeout`] with what is missing. With --force these become
/// findings of the report.
pub async fn run(args: &LeaveArgs) -> Result<Changes, Error> {
    let hub = access::client(&args.hub.access(&args.member)).await?;
    let member = access::client(&args.member.access()).await?;
    member::refuse_another_name(&member, args).await?;
    let mut changes = Changes::default();
    let at_hub = leave_hub(args, &hub, &mut changes).await;
    forgive(args, at_hub, &mut changes)?;
    let at_member = member::remove(args, &member, &mut changes).await;
    forgive(args, at_member, &mut changes)?;
    changes.note(format!("cluster {} has left", args.cluster));
    Ok(changes)
}

/// With --force what failed is told, and the rest is done.
fn forgive(args: &LeaveArgs, result: Result<(), Error>, changes: &mut Changes) -> Result<(), Error> {
    match result {
        Err(error) if args.force => changes.problem(error.to_string()),
        result => result?,
    }
    Ok(())
}

async fn leave_hub(args: &LeaveArgs, hub: &Client, changes: &mut Changes) -> Result<(), Error> {
    let name = &args.cluster;
    let api: Api<Cluster> = Api::all(hub.clone());
    let Some(_) = read_cluster(hub, name).await? else {
        changes.note(format!("the hub has no Cluster {name}"));
        return Ok(());
    };
    let refused = |verb: &str, error: &kube_client::Error| {
        Error::Request(RequestError::new(format!("{verb} Cluster {name}"), error))
    };
    if args.force {
        let patch = json!({"metadata": {"annotations": {FORCE_LEAVE_ANNOTATION: "true"}}});
        let patched = api.patch(name.as_str(), &PatchParams::default(), &Patch::Merge(&patch)).await;
        patched.map_err(|error| refused("annotate", &error))?;
    }
    match api.delete(name.as_str(), &DeleteParams::default()).await {
        Ok(_) => {}
        Err(kube_client::Error::Api(status)) if status.code == 404 => {}
        Err(error) => return Err(refused("delete", &error)),
    }
    access::wait("the cluster has left", args.limit(), || gone(hub, name)).await?;
    let object = NameRef {
        api_version: API_VERSION.to_owned(),
        kind: Kind::Cluster.as_str().to_owned(),
        namespace: None,
        name: name.to_string(),
    };
    changes.add(Side::Hub, &object, Became::Deleted);
    Ok(())
}

async fn gone(hub: &Client, name: &ClusterName) -> Result<Look<()>, Error> {
    Ok(match read_cluster(hub, name).await? {
        None => Look::Done(()),
        Some(cluster) => Look::Missing(what_it_waits_for(&cluster)),
    })
}

fn what_it_waits_for(cluster: &Cluster) -> String {
    let mut found = cluster.status.iter().flat_map(|status| &status.conditions);
    match found.find(|condition| condition.type_ == conditions::LEFT) {
        Some(left) if left.status == "True" => {
            "its nodes have cleaned up; network-manager removes the rest".to_owned()
        }
        Some(left) => format!("its nodes clean up: {}", left.message),
        None => "controller-manager has not said yet that its nodes have cleaned up; does it run? \
                 (--force does without)"
            .to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_leaving_cluster_waits_for_is_told() {
        let cluster = |conditions: serde_json::Value| -> Cluster {
            serde_json::from_value(json!({
                "apiVersion": API_VERSION, "kind": "Cluster", "metadata": {"name": "a"}, "spec": {},
                "status": {"conditions": conditions},
            }))
            .unwrap()
        };
        let left = |status: &str| {
            json!([{
                "type": "Left", "status": status, "reason": "R", "message": "node n1",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }])
        };
        assert!(what_it_waits_for(&cluster(json!([]))).contains("--force"));
        assert!(what_it_waits_for(&cluster(left("False"))).contains("node n1"));
        assert!(what_it_waits_for(&cluster(left("True"))).contains("network-manager"));
    }
}
