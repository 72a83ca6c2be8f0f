//! What controller-manager keeps as it should be, one thing at a time.

use causeway_api::{Kind, ObjectRef};
use causeway_kubernetes::Update;

use crate::member::WatchId;

/// Something that is to be as it should.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Item {
    /// Its part of the Cluster's status at the hub.
    ClusterStatus,
    /// The ClusterNode of a Node at the hub.
    ClusterNode(String),
    /// What a node's agent is asked to find, at the member.
    Resolve(String),
    /// The copy of an object at the member.
    Copy(Kind, String),
    /// Its part of a ClusterLink's status at the hub, by remote cluster.
    LinkStatus(String),
    /// What a node's agent found when a test was asked for at the hub.
    Answer(String),
}

/// When an item's turn is. Whatever has a lower rank is finished first.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Rank {
    /// CIDRs of the cluster: its nodes' prefixes are judged by them.
    Cluster,
    /// Facts of nodes.
    Nodes,
    /// Peers and links, so that a node that learns of its role finds them.
    Peers,
    /// Roles of nodes.
    Roles,
    /// What is said of how it goes.
    Statuses,
    /// What is no more: last, so that the new way is there before the old one goes.
    Removals,
}

impl Item {
    /// The rank of an item; `gone` says that it is to be removed.
    pub fn rank(&self, gone: bool) -> Rank {
        match self {
            Item::ClusterStatus => Rank::Cluster,
            Item::ClusterNode(_) | Item::Resolve(_) => Rank::Nodes,
            Item::Copy(..) if gone => Rank::Removals,
            Item::Copy(Kind::NodeConfig, _) => Rank::Roles,
            Item::Copy(..) => Rank::Peers,
            Item::LinkStatus(_) | Item::Answer(_) => Rank::Statuses,
        }
    }

    /// Whether it is summed up from many nodes, and so not written at each change.
    pub fn is_sum(&self) -> bool {
        matches!(self, Item::ClusterStatus | Item::LinkStatus(_))
    }

    /// What changes of the hub's object may ask for.
    pub fn of_hub(key: &ObjectRef) -> Vec<Item> {
        let name = key.name.clone();
        match key.kind {
            Kind::ClusterSet => Vec::new(),
            Kind::Cluster => vec![Item::ClusterStatus],
            Kind::ClusterNode => vec![Item::ClusterNode(name)],
            Kind::NodeConfig => vec![Item::Copy(key.kind, name), Item::ClusterStatus],
            Kind::ClusterLink => vec![Item::Copy(key.kind, name.clone()), Item::LinkStatus(name)],
            Kind::PeerSlice => vec![Item::Copy(key.kind, name)],
            Kind::Diagnosis => vec![Item::Copy(key.kind, name.clone()), Item::Answer(name)],
        }
    }

    /// Which item's writes a change of the hub's object tells of.
    pub fn written_at_hub(key: &ObjectRef) -> Option<Item> {
        match key.kind {
            Kind::Cluster => Some(Item::ClusterStatus),
            Kind::ClusterNode => Some(Item::ClusterNode(key.name.clone())),
            Kind::ClusterLink => Some(Item::LinkStatus(key.name.clone())),
            Kind::Diagnosis => Some(Item::Answer(key.name.clone())),
            Kind::ClusterSet | Kind::NodeConfig | Kind::PeerSlice => None,
        }
    }

    /// Which item's writes what a watch at the member says tells of.
    pub fn written_at_member(id: WatchId, update: &Update) -> Option<Item> {
        let name = match update {
            Update::Applied(object) => object.metadata.name.clone()?,
            Update::Deleted(name) => name.name.clone(),
            Update::Complete | Update::Trouble(_) => return None,
        };
        match id {
            WatchId::Copies(kind) => Some(Item::Copy(kind, name)),
            WatchId::Resolve => Some(Item::Resolve(name)),
            WatchId::Asked => Some(Item::Copy(Kind::Diagnosis, name)),
            WatchId::Nodes | WatchId::Source(_) => None,
        }
    }
}
