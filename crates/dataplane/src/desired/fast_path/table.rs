//! The nftables table of a node's fast path.

use causeway_model::{Families, Family, Prefix};

use super::{End, Ends, Pods};
use crate::desired::firewall::sets::{digit, origins_of};
use crate::desired::firewall::{chain_at, rule};
use crate::nft::{
    Action, Address, Chain, ChainType, Change, Elements, Hook, Match, Origin, Protocol, Rule, Ruleset, Set,
    TableKind, Transaction,
};

/// `NF_IP_PRI_FILTER`; nothing of ours is before or behind it.
const PRIORITY: i32 = 0;
/// `NFT_NETDEVICE_MAX`: devices of one chain.
const MOST_DEVICES: usize = 256;
/// Flows of this node's pods into the tunnel.
const OUTBOUND: &str = "outbound";
/// Those of other nodes' pods. Apart from the former: whoever fills one map leaves the other alone, and no pod of this node
/// finds a flow of theirs.
const TRANSIT: &str = "transit";
/// Flows to this node's pods.
const INBOUND: &str = "inbound";
/// Flows to pods of the cluster's other nodes.
const ONWARD: &str = "onward";
const ORIGINS: &str = "origins";
const PASSED: &str = "a flow that was let through";

/// What has this table forget the flows that our routes lead, in those of its maps that are `there`; `None` if there is none. As much work for the kernel
/// as there are flows.
pub fn forget_flows(table: &Ruleset, there: impl Fn(&str) -> bool) -> Option<Transaction> {
    let led = |set: &&Set| set.name.starts_with(OUTBOUND) || set.name.starts_with(TRANSIT);
    let maps = table.sets.iter().filter(led).filter(|set| there(&set.name));
    Transaction::of(table.kind, maps.map(|set| Change::ForgetFlows(set.name.clone())).collect())
}

/// Whose packets go into the tunnel.
#[derive(Clone, Copy)]
enum Sender<'a> {
    /// Those of this node's pods.
    Pods(&'a Pods),
    /// Those of other nodes' pods.
    Nodes,
}

impl Ends {
    /// The table of these ends, into which these may send.
    pub fn ruleset(&self, origins: &[Origin]) -> Ruleset {
        let onward =
            self.transit.as_ref().and_then(|transit| Some((transit.cni.as_ref()?, transit.families)));
        let inward = self.pods.as_ref().filter(|pods| pods.from_tunnel);
        let inward = inward.map(|pods| (&pods.bridge, pods.families));
        let mut table = Table::default();

        let mut arriving =
            onward.map_or(Vec::new(), |(cni, families)| each(families, |f, p| onward_to(cni, f, p)));
        arriving.extend(
            inward.map_or(Vec::new(), |(bridge, families)| each(families, |f, p| inward_to(bridge, f, p))),
        );
        if !arriving.is_empty() {
            let both = [onward, inward].into_iter().flatten();
            let families = both.fold(Families::NONE, |all, (_, of)| all.union(of));
            table.set(families, ORIGINS, |family| origins_of(origins, family));
            table.chain("from_tunnel", Hook::Ingress, vec![self.tunnel.link.name.clone()], arriving);
        }
        table.learn("into_tunnel", &self.tunnel, self.leaving());
        for (name, end, map) in [("to_pods", inward, INBOUND), ("to_nodes", onward, ONWARD)] {
            if let Some((through, families)) = end {
                table.set(families, map, |_| Elements::Flows);
                table.learn(name, through, each(families, |f, p| learned(f, p, None, map)));
            }
        }
        if let Some(transit) = &self.transit {
            table.set(transit.families, TRANSIT, |_| Elements::Flows);
            let rules = each(transit.families, |f, p| self.outward(Sender::Nodes, f, p));
            table.chain("from_nodes", Hook::Ingress, vec![transit.nodes.clone()], rules);
        }
        if let Some(pods) = &self.pods {
            table.set(pods.families, OUTBOUND, |_| Elements::Flows);
            for (ports, number) in pods.ports.chunks(MOST_DEVICES).zip(1..) {
                let name = if number == 1 { "from_pods".to_owned() } else { format!("from_pods{number}") };
                let rules = each(pods.families, |f, p| self.outward(Sender::Pods(pods), f, p));
                table.chain(&name, Hook::Ingress, ports.to_vec(), rules);
            }
        }
        table.finish()
    }

    /// What is learned as it leaves through the tunnel. On a gateway the source says whose it is.
    fn leaving(&self) -> Vec<Rule> {
        let Some(transit) = &self.transit else {
            let all = |pods: &Pods| each(pods.families, |f, p| learned(f, p, None, OUTBOUND));
            return self.pods.as_ref().map_or(Vec::new(), all);
        };
        let mut rules = Vec::new();
        if let Some(pods) = &self.pods {
            for prefix in pods.prefixes.iter().filter(|prefix| pods.families.contains(prefix.family())) {
                let family = [prefix.family()].into_iter().collect();
                rules.extend(each(family, |f, p| learned(f, p, Some(*prefix), OUTBOUND)));
            }
        }
        rules.extend(each(transit.families, |f, p| learned(f, p, None, TRANSIT)));
        rules
    }

