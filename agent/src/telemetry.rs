//! What the agent measures of itself, of its node's links and of the kernel's counters. Nothing follows from it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use causeway_api::LinkState;
use causeway_dataplane::KernelError;
use causeway_dataplane::counters::{Counters, Traffic};
use causeway_dataplane::nft::{Origin, Received, TableKind};
use causeway_metrics::catalogue::{
    DEVICE_BYTES, DEVICE_DROPS, DEVICE_ERRORS, DEVICE_PACKETS, FAILOVERS, FAST_PATH, FIREWALL_DROPS,
    GATEWAYS, GATEWAYS_IMPAIRED, LINK_BYTES, LINK_JITTER, LINK_LOST, LINK_PACKETS, LINK_RTT, LINK_UP, PEERS,
    RECONCILE_DURATION, RECONCILE_ERRORS, RECONCILE_REPAIRS, RECONCILE_STEPS, RECONCILE_SUCCESS, ROUTES,
    RTT_BOUNDS,
};
use causeway_metrics::{Metrics, Page, Value};
use causeway_model::{ClusterName, LinkPlan, Prefix};
use causeway_probing::{Impairment, Prober, State, Status, Tallies};

use crate::converge::{ConvergeError, Pass};

/// The kernel's counters are read no more often than this.
const KERNEL: Duration = Duration::from_secs(5);
/// With more clusters than this less is told of each: of round-trip times sum and count, no jitter, of traffic the bytes. A scrape
/// stays below 50 kB with 100.
const DETAILED: usize = 16;
/// How our devices carry packets.
const ENCAPSULATION: &str = "vxlan";

/// The agent's numbers.
pub struct Telemetry {
    metrics: Metrics,
    /// Whether the kernel was as planned after the last pass, and nothing else was asked for since.
    in_force: bool,
    remotes: Remotes,
}

/// Whose prefixes are whose, by the links of the last pass.
type Remotes = Arc<Mutex<Vec<(Prefix, ClusterName)>>>;

impl Telemetry {
    /// Puts them into `metrics`.
    pub fn new(metrics: Metrics) -> Telemetry {
        ConvergeError::REASONS.iter().for_each(|reason| metrics.start(&RECONCILE_ERRORS, &[reason]));
        let remotes = Remotes::default();
        metrics.on_scrape(kernel(remotes.clone()));
        Telemetry { metrics, in_force: false, remotes }
    }

    /// These links are programmed: what comes from their prefixes is told as theirs.
    pub fn planned(&self, links: &[LinkPlan]) {
        let of = |link: &LinkPlan| {
            let remote = link.id.remote.clone();
            link.prefixes.clone().into_iter().map(move |prefix| (prefix.prefix, remote.clone()))
        };
        *self.remotes.lock().unwrap_or_else(PoisonError::into_inner) = links.iter().flat_map(of).collect();
    }

    /// Tells at each scrape what probes say.
    pub fn watch(&self, prober: &Prober) {
        let (statuses, tallies) = (prober.statuses(), prober.tallies());
        self.metrics.on_scrape(move |page| {
            put_gateways(page, &statuses.borrow());
            put_links(page, &tallies.borrow(), &statuses.borrow());
        });
    }

    /// Something else is asked for: what the next pass changes is no repair.
    pub fn asked_anew(&mut self) {
        self.in_force = false;
    }

    /// A pass took so long and ended so.
    pub fn passed(&mut self, result: &Result<Pass, ConvergeError>, took: Duration) {
        self.metrics.observe(&RECONCILE_DURATION, &[], took.as_secs_f64());
        let was_in_force = std::mem::replace(&mut self.in_force, result.is_ok());
        match result {
            Err(error) => self.metrics.add(&RECONCILE_ERRORS, &[error.reason()], 1),
            Ok(pass) => {
                for (kind, steps) in &pass.kinds {
                    self.metrics.add(&RECONCILE_STEPS, &[kind], *steps);
                }
                if was_in_force {
                    self.metrics.add(&RECONCILE_REPAIRS, &[], pass.steps_of_plan() as u64);
                }
                self.metrics.set(&PEERS, &[], pass.peers as f64);
                self.metrics.set(&ROUTES, &[], pass.routes as f64);
                self.metrics.set(&FAST_PATH, &[], f64::from(u8::from(pass.fast_path)));
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                self.metrics.set(&RECONCILE_SUCCESS, &[], now.as_secs_f64());
            }
        }
    }

