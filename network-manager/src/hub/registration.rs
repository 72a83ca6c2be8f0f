//! Registering clusters: each gets a namespace, and a ServiceAccount there that may just what its
//! controller-manager needs. A cluster that leaves keeps it until it has cleaned up.

use std::collections::{BTreeMap, BTreeSet};
use std::future::pending;
use std::time::Duration;

use causeway_api::conditions::LEFT;
use causeway_api::{Cluster, FORCE_LEAVE_ANNOTATION, Kind, ObjectRef, Objects, REGISTRATION_FINALIZER};
use causeway_kubernetes::{Failures, Given, Held, NameRef, Problem, RequestError, Writer, ensure, remove};
use causeway_model::{ClusterName, SHARED_NAMESPACE, cluster_namespace};
use futures::StreamExt;
use futures::future::{BoxFuture, FutureExt};
use futures::stream::FuturesUnordered;
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::hub::MANAGER;

/// How often what was registered is looked at again, though nothing says that it changed.
const AGAIN: Duration = Duration::from_secs(600);
/// How soon it is looked at when something of it was deleted: of many deletions the first counts.
const SOON: Duration = Duration::from_secs(2);
/// First and longest wait until it is tried again after a failure.
const RETRY: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// What is to be of a cluster's registration.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Task {
    /// It is there.
    Register { uid: Option<String>, has_finalizer: bool },
    /// It goes, and then the cluster itself.
    Deregister { uid: Option<String>, has_finalizer: bool },
    /// It stays as it is until the cluster has cleaned up.
    Wait,
}

/// What to do about the registration of `cluster`. `has_objects` says whether anything is still there
/// that was planned for it.
fn task(cluster: &Cluster, has_objects: bool) -> Task {
    let meta = &cluster.metadata;
    let uid = meta.uid.clone();
    let has_finalizer = meta.finalizers.iter().flatten().any(|finalizer| finalizer == REGISTRATION_FINALIZER);
    if meta.deletion_timestamp.is_none() {
        return Task::Register { uid, has_finalizer };
    }
    let conditions = cluster.status.iter().flat_map(|status| &status.conditions);
    let cleaned_up =
        conditions.into_iter().any(|condition| condition.type_ == LEFT && condition.status == "True");
    let forced = meta
        .annotations
        .iter()
        .flatten()
        .any(|(key, value)| key == FORCE_LEAVE_ANNOTATION && value == "true");
    if !has_objects && (cleaned_up || forced) { Task::Deregister { uid, has_finalizer } } else { Task::Wait }
}

#[derive(Debug)]
struct Entry {
    task: Task,
    /// Whether it was carried out, and when it is to be looked at again.
    done: bool,
    next: Instant,
    busy: bool,
}

type Ended = (ClusterName, Task, Result<usize, RequestError>);

/// Carries out what the registrations of clusters need.
pub struct Registrar {
    writer: Writer,
    held: Held,
    entries: BTreeMap<ClusterName, Entry>,
    under_way: FuturesUnordered<BoxFuture<'static, Ended>>,
    failures: Failures<ClusterName>,
}

impl Registrar {
    /// Nothing is known to be registered.
    pub fn new(writer: Writer, held: Held) -> Registrar {
        Registrar {
            writer,
            held,
            entries: BTreeMap::new(),
            under_way: FuturesUnordered::new(),
            failures: Failures::default(),
        }
    }

    /// What keeps clusters from being registered.
    pub fn problems(&self) -> Vec<Problem> {
        self.failures.problems("")
    }

    /// Whether the cluster's namespace is there, as far as is known: one with our finalizer was registered
    /// before, and is not waited for, since after a start there may be very many objects of it.
    pub fn has_namespace(&self, cluster: &ClusterName) -> bool {
        match self.entries.get(cluster) {
            Some(Entry { task: Task::Register { has_finalizer, .. }, done, .. }) => *done || *has_finalizer,
            // What is left of a cluster that is gone, or going, may be removed.
            Some(_) | None => true,
        }
    }

    /// Looks at the registration of a cluster soon: something of it was deleted, and that may be all.
    pub fn suspect(&mut self, cluster: &ClusterName) {
        if let Some(entry) = self.entries.get_mut(cluster) {
            entry.next = entry.next.min(Instant::now() + SOON);
        }
    }

    /// Starts what is due.
    pub fn look(&mut self, clusters: &[&Cluster], objects: &Objects, planned: impl Fn(&ClusterName) -> bool) {
        let now = Instant::now();
        let mut there = BTreeSet::new();
        for cluster in clusters {
            let Some(name) = cluster.metadata.name.as_ref().and_then(|name| name.parse::<ClusterName>().ok())
            else {
                continue;
            };
            there.insert(name.clone());
            let leaving = cluster.metadata.deletion_timestamp.is_some();
            let task = task(cluster, leaving && (planned(&name) || has_objects(objects, &name)));
            let entry = self.entries.entry(name.clone()).or_insert_with(|| Entry {
                task: Task::Wait,
                done: false,
                next: now,
                busy: false,
            });
            if !entry.busy && entry.task != task {
                let still = matches!((&entry.task, &task), (Task::Register { .. }, Task::Register { .. }));
                *entry = Entry { task, done: entry.done && still, next: now, busy: false };
            }
            if !entry.busy && entry.next <= now && self.held.is_held() && entry.task != Task::Wait {
                entry.busy = true;
                self.under_way.push(carry_out(self.writer.clone(), name, entry.task.clone()).boxed());
            }
        }
        self.entries.retain(|name, entry| entry.busy || there.contains(name));
        self.failures.retain(|name| self.entries.contains_key(name));
    }

