//! Which nodes the difference between two plans touches: those whose NodeConfig differs, and those
//! whose kernel state does.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use causeway_api::{Kind, slice_name};
use causeway_dataplane::state::{Desired, Group, Hop, Route};
use causeway_dataplane::table::{Side, Table};
use causeway_model::{
    ClusterName, LinkId, NodeId, NodePlan, Prefix, Role, Scope, SliceId, cluster_namespace, needed_slices,
};
use causeway_planner::Plan;
use schemars::JsonSchema;
use serde::Serialize;

use super::objects::ObjectChange;
use crate::node_state::{links_from, state};

/// MTU of the underlay with which kernel states are compared, in bytes; both sides have it.
const UNDERLAY_MTU: u32 = 1500;

/// A node that is touched.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NodeChange {
    /// The node, `CLUSTER/NODE`.
    pub node: String,
    /// What happens to its NodeConfig.
    pub node_config: ConfigChange,
    /// What happens to its kernel state; absent where it was not computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kernel: Option<KernelChange>,
}

/// What happens to a NodeConfig.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ConfigChange {
    /// It is new.
    Created,
    /// It differs.
    Changed,
    /// It stays.
    Same,
    /// It goes.
    Deleted,
}

impl ConfigChange {
    /// The word for people.
    pub fn word(self) -> &'static str {
        match self {
            ConfigChange::Created => "created",
            ConfigChange::Changed => "changed",
            ConfigChange::Same => "same",
            ConfigChange::Deleted => "deleted",
        }
    }
}

/// How many entries of a kernel state come, change or go.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct KernelChange {
    /// Tunnel devices.
    pub devices: usize,
    /// Own overlay addresses.
    pub addresses: usize,
    /// Forwarding entries.
    pub fdb: usize,
    /// Neighbours.
    pub neighbours: usize,
    /// Routes.
    pub routes: usize,
    /// Next-hop groups.
    pub groups: usize,
    /// Policy routing rules.
    pub rules: usize,
    /// Sysctls.
    pub sysctls: usize,
    /// Whether the nftables table differs.
    pub nftables: bool,
}

impl KernelChange {
    fn is_nothing(&self) -> bool {
        *self == KernelChange::default()
    }

    /// In words.
    pub fn words(&self) -> String {
        let KernelChange { devices, addresses, fdb, neighbours, routes, groups, rules, sysctls, nftables } =
            *self;
        let counted = [
            (devices, "device", "devices"),
            (addresses, "address", "addresses"),
            (routes, "route", "routes"),
            (groups, "group", "groups"),
            (neighbours, "neighbour", "neighbours"),
            (fdb, "FDB entry", "FDB entries"),
            (rules, "rule", "rules"),
            (sysctls, "sysctl", "sysctls"),
        ];
        let counted = counted
            .iter()
            .filter(|(count, ..)| *count > 0)
            .map(|(count, one, many)| format!("{count} {}", if *count == 1 { one } else { many }));
        let all: Vec<String> = counted.chain(nftables.then(|| "nftables".to_owned())).collect();
        all.join(", ")
    }
}

/// The nodes that a change touches.
#[derive(Clone, PartialEq, Eq, Debug, Default, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Blast {
    /// Nodes in either plan.
    pub nodes: usize,
    /// Nodes whose NodeConfig comes, changes or goes.
    pub configs: usize,
    /// Nodes whose kernel state differs, as far as it was computed.
    pub kernels: usize,
    /// Nodes that read a changed object, whose kernel state was not computed.
    pub not_computed: usize,
    /// Those nodes, one by one.
    pub touched: Vec<NodeChange>,
}

/// Compares node by node. Kernel states are computed for `limit` nodes that read a changed object, 0
/// for all.
pub fn blast(before: &Plan, after: &Plan, limit: usize) -> Blast {
    let readers = Readers::new(before, after);
    let ids: BTreeSet<&NodeId> = before.nodes.keys().chain(after.nodes.keys()).collect();
    let mut blast = Blast { nodes: ids.len(), ..Blast::default() };
    let mut computed = 0;
    for id in ids {
        let (old, new) = (before.nodes.get(id), after.nodes.get(id));
        let node_config = match (old, new) {
            (None, _) => ConfigChange::Created,
            (_, None) => ConfigChange::Deleted,
            (Some(old), Some(new)) if old == new => ConfigChange::Same,
            _ => ConfigChange::Changed,
        };
        if node_config == ConfigChange::Same && !old.is_some_and(|node| readers.reads_a_change(node)) {
            continue;
        }
        blast.configs += usize::from(node_config != ConfigChange::Same);
        let kernel = (limit == 0 || computed < limit).then(|| kernel_change((before, old), (after, new)));
        computed += 1;
        match &kernel {
            Some(kernel) if kernel.is_nothing() && node_config == ConfigChange::Same => continue,
            Some(kernel) => blast.kernels += usize::from(!kernel.is_nothing()),
            None => blast.not_computed += 1,
        }
        blast.touched.push(NodeChange { node: id.to_string(), node_config, kernel });
    }
    blast
}

