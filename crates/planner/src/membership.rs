//! The nodes of a cluster: who takes part, with which overlay index, and who owns which prefix.

use std::collections::BTreeSet;

use causeway_model::{NodeId, NodeName, Reason, Subject, Vtep};

use crate::cluster::{ClusterState, Context};
use crate::findings::{POD_CIDRS, finding, item};
use crate::node::{announced, carried_families, excluded, standing, usable_underlay};

impl ClusterState {
    /// Judges the dirty nodes, and those that they affect. Returns all of them.
    pub(crate) fn judge(&mut self, ctx: &mut Context<'_>) -> BTreeSet<NodeName> {
        self.sort_dirty();
        let mut dirty = std::mem::take(&mut self.dirty);
        for name in &dirty {
            self.admit(name, ctx);
        }
        self.adopt_indexes(&dirty);
        let placed = self.allocate_indexes(ctx);
        let mut affected = BTreeSet::new();
        dirty.extend(placed);
        dirty.sort_unstable();
        dirty.dedup();
        for name in &dirty {
            self.announce(name, ctx, &mut affected);
        }
        affected.extend(dirty);
        for name in &affected {
            self.settle_ownership(name, ctx);
        }
        affected
    }

    /// Decides whether a node can take part. One that cannot gives its index back.
    fn admit(&mut self, name: &NodeName, ctx: &mut Context<'_>) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        ctx.work.nodes += 1;
        node.judged.clear();
        node.underlay = None;
        if let Some(facts) = &node.facts {
            let subject = || Subject::Node(facts.id.clone());
            match &self.facts {
                None => {
                    let message = format!(
                        "Cluster {} does not exist; create it, or remove this ClusterNode",
                        self.name
                    );
                    node.judged.push(finding(subject(), "metadata.namespace", Reason::UnknownCluster, message));
                }
                Some(cluster) => match excluded(cluster, facts) {
                    Some(why) => {
                        node.judged.push(finding(subject(), "spec.labels", Reason::NodeExcluded, why));
                    }
                    None => {
                        node.underlay = usable_underlay(facts, ctx.claims, ctx.overlay, &mut node.judged);
                    }
                },
            }
        }
        if node.underlay.is_none() {
            if let Some(index) = node.index.take() {
                self.indexes.release(index);
            }
            self.waiting.remove(name);
            self.adopted_nodes.remove(name);
        } else if node.index.is_none() {
            self.waiting.insert(name.clone());
        }
    }

    /// Gives nodes the addresses that they had before a restart; the first by name gets an address
    /// that two had.
    fn adopt_indexes(&mut self, names: &[NodeName]) {
        if self.adopted_nodes.is_empty() {
            return;
        }
        for name in names {
            let Some(addresses) = self.adopted_nodes.remove(name) else { continue };
            let Some(node) = self.nodes.get_mut(name) else { continue };
            if node.index.is_some() || node.underlay.is_none() {
                continue;
            }
            node.index = self.indexes.index_of(addresses).filter(|index| self.indexes.take(*index));
            if node.index.is_some() {
                self.waiting.remove(name);
            }
        }
    }

    /// Gives waiting nodes the lowest free indexes, in order of names, while there are any.
    fn allocate_indexes(&mut self, ctx: &mut Context<'_>) -> Vec<NodeName> {
        let mut placed = Vec::new();
        while let Some(name) = self.waiting.first() {
            let index = self.indexes.allocate().or_else(|| {
                let ranges = &ctx.settings.facts.overlay;
                self.indexes.push(ctx.blocks.allocate(&self.name, self.indexes.blocks().len(), ranges)?);
                self.indexes.allocate()
            });
            let Some(index) = index else { break };
            if let Some(node) = self.nodes.get_mut(name) {
                node.index = Some(index);
            }
            placed.extend(self.waiting.pop_first());
        }
        placed
    }

    /// Decides a node's tunnel end and what it announces; adds the nodes whose ownership of prefixes
    /// may change with it.
    fn announce(&mut self, name: &NodeName, ctx: &Context<'_>, affected: &mut BTreeSet<NodeName>) {
        let mode = self.mode(ctx.settings);
        let Some(node) = self.nodes.get_mut(name) else { return };
        let mut vtep = None;
        let mut prefixes = Vec::new();
        let mut stands = None;
        let overlay = node.index.and_then(|index| self.indexes.addresses(index));
        if let (Some(cluster), Some(facts), Some(underlay)) = (&self.facts, &node.facts, node.underlay) {
            // Only a node that waited is judged twice, and then without its cluster's part.
            node.judged.retain(|finding| !finding.field.starts_with(POD_CIDRS));
            prefixes = announced(cluster, &self.pod_set, facts, &mut node.judged);
            if let Some(overlay) = overlay {
                let families = carried_families(cluster, facts);
                vtep = Some(Vtep { underlay, overlay, families });
                stands = standing(mode, &cluster.gateways, cluster.families, families, facts);
            } else {
                prefixes.clear();
            }
        }
        let outdated = node.announced.iter().filter(|prefix| !prefixes.contains(prefix));
        for prefix in outdated {
            self.announced.remove(*prefix, name);
            affected.extend(self.announced.overlapping(prefix).map(|(_, o)| o).filter(|o| *o > name).cloned());
        }
        for prefix in prefixes.iter().filter(|prefix| !node.announced.contains(prefix)) {
            affected.extend(self.announced.overlapping(prefix).map(|(_, o)| o).filter(|o| *o > name).cloned());
            self.announced.insert(*prefix, name.clone());
        }
        node.announced = prefixes;
        if node.vtep != vtep {
            node.changed = true;
            node.vtep.iter().for_each(|old| self.census.subtract(old));
            vtep.iter().for_each(|new| self.census.add(new));
            node.vtep = vtep;
        }
        if node.standing != stands {
            node.standing.iter().for_each(|old| self.candidates.remove(name, old));
            stands.iter().for_each(|new| self.candidates.insert(name.clone(), new));
            node.standing = stands;
        }
    }

    /// Decides which of its prefixes a node owns, and publishes its findings.
    fn settle_ownership(&mut self, name: &NodeName, ctx: &mut Context<'_>) {
        let Some(node) = self.nodes.get_mut(name) else { return };
        ctx.work.nodes += 1;
        let mut findings = node.judged.clone();
        let id = || NodeId { cluster: self.name.clone(), node: name.clone() };
        let mut prefixes = Vec::with_capacity(node.announced.len());
        for prefix in &node.announced {
            let others = self.announced.overlapping(prefix).map(|(_, owner)| owner);
            match others.filter(|owner| *owner < name).min() {
                None => prefixes.push(*prefix),
                Some(first) => {
                    let message = format!("node {first} announces {prefix} or a part of it too, and keeps it");
                    let stated = node.facts.iter().flat_map(|facts| &facts.pods).position(|p| p == prefix);
                    let field = item(POD_CIDRS, stated.unwrap_or_default());
                    findings.push(finding(Subject::Node(id()), field, Reason::PrefixOfOtherNode, message));
                }
            }
        }
        if node.underlay.is_some() && node.index.is_none() {
            let message = "no overlay range has room for another block; add a range to spec.overlayCIDRs of the ClusterSet";
            findings.push(finding(
                Subject::Node(id()),
                "spec",
                Reason::OverlayExhausted,
                message.to_owned(),
            ));
        }
        findings.sort_unstable();
        if node.prefixes != prefixes {
            node.changed = true;
            node.prefixes = prefixes;
        }
        if node.findings != findings {
            node.findings = findings;
            ctx.changes.node_findings.push((id(), node.findings.clone()));
        }
    }
}