    /// Groups of gateways were changed.
    pub fn failed_over(&self) {
        self.metrics.add(&FAILOVERS, &[], 1);
    }

    /// How the links are, and which clusters do not answer.
    pub fn links(&self, links: &[LinkState], unreachable: &BTreeSet<&ClusterName>) {
        self.metrics.set_all(&LINK_UP, ups(links, unreachable));
    }
}

/// 1 for each link that is programmed and answers. Where the own cluster's gateways do not answer, no link does.
fn ups<'a>(links: &'a [LinkState], unreachable: &BTreeSet<&ClusterName>) -> Vec<(&'a str, f64)> {
    let remotes: BTreeSet<&str> = links.iter().map(|link| link.remote_cluster.as_str()).collect();
    let silent: BTreeSet<&str> = unreachable.iter().map(|cluster| cluster.as_str()).collect();
    let own_silent = silent.iter().any(|cluster| !remotes.contains(cluster));
    let up = |link: &LinkState| link.ready && !own_silent && !silent.contains(link.remote_cluster.as_str());
    links.iter().map(|link| (link.remote_cluster.as_str(), f64::from(u8::from(up(link))))).collect()
}

fn put_gateways(page: &mut Page, statuses: &[Status]) {
    for (name, state) in [("alive", State::Alive), ("dead", State::Dead), ("silent", State::Silent)] {
        let count = statuses.iter().filter(|status| status.state == state).count();
        page.put(&GATEWAYS, &[name], Value::Count(count as u64));
    }
    for (name, impairment) in [("loss", Impairment::Loss), ("large_packets", Impairment::LargePackets)] {
        let count = statuses.iter().filter(|status| status.impairments.contains(&impairment)).count();
        page.put(&GATEWAYS_IMPAIRED, &[name], Value::Count(count as u64));
    }
}

fn put_links(page: &mut Page, tallies: &Tallies, statuses: &[Status]) {
    let mut jitters: BTreeMap<&str, Vec<Duration>> = BTreeMap::new();
    for status in statuses.iter().filter(|status| status.state == State::Alive) {
        jitters.entry(&status.target.pool).or_default().extend(status.jitter);
    }
    let is_detailed = tallies.len() <= DETAILED;
    for (remote, mut all) in jitters.into_iter().filter(|_| is_detailed) {
        all.sort_unstable();
        if let Some(median) = all.get(all.len() / 2) {
            page.put(&LINK_JITTER, &[remote], Value::Number(median.as_secs_f64()));
        }
    }
    for (remote, tally) in tallies {
        let bounds = if is_detailed { RTT_BOUNDS } else { &[] };
        let mut below = 0;
        let buckets = bounds.iter().map(|bound| {
            let within = tally.rtts.within(*bound);
            (*bound, within - std::mem::replace(&mut below, within))
        });
        let buckets = buckets.collect();
        let (count, sum) = (tally.rtts.count(), tally.sum.as_secs_f64());
        page.put(&LINK_RTT, &[remote], Value::Distribution { buckets, count, sum });
        page.put(&LINK_LOST, &[remote], Value::Count(tally.lost));
    }
}

