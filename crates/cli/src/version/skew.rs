//! Which images the Pods of Causeway's programs run, and what of that does not fit together.

use std::collections::{BTreeMap, BTreeSet};

use causeway_api::SYSTEM_NAMESPACE;
use k8s_openapi::List;
use k8s_openapi::api::core::v1::Pod;
use schemars::JsonSchema;
use serde::Serialize;

use crate::error::Error;
use crate::live;
use crate::source::Hub;

/// Pods in a page of a list.
const PAGE: usize = 1000;

/// Which API server.
#[derive(Serialize, JsonSchema, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[serde(rename_all = "lowercase")]
pub enum Side {
    /// The hub.
    Hub,
    /// A member.
    Member,
    /// One that is both, or of which it is not known.
    Both,
}

impl Side {
    /// The word.
    pub fn word(self) -> &'static str {
        match self {
            Side::Hub => "hub",
            Side::Member => "member",
            Side::Both => "cluster",
        }
    }
}

/// Pods of a program that run the same image.
#[derive(Serialize, JsonSchema, Clone, PartialEq, Eq, Debug)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Program {
    /// Where they run.
    pub side: Side,
    /// The program: `network-manager`, `controller-manager` or `agent`.
    pub program: String,
    /// The image's tag, where it says a version.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How many Pods.
    pub pods: u64,
    /// How many of them are ready.
    pub ready: u64,
    /// The image.
    pub image: String,
}

/// The programs of Causeway's namespace.
///
/// # Errors
/// If the Pods cannot be listed.
pub async fn programs(server: &Hub, side: Side) -> Result<Vec<Program>, Error> {
    let mut pods = Vec::new();
    let mut next = String::new();
    let what = format!("list pods in namespace {SYSTEM_NAMESPACE}");
    let path = format!(
        "/api/v1/namespaces/{SYSTEM_NAMESPACE}/pods?labelSelector=app.kubernetes.io%2Fname%3Dcauseway&limit={PAGE}"
    );
    loop {
        let text = live::get(&server.client, &server.name, &what, &format!("{path}{next}")).await?;
        let list: List<Pod> =
            serde_json::from_str(&text).map_err(|error| Error::Answer { what: what.clone(), error })?;
        pods.extend(list.items);
        match list.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => next = format!("&continue={token}"),
            None => return Ok(summed(side, &pods)),
        }
    }
}

fn summed(side: Side, pods: &[Pod]) -> Vec<Program> {
    let mut found: BTreeMap<(String, String), (u64, u64)> = BTreeMap::new();
    for pod in pods {
        let label = |name: &str| pod.metadata.labels.as_ref().and_then(|labels| labels.get(name)).cloned();
        let Some(program) = label("app.kubernetes.io/component") else { continue };
        let containers = pod.spec.iter().flat_map(|spec| &spec.containers);
        let Some(image) = containers.into_iter().find_map(|container| container.image.clone()) else {
            continue;
        };
        let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
        let ready = conditions.into_iter().any(|one| one.type_ == "Ready" && one.status == "True");
        let counted = found.entry((program, image)).or_default();
        *counted = (counted.0 + 1, counted.1 + u64::from(ready));
    }
    let program = |((program, image), (pods, ready)): ((String, String), (u64, u64))| Program {
        side,
        program,
        version: version(&image),
        pods,
        ready,
        image,
    };
    found.into_iter().map(program).collect()
}

/// The version that an image's tag says: one that begins with a digit, with or without `v`.
fn version(image: &str) -> Option<String> {
    let name = image.split_once('@').map_or(image, |(name, _)| name);
    let (_, tag) = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/'))?;
    let tag = tag.strip_prefix('v').unwrap_or(tag);
    tag.starts_with(|letter: char| letter.is_ascii_digit()).then(|| tag.to_owned())
}

/// What does not fit together: several images of one program, programs of other versions than the others, and this
/// program's.
pub fn skew(client: &str, programs: &[Program]) -> Vec<String> {
    let mut all = Vec::new();
    let mut by_program: BTreeMap<(Side, &str), Vec<&Program>> = BTreeMap::new();
    for program in programs {
        by_program.entry((program.side, &program.program)).or_default().push(program);
    }
    for ((side, name), images) in by_program.iter().filter(|(_, images)| images.len() > 1) {
        let each: Vec<String> =
            images.iter().map(|program| format!("{} of {}", program.pods, shown(program))).collect();
        all.push(format!(
            "{name} at the {} runs {}: an upgrade is under way or stuck (kubectl -n {SYSTEM_NAMESPACE} rollout status)",
            side.word(),
            each.join(" and ")
        ));
    }
    let versions: BTreeSet<&str> = programs.iter().filter_map(|program| program.version.as_deref()).collect();
    if by_program.len() > 1 && versions.len() > 1 {
        let each: BTreeSet<String> = programs
            .iter()
            .filter_map(|one| Some(format!("{} {}", one.program, one.version.as_deref()?)))
            .collect();
        let each: Vec<String> = each.into_iter().collect();
        all.push(format!("programs are of different versions: {}", each.join(", ")));
    }
    let others: Vec<&str> = versions.into_iter().filter(|version| *version != client).collect();
    if !others.is_empty() {
        all.push(format!(
            "this program is {client}, what runs is {}; use the same version",
            others.join(", ")
        ));
    }
    all
}

fn shown(program: &Program) -> &str {
    program.version.as_deref().unwrap_or(&program.image)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(component: &str, image: &str, ready: bool) -> Pod {
        let value = json!({
            "metadata": {"labels": {"app.kubernetes.io/component": component}},
            "spec": {"containers": [{"name": "c", "image": image}]},
            "status": {"conditions": [{"type": "Ready", "status": if ready { "True" } else { "False" }}]},
        });
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn versions_are_what_tags_say() {
        assert_eq!(version("registry:5000/causeway:v1.2.3").as_deref(), Some("1.2.3"));
        assert_eq!(version("causeway:0.1.0@sha256:ab").as_deref(), Some("0.1.0"));
        for none in ["causeway:latest", "causeway", "registry:5000/causeway", "causeway@sha256:12"] {
            assert_eq!(version(none), None, "{none}");
        }
    }

    #[test]
    fn pods_of_one_image_are_counted_together() {
        let pods = [pod("agent", "c:1.0", true), pod("agent", "c:1.0", false), pod("agent", "c:1.1", true)];
        let programs = summed(Side::Member, &pods);
        let counts: Vec<_> =
            programs.iter().map(|one| (one.version.as_deref(), one.pods, one.ready)).collect();
        assert_eq!(counts, [(Some("1.0"), 2, 1), (Some("1.1"), 1, 1)]);
    }

    #[test]
    fn every_kind_of_skew_is_named_and_none_where_there_is_none() {
        let of = |pods: &[Pod]| skew("1.0", &summed(Side::Member, pods));
        assert!(of(&[pod("agent", "c:1.0", true), pod("controller-manager", "c:1.0", true)]).is_empty());
        assert!(of(&[pod("agent", "c:latest", true)]).is_empty());
        let stuck = of(&[pod("agent", "c:latest", true), pod("agent", "d:latest", true)]);
        assert!(stuck[0].contains("1 of c:latest and 1 of d:latest"), "{stuck:?}");
        let differing = of(&[pod("agent", "c:1.0", true), pod("controller-manager", "c:1.1", true)]);
        assert!(differing[0].contains("agent 1.0, controller-manager 1.1"), "{differing:?}");
        let client = of(&[pod("agent", "c:2.0", true)]);
        assert_eq!(client, ["this program is 1.0, what runs is 2.0; use the same version"]);
    }
}
