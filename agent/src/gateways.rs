//! The gateways that this node uses, and nodes that carry Services: which of them answer. What is done
//! about one that does not is decided elsewhere.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use causeway_api::conditions::{GATEWAYS_REACHABLE, Verdict};
use causeway_dataplane::state::Carrier;
use causeway_model::{ClusterName, Family, OverlayAddresses};
use causeway_probing::{Prober, State, Status, Target};
use tokio::sync::watch;

/// Gateways and what probes say of them.
#[derive(Debug, Default)]
pub struct Gateways {
    carriers: Vec<Carrier>,
    probing: Option<(Prober, watch::Receiver<Vec<Status>>)>,
    /// As last heard of: those that answer are left out.
    states: BTreeMap<IpAddr, State>,
    dead: BTreeSet<IpAddr>,
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
        let mut states = BTreeMap::new();
        for carrier in &self.carriers {
            let address = carrier.hop.gateway;
            let Some(status) = statuses.iter().find(|status| status.target.address == address) else {
                continue;
            };
            let before = self.states.get(&address).copied().unwrap_or(State::Alive);
            if before != status.state {
                log(carrier, before, status);
            }
            if status.state != State::Alive {
                states.insert(address, status.state);
            }
        }
        let changed = states != self.states;
        self.dead = states.iter().filter(|(_, state)| **state == State::Dead).map(|(of, _)| *of).collect();
        self.states = states;
        changed
    }

    /// Uses these from now on, from the node's own `overlay` addresses.
    pub fn watch(&mut self, carriers: Vec<Carrier>, overlay: Option<OverlayAddresses>) {
        if let Some((prober, _)) = &self.probing {
            let target = |carrier: &Carrier| {
                let address = carrier.hop.gateway;
                Some(Target {
                    address,
                    source: overlay?.get(Family::of(address)),
                    device: carrier.hop.device.name(),
                    pool: carrier.cluster.as_str().into(),
                })
            };
            prober.set_targets(carriers.iter().filter_map(target).collect());
        }
        self.carriers = carriers;
        let used: BTreeSet<IpAddr> = self.carriers.iter().map(|carrier| carrier.hop.gateway).collect();
        self.states.retain(|address, _| used.contains(address));
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

    /// What there is to tell; nothing without probes.
    pub fn verdict(&self) -> Option<Verdict> {
        self.probing.as_ref().map(|_| verdict(&self.carriers, &self.states))
    }
}

fn log(carrier: &Carrier, before: State, status: &Status) {
    let Carrier { cluster, node: gateway, hop } = carrier;
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

/// Whether each cluster has a gateway that answers, in each family. `states` has those that do not.
fn verdict(carriers: &[Carrier], states: &BTreeMap<IpAddr, State>) -> Verdict {
    let mut pools: BTreeMap<(&ClusterName, Family), Vec<&Carrier>> = BTreeMap::new();
    for carrier in carriers {
        pools.entry((&carrier.cluster, Family::of(carrier.hop.gateway))).or_default().push(carrier);
    }
    let (mut none, mut some) = (Vec::new(), Vec::new());
    for ((cluster, family), pool) in pools {
        let silent = pool.iter().filter(|carrier| states.contains_key(&carrier.hop.gateway));
        let names: Vec<String> = silent.map(|c| format!("{} ({})", c.node, c.hop.gateway)).collect();
        if names.len() == pool.len() {
            none.push(format!("no gateway of {cluster} answers over {family}: {}", names.join(", ")));
        } else if !names.is_empty() {
            some.push(format!("of {cluster} over {family}: {}", names.join(", ")));
        }
    }
    if !none.is_empty() {
        let message = format!("{}; all stay in use", none.join("; "));
        return Verdict::new(GATEWAYS_REACHABLE, false, "AllGatewaysSilent", message);
    }
    if !some.is_empty() {
        let message = format!("not in use, since they do not answer: {}", some.join("; "));
        return Verdict::new(GATEWAYS_REACHABLE, true, "SomeGatewaysSilent", message);
    }
    let reason = if carriers.is_empty() { "NoGatewaysUsed" } else { "AllGatewaysAnswer" };
    Verdict::new(GATEWAYS_REACHABLE, true, reason, "")
}

#[cfg(test)]
mod tests {
    use causeway_dataplane::Device;
    use causeway_dataplane::state::NextHop;

    use super::*;

    fn carrier(cluster: &str, node: &str, address: &str) -> Carrier {
        let hop = NextHop { device: Device::ALL[0], gateway: address.parse().unwrap() };
        Carrier { cluster: cluster.parse().unwrap(), node: node.parse().unwrap(), hop }
    }

    fn judged(states: &[(&str, State)]) -> (Option<bool>, String, String) {
        let carriers = [
            carrier("b", "g1", "198.18.1.1"),
            carrier("b", "g2", "198.18.1.2"),
            carrier("b", "g1", "fd00::1"),
            carrier("c", "g9", "198.18.2.9"),
        ];
        let states = states.iter().map(|(address, state)| (address.parse().unwrap(), *state)).collect();
        let Verdict { holds, reason, message, .. } = verdict(&carriers, &states);
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
        assert_eq!(verdict(&[], &BTreeMap::new()).reason, "NoGatewaysUsed");
    }
}
