//! Copies of the hub's plans at the member: what a copy should be, and what is known of the one that is
//! there. At 5,000 nodes whole copies would fill memory, so a fingerprint stands for each.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use causeway_api::conditions::{CLEANED_UP, GATEWAYS_REACHABLE, PROGRAMMED, is_good};
use causeway_api::{
    ASKED_LABEL, CLEANUP_FINALIZER, COPIED_LABEL, Kind, LinkState, NodeConfig, NodeConfigStatus, Object,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, ObjectMeta};
use serde_json::Value;

/// What is known of a copy that is there.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Copied {
    /// Which incarnation of it.
    pub uid: Option<String>,
    /// What it says and is labelled with.
    pub fingerprint: u64,
    /// Whether it is being removed, and waits for its node to clean up.
    pub deleting: bool,
    /// Whether it has the finalizer that makes it wait.
    pub has_finalizer: bool,
    /// What its agent says, for NodeConfigs.
    pub report: Option<Report>,
}

/// What a node's agent says.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Report {
    /// Whether the kernel is as planned.
    pub programmed: bool,
    /// Why not: reason and message.
    pub why: Option<(String, String)>,
    /// What a person should know, whether or not the kernel is as planned: reasons and messages.
    pub troubles: Vec<(String, String)>,
    /// How each remote cluster is reached.
    pub links: BTreeMap<String, Seen>,
}

/// How a node reaches a remote cluster.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Seen {
    /// Whether a way works.
    pub ready: bool,
    /// The round-trip time in microseconds, if it was measured.
    pub rtt: Option<i64>,
    /// The share of probes that are lost in thousandths, if it was measured.
    pub loss: Option<i64>,
}

impl From<&LinkState> for Seen {
    fn from(state: &LinkState) -> Seen {
        let LinkState { remote_cluster: _, ready, rtt_microseconds: rtt, loss_per_mille: loss } = state;
        Seen { ready: *ready, rtt: *rtt, loss: *loss }
    }
}

/// Reasons of `GatewaysReachable` that are no trouble.
const WELL: [&str; 2] = ["AllGatewaysAnswer", "NoGatewaysUsed"];

/// Whether a person should know of a node's condition. A gateway that is silent is one though others carry its traffic.
fn is_trouble(condition: &Condition) -> bool {
    let reason = condition.reason.as_str();
    let gateways = condition.type_ == GATEWAYS_REACHABLE && !WELL.contains(&reason);
    (gateways || !is_good(condition)) && reason != CLEANED_UP
}

impl Copied {
    /// Reads a copy. `None` for an object that is no copy: it is somebody else's.
    pub fn of(object: &Object) -> Option<Copied> {
        let meta = object.meta();
        let label = meta.labels.iter().flatten().find(|(key, _)| *key == COPIED_LABEL);
        label?;
        let report = match object {
            Object::NodeConfig(config) => config.status.as_ref().map(Report::of),
            _ => None,
        };
        Some(Copied {
            uid: meta.uid.clone(),
            fingerprint: fingerprint(object),
            deleting: meta.deletion_timestamp.is_some(),
            has_finalizer: meta.finalizers.iter().flatten().any(|finalizer| finalizer == CLEANUP_FINALIZER),
            report,
        })
    }

    /// Whether its node says that nothing of Causeway is left there.
    pub fn is_cleaned_up(&self) -> bool {
        let why = self.report.as_ref().and_then(|report| report.why.as_ref());
        why.is_some_and(|(reason, _)| reason == CLEANED_UP)
    }
}

impl Report {
    fn of(status: &NodeConfigStatus) -> Report {
        let condition: Option<&Condition> = status.conditions.iter().find(|one| one.type_ == PROGRAMMED);
        let programmed = condition.is_some_and(|condition| condition.status == "True");
        let told = |condition: &Condition| {
            (condition.reason.clone(), condition.message.chars().take(200).collect::<String>())
        };
        let why = condition.filter(|_| !programmed).map(told);
        let troubles = status.conditions.iter().filter(|condition| is_trouble(condition)).map(told);
        let troubles = troubles.collect();
        let links = status.links.iter();
        let links = links.map(|link| (link.remote_cluster.clone(), Seen::from(link)));
        Report { programmed, why, troubles, links: links.collect() }
    }
}

/// The copy of a hub's object in `namespace` of the member; `asked` is the request of a test of its node.
pub fn copy(object: &Object, namespace: &str, asked: Option<&str>) -> Object {
    let meta = object.meta();
    let mut labels = meta.labels.clone().unwrap_or_default();
    labels.insert(COPIED_LABEL.to_owned(), "true".to_owned());
    // Not every request is a label's value.
    labels.extend(asked.map(|request| (ASKED_LABEL.to_owned(), format!("{:016x}", hash(request)))));
    let metadata = ObjectMeta {
        name: meta.name.clone(),
        namespace: Some(namespace.to_owned()),
        labels: Some(labels),
        // Set at creation: a NodeConfig never goes without its node being asked to clean up.
        finalizers: (object.kind() == Kind::NodeConfig).then(|| vec![CLEANUP_FINALIZER.to_owned()]),
        ..ObjectMeta::default()
    };
    let mut copy = object.clone();
    match &mut copy {
        Object::NodeConfig(copy) => *copy = NodeConfig { metadata, status: None, spec: copy.spec.clone() },
        Object::ClusterLink(copy) => (copy.metadata, copy.status) = (metadata, None),
        Object::PeerSlice(copy) => (copy.metadata, copy.status) = (metadata, None),
        Object::Diagnosis(copy) => (copy.metadata, copy.status) = (metadata, None),
        // Facts and what people write are not copied.
        Object::ClusterSet(_) | Object::Cluster(_) | Object::ClusterNode(_) => {}
    }
    copy
}

