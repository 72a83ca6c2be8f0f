//! Objects as an API server has them now: each kind is listed once, all kinds at the same time.
//!
//! Lists of large clustersets are long, so they are read in pages, and without what nobody here looks at
//! (`managedFields` are more than half of an object's text).

use std::collections::BTreeMap;
use std::fmt::Write;
use std::sync::Arc;

use causeway_api::{
    API_VERSION, Cluster, ClusterLink, ClusterNode, ClusterSet, Diagnosis, Kind, NodeConfig, Object, Objects,
    PeerSlice, SYSTEM_NAMESPACE,
};
use causeway_kubernetes::{Client, Trouble};
use futures::future::try_join_all;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, Time};
use kube::core::object::{HasSpec, HasStatus};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;
use crate::inventory::Problem;

/// Objects in a page: few enough that the server holds no long list in memory for us.
const PAGE: usize = 2000;

/// Which objects of a kind are listed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Want {
    /// The kind.
    pub kind: Kind,
    /// At most about so many, where not all are needed.
    pub at_most: Option<usize>,
}

impl Want {
    /// All objects of a kind.
    pub fn all(kind: Kind) -> Want {
        Want { kind, at_most: None }
    }
}

/// What was listed.
#[derive(Default)]
pub struct Listed {
    /// The objects.
    pub objects: Objects,
    /// Objects that cannot be read.
    pub problems: Vec<Problem>,
    /// How many objects were not asked for, by kind.
    pub left_out: BTreeMap<Kind, usize>,
}

/// Lists the hub's objects. `at` is how the API server is called in messages. What a hub that is a member too
/// holds of copies (namespace `causeway-system`) is left out.
///
/// # Errors
/// [`Error::NoHub`] if the kinds are not served; [`Error::Read`] for anything else that the server refuses.
pub async fn list(client: &Client, at: &str, wants: &[Want]) -> Result<Listed, Error> {
    let mut listed = Listed::default();
    let all = try_join_all(wants.iter().map(|want| list_kind(client, at, want))).await?;
    for (want, of_kind) in wants.iter().zip(all) {
        for object in of_kind.objects {
            listed.objects.put(Arc::new(object));
        }
        listed.problems.extend(of_kind.problems);
        if of_kind.remaining > 0 {
            listed.left_out.insert(want.kind, of_kind.remaining);
        }
    }
    Ok(listed)
}

#[derive(Default)]
struct OfKind {
    objects: Vec<Object>,
    problems: Vec<Problem>,
    remaining: usize,
}

async fn list_kind(client: &Client, at: &str, want: &Want) -> Result<OfKind, Error> {
    let mut found = OfKind::default();
    let mut next = None;
    loop {
        let text = page_text(client, at, want, next.as_deref()).await?;
        let mut page = read_page(want.kind, &text)
            .map_err(|error| Error::Answer { what: format!("list {}", want.kind.plural()), error })?;
        found.objects.append(&mut page.objects);
        found.problems.extend(page.problems.into_iter().map(|message| Problem {
            file: at.to_owned(),
            line: 0,
            object: Some(want.kind.to_string()),
            message,
        }));
        next = page.meta.continue_.filter(|token| !token.is_empty());
        if next.is_none() {
            return Ok(found);
        }
        if want.at_most.is_some_and(|most| found.objects.len() >= most) {
            found.remaining = page.meta.remaining_item_count.unwrap_or(1);
            return Ok(found);
        }
    }
}

async fn page_text(client: &Client, at: &str, want: &Want, next: Option<&str>) -> Result<String, Error> {
    let size = want.at_most.map_or(PAGE, |most| most.min(PAGE));
    let mut path = format!("/apis/{API_VERSION}/{}?limit={size}", want.kind.plural());
    // Writing to a String cannot fail.
    if want.kind.namespaced() {
        let _ = write!(path, "&fieldSelector=metadata.namespace%21%3D{SYSTEM_NAMESPACE}");
    }
    if let Some(next) = next {
        let _ = write!(path, "&continue={next}");
    }
    get(client, at, &format!("list {}.causeway.dev", want.kind.plural()), &path).await
}

/// What the server answers to a GET of `path`. `what` says in words what that is.
///
/// # Errors
/// [`Error::NoHub`], [`Error::Read`].
pub async fn get(client: &Client, at: &str, what: &str, path: &str) -> Result<String, Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(Error::Path)?;
    client.request_text(request).await.map_err(|error| match Trouble::of(&error) {
        Trouble::NotServed(_) => Error::NoHub { at: at.to_owned() },
        trouble => Error::Read { what: what.to_owned(), at: at.to_owned(), trouble },
    })
}

/// What a list says of itself.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase")]
struct PageMeta {
    #[serde(rename = "continue")]
    continue_: Option<String>,
    remaining_item_count: Option<usize>,
}

#[derive(Deserialize)]
struct Page<I> {
    #[serde(default)]
    metadata: PageMeta,
    items: Vec<I>,
}