    /// When something is due though nothing changed.
    pub fn next_due(&self) -> Option<Instant> {
        let waits = self.entries.values().filter(|entry| !entry.busy && entry.task != Task::Wait);
        waits.map(|entry| entry.next).min()
    }

    /// Waits until something that was started has ended. Giving up waiting loses nothing.
    pub async fn progress(&mut self) {
        let Some((name, task, result)) = self.under_way.next().await else { return pending().await };
        let Some(entry) = self.entries.get_mut(&name) else { return };
        entry.busy = false;
        let failed = self.failures.count(&name);
        match &result {
            Ok(written) => {
                let written = *written;
                entry.done = true;
                entry.next = Instant::now() + AGAIN;
                match task {
                    Task::Register { .. } if written > 0 => {
                        tracing::info!(cluster = %name, written, "registered")
                    }
                    Task::Deregister { .. } => tracing::info!(cluster = %name, "deregistered"),
                    Task::Register { .. } | Task::Wait => {}
                }
            }
            Err(_) => {
                entry.next = Instant::now() + (RETRY.0 * 2u32.saturating_pow(failed.min(16))).min(RETRY.1);
            }
        }
        self.failures.ended(&name, result);
    }
}

/// Whether anything planned is left in the cluster's namespace.
fn has_objects(objects: &Objects, cluster: &ClusterName) -> bool {
    let namespace = cluster_namespace(cluster);
    objects.iter().any(|object| {
        let ObjectRef { kind, namespace: at, .. } = object.key();
        matches!(kind, Kind::NodeConfig | Kind::ClusterLink) && at.as_deref() == Some(namespace.as_str())
    })
}

async fn carry_out(writer: Writer, name: ClusterName, task: Task) -> Ended {
    let result = match &task {
        Task::Register { uid, has_finalizer } => {
            register(&writer, &name, uid.as_deref(), *has_finalizer).await
        }
        Task::Deregister { uid, has_finalizer } => {
            deregister(&writer, &name, uid.as_deref(), *has_finalizer).await.map(|()| 0)
        }
        Task::Wait => Ok(0),
    };
    (name, task, result)
}

async fn register(
    writer: &Writer,
    name: &ClusterName,
    uid: Option<&str>,
    has_finalizer: bool,
) -> Result<usize, RequestError> {
    let mut written = 0;
    if !has_finalizer {
        // First: from here on the cluster cannot go without what follows being cleaned up.
        writer.apply_finalizers(&ObjectRef::cluster(name), uid, &[REGISTRATION_FINALIZER]).await?;
        written += 1;
    }
    for manifest in manifests(name) {
        writer.may(|| format!("register cluster {name}"))?;
        written += usize::from(ensure(writer.client(), MANAGER, &manifest).await? == Given::Written);
    }
    Ok(written)
}

async fn deregister(
    writer: &Writer,
    name: &ClusterName,
    uid: Option<&str>,
    has_finalizer: bool,
) -> Result<(), RequestError> {
    for manifest in manifests(name).iter().rev() {
        // The shared namespace is everybody's, and what is in the cluster's own goes with it.
        let own = cluster_namespace(name);
        let Some(object) = NameRef::of(manifest) else { continue };
        if object.name != SHARED_NAMESPACE && object.namespace.as_ref() != Some(&own) {
            writer.may(|| format!("deregister cluster {name}"))?;
            remove(writer.client(), &object).await?;
        }
    }
    if has_finalizer {
        writer.apply_finalizers(&ObjectRef::cluster(name), uid, &[]).await?;
    }
    Ok(())
}

