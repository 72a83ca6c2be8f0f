//! What one cluster publishes: plans of its nodes, its own plan, and its end of the links.

use causeway_model::{
    ClusterName, ClusterPlan, DualStack, Families, Family, Finding, LinkPrefix, Mode, NodeId, NodeName,
    NodePlan, OwnPrefixes, Peer, Prefix, PrefixKind, Reason, Role, Subject, Tunnels, Via,
};

use crate::Changes;
use crate::cluster::{ClusterState, Context, Shared};
use crate::findings::finding;
use crate::links::LinkEnd;
use crate::membership::visit;
use crate::node::NodeState;
use crate::settings::Settings;
use crate::translate::seen;

impl ClusterState {
    /// Gives the nodes named their roles and peers, publishes the plans that changed, those of all
    /// nodes if what they share has changed, and forgets nodes that are gone.
    pub(crate) fn publish_nodes(&mut self, mut names: Vec<NodeName>, ctx: &mut Context<'_>) {
        let shared = self.shared_now(ctx.settings);
        if shared != self.shared {
            self.mark_changed(shared);
            ctx.work.nodes += self.nodes.len() as u64;
            names = self.nodes.keys().cloned().collect();
        }
        let mode = self.mode(ctx.settings);
        let mut gone = Vec::new();
        ctx.work.peers += names.len() as u64;
        visit(&mut self.nodes, &names, |name, node| {
            let elected = self.gateways.contains(name);
            let role = node.vtep.as_ref().map(|_| match mode {
                Mode::P2p => Role::Node,
                Mode::Gateway if elected => Role::Gateway,
                Mode::Gateway => Role::Internal,
            });
            node.changed |= node.role != role;
            node.role = role;
            match &node.vtep {
                None => self.node_slices.remove(name),
                Some(vtep) => {
                    let prefixes = seen(&node.prefixes, &self.addresses.translations);
                    self.node_slices.upsert(Peer { node: name.clone(), vtep: vtep.clone(), prefixes });
                    if elected {
                        let prefixes = Vec::new();
                        self.gateway_slices.upsert(Peer { node: name.clone(), vtep: vtep.clone(), prefixes });
                    }
                }
            }
            if std::mem::take(&mut node.changed) {
                publish(&self.name, name, node, &self.shared, ctx.changes);
            }
            if node.facts.is_none() {
                gone.push(name.clone());
            }
        });
        for name in gone {
            self.nodes.remove(&name);
        }
    }

    /// Takes over what the nodes share, and marks those whose plans differ with it.
    fn mark_changed(&mut self, shared: Shared) {
        let old = std::mem::replace(&mut self.shared, shared);
        let new = &self.shared;
        let all = old.own != new.own || old.translations != new.translations;
        let bridge = old.tunnels.bridge != new.tunnels.bridge;
        let local = old.tunnels.local != new.tunnels.local;
        for node in self.nodes.values_mut() {
            node.changed |= all
                || (bridge && node.role != Some(Role::Internal))
                || (local && node.role != Some(Role::Node));
        }
    }

    /// The plans of all nodes that take part.
    pub(crate) fn node_plans(&self) -> impl Iterator<Item = NodePlan> {
        self.nodes.iter().filter_map(|(name, node)| node_plan(&self.name, name, node, &self.shared))
    }

    fn shared_now(&self, settings: &Settings) -> Shared {
        let mut overlay: Vec<_> =
            Family::BOTH.into_iter().flat_map(|family| self.indexes.prefixes(family)).collect();
        overlay.sort_unstable();
        Shared {
            tunnels: settings.facts.tunnels,
            own: OwnPrefixes {
                pods: self.addresses.pods.clone(),
                services: self.addresses.services.clone(),
                overlay,
            },
            translations: self.addresses.translations.clone(),
        }
    }

    /// Publishes the cluster's own plan, and returns whether its end of the links has changed.
    pub(crate) fn publish_cluster(&mut self, ctx: &mut Context<'_>) -> bool {
        let plan = self.facts.is_some().then(|| ClusterPlan {
            name: self.name.clone(),
            overlay: DualStack::from_fn(|family| self.indexes.prefixes(family)),
            gateways: self.gateways.iter().cloned().collect(),
            translations: self.addresses.translations.clone(),
            nodes: self.census.nodes,
            findings: self.findings(ctx.settings),
        });
        match &plan {
            Some(plan) if self.plan.as_ref() != Some(plan) => ctx.changes.clusters.push(plan.clone()),
            None if self.plan.is_some() => ctx.changes.clusters_gone.push(self.name.clone()),
            _ => {}
        }
        self.plan = plan;
        let end = self.link_end(ctx.settings);
        let changed = self.end != end;
        self.end = end;
        changed
    }

