//! The ways between two pods that are compared: where they are in the bed, and which devices they pass.

/// A way between two pods or nodes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Node to node, with nothing of Causeway or of a CNI.
    Host,
    /// Pod to pod in one cluster, routed without encapsulation.
    Routed,
    /// Pod to pod in one cluster over flannel's VXLAN.
    Vxlan,
    /// The same pods once more: the control.
    VxlanAgain,
    /// As [`Layout::Vxlan`], on nodes that run Causeway.
    VxlanLinked,
    /// Between clusters of mode P2P.
    P2p,
    /// The same on nodes that have no fast path.
    HookedP2p,
    /// Between clusters of mode Gateway with one gateway each, from an internal node to an internal node.
    Gateway,
    /// The same with two gateways each.
    Gateways,
    /// To a Service of a cluster of mode P2P.
    Service,
    /// To a pod under its global address, mode P2P.
    GlobalCidr,
    /// As [`Layout::P2p`], made by hand with `ip` and `bridge`.
    HandP2p,
    /// The same with rules that drop foreign VTEPs and sources.
    GuardedP2p,
    /// As [`Layout::Gateway`], made by hand.
    HandGateway,
    /// The reference system's layout between nodes.
    ReferenceP2p,
    /// The reference system's layout through gateways.
    ReferenceGateway,
}

/// The devices that packets of a layout pass, as `NODE DEVICE`.
pub struct Way {
    /// Each of these lists: at least one packet for every request, on the devices of the list together.
    pub passes: &'static [&'static [&'static str]],
    /// None of the requests here.
    pub avoids: &'static [&'static str],
}

impl Layout {
    /// All of them.
    pub const ALL: [Layout; 16] = [
        Layout::Host,
        Layout::Routed,
        Layout::Vxlan,
        Layout::VxlanAgain,
        Layout::VxlanLinked,
        Layout::P2p,
        Layout::HookedP2p,
        Layout::HandP2p,
        Layout::GuardedP2p,
        Layout::ReferenceP2p,
        Layout::Gateway,
        Layout::Gateways,
        Layout::HandGateway,
        Layout::ReferenceGateway,
        Layout::Service,
        Layout::GlobalCidr,
    ];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Layout::Host => "host to host",
            Layout::Routed => "in-cluster, routed",
            Layout::Vxlan => "in-cluster VXLAN",
            Layout::VxlanAgain => "in-cluster VXLAN again",
            Layout::VxlanLinked => "in-cluster VXLAN, nodes with Causeway",
            Layout::P2p => "Causeway P2P",
            Layout::HookedP2p => "Causeway P2P, without the fast path",
            Layout::Gateway => "Causeway Gateway",
            Layout::Gateways => "Causeway Gateway, two gateways each",
            Layout::Service => "Causeway P2P, to a Service",
            Layout::GlobalCidr => "Causeway P2P, to a global address",
            Layout::HandP2p => "P2P by hand",
            Layout::GuardedP2p => "P2P by hand, with rules against foreign sources",
            Layout::HandGateway => "Gateway by hand",
            Layout::ReferenceP2p => "reference P2P",
            Layout::ReferenceGateway => "reference gateway",
        }
    }

    /// Client and server as the lab names them.
    pub fn ends(self) -> (&'static str, &'static str) {
        match self {
            Layout::Host => ("plain/n1", "plain/n2"),
            Layout::Routed => ("routed/n1/p1", "routed/n2/p1"),
            Layout::Vxlan | Layout::VxlanAgain => ("plain/n1/p1", "plain/n2/p1"),
            Layout::VxlanLinked => ("east/n1/p1", "east/n2/p1"),
            Layout::P2p => ("east/n1/p1", "west/n1/p1"),
            Layout::HookedP2p => ("hooked-a/n1/p1", "hooked-b/n1/p1"),
            Layout::Gateway => ("one-a/n2/p1", "one-b/n2/p1"),
            Layout::Gateways => ("two-a/n3/p1", "two-b/n3/p1"),
            Layout::Service => ("east/n1/p1", "west:echo"),
            Layout::GlobalCidr => ("east/n1/p1", "global/n1/p1"),
            Layout::HandP2p => ("hand-a/n1/p1", "hand-b/n1/p1"),
            Layout::GuardedP2p => ("guard-a/n1/p1", "guard-b/n1/p1"),
            Layout::HandGateway => ("hand-gw-a/n2/p1", "hand-gw-b/n2/p1"),
            Layout::ReferenceP2p => ("ref-a/n1/p1", "ref-b/n1/p1"),
            Layout::ReferenceGateway => ("ref-gw-a/n2/p1", "ref-gw-b/n2/p1"),
        }
    }

    /// The pod in whose network the server runs: behind a Service its only backend.
    pub fn server(self) -> &'static str {
        match self {
            Layout::Service => "west/n1/p1",
            _ => self.ends().1,
        }
    }

    /// Which devices its packets pass.
    pub fn way(self) -> Way {
        let (passes, avoids): (&[&[&str]], &[&str]) = match self {
            Layout::Host => (&[&["plain/n1 eth0"], &["plain/n2 eth0"]], &["plain/n1 flannel.1"]),
            Layout::Routed => (&[&["routed/n1 eth0"], &["routed/n2 eth0"]], &[]),
            Layout::Vxlan | Layout::VxlanAgain => (&[&["plain/n1 flannel.1"], &["plain/n2 flannel.1"]], &[]),
            Layout::VxlanLinked => {
                (&[&["east/n1 flannel.1"], &["east/n2 flannel.1"]], &["east/n1 vx-bridge"])
            }
            Layout::P2p | Layout::Service => {
                (&[&["east/n1 vx-bridge"], &["west/n1 vx-bridge"]], &["east/n1 flannel.1"])
            }
            Layout::HookedP2p => {
                (&[&["hooked-a/n1 vx-bridge"], &["hooked-b/n1 vx-bridge"]], &["hooked-a/n1 flannel.1"])
            }
            Layout::GlobalCidr => {
                (&[&["east/n1 vx-bridge"], &["global/n1 vx-bridge"]], &["east/n1 flannel.1"])
            }
            Layout::HandP2p => {
                (&[&["hand-a/n1 vx-bridge"], &["hand-b/n1 vx-bridge"]], &["hand-a/n1 flannel.1"])
            }
            Layout::GuardedP2p => {
                (&[&["guard-a/n1 vx-bridge"], &["guard-b/n1 vx-bridge"]], &["guard-a/n1 flannel.1"])
            }
            Layout::ReferenceP2p => {
                (&[&["ref-a/n1 vx-bridge"], &["ref-b/n1 vx-bridge"]], &["ref-a/n1 flannel.1"])
            }
            Layout::Gateway => (
                &[
                    &["one-a/n2 vx-local"],
                    &["one-a/n1 vx-local"],
                    &["one-a/n1 vx-bridge"],
                    &["one-b/n1 vx-bridge"],
                    &["one-b/n2 flannel.1"],
                    &["one-b/n2 vx-local"],
                ],
                &[],
            ),
            Layout::Gateways => (
                &[
                    &["two-a/n3 vx-local"],
                    &["two-a/n1 vx-bridge", "two-a/n2 vx-bridge"],
                    &["two-b/n1 vx-bridge", "two-b/n2 vx-bridge"],
                    &["two-b/n3 flannel.1"],
                    &["two-b/n3 vx-local"],
                ],
                &[],
            ),
            Layout::HandGateway => (
                &[
                    &["hand-gw-a/n2 vx-local"],
                    &["hand-gw-a/n1 vx-bridge"],
                    &["hand-gw-b/n1 vx-bridge"],
                    &["hand-gw-b/n2 flannel.1"],
                    &["hand-gw-b/n2 vx-local"],
                ],
                &[],
            ),
            Layout::ReferenceGateway => (
                &[
                    &["ref-gw-a/n2 vx-local"],
                    &["ref-gw-a/n1 vx-bridge"],
                    &["ref-gw-b/n1 vx-bridge"],
                    &["ref-gw-b/n2 flannel.1"],
                ],
                // Replies go back the way that the request came, since the gateway has translated its source.
                &["ref-gw-b/n2 vx-local"],
            ),
        };
        Way { passes, avoids }
    }
}

