//! Why there is no way, and what to do: the findings that speak of the clusters, the link and the node
//! at which a packet ended.

use std::net::IpAddr;

use causeway_model::{ClusterName, Finding, LinkId, NodeId, Reason};
use serde::Serialize;

use super::locate::{Owner, What, owners};
use super::origin::link_object;
use crate::inventory::Inventory;
use crate::node_state::View;

/// A reason, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Cause {
    /// The object that it concerns.
    pub object: String,
    /// The reason, as conditions write it.
    pub reason: String,
    /// In words.
    pub message: String,
    /// What to do.
    #[serde(rename = "do")]
    pub remedy: String,
}

/// Why a packet to `address` ended at `node`, as far as the plan can say. `notices` are what that node
/// cannot have of its plan.
pub fn causes(
    inventory: &Inventory,
    view: &View,
    node: &NodeId,
    address: IpAddr,
    notices: Vec<String>,
) -> Vec<Cause> {
    let owners = owners(inventory, view, address);
    if owners.is_empty() {
        return vec![unknown(inventory, address)];
    }
    let mut causes = Vec::new();
    for owner in owners.iter().filter(|owner| owner.cluster != node.cluster) {
        causes.extend(of_owner(view, node, owner, address));
    }
    if let Some(id) = owners.iter().filter_map(|owner| owner.node.as_ref()).next() {
        causes.extend(view.plan.node_findings.get(id).into_iter().flatten().map(cause));
    }
    let object = super::origin::node_config(node);
    causes.extend(notices.into_iter().map(|message| Cause {
        object: object.clone(),
        reason: "NotPossibleHere".to_owned(),
        message,
        remedy: "see `causeway render` for this node".to_owned(),
    }));
    if causes.is_empty() {
        causes.push(nothing_announces(&owners, address));
    }
    let mut unique: Vec<Cause> = Vec::new();
    for cause in causes {
        if !unique.contains(&cause) {
            unique.push(cause);
        }
    }
    unique
}

fn unknown(inventory: &Inventory, address: IpAddr) -> Cause {
    Cause {
        object: inventory.directory.clone(),
        reason: "UnknownAddress".to_owned(),
        message: format!("{address} is in no pod, service, overlay or global CIDR of any cluster"),
        remedy: "check the address, and the CIDRs of the Clusters (`causeway plan` shows those refused)"
            .to_owned(),
    }
}

fn nothing_announces(owners: &[Owner], address: IpAddr) -> Cause {
    let owner = &owners[0];
    Cause {
        object: format!("Cluster {}", owner.cluster),
        reason: "NoNode".to_owned(),
        message: format!(
            "{address} is inside a CIDR of cluster {}, but no node that takes part has it",
            owner.cluster
        ),
        remedy: "check the address, and the podCIDRs of the cluster's ClusterNodes".to_owned(),
    }
}

/// Why the cluster of `node` does not reach `owner`.
fn of_owner(view: &View, node: &NodeId, owner: &Owner, address: IpAddr) -> Vec<Cause> {
    let plan = &view.plan;
    let mut causes = Vec::new();
    let mut add = |finding: &Finding| causes.push(cause(finding));
    let there = LinkId { source: node.cluster.clone(), remote: owner.cluster.clone() };
    let back = LinkId { source: owner.cluster.clone(), remote: node.cluster.clone() };
    let link = plan.links.get(&there);
    let carried = link.is_some_and(|link| link.prefixes.iter().any(|p| p.prefix.contains(address)));
    if !carried {
        for id in [&there, &back] {
            plan.links.get(id).into_iter().flat_map(|link| &link.findings).for_each(&mut add);
        }
        for cluster in [&owner.cluster, &node.cluster] {
            plan.clusters.get(cluster).into_iter().flat_map(|cluster| &cluster.findings).for_each(&mut add);
        }
    }
    match (link, carried) {
        (None, _) => causes.insert(0, no_link(&there)),
        (Some(_), false) => causes.extend(shown_as(view, &owner.cluster, address)),
        (Some(_), true) => causes.extend(not_on_node(view, node, owner, address, &there)),
    }
    if causes.is_empty() {
        causes.push(no_prefix(&there, owner, address));
    }
    causes
}

fn no_link(id: &LinkId) -> Cause {
    Cause {
        object: link_object(id),
        reason: "NoLink".to_owned(),
        message: format!("there is no link from {} to {}", id.source, id.remote),
        remedy: "let network-manager run, or use --planned to see what it would write".to_owned(),
    }
}

