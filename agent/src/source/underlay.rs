//! Finding the node's own underlay addresses, where its cluster leaves that to the node: asked for in the spec
//! of the node's ClusterNode, answered in its status, and followed when they change.

use std::future::pending;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::Duration;

use causeway_api::{CausewayObject, Change, ClusterNode, ClusterNodeResolve, Kind, Object, ObjectRef};
use causeway_kubernetes::{Failures, Problem, RequestError, Writer};
use causeway_model::DualStack;
use futures::future::{BoxFuture, FutureExt};
use nix::ifaddrs::getifaddrs;
use serde_json::json;
use tokio::time::{Instant, sleep_until};

/// How often the addresses are looked at, and the first wait after an answer that could not be written.
const LOOK: Duration = Duration::from_secs(2);
/// The longest wait after an answer that could not be written.
const RETRY: Duration = Duration::from_secs(60);

/// What is asked, what was answered, and the answer that is under way.
#[derive(Default)]
pub struct Underlay {
    asked: Option<(ObjectRef, ClusterNodeResolve)>,
    told: Vec<IpAddr>,
    next: Option<Instant>,
    answering: Option<BoxFuture<'static, (ObjectRef, Result<(), RequestError>)>>,
    failures: Failures<ObjectRef>,
}

impl Underlay {
    /// Takes in what changed of the node's ClusterNode.
    pub fn handle(&mut self, change: &Change) {
        match change {
            Change::Applied(object) => {
                let Object::ClusterNode(node) = &**object else { return };
                self.asked = node.spec.resolve.clone().map(|resolve| (node.key(), resolve));
                self.told = told(node);
            }
            Change::Deleted(key) if key.kind == Kind::ClusterNode => {
                self.asked = None;
                self.failures = Failures::default();
            }
            Change::Deleted(_) => return,
        }
        self.next = self.asked.is_some().then(Instant::now);
    }

    /// What keeps the answer from being written.
    pub fn problems(&self) -> Vec<Problem> {
        self.failures.problems("")
    }

    /// Answers whenever the answer is another, and returns when an answer was written or could not be. Giving up
    /// waiting loses nothing.
    pub async fn progress(&mut self, writer: &Writer) {
        loop {
            if let Some(answering) = &mut self.answering {
                let (key, result) = answering.await;
                self.answering = None;
                if result.is_ok() {
                    tracing::info!(addresses = ?self.told, "underlay addresses of this node");
                } else {
                    let wait = LOOK * 2u32.saturating_pow(self.failures.count(&key).min(16));
                    self.next = self.asked.is_some().then(|| Instant::now() + wait.min(RETRY));
                    self.told.clear();
                }
                self.failures.ended(&key, result);
                return;
            }
            let Some(next) = self.next else { return pending().await };
            sleep_until(next).await;
            self.next = Some(Instant::now() + LOOK);
            if let Some((key, resolve)) = &self.asked {
                let found = resolve_now(resolve);
                if found != self.told {
                    self.told.clone_from(&found);
                    let (writer, key) = (writer.clone(), key.clone());
                    let status = json!({"underlay": found});
                    let answer = async move {
                        let result = writer.apply_status(&key, &status).await;
                        (key, result)
                    };
                    self.answering = Some(answer.boxed());
                }
            }
        }
    }
}

fn told(node: &ClusterNode) -> Vec<IpAddr> {
    let underlay = node.status.iter().flat_map(|status| &status.underlay);
    underlay.filter_map(|ip| ip.0.parse().ok()).collect()
}

/// The node's addresses now, at most one of each family; none while there are none.
fn resolve_now(resolve: &ClusterNodeResolve) -> Vec<IpAddr> {
    let found: Vec<IpAddr> = match (&resolve.interface, &resolve.can_reach) {
        (Some(interface), _) => of_interface(interface),
        (None, Some(target)) => target.0.parse().ok().and_then(source_towards).into_iter().collect(),
        (None, None) => Vec::new(),
    };
    DualStack::first_of_each(found.into_iter().filter(is_usable)).addresses().collect()
}

/// Addresses that other nodes can send to from elsewhere.
fn is_usable(address: &IpAddr) -> bool {
    let local = match address {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !local && !address.is_loopback() && !address.is_unspecified()
}

fn of_interface(name: &str) -> Vec<IpAddr> {
    let all = getifaddrs().into_iter().flatten().filter(|interface| interface.interface_name == name);
    all.filter_map(|interface| {
        let address = interface.address?;
        let v4 = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
        v4.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
    })
    .collect()
}

/// The address that the kernel would send from; nothing is sent.
fn source_towards(target: IpAddr) -> Option<IpAddr> {
    let any: IpAddr = match target {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((target, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_that_lead_nowhere_else_are_left_out() {
        let ask =
            |interface: &str| ClusterNodeResolve { interface: Some(interface.to_owned()), can_reach: None };
        assert!(resolve_now(&ask("lo")).is_empty());
        assert!(resolve_now(&ask("no-such-device")).is_empty());
        assert_eq!(source_towards(Ipv4Addr::LOCALHOST.into()), Some(Ipv4Addr::LOCALHOST.into()));
        let none = ClusterNodeResolve { interface: None, can_reach: Some("127.0.0.1".into()) };
        assert!(resolve_now(&none).is_empty());
        for (address, usable) in [
            ("192.0.2.1", true),
            ("169.254.0.1", false),
            ("fe80::1", false),
            ("2001:db8::1", true),
            ("::1", false),
        ] {
            assert_eq!(is_usable(&address.parse().unwrap()), usable, "{address}");
        }
    }
}
