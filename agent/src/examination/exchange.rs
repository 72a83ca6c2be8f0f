//! The exchange of packets with the targets: requests go out for a while, and ears are open before and after that, since
//! the other end does not begin at the same moment.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use causeway_api::{
    DiagnosisSpec, DiagnosisTarget, HeardEvidence, Ip, PathEvidence, PathKind, ServiceEvidence,
};

use super::Subject;
use super::echo::{self, Echo, Heard};
use super::overheard::{Arrivals, Overheard};
use super::services::Services;

/// How long a test listens before it sends, while it sends, and afterwards.
const BEFORE: Duration = Duration::from_millis(1000);
const SENDING: Duration = Duration::from_millis(3000);
const AFTER: Duration = Duration::from_millis(1500);
/// Time between two small requests to one address, and how many small ones there are for one of full size.
const ROUND: Duration = Duration::from_millis(300);
const FULL_EVERY: u32 = 2;
/// Paths that are tested at most.
const PATHS: usize = 96;
/// How often what came in is read.
const TURN: Duration = Duration::from_millis(10);
/// The size of IPv6 packets that every link carries.
const IPV6_MINIMUM: usize = 1280;
/// Bytes that fit into the buffers of the ears.
const LARGEST: usize = 9000;

/// How the exchange ended.
#[derive(Debug, Default)]
pub struct Exchange {
    /// How requests to each address ended.
    pub paths: Vec<PathEvidence>,
    /// What came from each target.
    pub heard: Vec<HeardEvidence>,
    /// How connections to Services ended.
    pub services: Vec<ServiceEvidence>,
}

/// A request that may still be answered.
struct Waiting {
    path: usize,
    full: bool,
    sent: Instant,
}

/// Tests against all that is asked for at once. What cannot be done is told.
pub fn run(asked: &DiagnosisSpec, subject: Option<&Subject>, unknown: &mut Vec<String>) -> Exchange {
    let DiagnosisSpec { targets, services, .. } = asked;
    if targets.is_empty() && services.is_empty() {
        return Exchange::default();
    }
    let echo = match Echo::open() {
        Ok(echo) => echo,
        Err(error) => {
            unknown.push(format!("raw ICMP sockets: {error}"));
            return Exchange::default();
        }
    };
    let overheard = subject.map(|subject| Overheard::listen(ports(subject)));
    let overheard = match overheard.transpose() {
        Ok(overheard) => overheard,
        Err(error) => {
            unknown.push(format!("listening to links: {error}"));
            None
        }
    };
    let mut all = Round {
        paths: paths(targets),
        waiting: BTreeMap::new(),
        next: 1,
        delivered: BTreeMap::new(),
        arrivals: BTreeMap::new(),
        echo,
        overheard,
        services: Services::open(services, subject.map(|subject| &subject.node.id.cluster), unknown),
    };
    all.listen(BEFORE);
    let end = Instant::now() + SENDING;
    for round in 0.. {
        if Instant::now() >= end {
            break;
        }
        all.send(round % FULL_EVERY == 0);
        all.services.try_all();
        all.listen(ROUND);
    }
    all.listen(AFTER);
    all.evidence(targets)
}

/// UDP ports of the node's tunnels.
fn ports(subject: &Subject) -> [u16; 2] {
    let tunnels = &subject.node.tunnels;
    let port = |tunnel: Option<causeway_model::Tunnel>| tunnel.map(|tunnel| tunnel.port.0);
    let one = port(tunnels.bridge).or(port(tunnels.local)).unwrap_or_default();
    [one, port(tunnels.local).unwrap_or(one)]
}

