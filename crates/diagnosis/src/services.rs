//! Services that nodes do not translate, by what left them.

use std::collections::BTreeSet;

use causeway_api::ServiceEvidence;
use causeway_model::NodeId;

use crate::finding::Findings;
use crate::{Cause, NodeEvidence};

/// Tells which nodes let requests to Services of their cluster go untranslated, apart from those of which it is `explained`
/// why nothing passes. That requests are not answered accuses nobody, since a backend may be at fault, and neither does
/// that they left, since a router outside may translate them: both together do.
pub(crate) fn judge(nodes: &[NodeEvidence], explained: &BTreeSet<&NodeId>, findings: &mut Findings) {
    let tries: Vec<(&NodeId, &ServiceEvidence)> =
        nodes.iter().flat_map(|node| of(node).iter().map(move |service| (&node.id, service))).collect();
    for node in nodes.iter().filter(|node| !explained.contains(&node.id)) {
        for own in of(node) {
            let Some(untranslated) = own.untranslated.filter(|count| *count > 0) else { continue };
            // Which of its nodes translates for another cluster, nobody can say; here they come from this one itself.
            let from_here = |id: &NodeId| *id == node.id || id.cluster != node.id.cluster;
            let lost = tries.iter().filter(|(id, try_)| from_here(id) && is_same(try_, own));
            for (id, lost) in lost.filter(|(_, try_)| try_.answered < try_.tried) {
                let name = node.id.to_string();
                let link = own.link.as_deref().unwrap_or("some link");
                let words = format!(
                    "{untranslated} requests to {} ({}:{}) left {name} over {link} as they were; {} of {} of {id} were answered; {}",
                    own.name,
                    own.address,
                    own.port,
                    lost.answered,
                    lost.tried,
                    shown(node)
                );
                findings.add(Cause::ServiceUntranslated, name, words);
            }
        }
    }
}

fn of(node: &NodeEvidence) -> &[ServiceEvidence] {
    node.answer.as_ref().map(|answer| answer.services.as_slice()).unwrap_or_default()
}

fn is_same(one: &ServiceEvidence, other: &ServiceEvidence) -> bool {
    one.cluster == other.cluster && one.name == other.name
}

fn shown(node: &NodeEvidence) -> String {
    match node.host().map(|host| host.kube_proxy.join(", ")).filter(|shown| !shown.is_empty()) {
        Some(shown) => format!("of kube-proxy there is: {shown}"),
        None => "of kube-proxy nothing is to be seen there".to_owned(),
    }
}
