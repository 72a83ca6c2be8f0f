//! Asking agents through the API servers of their clusters, or through the hub, from which controller-managers pass it on:
//! Diagnoses are applied there, and deleted in the end.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use causeway_api::{
    CausewayObject, ClusterLink, Diagnosis, DiagnosisSpec, NodeConfig, Object, PeerSlice, SYSTEM_NAMESPACE,
    link_plan, node_plan, slice_plan,
};
use causeway_diagnosis::Refused;
use causeway_kubernetes::{Access, Client, RequestError, Writer};
use causeway_model::{ClusterName, NodeId};
use causeway_planner::Plan;
use k8s_openapi::api::core::v1::Service;
use kube::core::NamespaceResourceScope;
use kube_client::Api;
use kube_client::api::{DeleteParams, ListParams, Preconditions};
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};

use super::Place;
use super::services::KnownService;
use crate::access;
use crate::error::Error;
use crate::inventory::Problem;

/// The name under which fields are owned.
const MANAGER: &str = "causeway-doctor";
/// Objects in a page: few enough that neither end holds a long list as text.
const PAGE: u32 = 500;

/// Where the agents of a cluster are asked.
struct Home {
    client: Client,
    /// At the hub each cluster has its own.
    namespace: String,
}

impl Home {
    /// Whether it is the cluster's own API server.
    fn is_member(&self) -> bool {
        self.namespace == SYSTEM_NAMESPACE
    }
}

/// Linked clusters whose agents are asked.
pub struct Members {
    /// Clients end with the runtime that they were made in.
    runtime: Arc<Runtime>,
    homes: BTreeMap<ClusterName, Home>,
    names: Vec<String>,
    /// Whom it asked, with the last request.
    written: BTreeMap<NodeId, String>,
    refused: Vec<Refused>,
    problems: Vec<Problem>,
    untested: Vec<String>,
}

impl Members {
    /// Reads what the clusters hold of plans.
    ///
    /// # Errors
    /// If a kubeconfig is of no use, an API server does not answer, or it holds no plan of any cluster.
    pub fn open(accesses: &[Access]) -> Result<(Members, Plan), Error> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        let runtime = Arc::new(runtime);
        let mut members = Members {
            runtime: runtime.clone(),
            homes: BTreeMap::new(),
            names: Vec::new(),
            written: BTreeMap::new(),
            refused: Vec::new(),
            problems: Vec::new(),
            untested: Vec::new(),
        };
        let mut plan = Plan::default();
        runtime.block_on(async {
            for access in accesses {
                let name = access::described(access)?;
                let client = access::client(access).await?;
                members.read(&name, client, &mut plan).await?;
                members.names.push(name);
            }
            Ok::<(), Error>(())
        })?;
        Ok((members, plan))
    }

    async fn read(&mut self, name: &str, client: Client, plan: &mut Plan) -> Result<(), Error> {
        let mut found = false;
        for config in list::<NodeConfig>(&client).await? {
            match node_plan(&config) {
                Ok(read) => {
                    found = true;
                    self.is_asked(
                        &read.value.id.cluster,
                        &client,
                        config.metadata.namespace.unwrap_or_default(),
                    );
                    plan.nodes.insert(read.value.id.clone(), read.value);
                }
                Err(error) => self.problem(name, &config, error.to_string()),
            }
        }
        for link in list::<ClusterLink>(&client).await? {
            match link_plan(&link) {
                Ok(read) => drop(plan.links.insert(read.value.id.clone(), read.value)),
                Err(error) => self.problem(name, &link, error.to_string()),
            }
        }
        for slice in list::<PeerSlice>(&client).await? {
            match slice_plan(&slice) {
                Ok(read) => drop(plan.slices.insert(read.value.id.clone(), read.value)),
                Err(error) => self.problem(name, &slice, error.to_string()),
            }
        }
        if found { Ok(()) } else { Err(Error::NotAMember { at: name.to_owned() }) }
    }

    /// The agents of the cluster can be asked there; at their own API server rather than through the hub.
    fn is_asked(&mut self, cluster: &ClusterName, client: &Client, namespace: String) {
        let known = self.homes.get(cluster);
        if known.is_none_or(|home| !home.is_member() && namespace == SYSTEM_NAMESPACE) {
            self.homes.insert(cluster.clone(), Home { client: client.clone(), namespace });
        }
    }

    fn problem<K: CausewayObject>(&mut self, at: &str, object: &K, message: String) {
        let object = Some(object.key().to_string());
        self.problems.push(Problem { file: at.to_owned(), line: 0, object, message });
    }

    /// How the clusters are called in messages.
    pub fn name(&self) -> String {
        self.names.join(", ")
    }

    /// What was refused to this command.
    pub fn take_refused(&mut self) -> Vec<Refused> {
        std::mem::take(&mut self.refused)
    }

    /// What could not be tested, and why.
    pub fn take_untested(&mut self) -> Vec<String> {
        std::mem::take(&mut self.untested)
    }

    /// Objects that cannot be used.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }

    /// The Service of each cluster's API server: it is there in every cluster, and who answers behind it was just spoken to.
    /// Of clusters that are asked through the hub nothing is known of Services.
    ///
    /// # Errors
    /// If an API server does not answer. Who may not read it gets none, which is told.
    pub fn services(&mut self) -> Result<Vec<KnownService>, Error> {
        let mut known = Vec::new();
        for (cluster, home) in self.homes.iter().filter(|(_, home)| home.is_member()) {
            let api: Api<Service> = Api::namespaced(home.client.clone(), "default");
            match self.runtime.block_on(api.get("kubernetes")) {
                Ok(service) => known.extend(of_api_server(cluster, &service)),
                Err(kube_client::Error::Api(status)) => self.untested.push(format!(
                    "Services of {cluster}, since its Service default/kubernetes cannot be read: {}",
                    status.message
                )),
                Err(error) => {
                    let what = format!("read the Service default/kubernetes of {cluster}");
                    return Err(Error::Request(RequestError::new(what, &error)));
                }
            }
        }
        Ok(known)
    }

    async fn request_all(&mut self, asked: Vec<(NodeId, DiagnosisSpec)>) -> Vec<(NodeId, DiagnosisSpec)> {
        // Who could not be asked does not answer either; that is told by the refusal.
        let mut could = Vec::new();
        for (id, spec) in asked {
            let Some(Home { client, namespace }) = self.homes.get(&id.cluster) else { continue };
            let mut diagnosis = Diagnosis::new(id.node.as_str(), spec.clone());
            diagnosis.metadata.namespace = Some(namespace.clone());
            match Writer::new(client.clone(), MANAGER).apply(&Object::Diagnosis(diagnosis)).await {
                Ok(()) => {
                    self.written.insert(id.clone(), spec.request.clone());
                    could.push((id, spec));
                }
                Err(error) => {
                    let refused =
                        Refused { object: format!("Diagnosis of {id}"), message: error.to_string() };
                    self.refused.push(refused);
                }
            }
        }
        could
    }

    async fn written(
        &self,
        of: &BTreeSet<&ClusterName>,
    ) -> Result<BTreeMap<(ClusterName, String), Diagnosis>, Error> {
        let mut there = BTreeMap::new();
        for (cluster, Home { client, namespace }) in self.homes.iter().filter(|home| of.contains(home.0)) {
            for diagnosis in pages(Api::<Diagnosis>::namespaced(client.clone(), namespace)).await? {
                let name = diagnosis.metadata.name.clone().unwrap_or_default();
                there.insert((cluster.clone(), name), diagnosis);
            }
        }
        Ok(there)
    }
}

