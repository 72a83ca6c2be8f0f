//! One cluster: its state, and the order in which its changes are committed.

use std::collections::{BTreeMap, BTreeSet};

use causeway_model::{
    ClusterFacts, ClusterName, ClusterPlan, DualStack, Mode, NodeName, OverlayAddresses, OwnPrefixes, Prefix,
    PrefixSet, Scope, Translation, TunnelPair, Vtep,
};

use crate::addresses::{Addresses, Refused};
use crate::blocks::Blocks;
use crate::claims::Claims;
use crate::gateways::Candidates;
use crate::indexes::Indexes;
use crate::links::LinkEnd;
use crate::node::NodeState;
use crate::prefix_index::PrefixIndex;
use crate::settings::Settings;
use crate::slices::Slices;
use crate::{Changes, Work};

/// How many nodes carry what no single node of a P2P cluster owns.
const CARRIERS: usize = 4;

/// What a cluster's commit reads and writes outside of the cluster.
pub(crate) struct Context<'a> {
    pub settings: &'a Settings,
    /// The overlay ranges, and blocks in use outside of them.
    pub overlay: &'a PrefixSet,
    pub claims: &'a Claims,
    pub refused: &'a Refused,
    pub blocks: &'a mut Blocks,
    pub changes: &'a mut Changes,
    pub work: &'a mut Work,
}

/// What was read back from the status of a Cluster.
pub(crate) struct AdoptedCluster {
    pub overlay: DualStack<Vec<Prefix>>,
    pub translations: Vec<Translation>,
    pub gateways: Vec<NodeName>,
}

/// The part of a NodePlan that all nodes of a cluster have in common.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Shared {
    pub tunnels: TunnelPair,
    pub own: OwnPrefixes,
    pub translations: Vec<Translation>,
}

/// How many nodes take part, and how many of them have each family.
#[derive(Clone, PartialEq, Eq, Default)]
pub(crate) struct Census {
    pub nodes: u32,
    pub carried: DualStack<u32>,
    pub underlay: DualStack<u32>,
}

impl Census {
    pub fn add(&mut self, vtep: &Vtep) {
        self.nodes += 1;
        vtep.families.iter().for_each(|family| *self.carried.get_mut(family) += 1);
        vtep.underlay.families().iter().for_each(|family| *self.underlay.get_mut(family) += 1);
    }

    pub fn subtract(&mut self, vtep: &Vtep) {
        self.nodes -= 1;
        vtep.families.iter().for_each(|family| *self.carried.get_mut(family) -= 1);
        vtep.underlay.families().iter().for_each(|family| *self.underlay.get_mut(family) -= 1);
    }
}

/// What is known and decided of one cluster. It may have nodes before it has facts.
pub(crate) struct ClusterState {
    pub name: ClusterName,
    pub facts: Option<ClusterFacts>,
    pub nodes: BTreeMap<NodeName, NodeState>,
    /// Nodes to judge again.
    pub dirty: Vec<NodeName>,
    pub adopted: Option<AdoptedCluster>,
    pub adopted_nodes: BTreeMap<NodeName, OverlayAddresses>,
    pub addresses: Addresses,
    /// The accepted pod CIDRs, to search.
    pub pod_set: PrefixSet,
    /// Its global CIDRs, or those read back.
    pub translations: Vec<Translation>,
    pub indexes: Indexes,
    /// Nodes that could take part but for an overlay address.
    pub waiting: BTreeSet<NodeName>,
    /// What its nodes announce.
    pub announced: PrefixIndex<NodeName>,
    pub candidates: Candidates,
    pub gateways: BTreeSet<NodeName>,
    pub node_slices: Slices,
    pub gateway_slices: Slices,
    pub census: Census,
    pub shared: Shared,
    pub plan: Option<ClusterPlan>,
    pub end: Option<LinkEnd>,
}

