//! Which probes a check sends, and what is expected of each.

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{ClusterName, Families, Family, NodeId, vxlan_overhead};
use clap::Args;
use serde::{Deserialize, Serialize};

use super::{Probe, Protocol, Size};
use crate::bed::pod_mtu;
use crate::error::{LabError, Result};
use crate::objects::{GlobalCidr, NodeConfigFacts, Objects};
use crate::state::State;
use crate::topology::{Cluster, Endpoint, Topology};

/// The IP packet of a small UDP or ICMP probe: enough for the header of a probe and of IPv6.
const SMALL: u32 = 128;

/// What to check.
#[derive(Clone, Debug, Default, Args, Serialize, Deserialize)]
pub struct CheckOptions {
    /// Pairs inside each cluster, in place of those of different clusters: what the CNI does by itself
    #[arg(long)]
    pub inside: bool,
    /// Small UDP probes only
    #[arg(long)]
    pub quick: bool,
    /// Only from these: a cluster, node or pod; may be repeated
    #[arg(long)]
    pub from: Vec<String>,
    /// Only to these: a cluster, node, pod or Service; may be repeated
    #[arg(long)]
    pub to: Vec<String>,
    /// How long each probe waits for its answer, in milliseconds [default: 1500]
    #[arg(long)]
    pub timeout: Option<u64>,
}

/// What is expected of a probe.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Expected {
    /// Whether it is answered.
    pub reachable: bool,
    /// The address that the other end must see it come from; `None` where any will do, as behind a
    /// Service.
    pub seen: Option<IpAddr>,
    /// Who may answer.
    pub responders: Vec<Endpoint>,
}

/// What the bed knows now: its topology and what was planned for its nodes.
pub(crate) struct Knowledge<'a> {
    state: &'a State,
    configs: BTreeMap<NodeId, NodeConfigFacts>,
}

