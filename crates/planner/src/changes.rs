//! What comes out of the planner: changes, and the whole plan.

use std::collections::BTreeMap;

use causeway_model::{
    ClusterName, ClusterPlan, Finding, LinkId, LinkPlan, NodeId, NodePlan, SliceId, SlicePlan,
};

use crate::Adopted;

/// What one [`crate::Planner::plan`] changed. Every list is sorted by its key, and holds an object once.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changes {
    /// Nodes whose plan is new or differs.
    pub nodes: Vec<NodePlan>,
    /// Nodes that have no plan any more.
    pub nodes_gone: Vec<NodeId>,
    /// Links that are new or differ.
    pub links: Vec<LinkPlan>,
    /// Links that are no more.
    pub links_gone: Vec<LinkId>,
    /// Slices that are new or differ.
    pub slices: Vec<SlicePlan>,
    /// Slices that are no more.
    pub slices_gone: Vec<SliceId>,
    /// Clusters whose plan is new or differs.
    pub clusters: Vec<ClusterPlan>,
    /// Clusters that are no more.
    pub clusters_gone: Vec<ClusterName>,
    /// All findings of each node whose findings differ; an empty list where there are none any more.
    pub node_findings: Vec<(NodeId, Vec<Finding>)>,
    /// All findings on the ClusterSet, if they differ; an empty list where there are none any more.
    pub clusterset_findings: Option<Vec<Finding>>,
}

impl Changes {
    /// Whether nothing changed.
    pub fn is_empty(&self) -> bool {
        *self == Changes::default()
    }

    pub(crate) fn sort(&mut self) {
        self.nodes.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.nodes_gone.sort_unstable();
        self.links.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.links_gone.sort_unstable();
        self.slices.sort_unstable_by(|a, b| a.id.cmp(&b.id));
        self.slices_gone.sort_unstable();
        self.clusters.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        self.clusters_gone.sort_unstable();
        self.node_findings.sort_unstable_by(|a, b| a.0.cmp(&b.0));
    }
}

/// The whole plan of a clusterset.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Plan {
    /// Every node that takes part.
    pub nodes: BTreeMap<NodeId, NodePlan>,
    /// Every ordered pair of clusters.
    pub links: BTreeMap<LinkId, LinkPlan>,
    /// Every slice; none is empty.
    pub slices: BTreeMap<SliceId, SlicePlan>,
    /// Every cluster.
    pub clusters: BTreeMap<ClusterName, ClusterPlan>,
    /// Findings of the nodes that have any.
    pub node_findings: BTreeMap<NodeId, Vec<Finding>>,
    /// Findings on the ClusterSet.
    pub clusterset_findings: Vec<Finding>,
}

impl Plan {
    /// Brings the plan from before some changes to after them.
    pub fn apply(&mut self, changes: Changes) {
        let Changes {
            nodes,
            nodes_gone,
            links,
            links_gone,
            slices,
            slices_gone,
            clusters,
            clusters_gone,
            node_findings,
            clusterset_findings,
        } = changes;
        replace(&mut self.nodes, nodes, &nodes_gone, |plan| plan.id.clone());
        replace(&mut self.links, links, &links_gone, |plan| plan.id.clone());
        replace(&mut self.slices, slices, &slices_gone, |plan| plan.id.clone());
        replace(&mut self.clusters, clusters, &clusters_gone, |plan| plan.name.clone());
        for (id, findings) in node_findings {
            if findings.is_empty() {
                self.node_findings.remove(&id);
            } else {
                self.node_findings.insert(id, findings);
            }
        }
        if let Some(findings) = clusterset_findings {
            self.clusterset_findings = findings;
        }
    }

    /// Every finding: on the ClusterSet, on clusters, on nodes, on links.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        let clusters = self.clusters.values().flat_map(|plan| &plan.findings);
        let links = self.links.values().flat_map(|plan| &plan.findings);
        self.clusterset_findings
            .iter()
            .chain(clusters)
            .chain(self.node_findings.values().flatten())
            .chain(links)
    }

    /// The allocations in this plan, for a planner that is to go on from it.
    pub fn adopted(&self) -> impl Iterator<Item = Adopted> {
        let clusters = self.clusters.values().map(|plan| Adopted::Cluster {
            name: plan.name.clone(),
            overlay: plan.overlay.clone(),
            translations: plan.translations.clone(),
            gateways: plan.gateways.clone(),
        });
        let nodes =
            self.nodes.values().map(|plan| Adopted::Node { id: plan.id.clone(), overlay: plan.vtep.overlay });
        let slices = self.slices.values().map(|plan| Adopted::Slice {
            id: plan.id.clone(),
            nodes: plan.peers.iter().map(|peer| peer.node.clone()).collect(),
        });
        clusters.chain(nodes).chain(slices)
    }
}

fn replace<K: Ord, V>(map: &mut BTreeMap<K, V>, changed: Vec<V>, gone: &[K], key: impl Fn(&V) -> K) {
    for key in gone {
        map.remove(key);
    }
    for value in changed {
        map.insert(key(&value), value);
    }
}
