//! What a node's nftables table does to a packet: its chains, evaluated as the kernel would.
//!
//! Only the desired table is known here. Rules of others, such as network policies, are not.

use std::net::IpAddr;

use causeway_dataplane::device::Overlay;
use causeway_dataplane::nft::ruleset::{Action, Address, Elements, Match};
use causeway_dataplane::nft::{ChainType, Hook, Rule, Ruleset};
use causeway_model::{Family, Mac, UdpPort};

/// `NF_IP_PRI_CONNTRACK`: chains ahead of it can keep a packet out of connection tracking.
pub const CONNTRACK: i32 = -200;

/// The two addresses of a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Packet {
    /// From where.
    pub source: IpAddr,
    /// To where.
    pub destination: IpAddr,
}

impl Packet {
    /// The packet that answers.
    pub fn reply(self) -> Packet {
        Packet { source: self.destination, destination: self.source }
    }

    /// Its family.
    pub fn family(self) -> Family {
        Family::of(self.destination)
    }
}

/// How connection tracking sees a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Tracking {
    /// The first packet of its connection.
    New,
    /// A later one.
    Known,
    /// Kept out of it.
    Untracked,
}

/// A packet on its way through the hooks of one node.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Passing {
    /// Its addresses now.
    pub packet: Packet,
    /// The overlay that it came in through.
    pub input: Option<Overlay>,
    /// The underlay address and MAC of who sent it through a tunnel.
    pub sender: Option<(IpAddr, Mac)>,
    /// The overlay that it leaves through.
    pub output: Option<Overlay>,
    /// The UDP port that it is for, where that matters.
    pub udp_to: Option<UdpPort>,
    /// How it is tracked.
    pub tracking: Tracking,
    /// Its connection's destination was translated here.
    pub translated: bool,
    /// The address that masquerading gives it.
    pub masquerade: IpAddr,
}

/// A rule that did something to the packet.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Effect {
    /// Its chain.
    pub chain: String,
    /// Its comment.
    pub comment: String,
    /// What it did.
    pub deed: Deed,
}

/// What a rule did to a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Deed {
    /// It is not tracked.
    Untracked,
    /// Its source stays, against whatever rule would come after.
    SourceKept(IpAddr),
    /// Its source was changed, and changes back for replies.
    SourceTranslated(IpAddr, IpAddr),
    /// Its source was rewritten without state.
    SourceRewritten(IpAddr, IpAddr),
    /// Its destination was rewritten without state.
    DestinationRewritten(IpAddr, IpAddr),
    /// It was dropped.
    Dropped,
}

/// Passes the packet through the chains at `hook` whose priority is `within`. Stops at a drop, which is
/// then the last effect.
pub fn pass(
    ruleset: &Ruleset,
    hook: Hook,
    within: impl Fn(i32) -> bool,
    passing: &mut Passing,
    effects: &mut Vec<Effect>,
) {
    let mut chains: Vec<_> =
        ruleset.chains.iter().filter(|c| c.base.hook == hook && within(c.base.priority)).collect();
    chains.sort_by_key(|chain| chain.base.priority);
    for chain in chains {
        if chain.base.chain_type == ChainType::Nat && passing.tracking != Tracking::New {
            continue;
        }
        for rule in &chain.rules {
            if !rule.matches.iter().all(|condition| holds(ruleset, condition, passing)) {
                continue;
            }
            let (deed, goes_on) = act(rule, passing);
            if let Some(deed) = deed {
                effects.push(Effect { chain: chain.name.clone(), comment: rule.comment.clone(), deed });
            }
            if deed == Some(Deed::Dropped) {
                return;
            }
            if !goes_on {
                break;
            }
        }
    }
}

/// Does what a rule says. Returns what that was, and whether the next rule is asked too.
fn act(rule: &Rule, passing: &mut Passing) -> (Option<Deed>, bool) {
    let Packet { source, destination } = passing.packet;
    match &rule.action {
        Action::Accept => (None, false),
        Action::Drop => (Some(Deed::Dropped), false),
        Action::NoTrack | Action::AcceptUntracked => {
            let before = std::mem::replace(&mut passing.tracking, Tracking::Untracked);
            ((before != Tracking::Untracked).then_some(Deed::Untracked), rule.action == Action::NoTrack)
        }
        Action::KeepSource(_) => (Some(Deed::SourceKept(source)), false),
        Action::SnatTo(to) if *to == source => (Some(Deed::SourceKept(source)), false),
        Action::SnatTo(to) => (Some(translate_source(passing, *to)), false),
        Action::Masquerade => (Some(translate_source(passing, passing.masquerade)), false),
        Action::RewriteSource(from, to) => match from.translate(to, source) {
            Some(rewritten) => {
                passing.packet.source = rewritten;
                (Some(Deed::SourceRewritten(source, rewritten)), true)
            }
            None => (None, true),
        },
        Action::RewriteDestination(from, to) => match from.translate(to, destination) {
            Some(rewritten) => {
                passing.packet.destination = rewritten;
                (Some(Deed::DestinationRewritten(destination, rewritten)), true)
            }
            None => (None, true),
        },
        // The mark concerns chains of others only, and the label the choice among next hops.
        Action::ClampMss(_) | Action::ClearFlowLabel | Action::Mark | Action::Unmark => (None, true),
        // Of the fast path, where nothing is decided anew.
        Action::Learn(..) | Action::Encapsulate { .. } | Action::Deliver { .. } => (None, true),
    }
}

