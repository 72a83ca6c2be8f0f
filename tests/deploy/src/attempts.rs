//! Everything that somebody can try at an API server: each resource that its discovery names, in each namespace,
//! by each verb. The requests are real; those that would write are dry runs, so that nothing changes.

use std::collections::BTreeSet;

use causeway_kubernetes::Client;
use futures::{StreamExt, stream};
use http::{Method, Request};
use k8s_openapi::api::core::v1::Namespace;
use kube_client::{Api, Error};
use serde_json::{Value, json};

use crate::grants::{Right, grants, names};

/// A name that nobody has a right on in particular.
const OTHER: &str = "other";
/// How many requests are under way at once.
const AT_ONCE: usize = 32;

/// A resource that the API server serves, with its subresource if it is one.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Resource {
    group: String,
    version: String,
    name: String,
    kind: String,
    namespaced: bool,
    verbs: Vec<String>,
}

/// One thing to try.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Attempt {
    namespace: String,
    resource: Resource,
    /// Empty where all objects are meant.
    name: String,
    verb: String,
}

/// What an identity could do, and should be able to do.
#[derive(Debug)]
pub struct Outcome {
    /// How many things were tried.
    pub tried: usize,
    /// What it could do and should not, a line each.
    pub too_much: Vec<String>,
    /// What it should be able to do and could not.
    pub too_little: Vec<String>,
}

/// Tries everything that the API server of `admin` has as `client`, against these rights.
///
/// # Panics
/// If the API server does not say what it has.
pub async fn try_everything(admin: &Client, client: &Client, rights: &[Right]) -> Outcome {
    let attempts = everything(admin, rights).await;
    let tried = attempts.len();
    let tries = stream::iter(attempts).map(|attempt| attempt.try_out(client.clone()));
    let let_through: Vec<(Attempt, bool)> = tries.buffer_unordered(AT_ONCE).collect().await;
    let (mut too_much, mut too_little) = (BTreeSet::new(), BTreeSet::new());
    for (attempt, could) in &let_through {
        match (could, attempt.is_granted_by(rights)) {
            (true, false) => drop(too_much.insert(attempt.shown())),
            (false, true) => drop(too_little.insert(attempt.shown())),
            _ => {}
        }
    }
    Outcome { tried, too_much: too_much.into_iter().collect(), too_little: too_little.into_iter().collect() }
}

async fn everything(admin: &Client, rights: &[Right]) -> Vec<Attempt> {
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    let namespaces = namespaces.list(&Default::default()).await.expect("namespaces");
    let namespaces: Vec<String> = namespaces.into_iter().filter_map(|n| n.metadata.name).collect();
    let mut all = Vec::new();
    for resource in resources(admin).await {
        let places = if resource.namespaced { namespaces.clone() } else { vec![String::new()] };
        let limited = names(rights, (&resource.group, &resource.name));
        for namespace in places {
            for name in limited.iter().copied().chain([OTHER, ""]) {
                let attempt = |verb: &String| Attempt {
                    namespace: namespace.clone(),
                    resource: resource.clone(),
                    name: name.to_owned(),
                    verb: verb.clone(),
                };
                all.extend(resource.verbs.iter().map(attempt).filter(Attempt::makes_sense));
            }
        }
    }
    all
}