/// Puts the kernel's counters on a page, as they are or were a moment ago.
fn kernel(remotes: Remotes) -> impl FnMut(&mut Page) + Send + 'static {
    let mut counters: Option<Counters> = None;
    let mut sums = Sums::default();
    let mut read: Option<(Instant, Page)> = None;
    move |page: &mut Page| {
        let is_fresh = read.as_ref().is_some_and(|(at, _)| at.elapsed() < KERNEL);
        if !is_fresh {
            let remotes = remotes.lock().unwrap_or_else(PoisonError::into_inner).clone();
            match read_kernel(&mut counters, &mut sums, &remotes) {
                Ok(now) => read = Some((Instant::now(), now)),
                Err(error) => {
                    tracing::warn!(%error, "the kernel's counters are left out of the metrics");
                    (counters, read) = (None, None);
                }
            }
        }
        if let Some((_, kernel)) = &read {
            page.extend(kernel);
        }
    }
}

fn read_kernel(
    counters: &mut Option<Counters>,
    sums: &mut Sums,
    remotes: &[(Prefix, ClusterName)],
) -> Result<Page, KernelError> {
    let open = match counters {
        Some(open) => open,
        None => counters.insert(Counters::open()?),
    };
    let mut page = Page::default();
    for (device, traffic) in open.devices()? {
        for (direction, Traffic { packets, bytes, errors, dropped }) in
            [("receive", traffic.received), ("transmit", traffic.sent)]
        {
            let labels = [device.name(), ENCAPSULATION, direction];
            page.put(&DEVICE_PACKETS, &labels, Value::Count(packets));
            page.put(&DEVICE_BYTES, &labels, Value::Count(bytes));
            page.put(&DEVICE_ERRORS, &labels, Value::Count(errors));
            page.put(&DEVICE_DROPS, &labels, Value::Count(dropped));
        }
    }
    for (reason, packets) in open.drops()? {
        page.put(&FIREWALL_DROPS, &[&reason], Value::Count(packets));
    }
    sums.add(&open.received()?, remotes);
    put_traffic(&mut page, &sums.by_remote);
    Ok(page)
}

fn put_traffic(page: &mut Page, sums: &BTreeMap<ClusterName, Traffic>) {
    for (remote, Traffic { packets, bytes, .. }) in sums {
        page.put(&LINK_BYTES, &[remote.as_str()], Value::Count(*bytes));
        if sums.len() <= DETAILED {
            page.put(&LINK_PACKETS, &[remote.as_str()], Value::Count(*packets));
        }
    }
}

/// What came from each cluster, as far as the kernel had counted it when the agent looked first, and since. The kernel counts by origin, and one that is gone takes its count with it: of
/// a sum that fell, Prometheus would count all that is left once more.
#[derive(Default)]
struct Sums {
    last: BTreeMap<(TableKind, Origin), Traffic>,
    by_remote: BTreeMap<ClusterName, Traffic>,
}