fn translate_source(passing: &mut Passing, to: IpAddr) -> Deed {
    Deed::SourceTranslated(std::mem::replace(&mut passing.packet.source, to), to)
}

fn holds(ruleset: &Ruleset, condition: &Match, passing: &Passing) -> bool {
    let packet = passing.packet;
    match condition {
        Match::In(overlay) => passing.input == Some(*overlay),
        Match::NotIn(overlay) => passing.input != Some(*overlay),
        Match::Out(overlay) => passing.output == Some(*overlay),
        Match::NotOut(overlay) => passing.output != Some(*overlay),
        Match::Of(family) => packet.family() == *family,
        Match::Source(family, address) => {
            packet.family() == *family && is_at(ruleset, address, packet.source)
        }
        Match::Destination(family, address) => {
            packet.family() == *family && is_at(ruleset, address, packet.destination)
        }
        Match::Origin(family, set) => {
            packet.family() == *family && is_origin(ruleset, set, packet.source, passing.sender)
        }
        Match::OtherOrigin(family, set) => {
            packet.family() == *family && !is_origin(ruleset, set, packet.source, passing.sender)
        }
        Match::OtherVtep(family, set) => packet.family() == *family && !is_vtep(ruleset, set, passing.sender),
        Match::UdpTo(port) => passing.udp_to == Some(*port),
        // Both ends have the same.
        Match::OtherVni(_) => false,
        Match::Assured => passing.tracking == Tracking::Known,
        // Marking for the fast path apart, no rule asks for these.
        Match::Settled | Match::Untracked | Match::InFrom(_) | Match::OutTo(_) => false,
        // Clamping apart, no rule asks for it.
        Match::TcpSyn => false,
        Match::Dnat => passing.translated,
        // Taking it away apart, no rule asks for it.
        Match::Marked => false,
        // Of the fast path, where what is explained here is not decided.
        Match::Unmarked
        | Match::TcpGoesOn
        | Match::Protocol(..)
        | Match::MoreHops(_)
        | Match::PlainHeader
        | Match::ToMac(_)
        | Match::LengthUpTo(..)
        | Match::Flow(..) => false,
    }
}

fn is_at(ruleset: &Ruleset, condition: &Address, address: IpAddr) -> bool {
    match condition {
        Address::InSet(name) => in_set(ruleset, name, address),
        Address::NotInSet(name) => !in_set(ruleset, name, address),
        Address::Within(prefix) => prefix.contains(address),
        Address::Outside(prefix) => !prefix.contains(address),
    }
}

fn elements<'a>(ruleset: &'a Ruleset, name: &str) -> Option<&'a Elements> {
    ruleset.sets.iter().find(|set| set.name == name).map(|set| &set.elements)
}

fn in_set(ruleset: &Ruleset, name: &str, address: IpAddr) -> bool {
    match elements(ruleset, name) {
        Some(Elements::Addresses(addresses)) => addresses.binary_search(&address).is_ok(),
        Some(Elements::Prefixes(prefixes)) => {
            let behind = prefixes.partition_point(|prefix| prefix.first() <= address);
            behind.checked_sub(1).is_some_and(|at| prefixes[at].contains(address))
        }
        Some(Elements::Vteps(_) | Elements::Origins(_) | Elements::Flows) | None => false,
    }
}

fn is_vtep(ruleset: &Ruleset, name: &str, sender: Option<(IpAddr, Mac)>) -> bool {
    match (elements(ruleset, name), sender) {
        (Some(Elements::Vteps(vteps)), Some(sender)) => vteps.binary_search(&sender).is_ok(),
        _ => false,
    }
}

