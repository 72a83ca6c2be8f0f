//! The planner: takes events, and commits what they changed in a fixed order.
//!
//! First what all clusters share (settings, overlay blocks, underlay addresses, prefixes), then each
//! cluster that was touched, then links of clusters whose ends changed. Every step visits only what
//! is marked dirty, in the order of names, so that the order of events does not matter.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_model::{
    ClusterFacts, ClusterName, ClusterSetFacts, DualStack, Finding, LinkId, LinkPlan, NodeFacts, NodeId,
    NodeName, PrefixSet, Scope,
};

use crate::addresses::{Addresses, Refused, decide};
use crate::blocks::Blocks;
use crate::claims::{Claim, Claims};
use crate::cluster::{AdoptedCluster, ClusterState, Context};
use crate::guard::Guard;
use crate::links::link;
use crate::membership::visit;
use crate::node::{claimable, excluded};
use crate::settings::Settings;
use crate::{Adopted, Changes, Event, Plan, Work};

/// Turns the facts of a clusterset into its plan, event by event.
pub struct Planner {
    settings: Settings,
    settings_changed: bool,
    published_findings: Vec<Finding>,
    clusters: BTreeMap<ClusterName, ClusterState>,
    /// Clusters whose own facts changed.
    changed: BTreeSet<ClusterName>,
    /// Clusters with anything to commit.
    touched: BTreeSet<ClusterName>,
    /// Clusters with nodes that wait for an overlay address.
    waiting: BTreeSet<ClusterName>,
    claims: Claims,
    blocks: Blocks,
    /// The overlay ranges, and blocks in use outside of them.
    overlay: PrefixSet,
    /// Underlay addresses that lie in what an older cluster announces.
    refused: Refused,
    /// Where an underlay address that comes or goes may change what clusters announce.
    sensitive: PrefixSet,
    links: BTreeMap<LinkId, LinkPlan>,
    work: Work,
}

impl Default for Planner {
    fn default() -> Self {
        Planner::new()
    }
}

impl Planner {
    /// A planner of an empty clusterset with the default [`ClusterSetFacts`].
    pub fn new() -> Self {
        Planner {
            settings: Settings::new(ClusterSetFacts::default()),
            settings_changed: true,
            published_findings: Vec::new(),
            clusters: BTreeMap::new(),
            changed: BTreeSet::new(),
            touched: BTreeSet::new(),
            waiting: BTreeSet::new(),
            claims: Claims::default(),
            blocks: Blocks::default(),
            overlay: PrefixSet::default(),
            refused: Refused::new(),
            sensitive: PrefixSet::default(),
            links: BTreeMap::new(),
            work: Work::default(),
        }
    }

    /// Remembers an allocation that an existing object states, for the first time that its cluster or
    /// node is planned. Ignored for one that is planned already.
    pub fn adopt(&mut self, adopted: Adopted) {
        match adopted {
            Adopted::Cluster { name, overlay, translations, gateways } => {
                let cluster = self.cluster(&name);
                if cluster.plan.is_none() {
                    cluster.adopted = Some(AdoptedCluster { overlay, translations, gateways });
                }
            }
            Adopted::Node { id, overlay } => {
                let cluster = self.cluster(&id.cluster);
                if cluster.nodes.get(&id.node).is_none_or(|node| node.index.is_none()) {
                    cluster.adopted_nodes.insert(id.node, overlay);
                }
            }
            Adopted::Slice { id, nodes } => {
                let cluster = self.cluster(&id.cluster);
                match id.scope {
                    Scope::Nodes => cluster.node_slices.adopt(id.index, nodes),
                    Scope::Gateways => cluster.gateway_slices.adopt(id.index, nodes),
                }
            }
        }
    }

    /// Takes note of a change. Nothing is planned before [`Planner::plan`].
    pub fn handle(&mut self, event: Event) {
        match event {
            Event::ClusterSet(facts) => self.clusterset(facts.unwrap_or_default()),
            Event::Cluster(facts) => {
                let name = facts.name.clone();
                let cluster = self.cluster(&name);
                if cluster.facts.as_ref() != Some(&facts) {
                    cluster.facts = Some(facts);
                    self.changed.insert(name);
                }
            }
            Event::ClusterGone(name) => {
                let Some(cluster) = self.clusters.get_mut(&name) else { return };
                cluster.adopted = None;
                if cluster.facts.take().is_some() {
                    self.changed.insert(name);
                }
            }
            Event::Node(facts) => self.node(facts),
            Event::NodeGone(id) => {
                let Some(cluster) = self.clusters.get_mut(&id.cluster) else { return };
                cluster.adopted_nodes.remove(&id.node);
                let Some(node) = cluster.nodes.get_mut(&id.node) else { return };
                if node.facts.take().is_some() {
                    cluster.dirty.push(id.node);
                    self.touched.insert(id.cluster);
                }
            }
        }
    }

    fn clusterset(&mut self, facts: ClusterSetFacts) {
        let settings = Settings::new(facts);
        if settings.facts != self.settings.facts || settings.findings != self.settings.findings {
            self.settings = settings;
            self.settings_changed = true;
        }
    }

