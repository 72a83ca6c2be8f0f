//! ClusterNode ↔ facts.

use causeway_model::{ClusterName, NodeFacts, NodeId, Readiness, cluster_namespace};

use super::fields::{Conversion, Fields, InvalidObject, cidrs, ips};
use crate::{CLUSTER_LABEL, CausewayObject, ClusterNode, ClusterNodeSpec};

/// The facts that a ClusterNode states. Its cluster is told by its namespace alone.
///
/// # Errors
/// [`InvalidObject`] if its namespace is no cluster's, or its name no node's.
pub fn node_facts(object: &ClusterNode) -> Result<Conversion<NodeFacts>, InvalidObject> {
    let mut fields = Fields::of(object.key());
    let meta = &object.metadata;
    let cluster = ClusterName::from_namespace(meta.namespace.as_deref().unwrap_or_default());
    let cluster = fields.need("metadata.namespace", cluster)?;
    let node = fields.need("metadata.name", meta.name.as_deref().unwrap_or_default().parse())?;
    let spec = &object.spec;
    let facts = NodeFacts {
        id: NodeId { cluster, node },
        underlay: fields.underlay("spec.underlay", &spec.underlay),
        pods: fields.prefixes("spec.podCIDRs", &spec.pod_cidrs),
        readiness: match (spec.ready, spec.cordoned) {
            (Some(false), _) => Readiness::NotReady,
            (_, Some(true)) => Readiness::Cordoned,
            _ => Readiness::Ready,
        },
        zone: spec.zone.clone(),
        labels: spec.labels.clone(),
    };
    Ok(fields.done(facts))
}

/// A ClusterNode that states `facts`.
pub fn cluster_node(facts: &NodeFacts) -> ClusterNode {
    let spec = ClusterNodeSpec {
        underlay: ips(facts.underlay.addresses()),
        pod_cidrs: cidrs(&facts.pods),
        ready: Some(facts.readiness != Readiness::NotReady),
        cordoned: (facts.readiness == Readiness::Cordoned).then_some(true),
        zone: facts.zone.clone(),
        resolve: None,
        labels: facts.labels.clone(),
    };
    let mut object = ClusterNode::new(facts.id.node.as_str(), spec);
    object.metadata.namespace = Some(cluster_namespace(&facts.id.cluster));
    object.metadata.labels = Some([(CLUSTER_LABEL.to_owned(), facts.id.cluster.to_string())].into());
    object
}