/// Says of each change how many nodes read the object, before or after.
pub fn count_readers(before: &Plan, after: &Plan, changes: &mut [ObjectChange]) {
    let mut needs: BTreeMap<(ClusterName, Scope), usize> = BTreeMap::new();
    let mut members: BTreeMap<String, usize> = BTreeMap::new();
    let mut counted: BTreeMap<(&ClusterName, Role), usize> = BTreeMap::new();
    for (id, node) in
        after.nodes.iter().chain(before.nodes.iter().filter(|(id, _)| !after.nodes.contains_key(id)))
    {
        *counted.entry((&id.cluster, node.role)).or_default() += 1;
        *members.entry(cluster_namespace(&id.cluster)).or_default() += 1;
    }
    for ((cluster, role), count) in counted {
        let mut need = BTreeSet::new();
        for plan in [before, after] {
            if let Some(node) = plan.nodes.values().find(|n| n.id.cluster == *cluster && n.role == role) {
                need.extend(needed_slices(&node.id, role, links_from(plan, cluster)));
            }
        }
        need.into_iter().for_each(|key| *needs.entry(key).or_default() += count);
    }
    let slices: BTreeMap<String, &SliceId> =
        before.slices.keys().chain(after.slices.keys()).map(|id| (slice_name(id), id)).collect();
    for change in changes {
        change.read_by = if change.kind == Kind::NodeConfig.as_str() {
            Some(1)
        } else if change.kind == Kind::PeerSlice.as_str() {
            let id = slices.get(&change.name);
            id.map(|id| needs.get(&(id.cluster.clone(), id.scope)).copied().unwrap_or_default())
        } else {
            change.namespace.as_ref().map(|namespace| members.get(namespace).copied().unwrap_or_default())
        };
    }
}

/// The nodes that read a link or a slice that differs, by cluster and role.
struct Readers(BTreeSet<(ClusterName, Role)>);

impl Readers {
    fn new(before: &Plan, after: &Plan) -> Readers {
        let same = |id: &LinkId| match (before.links.get(id), after.links.get(id)) {
            (Some(a), Some(b)) => {
                (&a.prefixes, a.via, a.transport, a.mtu) == (&b.prefixes, b.via, b.transport, b.mtu)
            }
            _ => false,
        };
        let links = before.links.keys().chain(after.links.keys());
        let links: BTreeSet<&ClusterName> = links.filter(|id| !same(id)).map(|id| &id.source).collect();
        let slices = before.slices.keys().chain(after.slices.keys());
        let slices: BTreeSet<(ClusterName, Scope)> = slices
            .filter(|id| before.slices.get(id) != after.slices.get(id))
            .map(|id| (id.cluster.clone(), id.scope))
            .collect();
        let mut kinds: BTreeMap<(ClusterName, Role), bool> = BTreeMap::new();
        for (plan, node) in
            [before, after].into_iter().flat_map(|plan| plan.nodes.values().map(move |n| (plan, n)))
        {
            kinds.entry((node.id.cluster.clone(), node.role)).or_insert_with(|| {
                let need = needed_slices(&node.id, node.role, links_from(plan, &node.id.cluster));
                links.contains(&node.id.cluster) || !need.is_disjoint(&slices)
            });
        }
        Readers(kinds.into_iter().filter(|(_, reads)| *reads).map(|(kind, _)| kind).collect())
    }

    fn reads_a_change(&self, node: &NodePlan) -> bool {
        self.0.contains(&(node.id.cluster.clone(), node.role))
    }
}

fn kernel_change(before: (&Plan, Option<&NodePlan>), after: (&Plan, Option<&NodePlan>)) -> KernelChange {
    let desired = |(plan, node): (&Plan, Option<&NodePlan>)| {
        node.map(|node| state(plan, node, UNDERLAY_MTU).0).unwrap_or_default()
    };
    compare(&desired(before), &desired(after))
}