fn paths(targets: &[DiagnosisTarget]) -> Vec<(IpAddr, PathEvidence)> {
    let mut paths = Vec::new();
    for target in targets {
        let kinds = [
            (PathKind::Underlay, &target.underlay),
            (PathKind::Overlay, &target.overlay),
            (PathKind::Pod, &target.pods),
        ];
        for (kind, Ip(text)) in kinds.into_iter().flat_map(|(kind, all)| all.iter().map(move |ip| (kind, ip)))
        {
            let Ok(address) = text.parse::<IpAddr>() else { continue };
            let way = echo::way(address);
            let full = way.as_ref().ok().map(|way| way.mtu.unwrap_or(IPV6_MINIMUM).min(LARGEST) as i64);
            let path = PathEvidence {
                cluster: target.cluster.clone(),
                node: target.node.clone(),
                kind,
                address: Ip(text.clone()),
                source: way.as_ref().ok().map(|way| Ip::from(way.source)),
                full_size: full,
                refused: way.err().map(|error| error.to_string()),
                ..PathEvidence::default()
            };
            paths.push((address, path));
        }
    }
    paths.truncate(PATHS);
    paths
}

struct Round {
    paths: Vec<(IpAddr, PathEvidence)>,
    waiting: BTreeMap<u32, Waiting>,
    next: u32,
    delivered: BTreeMap<IpAddr, i64>,
    arrivals: BTreeMap<IpAddr, Arrivals>,
    echo: Echo,
    overheard: Option<Overheard>,
    services: Services,
}

impl Round {
    fn send(&mut self, full: bool) {
        for index in 0..self.paths.len() {
            self.send_one(index, false);
            if full {
                self.send_one(index, true);
            }
        }
    }

    fn send_one(&mut self, index: usize, full: bool) {
        let (address, path) = &mut self.paths[index];
        let length = match (full, path.full_size) {
            (false, _) => 0,
            (true, Some(size)) => size as usize,
            (true, None) => return,
        };
        let seq = self.next;
        self.next += 1;
        let sent = Instant::now();
        match self.echo.send(*address, seq, length) {
            // The buffer of the link is full, or the packet is too large for what the kernel learned meanwhile.
            Err(error) if full || error.kind() == io::ErrorKind::WouldBlock => return,
            Err(error) => path.refused = Some(error.to_string()),
            Ok(()) => {
                self.waiting.insert(seq, Waiting { path: index, full, sent });
            }
        }
        let path = &mut self.paths[index].1;
        *(if full { &mut path.full_sent } else { &mut path.sent }) += 1;
    }

    fn listen(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            self.take();
            let rest = end.saturating_duration_since(Instant::now());
            if rest.is_zero() {
                return;
            }
            thread::sleep(rest.min(TURN));
        }
    }

    fn take(&mut self) {
        let Round { paths, waiting, delivered, arrivals, echo, overheard, services, next: _ } = self;
        echo.heard(|heard| {
            let (Heard::Answer { from, .. } | Heard::Other { from }) = heard;
            *delivered.entry(from).or_default() += 1;
            let Heard::Answer { seq, .. } = heard else { return };
            let Some(Waiting { path, full, sent }) = waiting.remove(&seq) else { return };
            let path = &mut paths[path].1;
            *(if full { &mut path.full_answered } else { &mut path.answered }) += 1;
            let rtt = sent.elapsed().as_micros() as i64;
            path.rtt_microseconds = Some(path.rtt_microseconds.map_or(rtt, |least| least.min(rtt)));
        });
        if let Some(overheard) = overheard {
            overheard.take(arrivals);
        }
        services.take();
    }

    fn evidence(self, targets: &[DiagnosisTarget]) -> Exchange {
        let parsed = |ips: &[Ip]| ips.iter().filter_map(|Ip(ip)| ip.parse().ok()).collect::<Vec<IpAddr>>();
        let heard = targets.iter().map(|target| {
            let arrivals: Vec<&Arrivals> =
                parsed(&target.underlay).iter().filter_map(|ip| self.arrivals.get(ip)).collect();
            let delivered = parsed(&target.overlay).iter().filter_map(|ip| self.delivered.get(ip)).sum();
            HeardEvidence {
                cluster: target.cluster.clone(),
                node: target.node.clone(),
                on_link: self.overheard.is_some().then(|| arrivals.iter().map(|one| one.packets).sum()),
                link: arrivals.iter().find_map(|one| one.link.clone()),
                delivered,
            }
        });
        let heard = heard.collect();
        let paths = self.paths.into_iter().map(|(_, path)| path).collect();
        Exchange { paths, heard, services: self.services.evidence() }
    }
}
