//! Routes that follow from the plan: one owner for each address, and none in the way of the tunnels.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_model::{ClusterName, LinkId, NodeId, Prefix, PrefixKind, Scope, Subject, Via};

use super::{Facts, Report, Rule};
use crate::Plan;

pub(super) fn check(facts: &Facts, plan: &Plan, report: &mut Report) {
    views(facts, plan, report);
    owners(plan, report);
    underlay(facts, plan, report);
}

/// What each source sees: remote prefixes of all its links, none twice, none of its own.
fn views(facts: &Facts, plan: &Plan, report: &mut Report) {
    let mut views: BTreeMap<&ClusterName, Vec<(Prefix, &LinkId)>> = BTreeMap::new();
    for (id, link) in &plan.links {
        let view = views.entry(&id.source).or_default();
        view.extend(link.prefixes.iter().map(|entry| (entry.prefix, id)));
        let own = facts.clusters.get(&id.source).into_iter().flat_map(|c| c.pods.iter().chain(&c.services));
        for own in own.filter(|own| own.len() > 0 && !is_reserved(own)) {
            for entry in link.prefixes.iter().filter(|entry| entry.prefix.overlaps(own)) {
                let detail = format!("{} overlaps {own} of the source itself", entry.prefix);
                report.add(Rule::OneOwner, Subject::Link(id.clone()), detail);
            }
        }
    }
    for view in views.values_mut() {
        view.sort_unstable();
        for pair in view.windows(2).filter(|pair| pair[0].0.overlaps(&pair[1].0)) {
            let detail = format!("{} overlaps {} of cluster {}", pair[1].0, pair[0].0, pair[0].1.remote);
            report.add(Rule::OneOwner, Subject::Link(pair[1].1.clone()), detail);
        }
    }
}

/// Whether a prefix cannot be what the cluster really uses: it holds an address that no pod can have.
fn is_reserved(prefix: &Prefix) -> bool {
    let samples: [IpAddr; 9] = [
        Ipv4Addr::UNSPECIFIED.into(),
        Ipv4Addr::LOCALHOST.into(),
        Ipv4Addr::new(169, 254, 0, 1).into(),
        Ipv4Addr::new(224, 0, 0, 1).into(),
        Ipv4Addr::BROADCAST.into(),
        Ipv6Addr::UNSPECIFIED.into(),
        Ipv6Addr::LOCALHOST.into(),
        Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1).into(),
        Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 1).into(),
    ];
    let inside = match prefix.first() {
        IpAddr::V4(a) => a.octets()[0] == 0 || a.is_loopback() || a.is_link_local() || a.is_multicast(),
        IpAddr::V6(a) => a.to_ipv4_mapped().is_some() || a.is_multicast() || a.is_unicast_link_local(),
    };
    inside || samples.iter().any(|sample| prefix.contains(*sample))
}

/// Prefixes of peers: none on two nodes of the clusterset, each inside one that goes through nodes.
fn owners(plan: &Plan, report: &mut Report) {
    let mut owned: Vec<(Prefix, NodeId)> = Vec::new();
    for (id, slice) in &plan.slices {
        for peer in &slice.peers {
            let node = || NodeId { cluster: id.cluster.clone(), node: peer.node.clone() };
            if id.scope == Scope::Gateways && !peer.prefixes.is_empty() {
                report.node(Rule::OneOwner, &node(), "has prefixes of its own as a gateway".to_owned());
                continue;
            }
            owned.extend(peer.prefixes.iter().map(|prefix| (*prefix, node())));
        }
    }
    owned.sort_unstable();
    for pair in owned.windows(2).filter(|pair| pair[0].0.overlaps(&pair[1].0)) {
        let detail = format!("{} overlaps {} of node {}", pair[1].0, pair[0].0, pair[0].1);
        report.node(Rule::OneOwner, &pair[1].1, detail);
    }
    for (id, link) in &plan.links {
        for entry in &link.prefixes {
            if entry.kind != PrefixKind::Pod {
                continue;
            }
            let at = owned.partition_point(|(prefix, _)| *prefix < entry.prefix);
            let inside = owned.get(at).is_some_and(|(prefix, _)| entry.prefix.covers(prefix));
            let around = at.checked_sub(1).is_some_and(|before| owned[before].0.covers(&entry.prefix));
            let p2p = link.via == Via::Nodes;
            if p2p && (inside || around) != (entry.via == Via::Nodes) {
                let detail = format!("{} goes through {:?}", entry.prefix, entry.via);
                report.add(Rule::Carried, Subject::Link(id.clone()), detail);
            }
        }
    }
    for (id, node) in &plan.nodes {
        for prefix in &node.local_pods {
            if !node.own.pods.iter().any(|own| own.covers(prefix)) {
                report.node(Rule::OneOwner, id, format!("{prefix} is none of its cluster's"));
            }
        }
    }
}

/// No prefix on any link covers an address that tunnel packets are sent to, nor one that any node of
/// a known cluster states, unless that node is left out for it: one of a younger cluster is, by all but its own.
fn underlay(facts: &Facts, plan: &Plan, report: &mut Report) {
    let mut addresses: Vec<(IpAddr, &NodeId)> = Vec::new();
    for (id, node) in &facts.nodes {
        if facts.clusters.contains_key(&id.cluster) {
            addresses.extend(node.underlay.addresses().map(|address| (address, id)));
        }
    }
    addresses.sort_unstable();
    for (id, link) in &plan.links {
        for entry in &link.prefixes {
            let at = addresses.partition_point(|(address, _)| *address < entry.prefix.first());
            let inside = addresses[at..].iter().take_while(|(address, _)| entry.prefix.contains(*address));
            for (address, node) in inside {
                let used = |node: &NodeId| {
                    plan.nodes.get(node).is_some_and(|n| n.vtep.underlay.addresses().any(|a| a == *address))
                };
                let age = |name: &ClusterName| {
                    facts.clusters.get(name).map(|cluster| (cluster.age, cluster.name.clone()))
                };
                let gives_way = node.cluster != id.source && age(&node.cluster) > age(&id.remote);
                if used(node) || (entry.kind != PrefixKind::Overlay && !gives_way) {
                    let detail = format!("{} covers {address} of node {node}", entry.prefix);
                    report.add(Rule::UnderlayUncovered, Subject::Link(id.clone()), detail);
                }
            }
        }
    }
}
