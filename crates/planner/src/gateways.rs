//! Which nodes are gateways of a Gateway cluster, or carry what no single node of a P2P cluster owns.
//!
//! Better nodes come before worse (ready, all families of the cluster, not cordoned); among equally good ones
//! those that are gateways already stay, and new ones are spread over zones, then taken by name. Nodes
//! that are not ready are gateways only where no other can be.

use std::collections::{BTreeMap, BTreeSet};

use causeway_model::NodeName;

/// How good a gateway a node is; lower is better.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) enum Grade {
    /// Ready, with all families of its cluster.
    Full,
    /// Ready, without one of the families.
    Partial,
    /// Ready, and cordoned.
    Cordoned,
    /// Not ready, with all families.
    NotReady,
    /// Not ready, without one of the families.
    NotReadyPartial,
}

impl Grade {
    const ALL: [Grade; 5] =
        [Grade::Full, Grade::Partial, Grade::Cordoned, Grade::NotReady, Grade::NotReadyPartial];
}

/// A node's standing as a candidate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Standing {
    pub grade: Grade,
    /// Its zone; nodes without one share one.
    pub zone: Option<String>,
}

/// The nodes of a cluster that may be gateways.
#[derive(Default)]
pub(crate) struct Candidates {
    by_grade: BTreeMap<Grade, BTreeMap<Option<String>, BTreeSet<NodeName>>>,
}

impl Candidates {
    pub fn insert(&mut self, node: NodeName, standing: &Standing) {
        let zones = self.by_grade.entry(standing.grade).or_default();
        match zones.get_mut(&standing.zone) {
            Some(nodes) => nodes.insert(node),
            None => zones.entry(standing.zone.clone()).or_default().insert(node),
        };
    }

    pub fn remove(&mut self, node: &NodeName, standing: &Standing) {
        let Some(zones) = self.by_grade.get_mut(&standing.grade) else { return };
        let Some(nodes) = zones.get_mut(&standing.zone) else { return };
        nodes.remove(node);
        if nodes.is_empty() {
            zones.remove(&standing.zone);
        }
    }

    /// Elects up to `count` gateways. `standing` gives that of a current gateway, if it still is a
    /// candidate. The cost follows from the count, not from the number of candidates.
    pub fn elect<'a>(
        &self,
        current: &BTreeSet<NodeName>,
        count: usize,
        standing: impl Fn(&NodeName) -> Option<&'a Standing>,
    ) -> BTreeSet<NodeName> {
        let mut chosen = Chosen::default();
        for grade in Grade::ALL {
            // A share of the traffic to a node that is down is lost, so it is the last resort.
            if grade >= Grade::NotReady && !chosen.nodes.is_empty() {
                break;
            }
            let of_grade = |node: &&NodeName| standing(node).is_some_and(|s| s.grade == grade);
            let mut staying: Vec<&NodeName> = current.iter().filter(of_grade).collect();
            while chosen.nodes.len() < count && !staying.is_empty() {
                let crowd = |node: &NodeName| standing(node).map_or(0, |s| chosen.in_zone(&s.zone));
                let least = staying.iter().enumerate().min_by_key(|(_, node)| crowd(node));
                let Some((place, _)) = least else { break };
                let node = staying.remove(place);
                chosen.add(node, standing(node).and_then(|s| s.zone.as_ref()));
            }
            let Some(zones) = self.by_grade.get(&grade) else { continue };
            while chosen.nodes.len() < count {
                let Some((zone, node)) = chosen.next_of(zones) else { break };
                chosen.add(node, zone);
            }
        }
        chosen.nodes
    }
}

/// Nodes chosen so far.
#[derive(Default)]
struct Chosen {
    nodes: BTreeSet<NodeName>,
    zones: BTreeMap<Option<String>, usize>,
}

impl Chosen {
    fn in_zone(&self, zone: &Option<String>) -> usize {
        self.zones.get(zone).copied().unwrap_or(0)
    }

    fn add(&mut self, node: &NodeName, zone: Option<&String>) {
        self.nodes.insert(node.clone());
        *self.zones.entry(zone.cloned()).or_default() += 1;
    }