    /// Into the tunnel. What a pod sends has the flow label of its IPv6 header cleared, since next hops on its way are chosen by it and TCP
    /// changes it: the hooks clear it where several carry.
    fn outward(&self, sender: Sender<'_>, family: Family, protocol: Protocol) -> Rule {
        let End { link, mac, mtu } = &self.tunnel;
        let mut matches = may_pass(family, protocol, *mtu);
        let (map, clear_label) = match sender {
            Sender::Pods(pods) => {
                // Of what a port sends, that which is for the gateway.
                matches.push(Match::ToMac(pods.bridge.mac));
                (OUTBOUND, family == Family::V6)
            }
            Sender::Nodes => (TRANSIT, false),
        };
        matches.push(Match::Flow(family, named(map, family)));
        rule(matches, Action::Encapsulate { source: *mac, to: link.clone(), clear_label }, PASSED)
    }
}

/// The table as far as it is written.
#[derive(Default)]
struct Table {
    sets: Vec<Set>,
    chains: Vec<Chain>,
}

impl Table {
    fn set(&mut self, families: Families, name: &str, elements: impl Fn(Family) -> Elements) {
        let of_family = |family| Set { name: named(name, family), family, elements: elements(family) };
        self.sets.extend(families.iter().map(of_family));
    }

    fn chain(&mut self, name: &str, hook: Hook, devices: Vec<String>, rules: Vec<Rule>) {
        self.chains.push(chain_at(name, (ChainType::Filter, hook, PRIORITY), devices, rules));
    }

    /// The chain that takes the mark away from what leaves through a device, and learns it.
    fn learn(&mut self, name: &str, through: &End, flows: Vec<Rule>) {
        let mut rules = vec![
            rule(vec![Match::Unmarked], Action::Accept, "not of a settled connection"),
            rule(Vec::new(), Action::Unmark, "the mark stays on this node"),
        ];
        rules.extend(flows);
        self.chain(name, Hook::Egress, vec![through.link.name.clone()], rules);
    }

    fn finish(mut self) -> Ruleset {
        self.sets.sort_by(|a, b| a.name.cmp(&b.name));
        let Table { sets, chains } = self;
        Ruleset { kind: TableKind::Netdev, sets, chains, accept_in_foreign_forward: Vec::new() }
    }
}

/// A rule for each protocol of each family.
fn each(families: Families, of: impl Fn(Family, Protocol) -> Rule) -> Vec<Rule> {
    families.iter().flat_map(|family| [of(family, Protocol::Tcp), of(family, Protocol::Udp)]).collect()
}

/// What opens a connection makes no flow: whoever sends nothing else would fill the map.
fn learned(family: Family, protocol: Protocol, source: Option<Prefix>, flows: &str) -> Rule {
    let mut matches = vec![Match::Protocol(family, protocol)];
    matches.extend((protocol == Protocol::Tcp).then_some(Match::TcpGoesOn));
    matches.extend(source.map(|prefix| Match::Source(family, Address::Within(prefix))));
    rule(matches, Action::Learn(family, named(flows, family)), "let through for a while")
}

fn inward_to(bridge: &End, family: Family, protocol: Protocol) -> Rule {
    let matches = arrived(family, protocol, bridge.mtu, INBOUND);
    let (source, to) = (bridge.mac, bridge.link.clone());
    rule(matches, Action::Deliver { family, protocol, source, to }, PASSED)
}

fn onward_to(cni: &End, family: Family, protocol: Protocol) -> Rule {
    let matches = arrived(family, protocol, cni.mtu, ONWARD);
    rule(matches, Action::Encapsulate { source: cni.mac, to: cni.link.clone(), clear_label: false }, PASSED)
}

/// Out of the tunnel. What is not passed on is counted by the firewall, so origins are asked for last.
fn arrived(family: Family, protocol: Protocol, mtu: u16, flows: &str) -> Vec<Match> {
    let mut matches = may_pass(family, protocol, mtu);
    matches.push(Match::Flow(family, named(flows, family)));
    matches.push(Match::Origin(family, named(ORIGINS, family)));
    matches
}

/// What of a known flow need not go by the hooks.
fn may_pass(family: Family, protocol: Protocol, mtu: u16) -> Vec<Match> {
    let mut matches = vec![Match::Protocol(family, protocol), Match::MoreHops(family)];
    matches.extend((family == Family::V4).then_some(Match::PlainHeader));
    // The size of TCP's segments was agreed on by what the firewall has both ends announce. Those that a device has put
    // together are longer than each of them.
    matches.push(match protocol {
        Protocol::Tcp => Match::TcpGoesOn,
        Protocol::Udp => Match::LengthUpTo(family, mtu),
    });
    matches
}

/// The name of a set of one family.
fn named(name: &str, family: Family) -> String {
    format!("{name}{}", digit(family))
}
