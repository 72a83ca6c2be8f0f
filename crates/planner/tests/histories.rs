//! Random histories: whatever happened, and in whatever order, the plan is that of a planner which
//! starts afresh from the objects, and the checker finds nothing wrong with it.

#![allow(clippy::unwrap_used, reason = "a test may panic")]

mod common;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::NonZeroU32;

use causeway_model::{
    Age, ClusterFacts, ClusterSetFacts, DualStack, Families, GatewayPolicy, GlobalCidrs, LabelSelector, Mode,
    NodeFacts, NodeId, Prefix, Readiness, Translation, TunnelPair, UdpPort,
};
use causeway_planner::checker::{Facts, check};
use causeway_planner::{Changes, Event, Plan, Planner};
use common::{Random, label, name, p, prefixes, restart, v4, v6};

const CLUSTERS: [&str; 6] = ["a", "a-b", "default", "nodes", "service1", "z"];
const PODS: [&str; 14] = [
    "10.1.0.0/16",
    "10.1.0.0/16",
    "10.1.128.0/17",
    "10.2.0.0/16",
    "10.2.64.0/18",
    "10.3.0.0/16",
    "fd00:1::/48",
    "fd00:1::/48",
    "fd00:1:0:8000::/49",
    "fd00:2::/48",
    "10.0.0.0/8",
    "192.168.0.0/16",
    "0.0.0.0/0",
    "198.18.4.0/24",
];
const SERVICES: [&str; 8] = [
    "10.96.0.0/16",
    "10.96.0.0/16",
    "10.97.0.0/16",
    "fd00:96::/112",
    "fd00:97::/112",
    "10.1.0.0/20",
    "::/0",
    "127.0.0.0/8",
];
const GLOBALS: [&str; 7] = [
    "100.64.0.0/16",
    "100.65.0.0/16",
    "100.64.0.0/17",
    "240.9.0.0/16",
    "fd00:aaaa::/48",
    "fd00:aaab::/112",
    "192.168.0.0/16",
];
const OVERLAYS: [(&[&str], &[&str]); 5] = [
    (&["198.18.0.0/15"], &["fd63:6175:7365:1::/64"]),
    (&["198.18.0.0/23"], &["fd63:6175:7365:1::/119"]),
    (&["198.18.0.0/24", "198.19.0.0/22"], &["fd63:6175:7365:1::/64"]),
    (&["198.19.0.0/16", "224.0.0.0/8"], &["fdc5:a05e:77a5::/64", "10.0.0.0/8"]),
    (&["198.18.0.0/22"], &["fd63:6175:7365:1::/100", "fdc5:a05e:77a6::/64"]),
];
const POOLS: [(&[&str], &[&str]); 4] = [
    (&["100.64.0.0/10"], &["fd63:6176::/48"]),
    (&["100.64.0.0/15"], &["fd63:6176::/48", "fdc5:a05e:77a3::/48"]),
    (&["100.66.0.0/16", "100.70.0.0/15"], &[]),
    (&[], &["fdc5:a05e:77a9::/48"]),
];

/// How large the histories' world is.
#[derive(Clone, Copy)]
struct World {
    clusters: usize,
    /// Nodes of a cluster.
    nodes: usize,
    /// Most events of a batch.
    batch: usize,
}

impl World {
    fn event(self, random: &mut Random) -> Event {
        match random.below(100) {
            0 => Event::ClusterSet(if random.once_in(3) { None } else { Some(cluster_set(random)) }),
            1..=3 => Event::ClusterGone(name(CLUSTERS[random.below(self.clusters)])),
            4..=17 => Event::Cluster(self.cluster(random)),
            18..=40 => Event::NodeGone(self.node_id(random)),
            _ => Event::Node(self.node(random)),
        }
    }

    fn node_id(self, random: &mut Random) -> NodeId {
        let node = format!("n{}", random.below(self.nodes));
        NodeId { cluster: name(CLUSTERS[random.below(self.clusters)]), node: node.parse().unwrap() }
    }

    fn cluster(self, random: &mut Random) -> ClusterFacts {
        let some = |random: &mut Random, of: &[&str], most: usize| {
            (0..random.below(most + 1)).map(|_| p(random.pick(of))).collect::<Vec<_>>()
        };
        let families: Families = random.pick(&[Families::DUAL, Families::DUAL, v4(), v6()]);
        let selector = |random: &mut Random| {
            if random.once_in(3) { label("role", "edge") } else { LabelSelector::default() }
        };
        let pods = some(random, &PODS, 3);
        let services = some(random, &SERVICES, 2);
        ClusterFacts {
            name: name(CLUSTERS[random.below(self.clusters)]),
            age: random.pick(&[Age::Created(1), Age::Created(1), Age::Created(2), Age::Unknown]),
            mode: random.pick(&[None, Some(Mode::P2p), Some(Mode::Gateway), Some(Mode::Gateway)]),
            families,
            globals: globals(random, &pods, &services),
            pods,
            services,
            gateways: GatewayPolicy {
                count: NonZeroU32::new(random.below(5) as u32),
                selector: selector(random),
            },
            nodes: if random.once_in(8) { label("pool", "in") } else { LabelSelector::default() },
            transport: None,
            underlay_mtu: random.pick(&[None, Some(1400), Some(9000)]),
        }
    }

