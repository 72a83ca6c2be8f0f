//! What on this node may be in the way: settings, addresses, and what other programs set up.

use std::collections::BTreeSet;
use std::net::IpAddr;

use causeway_api::{HostEvidence, Ip, Obstacle, ObstacleKind, PathEvidence, PathKind};
use causeway_dataplane::Counters;
use causeway_model::{Family, Prefix};
use nix::ifaddrs::getifaddrs;
use nix::net::if_::if_nametoindex;

use super::Subject;

/// Addresses and pods that are told at most.
const ADDRESSES: usize = 64;
const PODS: usize = 4;
/// Tables, chains and devices of kube-proxy that are told at most.
const OF_KUBE_PROXY: usize = 8;
/// The link that holds the addresses of all Services in kube-proxy's IPVS mode.
const IPVS_LINK: &str = "kube-ipvs0";

/// Looks at the network namespace of the calling thread. What cannot be looked at is told.
pub fn look(subject: Option<&Subject>, paths: &[PathEvidence], unknown: &mut Vec<String>) -> HostEvidence {
    let links = links(unknown);
    let mut host = HostEvidence {
        addresses: links.iter().map(|(_, address)| Ip::from(*address)).take(ADDRESSES).collect(),
        ..HostEvidence::default()
    };
    let Some(subject) = subject else { return host };
    host.pods = pods(subject, unknown);
    host.kube_proxy = kube_proxy(unknown);
    host.obstacles.extend(reverse_path_filters(subject, &links));
    host.obstacles.extend(forwarding(subject));
    host.obstacles.extend(early_masquerade(unknown));
    host.obstacles.extend(foreign_routes(subject, paths));
    host
}

/// Links with their addresses.
fn links(unknown: &mut Vec<String>) -> Vec<(String, IpAddr)> {
    let found = match getifaddrs() {
        Ok(found) => found,
        Err(error) => {
            unknown.push(format!("addresses of links: {error}"));
            return Vec::new();
        }
    };
    let address = |one: &nix::sys::socket::SockaddrStorage| -> Option<IpAddr> {
        let v4 = one.as_sockaddr_in().map(|address| address.ip().into());
        v4.or_else(|| one.as_sockaddr_in6().map(|address| address.ip().into()))
    };
    found
        .filter_map(|link| Some((link.interface_name.clone(), address(link.address.as_ref()?)?)))
        .filter(|(_, address)| !address.is_loopback())
        .collect()
}

/// Some pods of the node: neighbours that answered, inside its own pod prefixes.
fn pods(subject: &Subject, unknown: &mut Vec<String>) -> Vec<Ip> {
    match std::fs::read_to_string("/proc/thread-self/net/arp") {
        Ok(text) => neighbours(&text, &subject.node.local_pods),
        Err(error) => {
            unknown.push(format!("/proc/net/arp: {error}"));
            Vec::new()
        }
    }
}

/// Lines are: address, hardware type, flags, hardware address, mask, device. Flag 2 is set of those that answered.
fn neighbours(text: &str, local: &[Prefix]) -> Vec<Ip> {
    let lines = text.lines().skip(1).filter_map(|line| {
        let words: Vec<&str> = line.split_whitespace().collect();
        let [address, _, flags, _, _, device] = words[..] else { return None };
        let complete = u32::from_str_radix(flags.strip_prefix("0x")?, 16).ok()? & 2 != 0;
        let address: IpAddr = address.parse().ok()?;
        let is_pod = local.iter().any(|prefix| prefix.contains(address));
        // The own tunnels hold peers, and those of a CNI other nodes of the cluster.
        (complete && is_pod && !device.starts_with("vx-")).then(|| Ip::from(address))
    });
    let mut pods: Vec<Ip> = lines.collect();
    pods.sort();
    pods.truncate(PODS);
    pods
}

fn sysctl(path: &str) -> Option<String> {
    let value = std::fs::read_to_string(format!("/proc/sys/net/{path}")).ok()?;
    Some(value.trim().to_owned())
}

