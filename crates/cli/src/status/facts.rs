//! What `causeway status` is made of: objects as they are now, and who is at work.

use std::path::Path;
use std::time::Duration;

use causeway_api::{Kind, ObjectRef, Objects, SYSTEM_NAMESPACE};
use causeway_kubernetes::Trouble;
use causeway_objects::Store;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::jiff::Timestamp;
use kube_client::Api;

use crate::error::Error;
use crate::inventory::Problem;
use crate::live::{self, Want};
use crate::source::Hub;

/// The Lease of network-manager at the hub.
pub const LEASE: &str = "causeway-network-manager";

/// How many ClusterNodes are looked at, unless all are asked for: that many are read in a moment.
pub const NODES: usize = 1000;

/// What is there.
#[derive(Clone)]
pub struct Facts {
    /// The directory, or the hub.
    pub source: String,
    /// The objects.
    pub objects: Objects,
    /// How many ClusterNodes there are that were not looked at.
    pub nodes_left_out: usize,
    /// Whether network-manager is at work.
    pub manager: Manager,
    /// What is not used.
    pub problems: Vec<Problem>,
    /// The time to which ages are counted.
    pub now: Timestamp,
}

/// What is known of network-manager.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Manager {
    /// Nothing: files do not say, or may not be asked.
    Unknown,
    /// It never ran at this hub.
    Never,
    /// Who holds its Lease, when it was renewed last, and for how long that lasts.
    Held {
        /// The holder; empty if it was given up.
        holder: String,
        /// The last renewal.
        renewed: Option<Timestamp>,
        /// How long that lasts.
        duration: Duration,
    },
}

impl Manager {
    /// What a Lease says.
    fn of(lease: Option<Lease>) -> Manager {
        let Some(spec) = lease.map(|lease| lease.spec.unwrap_or_default()) else { return Manager::Never };
        let seconds = spec.lease_duration_seconds.and_then(|seconds| u64::try_from(seconds).ok());
        Manager::Held {
            holder: spec.holder_identity.unwrap_or_default(),
            renewed: spec.renew_time.map(|time| time.0),
            duration: Duration::from_secs(seconds.unwrap_or(0)),
        }
    }
}

impl Facts {
    /// The facts in a directory.
    ///
    /// # Errors
    /// [`Error::Open`].
    pub fn in_directory(directory: &Path) -> Result<Facts, Error> {
        let store = Store::open(directory).map_err(|source| Error::Open { source })?;
        Ok(Facts::read(directory, &store))
    }

    /// The facts in a directory that is read already.
    pub fn read(directory: &Path, store: &Store) -> Facts {
        Facts {
            source: directory.display().to_string(),
            objects: store.objects().clone(),
            nodes_left_out: 0,
            manager: Manager::Unknown,
            problems: store.problems().into_iter().map(Problem::from).collect(),
            now: Timestamp::now(),
        }
    }

    /// The facts at a hub: all requests at the same time, none for a single node.
    ///
    /// # Errors
    /// As [`live::list`].
    pub async fn at_hub(hub: &Hub, all_nodes: bool) -> Result<Facts, Error> {
        let nodes = Want { kind: Kind::ClusterNode, at_most: (!all_nodes).then_some(NODES) };
        let wants =
            [Want::all(Kind::ClusterSet), Want::all(Kind::Cluster), Want::all(Kind::ClusterLink), nodes];
        let (listed, manager) = tokio::join!(live::list(&hub.client, &hub.name, &wants), manager(hub));
        let listed = listed?;
        Ok(Facts {
            source: hub.name.clone(),
            objects: listed.objects,
            nodes_left_out: listed.left_out.get(&Kind::ClusterNode).copied().unwrap_or_default(),
            manager: manager?,
            problems: listed.problems,
            now: Timestamp::now(),
        })
    }
}

/// Whether network-manager is at work. Who may not ask learns no more.
///
/// # Errors
/// [`Error::Read`] if the server does not answer.
pub async fn manager(hub: &Hub) -> Result<Manager, Error> {
    let leases: Api<Lease> = Api::namespaced(hub.client.clone(), SYSTEM_NAMESPACE);
    match leases.get_opt(LEASE).await {
        Ok(lease) => Ok(Manager::of(lease)),
        Err(error) => match Trouble::of(&error) {
            Trouble::Forbidden(_) => Ok(Manager::Unknown),
            trouble => {
                let what = format!("get Lease {SYSTEM_NAMESPACE}/{LEASE}");
                Err(Error::Read { what, at: hub.name.clone(), trouble })
            }
        },
    }
}

/// The ClusterSet's key.
pub fn cluster_set_key() -> ObjectRef {
    ObjectRef { kind: Kind::ClusterSet, namespace: None, name: causeway_api::CLUSTER_SET_NAME.to_owned() }
}
