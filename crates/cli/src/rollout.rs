//! Whether what was installed runs.

use causeway_api::SYSTEM_NAMESPACE;
use causeway_kubernetes::{Client, RequestError};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use kube_client::Api;

use crate::access::Look;
use crate::error::Error;

/// Whether a manager's Deployment is rolled out.
///
/// # Errors
/// [`Error::Request`] if it cannot be read.
pub async fn deployment(client: &Client, name: &str) -> Result<Look<()>, Error> {
    let api: Api<Deployment> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let found = api.get_opt(name).await.map_err(|error| read("Deployment", name, &error))?;
    Ok(found.map_or_else(|| Look::Missing(format!("there is no Deployment {name}")), |it| manager(name, &it)))
}

/// Whether the agents are rolled out.
///
/// # Errors
/// As [`deployment`].
pub async fn agents(client: &Client, name: &str) -> Result<Look<()>, Error> {
    let api: Api<DaemonSet> = Api::namespaced(client.clone(), SYSTEM_NAMESPACE);
    let found = api.get_opt(name).await.map_err(|error| read("DaemonSet", name, &error))?;
    Ok(found.map_or_else(|| Look::Missing(format!("there is no DaemonSet {name}")), |it| daemons(name, &it)))
}

fn read(kind: &str, name: &str, error: &kube_client::Error) -> Error {
    Error::Request(RequestError::new(format!("read {kind} {SYSTEM_NAMESPACE}/{name}"), error))
}

fn manager(name: &str, deployment: &Deployment) -> Look<()> {
    let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
    let status = deployment.status.clone().unwrap_or_default();
    let updated = status.updated_replicas.unwrap_or(0);
    let ready = status.ready_replicas.unwrap_or(0);
    let all = status.replicas.unwrap_or(0);
    if !seen(status.observed_generation, deployment.metadata.generation) {
        return Look::Missing(format!("Deployment {name} is not seen yet"));
    }
    if updated < wanted || ready < wanted || all > updated {
        return Look::Missing(format!("Deployment {name}: {ready} of {wanted} Pods are ready"));
    }
    Look::Done(())
}

fn daemons(name: &str, set: &DaemonSet) -> Look<()> {
    let status = set.status.clone().unwrap_or_default();
    let wanted = status.desired_number_scheduled;
    let (updated, ready) = (status.updated_number_scheduled.unwrap_or(0), status.number_ready);
    if !seen(status.observed_generation, set.metadata.generation) {
        return Look::Missing(format!("DaemonSet {name} is not seen yet"));
    }
    if updated < wanted || ready < wanted {
        return Look::Missing(format!("DaemonSet {name}: {ready} of {wanted} nodes are ready"));
    }
    Look::Done(())
}

fn seen(observed: Option<i64>, generation: Option<i64>) -> bool {
    observed.unwrap_or(0) >= generation.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn missing(look: Look<()>) -> Option<String> {
        match look {
            Look::Done(()) => None,
            Look::Missing(missing) => Some(missing),
        }
    }

    #[test]
    fn a_deployment_is_out_when_all_its_pods_are_new_and_ready() {
        let look = |status: Value| {
            let object = json!({"metadata": {"generation": 2}, "spec": {"replicas": 2}, "status": status});
            missing(manager("m", &serde_json::from_value(object).unwrap()))
        };
        let good = json!({"observedGeneration": 2, "replicas": 2, "updatedReplicas": 2, "readyReplicas": 2});
        assert_eq!(look(good.clone()), None);
        for (field, value) in
            [("observedGeneration", 1), ("replicas", 3), ("updatedReplicas", 1), ("readyReplicas", 1)]
        {
            let mut status = good.clone();
            status[field] = json!(value);
            assert!(look(status).is_some(), "{field}");
        }
        assert!(look(json!({})).is_some());
    }

    #[test]
    fn agents_are_out_when_every_node_has_a_new_one_that_is_ready() {
        let look = |ready: i32, updated: i32| {
            let object = json!({
                "metadata": {"generation": 1},
                "spec": {"selector": {}, "template": {}},
                "status": {
                    "observedGeneration": 1, "desiredNumberScheduled": 3, "currentNumberScheduled": 3,
                    "numberMisscheduled": 0, "numberReady": ready, "updatedNumberScheduled": updated,
                },
            });
            missing(daemons("agent", &serde_json::from_value(object).unwrap()))
        };
        assert_eq!(look(3, 3), None);
        assert_eq!(look(2, 3).unwrap(), "DaemonSet agent: 2 of 3 nodes are ready");
        assert!(look(3, 2).is_some());
    }
}