/// Links where packets of tunnels arrive and that filter strictly: tunnels and the underlay's links.
fn reverse_path_filters(subject: &Subject, links: &[(String, IpAddr)]) -> Vec<Obstacle> {
    let underlay: Vec<IpAddr> = subject.node.vtep.underlay.addresses().collect();
    let mut names: Vec<&str> = links
        .iter()
        .filter(|(_, address)| underlay.contains(address))
        .map(|(name, _)| name.as_str())
        .collect();
    names.extend(["vx-bridge", "vx-local"]);
    let all = sysctl("ipv4/conf/all/rp_filter").and_then(|value| value.parse::<u8>().ok()).unwrap_or(0);
    let strict = names.into_iter().filter_map(|name| {
        let own: u8 = sysctl(&format!("ipv4/conf/{name}/rp_filter"))?.parse().ok()?;
        // The kernel takes the larger of the two (ip-sysctl.rst).
        (own.max(all) == 1).then(|| Obstacle {
            kind: ObstacleKind::StrictReversePathFilter,
            subject: name.to_owned(),
            detail: format!(
                "net.ipv4.conf.{name}.rp_filter is {own} and net.ipv4.conf.all.rp_filter is {all}"
            ),
        })
    });
    strict.collect()
}

fn forwarding(subject: &Subject) -> Vec<Obstacle> {
    let families = [
        (Family::V4, "ipv4/ip_forward", "net.ipv4.ip_forward"),
        (Family::V6, "ipv6/conf/all/forwarding", "net.ipv6.conf.all.forwarding"),
    ];
    let off = families.into_iter().filter_map(|(family, path, name)| {
        let used = subject.node.vtep.families.contains(family);
        (used && sysctl(path)? == "0").then(|| Obstacle {
            kind: ObstacleKind::ForwardingOff,
            subject: name.to_owned(),
            detail: format!("{name} is 0"),
        })
    });
    off.collect()
}

/// Chains of others that translate sources before our own chain keeps them.
fn early_masquerade(unknown: &mut Vec<String>) -> Vec<Obstacle> {
    match Counters::open().and_then(|mut counters| counters.early_source_nat()) {
        Ok(chains) => {
            let early = chains.iter().map(|chain| Obstacle {
                kind: ObstacleKind::EarlyMasquerade,
                subject: chain.to_string(),
                detail: format!("the chain {chain} translates sources in postrouting ahead of ours"),
            });
            early.collect()
        }
        Err(error) => {
            unknown.push(format!("chains of others: {error}"));
            Vec::new()
        }
    }
}

/// What of kube-proxy shows here.
fn kube_proxy(unknown: &mut Vec<String>) -> Vec<String> {
    let ipvs = if_nametoindex(IPVS_LINK).is_ok().then(|| format!("link {IPVS_LINK}"));
    let rules = Counters::open().and_then(|mut counters| counters.kube_proxy()).unwrap_or_else(|error| {
        unknown.push(format!("rules of kube-proxy: {error}"));
        BTreeSet::new()
    });
    ipvs.into_iter().chain(rules).take(OF_KUBE_PROXY).collect()
}

/// Addresses behind tunnels that the kernel does not send to from the own overlay address: something ahead of our table
/// catches them.
fn foreign_routes(subject: &Subject, paths: &[PathEvidence]) -> Vec<Obstacle> {
    let vtep = &subject.node.vtep;
    let id = &subject.node.id;
    // Pods of the own cluster are the CNI's, whatever node has them.
    let is_inside = |path: &PathEvidence| {
        path.cluster == id.cluster.as_str() && (path.node == id.node.as_str() || path.kind == PathKind::Pod)
    };
    let behind = paths.iter().filter(|path| path.kind != PathKind::Underlay && !is_inside(path));
    let caught = behind.filter_map(|path| {
        let Ip(text) = &path.address;
        let address: IpAddr = text.parse().ok()?;
        let family = Family::of(address);
        let expected = Ip::from(vtep.overlay.get(family));
        if !vtep.families.contains(family) || path.source.as_ref() == Some(&expected) {
            return None;
        }
        let detail = match (&path.source, &path.refused) {
            (Some(source), _) => {
                format!("the kernel sends to {address} from {source}, and not from {expected}")
            }
            (None, Some(refused)) => format!("the kernel does not send to {address}: {refused}"),
            (None, None) => return None,
        };
        Some(Obstacle { kind: ObstacleKind::ForeignRoute, subject: text.clone(), detail })
    });
    caught.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pods_are_neighbours_that_answered_inside_the_nodes_own_prefixes() {
        let text = "IP address HW type Flags HW address Mask Device\n\
            10.1.0.5 0x1 0x2 00:00:00:00:00:01 * veth1\n\
            10.1.0.6 0x1 0x0 00:00:00:00:00:00 * veth2\n\
            10.1.0.7 0x1 0x6 00:00:00:00:00:01 * vx-bridge\n\
            192.0.2.1 0x1 0x2 00:00:00:00:00:02 * eth0\nnonsense\n";
        assert_eq!(neighbours(text, &["10.1.0.0/24".parse().unwrap()]), [Ip::from("10.1.0.5")]);
    }
}