async fn resources(admin: &Client) -> Vec<Resource> {
    let mut versions = vec![("/api/v1".to_owned(), String::new(), "v1".to_owned())];
    let groups = get(admin, "/apis").await;
    for group in array(&groups["groups"]) {
        for version in array(&group["versions"]) {
            let (name, version) = (string(&group["name"]), string(&version["version"]));
            versions.push((format!("/apis/{name}/{version}"), name, version));
        }
    }
    let mut all = Vec::new();
    for (path, group, version) in versions {
        for resource in array(&get(admin, &path).await["resources"]) {
            all.push(Resource {
                group: group.clone(),
                version: version.clone(),
                name: string(&resource["name"]),
                kind: string(&resource["kind"]),
                namespaced: resource["namespaced"] == true,
                verbs: array(&resource["verbs"]).iter().map(string).collect(),
            });
        }
    }
    all
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

fn string(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

async fn get(admin: &Client, path: &str) -> Value {
    let request = Request::get(path).body(Vec::new()).expect("a request");
    admin.request(request).await.expect("discovery")
}

impl Attempt {
    /// Whether the verb is about one object or about all, as the name is.
    fn makes_sense(&self) -> bool {
        match self.verb.as_str() {
            "list" | "watch" => self.name != OTHER,
            "deletecollection" => self.name.is_empty(),
            // The name of what is created is in a path only for subresources.
            "create" if !self.resource.name.contains('/') => self.name.is_empty(),
            _ => !self.name.is_empty(),
        }
    }

    fn shown(&self) -> String {
        let Resource { group, name, .. } = &self.resource;
        format!("{} {group}/{name} {:?} in {:?}", self.verb, self.name, self.namespace)
    }

    fn is_granted_by(&self, rights: &[Right]) -> bool {
        let what = (self.resource.group.as_str(), self.resource.name.as_str());
        grants(rights, &self.namespace, what, &self.name, &self.verb)
    }

    fn request(&self) -> Request<Vec<u8>> {
        let Resource { group, version, name, kind, .. } = &self.resource;
        let root =
            if group.is_empty() { format!("/api/{version}") } else { format!("/apis/{group}/{version}") };
        let place =
            if self.namespace.is_empty() { String::new() } else { format!("/namespaces/{}", self.namespace) };
        let (plural, subresource) = name.split_once('/').map_or((name.as_str(), None), |(p, s)| (p, Some(s)));
        let mut path = format!("{root}{place}/{plural}");
        let all = matches!(self.verb.as_str(), "list" | "watch");
        if !self.name.is_empty() && !all {
            path = format!("{path}/{}", self.name);
        }
        path.extend(subresource.map(|subresource| format!("/{subresource}")));
        let selector = if all && !self.name.is_empty() {
            format!("&fieldSelector=metadata.name={}", self.name)
        } else {
            String::new()
        };
        let (method, query) = match self.verb.as_str() {
            "get" => (Method::GET, String::new()),
            "list" => (Method::GET, format!("?limit=1{selector}")),
            "watch" => (Method::GET, format!("?watch=true&timeoutSeconds=1{selector}")),
            "create" => (Method::POST, "?dryRun=All".to_owned()),
            "update" => (Method::PUT, "?dryRun=All".to_owned()),
            "patch" => (Method::PATCH, "?dryRun=All".to_owned()),
            _ => (Method::DELETE, "?dryRun=All".to_owned()),
        };
        let api_version = if group.is_empty() { version.clone() } else { format!("{group}/{version}") };
        let body = match self.verb.as_str() {
            "create" | "update" => json!({
                "apiVersion": api_version, "kind": kind,
                "metadata": {"name": if self.name.is_empty() { OTHER } else { &self.name }},
            }),
            "patch" => json!({"metadata": {"labels": {"stolen": "yes"}}}),
            _ => Value::Null,
        };
        let body = if body.is_null() { Vec::new() } else { body.to_string().into_bytes() };
        let content = if self.verb == "patch" { "application/merge-patch+json" } else { "application/json" };
        let request = Request::builder().method(method).uri(format!("{path}{query}"));
        request.header("Content-Type", content).body(body).expect("a request")
    }

    /// Whether it got past authorisation: whatever came of it, it was not forbidden.
    async fn try_out(self, client: Client) -> (Attempt, bool) {
        let answer = client.request_text(self.request()).await;
        let could = !matches!(&answer, Err(Error::Api(status)) if status.code == 403 || status.code == 401);
        (self, could)
    }
}
