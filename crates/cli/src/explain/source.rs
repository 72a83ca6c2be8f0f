//! Who sends: as it is written on the command line, and as a place in the clusterset.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use causeway_model::{ClusterName, Family, InvalidName, NodeId, NodePlan, Translation};

use super::locate::{Owner, What, owners, pod_node};
use super::walk::From as Sender;
use crate::error::Error;
use crate::inventory::Inventory;
use crate::node_state::View;

/// `CLUSTER/NODE`, `CLUSTER/NODE:POD-IP` or an IP address.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A process of a node.
    Node(NodeId),
    /// An address on a node.
    At(NodeId, IpAddr),
    /// Whatever has this address.
    Address(IpAddr),
}

/// The text names no source.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum InvalidSource {
    /// Neither an address nor a node.
    #[error("write CLUSTER/NODE, CLUSTER/NODE:POD-IP or an IP address, for example east/e1:10.1.0.5")]
    Form,
    /// The node is no node's name.
    #[error(transparent)]
    Name(#[from] InvalidName),
    /// What stands behind the node is no address.
    #[error("\"{0}\" is not an IP address; write CLUSTER/NODE:POD-IP, for example east/e1:10.1.0.5")]
    Address(String),
}

impl FromStr for Source {
    type Err = InvalidSource;

    fn from_str(text: &str) -> Result<Source, InvalidSource> {
        if let Ok(address) = text.parse() {
            return Ok(Source::Address(address));
        }
        if !text.contains('/') {
            return Err(InvalidSource::Form);
        }
        // Names have no colon, IPv6 addresses do.
        let Some((node, address)) = text.split_once(':') else { return Ok(Source::Node(text.parse()?)) };
        let bare = address.strip_prefix('[').and_then(|a| a.strip_suffix(']')).unwrap_or(address);
        let address = bare.parse().map_err(|_| InvalidSource::Address(address.to_owned()))?;
        Ok(Source::At(node.parse()?, address))
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Source::Node(node) => node.fmt(f),
            Source::At(node, address) => write!(f, "{node}:{address}"),
            Source::Address(address) => address.fmt(f),
        }
    }
}

impl Source {
    /// The cluster that is named.
    pub fn cluster(&self) -> Option<&ClusterName> {
        match self {
            Source::Node(id) | Source::At(id, _) => Some(&id.cluster),
            Source::Address(_) => None,
        }
    }
}

/// A source as a place.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// Its node.
    pub node: NodeId,
    /// The address that it sends from.
    pub address: IpAddr,
    /// What sends there.
    pub sender: Sender,
}

/// Finds the place of `source`, which sends to the address `to`.
///
/// # Errors
/// Where nothing or no one thing can send so.
pub fn place(inventory: &Inventory, view: &View, source: &Source, to: IpAddr) -> Result<Place, Error> {
    match source {
        Source::Node(id) => {
            let node = planned(inventory, view, id)?;
            // What Linux chooses: the source address of our route. Inside the cluster the CNI's routes count, and an
            // address of the node's own.
            let overlay = node.vtep.overlay.get(Family::of(to));
            let is_inside = node.own.pods.iter().chain(&node.own.services).any(|prefix| prefix.contains(to))
                || view.node_at(&id.cluster, to).is_some();
            let underlay = node.vtep.underlay.get(Family::of(to)).filter(|_| is_inside);
            let address = underlay.unwrap_or(overlay);
            Ok(Place { node: id.clone(), address, sender: Sender::Host })
        }
        Source::At(id, address) => {
            let sender = sender_on(planned(inventory, view, id)?, *address)?;
            Ok(Place { node: id.clone(), address: *address, sender })
        }
        Source::Address(address) => of_address(inventory, view, *address),
    }
}

/// The address that `from` sends to if it is to reach `to`: of a node its overlay address, of something in another
/// cluster what that cluster shows of it.
///
/// # Errors
/// Where there is no such node, or it does not have that address.
pub fn destination(inventory: &Inventory, view: &View, from: &Source, to: &Source) -> Result<IpAddr, Error> {
    let (id, address) = match to {
        Source::Address(address) => return Ok(*address),
        Source::Node(id) => {
            let node = planned(inventory, view, id)?;
            let family = match from {
                Source::At(_, address) | Source::Address(address) => Family::of(*address),
                Source::Node(_) if node.vtep.families.contains(Family::V4) => Family::V4,
                Source::Node(_) => Family::V6,
            };
            return Ok(node.vtep.overlay.get(family));
        }
        Source::At(id, address) => {
            inventory.check_node(id)?;
            is_on(inventory, id, *address)?;
            (id, *address)
        }
    };
    let own = match from {
        Source::Node(from) | Source::At(from, _) => Some(from.cluster.clone()),
        Source::Address(from) => match owners(inventory, view, *from).as_slice() {
            [owner] => Some(owner.cluster.clone()),
            _ => None,
        },
    };
    if own.as_ref() == Some(&id.cluster) {
        return Ok(address);
    }
    let plan = view.plan.clusters.get(&id.cluster);
    let translations = plan.map(|plan| plan.translations.as_slice()).unwrap_or_default();
    Ok(Translation::abroad(translations, address))
}