    fn node(&mut self, facts: NodeFacts) {
        let NodeId { cluster: of, node: name } = facts.id.clone();
        let cluster = self.cluster(&of);
        let node = cluster.nodes.entry(name.clone()).or_default();
        if node.facts.as_ref() == Some(&facts) {
            return;
        }
        node.facts = Some(facts);
        let first = cluster.dirty.is_empty();
        cluster.dirty.push(name);
        if first {
            self.touched.insert(of);
        }
    }

    fn cluster(&mut self, name: &ClusterName) -> &mut ClusterState {
        // Looked up first: `entry` would copy the name for each event.
        if !self.clusters.contains_key(name) {
            self.clusters.insert(name.clone(), ClusterState::new(name.clone()));
        }
        self.clusters.entry(name.clone()).or_insert_with(|| ClusterState::new(name.clone()))
    }

    /// Commits all that changed since the last call, and says what became of it.
    pub fn plan(&mut self) -> Changes {
        let mut changes = Changes::default();
        let settings_changed = std::mem::take(&mut self.settings_changed);
        if settings_changed {
            if self.settings.findings != self.published_findings {
                self.published_findings.clone_from(&self.settings.findings);
                changes.clusterset_findings = Some(self.published_findings.clone());
            }
            self.touched.extend(self.clusters.keys().cloned());
            self.clusters.values_mut().for_each(ClusterState::dirty_all);
        }
        let clusters_changed = !self.changed.is_empty();
        if clusters_changed || settings_changed {
            self.commit_blocks();
        }
        let exposed = self.commit_claims();
        if clusters_changed || settings_changed || exposed {
            self.commit_addresses();
        }
        let ends = self.commit_clusters(&mut changes);
        self.commit_links(ends, &mut changes);
        if clusters_changed {
            self.clusters.retain(|_, cluster| !cluster.is_forgotten());
        }
        changes.sort();
        changes
    }

    /// Takes over and gives back the blocks of clusters that came and went, and finds what counts as
    /// overlay range now.
    fn commit_blocks(&mut self) {
        for name in std::mem::take(&mut self.changed) {
            let Some(cluster) = self.clusters.get_mut(&name) else { continue };
            match (&cluster.facts, &cluster.plan) {
                (Some(_), None) => cluster.begin(&mut self.blocks),
                (None, _) => cluster.end(&mut self.blocks),
                _ => {}
            }
            cluster.dirty_all();
            self.touched.insert(name);
        }
        // Space may have come free.
        self.touched.extend(self.waiting.iter().cloned());
        let ranges = &self.settings.facts.overlay;
        let outside = self.blocks.outside(ranges);
        let overlay: PrefixSet = ranges.iter().flat_map(|(_, range)| range).copied().chain(outside).collect();
        if overlay != self.overlay {
            let both = overlay.as_slice().iter().chain(self.overlay.as_slice());
            let inside = both.flat_map(|range| self.claims.within(range));
            let inside = inside.flat_map(|(_, claims)| claims).map(|claim| claim.id.clone()).collect();
            self.overlay = overlay;
            self.mark(inside);
        }
    }

    fn mark(&mut self, nodes: Vec<NodeId>) {
        for NodeId { cluster: of, node } in nodes {
            if let Some(cluster) = self.clusters.get_mut(&of) {
                cluster.dirty.push(node);
                self.touched.insert(of);
            }
        }
    }

    /// Brings the claims to underlay addresses up to date, and marks nodes whose right to an address
    /// may have changed. True if what clusters announce may change.
    fn commit_claims(&mut self) -> bool {
        let mut exposed = false;
        let mut contested: BTreeSet<IpAddr> = BTreeSet::new();
        for name in &self.touched {
            let Some(cluster) = self.clusters.get_mut(name) else { continue };
            cluster.sort_dirty();
            visit(&mut cluster.nodes, &cluster.dirty, |_, node| {
                let claim = cluster.facts.as_ref().zip(node.facts.as_ref()).map(claim_of);
                if claim == node.claim {
                    return;
                }
                let former = std::mem::replace(&mut node.claim, claim);
                if let Some((claim, addresses)) = &former {
                    for address in addresses.addresses() {
                        exposed |= self.sensitive.find(address).is_some();
                        if self.claims.remove(address, claim) {
                            contested.insert(address);
                        }
                    }
                }
                if let Some((claim, addresses)) = &node.claim {
                    for address in addresses.addresses() {
                        exposed |= self.sensitive.find(address).is_some();
                        if self.claims.insert(address, claim.clone()) {
                            contested.insert(address);
                        }
                    }
                }
            });
        }
        let claims = contested.iter().flat_map(|address| self.claims.at(*address));
        let rivals: Vec<NodeId> = claims.map(|claim| claim.id.clone()).collect();
        self.mark(rivals);
        exposed
    }