fn no_prefix(id: &LinkId, owner: &Owner, address: IpAddr) -> Cause {
    let remedy = match owner.what {
        What::Underlay => "give a pod, Service or overlay address; underlay addresses are not linked",
        _ => "see `causeway plan` for what was refused",
    };
    Cause {
        object: link_object(id),
        reason: "NotLinked".to_owned(),
        message: format!("the link carries no prefix with {address}, {owner}"),
        remedy: remedy.to_owned(),
    }
}

/// The address under which others see a translated one.
fn shown_as(view: &View, cluster: &ClusterName, address: IpAddr) -> Option<Cause> {
    let translations = &view.plan.clusters.get(cluster)?.translations;
    let (translation, global) =
        translations.iter().find_map(|t| Some((t, t.real.translate(&t.global, address)?)))?;
    Some(Cause {
        object: format!("Cluster {cluster}"),
        reason: "GlobalCIDR".to_owned(),
        message: format!("cluster {cluster} shows {} to others as {}", translation.real, translation.global),
        remedy: format!("send to {global}"),
    })
}

/// Why the node itself has no entry for what its link carries.
fn not_on_node(view: &View, node: &NodeId, owner: &Owner, address: IpAddr, link: &LinkId) -> Vec<Cause> {
    let family = causeway_model::Family::of(address);
    let ends = [Some(node), owner.node.as_ref()];
    let lacking = ends.into_iter().flatten().filter_map(|id| view.plan.nodes.get(id));
    let mut causes: Vec<Cause> = lacking
        .filter(|node| !node.vtep.families.contains(family))
        .map(|node| Cause {
            object: format!("ClusterNode {}", node.id),
            reason: Reason::FamilyNotUsed.as_str().to_owned(),
            message: format!("node {} carries no {family}", node.id),
            remedy: format!("give the node {family} pod CIDRs, or use the other family"),
        })
        .collect();
    if causes.is_empty() && owner.node.is_none() {
        causes.push(Cause {
            object: link_object(link),
            reason: "NoNode".to_owned(),
            message: format!(
                "the link carries the prefix, but no node of cluster {} that takes part has {address}",
                owner.cluster
            ),
            remedy: "check the address, and the podCIDRs of the cluster's ClusterNodes".to_owned(),
        });
    }
    causes
}

fn cause(finding: &Finding) -> Cause {
    Cause {
        object: finding.subject.to_string(),
        reason: finding.reason.as_str().to_owned(),
        message: format!("{}: {}", finding.field, finding.message),
        remedy: remedy(finding.reason).to_owned(),
    }
}

/// What an operator can do about a finding.
pub fn remedy(reason: Reason) -> &'static str {
    match reason {
        Reason::InvalidValue => "correct the value",
        Reason::PrefixConflict => {
            "give both clusters global CIDRs (spec.globalCIDRs.mode: Auto), or change one cluster's CIDR"
        }
        Reason::PrefixCoversUnderlay => "use a prefix without the nodes' underlay addresses",
        Reason::PrefixReserved => "use a prefix that can be routed between clusters",
        Reason::PrefixInOverlayRange => "change the prefix, or spec.overlayCIDRs of the ClusterSet",
        Reason::PrefixOutsideCluster => {
            "add the prefix to the Cluster's podCIDRs, or correct the ClusterNode"
        }
        Reason::PrefixOfOtherNode => "correct the podCIDRs of one of the two ClusterNodes",
        Reason::FamilyNotUsed => "add the family to the Cluster's ipFamilies, or use the other one",
        Reason::OverlayExhausted => "add a range to spec.overlayCIDRs of the ClusterSet",
        Reason::GlobalPoolExhausted => "add a range to spec.globalCIDRPool of the ClusterSet",
        Reason::InvalidGlobalCidr => "give a global CIDR of the same family and length that nobody else has",
        Reason::NoGateway => {
            "let spec.gateways.nodeSelector of the Cluster match ready nodes with an underlay address"
        }
        Reason::TooFewGateways => "let more nodes match spec.gateways.nodeSelector, or ask for fewer",
        Reason::NoCommonIpFamily => "give both clusters a family in common (dual-stack for one of them)",
        Reason::NoCommonUnderlayFamily => "give the nodes underlay addresses of one family in common",
        Reason::NoUnderlayAddress => "give the ClusterNode an address in spec.underlay",
        Reason::DuplicateUnderlayAddress => "correct spec.underlay of one of the two ClusterNodes",
        Reason::NodeExcluded => "remove the label, or widen spec.nodeSelector of the Cluster",
        Reason::UnknownCluster => "add the Cluster, or remove the ClusterNode",
        Reason::NoNodes => "add ClusterNodes, or widen spec.nodeSelector of the Cluster",
    }
}
