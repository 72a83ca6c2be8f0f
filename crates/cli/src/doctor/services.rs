//! Services that nodes open connections to: their own cluster's, and those of others as they see them.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use causeway_api::{DiagnosisService, Ip};
use causeway_model::{ClusterName, NodePlan, Translation};
use causeway_planner::Plan;

use super::targets::link;

/// Services of one node at most: what a Diagnosis holds.
const SERVICES: usize = 16;

/// A TCP port of a Service that exists.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KnownService {
    /// Its cluster.
    pub cluster: ClusterName,
    /// What it is called there.
    pub name: String,
    /// Its address, as its cluster uses it.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

impl FromStr for KnownService {
    type Err = String;

    /// Reads `CLUSTER/ADDRESS:PORT`, an IPv6 address in brackets.
    fn from_str(text: &str) -> Result<KnownService, String> {
        let wanted = || "write CLUSTER/ADDRESS:PORT, such as east/10.96.0.1:443 or east/[fd00::1]:443";
        let (cluster, address) = text.split_once('/').ok_or_else(wanted)?;
        let socket: SocketAddr = address.parse().map_err(|_| wanted())?;
        if socket.port() == 0 {
            return Err(wanted().to_owned());
        }
        let cluster = cluster.parse().map_err(|error| format!("{error}"))?;
        Ok(KnownService { cluster, name: address.to_owned(), address: socket.ip(), port: socket.port() })
    }
}

/// Which of them `node` tries, its own cluster's first: who has no tunnel to other clusters translates for none of them,
/// and tries none.
pub fn of(node: &NodePlan, known: &[KnownService], plan: &Plan) -> Vec<DiagnosisService> {
    if node.tunnels.bridge.is_none() {
        return Vec::new();
    }
    let seen = |service: &KnownService, address: IpAddr| DiagnosisService {
        cluster: service.cluster.to_string(),
        name: service.name.clone(),
        address: Ip::from(address),
        port: service.port.into(),
    };
    let (own, others): (Vec<_>, Vec<_>) =
        known.iter().partition(|service| service.cluster == node.id.cluster);
    let own = own.into_iter().map(|service| seen(service, service.address));
    let others = others.into_iter().filter_map(|service| {
        let address = abroad(service, plan);
        let link = link(node, &service.cluster, plan)?;
        link.prefixes.iter().any(|one| one.prefix.contains(address)).then(|| seen(service, address))
    });
    own.chain(others).take(SERVICES).collect()
}

/// The address under which other clusters see it. Any node of its cluster says so; of the cluster itself members do not
/// tell.
fn abroad(service: &KnownService, plan: &Plan) -> IpAddr {
    let node = plan.nodes.values().find(|node| node.id.cluster == service.cluster);
    node.map_or(service.address, |node| Translation::abroad(&node.translations, service.address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_service_is_read_with_its_cluster_address_and_port() {
        let read = |text: &str| text.parse::<KnownService>();
        let one = read("east/[fd00::1]:443").unwrap();
        assert_eq!((one.cluster.as_str(), one.port), ("east", 443));
        assert_eq!((one.address, one.name.as_str()), ("fd00::1".parse().unwrap(), "[fd00::1]:443"));
        assert!(read("east/10.96.0.1:443").is_ok());
        for bad in ["10.96.0.1:443", "east/10.96.0.1", "east/web:80", "east/10.96.0.1:0", "/10.96.0.1:1", ""]
        {
            assert!(read(bad).is_err(), "{bad}");
        }
    }
}