fn compare(before: &Desired, after: &Desired) -> KernelChange {
    let Desired {
        devices,
        addresses,
        fdb,
        neighbours,
        groups,
        carriers: _,
        routes: _,
        rules,
        firewall,
        // Follows from the host, of which nothing is known here.
        fast_path: _,
        sysctls,
    } = before;
    KernelChange {
        devices: maps(devices, &after.devices),
        addresses: tables(addresses, &after.addresses),
        fdb: tables(fdb, &after.fdb),
        neighbours: tables(neighbours, &after.neighbours),
        routes: tables(&resolved_routes(before), &resolved_routes(after)),
        groups: lists(groups, &after.groups),
        rules: lists(rules, &after.rules),
        sysctls: maps(sysctls, &after.sysctls),
        nftables: *firewall != after.firewall,
    }
}

/// What a route says, with the members of its group in place of the group's number, which says nothing.
type ResolvedRoute<'a> = (Result<&'a Group, Hop<usize>>, Option<IpAddr>, Option<u32>);

fn resolved_routes(desired: &Desired) -> Table<Prefix, ResolvedRoute<'_>> {
    let resolved = |route: &Route<usize>| {
        let group = match route.hop {
            Hop::Group(place) => desired.groups.get(place),
            Hop::Link(_) | Hop::Gateway(_) | Hop::Foreign => None,
        };
        (group.ok_or(route.hop), route.src, route.mtu)
    };
    desired.routes.iter().map(|(prefix, route)| (*prefix, resolved(route))).collect()
}

fn tables<K: Ord, V: PartialEq>(before: &Table<K, V>, after: &Table<K, V>) -> usize {
    before.zip(after).filter(|(_, side)| !matches!(side, Side::Both(old, new) if old == new)).count()
}

fn maps<K: Ord, V: PartialEq>(before: &BTreeMap<K, V>, after: &BTreeMap<K, V>) -> usize {
    let gone = before.keys().filter(|key| !after.contains_key(key)).count();
    gone + after.iter().filter(|(key, value)| before.get(key) != Some(value)).count()
}

fn lists<T: PartialEq>(before: &[T], after: &[T]) -> usize {
    let missing = |from: &[T], in_: &[T]| from.iter().filter(|item| !in_.contains(item)).count();
    missing(before, after).max(missing(after, before))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inventory::Inventory;
    use std::path::Path;

    fn plan() -> Plan {
        let many = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/many");
        Inventory::read(&many).unwrap().plan([])
    }

    #[test]
    fn equal_plans_touch_nothing() {
        let plan = plan();
        let blast = blast(&plan, &plan, 0);
        assert_eq!(blast, Blast { nodes: 9, ..Blast::default() });
    }

    #[test]
    fn a_slice_touches_those_who_read_it_and_nobody_else() {
        let before = plan();
        let mut after = before.clone();
        let nodes_of_west = after.slices.values_mut().find(|s| slice_name(&s.id) == "west.nodes.0").unwrap();
        nodes_of_west.peers.retain(|peer| peer.node.as_str() != "w3");
        let touched: Vec<String> = blast(&before, &after, 0).touched.into_iter().map(|n| n.node).collect();
        assert_eq!(touched, ["west/w1", "west/w2"]);
    }

    #[test]
    fn beyond_the_limit_readers_are_counted_and_not_computed() {
        let before = plan();
        let mut after = before.clone();
        after.slices.retain(|id, _| slice_name(id) != "west.gateways.0");
        let all = blast(&before, &after, 0);
        let some = blast(&before, &after, 2);
        assert_eq!((all.touched.len(), all.kernels, all.not_computed), (7, 7, 0));
        assert_eq!((some.touched.len(), some.kernels, some.not_computed), (7, 2, 5));
    }

    #[test]
    fn the_order_of_groups_is_no_difference() {
        let plan = plan();
        let node = plan.nodes.values().next().unwrap();
        let (desired, _) = state(&plan, node, UNDERLAY_MTU);
        let mut other = desired.clone();
        other.groups.reverse();
        let last = other.groups.len() - 1;
        let turned = |route: &Route<usize>| match route.hop {
            Hop::Group(place) => Route { hop: Hop::Group(last - place), ..*route },
            _ => *route,
        };
        other.routes = desired.routes.iter().map(|(prefix, route)| (*prefix, turned(route))).collect();
        assert!(compare(&desired, &other).is_nothing());
    }
}
