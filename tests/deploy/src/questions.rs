//! Every question of who may do what that the tables of rights answer, asked of an API server: also of resources that it does
//! not serve, such as those of CNIs.

use std::collections::BTreeSet;

use causeway_kubernetes::Client;
use futures::StreamExt;
use k8s_openapi::api::authorization::v1::SelfSubjectAccessReview;
use kube_client::Api;
use kube_client::api::PostParams;
use serde_json::json;

use crate::grants::{EAST, Right, SHARED, SYSTEM, WEST, grants};
use crate::identity::typed;

/// Where it is asked; the empty one is the whole cluster.
const NAMESPACES: [&str; 7] = ["", SYSTEM, SHARED, EAST, WEST, "kube-system", "default"];
const VERBS: &str =
    "get list watch create update patch delete deletecollection escalate bind impersonate approve";
/// A name that nobody has a right on in particular.
const OTHER: &str = "other";

/// Group, resource with subresource, names that somebody has a right on.
const RESOURCES: &[(&str, &str, &[&str])] = &[
    ("causeway.dev", "clustersets", &[]),
    ("causeway.dev", "clustersets/status", &[]),
    ("causeway.dev", "clusters", &["east", "west"]),
    ("causeway.dev", "clusters/status", &["east", "west"]),
    ("causeway.dev", "clusternodes", &[]),
    ("causeway.dev", "clusternodes/status", &[]),
    ("causeway.dev", "nodeconfigs", &[]),
    ("causeway.dev", "nodeconfigs/status", &[]),
    ("causeway.dev", "clusterlinks", &[]),
    ("causeway.dev", "clusterlinks/status", &[]),
    ("causeway.dev", "peerslices", &[]),
    ("causeway.dev", "peerslices/status", &[]),
    ("causeway.dev", "diagnoses", &[]),
    ("causeway.dev", "diagnoses/status", &[]),
    ("", "namespaces", &[]),
    ("", "nodes", &[]),
    ("", "nodes/status", &[]),
    ("", "nodes/proxy", &[]),
    ("", "pods", &[]),
    ("", "pods/exec", &[]),
    ("", "pods/log", &[]),
    ("", "services", &[]),
    ("", "secrets", &["causeway-hub"]),
    (
        "",
        "configmaps",
        &[
            "kubeadm-config",
            "kube-flannel-cfg",
            "canal-config",
            "rke2-canal-config",
            "cilium-config",
            "antrea-config",
        ],
    ),
    ("", "serviceaccounts", &["controller-manager"]),
    ("", "serviceaccounts/token", &["controller-manager"]),
    ("", "users", &[]),
    ("", "groups", &[]),
    ("", "events", &[]),
    ("events.k8s.io", "events", &[]),
    ("coordination.k8s.io", "leases", &["causeway-network-manager", "causeway-controller-manager"]),
    ("rbac.authorization.k8s.io", "roles", &["controller-manager"]),
    ("rbac.authorization.k8s.io", "rolebindings", &[]),
    ("rbac.authorization.k8s.io", "clusterroles", &["cluster-admin"]),
    ("rbac.authorization.k8s.io", "clusterrolebindings", &[]),
    ("networking.k8s.io", "servicecidrs", &[]),
    ("networking.k8s.io", "networkpolicies", &[]),
    ("apps", "deployments", &[]),
    ("apps", "daemonsets", &[]),
    ("apiextensions.k8s.io", "customresourcedefinitions", &[]),
    ("admissionregistration.k8s.io", "validatingadmissionpolicies", &[]),
    ("admissionregistration.k8s.io", "mutatingwebhookconfigurations", &[]),
    ("certificates.k8s.io", "certificatesigningrequests", &[]),
    ("crd.projectcalico.org", "ippools", &[]),
    ("crd.projectcalico.org", "blockaffinities", &[]),
    ("crd.projectcalico.org", "ipamblocks", &[]),
    ("projectcalico.org", "ippools", &[]),
    ("projectcalico.org", "blockaffinities", &[]),
    ("projectcalico.org", "ipamblocks", &[]),
    ("cilium.io", "ciliumnodes", &[]),
    ("cilium.io", "ciliumpodippools", &[]),
    ("kubeovn.io", "subnets", &[]),
];

/// Whether somebody may do something somewhere.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Question {
    namespace: &'static str,
    group: &'static str,
    resource: &'static str,
    name: &'static str,
    verb: &'static str,
}

fn questions(about: impl Fn(&str, &str) -> bool) -> Vec<Question> {
    let mut all = Vec::new();
    for (group, resource, names) in RESOURCES.iter().filter(|(group, resource, _)| about(group, resource)) {
        for namespace in NAMESPACES {
            for name in names.iter().copied().chain([OTHER]) {
                let ask = |verb| Question { namespace, group, resource, name, verb };
                all.extend(VERBS.split(' ').map(ask));
            }
        }
    }
    all
}

impl Question {
    async fn ask(self, client: Client) -> Option<Question> {
        let (resource, subresource) = self.resource.split_once('/').unwrap_or((self.resource, ""));
        let review = typed(json!({"spec": {"resourceAttributes": {
            "namespace": self.namespace, "group": self.group, "resource": resource,
            "subresource": subresource, "name": self.name, "verb": self.verb,
        }}}));
        let reviews: Api<SelfSubjectAccessReview> = Api::all(client);
        let answer = reviews.create(&PostParams::default(), &review).await.expect("an answer");
        answer.status.expect("a status").allowed.then_some(self)
    }
}

/// How an identity's rights and a table differ.
#[derive(Debug)]
pub struct Difference {
    /// What it may and should not.
    pub too_much: Vec<Question>,
    /// What it should and may not.
    pub too_little: Vec<Question>,
}

/// Asks everything about the groups and resources that `about` takes, as `client`.
///
/// # Panics
/// If the API server does not answer.
pub async fn differences(
    client: &Client,
    rights: &[Right],
    about: impl Fn(&str, &str) -> bool,
) -> Difference {
    let questions = questions(about);
    let asked = futures::stream::iter(questions.clone()).map(|question| question.ask(client.clone()));
    let allowed: BTreeSet<Question> =
        asked.buffer_unordered(32).filter_map(std::future::ready).collect().await;
    let granted = |question: &Question| {
        grants(rights, question.namespace, (question.group, question.resource), question.name, question.verb)
    };
    let expected: BTreeSet<Question> = questions.into_iter().filter(granted).collect();
    Difference {
        too_much: allowed.difference(&expected).cloned().collect(),
        too_little: expected.difference(&allowed).cloned().collect(),
    }
}