    fn node(self, random: &mut Random) -> NodeFacts {
        let id = self.node_id(random);
        let cluster = CLUSTERS.iter().position(|c| *c == id.cluster.as_str()).unwrap();
        let number: usize = id.node.as_str()[1..].parse().unwrap();
        let mut place = cluster * self.nodes + number;
        if random.once_in(12) {
            place = random.below(self.nodes * self.clusters);
        }
        let mut address = v4_at(0xc0a8_0000, place + 1);
        if random.once_in(25) {
            address = random
                .pick(&["10.2.70.5", "100.64.0.9", "100.65.7.7", "198.18.0.77", "127.0.0.1"])
                .parse()
                .unwrap();
        }
        let underlay = DualStack {
            v4: (!random.once_in(5)).then_some(address),
            v6: random.once_in(2).then(|| v6_at(0x2001_0db8, place as u128 + 1)),
        };
        let mut labels = BTreeMap::new();
        for (key, value, times) in
            [("role", "edge", 2), ("pool", "in", 2), ("causeway.dev/exclude", "true", 15)]
        {
            if random.once_in(times) {
                labels.insert(key.to_owned(), value.to_owned());
            }
        }
        NodeFacts {
            pods: node_pods(random, number),
            id,
            underlay,
            readiness: random.pick(&[
                Readiness::Ready,
                Readiness::Ready,
                Readiness::Cordoned,
                Readiness::NotReady,
            ]),
            zone: random.pick(&[None, Some("x"), Some("y"), Some("z")]).map(str::to_owned),
            labels,
        }
    }
}

fn v4_at(base: u32, offset: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::from(base + offset as u32))
}

fn v6_at(base: u32, offset: u128) -> IpAddr {
    IpAddr::V6(Ipv6Addr::from((u128::from(base) << 96) + offset))
}

fn globals(random: &mut Random, pods: &[Prefix], services: &[Prefix]) -> GlobalCidrs {
    match random.below(4) {
        0 => GlobalCidrs::Off,
        1 => {
            let mut real: Vec<Prefix> = pods.iter().chain(services).copied().collect();
            real.push(p("10.1.0.0/17"));
            let one = |random: &mut Random| Translation {
                real: random.pick(&real),
                global: p(random.pick(&GLOBALS)),
            };
            GlobalCidrs::Map((0..random.below(4)).map(|_| one(random)).collect())
        }
        _ => GlobalCidrs::Auto,
    }
}

/// Mostly the node's own part of a pod CIDR, at times another's, a wider one or one outside.
fn node_pods(random: &mut Random, number: usize) -> Vec<Prefix> {
    let mut pods = Vec::new();
    if random.once_in(4) {
        return pods;
    }
    let base = random.pick(&[0x0a01_0000, 0x0a01_0000, 0x0a02_0000, 0x0a03_0000, 0x0b00_0000]);
    let place = if random.once_in(6) { random.below(256) } else { number };
    let len = random.pick(&[24, 24, 24, 23, 26]);
    pods.push(Prefix::containing(v4_at(base, place << 8), len).unwrap());
    if random.once_in(2) {
        pods.push(Prefix::containing(v6_at(0xfd00_0001, (place as u128) << 64), 64).unwrap());
    }
    if random.once_in(10) {
        pods.push(pods[0]);
    }
    pods
}

fn cluster_set(random: &mut Random) -> ClusterSetFacts {
    let (overlay4, overlay6) = random.pick(&OVERLAYS);
    let (pool4, pool6) = random.pick(&POOLS);
    let mut tunnels = TunnelPair::default();
    tunnels.bridge.port = UdpPort(4876 + random.below(2) as u16);
    ClusterSetFacts {
        overlay: DualStack { v4: prefixes(overlay4), v6: prefixes(overlay6) },
        global_pool: DualStack { v4: prefixes(pool4), v6: prefixes(pool6) },
        tunnels,
        default_mode: random.pick(&[Mode::P2p, Mode::Gateway]),
        default_gateways: NonZeroU32::new(1 + random.below(3) as u32).unwrap(),
        ..ClusterSetFacts::default()
    }
}

/// Which object an event speaks of.
fn object(event: &Event) -> String {
    match event {
        Event::ClusterSet(_) => String::new(),
        Event::Cluster(facts) => facts.name.to_string(),
        Event::ClusterGone(name) => name.to_string(),
        Event::Node(facts) => facts.id.to_string(),
        Event::NodeGone(id) => id.to_string(),
    }
}

