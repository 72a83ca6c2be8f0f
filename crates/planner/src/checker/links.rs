//! Links: one for each ordered pair, alike in both directions, complete, and carried by somebody.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::{
    ClusterFacts, ClusterName, Families, LinkId, LinkPlan, LinkPrefix, NodeId, NodeName, NodePlan, Prefix,
    PrefixKind, Role, Scope, Subject, Via,
};

use super::{Facts, Report, Rule};
use crate::Plan;

/// What the nodes of one cluster can do.
#[derive(Default)]
struct Ability {
    populated: bool,
    /// IP families that nodes which talk to other clusters carry.
    sending: Families,
    /// IP families of its nodes, and of the peers of its gateway slices.
    nodes: Families,
    gateways: Families,
    /// Underlay families of nodes which talk to other clusters.
    underlay: Families,
    /// Every underlay address that its nodes state, sorted.
    stated: Vec<IpAddr>,
}

pub(super) fn check(facts: &Facts, plan: &Plan, report: &mut Report) {
    let abilities = abilities(facts, plan);
    for source in facts.clusters.keys() {
        for remote in facts.clusters.keys().filter(|remote| *remote != source) {
            let id = LinkId { source: source.clone(), remote: remote.clone() };
            match plan.links.get(&id) {
                None => report.add(Rule::LinkForEachPair, Subject::Link(id), "is missing".to_owned()),
                Some(link) => one(facts, plan, link, &abilities, report),
            }
        }
    }
    for (id, link) in &plan.links {
        let known = facts.clusters.contains_key(&id.source) && facts.clusters.contains_key(&id.remote);
        if !known || id.source == id.remote || *id != link.id {
            report.add(Rule::LinkForEachPair, Subject::Link(id.clone()), "links nothing".to_owned());
        }
        let back = plan.links.get(&LinkId { source: id.remote.clone(), remote: id.source.clone() });
        if back.is_some_and(|back| back.mtu != link.mtu) {
            let detail = "has another MTU than its opposite".to_owned();
            report.add(Rule::SymmetricLinks, Subject::Link(id.clone()), detail);
        }
    }
}

fn abilities<'a>(facts: &'a Facts, plan: &'a Plan) -> BTreeMap<&'a ClusterName, Ability> {
    let mut abilities: BTreeMap<&ClusterName, Ability> = BTreeMap::new();
    for (id, NodePlan { role, vtep, .. }) in &plan.nodes {
        let ability = abilities.entry(&id.cluster).or_default();
        ability.populated = true;
        ability.nodes = ability.nodes.union(vtep.families);
        if *role != Role::Internal {
            ability.sending = ability.sending.union(vtep.families);
            ability.underlay = ability.underlay.union(vtep.underlay.families());
        }
    }
    for (id, slice) in plan.slices.iter().filter(|(id, _)| id.scope == Scope::Gateways) {
        let ability = abilities.entry(&id.cluster).or_default();
        ability.gateways =
            slice.peers.iter().fold(ability.gateways, |all, peer| all.union(peer.vtep.families));
    }
    for (id, node) in &facts.nodes {
        abilities.entry(&id.cluster).or_default().stated.extend(node.underlay.addresses());
    }
    abilities.values_mut().for_each(|ability| ability.stated.sort_unstable());
    abilities
}

/// What a cluster shows: prefixes, kinds. Taken from its nodes' own view and its translations, since
/// these are what its nodes will act on.
fn shown(plan: &Plan, cluster: &ClusterName) -> Vec<(Prefix, PrefixKind)> {
    let Some(node) = plan.nodes.range(first_of(cluster)..).next().filter(|(id, _)| id.cluster == *cluster)
    else {
        return Vec::new();
    };
    let own = &node.1.own;
    let mut shown: Vec<(Prefix, PrefixKind)> =
        own.overlay.iter().map(|prefix| (*prefix, PrefixKind::Overlay)).collect();
    for (list, kind) in [(&own.pods, PrefixKind::Pod), (&own.services, PrefixKind::Service)] {
        for prefix in list {
            // A CIDR of which only a part is mapped is judged by that part.
            match node.1.translations.iter().find(|t| t.real.covers(prefix)) {
                Some(t) => shown.extend(t.real.translate_prefix(&t.global, prefix).map(|p| (p, kind))),
                None => {
                    let inner: Vec<_> =
                        node.1.translations.iter().filter(|t| prefix.covers(&t.real)).collect();
                    if inner.is_empty() {
                        shown.push((*prefix, kind));
                    }
                    shown.extend(inner.into_iter().map(|t| (t.global, kind)));
                }
            }
        }
    }
    shown
}

