//! ClusterLink ↔ plan of a link.

use causeway_model::{LinkId, LinkPlan, LinkPrefix, cluster_namespace};

use super::fields::{Conversion, Fields, InvalidObject, cluster_name, known, sort};
use crate::{CLUSTER_LABEL, CausewayObject, Choice, ClusterLink, ClusterLinkPrefix, ClusterLinkSpec};

/// The plan in a ClusterLink. `findings` is empty: they are conditions of the object.
///
/// # Errors
/// [`InvalidObject`] if one of its clusters or the way cannot be read, or it links a cluster to itself.
pub fn link_plan(object: &ClusterLink) -> Result<Conversion<LinkPlan>, InvalidObject> {
    let mut fields = Fields::of(object.key());
    let spec = &object.spec;
    let source = fields.need("spec.sourceCluster", cluster_name(&spec.source_cluster))?;
    let remote = fields.need("spec.remoteCluster", cluster_name(&spec.remote_cluster))?;
    if source == remote {
        let message = format!("\"{remote}\" is the source cluster too; a cluster has no link to itself");
        return Err(InvalidObject(fields.error("spec.remoteCluster", message)));
    }
    let via = fields.need("spec.via", known(&spec.via))?;
    let plan = LinkPlan {
        id: LinkId { source, remote },
        via,
        transport: match &spec.transport {
            None => causeway_model::Transport::default(),
            // Sending by another transport than the one asked for could send in the clear.
            Some(word) => fields.need("spec.transport", known(word))?,
        },
        prefixes: prefixes(&mut fields, &spec.prefixes),
        mtu: spec.mtu.and_then(|mtu| fields.number("spec.mtu", mtu, 506, 65_535)),
        findings: Vec::new(),
    };
    Ok(fields.done(plan))
}

fn prefixes(fields: &mut Fields, given: &[ClusterLinkPrefix]) -> Vec<LinkPrefix> {
    let mut prefixes = Vec::new();
    for (index, entry) in given.iter().enumerate() {
        let field = |name: &str| format!("spec.prefixes[{index}].{name}");
        let prefix = fields.keep(&field("cidr"), entry.cidr.0.parse());
        let kind = fields.keep(&field("kind"), known(&entry.kind));
        let via = fields.keep(&field("via"), known(&entry.via));
        if let (Some(prefix), Some(kind), Some(via)) = (prefix, kind, via) {
            prefixes.push(LinkPrefix { prefix, kind, via });
        }
    }
    sort(&mut prefixes);
    prefixes
}

/// The ClusterLink for `plan`. Its findings go into conditions: see [`crate::conditions`].
pub fn cluster_link(plan: &LinkPlan) -> ClusterLink {
    let LinkPlan { id, via, transport, prefixes, mtu, findings: _ } = plan;
    let entry = |p: &LinkPrefix| ClusterLinkPrefix {
        cidr: p.prefix.into(),
        kind: Choice::from(p.kind),
        via: Choice::from(p.via),
    };
    let spec = ClusterLinkSpec {
        source_cluster: id.source.to_string(),
        remote_cluster: id.remote.to_string(),
        via: Choice::from(*via),
        transport: Some(Choice::from(*transport)),
        prefixes: prefixes.iter().map(entry).collect(),
        mtu: mtu.map(i64::from),
    };
    let mut object = ClusterLink::new(id.remote.as_str(), spec);
    object.metadata.namespace = Some(cluster_namespace(&id.source));
    object.metadata.labels = Some([(CLUSTER_LABEL.to_owned(), id.source.to_string())].into());
    object
}
