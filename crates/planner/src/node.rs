//! Whether a node takes part, at which addresses, and with which prefixes of its own.

use std::net::IpAddr;

use causeway_model::{
    ClusterFacts, DualStack, EXCLUDE_LABEL, Families, Family, Finding, GatewayPolicy, Mode, NodeFacts,
    Prefix, PrefixSet, Readiness, Reason, Role, Subject, Vtep,
};

use crate::claims::Claim;
use crate::cluster::Context;
use crate::findings::{POD_CIDRS, UNDERLAY, finding, item};
use crate::gateways::{Grade, Standing};
use crate::guard::reserved;

/// What is known and decided of one node.
#[derive(Default)]
pub(crate) struct NodeState {
    /// Its facts; none once it is gone, until that is committed.
    pub facts: Option<NodeFacts>,
    /// Its claim to underlay addresses, and to which.
    pub claim: Option<(Claim, DualStack<Option<IpAddr>>)>,
    /// Addresses that it may use; none if it cannot take part.
    pub underlay: Option<DualStack<Option<IpAddr>>>,
    /// Its overlay index.
    pub index: Option<u32>,
    /// Its end of the tunnels; none while it does not take part.
    pub vtep: Option<Vtep>,
    /// Its prefixes inside its cluster's, whether or not another node has them too; sorted.
    pub announced: Vec<Prefix>,
    /// Those that it owns, sorted.
    pub prefixes: Vec<Prefix>,
    /// As a candidate for a gateway.
    pub standing: Option<Standing>,
    /// What it does, if it takes part.
    pub role: Option<Role>,
    /// Findings that follow from the node and its cluster alone.
    pub judged: Vec<Finding>,
    /// All findings, as published.
    pub findings: Vec<Finding>,
    /// Whether its plan was published.
    pub published: bool,
    /// Whether its plan differs from the published one.
    pub changed: bool,
}

/// Addresses of a node that tunnels could end at, whoever else has them.
pub(crate) fn claimable(facts: &NodeFacts) -> DualStack<Option<IpAddr>> {
    DualStack::from_fn(|family| {
        facts
            .underlay
            .get(family)
            .filter(|address| Family::of(*address) == family && reserved(&Prefix::host(*address)).is_none())
    })
}

/// Why labels keep a node out.
pub(crate) fn excluded(cluster: &ClusterFacts, node: &NodeFacts) -> Option<String> {
    if node.labels.get(EXCLUDE_LABEL).is_some_and(|value| value == "true") {
        return Some(format!(
            "the label {EXCLUDE_LABEL}=true keeps the node out; remove it to let it take part"
        ));
    }
    let selected = cluster.nodes.matches(&node.labels);
    (!selected).then(|| format!("the node selector of Cluster {} does not match its labels", cluster.name))
}

/// The underlay addresses that a node may use, and why not the others.
pub(crate) fn usable_underlay(
    facts: &NodeFacts,
    ctx: &Context<'_>,
    findings: &mut Vec<Finding>,
) -> Option<DualStack<Option<IpAddr>>> {
    let claimable = claimable(facts);
    let mut usable = DualStack::default();
    for (family, address) in facts.underlay.iter() {
        let Some(address) = *address else { continue };
        let mut refuse = |reason, message| {
            findings.push(finding(Subject::Node(facts.id.clone()), UNDERLAY, reason, message));
        };
        if claimable.get(family).is_none() {
            let message =
                format!("{address} is no {family} address that other nodes can reach; state another");
            refuse(Reason::InvalidValue, message);
        } else if let Some(range) = ctx.overlay.find(address) {
            let message = format!(
                "{address} lies in the overlay range {range}; use other overlay ranges in the ClusterSet"
            );
            refuse(Reason::PrefixInOverlayRange, message);
        } else if let Some((prefix, older)) = ctx.refused.get(&address) {
            let message = format!(
                "{address} lies in {prefix} of Cluster {older}, which is older and keeps it; give the node another address, or Cluster {older} another CIDR"
            );
            refuse(Reason::PrefixConflict, message);
        } else if let Some(other) = ctx.claims.holder(address).filter(|holder| **holder != facts.id) {
            let message = format!("{address} is the address of node {other} too, which keeps it");
            refuse(Reason::DuplicateUnderlayAddress, message);
        } else {
            *usable.get_mut(family) = Some(address);
        }
    }
    if usable.families().is_empty() && findings.is_empty() {
        let message = "the node has no address that others can reach; state one".to_owned();
        findings.push(finding(Subject::Node(facts.id.clone()), UNDERLAY, Reason::NoUnderlayAddress, message));
    }
    (!usable.families().is_empty()).then_some(usable)
}

/// The families that a node carries: its cluster's, of those the ones that its pods have, if the node
/// has prefixes of its own.
pub(crate) fn carried_families(cluster: &ClusterFacts, node: &NodeFacts) -> Families {
    let own: Families = node.pods.iter().map(Prefix::family).collect();
    let common = own.intersection(cluster.families);
    if common.is_empty() { cluster.families } else { common }
}

/// The prefixes of a node that lie inside the accepted pod CIDRs of its cluster, sorted, and why not
/// the others.
pub(crate) fn announced(
    cluster: &ClusterFacts,
    accepted: &PrefixSet,
    facts: &NodeFacts,
    findings: &mut Vec<Finding>,
) -> Vec<Prefix> {
    let mut inside = Vec::with_capacity(facts.pods.len());
    for (index, prefix) in facts.pods.iter().enumerate() {
        let mut refuse = |reason, message| {
            findings.push(finding(Subject::Node(facts.id.clone()), item(POD_CIDRS, index), reason, message));
        };
        if accepted.covering(prefix).is_some() {
            inside.push(*prefix);
        } else if !cluster.families.contains(prefix.family()) {
            let message =
                format!("{prefix} is {}, which Cluster {} does not use", prefix.family(), cluster.name);
            refuse(Reason::FamilyNotUsed, message);
        } else if !cluster.pods.iter().any(|pods| pods.covers(prefix)) {
            let message = format!("{prefix} lies in no pod CIDR of Cluster {}", cluster.name);
            refuse(Reason::PrefixOutsideCluster, message);
        }
        // Otherwise the cluster's own CIDR was refused; the finding on the cluster says why.
    }
    inside.sort_unstable();
    inside.dedup_by(|later, earlier| earlier.covers(later));
    inside
}

/// How a node that takes part stands for election; nothing if it cannot be elected.
pub(crate) fn standing(
    mode: Mode,
    policy: &GatewayPolicy,
    cluster: Families,
    carried: Families,
    facts: &NodeFacts,
) -> Option<Standing> {
    if mode == Mode::Gateway && !policy.selector.matches(&facts.labels) {
        return None;
    }
    let grade = match (facts.readiness, carried == cluster) {
        (Readiness::Ready, true) => Grade::Full,
        (Readiness::Ready, false) => Grade::Partial,
        (Readiness::Cordoned, _) => Grade::Cordoned,
        (Readiness::NotReady, true) => Grade::NotReady,
        (Readiness::NotReady, false) => Grade::NotReadyPartial,
    };
    Some(Standing { grade, zone: facts.zone.clone() })
}
