//! The nodes of a cluster: who takes part, with which overlay index, and who owns which prefix.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::{
    ClusterFacts, DualStack, Finding, Mode, NodeFacts, NodeId, NodeName, OverlayAddresses, Prefix, PrefixSet,
    Reason, Subject, Vtep,
};

use crate::cluster::{ClusterState, Context};
use crate::findings::{POD_CIDRS, finding, item};
use crate::gateways::Standing;
use crate::node::{NodeState, announced, carried_families, excluded, standing, usable_underlay};
use crate::prefix_index::PrefixIndex;

impl ClusterState {
    /// Judges the dirty nodes, and those that they affect. Returns all of them, sorted.
    pub(crate) fn judge(&mut self, ctx: &mut Context<'_>) -> Vec<NodeName> {
        self.sort_dirty();
        let mut dirty = std::mem::take(&mut self.dirty);
        self.admit(&dirty, ctx);
        self.adopt_indexes(&dirty);
        let placed = self.allocate_indexes(ctx);
        let mut affected = BTreeSet::new();
        dirty.extend(placed);
        dirty.sort_unstable();
        dirty.dedup();
        self.announce(&dirty, ctx, &mut affected);
        dirty.extend(affected);
        dirty.sort_unstable();
        dirty.dedup();
        self.settle_ownership(&dirty, ctx);
        dirty
    }

