//! The gateways that this node uses, and nodes that carry Services: which of them answer. What is done
//! about one that does not is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use causeway_api::conditions::{GATEWAYS_REACHABLE, Verdict};
use causeway_dataplane::state::{Carrier, NextHop};
use causeway_model::{ClusterName, Family, OverlayAddresses};
use causeway_probing::{Impairment, Prober, State, Status, Tallies, Target};
use tokio::sync::watch;

use crate::converge::OutOfUse;

/// Gateways and what probes say of them.
#[derive(Debug, Default)]
pub struct Gateways {
    carriers: Vec<Carrier>,
    probing: Option<(Prober, watch::Receiver<Vec<Status>>)>,
    /// As last heard of: those that answer are left out.
    states: BTreeMap<IpAddr, State>,
    /// What is wrong with those that answer.
    impaired: BTreeMap<IpAddr, BTreeSet<Impairment>>,
    dead: BTreeSet<IpAddr>,
    /// Whether any were watched yet.
    watching: bool,
}

impl Gateways {
    /// Begins to probe, each gateway once in `interval`; never, if that is zero. Where probing is not
    /// possible, that is logged, and no gateway ever counts as dead.
    pub fn start(interval: Duration) -> Gateways {
        if interval.is_zero() {
            return Gateways::default();
        }
        match Prober::start(interval) {
            Ok(prober) => {
                let statuses = prober.statuses();
                Gateways { probing: Some((prober, statuses)), ..Gateways::default() }
            }
            Err(error) => {
                tracing::error!(%error, "gateways that die stay in use until the plan changes");
                Gateways::default()
            }
        }
    }

    /// Waits until the state of a gateway changes. Giving up waiting loses nothing.
    pub async fn changed(&mut self) {
        if let Some((_, statuses)) = &mut self.probing {
            if statuses.changed().await.is_ok() {
                return;
            }
            tracing::error!("probing has ended; gateways that die stay in use until the plan changes");
            self.probing = None;
            return;
        }
        std::future::pending().await
    }

    /// Takes in what is known now, and logs each change. Returns whether there is one.
    pub fn hear(&mut self) -> bool {
        let statuses = match &mut self.probing {
            Some((_, statuses)) => statuses.borrow_and_update().clone(),
            None => Vec::new(),
        };
        let probing = self.probing.is_some();
        let (mut states, mut impaired) = (BTreeMap::new(), BTreeMap::new());
        for carrier in &self.carriers {
            let address = carrier.hop.gateway;
            let before = self.states.get(&address).copied().unwrap_or(State::Alive);
            let Some(status) = statuses.iter().find(|status| status.target.address == address) else {
                // Its probes begin in a moment. Where nobody probes any more, nobody is dead.
                states.extend((before != State::Alive && probing).then_some((address, before)));
                continue;
            };
            if before != status.state {
                log(carrier, before, status);
            }
            if status.state != State::Alive {
                states.insert(address, status.state);
            }
            if self.impaired.get(&address).unwrap_or(&BTreeSet::new()) != &status.impairments {
                log_impairments(carrier, status);
            }
            if !status.impairments.is_empty() {
                impaired.insert(address, status.impairments.clone());
            }
        }
        let changed = states != self.states || impaired != self.impaired;
        self.impaired = impaired;
        self.dead = states.iter().filter(|(_, state)| **state == State::Dead).map(|(of, _)| *of).collect();
        self.states = states;
        changed
    }

    /// Uses these from now on, from the node's own `overlay` addresses. Those that are `left_out` of groups count as
    /// dead until they answer, if these are the first.
    pub fn watch(
        &mut self,
        carriers: Vec<Carrier>,
        left_out: BTreeSet<IpAddr>,
        overlay: Option<OverlayAddresses>,
    ) {
        if !std::mem::replace(&mut self.watching, true) && self.probing.is_some() {
            for carrier in carriers.iter().filter(|carrier| left_out.contains(&carrier.hop.gateway)) {
                let Carrier { cluster, node: gateway, hop: NextHop { gateway: address, .. }, mtu: _ } =
                    carrier;
                tracing::info!(%cluster, %gateway, %address, "gateway is in no group, as one that was dead or is new; it is used once it answers");
                self.states.insert(*address, State::Dead);
                self.dead.insert(*address);
            }
        }
        if let Some((prober, _)) = &self.probing {
            let target = |carrier: &Carrier| {
                let address = carrier.hop.gateway;
                Some(Target {
                    address,
                    source: overlay?.get(Family::of(address)),
                    device: carrier.hop.device.name(),
                    mtu: carrier.mtu,
                    pool: carrier.cluster.as_str().into(),
                    left_out: self.dead.contains(&address),
                })
            };
            prober.set_targets(carriers.iter().filter_map(target).collect());
        }
        self.carriers = carriers;
        let used: BTreeSet<IpAddr> = self.carriers.iter().map(|carrier| carrier.hop.gateway).collect();
        self.states.retain(|address, _| used.contains(address));
        self.impaired.retain(|address, _| used.contains(address));
        self.dead.retain(|address| used.contains(address));
    }