/// That the node has the address, as far as the facts say which it has.
fn is_on(inventory: &Inventory, id: &NodeId, address: IpAddr) -> Result<(), Error> {
    let (Some(node), Some(cluster)) = (inventory.nodes.get(id), inventory.clusters.get(&id.cluster)) else {
        return Ok(());
    };
    let holds = |prefixes: &[causeway_model::Prefix]| prefixes.iter().any(|p| p.contains(address));
    let has_own = node.pods.iter().any(|prefix| prefix.family() == Family::of(address));
    let is_pod = holds(&node.pods) || (!has_own && holds(&cluster.pods));
    if is_pod || !holds(&cluster.pods) {
        return Ok(());
    }
    let why = match pod_node(inventory, &id.cluster, address) {
        Some(other) => format!("it is in a pod CIDR of {other}; write {other}:{address}"),
        None => "no node of the cluster announces a pod CIDR with it; give the address alone to see where it leads".to_owned(),
    };
    Err(Error::NotOnNode { address, id: id.clone(), why })
}

fn planned<'v>(inventory: &Inventory, view: &'v View, id: &NodeId) -> Result<&'v NodePlan, Error> {
    inventory.check_node(id)?;
    view.node(id)
}

fn sender_on(node: &NodePlan, address: IpAddr) -> Result<Sender, Error> {
    let family = Family::of(address);
    let holds = |prefixes: &[causeway_model::Prefix]| prefixes.iter().any(|p| p.contains(address));
    let own = node.vtep.underlay.addresses().chain([node.vtep.overlay.get(family)]).any(|own| own == address);
    if own {
        return Ok(Sender::Host);
    }
    if holds(&node.local_pods) || (node.local_pods.is_empty() && holds(&node.own.pods)) {
        return Ok(Sender::Pod);
    }
    let pods = if node.local_pods.is_empty() { &node.own.pods } else { &node.local_pods };
    let pods: Vec<String> = pods.iter().map(ToString::to_string).collect();
    let why = match pods.as_slice() {
        [] => format!("node {} has no pods in the plan; see `causeway plan`", node.id),
        _ => format!("pods of node {} have addresses in {}; give one of those", node.id, pods.join(", ")),
    };
    Err(Error::NoSource { address, why })
}

fn of_address(inventory: &Inventory, view: &View, address: IpAddr) -> Result<Place, Error> {
    let owners = owners(inventory, view, address);
    let refuse = |why: String| Err(Error::NoSource { address, why });
    let [owner] = owners.as_slice() else {
        let all: Vec<String> = owners.iter().map(ToString::to_string).collect();
        return refuse(match all.as_slice() {
            [] => "no cluster has that address; give one that a cluster has, or CLUSTER/NODE".to_owned(),
            _ => format!(
                "{} things have it: {}; write CLUSTER/NODE:POD-IP to say which",
                all.len(),
                all.join("; ")
            ),
        });
    };
    let Owner { cluster, node, what } = owner;
    let address = if let What::Global(real) = what { *real } else { address };
    match (what, node) {
        (What::Service, _) => refuse(format!(
            "it is a Service of cluster {cluster}, and Services send nothing of their own; give a pod or a node"
        )),
        (_, Some(id)) => {
            let sender = sender_on(planned(inventory, view, id)?, address)?;
            Ok(Place { node: id.clone(), address, sender })
        }
        (_, None) => refuse(format!(
            "it is a pod of cluster {cluster}, but no node announces it; write {cluster}/NODE:{address} to say on which it runs"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_nodes_pods_on_nodes_or_addresses() {
        for text in ["east/e1", "east/node.example:10.1.0.5", "east/e1:fd00:1::5", "10.1.0.5", "fd00:1::5"] {
            assert_eq!(text.parse::<Source>().unwrap().to_string(), text);
        }
        let bracketed: Source = "east/e1:[fd00:1::5]".parse().unwrap();
        assert_eq!(bracketed.to_string(), "east/e1:fd00:1::5");
    }

    #[test]
    fn what_is_no_source_is_told_how_to_write_one() {
        for (text, part) in [
            ("east", "write CLUSTER/NODE"),
            ("east/e1:x", "\"x\" is not an IP address"),
            ("East/e1", "not a cluster name"),
            ("east/", "not a node name"),
        ] {
            let error = text.parse::<Source>().unwrap_err().to_string();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