impl Sums {
    /// Adds what came since the last time. Prefixes of two clusters never overlap, and an origin may be made of several of one.
    fn add(&mut self, received: &[Received], remotes: &[(Prefix, ClusterName)]) {
        self.by_remote.retain(|cluster, _| remotes.iter().any(|(_, remote)| remote == cluster));
        let last = std::mem::take(&mut self.last);
        for Received { table, origin, packets, bytes } in received {
            let now = Traffic { packets: *packets, bytes: *bytes, ..Traffic::default() };
            self.last.insert((*table, *origin), now);
            let remote = remotes.iter().find(|(prefix, _)| prefix.overlaps(&origin.sources));
            let Some((_, remote)) = remote else { continue };
            // One that counts less than before was added anew.
            let before = last.get(&(*table, *origin)).filter(|before| before.packets <= now.packets);
            let before = before.copied().unwrap_or_default();
            let sum = self.by_remote.entry(remote.clone()).or_default();
            sum.packets += now.packets - before.packets;
            sum.bytes += now.bytes.saturating_sub(before.bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use causeway_metrics::Program;
    use causeway_probing::{Tally, Target};

    use super::*;

    fn link(remote: &str, ready: bool) -> LinkState {
        LinkState { remote_cluster: remote.to_owned(), ready, ..LinkState::default() }
    }

    #[test]
    fn a_link_is_up_if_it_is_programmed_and_the_way_answers() {
        let links = [link("b", true), link("c", true), link("d", false)];
        let (b, own): (ClusterName, ClusterName) = ("b".parse().unwrap(), "own".parse().unwrap());
        assert_eq!(ups(&links, &[].into()), [("b", 1.0), ("c", 1.0), ("d", 0.0)]);
        assert_eq!(ups(&links, &[&b].into()), [("b", 0.0), ("c", 1.0), ("d", 0.0)]);
        assert_eq!(ups(&links, &[&own].into()), [("b", 0.0), ("c", 0.0), ("d", 0.0)]);
    }

    #[test]
    fn what_came_from_several_prefixes_of_a_cluster_is_summed_up_and_never_falls() {
        let prefix = |text: &str| text.parse::<Prefix>().unwrap();
        let came_by = |table: TableKind, sources: &str, packets: u64| Received {
            table,
            origin: Origin { sources: prefix(sources), senders: prefix("198.18.1.0/24") },
            packets,
            bytes: packets * 100,
        };
        let came = |sources: &str, packets: u64| came_by(TableKind::Inet, sources, packets);
        let [west, north]: [ClusterName; 2] = ["west", "north"].map(|name| name.parse().unwrap());
        let remotes = ["10.2.0.0/16", "10.3.0.0/16", "fd00:2::/64"].map(|text| (prefix(text), west.clone()));
        let remotes = [&remotes[..], &[(prefix("10.4.0.0/16"), north)]].concat();
        let mut sums = Sums::default();
        let mut after = |received: &[Received]| {
            sums.add(received, &remotes);
            let told = sums.by_remote.iter().map(|(name, sum)| (name.to_string(), sum.packets, sum.bytes));
            told.collect::<Vec<_>>()
        };
        let of_west = |packets: u64| vec![("west".to_owned(), packets, packets * 100)];
        // Two neighbours of one cluster are one range in the kernel; a link that is gone may leave one of nobody behind.
        assert_eq!(
            after(&[came("10.2.0.0/15", 2), came("fd00:2::/64", 3), came("10.9.0.0/16", 1)]),
            of_west(5)
        );
        // One is taken apart, another is added anew.
        assert_eq!(after(&[came("10.2.0.0/16", 1), came("fd00:2::/64", 2)]), of_west(8));
        assert_eq!(after(&[]), of_west(8));
        // What takes the fast path is counted apart.
        let both = |slow, fast| [came("10.2.0.0/16", slow), came_by(TableKind::Netdev, "10.2.0.0/16", fast)];
        assert_eq!(after(&both(10, 1000)), of_west(1018));
        assert_eq!(after(&both(10, 1000)), of_west(1018));
        assert_eq!(after(&both(11, 1002)), of_west(1021));
    }

    fn tally() -> Tally {
        let mut tally = Tally { sum: Duration::from_millis(123_456_789), lost: 123_456, ..Tally::default() };
        (0..500).for_each(|ms| tally.rtts.add(Duration::from_micros(ms * 100)));
        tally
    }

    fn status(pool: &str, family: u8, state: State) -> Status {
        let address = if family == 4 { "198.18.0.1" } else { "fd00::1" };
        let target = Target {
            address: address.parse().unwrap(),
            source: address.parse().unwrap(),
            device: "vx-bridge",
            mtu: 1450,
            pool: pool.into(),
            left_out: false,
        };
        Status {
            target,
            state,
            rtt: None,
            jitter: Some(Duration::from_nanos(123_456)),
            sent: 600,
            lost: 3,
            lost_in_a_row: 0,
            impairments: BTreeSet::new(),
        }
    }

    /// All that an agent with so many links can tell.
    fn everything(links: usize) -> String {
        let metrics = Metrics::new(Program::Agent, "0.1.0");
        let remotes: Vec<String> = (0..links).map(|number| format!("production-{number:03}")).collect();
        let mut page = Page::default();
        let states: Vec<Status> = remotes
            .iter()
            .flat_map(|remote| [status(remote, 4, State::Alive), status(remote, 6, State::Dead)])
            .collect();
        put_gateways(&mut page, &states);
        put_links(
            &mut page,
            &remotes.iter().map(|remote| (remote.as_str().into(), tally())).collect(),
            &states,
        );
        for device in ["vx-bridge", "vx-bridge6", "vx-local", "vx-local6"] {
            for direction in ["receive", "transmit"] {
                for metric in [&DEVICE_PACKETS, &DEVICE_BYTES, &DEVICE_ERRORS, &DEVICE_DROPS] {
                    page.put(metric, &[device, ENCAPSULATION, direction], Value::Count(1 << 50));
                }
            }
        }
        for reason in [
            "unknown VTEP",
            "wrong VNI",
            "foreign inner source",
            "foreign inner destination",
            "family not used",
            "others into a tunnel",
        ] {
            page.put(&FIREWALL_DROPS, &[reason], Value::Count(u64::MAX));
        }
        for (at, kind) in causeway_dataplane::Step::KINDS.iter().enumerate() {
            metrics.add(&RECONCILE_STEPS, &[kind], 123_456 + at as u64);
        }
        for kind in ["NodeConfig", "ClusterNode"] {
            for outcome in ["OK", "Conflict", "Forbidden", "Unauthorized", "Unreachable", "Throttled"] {
                metrics.add(
                    &causeway_metrics::catalogue::API_WRITES,
                    &["member", kind, "apply_status", outcome],
                    1_234,
                );
            }
        }
        for resource in ["nodeconfigs", "clusterlinks", "peerslices", "clusternodes"] {
            for reason in ["Forbidden", "Unauthorized", "Unreachable", "Throttled"] {
                metrics.add(
                    &causeway_metrics::catalogue::WATCH_FAILURES,
                    &["member", resource, reason],
                    1_234,
                );
            }
        }
        metrics.set(&FAST_PATH, &[], 1.0);
        let names: Vec<ClusterName> = remotes.iter().map(|remote| remote.parse().unwrap()).collect();
        let much = Traffic { packets: 123_456_789_012, bytes: 123_456_789_012, ..Traffic::default() };
        put_traffic(&mut page, &names.into_iter().map(|name| (name, much)).collect());
        metrics.set_all(&LINK_UP, remotes.iter().map(|remote| (remote, 1.0)));
        metrics.on_scrape(move |to| to.extend(&page));
        metrics.text()
    }

    #[test]
    fn a_scrape_of_an_agent_with_a_hundred_links_is_below_fifty_kilobytes() {
        let text = everything(100);
        assert!(text.len() <= 50_000, "{} bytes", text.len());
        assert!(text.contains("causeway_link_rtt_seconds_count{remote=\"production-099\"} 500\n"), "{text}");
        assert!(!text.contains("le=\"0.0016\",remote"), "buckets are for few links");
    }

    #[test]
    fn few_links_have_buckets_that_sum_up() {
        let text = everything(DETAILED);
        let value = |line: &str| {
            let found = text
                .lines()
                .find_map(|one| one.strip_prefix(line))
                .unwrap_or_else(|| panic!("{line} in {text}"));
            found.trim().parse::<u64>().unwrap()
        };
        let bucket = |le: &str| {
            value(&format!("causeway_link_rtt_seconds_bucket{{le=\"{le}\",remote=\"production-007\"}}"))
        };
        // 0, 100, 200, … µs
        assert_eq!((bucket("0.00005"), bucket("0.0001"), bucket("0.0016")), (1, 2, 17));
        assert_eq!((bucket("0.8192"), bucket("+Inf")), (500, 500));
        assert!(text.len() <= 50_000, "{} bytes", text.len());
    }
}