    /// Who is used.
    pub fn carriers(&self) -> &[Carrier] {
        &self.carriers
    }

    /// Who is dead.
    pub fn dead(&self) -> &BTreeSet<IpAddr> {
        &self.dead
    }

    /// Who is to be kept out of groups.
    pub fn out_of_use(&self) -> OutOfUse<'_> {
        match self.probing {
            Some(_) if !self.watching => OutOfUse::LeftOut,
            _ => OutOfUse::Dead(&self.dead),
        }
    }

    /// What sends the probes, if that is possible.
    pub fn prober(&self) -> Option<&Prober> {
        self.probing.as_ref().map(|(prober, _)| prober)
    }

    /// How probes ended so far, by cluster.
    pub fn tallies(&self) -> Tallies {
        self.prober().map(|prober| prober.tallies().borrow().clone()).unwrap_or_default()
    }

    /// Clusters none of whose gateways answers in one of the families.
    pub fn unreachable(&self) -> BTreeSet<&ClusterName> {
        let silent = |pool: &[&Carrier]| pool.iter().all(|one| self.states.contains_key(&one.hop.gateway));
        pools(&self.carriers).into_iter().filter(|(_, pool)| silent(pool)).map(|((of, _), _)| of).collect()
    }

    /// Clusters none of whose gateways answers in any family: no way to them works, as far as probes can tell.
    pub fn cut_off(&self) -> BTreeSet<&ClusterName> {
        let answers = |one: &&Carrier| !self.states.contains_key(&one.hop.gateway);
        let answering: BTreeSet<&ClusterName> =
            self.carriers.iter().filter(answers).map(|one| &one.cluster).collect();
        self.carriers.iter().map(|one| &one.cluster).filter(|cluster| !answering.contains(cluster)).collect()
    }

    /// What there is to tell; nothing without probes.
    pub fn verdict(&self) -> Option<Verdict> {
        self.probing.as_ref().map(|_| verdict(&self.carriers, &self.states, &self.impaired))
    }
}

fn log(carrier: &Carrier, before: State, status: &Status) {
    let Carrier { cluster, node: gateway, hop, mtu: _ } = carrier;
    let (address, lost, sent) = (hop.gateway, status.lost, status.sent);
    let rtt_us = status.rtt.map(|rtt| rtt.as_micros() as u64);
    let what = match (before, status.state) {
        (_, State::Dead) => "gateway does not answer; it leaves its groups",
        (_, State::Silent) => "no gateway answers, and so not this one; its groups stay as they are",
        (State::Dead, State::Alive) => "gateway answers again; it comes back into its groups",
        (_, State::Alive) => "gateway answers again",
    };
    if status.state == State::Alive {
        tracing::info!(%cluster, %gateway, %address, rtt_us, lost, sent, "{what}");
    } else {
        tracing::warn!(%cluster, %gateway, %address, rtt_us, lost, sent, "{what}");
    }
}

fn log_impairments(carrier: &Carrier, status: &Status) {
    let Carrier { cluster, node: gateway, hop, mtu } = carrier;
    let (address, lost, sent) = (hop.gateway, status.lost, status.sent);
    if status.impairments.contains(&Impairment::LargePackets) {
        tracing::warn!(%cluster, %gateway, %address, mtu, "gateway answers, but packets of full size are lost; it stays in use");
    }
    if status.impairments.contains(&Impairment::Loss) {
        tracing::warn!(%cluster, %gateway, %address, lost, sent, "gateway answers, but packets are lost; it stays in use");
    }
    if status.impairments.is_empty() {
        tracing::info!(%cluster, %gateway, %address, lost, sent, "no more packets are lost than usual");
    }
}

/// What is wrong with gateways that answer: the worst as reason, and all in words.
fn impairments(
    carriers: &[Carrier],
    impaired: &BTreeMap<IpAddr, BTreeSet<Impairment>>,
) -> Option<(&'static str, String)> {
    let mut parts = Vec::new();
    let kinds = [
        (Impairment::LargePackets, "LargePacketsLost", "packets of full size are lost, small ones are not"),
        (Impairment::Loss, "PacketsLost", "a part of the packets is lost"),
    ];
    for (impairment, reason, what) in kinds {
        let has = |carrier: &&Carrier| {
            impaired.get(&carrier.hop.gateway).is_some_and(|all| all.contains(&impairment))
        };
        let name = |c: &Carrier| match impairment {
            Impairment::LargePackets => {
                format!("{} of {} ({}, {} bytes)", c.node, c.cluster, c.hop.gateway, c.mtu)
            }
            Impairment::Loss => format!("{} of {} ({})", c.node, c.cluster, c.hop.gateway),
        };
        let names: Vec<String> = carriers.iter().filter(has).map(name).collect();
        if !names.is_empty() {
            parts.push((reason, format!("in use, though {what}: {}", names.join(", "))));
        }
    }
    let reason = parts.first()?.0;
    Some((reason, parts.into_iter().map(|(_, words)| words).collect::<Vec<_>>().join("; ")))
}

