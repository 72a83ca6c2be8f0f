//! Every metric that there is. Names and units as <https://prometheus.io/docs/practices/naming/> has them.

use Program::{Agent, ControllerManager, NetworkManager};

/// Who has a metric.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Program {
    /// `causeway-agent`
    Agent,
    /// `causeway-network-manager`
    NetworkManager,
    /// `causeway-controller-manager`
    ControllerManager,
}

impl Program {
    /// All of them.
    pub const ALL: [Program; 3] = [Agent, NetworkManager, ControllerManager];

    /// Its name without `causeway-`.
    pub fn name(self) -> &'static str {
        match self {
            Agent => "agent",
            NetworkManager => "network-manager",
            ControllerManager => "controller-manager",
        }
    }
}

/// What kind of number it is.
#[derive(Clone, Copy, PartialEq, Debug)]
pub enum Kind {
    /// It only grows, until the program, or what the kernel counts with, starts anew.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Values in buckets with these upper bounds, ascending and without infinity.
    Histogram(&'static [f64]),
}

impl Kind {
    /// Its name as Prometheus has it.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram(_) => "histogram",
        }
    }
}

/// A metric.
#[derive(Debug)]
pub struct Metric {
    /// Its name, with unit and `_total`.
    pub name: &'static str,
    /// What kind of number it is.
    pub kind: Kind,
    /// The names of its labels.
    pub labels: &'static [&'static str],
    /// What it means, in one sentence without a full stop.
    pub help: &'static str,
    /// Who has it.
    pub of: &'static [Program],
}

/// Round-trip times, in seconds: 50 µs and its doubles up to 0.8 s.
pub const RTT_BOUNDS: &[f64] = &[
    0.000_05, 0.000_1, 0.000_2, 0.000_4, 0.000_8, 0.001_6, 0.003_2, 0.006_4, 0.012_8, 0.025_6, 0.051_2,
    0.102_4, 0.204_8, 0.409_6, 0.819_2,
];
/// Work of a program, in seconds.
const WORK_BOUNDS: &[f64] = &[0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0];

const EVERY: &[Program] = &Program::ALL;
const AGENT: &[Program] = &[Agent];
const MANAGERS: &[Program] = &[NetworkManager, ControllerManager];
const PLANNER: &[Program] = &[NetworkManager];

