//! Why there is no way, and what to do: the findings that speak of the clusters, the link and the node
//! at which a packet ended.

use std::net::IpAddr;

use causeway_dataplane::desired::Notice;
use causeway_model::{ClusterName, Family, Finding, LinkId, NodeId, Reason};
use schemars::JsonSchema;
use serde::Serialize;

use super::locate::{Owner, What, owners};
use super::origin::link_object;
use crate::inventory::Inventory;
use crate::node_state::View;

/// A reason, and what to do about it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
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
    notices: &[Notice],
) -> Vec<Cause> {
    let owners = owners(inventory, view, address);
    if owners.is_empty() {
        return vec![unknown(inventory, address)];
    }
    let of_owner_nodes = owners.iter().filter_map(|owner| view.plan.node_findings.get(owner.node.as_ref()?));
    let mut causes: Vec<Cause> = of_owner_nodes.flatten().map(cause).collect();
    let family = Family::of(address);
    causes.extend(
        view.plan
            .nodes
            .get(node)
            .filter(|node| !node.vtep.families.contains(family))
            .map(|node| family_not_used(&node.id, family)),
    );
    for owner in owners.iter().filter(|owner| owner.cluster != node.cluster) {
        let found = of_owner(view, node, owner, address);
        let nothing = found.is_empty() && causes.is_empty();
        causes.extend(found);
        let concerning = notices.iter().filter(|notice| concerns(notice, &owner.cluster));
        causes.extend(concerning.map(|notice| not_possible(node, notice)));
        if nothing {
            causes.push(no_prefix(node, owner, address));
        }
    }
    if causes.is_empty() {
        causes.push(nothing_announces(&owners[0].cluster, address));
    }
    let mut unique: Vec<Cause> = Vec::new();
    for cause in causes {
        if !unique.contains(&cause) {
            unique.push(cause);
        }
    }
    unique
}

/// Whether what a node cannot have is about `cluster`, or about all of them.
fn concerns(notice: &Notice, cluster: &ClusterName) -> bool {
    match notice {
        Notice::NoCommonUnderlay { cluster: other, .. } | Notice::Refused { cluster: other, .. } => {
            other == cluster
        }
        Notice::NoUnderlay
        | Notice::NoTunnel(_)
        | Notice::UnderlayNotOnHost(_)
        | Notice::HostWithoutIpv6
        | Notice::MtuTooSmallForIpv6(..) => true,
    }
}

fn not_possible(node: &NodeId, notice: &Notice) -> Cause {
    Cause {
        object: super::origin::node_config(node),
        reason: notice.reason().to_owned(),
        message: notice.to_string(),
        remedy: "see `causeway plan` for what was refused, and `causeway render` for this node".to_owned(),
    }
}

fn family_not_used(node: &NodeId, family: Family) -> Cause {
    Cause {
        object: format!("ClusterNode {node}"),
        reason: Reason::FamilyNotUsed.as_str().to_owned(),
        message: format!("node {node} carries no {family}"),
        remedy: format!("use the other family, or give the cluster and its nodes {family} pod CIDRs"),
    }
}

fn unknown(inventory: &Inventory, address: IpAddr) -> Cause {
    Cause {
        object: inventory.source.clone(),
        reason: "UnknownAddress".to_owned(),
        message: format!("{address} is in no pod, service, overlay or global CIDR of any cluster"),
        remedy: "check the address, and the CIDRs of the Clusters (`causeway plan` shows those refused)"
            .to_owned(),
    }
}

fn nothing_announces(cluster: &ClusterName, address: IpAddr) -> Cause {
    Cause {
        object: format!("Cluster {cluster}"),
        reason: "NoNode".to_owned(),
        message: format!(
            "{address} is inside a CIDR of cluster {cluster}, but no node that takes part has it"
        ),
        remedy: "check the address, and the podCIDRs of the cluster's ClusterNodes".to_owned(),
    }
}

/// Why the cluster of `node` does not reach `owner`.
fn of_owner(view: &View, node: &NodeId, owner: &Owner, address: IpAddr) -> Vec<Cause> {
    if owner.what == What::Underlay {
        return vec![underlay(view, owner, address)];
    }
    let plan = &view.plan;
    let there = LinkId { source: node.cluster.clone(), remote: owner.cluster.clone() };
    let Some(link) = plan.links.get(&there) else { return vec![no_link(&there)] };
    if link.prefixes.iter().any(|p| p.prefix.contains(address)) {
        let far = owner.node.as_ref().and_then(|id| plan.nodes.get(id));
        let family = Family::of(address);
        return match far {
            Some(far) if !far.vtep.families.contains(family) => vec![family_not_used(&far.id, family)],
            None if owner.node.is_none() => vec![nothing_announces(&owner.cluster, address)],
            _ => Vec::new(),
        };
    }
    if let Some(shown) = shown_as(view, &owner.cluster, address) {
        return vec![shown];
    }
    let back = LinkId { source: owner.cluster.clone(), remote: node.cluster.clone() };
    let of_link = |id| plan.links.get(id).map(|link| link.findings.as_slice()).unwrap_or_default();
    let mut findings: Vec<&Finding> = of_link(&there).iter().collect();
    if findings.is_empty() {
        findings.extend(of_link(&back));
    }
    // The clusters say more about what keeps their link from being whole; what else is wrong with them
    // is no answer here. Where the link says nothing, a prefix of the remote cluster was refused.
    let said: Vec<Reason> = findings.iter().map(|finding| finding.reason).collect();
    for cluster in [&owner.cluster, &node.cluster] {
        let of_cluster = plan.clusters.get(cluster).map(|cluster| cluster.findings.as_slice());
        let silent = said.is_empty() && *cluster == owner.cluster;
        findings.extend(of_cluster.unwrap_or_default().iter().filter(|f| silent || said.contains(&f.reason)));
    }
    findings.into_iter().map(cause).collect()
}

fn underlay(view: &View, owner: &Owner, address: IpAddr) -> Cause {
    let overlay = owner.node.as_ref().and_then(|id| view.plan.nodes.get(id)).map(|n| n.vtep.overlay);
    let remedy = overlay
        .map(|overlay| format!("send to the node's overlay address {}", overlay.get(Family::of(address))));
    Cause {
        object: format!("Cluster {}", owner.cluster),
        reason: "UnderlayAddress".to_owned(),
        message: format!(
            "{address} is an {owner}; packets to it stay outside of the tunnels, and the main table decides"
        ),
        remedy: remedy.unwrap_or_else(|| "send to a pod, a Service or an overlay address".to_owned()),
    }
}

fn no_link(id: &LinkId) -> Cause {
    Cause {
        object: link_object(id),
        reason: "NoLink".to_owned(),
        message: format!("there is no link from {} to {}", id.source, id.remote),
        remedy: "let network-manager run, or use --planned to see what it would write".to_owned(),
    }
}

fn no_prefix(node: &NodeId, owner: &Owner, address: IpAddr) -> Cause {
    let id = LinkId { source: node.cluster.clone(), remote: owner.cluster.clone() };
    Cause {
        object: link_object(&id),
        reason: "NotLinked".to_owned(),
        message: format!("node {node} has no entry for {address}, {owner}"),
        remedy: "see `causeway plan` for what was refused".to_owned(),
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