    /// Decides which nodes can take part. One that cannot gives its index back.
    fn admit(&mut self, names: &[NodeName], ctx: &mut Context<'_>) {
        let mut left_out = Vec::new();
        ctx.work.nodes += names.len() as u64;
        visit(&mut self.nodes, names, |name, node| {
            node.judged.clear();
            node.underlay = match (&node.facts, &self.facts) {
                (Some(facts), Some(cluster)) => admission(cluster, facts, ctx, &mut node.judged),
                (Some(facts), None) => {
                    let message = format!(
                        "Cluster {} does not exist; create it, or remove this ClusterNode",
                        self.name
                    );
                    let subject = Subject::Node(facts.id.clone());
                    node.judged.push(finding(subject, "metadata.namespace", Reason::UnknownCluster, message));
                    None
                }
                (None, _) => None,
            };
            if node.underlay.is_none() {
                node.index.take().into_iter().for_each(|index| self.indexes.release(index));
                left_out.push(name.clone());
            } else if node.index.is_none() {
                self.waiting.insert(name.clone());
            }
        });
        for name in left_out {
            self.waiting.remove(&name);
            self.adopted_nodes.remove(&name);
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

    /// Decides the tunnel ends of nodes and what they announce; adds the nodes whose ownership of
    /// prefixes may change with it.
    fn announce(&mut self, names: &[NodeName], ctx: &Context<'_>, affected: &mut BTreeSet<NodeName>) {
        let mode = self.mode(ctx.settings);
        visit(&mut self.nodes, names, |name, node| {
            let overlay = node.index.and_then(|index| self.indexes.addresses(index));
            let part = match &self.facts {
                Some(cluster) => part_of(cluster, mode, &self.pod_set, overlay, node),
                None => Part::default(),
            };
            let outdated = node.announced.iter().filter(|prefix| !part.announced.contains(prefix));
            for prefix in outdated {
                self.announced.remove(*prefix, name);
                affected.extend(rivals(&self.announced, prefix, name));
            }
            for prefix in part.announced.iter().filter(|prefix| !node.announced.contains(prefix)) {
                affected.extend(rivals(&self.announced, prefix, name));
                self.announced.insert(*prefix, name.clone());
            }
            node.announced = part.announced;
            if node.vtep != part.vtep {
                node.changed = true;
                node.vtep.iter().for_each(|old| self.census.subtract(old));
                part.vtep.iter().for_each(|new| self.census.add(new));
                node.vtep = part.vtep;
            }
            if node.standing != part.standing {
                node.standing.iter().for_each(|old| self.candidates.remove(name, old));
                part.standing.iter().for_each(|new| self.candidates.insert(name.clone(), new));
                node.standing = part.standing;
            }
        });
    }

    /// Decides which of their prefixes nodes own, and publishes their findings.
    fn settle_ownership(&mut self, names: &[NodeName], ctx: &mut Context<'_>) {
        ctx.work.nodes += names.len() as u64;
        visit(&mut self.nodes, names, |name, node| {
            let id = || NodeId { cluster: self.name.clone(), node: name.clone() };
            let mut findings = node.judged.clone();
            let mut prefixes = Vec::with_capacity(node.announced.len());
            for prefix in &node.announced {
                let others = self.announced.overlapping(prefix).map(|(_, owner)| owner);
                match others.filter(|owner| *owner < name).min() {
                    None => prefixes.push(*prefix),
                    Some(first) => findings.push(not_the_first(id(), prefix, first, node)),
                }
            }
            if node.underlay.is_some() && node.index.is_none() {
                findings.push(no_overlay_address(id()));
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
        });
    }
}

/// The addresses of a node that may take part, as far as its labels and addresses decide that.
fn admission(
    cluster: &ClusterFacts,
    facts: &NodeFacts,
    ctx: &Context<'_>,
    findings: &mut Vec<Finding>,
) -> Option<DualStack<Option<IpAddr>>> {
    if let Some(why) = excluded(cluster, facts) {
        findings.push(finding(Subject::Node(facts.id.clone()), "spec.labels", Reason::NodeExcluded, why));
        return None;
    }
    usable_underlay(facts, ctx, findings)
}

/// A node's part in its cluster.
#[derive(Default)]
struct Part {
    vtep: Option<Vtep>,
    announced: Vec<Prefix>,
    standing: Option<Standing>,
}

fn part_of(
    cluster: &ClusterFacts,
    mode: Mode,
    pods: &PrefixSet,
    overlay: Option<OverlayAddresses>,
    node: &mut NodeState,
) -> Part {
    let (Some(facts), Some(underlay)) = (&node.facts, node.underlay) else { return Part::default() };
    // A node that waited may be judged more than once without having been admitted anew.
    node.judged.retain(|finding| !finding.field.starts_with(POD_CIDRS));
    let announced = announced(cluster, pods, facts, &mut node.judged);
    let Some(overlay) = overlay else { return Part::default() };
    let families = carried_families(cluster, facts);
    let standing = standing(mode, &cluster.gateways, cluster.families, families, facts);
    Part { vtep: Some(Vtep { underlay, overlay, families }), announced, standing }
}

/// The nodes behind `name` that announce a part of `prefix`.
fn rivals(
    announced: &PrefixIndex<NodeName>,
    prefix: &Prefix,
    name: &NodeName,
) -> impl Iterator<Item = NodeName> {
    announced.overlapping(prefix).map(|(_, owner)| owner).filter(move |owner| *owner > name).cloned()
}

fn not_the_first(id: NodeId, prefix: &Prefix, first: &NodeName, node: &NodeState) -> Finding {
    let stated = node.facts.iter().flat_map(|facts| &facts.pods).position(|p| p == prefix);
    let message = format!("node {first} announces {prefix} or a part of it too, and keeps it");
    let field = item(POD_CIDRS, stated.unwrap_or_default());
    finding(Subject::Node(id), field, Reason::PrefixOfOtherNode, message)
}

fn no_overlay_address(id: NodeId) -> Finding {
    let message =
        "no overlay range has room for another block; add a range to spec.overlayCIDRs of the ClusterSet";
    finding(Subject::Node(id), "spec", Reason::OverlayExhausted, message.to_owned())
}

/// Visits the nodes named, in order of names: by look-up if they are few, in one walk if they are a
/// good part of all.
pub(crate) fn visit(
    nodes: &mut BTreeMap<NodeName, NodeState>,
    names: &[NodeName],
    mut look: impl FnMut(&NodeName, &mut NodeState),
) {
    if names.len() < nodes.len() / 4 {
        for name in names {
            if let Some(node) = nodes.get_mut(name) {
                look(name, node);
            }
        }
        return;
    }
    let mut names = names.iter().peekable();
    for (name, node) in nodes {
        while names.next_if(|wanted| *wanted < name).is_some() {}
        if names.next_if(|wanted| *wanted == name).is_some() {
            look(name, node);
        }
    }
}