impl<'a> Knowledge<'a> {
    /// Reads it, inside the bed.
    pub fn read(state: &'a State, objects: &Objects) -> Result<Knowledge<'a>> {
        let mut configs = BTreeMap::new();
        for (cluster, node) in state.topology.nodes() {
            let id = cluster.node_id(node);
            if let Some(config) = objects.node_config(&id)? {
                configs.insert(id, config);
            }
        }
        Ok(Knowledge { state, configs })
    }

    fn topology(&self) -> &Topology {
        &self.state.topology
    }

    fn is_linked(&self, endpoint: &Endpoint) -> bool {
        self.topology().cluster(endpoint.cluster()).is_some_and(|cluster| cluster.linked)
    }

    /// The address of `endpoint` in its own cluster's eyes: of a node its overlay address, or for
    /// its own cluster the underlay's.
    fn own_address(&self, endpoint: &Endpoint, family: Family, inside: bool) -> Option<IpAddr> {
        let addresses = match endpoint {
            Endpoint::Node(id) if !inside => self.configs.get(id)?.overlay.clone(),
            _ => endpoint.addresses(self.topology()),
        };
        addresses.into_iter().find(|a| Family::of(*a) == family)
    }

    /// The address of `endpoint` in other clusters' eyes.
    fn shown_address(&self, endpoint: &Endpoint, family: Family) -> Option<IpAddr> {
        let real = self.own_address(endpoint, family, false)?;
        let shown =
            self.global_cidrs(endpoint.cluster()).into_iter().find_map(|g| g.cidr.translate(&g.global, real));
        Some(shown.unwrap_or(real))
    }

    /// Where `from` sends what is for `to`.
    pub fn address_between(&self, from: &Endpoint, to: &Endpoint, family: Family) -> Option<IpAddr> {
        match from.cluster() == to.cluster() {
            true => self.own_address(to, family, true),
            false => self.shown_address(to, family),
        }
    }

    fn global_cidrs(&self, cluster: &ClusterName) -> Vec<GlobalCidr> {
        let of_cluster = |(id, _): &(&NodeId, &NodeConfigFacts)| id.cluster == *cluster;
        let first = self.configs.iter().find(of_cluster);
        first.map(|(_, config)| config.global_cidrs.clone()).unwrap_or_default()
    }

    /// All probes of a check, with what is expected of each.
    pub fn probes(&self, options: &CheckOptions) -> Result<Vec<(Probe, Expected)>> {
        let all = self.topology().endpoints();
        let sources = selected(&all, &options.from)?;
        let targets = selected(&all, &options.to)?;
        let is_up = |e: &Endpoint| {
            e.node().is_none_or(|node| !self.state.down.contains(&Endpoint::Node(node.clone())))
        };
        let mut probes = Vec::new();
        for from in sources.iter().filter(|e| e.namespace().is_some() && is_up(e)) {
            for to in targets.iter().filter(|e| is_up(e)) {
                let same = from.cluster() == to.cluster();
                let meant = same == options.inside && from != to;
                if meant && (same || (self.is_linked(from) && self.is_linked(to))) {
                    self.pair(from, to, options, &mut probes);
                }
            }
        }
        Ok(probes)
    }

    fn pair(
        &self,
        from: &Endpoint,
        to: &Endpoint,
        options: &CheckOptions,
        probes: &mut Vec<(Probe, Expected)>,
    ) {
        let families = |e: &Endpoint| match options.inside {
            // Among themselves nodes have the addresses of the underlay.
            true => e.addresses(self.topology()).into_iter().map(Family::of).collect(),
            false => e.families(self.topology()),
        };
        let common: Families = families(from).intersection(families(to));
        for family in Family::BOTH {
            let said = self.expectation(from, to, family);
            // A pair that shares no family is probed only where the file speaks of it.
            let Some(reachable) = said.or(common.contains(family).then_some(true)) else { continue };
            let expected = self.expected(from, to, family, reachable, options.inside);
            let address = self.address_between(from, to, family);
            let full = self.path_mtu(from, to);
            let is_service = matches!(to, Endpoint::Service(_));
            for (protocol, size, length) in [
                (Protocol::Udp, Size::Small, SMALL),
                (Protocol::Udp, Size::Full, full),
                (Protocol::Icmp, Size::Small, SMALL),
                (Protocol::Tcp, Size::Small, SMALL),
                (Protocol::Tcp, Size::Full, full),
            ] {
                let extra = protocol != Protocol::Udp || size != Size::Small;
                // A Service answers on its ports, and so to no ICMP.
                if (options.quick && extra) || (is_service && protocol == Protocol::Icmp) {
                    continue;
                }
                let (from, to) = (from.clone(), to.clone());
                probes.push((Probe { from, to, family, protocol, size, address, length }, expected.clone()));
            }
        }
    }

    /// What the lab file says of the pair, if it does.
    fn expectation(&self, from: &Endpoint, to: &Endpoint, family: Family) -> Option<bool> {
        let fits = |e: &&crate::topology::Expectation| {
            from.is_in(&e.from) && to.is_in(&e.to) && e.families.contains(&family)
        };
        self.topology().expectations.iter().rev().find(fits).map(|e| e.reachable)
    }

    fn expected(
        &self,
        from: &Endpoint,
        to: &Endpoint,
        family: Family,
        reachable: bool,
        inside: bool,
    ) -> Expected {
        let seen = match (from, to, inside) {
            (_, Endpoint::Service(_), _) => None,
            (Endpoint::Node(_), _, true) => None,
            // What goes to a node's underlay address leaves the pod CIDR, so a CNI may masquerade it.
            (Endpoint::Pod(_), Endpoint::Node(_), true) => None,
            (Endpoint::Pod(_), _, true) => self.own_address(from, family, true),
            _ => self.shown_address(from, family),
        };
        let responders = match to {
            Endpoint::Service(id) => {
                let service = self.topology().cluster(&id.cluster);
                let service = service.and_then(|c| c.services.iter().find(|s| s.name == id.service));
                service.iter().flat_map(|s| &s.backends).map(|pod| Endpoint::Pod(pod.clone())).collect()
            }
            _ => vec![to.clone()],
        };
        Expected { reachable, seen, responders }
    }

    /// The largest IP packet in bytes that the path should carry.
    fn path_mtu(&self, from: &Endpoint, to: &Endpoint) -> u32 {
        let clusters: Vec<&Cluster> =
            [from, to].into_iter().filter_map(|e| self.topology().cluster(e.cluster())).collect();
        let cni = clusters.iter().map(|c| pod_mtu(c)).min().unwrap_or(SMALL);
        if from.cluster() == to.cluster() {
            return cni;
        }
        let all_v4 = clusters.iter().all(|c| c.nodes.iter().all(|n| n.address(Family::V4).is_some()));
        let underlay = clusters.iter().map(|c| c.mtu).min().unwrap_or(SMALL);
        cni.min(underlay - vxlan_overhead(if all_v4 { Family::V4 } else { Family::V6 }))
    }
}

/// The endpoints that one of `patterns` takes in; all if there is none.
fn selected(all: &[Endpoint], patterns: &[String]) -> Result<Vec<Endpoint>> {
    for pattern in patterns {
        if !all.iter().any(|e| e.is_in(pattern)) {
            return Err(LabError::UnknownEndpoint(pattern.clone()));
        }
    }
    let fits = |e: &&Endpoint| patterns.is_empty() || patterns.iter().any(|p| e.is_in(p));
    Ok(all.iter().filter(fits).cloned().collect())
}