/// A key at or before every node of `cluster`, behind those of the clusters before it.
fn first_of(cluster: &ClusterName) -> NodeId {
    // A name begins with a digit or a letter, so "0" is the lowest one there is.
    NodeId { cluster: cluster.clone(), node: lowest_name() }
}

fn lowest_name() -> NodeName {
    "0".parse().unwrap_or_else(|error| panic!("\"0\" is a node name: {error}"))
}

/// Whether the two can exchange anything.
fn can_talk(ends: [&ClusterFacts; 2], abilities: &BTreeMap<&ClusterName, Ability>) -> Option<Families> {
    let [source, remote] = [abilities.get(&ends[0].name)?, abilities.get(&ends[1].name)?];
    let families = ends[0].families.intersection(ends[1].families);
    let talks = source.populated
        && remote.populated
        && !source.underlay.intersection(remote.underlay).is_empty()
        && !source.gateways.is_empty()
        && !remote.gateways.is_empty();
    (talks && !families.is_empty()).then_some(families)
}

fn one(
    facts: &Facts,
    plan: &Plan,
    link: &LinkPlan,
    abilities: &BTreeMap<&ClusterName, Ability>,
    report: &mut Report,
) {
    let subject = || Subject::Link(link.id.clone());
    let (source, remote) = (&facts.clusters[&link.id.source], &facts.clusters[&link.id.remote]);
    let Some(families) = can_talk([source, remote], abilities) else {
        if !link.prefixes.is_empty() || link.findings.is_empty() {
            report.add(Rule::Explained, subject(), "has no way, but prefixes or no reason".to_owned());
        }
        return;
    };
    let (near, far) = (&abilities[&source.name], &abilities[&remote.name]);
    let on_link: BTreeSet<Prefix> = link.prefixes.iter().map(|p| p.prefix).collect();
    let own: Vec<Prefix> =
        source.pods.iter().chain(&source.services).filter(|p| p.len() > 0).copied().collect();
    for (prefix, kind) in shown(plan, &remote.name) {
        let family = prefix.family();
        // Nodes of the source itself are there: other clusters may keep such a prefix, this one cannot reach it.
        let at = near.stated.partition_point(|address| *address < prefix.first());
        let at_home = near.stated.get(at).is_some_and(|address| prefix.contains(*address));
        let carried = far.nodes.contains(family) && far.gateways.contains(family);
        let wanted = families.contains(family)
            && near.sending.contains(family)
            && carried
            && (kind == PrefixKind::Overlay || !at_home)
            && !own.iter().any(|own| own.overlaps(&prefix));
        if wanted && !on_link.contains(&prefix) {
            report.add(Rule::Reachable, subject(), format!("{kind:?} prefix {prefix} is missing"));
        }
        let refused = families.contains(family) && !on_link.contains(&prefix);
        if refused && link.findings.is_empty() {
            report.add(Rule::Explained, subject(), format!("{prefix} is missing without a reason"));
        }
    }
    for LinkPrefix { prefix, via, .. } in &link.prefixes {
        let family = prefix.family();
        let behind = if *via == Via::Nodes { far.nodes } else { far.gateways };
        if !families.contains(family) || !near.sending.contains(family) || !behind.contains(family) {
            report.add(Rule::Carried, subject(), format!("nobody carries {prefix}"));
        }
    }
}