macro_rules! metrics {
    ($($(#[$doc:meta])* $id:ident = $name:literal, $kind:expr, [$($label:literal),*], $of:expr, $help:literal;)*) => {
        $(
            #[doc = $help]
            pub static $id: Metric =
                Metric { name: $name, kind: $kind, labels: &[$($label),*], help: $help, of: $of };
        )*
        /// All of them, in the order of the documentation.
        pub static ALL: &[&Metric] = &[$(&$id),*];
    };
}

metrics! {
    BUILD_INFO = "causeway_build_info", Kind::Gauge, ["program", "version"], EVERY,
        "Always 1; the labels say what runs";
    HEALTH = "causeway_health_check", Kind::Gauge, ["check"], EVERY,
        "1 if the check of /readyz is fine, 0 if not";
    CPU = "process_cpu_seconds_total", Kind::Counter, [], EVERY,
        "Processor time that the program used";
    MEMORY = "process_resident_memory_bytes", Kind::Gauge, [], EVERY,
        "Memory that the program holds";
    FILES = "process_open_fds", Kind::Gauge, [], EVERY,
        "File descriptors that the program holds";
    STARTED = "process_start_time_seconds", Kind::Gauge, [], EVERY,
        "When the program started, in seconds since 1970";
    REFUSED_SERIES = "causeway_metrics_refused_series_total", Kind::Counter, [], EVERY,
        "Numbers left out since a metric would have had too many label sets";
    API_WRITES = "causeway_api_writes_total", Kind::Counter, ["server", "kind", "verb", "outcome"], EVERY,
        "Requests that wrote to an API server; outcome is OK or why it failed";
    WATCH_FAILURES = "causeway_watch_failures_total", Kind::Counter, ["server", "resource", "reason"], EVERY,
        "Watches that failed and were started anew";
    LINK_UP = "causeway_link_up", Kind::Gauge, ["remote"], AGENT,
        "1 if it is in the kernel and, where probed, answered in every IP family; else 0";
    LINK_RTT = "causeway_link_rtt_seconds", Kind::Histogram(RTT_BOUNDS), ["remote"], AGENT,
        "Round-trip time of probes to gateways of the remote cluster and nodes that carry its Services; with more than 16 clusters only sum and count";
    LINK_JITTER = "causeway_link_jitter_seconds", Kind::Gauge, ["remote"], AGENT,
        "Smoothed deviation of the round-trip time, median of the gateways that answer; not told with more than 16 clusters";
    LINK_LOST = "causeway_link_probes_lost_total", Kind::Counter, ["remote"], AGENT,
        "Probes not answered within three seconds; others: causeway_link_rtt_seconds_count";
    LINK_BYTES = "causeway_link_receive_bytes_total", Kind::Counter, ["remote"], AGENT,
        "Bytes of inner packets let in from the remote cluster";
    LINK_PACKETS = "causeway_link_receive_packets_total", Kind::Counter, ["remote"], AGENT,
        "Inner packets let in from the remote cluster; not told with more than 16 clusters";
    GATEWAYS = "causeway_gateways", Kind::Gauge, ["state"], AGENT,
        "Addresses of gateways: alive, dead (not in use) or silent (as all others, so in use)";
    GATEWAYS_IMPAIRED = "causeway_gateways_impaired", Kind::Gauge, ["impairment"], AGENT,
        "Addresses of gateways that lose some packets (loss), or all of full size (large_packets)";
    FAILOVERS = "causeway_failovers_total", Kind::Counter, [], AGENT,
        "Changes of next-hop groups since a gateway died or came back";
    DEVICE_BYTES = "causeway_device_bytes_total", Kind::Counter, ["device", "encapsulation", "direction"], AGENT,
        "Bytes of inner packets through a tunnel device";
    DEVICE_PACKETS = "causeway_device_packets_total", Kind::Counter, ["device", "encapsulation", "direction"], AGENT,
        "Inner packets through a tunnel device";
    DEVICE_DROPS = "causeway_device_dropped_packets_total", Kind::Counter, ["device", "encapsulation", "direction"], AGENT,
        "Packets dropped at a tunnel device, for lack of room or of a peer";
    DEVICE_ERRORS = "causeway_device_errors_total", Kind::Counter, ["device", "encapsulation", "direction"], AGENT,
        "Packets with an error at a tunnel device";
    FIREWALL_DROPS = "causeway_firewall_dropped_packets_total", Kind::Counter, ["reason"], AGENT,
        "Packets that the table inet causeway dropped, by the comment of the rule";
    RECONCILE_DURATION = "causeway_reconcile_duration_seconds", Kind::Histogram(WORK_BOUNDS), [], AGENT,
        "Passes over the kernel: observe, compare, change, observe again";
    RECONCILE_ERRORS = "causeway_reconcile_errors_total", Kind::Counter, ["reason"], AGENT,
        "Passes after which the kernel was not as planned";
    RECONCILE_STEPS = "causeway_reconcile_steps_total", Kind::Counter, ["kind"], AGENT,
        "Changes made to the kernel in passes that ended well";
    RECONCILE_REPAIRS = "causeway_reconcile_repairs_total", Kind::Counter, [], AGENT,
        "Changes that undid those of somebody else";
    RECONCILE_SUCCESS = "causeway_reconcile_last_success_timestamp_seconds", Kind::Gauge, [], AGENT,
        "When a pass last ended well, in seconds since 1970";
    PEERS = "causeway_peers", Kind::Gauge, [], AGENT,
        "Forwarding entries: peers that tunnels lead to";
    ROUTES = "causeway_routes", Kind::Gauge, [], AGENT,
        "Routes of Causeway";
    FAST_PATH = "causeway_fast_path", Kind::Gauge, [], AGENT,
        "1 if the node has a fast path, 0 if not";
    LEADER = "causeway_leader", Kind::Gauge, [], MANAGERS,
        "1 if this one holds the Lease and works, 0 if it stands by";
    QUEUE_WAITING = "causeway_workqueue_depth", Kind::Gauge, [], MANAGERS,
        "Objects to look at, those under way and those that wait after a failure included";
    QUEUE_FAILED = "causeway_workqueue_failed", Kind::Gauge, [], MANAGERS,
        "Objects whose last write failed and which are tried again";
    PLANNER_EVENTS = "causeway_planner_events_total", Kind::Counter, ["kind"], PLANNER,
        "Changes of objects that the planner was told";
    PLANNER_DURATION = "causeway_planner_duration_seconds", Kind::Histogram(WORK_BOUNDS), [], PLANNER,
        "Time to plan what changed";
    PLANNER_OBJECTS = "causeway_planned_objects", Kind::Gauge, ["kind"], PLANNER,
        "Objects in the plan";
    FINDINGS = "causeway_findings", Kind::Gauge, ["reason"], PLANNER,
        "What is refused or left out now, by the reason of its condition";
    MEMBER_NODES = "causeway_member_nodes", Kind::Gauge, ["state"], &[ControllerManager],
        "Nodes of the cluster that are planned, by what Cluster.status says: programmed or not_programmed";
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn names_are_unique_and_follow_the_conventions() {
        let names: BTreeSet<&str> = ALL.iter().map(|metric| metric.name).collect();
        assert_eq!(names.len(), ALL.len());
        for metric in ALL {
            let name = metric.name;
            assert!(name.starts_with("causeway_") || name.starts_with("process_"), "{name}");
            assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
            assert_eq!(name.ends_with("_total"), metric.kind == Kind::Counter, "{name}");
            assert!(!metric.of.is_empty() && !metric.help.ends_with('.'), "{name}");
            assert!(!metric.labels.contains(&"le"), "{name}");
            if let Kind::Histogram(bounds) = metric.kind {
                assert!(name.ends_with("_seconds") && bounds.is_sorted(), "{name}");
            }
        }
    }
}