    /// The first node by name in the first of the zones that have the fewest chosen ones.
    fn next_of<'z>(
        &self,
        zones: &'z BTreeMap<Option<String>, BTreeSet<NodeName>>,
    ) -> Option<(Option<&'z String>, &'z NodeName)> {
        let mut best: Option<(usize, Option<&String>, &NodeName)> = None;
        for (zone, nodes) in zones {
            let crowd = self.in_zone(zone);
            if best.is_some_and(|(least, ..)| least <= crowd) {
                continue;
            }
            if let Some(node) = nodes.iter().find(|node| !self.nodes.contains(*node)) {
                best = Some((crowd, zone.as_ref(), node));
            }
            // No zone is emptier than an empty one; zones with chosen nodes are at most `count`.
            if best.is_some_and(|(least, ..)| least == 0) {
                break;
            }
        }
        best.map(|(_, zone, node)| (zone, node))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn elect(nodes: &[(&str, Grade, &str)], current: &[&str], count: usize) -> Vec<String> {
        let standing: BTreeMap<NodeName, Standing> = nodes
            .iter()
            .map(|(n, grade, z)| {
                (n.parse().unwrap(), Standing { grade: *grade, zone: Some((*z).to_owned()) })
            })
            .collect();
        let mut candidates = Candidates::default();
        for (node, standing) in &standing {
            candidates.insert(node.clone(), standing);
        }
        let current = current.iter().map(|n| n.parse().unwrap()).collect();
        let chosen = candidates.elect(&current, count, |node| standing.get(node));
        chosen.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn new_gateways_are_spread_over_zones() {
        use Grade::Full;
        let nodes =
            [("a", Full, "x"), ("b", Full, "x"), ("c", Full, "y"), ("d", Full, "y"), ("e", Full, "z")];
        assert_eq!(elect(&nodes, &[], 3), ["a", "c", "e"]);
        assert_eq!(elect(&nodes, &[], 4), ["a", "b", "c", "e"]);
        assert_eq!(elect(&nodes, &["b"], 2), ["b", "c"]);
    }

    #[test]
    fn gateways_stay_until_a_better_node_can() {
        use Grade::{Full, NotReady};
        let ready = [("a", Full, "x"), ("b", Full, "x"), ("c", Full, "x")];
        assert_eq!(elect(&ready, &["b", "c"], 2), ["b", "c"]);
        let one_down = [("a", Full, "x"), ("b", NotReady, "x"), ("c", Full, "x")];
        assert_eq!(elect(&one_down, &["b", "c"], 2), ["a", "c"]);
    }

    #[test]
    fn a_cordoned_gateway_gives_way_and_goes_on_where_there_is_no_other() {
        use Grade::{Cordoned, Full, NotReady};
        let spare = [("a", Cordoned, "x"), ("b", Full, "x"), ("c", Full, "x")];
        assert_eq!(elect(&spare, &["a", "b"], 2), ["b", "c"]);
        let no_spare = [("a", Cordoned, "x"), ("b", Full, "x"), ("c", NotReady, "x")];
        assert_eq!(elect(&no_spare, &["a", "b"], 2), ["a", "b"]);
    }

    #[test]
    fn nodes_that_are_not_ready_are_the_last_resort() {
        use Grade::{NotReady, NotReadyPartial, Partial};
        let one_up = [("a", NotReady, "x"), ("b", NotReady, "x"), ("c", Partial, "x")];
        assert_eq!(elect(&one_up, &["a", "b"], 2), ["c"]);
        let none_up = [("a", NotReadyPartial, "x"), ("b", NotReady, "x"), ("c", NotReady, "x")];
        assert_eq!(elect(&none_up, &["a", "c"], 2), ["b", "c"]);
    }

    #[test]
    fn fewer_wanted_leaves_them_in_different_zones() {
        use Grade::Full;
        let nodes = [("a", Full, "x"), ("b", Full, "x"), ("c", Full, "y")];
        assert_eq!(elect(&nodes, &["a", "b", "c"], 2), ["a", "c"]);
    }
}
