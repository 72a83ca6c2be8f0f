//! The manifests of hub and member, built into the program: parsed, and set to an image and a cluster by
//! editing the objects, not their text.

use causeway_api::{Kind, crd};
use causeway_model::ClusterName;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::core::v1::{Container, PodSpec};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::error::Error;

/// The environment variable of controller-manager's container that names the cluster.
pub const CLUSTER_VARIABLE: &str = "CAUSEWAY_CLUSTER";
/// The image that the manifests name.
pub const DEFAULT_IMAGE: &str = "causeway:latest";

const HUB: &[&str] = &[
    include_str!("../../../deploy/manifests/hub/00-namespace.yaml"),
    include_str!("../../../deploy/manifests/hub/10-rbac.yaml"),
    include_str!("../../../deploy/manifests/hub/20-admission.yaml"),
    include_str!("../../../deploy/manifests/hub/30-network-manager.yaml"),
];

const MEMBER: &[&str] = &[
    include_str!("../../../deploy/manifests/member/00-namespace.yaml"),
    include_str!("../../../deploy/manifests/member/10-rbac-controller-manager.yaml"),
    include_str!("../../../deploy/manifests/member/11-rbac-agent.yaml"),
    include_str!("../../../deploy/manifests/member/20-admission.yaml"),
    include_str!("../../../deploy/manifests/member/30-controller-manager.yaml"),
    include_str!("../../../deploy/manifests/member/31-agent.yaml"),
];

/// The kinds whose objects a member holds.
const MEMBER_KINDS: [Kind; 5] =
    [Kind::ClusterNode, Kind::NodeConfig, Kind::ClusterLink, Kind::PeerSlice, Kind::Diagnosis];

/// What a hub needs, in the order in which it is applied.
///
/// # Errors
/// [`Error::Manifest`]: a defect of this program.
pub fn hub(image: &str) -> Result<Vec<Value>, Error> {
    assemble(HUB, &Kind::ALL, |object| with_image(object, image))
}

/// What the member `cluster` needs besides its credential, in the order in which it is applied.
///
/// # Errors
/// As [`hub`].
pub fn member(image: &str, cluster: &ClusterName) -> Result<Vec<Value>, Error> {
    assemble(MEMBER, &MEMBER_KINDS, |object| with_cluster(with_image(object, image)?, cluster))
}

/// The namespaces of a member, whatever its name.
///
/// # Errors
/// As [`hub`].
pub fn member_namespaces() -> Result<Vec<Value>, Error> {
    let objects = assemble(MEMBER, &[], Ok)?;
    Ok(objects.into_iter().filter(|object| object["kind"] == "Namespace").collect())
}

/// The definitions after the namespaces: what the first needs, the second may be put into.
fn assemble(
    texts: &[&str],
    kinds: &[Kind],
    edit: impl Fn(Value) -> Result<Value, serde_json::Error>,
) -> Result<Vec<Value>, Error> {
    let mut objects = Vec::new();
    for text in texts {
        let documents: Vec<Value> =
            serde_saphyr::from_multiple(text).map_err(|error| Error::Manifest(error.to_string()))?;
        objects.extend(documents);
    }
    let after = objects.iter().take_while(|object| object["kind"] == "Namespace").count();
    for kind in kinds.iter().rev() {
        let definition = crd::yaml(*kind).map_err(|error| Error::Manifest(error.to_string()))?;
        let definition =
            serde_saphyr::from_str(&definition).map_err(|error| Error::Manifest(error.to_string()))?;
        objects.insert(after, definition);
    }
    let edited: Result<Vec<Value>, serde_json::Error> = objects.into_iter().map(edit).collect();
    edited.map_err(|error| Error::Manifest(error.to_string()))
}

fn with_image(object: Value, image: &str) -> Result<Value, serde_json::Error> {
    edit_pods(object, |pods| {
        for container in &mut pods.containers {
            container.image = Some(image.to_owned());
        }
    })
}

fn with_cluster(object: Value, cluster: &ClusterName) -> Result<Value, serde_json::Error> {
    edit_pods(object, |pods| {
        let variables = pods.containers.iter_mut().flat_map(|container| container.env.iter_mut().flatten());
        for variable in variables.filter(|variable| variable.name == CLUSTER_VARIABLE) {
            variable.value = Some(cluster.to_string());
        }
    })
}

