//! Which packets may cross a node's tunnels, which are tracked, and how their addresses are changed:
//! the nftables table that follows from a node's plan.
//!
//! ```text
//! raw_prerouting     outer: no tracking · IPv6: one path for each connection · inner: global → real, destination and source, transit untracked
//! raw_input          outer: drop what no known VTEP sent under its own MAC, and what is of another network
//! raw_output         outer: no tracking · IPv6: one path for each connection
//! forward            mark what may take the fast path · maximum segment size · who may send into the tunnels
//! nat_postrouting    keep pod addresses ahead of the CNI's masquerade · bring Service replies back
//! filter_postrouting take our mark away again · mark what may take the fast path · real → global
//! ```
//!
//! Tracking sees real addresses only, since the stateless rewriting happens outside of it on both
//! sides. What enters through a tunnel is judged before tracking, by addresses alone, so that it
//! holds for packets to this host and for forwarded ones alike. A packet that is not ours leaves
//! every chain after a few cheap comparisons.
//!
//! What a gateway sends on to a pod of another node goes there by the CNI and crosses no tunnel on
//! that node. Foreign forward chains cannot know it, so ours marks it and theirs accept the mark: see
//! [`MARK`](crate::nft::MARK).
//!
//! The rules depend on the node's own plan only; peers and links change elements of sets.

pub(super) mod sets;

use std::collections::BTreeMap;
use std::net::IpAddr;

use causeway_model::{Families, Family, Mac, NodePlan, Prefix, PrefixSet, Role, Translation};

use super::fast_path::{End, Ends, Pods, Transit, leading_out};
use crate::device::{Device, Overlay};
use crate::nft::foreign::ForeignAccept;
use crate::nft::{
    Action, Address, Base, Chain, ChainType, Hook, Match, Origin, Rule, Ruleset, Set, TableKind,
};
use crate::state::Vxlan;
use crate::table::Table;
use sets::Group;

/// `NF_IP_PRI_RAW`: before connection tracking.
const RAW: i32 = -300;
/// `NF_IP_PRI_MANGLE`.
const MANGLE: i32 = -150;
/// Right before `NF_IP_PRI_NAT_SRC`, where CNIs and kube-proxy masquerade. The first chain that
/// decides on a connection is the last one that is asked.
const BEFORE_SNAT: i32 = 99;
/// Behind all address translation of connections.
const AFTER_SNAT: i32 = 200;

/// What the firewall of a node follows from.
#[derive(Clone, Debug)]
pub struct Inputs<'a> {
    /// The node's plan.
    pub node: &'a NodePlan,
    /// The families that the node uses inside its tunnels.
    pub families: Families,
    /// Remote prefixes that the node reaches, as its cluster sees them.
    pub remote: PrefixSet,
    /// Those of them that several gateways or nodes carry: Linux picks one for each packet.
    pub carried: PrefixSet,
    /// All of `remote` with those who may send from there over [`Overlay::Bridge`]; no two overlap.
    pub origins: Vec<Origin>,
    /// The node's tunnel devices.
    pub devices: &'a BTreeMap<Device, Vxlan>,
    /// The known VTEPs behind each device.
    pub fdb: &'a Table<(Device, Mac), IpAddr>,
    /// The least MTU in bytes that a link states, if any does.
    pub link_mtu: Option<u32>,
    /// The ends of the fast path; `None` without one.
    pub fast: Option<&'a Ends>,
}

/// The nftables table of a node; `None` if it has no tunnels.
pub fn firewall(inputs: &Inputs<'_>) -> Option<Ruleset> {
    let overlays: Vec<Overlay> = [Overlay::Bridge, Overlay::Local]
        .into_iter()
        .filter(|overlay| inputs.devices.keys().any(|device| device.overlay == *overlay))
        .collect();
    if overlays.is_empty() {
        return None;
    }
    let mut builder = Builder { inputs, overlays, sets: BTreeMap::new() };
    let chains = vec![
        builder.raw_prerouting(),
        builder.raw_input(),
        builder.raw_output(),
        builder.forward(),
        builder.nat_postrouting(),
    ];
    let chains = chains.into_iter().chain(builder.filter_postrouting()).collect();
    let crossing = inputs.devices.keys().copied().flat_map(ForeignAccept::crossing);
    let marked = builder.marks().then_some(ForeignAccept::Marked);
    Some(Ruleset {
        kind: TableKind::Inet,
        accept_in_foreign_forward: crossing.chain(marked).collect(),
        sets: builder.sets.into_values().collect(),
        chains,
    })
}