fn hash(value: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}

/// Equal for objects that say the same and have the same labels of ours.
pub fn fingerprint(object: &Object) -> u64 {
    let value = serde_json::to_value(object).unwrap_or_default();
    let mut hasher = DefaultHasher::new();
    // serde_json sorts the fields of objects.
    value.get("spec").map(Value::to_string).hash(&mut hasher);
    let labels = object.meta().labels.iter().flatten();
    for label in labels.filter(|(key, _)| key.starts_with("causeway.dev/")) {
        label.hash(&mut hasher);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
    use k8s_openapi::jiff::Timestamp;
    use serde_json::json;

    use super::*;

    fn config(metadata: Value, status: Value) -> Object {
        let value = json!({
            "apiVersion": causeway_api::API_VERSION, "kind": "NodeConfig", "metadata": metadata,
            "spec": {
                "cluster": "a", "role": "Node", "underlay": ["192.0.2.1"],
                "overlay": ["198.18.0.1", "fd63:6175:7365:1::1"],
                "tunnels": {"bridge": {"vni": 54, "port": 4876}},
            },
            "status": status,
        });
        Object::deserialize(Kind::NodeConfig, value).unwrap()
    }

    #[test]
    fn a_copy_is_recognised_as_the_copy_that_it_is() {
        let labels = json!({"causeway.dev/cluster": "a"});
        let original =
            config(json!({"name": "n1", "namespace": "causeway-cluster-a", "labels": labels}), json!({}));
        let asked = copy(&original, "causeway-system", Some("what? ever"));
        let copy = copy(&original, "causeway-system", None);
        assert_ne!(fingerprint(&asked), fingerprint(&copy));
        assert!(
            asked.meta().labels.as_ref().unwrap()[ASKED_LABEL].bytes().all(|byte| byte.is_ascii_hexdigit())
        );
        let known = Copied::of(&copy).unwrap();
        assert_eq!(known.fingerprint, fingerprint(&copy));
        assert!(known.has_finalizer && !known.deleting);
        assert_eq!(copy.meta().namespace.as_deref(), Some("causeway-system"));
        assert!(!copy.has_status());
        assert_eq!(Copied::of(&original), None);
    }

    #[test]
    fn what_the_agent_says_is_read() {
        let condition = |status: &str, reason: &str| {
            json!([{
                "type": "Programmed", "status": status, "reason": reason, "message": "m",
                "lastTransitionTime": "2026-01-01T00:00:00Z",
            }])
        };
        let status = json!({
            "conditions": condition("True", "InKernel"),
            "links": [{"remoteCluster": "b", "ready": true, "rttMicroseconds": 420, "lossPerMille": 25}],
        });
        let labelled = || json!({"name": "n1", "labels": {COPIED_LABEL: "true"}});
        let report = Copied::of(&config(labelled(), status)).unwrap().report.unwrap();
        assert_eq!(report.links["b"], Seen { ready: true, rtt: Some(420), loss: Some(25) });
        assert!(report.programmed && report.why.is_none());
        assert!(report.troubles.is_empty());
        let cleaned = Copied::of(&config(labelled(), json!({"conditions": condition("False", "CleanedUp")})));
        let cleaned = cleaned.unwrap();
        assert!(cleaned.is_cleaned_up() && cleaned.report.unwrap().troubles.is_empty());
    }

    #[test]
    fn trouble_is_what_is_bad_and_gateways_that_are_silent_though_others_carry() {
        let condition = |type_: &str, status: &str, reason: &str| Condition {
            type_: type_.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: String::new(),
            observed_generation: None,
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        for (type_, status, reason, expected) in [
            ("Programmed", "True", "InKernel", false),
            ("Programmed", "False", "ChangesFailed", true),
            ("Programmed", "False", "CleanedUp", false),
            ("Degraded", "False", "AsPlanned", false),
            ("Degraded", "True", "ForeignDevice", true),
            ("GatewaysReachable", "True", "AllGatewaysAnswer", false),
            ("GatewaysReachable", "True", "NoGatewaysUsed", false),
            ("GatewaysReachable", "True", "SomeGatewaysSilent", true),
            ("GatewaysReachable", "True", "PacketsLost", true),
            ("GatewaysReachable", "False", "AllGatewaysSilent", true),
        ] {
            assert_eq!(is_trouble(&condition(type_, status, reason)), expected, "{reason}");
        }
    }
}