impl Place for Members {
    const LOOK: Duration = Duration::from_millis(500);

    fn request(
        &mut self,
        asked: Vec<(NodeId, DiagnosisSpec)>,
    ) -> Result<Vec<(NodeId, DiagnosisSpec)>, Error> {
        Ok(self.runtime.clone().block_on(self.request_all(asked)))
    }

    fn there(&mut self, nodes: &[&NodeId]) -> Result<BTreeMap<NodeId, Diagnosis>, Error> {
        let clusters = nodes.iter().map(|id| &id.cluster).collect();
        let mut there = self.runtime.block_on(self.written(&clusters))?;
        let of = |id: &&NodeId| {
            let found = there.remove(&(id.cluster.clone(), id.node.to_string()))?;
            Some(((*id).clone(), found))
        };
        Ok(nodes.iter().filter_map(of).collect())
    }

    fn clean_up(&mut self) -> Result<(), Error> {
        let written = std::mem::take(&mut self.written);
        self.runtime.clone().block_on(async {
            let mut failed = None;
            for (id, request) in written {
                let Some(Home { client, namespace }) = self.homes.get(&id.cluster) else { continue };
                let api: Api<Diagnosis> = Api::namespaced(client.clone(), namespace);
                match remove(&api, id.node.as_str(), &request).await {
                    Ok(()) => {}
                    Err(kube_client::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => {
                        let what = format!("delete the Diagnosis of {id}");
                        failed.get_or_insert(Error::Request(RequestError::new(what, &error)));
                    }
                }
            }
            failed.map_or(Ok(()), Err)
        })
    }
}

/// Removes a request, unless somebody has asked for another one meanwhile.
async fn remove(api: &Api<Diagnosis>, node: &str, request: &str) -> Result<(), kube_client::Error> {
    let there = api.get(node).await?;
    if there.spec.request == request {
        let preconditions = Some(Preconditions { uid: there.metadata.uid, resource_version: None });
        api.delete(node, &DeleteParams { preconditions, ..DeleteParams::default() }).await?;
    }
    Ok(())
}

/// The address and port of the API server's Service.
fn of_api_server(cluster: &ClusterName, service: &Service) -> Option<KnownService> {
    let spec = service.spec.as_ref()?;
    let address = spec.cluster_ip.as_deref()?.parse().ok()?;
    let port = u16::try_from(spec.ports.as_deref()?.first()?.port).ok()?;
    Some(KnownService { cluster: cluster.clone(), name: "default/kubernetes".to_owned(), address, port })
}

/// All objects of a kind: of a hub in all namespaces. Who may not read those has the member's.
async fn list<K>(client: &Client) -> Result<Vec<K>, Error>
where
    K: CausewayObject + kube::Resource<Scope = NamespaceResourceScope> + DeserializeOwned,
{
    match pages(Api::all(client.clone())).await {
        Err(Error::Request(error)) if error.is_forbidden() => {
            pages(Api::namespaced(client.clone(), SYSTEM_NAMESPACE)).await
        }
        listed => listed,
    }
}

/// All objects of a kind, page by page.
async fn pages<K: CausewayObject + DeserializeOwned>(api: Api<K>) -> Result<Vec<K>, Error> {
    let mut all = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(|error| {
            Error::Request(RequestError::new(format!("list {}", K::KIND.plural()), &error))
        })?;
        all.extend(page.items);
        params.continue_token = page.metadata.continue_.filter(|token| !token.is_empty());
        if params.continue_token.is_none() {
            return Ok(all);
        }
    }
}