struct Builder<'a> {
    inputs: &'a Inputs<'a>,
    overlays: Vec<Overlay>,
    sets: BTreeMap<String, Set>,
}

impl Builder<'_> {
    fn raw_prerouting(&mut self) -> Chain {
        let mut rules = Vec::new();
        for (device, vxlan) in self.inputs.devices {
            let to_us = Address::Within(Prefix::host(vxlan.local));
            let matches = vec![Match::UdpTo(vxlan.port), Match::Destination(device.underlay, to_us)];
            rules.push(rule(matches, Action::AcceptUntracked, "tunnel packets need no tracking"));
        }
        let families = self.inputs.families;
        // What comes from a tunnel had its label cleared by the node that sent it.
        rules.extend(self.steady_path(self.no_tunnel()));
        for family in families.iter() {
            rules.extend(self.untracked_pods(family));
        }
        rules.push(rule(self.no_tunnel(), Action::Accept, "not from a tunnel"));
        for family in Family::BOTH.into_iter().filter(|family| !families.contains(*family)) {
            rules.push(rule(vec![Match::Of(family)], Action::Drop, "family not used"));
        }
        for Translation { real, global } in families.iter().flat_map(|family| self.translations(family)) {
            let mut matches = self.in_tunnel(Overlay::Bridge);
            matches.push(Match::Destination(real.family(), Address::Within(global)));
            rules.push(rule(matches, Action::RewriteDestination(global, real), "global to real"));
        }
        for overlay in self.overlays.clone() {
            rules.extend(self.arriving(overlay));
        }
        chain("raw_prerouting", ChainType::Filter, Hook::Prerouting, RAW, rules)
    }

    /// Linux picks a next hop of an IPv6 group by addresses and flow label, and TCP takes a new label when
    /// it retransmits (RFC 6438 §3, `sk_rethink_txhash`). A connection to a Service would then arrive at
    /// another node than the one that translates it, and be reset. `matches` say of which packets.
    fn steady_path(&mut self, mut matches: Vec<Match>) -> Option<Rule> {
        let uses = self.inputs.families.contains(Family::V6);
        uses.then(|| {
            matches.push(Match::Destination(Family::V6, self.member_set(Group::Carried, Family::V6)));
            rule(matches, Action::ClearFlowLabel, "one path for each connection")
        })
    }

    /// What comes from no tunnel.
    fn no_tunnel(&self) -> Vec<Match> {
        self.overlays.iter().map(|overlay| Match::NotIn(*overlay)).collect()
    }

    /// What comes from the tunnels of this overlay, where it is known to come from some tunnel.
    fn in_tunnel(&self, overlay: Overlay) -> Vec<Match> {
        if self.overlays == [overlay] { Vec::new() } else { vec![Match::In(overlay)] }
    }

    /// Where the CNI gives nodes no prefix of their own, no node knows its pods: a request may pass
    /// one node and its reply another, whichever device they cross. So none of it is tracked.
    fn untracked_pods(&mut self, family: Family) -> Vec<Rule> {
        if self.has(Group::LocalPods, family) || !self.has(Group::OwnPods, family) {
            return Vec::new();
        }
        let pods = self.members(Group::OwnPods, family);
        let remote = self.member_set(Group::Remote, family);
        let why = "no node owns these pods";
        vec![
            rule(
                vec![Match::Source(family, pods.clone()), Match::Destination(family, remote.clone())],
                Action::NoTrack,
                why,
            ),
            rule(vec![Match::Destination(family, pods), Match::Source(family, remote)], Action::NoTrack, why),
        ]
    }

    /// What came out of the tunnels of this overlay. What most packets are for comes first, and each packet that is let in is
    /// looked up among the origins once, as they count it. Nothing of `vx-bridge` is left behind its rules, so those of
    /// `vx-local` do not ask for it.
    fn arriving(&mut self, overlay: Overlay) -> Vec<Rule> {
        let families: Vec<Family> = self.inputs.families.iter().collect();
        let via = if overlay == Overlay::Bridge { self.in_tunnel(overlay) } else { Vec::new() };
        let mut rules = Vec::new();
        if overlay == Overlay::Local {
            rules.extend(families.iter().map(|family| self.foreign_source_over_local(*family)));
        }
        for (group, action, why) in self.welcome(overlay) {
            for family in families.iter().copied() {
                let to = match group {
                    Group::LocalPods if !self.has(group, family) => continue,
                    Group::LocalPods => self.members(group, family),
                    _ => self.member_set(group, family),
                };
                let mut matches = [via.clone(), vec![Match::Destination(family, to)]].concat();
                if overlay == Overlay::Bridge {
                    matches.push(Match::Origin(family, self.origins(family)));
                }
                rules.push(rule(matches, action.clone(), why));
            }
        }
        if overlay == Overlay::Bridge {
            for family in families {
                let other = Match::OtherOrigin(family, self.origins(family));
                let matches = [via.clone(), vec![other]].concat();
                rules.push(rule(matches, Action::Drop, "foreign inner source"));
            }
        }
        rules.push(rule(via, Action::Drop, "foreign inner destination"));
        rules
    }

    /// For whom packets may come over this overlay, and what is done with them. Transit is what is left over when this node's
    /// pods, its own address and Services are taken out.
    fn welcome(&self, overlay: Overlay) -> Vec<(Group, Action, &'static str)> {
        let transit = |group| (group, Action::AcceptUntracked, "transit needs no tracking");
        let passes_on = (overlay, self.inputs.node.role) == (Overlay::Local, Role::Gateway);
        // Apart from the set, since a comparison with one prefix is quicker.
        let here = [
            (Group::LocalPods, Action::Accept, "this node's pods: tracked"),
            (Group::Here, Action::Accept, "this node's address, Services: tracked"),
        ];
        // What own nodes have for other clusters is most of what a gateway gets here.
        let remote = passes_on.then(|| transit(Group::Remote));
        remote.into_iter().chain(here).chain([transit(Group::Own)]).collect()
    }

    /// Over `vx-local` come own nodes only, and what they may send follows from the role of this one.
    fn foreign_source_over_local(&mut self, family: Family) -> Rule {
        let remote = self.member_set(Group::Remote, family);
        let sources = match self.inputs.node.role {
            // Own nodes send what their pods send; another gateway passes on replies to this one.
            Role::Gateway => [self.member_set(Group::Own, family), remote],
            // Gateways pass on what remote ends send to this node, and probe.
            Role::Node | Role::Internal => [remote, self.members(Group::OwnOverlay, family)],
        };
        let foreign = sources.map(|sources| Match::Source(family, outside(sources)));
        rule(foreign.into(), Action::Drop, "foreign inner source")
    }

    /// At this hook a packet is known to be for this host, in one piece.
    fn raw_input(&mut self) -> Chain {
        let mut rules = Vec::new();
        for (device, vxlan) in self.inputs.devices {
            // The MAC inside says on whose behalf it is sent: raw_prerouting judges by it.
            let matches =
                vec![Match::UdpTo(vxlan.port), Match::OtherVtep(device.underlay, self.vteps(*device))];
            rules.push(rule(matches, Action::Drop, "unknown VTEP"));
            // The kernel drops it too, but does not count it.
            let matches =
                vec![Match::UdpTo(vxlan.port), Match::Of(device.underlay), Match::OtherVni(vxlan.vni)];
            rules.push(rule(matches, Action::Drop, "wrong VNI"));
        }
        chain("raw_input", ChainType::Filter, Hook::Input, RAW, rules)
    }

    /// What this host itself sends. A chain of type `route`, since Linux looks the route up again after only those where
    /// a flow label changed. One chain for both, since each costs every packet of the host.
    fn raw_output(&mut self) -> Chain {
        let untracked = |(device, vxlan): (&Device, &Vxlan)| {
            let from_us = Address::Within(Prefix::host(vxlan.local));
            let matches = vec![Match::UdpTo(vxlan.port), Match::Source(device.underlay, from_us)];
            rule(matches, Action::AcceptUntracked, "tunnel packets need no tracking")
        };
        let untracked: Vec<Rule> = self.inputs.devices.iter().map(untracked).collect();
        let rules = untracked.into_iter().chain(self.steady_path(Vec::new())).collect();
        chain("raw_output", ChainType::Route, Hook::Output, RAW, rules)
    }

    /// Whether packets from remote ends may come to this node's pods across no device of ours: from
    /// a gateway, or, where no node owns the pods, from a node that carries for the others.
    fn brought_by_cni(&self, family: Family) -> bool {
        let by_another = match self.inputs.node.role {
            Role::Gateway | Role::Internal => true,
            Role::Node => !self.has(Group::LocalPods, family),
        };
        by_another && self.has(Group::OwnPods, family)
    }

    /// Whether any packet is marked.
    fn marks(&self) -> bool {
        self.inputs.families.iter().any(|family| self.brought_by_cni(family))
    }

    /// Marks are set here, ahead of the filters of others (`NF_IP_PRI_FILTER`). The source comes
    /// first: it ends the rule for all that is not from a remote end.
    fn forward(&mut self) -> Chain {
        let crosses_none: Vec<Match> =
            self.overlays.iter().flat_map(|o| [Match::NotIn(*o), Match::NotOut(*o)]).collect();
        let families = self.inputs.families;
        let mut rules = Vec::new();
        for family in families.iter() {
            if !self.brought_by_cni(family) {
                continue;
            }
            let mut matches = vec![
                Match::Source(family, self.member_set(Group::Remote, family)),
                Match::Destination(family, self.members(Group::OwnPods, family)),
            ];
            matches.extend(crosses_none.iter().cloned());
            rules.push(rule(matches, Action::Mark, "brought by the CNI"));
        }
        let fast = if self.marks() { Vec::new() } else { self.fast() };
        let others = rule(crosses_none, Action::Accept, "crosses no tunnel");
        // Its first packet was judged by what follows, and both that announce a segment size have passed.
        let known = rule(vec![Match::Assured], Action::Accept, "connection let through before");
        // All that the host forwards comes here. Where there is a fast path, what crosses a tunnel seldom does.
        if fast.is_empty() {
            rules.extend([known, others]);
        } else {
            rules.push(others);
            rules.extend(fast);
            rules.push(known);
        }
        let mtu = self.inputs.devices.values().map(|vxlan| vxlan.mtu).chain(self.inputs.link_mtu).min();
        for family in self.inputs.families.iter() {
            let size = mtu.unwrap_or(u32::MAX).saturating_sub(tcp_headers(family));
            let clamp = Action::ClampMss(u16::try_from(size).unwrap_or(u16::MAX));
            rules.push(rule(vec![Match::Of(family), Match::TcpSyn], clamp, "segments fit the tunnels"));
        }
        for overlay in &self.overlays {
            rules.push(rule(vec![Match::In(*overlay)], Action::Accept, "judged as it arrived"));
        }
        for family in self.inputs.families.iter() {
            let own = Match::Source(family, self.member_set(Group::Own, family));
            rules.push(rule(vec![own], Action::Accept, "own cluster into a tunnel"));
        }
        // Clients of a NodePort whose backend is remote, and replies to remote clients of a Service
        // whose backend is on a host network.
        rules.push(rule(vec![Match::Dnat], Action::Accept, "translated here"));
        rules.push(rule(Vec::new(), Action::Drop, "others into a tunnel"));
        chain("forward", ChainType::Filter, Hook::Forward, MANGLE, rules)
    }

    fn nat_postrouting(&mut self) -> Chain {
        let mut rules = Vec::new();
        for family in self.inputs.families.iter() {
            rules.extend(self.leaving(family));
        }
        for family in self.inputs.families.iter() {
            rules.extend(self.arrived(family));
        }
        chain("nat_postrouting", ChainType::Nat, Hook::Postrouting, BEFORE_SNAT, rules)
    }

    /// Connections into a tunnel. Only a pod's address and an overlay address find the way back.
    fn leaving(&mut self, family: Family) -> Vec<Rule> {
        let mut rules = Vec::new();
        let to_own = Action::SnatTo(self.inputs.node.vtep.overlay.get(family));
        for overlay in self.overlays.clone() {
            if self.has(Group::LocalPods, family) {
                let pods = Match::Source(family, self.members(Group::LocalPods, family));
                rules.push(rule(
                    vec![Match::Out(overlay), pods],
                    Action::KeepSource(family),
                    "pods keep their address",
                ));
            }
            rules.push(rule(
                vec![Match::Out(overlay), Match::Of(family)],
                to_own.clone(),
                "others take this node's overlay address",
            ));
        }
        rules
    }

    /// Connections out of a tunnel, wherever they go on. A backend on another node must answer to
    /// this one, which translated.
    fn arrived(&mut self, family: Family) -> Vec<Rule> {
        let remote = Match::Source(family, self.member_set(Group::Remote, family));
        let mut rules = Vec::new();
        if self.has(Group::LocalPods, family) {
            let pods = Match::Destination(family, self.members(Group::LocalPods, family));
            rules.push(rule(
                vec![remote.clone(), pods],
                Action::KeepSource(family),
                "pods see the remote address",
            ));
        }
        rules.push(rule(
            vec![remote, Match::Dnat],
            Action::Masquerade,
            "backend elsewhere: replies come back here",
        ));
        rules
    }

    fn filter_postrouting(&self) -> Option<Chain> {
        let mut rules = Vec::new();
        if self.marks() {
            rules.push(rule(vec![Match::Marked], Action::Unmark, "the mark stays on this node"));
            rules.extend(self.fast());
        }
        rules.extend(self.global_sources());
        let chain =
            |rules| chain("filter_postrouting", ChainType::Filter, Hook::Postrouting, AFTER_SNAT, rules);
        (!rules.is_empty()).then(|| chain(rules))
    }

    /// What may pass by all hooks for a while, if none behind this one drops it: see [`super::fast_path`]. Where foreign forward chains
    /// accept what is marked, these rules stand behind them all.
    fn fast(&self) -> Vec<Rule> {
        let Some(Ends { pods, transit, .. }) = self.inputs.fast else { return Vec::new() };
        let mut ways = Vec::new();
        if let Some(Transit { cni, .. }) = transit {
            ways.push(vec![Match::In(Overlay::Local), Match::Out(Overlay::Bridge), Match::Untracked]);
            let onward = |End { link, .. }: &End| {
                vec![Match::In(Overlay::Bridge), Match::OutTo(link.clone()), Match::Untracked]
            };
            ways.extend(cni.as_ref().map(onward));
        }
        if let Some(Pods { bridge: End { link, .. }, from_tunnel, .. }) = pods {
            let out = Match::Out(leading_out(self.inputs.node.role));
            ways.push(vec![Match::InFrom(link.clone()), out, Match::Settled]);
            let inward = || vec![Match::In(Overlay::Bridge), Match::OutTo(link.clone()), Match::Settled];
            ways.extend(from_tunnel.then(inward));
        }
        ways.into_iter().map(|matches| rule(matches, Action::Mark, "may take the fast path")).collect()
    }

    fn global_sources(&self) -> Vec<Rule> {
        let rewrite = |family: Family| {
            self.translations(family).into_iter().map(move |Translation { real, global }| {
                let matches = vec![Match::Source(family, Address::Within(real))];
                rule(matches, Action::RewriteSource(real, global), "real to global")
            })
        };
        let rewrites: Vec<Rule> = self.inputs.families.iter().flat_map(rewrite).collect();
        let others = || rule(vec![Match::NotOut(Overlay::Bridge)], Action::Accept, "stays in the cluster");
        let others = (!rewrites.is_empty()).then(others);
        others.into_iter().chain(rewrites).collect()
    }

    fn translations(&self, family: Family) -> Vec<Translation> {
        let of_bridge = self.overlays.contains(&Overlay::Bridge);
        let all = self.inputs.node.translations.iter().filter(|_| of_bridge);
        all.filter(|translation| translation.real.family() == family).copied().collect()
    }
}

/// Bytes of the IP and TCP headers without options.
fn tcp_headers(family: Family) -> u32 {
    match family {
        Family::V4 => 20 + 20,
        Family::V6 => 40 + 20,
    }
}

fn outside(address: Address) -> Address {
    match address {
        Address::InSet(set) => Address::NotInSet(set),
        Address::Within(prefix) => Address::Outside(prefix),
        Address::NotInSet(_) | Address::Outside(_) => address,
    }
}

pub(super) fn rule(matches: Vec<Match>, action: Action, comment: &str) -> Rule {
    Rule { matches, action, comment: comment.to_owned() }
}

fn chain(name: &str, chain_type: ChainType, hook: Hook, priority: i32, rules: Vec<Rule>) -> Chain {
    chain_at(name, (chain_type, hook, priority), Vec::new(), rules)
}

pub(super) fn chain_at(
    name: &str,
    (chain_type, hook, priority): (ChainType, Hook, i32),
    devices: Vec<String>,
    rules: Vec<Rule>,
) -> Chain {
    Chain { name: name.to_owned(), base: Base { chain_type, hook, priority, devices }, rules }
}

#[cfg(test)]
pub(super) mod tests;
