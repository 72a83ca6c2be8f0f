//! Where a command finds the clusterset's objects: a directory, or the hub's API server. One grammar for all
//! commands that read.

use std::path::PathBuf;

use causeway_api::Kind;
use causeway_kubernetes::{Access, Client};
use causeway_objects::Store;
use clap::Args;

use crate::access;
use crate::error::Error;
use crate::inventory::Inventory;
use crate::live::{self, Want};

/// Where the clusterset's objects are.
#[derive(Args, Debug, Clone, Default)]
pub struct SourceArgs {
    /// Directory of objects, in place of the hub: every *.yaml, *.yml and *.json below it is read
    #[arg(long, value_name = "DIR", conflicts_with_all = ["kubeconfig", "context"])]
    pub objects: Option<PathBuf>,
    /// Kubeconfig of the hub. Default: KUBECONFIG, else ~/.kube/config
    #[arg(long, value_name = "FILE", alias = "hub-kubeconfig")]
    pub kubeconfig: Option<PathBuf>,
    /// Context of the hub in that kubeconfig. Default: its current context
    #[arg(long, value_name = "NAME", alias = "hub-context")]
    pub context: Option<String>,
}

/// Where objects are read from.
pub enum Source {
    /// A directory.
    Directory(PathBuf),
    /// The hub.
    Hub(Hub),
}

/// The hub's API server.
pub struct Hub {
    /// How it is called in messages, such as `context hub`.
    pub name: String,
    /// Speaks to it.
    pub client: Client,
}

impl Hub {
    /// The hub that `access` leads to. Nothing is sent yet.
    ///
    /// # Errors
    /// If the kubeconfig is of no use.
    pub async fn of(access: &Access) -> Result<Hub, Error> {
        Ok(Hub { name: access::described(access)?, client: access::client(access).await? })
    }
}

impl SourceArgs {
    /// The kubeconfig and context that are meant.
    pub fn access(&self) -> Access {
        Access { kubeconfig: self.kubeconfig.clone(), context: self.context.clone() }
    }

    /// The source that is meant. Nothing is read yet.
    ///
    /// # Errors
    /// If the kubeconfig is of no use.
    pub async fn source(&self) -> Result<Source, Error> {
        match &self.objects {
            Some(directory) => Ok(Source::Directory(directory.clone())),
            None => Hub::of(&self.access()).await.map(Source::Hub),
        }
    }

    /// All objects, converted.
    ///
    /// # Errors
    /// If the source cannot be read, or holds no Cluster.
    pub fn inventory(&self) -> Result<Inventory, Error> {
        match &self.objects {
            Some(directory) => Inventory::read(directory),
            None => crate::wait_for(async {
                let hub = Hub::of(&self.access()).await?;
                // Diagnoses are no part of a clusterset.
                let kinds = Kind::ALL.into_iter().filter(|kind| *kind != Kind::Diagnosis);
                let wants: Vec<Want> = kinds.map(Want::all).collect();
                let listed = live::list(&hub.client, &hub.name, &wants).await?;
                Inventory::of(hub.name, Origin::Server, listed.objects, listed.problems)
            }),
        }
    }
}

/// What objects came out of: it can say where a field of one stands.
pub enum Origin {
    /// Files.
    Directory(Box<Store>),
    /// An API server.
    Server,
}

impl Origin {
    /// File and line of a field, if there are files.
    pub fn locate(&self, object: &causeway_api::ObjectRef, field: &str) -> Option<(String, usize)> {
        match self {
            Origin::Directory(store) => {
                store.locate(object, field).map(|place| (place.file.display().to_string(), place.line))
            }
            Origin::Server => None,
        }
    }
}