#[derive(Deserialize)]
#[serde(bound(deserialize = "S: DeserializeOwned + Default, T: DeserializeOwned"))]
struct Item<S, T> {
    metadata: Meta,
    #[serde(default)]
    spec: S,
    status: Option<T>,
}

/// The metadata that anything here looks at.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Meta {
    name: String,
    namespace: Option<String>,
    creation_timestamp: Option<Time>,
    deletion_timestamp: Option<Time>,
    generation: Option<i64>,
    labels: Option<BTreeMap<String, String>>,
}

impl From<Meta> for ObjectMeta {
    fn from(meta: Meta) -> ObjectMeta {
        let Meta { name, namespace, creation_timestamp, deletion_timestamp, generation, labels } = meta;
        ObjectMeta {
            name: Some(name),
            namespace,
            creation_timestamp,
            deletion_timestamp,
            generation,
            labels,
            ..ObjectMeta::default()
        }
    }
}

struct ReadPage {
    meta: PageMeta,
    objects: Vec<Object>,
    problems: Vec<String>,
}

fn read_page(kind: Kind, text: &str) -> Result<ReadPage, serde_json::Error> {
    let whole = match kind {
        Kind::ClusterSet => typed(text, |spec| ClusterSet::new("", spec)),
        Kind::Cluster => typed(text, |spec| Cluster::new("", spec)),
        Kind::ClusterNode => typed(text, |spec| ClusterNode::new("", spec)),
        Kind::NodeConfig => typed(text, |spec| NodeConfig::new("", spec)),
        Kind::ClusterLink => typed(text, |spec| ClusterLink::new("", spec)),
        Kind::PeerSlice => typed(text, |spec| PeerSlice::new("", spec)),
        Kind::Diagnosis => typed(text, |spec| Diagnosis::new("", spec)),
    };
    whole.or_else(|_| one_by_one(kind, text))
}

fn typed<K>(text: &str, new: impl Fn(K::Spec) -> K) -> Result<ReadPage, serde_json::Error>
where
    K: HasSpec + HasStatus + kube::Resource + Into<Object>,
    K::Spec: DeserializeOwned + Default,
    K::Status: DeserializeOwned,
{
    let page: Page<Item<K::Spec, K::Status>> = serde_json::from_str(text)?;
    let objects = page.items.into_iter().map(|Item { metadata, spec, status }| {
        let mut object = new(spec);
        *object.meta_mut() = metadata.into();
        *object.status_mut() = status;
        object.into()
    });
    Ok(ReadPage { meta: page.metadata, objects: objects.collect(), problems: Vec::new() })
}

/// A page in which some object is not of the kind's shape: the others are used.
fn one_by_one(kind: Kind, text: &str) -> Result<ReadPage, serde_json::Error> {
    let page: Page<Value> = serde_json::from_str(text)?;
    let mut read = ReadPage { meta: page.metadata, objects: Vec::new(), problems: Vec::new() };
    for item in page.items {
        let name = |field: &str| item["metadata"][field].as_str().unwrap_or_default().to_owned();
        let (namespace, name) = (name("namespace"), name("name"));
        match Object::deserialize(kind, item) {
            Ok(object) => read.objects.push(object),
            Err(error) => read.problems.push(format!("{namespace}/{name} cannot be read: {error}")),
        }
    }
    Ok(read)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_page_is_read_without_what_nobody_looks_at() {
        let text = json!({
            "apiVersion": API_VERSION, "kind": "ClusterList",
            "metadata": {"continue": "abc", "remainingItemCount": 7},
            "items": [{
                "apiVersion": API_VERSION, "kind": "Cluster",
                "metadata": {
                    "name": "east", "generation": 2, "creationTimestamp": "2026-01-01T00:00:00Z",
                    "managedFields": [{"manager": "x", "fieldsV1": {"f:spec": {}}}], "labels": {"a": "b"},
                },
                "spec": {"mode": "Gateway"}, "status": {"cni": "flannel"},
            }],
        });
        let page = read_page(Kind::Cluster, &text.to_string()).unwrap();
        assert_eq!((page.meta.continue_.as_deref(), page.meta.remaining_item_count), (Some("abc"), Some(7)));
        let Object::Cluster(cluster) = &page.objects[0] else { panic!("a Cluster") };
        assert_eq!(cluster.status.as_ref().unwrap().cni.as_deref(), Some("flannel"));
        assert!(cluster.metadata.creation_timestamp.is_some() && cluster.metadata.managed_fields.is_none());
    }

    #[test]
    fn an_object_of_another_shape_takes_no_other_with_it() {
        let item =
            |name: &str, spec: Value| json!({"metadata": {"name": name, "namespace": "n"}, "spec": spec});
        let good = json!({"sourceCluster": "a", "remoteCluster": "b", "via": "Nodes"});
        let text = json!({"metadata": {}, "items": [item("b", good), item("c", json!({"via": 7}))]});
        let page = read_page(Kind::ClusterLink, &text.to_string()).unwrap();
        assert_eq!((page.objects.len(), page.problems.len()), (1, 1));
        assert!(page.problems[0].contains("n/c cannot be read"), "{}", page.problems[0]);
    }
}
