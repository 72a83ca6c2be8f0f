//! A test that no object asks for: of one node alone, by the plan that it has.

use causeway_api::{Diagnosis, DiagnosisSpec, Obstacle};
use causeway_diagnosis::targets::of_slices;
use causeway_model::cluster_namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::{Subject, examine};
use crate::plans::Inputs;

/// Tests the node of a plan against some of its peers, for some seconds. `trouble` is what keeps the kernel from being
/// as planned.
pub fn alone(inputs: Inputs<'_>, trouble: Vec<Obstacle>) -> Diagnosis {
    let node = inputs.node();
    let spec = DiagnosisSpec {
        request: "alone".to_owned(),
        requested_at: Some(Time(Timestamp::now())),
        targets: of_slices(node, inputs.slices()),
        services: Vec::new(),
    };
    let status = examine(&spec, Some(&Subject { node: node.clone() }), trouble);
    let mut diagnosis = Diagnosis::new(node.id.node.as_str(), spec);
    diagnosis.metadata.namespace = Some(cluster_namespace(&node.id.cluster));
    diagnosis.status = Some(status);
    diagnosis
}