impl ClusterState {
    pub fn new(name: ClusterName) -> ClusterState {
        ClusterState {
            facts: None,
            nodes: BTreeMap::new(),
            dirty: Vec::new(),
            adopted: None,
            adopted_nodes: BTreeMap::new(),
            addresses: Addresses::default(),
            pod_set: PrefixSet::default(),
            translations: Vec::new(),
            indexes: Indexes::default(),
            waiting: BTreeSet::new(),
            announced: PrefixIndex::default(),
            candidates: Candidates::default(),
            gateways: BTreeSet::new(),
            node_slices: Slices::new(name.clone(), Scope::Nodes),
            gateway_slices: Slices::new(name.clone(), Scope::Gateways),
            census: Census::default(),
            shared: Shared::default(),
            plan: None,
            end: None,
            name,
        }
    }

    /// Whether nothing is known of the cluster any more.
    pub fn is_forgotten(&self) -> bool {
        self.facts.is_none() && self.nodes.is_empty() && self.adopted.is_none()
    }

    /// Marks every node to be judged again.
    pub fn dirty_all(&mut self) {
        self.dirty = self.nodes.keys().cloned().collect();
    }

    /// The nodes to judge again, sorted, each once.
    pub fn sort_dirty(&mut self) -> &[NodeName] {
        self.dirty.sort_unstable();
        self.dirty.dedup();
        &self.dirty
    }

    /// How the cluster is reached.
    pub fn mode(&self, settings: &Settings) -> Mode {
        self.facts.as_ref().and_then(|facts| facts.mode).unwrap_or(settings.facts.default_mode)
    }

    /// How many gateways, or carriers, it should have.
    pub fn gateways_wanted(&self, settings: &Settings) -> usize {
        let stated = self.facts.as_ref().and_then(|facts| facts.gateways.count);
        match self.mode(settings) {
            Mode::P2p => CARRIERS,
            Mode::Gateway => stated.unwrap_or(settings.facts.default_gateways).get() as usize,
        }
    }

    /// Takes over what was read back, when the cluster is planned for the first time.
    pub fn begin(&mut self, blocks: &mut Blocks) {
        let Some(adopted) = self.adopted.take() else { return };
        for block in blocks.adopt(&self.name, &adopted.overlay) {
            self.indexes.push(block);
        }
        self.translations = adopted.translations;
        self.gateways = adopted.gateways.into_iter().collect();
    }

    /// Gives back all that a removed cluster had.
    pub fn end(&mut self, blocks: &mut Blocks) {
        blocks.release(self.indexes.blocks());
        self.indexes = Indexes::default();
        self.nodes.values_mut().for_each(|node| node.index = None);
        self.waiting.clear();
        self.translations.clear();
        self.adopted = None;
        self.adopted_nodes.clear();
    }

    /// Commits all that is dirty, and returns whether links to and from the cluster may change.
    pub fn commit(&mut self, ctx: &mut Context<'_>) -> bool {
        ctx.work.clusters += 1;
        let judged = self.judge(ctx);
        let touched = self.elect(judged, ctx.settings);
        self.publish_nodes(touched, ctx);
        self.node_slices.commit(ctx.changes, ctx.work);
        self.gateway_slices.commit(ctx.changes, ctx.work);
        self.publish_cluster(ctx)
    }

    /// Elects gateways; returns the nodes given and those whose role may have changed.
    fn elect(&mut self, mut judged: Vec<NodeName>, settings: &Settings) -> Vec<NodeName> {
        let wanted = self.gateways_wanted(settings);
        let standing = |name: &NodeName| self.nodes.get(name).and_then(|node| node.standing.as_ref());
        let elected = self.candidates.elect(&self.gateways, wanted, standing);
        for former in self.gateways.difference(&elected) {
            self.gateway_slices.remove(former);
        }
        judged.extend(self.gateways.symmetric_difference(&elected).cloned());
        judged.sort_unstable();
        judged.dedup();
        self.gateways = elected;
        judged
    }
}