/// The object with its Pods edited, if it makes any.
fn edit_pods(object: Value, edit: impl FnOnce(&mut PodSpec)) -> Result<Value, serde_json::Error> {
    match object["kind"].as_str() {
        Some("Deployment") => edited(object, |deployment: &mut Deployment| {
            if let Some(pods) = deployment.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()) {
                edit(pods);
            }
        }),
        Some("DaemonSet") => edited(object, |set: &mut DaemonSet| {
            if let Some(pods) = set.spec.as_mut().and_then(|spec| spec.template.spec.as_mut()) {
                edit(pods);
            }
        }),
        _ => Ok(object),
    }
}

fn edited<T: DeserializeOwned + Serialize>(
    object: Value,
    edit: impl FnOnce(&mut T),
) -> Result<Value, serde_json::Error> {
    let mut typed: T = serde_json::from_value(object)?;
    edit(&mut typed);
    serde_json::to_value(typed)
}

/// The cluster that an installed controller-manager works for; `None` if it was given none yet.
pub fn cluster_of(deployment: &Deployment) -> Option<ClusterName> {
    let pods = deployment.spec.as_ref()?.template.spec.as_ref()?;
    let variables = pods.containers.iter().flat_map(|container: &Container| container.env.iter().flatten());
    variables.into_iter().find(|variable| variable.name == CLUSTER_VARIABLE)?.value.as_ref()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named<'a>(objects: &'a [Value], kind: &str, name: &str) -> &'a Value {
        objects.iter().find(|o| o["kind"] == kind && o["metadata"]["name"] == name).unwrap()
    }

    #[test]
    fn image_and_cluster_are_set_and_all_else_stays() {
        let plain = member(DEFAULT_IMAGE, &"cluster-name".parse().unwrap()).unwrap();
        let mut set = member("registry.example/causeway:1", &"east".parse().unwrap()).unwrap();
        let deployment: Deployment =
            serde_json::from_value(named(&set, "Deployment", "causeway-controller-manager").clone()).unwrap();
        assert_eq!(cluster_of(&deployment), Some("east".parse().unwrap()));
        for object in &mut set {
            let text = object.to_string();
            let text = text.replace("registry.example/causeway:1", DEFAULT_IMAGE);
            *object = serde_json::from_str(&text.replace("\"east\"", "\"cluster-name\"")).unwrap();
        }
        assert_eq!(set, plain);
    }

    #[test]
    fn what_the_plain_manifests_name_is_no_cluster() {
        let objects = assemble(MEMBER, &[], Ok).unwrap();
        let deployment = named(&objects, "Deployment", "causeway-controller-manager").clone();
        assert_eq!(cluster_of(&serde_json::from_value(deployment).unwrap()), None);
    }

    #[test]
    fn namespaces_come_first_then_definitions_then_what_uses_them() {
        for objects in [hub(DEFAULT_IMAGE).unwrap(), member(DEFAULT_IMAGE, &"a".parse().unwrap()).unwrap()] {
            let rank = |object: &Value| match object["kind"].as_str().unwrap() {
                "Namespace" => 0,
                "CustomResourceDefinition" => 1,
                "Deployment" | "DaemonSet" | "PodDisruptionBudget" => 3,
                _ => 2,
            };
            let ranks: Vec<i32> = objects.iter().map(rank).collect();
            assert!(ranks.is_sorted(), "{ranks:?}");
        }
    }

    /// What typed objects do not know would be lost without a word.
    #[test]
    fn editing_loses_no_field() {
        for text in HUB.iter().chain(MEMBER) {
            for object in serde_saphyr::from_multiple::<Value>(text).unwrap() {
                assert_eq!(edit_pods(object.clone(), |_| {}).unwrap(), object);
            }
        }
    }

    #[test]
    fn every_manifest_of_the_folders_is_built_in() {
        let folders = concat!(env!("CARGO_MANIFEST_DIR"), "/../../deploy/manifests");
        for (folder, built_in) in [("hub", HUB), ("member", MEMBER)] {
            let mut paths: Vec<_> = std::fs::read_dir(format!("{folders}/{folder}"))
                .unwrap()
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
                .collect();
            paths.sort();
            let texts: Vec<String> =
                paths.iter().map(|path| std::fs::read_to_string(path).unwrap()).collect();
            assert_eq!(texts, built_in);
        }
    }
}