/// Those that can stand in for each other.
fn pools(carriers: &[Carrier]) -> BTreeMap<(&ClusterName, Family), Vec<&Carrier>> {
    let mut pools: BTreeMap<(&ClusterName, Family), Vec<&Carrier>> = BTreeMap::new();
    for carrier in carriers {
        pools.entry((&carrier.cluster, Family::of(carrier.hop.gateway))).or_default().push(carrier);
    }
    pools
}

/// Whether each cluster has a gateway that answers, in each family. `states` has those that do not, `impaired` what is
/// wrong with others.
fn verdict(
    carriers: &[Carrier],
    states: &BTreeMap<IpAddr, State>,
    impaired: &BTreeMap<IpAddr, BTreeSet<Impairment>>,
) -> Verdict {
    let (mut none, mut some) = (Vec::new(), Vec::new());
    for ((cluster, family), pool) in pools(carriers) {
        let silent = pool.iter().filter(|carrier| states.contains_key(&carrier.hop.gateway));
        let names: Vec<String> = silent.map(|c| format!("{} ({})", c.node, c.hop.gateway)).collect();
        if names.len() == pool.len() {
            none.push(format!("no gateway of {cluster} answers over {family}: {}", names.join(", ")));
        } else if !names.is_empty() {
            some.push(format!("of {cluster} over {family}: {}", names.join(", ")));
        }
    }
    let impairments = impairments(carriers, impaired);
    let besides = impairments.as_ref().map(|(_, words)| format!("; {words}")).unwrap_or_default();
    if !none.is_empty() {
        let message = format!("{}; all stay in use{besides}", none.join("; "));
        return Verdict::new(GATEWAYS_REACHABLE, false, "AllGatewaysSilent", message);
    }
    if !some.is_empty() {
        let message = format!("not in use, since they do not answer: {}{besides}", some.join("; "));
        return Verdict::new(GATEWAYS_REACHABLE, true, "SomeGatewaysSilent", message);
    }
    if let Some((reason, message)) = impairments {
        return Verdict::new(GATEWAYS_REACHABLE, true, reason, message);
    }
    let reason = if carriers.is_empty() { "NoGatewaysUsed" } else { "AllGatewaysAnswer" };
    Verdict::new(GATEWAYS_REACHABLE, true, reason, "")
}

#[cfg(test)]
mod tests {
    use causeway_dataplane::Device;

    use super::*;

    fn carrier(cluster: &str, node: &str, address: &str) -> Carrier {
        let hop = NextHop { device: Device::ALL[0], gateway: address.parse().unwrap() };
        Carrier { cluster: cluster.parse().unwrap(), node: node.parse().unwrap(), hop, mtu: 1450 }
    }

    fn carriers() -> [Carrier; 4] {
        [
            carrier("b", "g1", "198.18.1.1"),
            carrier("b", "g2", "198.18.1.2"),
            carrier("b", "g1", "fd00::1"),
            carrier("c", "g9", "198.18.2.9"),
        ]
    }

    fn judged(states: &[(&str, State)]) -> (Option<bool>, String, String) {
        let states = states.iter().map(|(address, state)| (address.parse().unwrap(), *state)).collect();
        let Verdict { holds, reason, message, .. } = verdict(&carriers(), &states, &BTreeMap::new());
        (holds, reason, message)
    }

    #[test]
    fn a_cluster_without_any_answer_is_named_with_family_and_gateways() {
        assert_eq!(judged(&[]), (Some(true), "AllGatewaysAnswer".into(), String::new()));
        let (holds, reason, message) = judged(&[("198.18.1.2", State::Dead)]);
        assert_eq!((holds, reason.as_str()), (Some(true), "SomeGatewaysSilent"));
        assert!(message.contains("of b over IPv4: g2 (198.18.1.2)"), "{message}");
        let (holds, reason, message) =
            judged(&[("198.18.1.2", State::Dead), ("198.18.1.1", State::Silent), ("fd00::1", State::Silent)]);
        assert_eq!((holds, reason.as_str()), (Some(false), "AllGatewaysSilent"));
        assert!(message.contains("b answers over IPv4: g1 (198.18.1.1), g2 (198.18.1.2)"), "{message}");
        assert!(
            message.contains("b answers over IPv6: g1 (fd00::1)") && !message.contains("g9"),
            "{message}"
        );
        assert_eq!(verdict(&[], &BTreeMap::new(), &BTreeMap::new()).reason, "NoGatewaysUsed");
    }

