//! What goes into the planner: facts as they change, and allocations read back after a restart.

use causeway_model::{
    ClusterFacts, ClusterName, ClusterSetFacts, DualStack, NodeFacts, NodeId, NodeName, OverlayAddresses,
    Prefix, SliceId, Translation,
};

/// A fact that changed. The last event about an object counts; the order among objects does not.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Event {
    /// The ClusterSet as it is now; `None` where there is none, which takes
    /// the defaults of [`ClusterSetFacts`].
    ClusterSet(Option<ClusterSetFacts>),
    /// A Cluster is new or changed.
    Cluster(ClusterFacts),
    /// A Cluster was removed. Its nodes wait until it comes back.
    ClusterGone(ClusterName),
    /// A ClusterNode is new or changed.
    Node(NodeFacts),
    /// A ClusterNode was removed.
    NodeGone(NodeId),
}

/// An allocation found in an existing object. It is used when its cluster or node is planned for the
/// first time, and ignored where it is not valid or somebody else has it by then.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Adopted {
    /// From the status of a Cluster.
    Cluster {
        /// Which cluster.
        name: ClusterName,
        /// Its overlay blocks in order of allocation.
        overlay: DualStack<Vec<Prefix>>,
        /// Its global CIDRs.
        translations: Vec<Translation>,
        /// Its gateways, or in P2P mode the carriers of its service CIDRs.
        gateways: Vec<NodeName>,
    },
    /// From a NodeConfig.
    Node {
        /// Which node.
        id: NodeId,
        /// Its overlay addresses.
        overlay: OverlayAddresses,
    },
    /// From a PeerSlice.
    Slice {
        /// Which slice.
        id: SliceId,
        /// The nodes that it lists.
        nodes: Vec<NodeName>,
    },
}
