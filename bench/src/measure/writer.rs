//! Writing many objects at an API server, as many nodes at once would. Runs inside a bed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use causeway_kubernetes::{Access, Client, connect};
use futures::{StreamExt, TryStreamExt, stream};
use kube_client::api::{Api, ApiResource, DynamicObject, Patch, PatchParams, PostParams};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::time::{interval, sleep_until};

use crate::child::{Measurement, Place};

/// Requests under way at once.
const AT_ONCE: usize = 32;
/// How often a kubelet tells that it lives, where nothing changes: its status every five minutes at least, and here
/// as often as it renews its Lease, which is the harder case.
const HEARTBEAT: Duration = Duration::from_secs(10);

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Written {
    /// Nodes of Kubernetes, not ready.
    Nodes,
    /// ClusterNodes in a cluster's namespace.
    ClusterNodes,
    /// The same status of Nodes again and again, for this many seconds.
    Heartbeats {
        /// For how long.
        seconds: u64,
    },
}

/// Writes objects with numbers `first..first + count`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Writing {
    /// Whose API server.
    pub kubeconfig: PathBuf,
    /// The namespace, of ClusterNodes.
    pub namespace: String,
    /// What.
    pub what: Written,
    /// The first number; addresses follow from it.
    pub first: u32,
    /// How many.
    pub count: u32,
}

impl Measurement for Writing {
    const NAME: &'static str = "writing";
    const PLACE: Place = Place::Here;
    /// How many were written.
    type Outcome = u64;

    fn measure(&self) -> Result<u64> {
        tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(self.write())
    }
}

impl Writing {
    async fn write(&self) -> Result<u64> {
        let client = connect(&Access { kubeconfig: Some(self.kubeconfig.clone()), context: None }).await?;
        let numbers = self.first..self.first + self.count;
        match self.what {
            Written::Nodes => all(numbers, |number| write_node(nodes(&client), number)).await,
            Written::ClusterNodes => {
                let api = cluster_nodes(&client, &self.namespace);
                all(numbers, |number| write_cluster_node(api.clone(), number)).await
            }
            Written::Heartbeats { seconds } => {
                let end = Instant::now() + Duration::from_secs(seconds);
                let mut turns = interval(HEARTBEAT);
                let mut written = 0;
                while Instant::now() < end {
                    turns.tick().await;
                    written += all(numbers.clone(), |number| heartbeat(nodes(&client), number)).await?;
                }
                sleep_until(end.into()).await;
                Ok(written)
            }
        }
    }
}

async fn all<F: Future<Output = Result<()>>>(
    numbers: std::ops::Range<u32>,
    write: impl Fn(u32) -> F,
) -> Result<u64> {
    let written: Vec<()> = stream::iter(numbers).map(write).buffer_unordered(AT_ONCE).try_collect().await?;
    Ok(written.len() as u64)
}

fn api_resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    let api_version = if group.is_empty() { version.to_owned() } else { format!("{group}/{version}") };
    ApiResource {
        group: group.to_owned(),
        version: version.to_owned(),
        api_version,
        kind: kind.to_owned(),
        plural: plural.to_owned(),
    }
}

fn nodes(client: &Client) -> Api<DynamicObject> {
    Api::all_with(client.clone(), &api_resource("", "v1", "Node", "nodes"))
}

fn cluster_nodes(client: &Client, namespace: &str) -> Api<DynamicObject> {
    let resource = api_resource("causeway.dev", "v1alpha1", "ClusterNode", "clusternodes");
    Api::namespaced_with(client.clone(), namespace, &resource)
}

fn name(number: u32) -> String {
    format!("simulated-{number}")
}

/// An address out of 100.64.0.0/10, which no bed uses.
fn underlay(number: u32) -> String {
    format!("100.{}.{}.{}", 64 + (number >> 16), number >> 8 & 255, number & 255)
}

/// The number's /28 of 10.0.0.0/8, from the second half on: 524,288 there are.
fn pod_cidr(number: u32) -> String {
    let address = (10u32 << 24 | 1 << 23) + (number << 4);
    let [a, b, c, d] = address.to_be_bytes();
    format!("{a}.{b}.{c}.{d}/28")
}

async fn write_node(api: Api<DynamicObject>, number: u32) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "v1", "kind": "Node", "metadata": {"name": name(number)},
        "spec": {"podCIDR": pod_cidr(number), "podCIDRs": [pod_cidr(number)]},
    }))?;
    api.create(&PostParams::default(), &object).await.with_context(|| name(number))?;
    patch(api, number, json!([{"type": "InternalIP", "address": underlay(number)}])).await
}

async fn heartbeat(api: Api<DynamicObject>, number: u32) -> Result<()> {
    patch(api, number, json!([{"type": "InternalIP", "address": underlay(number)}])).await
}

async fn patch(api: Api<DynamicObject>, number: u32, addresses: Value) -> Result<()> {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?.as_secs();
    let (minute, second) = (now / 60 % 60, now % 60);
    let patch = json!({"status": {"addresses": addresses, "conditions": [{
        "type": "Ready", "status": "False", "reason": "Simulated", "message": "",
        "lastHeartbeatTime": format!("2026-01-01T00:{minute:02}:{second:02}Z"),
        "lastTransitionTime": "2026-01-01T00:00:00Z",
    }]}});
    api.patch_status(&name(number), &PatchParams::default(), &Patch::Merge(patch))
        .await
        .with_context(|| name(number))?;
    Ok(())
}

async fn write_cluster_node(api: Api<DynamicObject>, number: u32) -> Result<()> {
    let object: DynamicObject = serde_json::from_value(json!({
        "apiVersion": "causeway.dev/v1alpha1", "kind": "ClusterNode", "metadata": {"name": name(number)},
        "spec": {"underlay": [underlay(number)], "podCIDRs": [pod_cidr(number)]},
    }))?;
    api.create(&PostParams::default(), &object).await.with_context(|| name(number))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_addresses_of_different_numbers_are_different() {
        assert_eq!((pod_cidr(0), underlay(0)), ("10.128.0.0/28".to_owned(), "100.64.0.0".to_owned()));
        assert_eq!((pod_cidr(17), underlay(257)), ("10.128.1.16/28".to_owned(), "100.64.1.1".to_owned()));
        assert_eq!(
            (pod_cidr(110_000), underlay(110_000)),
            ("10.154.219.0/28".to_owned(), "100.65.173.176".to_owned())
        );
    }
}