/// What is made at the hub for a cluster, in this order. The cluster's
/// controller-manager may write in its own namespace, read in the shared one, and of all Clusters its own only.
pub fn manifests(name: &ClusterName) -> Vec<Value> {
    let namespace = cluster_namespace(name);
    let labels = json!({
        "app.kubernetes.io/name": "causeway",
        "app.kubernetes.io/part-of": "causeway",
        "app.kubernetes.io/managed-by": MANAGER,
        causeway_api::CLUSTER_LABEL: name.as_str(),
    });
    let account = json!([{"kind": "ServiceAccount", "name": "controller-manager", "namespace": namespace}]);
    let object = |api: &str, kind: &str, namespace: Option<&str>, name: &str, rest: Value| {
        let mut object = json!({
            "apiVersion": api, "kind": kind, "metadata": {"name": name, "labels": labels},
        });
        if let (Some(namespace), Some(metadata)) = (namespace, object["metadata"].as_object_mut()) {
            metadata.insert("namespace".to_owned(), json!(namespace));
        }
        if let (Some(object), Value::Object(rest)) = (object.as_object_mut(), rest) {
            object.extend(rest);
        }
        object
    };
    let rbac = "rbac.authorization.k8s.io/v1";
    let bind = |kind: &str, to: &str| {
        json!({
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": kind, "name": to},
            "subjects": account,
        })
    };
    let rule = |group: &str, resources: &[&str], verbs: &[&str]| json!({"apiGroups": [group], "resources": resources, "verbs": verbs});
    let named = |group: &str, resources: &[&str], verbs: &[&str], only: &str| json!({"apiGroups": [group], "resources": resources, "verbs": verbs, "resourceNames": [only]});
    let read = ["get", "list", "watch"];
    let group = causeway_api::GROUP;
    let global = format!("causeway:cluster:{name}");
    let own = Some(namespace.as_str());
    let shared = Some(SHARED_NAMESPACE);
    vec![
        object(
            "v1",
            "Namespace",
            None,
            SHARED_NAMESPACE,
            json!({"metadata": {
                "name": SHARED_NAMESPACE,
                "labels": {"app.kubernetes.io/name": "causeway", "app.kubernetes.io/part-of": "causeway"},
            }}),
        ),
        object("v1", "Namespace", None, &namespace, json!({})),
        object("v1", "ServiceAccount", own, "controller-manager", json!({})),
        object(
            rbac,
            "Role",
            own,
            "controller-manager",
            json!({"rules": [
                rule(group, &["clusternodes"], &["get", "list", "watch", "create", "patch", "delete"]),
                rule(group, &["nodeconfigs", "clusterlinks"], &read),
                rule(group, &["clusterlinks/status"], &["get", "patch"]),
                rule(group, &["diagnoses"], &read),
                rule(group, &["diagnoses/status"], &["get", "patch"]),
                named("", &["serviceaccounts/token"], &["create"], "controller-manager"),
            ]}),
        ),
        object(rbac, "RoleBinding", own, "controller-manager", bind("Role", "controller-manager")),
        object(rbac, "Role", shared, &global, json!({"rules": [rule(group, &["peerslices"], &read)]})),
        object(rbac, "RoleBinding", shared, &global, bind("Role", &global)),
        object(
            rbac,
            "ClusterRole",
            None,
            &global,
            json!({"rules": [
                named(group, &["clusters"], &read, name.as_str()),
                named(group, &["clusters/status"], &["get", "patch"], name.as_str()),
            ]}),
        ),
        object(rbac, "ClusterRoleBinding", None, &global, bind("ClusterRole", &global)),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cluster(meta: Value, conditions: Value) -> Cluster {
        serde_json::from_value(json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": meta, "spec": {},
            "status": {"conditions": conditions},
        }))
        .unwrap()
    }

    fn leaving(extra: Value) -> Value {
        let mut meta = json!({
            "name": "a", "uid": "1", "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": [REGISTRATION_FINALIZER],
        });
        meta.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        meta
    }

    #[test]
    fn a_cluster_that_leaves_keeps_its_registration_until_it_has_cleaned_up() {
        let left = json!([{
            "type": "Left", "status": "True", "reason": "CleanedUp", "message": "",
            "lastTransitionTime": "2026-01-01T00:00:00Z",
        }]);
        assert_eq!(task(&cluster(leaving(json!({})), json!([])), false), Task::Wait);
        assert_eq!(task(&cluster(leaving(json!({})), left.clone()), true), Task::Wait);
        let go = Task::Deregister { uid: Some("1".to_owned()), has_finalizer: true };
        assert_eq!(task(&cluster(leaving(json!({})), left), false), go);
        let forced = leaving(json!({"annotations": {FORCE_LEAVE_ANNOTATION: "true"}}));
        assert_eq!(task(&cluster(forced, json!([])), false), go);
        let here = cluster(json!({"name": "a", "uid": "1"}), json!([]));
        assert_eq!(task(&here, false), Task::Register { uid: Some("1".to_owned()), has_finalizer: false });
    }

    #[test]
    fn a_clusters_identity_may_write_in_its_own_namespace_only_and_read_one_cluster() {
        let all = manifests(&"east".parse().unwrap());
        for manifest in &all {
            let Some(rules) = manifest["rules"].as_array() else { continue };
            let own = manifest["metadata"]["namespace"] == "causeway-cluster-east";
            for rule in rules {
                let verbs: Vec<&str> =
                    rule["verbs"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                let writes = verbs.iter().any(|verb| !["get", "list", "watch"].contains(verb));
                let one = rule["resourceNames"] == json!(["east"]);
                assert!(own || one || !writes, "{rule}");
                assert!(manifest["kind"] == "Role" || one, "{rule}");
                assert!(!verbs.contains(&"*") && rule["resources"] != json!(["*"]), "{rule}");
            }
        }
        assert!(all.iter().all(|manifest| NameRef::of(manifest).is_some()));
    }
}
