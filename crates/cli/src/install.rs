//! `causeway install hub`: the definitions of all objects, and network-manager.

use std::time::Duration;

use causeway_api::SYSTEM_NAMESPACE;
use causeway_kubernetes::{Client, RequestError};
use clap::{Args, Subcommand};
use k8s_openapi::api::apps::v1::DaemonSet;
use kube_client::Api;
use serde_json::Value;

use crate::access::{self, ServerArgs};
use crate::apply::{Changes, OutputArgs, Planned, Side};
use crate::error::Error;
use crate::{manifests, rollout};

/// Install a part of Causeway
#[derive(Args, Debug)]
pub struct InstallArgs {
    #[command(subcommand)]
    pub what: What,
}

#[derive(Subcommand, Debug)]
pub enum What {
    Hub(HubArgs),
}

/// Make an API server the hub of a clusterset
///
/// Applies the definitions of Causeway's objects, the rights of network-manager and network-manager
/// itself. What is there already and as it should be is left alone.
#[derive(Args, Debug)]
#[command(after_help = "Examples:
  causeway install hub --context hub --image registry.example/causeway:1.0
  causeway install hub --dry-run -o yaml > hub.yaml")]
pub struct HubArgs {
    #[command(flatten)]
    pub server: ServerArgs,
    /// The image that holds Causeway's programs
    #[arg(long, value_name = "IMAGE", default_value = manifests::DEFAULT_IMAGE)]
    pub image: String,
    /// Wait until network-manager runs
    #[arg(long)]
    pub wait: bool,
    /// How long to wait, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 120)]
    pub timeout: u64,
    #[command(flatten)]
    pub output: OutputArgs,
}

/// What would be applied.
///
/// # Errors
/// [`Error::Manifest`]: a defect of this program.
pub fn planned(args: &HubArgs) -> Result<Planned, Error> {
    Ok(Planned(vec![(Side::Hub, manifests::hub(&args.image)?)]))
}

/// Installs the hub.
///
/// # Errors
/// What the API server refuses, and [`Error::Timeout`].
pub async fn run(args: &HubArgs) -> Result<Changes, Error> {
    let client = access::client(&args.server.access()).await?;
    let mut objects = manifests::hub(&args.image)?;
    if has_agents(&client).await? {
        keep_level_for_agents(&mut objects)?;
    }
    let mut changes = Changes::default();
    changes.apply(Side::Hub, &client, &objects).await?;
    if args.wait {
        let limit = Duration::from_secs(args.timeout);
        let name = "causeway-network-manager";
        access::wait("network-manager is ready", limit, || rollout::deployment(&client, name)).await?;
    }
    changes.note("the hub is installed; join clusters with: causeway join --cluster NAME");
    Ok(changes)
}

/// Whether this API server is a member's as well.
async fn has_agents(client: &Client) -> Result<bool, Error> {
    let api: Api<DaemonSet> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let what = format!("read DaemonSet {SYSTEM_NAMESPACE}/causeway-agent");
    let found = api.get_opt("causeway-agent").await;
    Ok(found.map_err(|error| Error::Request(RequestError::new(what, &error)))?.is_some())
}

/// Where agents run already, their namespace keeps the Pod Security level that they need.
fn keep_level_for_agents(objects: &mut [Value]) -> Result<(), Error> {
    let members = manifests::member_namespaces()?;
    for object in objects.iter_mut().filter(|object| object["kind"] == "Namespace") {
        let name = &object["metadata"]["name"];
        if let Some(theirs) = members.iter().find(|theirs| theirs["metadata"]["name"] == *name) {
            object.clone_from(theirs);
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hub_that_is_a_member_too_keeps_the_level_that_agents_need() {
        let mut objects = manifests::hub("i").unwrap();
        let level = |objects: &[Value], name: &str| {
            let namespace =
                objects.iter().find(|o| o["kind"] == "Namespace" && o["metadata"]["name"] == name);
            namespace.unwrap()["metadata"]["labels"]["pod-security.kubernetes.io/enforce"].clone()
        };
        assert_eq!(level(&objects, "causeway-system"), "restricted");
        keep_level_for_agents(&mut objects).unwrap();
        assert_eq!(level(&objects, "causeway-system"), "privileged");
        assert_eq!(level(&objects, "causeway-shared"), "restricted");
    }
}
