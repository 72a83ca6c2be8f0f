//! How one cluster reaches another: a function of what is known of the two ends.

use std::collections::BTreeSet;

use causeway_model::{
    ClusterName, Families, Family, Finding, LinkId, LinkPlan, LinkPrefix, Mode, PrefixSet, Reason, Subject,
    Transport, Via, vxlan_overhead,
};

use crate::findings::finding;

/// Field of a ClusterLink that findings speak of.
const PREFIXES: &str = "spec.prefixes";

/// All that a link takes from one of its clusters. While it stays equal, no link changes.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct LinkEnd {
    pub mode: Mode,
    pub transport: Transport,
    pub underlay_mtu: Option<u32>,
    /// IP families that the cluster uses.
    pub families: Families,
    /// Those that any of its nodes carries.
    pub node_families: Families,
    /// Those that any peer of its slices of scope Gateways carries.
    pub gateway_families: Families,
    /// Underlay families of the nodes that talk to other clusters.
    pub underlay: Families,
    /// Whether any node takes part.
    pub populated: bool,
    /// Whether it has a gateway, or in P2P mode a carrier.
    pub gated: bool,
    /// Its prefixes as others see them, sorted.
    pub prefixes: Vec<LinkPrefix>,
    /// All that it uses itself.
    pub in_use: PrefixSet,
}

impl LinkEnd {
    /// Families in which its nodes can send to other clusters.
    fn sending(&self) -> Families {
        match self.mode {
            Mode::P2p => self.node_families,
            Mode::Gateway => self.gateway_families,
        }
    }

    /// Families in which it is reached this way.
    fn receiving(&self, via: Via) -> Families {
        match via {
            Via::Nodes => self.node_families,
            Via::Gateways => self.gateway_families,
        }
    }
}

/// Findings of one link.
struct Findings(LinkId, Vec<Finding>);

impl Findings {
    fn add(&mut self, reason: Reason, message: String) {
        self.1.push(finding(Subject::Link(self.0.clone()), PREFIXES, reason, message));
    }
}

/// The link from `source` to `remote`.
pub(crate) fn link(source: (&ClusterName, &LinkEnd), remote: (&ClusterName, &LinkEnd)) -> LinkPlan {
    let id = LinkId { source: source.0.clone(), remote: remote.0.clone() };
    let mut findings = Findings(id.clone(), Vec::new());
    let prefixes = if passable(source, remote, &mut findings) {
        prefixes(source, remote, &mut findings)
    } else {
        Vec::new()
    };
    let (source, remote) = (source.1, remote.1);
    LinkPlan {
        id,
        via: if remote.mode == Mode::P2p { Via::Nodes } else { Via::Gateways },
        transport: remote.transport,
        prefixes,
        mtu: inner_mtu(source, remote),
        findings: findings.1,
    }
}

/// Whether anything can pass at all; says why not.
fn passable(
    source: (&ClusterName, &LinkEnd),
    remote: (&ClusterName, &LinkEnd),
    findings: &mut Findings,
) -> bool {
    for (name, end) in [source, remote] {
        if !end.populated {
            findings.add(Reason::NoNodes, format!("no node of cluster {name} takes part"));
        } else if !end.gated {
            let message = format!("cluster {name} has no gateway; see the conditions of Cluster {name}");
            findings.add(Reason::NoGateway, message);
        }
    }
    if source.1.families.intersection(remote.1.families).is_empty() {
        let message = format!(
            "cluster {} uses {}, cluster {} uses {}; they need a common family",
            source.0,
            names(source.1.families),
            remote.0,
            names(remote.1.families)
        );
        findings.add(Reason::NoCommonIpFamily, message);
    }
    let known = source.1.populated && remote.1.populated && source.1.gated && remote.1.gated;
    if known && source.1.underlay.intersection(remote.1.underlay).is_empty() {
        let message = format!(
            "nodes of cluster {} have {} addresses, those of cluster {} {}; they need a common family",
            source.0,
            names(source.1.underlay),
            remote.0,
            names(remote.1.underlay)
        );
        findings.add(Reason::NoCommonUnderlayFamily, message);
    }
    findings.1.is_empty()
}

/// The prefixes of `remote` that `source` can reach; says which others it cannot.
fn prefixes(
    source: (&ClusterName, &LinkEnd),
    remote: (&ClusterName, &LinkEnd),
    findings: &mut Findings,
) -> Vec<LinkPrefix> {
    let common = source.1.families.intersection(remote.1.families);
    let mut lacking = BTreeSet::new();
    let mut kept = Vec::new();
    for candidate in &remote.1.prefixes {
        let family = candidate.prefix.family();
        if !common.contains(family) {
            continue;
        }
        if !source.1.sending().contains(family) {
            lacking.insert((source.0, source.1.mode == Mode::Gateway, family));
        } else if !remote.1.receiving(candidate.via).contains(family) {
            lacking.insert((remote.0, candidate.via == Via::Gateways, family));
        } else if let Some(own) = source.1.in_use.overlapping(&candidate.prefix) {
            let message = format!(
                "{} of cluster {} overlaps {own}, which cluster {} uses itself; give cluster {} a global CIDR (spec.globalCIDRs)",
                candidate.prefix, remote.0, source.0, remote.0
            );
            findings.add(Reason::PrefixConflict, message);
        } else {
            kept.push(*candidate);
        }
    }
    for (name, gateways, family) in lacking {
        if gateways {
            findings.add(Reason::NoGateway, format!("no gateway of cluster {name} carries {family}"));
        } else {
            findings.add(Reason::NoCommonIpFamily, format!("no node of cluster {name} carries {family}"));
        }
    }
    kept
}

/// The largest inner packet, if either end states what its underlay carries.
fn inner_mtu(source: &LinkEnd, remote: &LinkEnd) -> Option<u32> {
    let underlay = source.underlay_mtu.into_iter().chain(remote.underlay_mtu).min()?;
    let common = source.underlay.intersection(remote.underlay);
    let only_v6 = common.contains(Family::V6) && !common.contains(Family::V4);
    let overhead = vxlan_overhead(if only_v6 { Family::V6 } else { Family::V4 });
    Some(underlay.saturating_sub(overhead))
}

fn names(families: Families) -> String {
    let names: Vec<String> = families.iter().map(|family| family.to_string()).collect();
    if names.is_empty() { "no family".to_owned() } else { names.join(" and ") }
}