fn is_origin(ruleset: &Ruleset, name: &str, source: IpAddr, sender: Option<(IpAddr, Mac)>) -> bool {
    match (elements(ruleset, name), sender.and_then(|(_, mac)| mac.overlay())) {
        (Some(Elements::Origins(origins)), Some(overlay)) => origins
            .iter()
            .any(|origin| origin.sources.contains(source) && origin.senders.contains(overlay.into())),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use causeway_dataplane::nft::Chain;
    use causeway_dataplane::nft::ruleset::{Base, Set};
    use causeway_model::Prefix;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn prefix(text: &str) -> Prefix {
        text.parse().unwrap()
    }

    fn passing(source: &str, destination: &str, tracking: Tracking) -> Passing {
        Passing {
            packet: Packet { source: ip(source), destination: ip(destination) },
            input: Some(Overlay::Bridge),
            sender: None,
            output: None,
            udp_to: None,
            tracking,
            translated: false,
            masquerade: ip("192.0.2.1"),
        }
    }

    fn chain(chain_type: ChainType, priority: i32, rules: Vec<Rule>) -> Chain {
        let base = Base { chain_type, hook: Hook::Prerouting, priority, devices: Vec::new() };
        Chain { name: format!("at{priority}"), base, rules }
    }

    fn rule(matches: Vec<Match>, action: Action) -> Rule {
        Rule { matches, action, comment: String::new() }
    }

    fn deeds(ruleset: &Ruleset, passing: &mut Passing) -> Vec<Deed> {
        let mut effects = Vec::new();
        pass(ruleset, Hook::Prerouting, |_| true, passing, &mut effects);
        effects.into_iter().map(|effect| effect.deed).collect()
    }

    #[test]
    fn chains_run_by_priority_and_later_rules_see_what_earlier_ones_wrote() {
        let (global, real) = (prefix("100.64.0.0/16"), prefix("10.1.0.0/16"));
        let to = |p| Match::Destination(Family::V4, Address::Within(p));
        let ruleset = Ruleset {
            chains: vec![
                chain(ChainType::Filter, 0, vec![rule(vec![to(real)], Action::Drop)]),
                chain(
                    ChainType::Filter,
                    -300,
                    vec![rule(vec![to(global)], Action::RewriteDestination(global, real))],
                ),
            ],
            ..Ruleset::default()
        };
        let mut passing = passing("10.2.0.1", "100.64.3.4", Tracking::New);
        let (from, to) = (ip("100.64.3.4"), ip("10.1.3.4"));
        assert_eq!(deeds(&ruleset, &mut passing), [Deed::DestinationRewritten(from, to), Deed::Dropped]);
        assert_eq!(passing.packet.destination, to);
    }

    #[test]
    fn accept_ends_its_chain_only_and_notrack_ends_nothing() {
        let ruleset = Ruleset {
            chains: vec![
                chain(
                    ChainType::Filter,
                    -300,
                    vec![
                        rule(vec![], Action::NoTrack),
                        rule(vec![Match::In(Overlay::Bridge)], Action::Accept),
                        rule(vec![], Action::Drop),
                    ],
                ),
                chain(ChainType::Nat, -100, vec![rule(vec![], Action::Masquerade)]),
            ],
            ..Ruleset::default()
        };
        let mut passing = passing("10.2.0.1", "10.1.0.1", Tracking::New);
        assert_eq!(deeds(&ruleset, &mut passing), [Deed::Untracked]);
    }

    #[test]
    fn address_translation_asks_the_first_packet_only() {
        let rules = vec![rule(vec![], Action::Masquerade)];
        let ruleset = Ruleset { chains: vec![chain(ChainType::Nat, 99, rules)], ..Ruleset::default() };
        let mut first = passing("10.2.0.1", "10.1.0.1", Tracking::New);
        let translated = Deed::SourceTranslated(ip("10.2.0.1"), ip("192.0.2.1"));
        assert_eq!(deeds(&ruleset, &mut first), [translated]);
        assert_eq!(deeds(&ruleset, &mut passing("10.2.0.1", "10.1.0.1", Tracking::Known)), []);
    }

    #[test]
    fn sets_hold_addresses_and_prefixes() {
        let set = |name: &str, elements| Set { name: name.to_owned(), family: Family::V4, elements };
        let ruleset = Ruleset {
            sets: vec![
                set("a", Elements::Addresses(vec![ip("10.0.0.1"), ip("10.0.0.9")])),
                set("p", Elements::Prefixes(vec![prefix("10.1.0.0/16"), prefix("10.3.0.0/16")])),
            ],
            ..Ruleset::default()
        };
        assert!(in_set(&ruleset, "a", ip("10.0.0.9")) && !in_set(&ruleset, "a", ip("10.0.0.2")));
        assert!(in_set(&ruleset, "p", ip("10.1.255.255")) && !in_set(&ruleset, "p", ip("10.2.0.0")));
        assert!(!in_set(&ruleset, "p", ip("10.0.0.0")) && !in_set(&ruleset, "missing", ip("10.1.0.0")));
        assert!(is_at(&ruleset, &Address::NotInSet("p".to_owned()), ip("10.2.0.1")));
        assert!(is_at(&ruleset, &Address::Outside(prefix("10.1.0.0/16")), ip("10.2.0.1")));
    }
}