/// No object is reported as changed that is as it was.
fn none_idle(before: &Plan, changes: &Changes, at: &str) {
    let nodes = changes.nodes.iter().filter(|plan| before.nodes.get(&plan.id) == Some(plan)).count();
    let links = changes.links.iter().filter(|plan| before.links.get(&plan.id) == Some(plan)).count();
    let slices = changes.slices.iter().filter(|plan| before.slices.get(&plan.id) == Some(plan)).count();
    let clusters =
        changes.clusters.iter().filter(|plan| before.clusters.get(&plan.name) == Some(plan)).count();
    assert_eq!([nodes, links, slices, clusters], [0; 4], "unchanged nodes, links, slices, clusters: {at}");
}

/// One history: two planners get the same batches in different orders.
struct History {
    seed: u64,
    random: Random,
    world: World,
    facts: Facts,
    planners: [Planner; 2],
    plan: Plan,
    events: usize,
}

impl History {
    fn new(seed: u64, world: World) -> History {
        History {
            seed,
            random: Random::new(seed),
            world,
            facts: Facts::default(),
            planners: [Planner::new(), Planner::new()],
            plan: Plan::default(),
            events: 0,
        }
    }

    fn batch(&mut self) -> Vec<Event> {
        let count = 1 + self.random.below(self.world.batch);
        let mut seen = BTreeSet::new();
        let mut events: Vec<Event> = (0..count).map(|_| self.world.event(&mut self.random)).collect();
        events.retain(|event| seen.insert(object(event)));
        events
    }

    fn step(&mut self, mut events: Vec<Event>, full: bool) {
        self.events += events.len();
        let at = format!("seed {}, after {} events", self.seed, self.events);
        for event in &events {
            self.facts.apply(event.clone());
            self.planners[0].handle(event.clone());
        }
        self.random.shuffle(&mut events);
        for event in events {
            self.planners[1].handle(event);
        }
        let [changes, shuffled] = self.planners.each_mut().map(Planner::plan);
        assert!(changes == shuffled, "order matters: {at}");
        none_idle(&self.plan, &changes, &at);
        self.plan.apply(changes);
        if !full {
            return;
        }
        assert!(self.plan == self.planners[0].snapshot(), "changes do not lead to the snapshot: {at}");
        let mut events: Vec<Event> = self.facts.events().collect();
        self.random.shuffle(&mut events);
        let fresh = restart(&self.plan, events.into_iter());
        difference(&self.plan, &fresh.snapshot(), &at);
        let violations: Vec<String> =
            check(&self.facts, &self.plan).iter().map(ToString::to_string).collect();
        assert!(violations.is_empty(), "{at}: {violations:#?}");
        if self.random.once_in(4) {
            self.planners[1] = fresh;
        }
    }
}

fn difference(incremental: &Plan, fresh: &Plan, at: &str) {
    fn first<K: Ord + std::fmt::Debug, V: PartialEq + std::fmt::Debug>(
        what: &str,
        incremental: &BTreeMap<K, V>,
        fresh: &BTreeMap<K, V>,
        at: &str,
    ) {
        for key in incremental.keys().chain(fresh.keys()) {
            let (a, b) = (incremental.get(key), fresh.get(key));
            assert!(a == b, "{at}: {what} {key:?}\nincremental {a:#?}\nfresh {b:#?}");
        }
    }
    first("cluster", &incremental.clusters, &fresh.clusters, at);
    first("node", &incremental.nodes, &fresh.nodes, at);
    first("finding", &incremental.node_findings, &fresh.node_findings, at);
    first("slice", &incremental.slices, &fresh.slices, at);
    first("link", &incremental.links, &fresh.links, at);
    assert!(incremental == fresh, "{at}");
}

/// Runs histories on both cores until they have had this many events.
fn run(world: World, seeds: std::ops::Range<u64>, events: usize, full_in: usize) {
    let middle = seeds.start + (seeds.end - seeds.start) / 2;
    std::thread::scope(|scope| {
        for part in [seeds.start..middle, middle..seeds.end] {
            scope.spawn(move || {
                for seed in part {
                    let mut history = History::new(seed, world);
                    while history.events < events {
                        let events = history.batch();
                        let full = history.random.once_in(full_in);
                        history.step(events, full);
                    }
                    history.step(Vec::new(), true);
                }
            });
        }
    });
}

#[test]
fn incremental_equals_full_through_100_000_random_events() {
    run(World { clusters: 6, nodes: 8, batch: 8 }, 0..400, 260, 2);
}

#[test]
fn incremental_equals_full_with_several_slices_and_overlay_blocks() {
    run(World { clusters: 2, nodes: 700, batch: 900 }, 1_000..1_004, 8_000, 3);
}