    #[test]
    fn nobody_is_dead_where_nobody_probes_any_more() {
        let dead: IpAddr = "198.18.1.1".parse().unwrap();
        let mut gateways = Gateways { carriers: carriers().into(), ..Gateways::default() };
        gateways.states.insert(dead, State::Dead);
        gateways.dead.insert(dead);
        assert!(gateways.hear());
        assert!(gateways.dead().is_empty() && gateways.unreachable().is_empty());
    }

    #[test]
    fn who_is_left_out_of_groups_is_out_of_use_until_it_answers_if_somebody_probes() {
        let left_out: BTreeSet<IpAddr> =
            ["198.18.1.2".parse().unwrap(), "198.18.9.9".parse().unwrap()].into();
        let mut blind = Gateways::default();
        assert!(matches!(blind.out_of_use(), OutOfUse::Dead(_)), "nobody would bring it back");
        blind.watch(carriers().into(), left_out.clone(), None);
        assert!(blind.dead().is_empty());
        let prober = Prober::start(Duration::from_secs(3600)).expect("raw sockets, as root has them");
        let statuses = prober.statuses();
        let mut gateways = Gateways { probing: Some((prober, statuses)), ..Gateways::default() };
        assert!(matches!(gateways.out_of_use(), OutOfUse::LeftOut));
        gateways.watch(carriers().into(), left_out.clone(), None);
        let used: BTreeSet<IpAddr> = left_out.into_iter().take(1).collect();
        assert_eq!(gateways.dead(), &used, "of others nobody knows");
        assert!(matches!(gateways.out_of_use(), OutOfUse::Dead(dead) if *dead == used));
        // Before its first probe it stays so.
        assert!(!gateways.hear());
        assert_eq!(gateways.dead(), &used);
        // Later on only probes say who is dead.
        gateways.watch(carriers().into(), ["198.18.1.1".parse().unwrap()].into(), None);
        assert_eq!(gateways.dead(), &used);
    }

    #[test]
    fn a_cluster_is_unreachable_if_none_of_its_gateways_answers_in_a_family() {
        let silent = |addresses: &[&str]| {
            let states = addresses.iter().map(|address| (address.parse().unwrap(), State::Silent)).collect();
            let gateways = Gateways { carriers: carriers().into(), states, ..Gateways::default() };
            gateways.unreachable().into_iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(silent(&["198.18.1.1"]).is_empty());
        assert_eq!(silent(&["198.18.1.1", "198.18.1.2"]), ["b"]);
        assert_eq!(silent(&["fd00::1", "198.18.2.9"]), ["b", "c"]);
    }

    #[test]
    fn a_cluster_is_cut_off_if_none_of_its_gateways_answers_at_all() {
        let cut_off = |addresses: &[&str]| {
            let states = addresses.iter().map(|address| (address.parse().unwrap(), State::Silent)).collect();
            let gateways = Gateways { carriers: carriers().into(), states, ..Gateways::default() };
            gateways.cut_off().into_iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert!(cut_off(&[]).is_empty());
        assert!(cut_off(&["198.18.1.1", "198.18.1.2"]).is_empty(), "it answers over IPv6");
        assert_eq!(cut_off(&["198.18.1.1", "198.18.1.2", "fd00::1"]), ["b"]);
        assert_eq!(cut_off(&["198.18.2.9"]), ["c"]);
    }

    #[test]
    fn a_gateway_that_loses_packets_is_in_use_and_named_with_what_it_loses() {
        let of = |address: &str, all: &[Impairment]| -> (IpAddr, BTreeSet<Impairment>) {
            (address.parse().unwrap(), all.iter().copied().collect())
        };
        let impaired = [
            of("198.18.1.1", &[Impairment::Loss]),
            of("fd00::1", &[Impairment::Loss, Impairment::LargePackets]),
        ];
        let impaired: BTreeMap<IpAddr, BTreeSet<Impairment>> = impaired.into();
        let told = verdict(&carriers(), &BTreeMap::new(), &impaired);
        assert_eq!((told.holds, told.reason.as_str()), (Some(true), "LargePacketsLost"));
        let words = "full size are lost, small ones are not: g1 of b (fd00::1, 1450 bytes); in use, though a part of the \
                     packets is lost: g1 of b (198.18.1.1), g1 of b (fd00::1)";
        assert!(told.message.ends_with(words), "{}", told.message);
        let silent = [("198.18.1.2".parse().unwrap(), State::Dead)].into();
        let told = verdict(&carriers(), &silent, &impaired);
        assert_eq!(told.reason, "SomeGatewaysSilent");
        assert!(told.message.ends_with(words), "{}", told.message);
    }
}
