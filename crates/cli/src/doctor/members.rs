//! Asking agents through the API servers of their clusters: Diagnoses are applied there, and deleted in the end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use causeway_api::{
    CausewayObject, ClusterLink, Diagnosis, DiagnosisSpec, NodeConfig, Object, PeerSlice, SYSTEM_NAMESPACE,
    link_plan, node_plan, slice_plan,
};
use causeway_diagnosis::{NodeEvidence, Refused};
use causeway_kubernetes::{Access, Client, RequestError, Writer};
use causeway_model::{ClusterName, NodeId};
use causeway_planner::Plan;
use kube::core::NamespaceResourceScope;
use kube_client::Api;
use kube_client::api::{DeleteParams, ListParams};
use serde::de::DeserializeOwned;
use tokio::runtime::{Builder, Runtime};
use tokio::time::sleep;

use super::Place;
use crate::access;
use crate::error::Error;
use crate::inventory::Problem;

/// The name under which fields are owned.
const MANAGER: &str = "causeway-doctor";
/// How often answers are looked for.
const LOOK: Duration = Duration::from_millis(500);

/// Linked clusters whose agents are asked.
pub struct Members {
    /// Clients end with the runtime that they were made in.
    runtime: Arc<Runtime>,
    clients: BTreeMap<ClusterName, Client>,
    names: Vec<String>,
    written: Vec<NodeId>,
    refused: Vec<Refused>,
    problems: Vec<Problem>,
}

impl Members {
    /// Reads what the clusters hold of plans.
    ///
    /// # Errors
    /// If a kubeconfig is of no use, an API server does not answer, or it holds no plan of a cluster.
    pub fn open(accesses: &[Access]) -> Result<(Members, Plan), Error> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(Error::Runtime)?;
        let runtime = Arc::new(runtime);
        let mut members = Members {
            runtime: runtime.clone(),
            clients: BTreeMap::new(),
            names: Vec::new(),
            written: Vec::new(),
            refused: Vec::new(),
            problems: Vec::new(),
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
        let mut cluster = None;
        for config in list::<NodeConfig>(&client).await? {
            match node_plan(&config) {
                Ok(read) => {
                    cluster = Some(read.value.id.cluster.clone());
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
        let cluster = cluster.ok_or_else(|| Error::NotAMember { at: name.to_owned() })?;
        self.clients.insert(cluster, client);
        Ok(())
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

    /// Objects that cannot be used.
    pub fn take_problems(&mut self) -> Vec<Problem> {
        std::mem::take(&mut self.problems)
    }

    async fn ask_all(
        &mut self,
        asked: &[(NodeId, DiagnosisSpec)],
        limit: Instant,
    ) -> Result<Vec<NodeEvidence>, Error> {
        for (id, spec) in asked {
            let Some(client) = self.clients.get(&id.cluster) else { continue };
            let mut diagnosis = Diagnosis::new(id.node.as_str(), spec.clone());
            diagnosis.metadata.namespace = Some(SYSTEM_NAMESPACE.to_owned());
            match Writer::new(client.clone(), MANAGER).apply(&Object::Diagnosis(diagnosis)).await {
                Ok(()) if self.written.contains(id) => {}
                Ok(()) => self.written.push(id.clone()),
                Err(error) => {
                    let refused =
                        Refused { object: format!("Diagnosis of {id}"), message: error.to_string() };
                    self.refused.push(refused);
                }
            }
        }
        // Who could not be asked does not answer either; that is told by the refusal.
        let asked: Vec<_> = asked.iter().filter(|(id, _)| self.written.contains(id)).collect();
        loop {
            let mut there = BTreeMap::new();
            for (cluster, client) in &self.clients {
                for diagnosis in list::<Diagnosis>(client).await? {
                    there.insert(
                        (cluster.clone(), diagnosis.metadata.name.clone().unwrap_or_default()),
                        diagnosis,
                    );
                }
            }
            let evidence = asked.iter().map(|(id, spec)| {
                let found = there.get(&(id.cluster.clone(), id.node.to_string()));
                let answer = found.and_then(|found| found.status.clone());
                let answer = answer.filter(|status| status.request == spec.request);
                NodeEvidence { id: id.clone(), asked: spec.clone(), answer }
            });
            let evidence: Vec<NodeEvidence> = evidence.collect();
            if Instant::now() >= limit || evidence.iter().all(|one| one.answer.is_some()) {
                return Ok(evidence);
            }
            sleep(LOOK).await;
        }
    }
}

impl Place for Members {
    fn ask(
        &mut self,
        asked: Vec<(NodeId, DiagnosisSpec)>,
        limit: Instant,
    ) -> Result<Vec<NodeEvidence>, Error> {
        self.runtime.clone().block_on(self.ask_all(&asked, limit))
    }

    fn clean_up(&mut self) -> Result<(), Error> {
        let written = std::mem::take(&mut self.written);
        self.runtime.clone().block_on(async {
            for id in written {
                let Some(client) = self.clients.get(&id.cluster) else { continue };
                let api: Api<Diagnosis> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
                match api.delete(id.node.as_str(), &DeleteParams::default()).await {
                    Ok(_) => {}
                    Err(kube_client::Error::Api(status)) if status.code == 404 => {}
                    Err(error) => {
                        let what = format!("delete the Diagnosis of {id}");
                        return Err(Error::Request(RequestError::new(what, &error)));
                    }
                }
            }
            Ok(())
        })
    }
}

/// All objects of a kind that the member holds.
async fn list<K>(client: &Client) -> Result<Vec<K>, Error>
where
    K: CausewayObject + kube::Resource<Scope = NamespaceResourceScope> + DeserializeOwned,
{
    let api: Api<K> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let listed = api.list(&ListParams::default()).await.map_err(|error| {
        Error::Request(RequestError::new(format!("list {} in {SYSTEM_NAMESPACE}", K::KIND.plural()), &error))
    })?;
    Ok(listed.items)
}