    /// Decides what each cluster announces, and marks clusters for which that differs.
    fn commit_addresses(&mut self) {
        let mut clusters: Vec<(&ClusterFacts, &[_])> = self
            .clusters
            .values()
            .filter_map(|cluster| Some((cluster.facts.as_ref()?, cluster.translations.as_slice())))
            .collect();
        clusters.sort_by(|(a, _), (b, _)| (a.age, &a.name).cmp(&(b.age, &b.name)));
        self.work.clusters += clusters.len() as u64;
        let guard = Guard { overlay: &self.overlay, claims: &self.claims };
        let decision = decide(&clusters, &self.settings.facts.global_pool, &guard);
        let names = clusters.iter().map(|(facts, _)| facts.name.clone());
        let mut decided: BTreeMap<ClusterName, Addresses> = names.zip(decision.addresses).collect();
        self.sensitive = decision.sensitive;
        let refused = std::mem::replace(&mut self.refused, decision.refused);
        for (name, cluster) in &mut self.clusters {
            let addresses = decided.remove(name).unwrap_or_default();
            if addresses == cluster.addresses {
                continue;
            }
            let same_for_nodes = addresses.pods == cluster.addresses.pods
                && addresses.translations == cluster.addresses.translations;
            if !same_for_nodes {
                cluster.dirty_all();
            }
            cluster.translations.clone_from(&addresses.translations);
            cluster.pod_set = addresses.pods.iter().copied().collect();
            cluster.addresses = addresses;
            self.touched.insert(name.clone());
        }
        let both = refused.keys().chain(self.refused.keys());
        let differs = |address: &&IpAddr| refused.get(*address) != self.refused.get(*address);
        let claims = both.filter(differs).flat_map(|address| self.claims.at(*address));
        let concerned: Vec<NodeId> = claims.map(|claim| claim.id.clone()).collect();
        self.mark(concerned);
    }

    /// Commits the clusters that were touched; returns those whose links may change.
    fn commit_clusters(&mut self, changes: &mut Changes) -> BTreeSet<ClusterName> {
        let mut ends = BTreeSet::new();
        for name in std::mem::take(&mut self.touched) {
            let Some(cluster) = self.clusters.get_mut(&name) else { continue };
            let mut ctx = Context {
                settings: &self.settings,
                overlay: &self.overlay,
                claims: &self.claims,
                refused: &self.refused,
                blocks: &mut self.blocks,
                changes,
                work: &mut self.work,
            };
            if cluster.commit(&mut ctx) {
                ends.insert(name.clone());
            }
            if cluster.waiting.is_empty() {
                self.waiting.remove(&name);
            } else {
                self.waiting.insert(name);
            }
        }
        ends
    }

    /// Computes the links to and from the clusters given.
    fn commit_links(&mut self, ends: BTreeSet<ClusterName>, changes: &mut Changes) {
        let mut ids = BTreeSet::new();
        for end in ends {
            for other in self.clusters.keys().filter(|other| **other != end) {
                ids.insert(LinkId { source: end.clone(), remote: other.clone() });
                ids.insert(LinkId { source: other.clone(), remote: end.clone() });
            }
        }
        for id in ids {
            self.work.links += 1;
            let end = |name: &ClusterName| self.clusters.get(name).and_then(|cluster| cluster.end.as_ref());
            match (end(&id.source), end(&id.remote)) {
                (Some(source), Some(remote)) => {
                    let plan = link((&id.source, source), (&id.remote, remote));
                    if self.links.get(&id) != Some(&plan) {
                        self.links.insert(id, plan.clone());
                        changes.links.push(plan);
                    }
                }
                _ => {
                    if self.links.remove(&id).is_some() {
                        changes.links_gone.push(id);
                    }
                }
            }
        }
    }

    /// The whole plan as it was last committed.
    pub fn snapshot(&self) -> Plan {
        let clusters = || self.clusters.values();
        let slices = clusters().flat_map(|c| c.node_slices.plans().chain(c.gateway_slices.plans()));
        Plan {
            nodes: clusters().flat_map(|c| c.node_plans().map(|plan| (plan.id.clone(), plan))).collect(),
            links: self.links.clone(),
            slices: slices.map(|plan| (plan.id.clone(), plan.clone())).collect(),
            clusters: clusters()
                .filter_map(|c| c.plan.as_ref())
                .map(|plan| (plan.name.clone(), plan.clone()))
                .collect(),
            node_findings: clusters().flat_map(findings_of).collect(),
            clusterset_findings: self.published_findings.clone(),
        }
    }

    /// What planning has cost so far.
    pub fn work(&self) -> Work {
        self.work
    }
}

/// The claim of a node, and the addresses that it claims.
fn claim_of((cluster, node): (&ClusterFacts, &NodeFacts)) -> (Claim, DualStack<Option<IpAddr>>) {
    let excluded = excluded(cluster, node).is_some();
    (Claim { excluded, age: cluster.age, id: node.id.clone() }, claimable(node))
}

fn findings_of(cluster: &ClusterState) -> impl Iterator<Item = (NodeId, Vec<Finding>)> + use<'_> {
    cluster.nodes.iter().filter(|(_, node)| !node.findings.is_empty()).map(|(name, node)| {
        let id = NodeId { cluster: cluster.name.clone(), node: NodeName::clone(name) };
        (id, node.findings.clone())
    })
}