    fn findings(&self, settings: &Settings) -> Vec<Finding> {
        let mut findings = self.addresses.findings.clone();
        let mut add = |field: &str, reason, message| {
            findings.push(finding(Subject::Cluster(self.name.clone()), field, reason, message));
        };
        let (wanted, found) = (self.gateways_wanted(settings), self.gateways.len());
        if self.census.nodes == 0 {
            add("spec.nodes", Reason::NoNodes, "no node of the cluster takes part".to_owned());
        } else if self.mode(settings) == Mode::Gateway && found == 0 {
            let message = format!(
                "none of {} nodes matches the gateway selector; label at least one",
                self.census.nodes
            );
            add("spec.gateways", Reason::NoGateway, message);
        } else if self.mode(settings) == Mode::Gateway && found < wanted {
            let message = format!("{found} of {wanted} gateways: no more nodes match the gateway selector");
            add("spec.gateways", Reason::TooFewGateways, message);
        }
        if !self.waiting.is_empty() {
            let message = format!(
                "{} nodes have no overlay address: no overlay range has room for another block; add a range to spec.overlayCIDRs of the ClusterSet",
                self.waiting.len()
            );
            add("status.overlayCIDRs", Reason::OverlayExhausted, message);
        }
        findings.sort_unstable();
        findings
    }

    fn link_end(&self, settings: &Settings) -> Option<LinkEnd> {
        let facts = self.facts.as_ref()?;
        let mode = self.mode(settings);
        let present = |count: &DualStack<u32>| -> Families {
            count.iter().filter(|(_, count)| **count > 0).map(|(family, _)| family).collect()
        };
        let gateways = || self.gateways.iter().filter_map(|name| self.nodes.get(name)?.vtep.as_ref());
        let gateway_underlay = gateways().fold(Families::NONE, |all, v| all.union(v.underlay.families()));
        Some(LinkEnd {
            mode,
            transport: facts.transport.unwrap_or(settings.facts.default_transport),
            underlay_mtu: facts.underlay_mtu,
            families: facts.families,
            node_families: present(&self.census.carried),
            gateway_families: gateways().fold(Families::NONE, |all, vtep| all.union(vtep.families)),
            underlay: if mode == Mode::P2p { present(&self.census.underlay) } else { gateway_underlay },
            populated: self.census.nodes > 0,
            gated: !self.gateways.is_empty(),
            prefixes: self.link_prefixes(mode),
            in_use: self.addresses.in_use.clone(),
        })
    }

    /// Whether any node owns a part of `prefix`.
    fn is_owned(&self, prefix: &Prefix) -> bool {
        self.announced
            .overlapping(prefix)
            .any(|(part, name)| self.nodes.get(name).is_some_and(|node| node.prefixes.contains(&part)))
    }

    /// What others can reach here, and how. Pod CIDRs of a P2P cluster in which no node has a prefix
    /// of its own go through the carriers.
    fn link_prefixes(&self, mode: Mode) -> Vec<LinkPrefix> {
        let mut prefixes = Vec::new();
        for part in &self.addresses.seen {
            let owned = part.kind == PrefixKind::Pod && self.is_owned(&part.real);
            let via = if mode == Mode::P2p && owned { Via::Nodes } else { Via::Gateways };
            prefixes.push(LinkPrefix { prefix: part.seen, kind: part.kind, via });
        }
        let via = if mode == Mode::P2p { Via::Nodes } else { Via::Gateways };
        let blocks = self.indexes.blocks().iter().flat_map(|block| block.prefixes());
        prefixes.extend(blocks.map(|prefix| LinkPrefix { prefix, kind: PrefixKind::Overlay, via }));
        prefixes.sort_unstable();
        prefixes
    }
}

/// Publishes the plan of a node, or that it has none any more.
fn publish(
    cluster: &ClusterName,
    name: &NodeName,
    node: &mut NodeState,
    shared: &Shared,
    changes: &mut Changes,
) {
    match node_plan(cluster, name, node, shared) {
        Some(plan) => {
            node.published = true;
            changes.nodes.push(plan);
        }
        None if std::mem::take(&mut node.published) => {
            changes.nodes_gone.push(NodeId { cluster: cluster.clone(), node: name.clone() });
        }
        None => {}
    }
}

/// The plan of a node; nothing if it does not take part.
fn node_plan(cluster: &ClusterName, name: &NodeName, node: &NodeState, shared: &Shared) -> Option<NodePlan> {
    let (vtep, role) = (node.vtep.clone()?, node.role?);
    let tunnels = Tunnels {
        bridge: (role != Role::Internal).then_some(shared.tunnels.bridge),
        local: (role != Role::Node).then_some(shared.tunnels.local),
    };
    Some(NodePlan {
        id: NodeId { cluster: cluster.clone(), node: name.clone() },
        role,
        vtep,
        tunnels,
        own: shared.own.clone(),
        local_pods: node.prefixes.clone(),
        translations: shared.translations.clone(),
    })
}