impl Way {
    /// All devices that it speaks of.
    pub fn devices(&self) -> impl Iterator<Item = &'static str> {
        self.passes.iter().flat_map(|together| together.iter()).chain(self.avoids).copied()
    }

    /// What is wrong with what the devices, in the order of [`Way::devices`], counted for so many requests.
    ///
    /// Other packets pass too: a few probes of gateways, and discovery of neighbours.
    pub fn contradictions(&self, counted: &[u64], requests: u64) -> Vec<String> {
        let mut rest = counted.iter().copied();
        let mut wrong = Vec::new();
        for together in self.passes {
            let sum: u64 = rest.by_ref().take(together.len()).sum();
            if sum < requests {
                wrong.push(format!(
                    "{} counted {sum} packets for {requests} requests",
                    together.join(" and ")
                ));
            }
        }
        for (device, count) in self.avoids.iter().zip(rest) {
            if count > requests / 2 {
                wrong.push(format!(
                    "{device} counted {count} packets, and should have none of {requests} requests"
                ));
            }
        }
        wrong
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAY: Way = Way { passes: &[&["a x"], &["b x", "c x"]], avoids: &["a y"] };

    #[test]
    fn a_way_holds_when_each_step_counted_the_requests_and_nothing_else_did() {
        assert_eq!(WAY.devices().collect::<Vec<_>>(), ["a x", "b x", "c x", "a y"]);
        assert!(WAY.contradictions(&[200, 70, 130, 9], 100).is_empty());
    }

    #[test]
    fn a_step_that_was_left_out_and_a_device_that_was_to_be_avoided_are_named() {
        let wrong = WAY.contradictions(&[200, 40, 40, 200], 100);
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(wrong[0].starts_with("b x and c x counted 80") && wrong[1].starts_with("a y counted 200"));
    }

    #[test]
    fn every_layout_is_measured_and_has_a_way() {
        for layout in Layout::ALL {
            assert!(!layout.way().passes.is_empty(), "{layout:?}");
        }
        let mut names: Vec<&str> = Layout::ALL.iter().map(|layout| layout.name()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Layout::ALL.len());
    }
}
