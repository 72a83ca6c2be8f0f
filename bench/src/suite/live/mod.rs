//! Figures of whole clustersets, with the programs as they are shipped: on real API servers, or on objects in files.

mod changes;
mod doctor;
mod hub;
mod idle;
mod joins;
mod members;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use causeway_lab::{CheckOptions, Lab, Programs, Topology, wait_until};

use crate::child::run_in;
use crate::measure::{Writing, Written};

pub use changes::changes;
pub use doctor::doctor;
pub use hub::hub;
pub use idle::idle;
pub use joins::joins;
pub use members::members;

/// How long a bed may take to become well.
const WELL: Duration = Duration::from_secs(90);
/// How long a bed may take to become quiet.
const LIMIT: Duration = Duration::from_secs(1800);
/// How long nothing is written before all counts as done.
const QUIET: Duration = Duration::from_secs(6);

/// A bed.
struct Bed {
    lab: Lab,
}

impl Bed {
    fn up(yaml: &str) -> Result<Bed> {
        let program = std::env::current_exe()?.with_file_name("causeway-lab");
        let mut topology = Topology::parse(yaml, "bench.yaml")?;
        topology.name = format!("bench-{}", std::process::id());
        let lab = Lab::up(&program, topology, Programs::beside(&program))?;
        let report = lab.wait_until_ready(&CheckOptions::default(), WELL)?;
        if !report.is_fine() {
            bail!("the bed is not well:\n{}", report.to_table());
        }
        Ok(Bed { lab })
    }

    fn kubectl(&self, server: &str, arguments: &[&str]) -> Result<String> {
        let output = self.lab.kubectl(server, arguments)?;
        if !output.status.success() {
            bail!("kubectl {arguments:?} at {server}: {}", output.stderr);
        }
        Ok(output.stdout)
    }

    fn create(&self, server: &str, object: &serde_json::Value) -> Result<()> {
        let script = format!("cat >/run/object.json <<'END'\n{object}\nEND");
        self.lab.exec("underlay", &["sh", "-c", &script])?;
        self.kubectl(server, &["create", "-f", "/run/object.json"]).map(drop)
    }

    fn metrics(&self, server: &str) -> Result<Metrics> {
        Ok(Metrics::parse(&self.kubectl(server, &["get", "--raw", "/metrics"])?))
    }

    /// Writes of objects of ours, and of Events, since the server started.
    fn writes(&self, server: &str) -> Result<f64> {
        Ok(self.metrics(server)?.writes())
    }

    /// Waits until nothing has been written at the servers for a while.
    fn wait_until_quiet(&self, servers: &[&str]) -> Result<()> {
        let all = || servers.iter().map(|server| self.writes(server)).collect::<Result<Vec<_>>>();
        let mut before = all()?;
        let mut since = Instant::now();
        Ok(wait_until("nothing to be written", LIMIT, || {
            // A server that is busy may not answer in time.
            let Ok(now) = all() else { return Ok(Err("a server does not answer".to_owned())) };
            if now != before {
                (before, since) = (now, Instant::now());
            }
            Ok(if since.elapsed() > QUIET { Ok(()) } else { Err("still writing".to_owned()) })
        })?)
    }

    /// Writes objects from inside the bed.
    fn write(&self, server: &str, namespace: &str, what: Written, first: u32, count: u32) -> Result<u64> {
        let server = if server == "hub" { server.to_owned() } else { format!("cluster-{server}") };
        let kubeconfig = PathBuf::from(format!("/run/causeway-lab/kubernetes/{server}-admin.conf"));
        let writing = Writing { kubeconfig, namespace: namespace.to_owned(), what, first, count };
        run_in(&self.lab, &writing).with_context(|| format!("writing {what:?}"))
    }

    /// A file of a program's folder in `/proc`.
    fn proc(&self, daemon: &str, file: &str) -> Result<String> {
        let script = r#"cat "/proc/$(cat "/run/causeway-lab/pid/$0")/$1""#;
        Ok(self.lab.exec("underlay", &["sh", "-c", script, daemon, file])?.stdout)
    }

    /// A program's memory in bytes as the kernel counts it: resident now, and at most until now.
    fn memory(&self, daemon: &str) -> Result<(f64, f64)> {
        let status = self.proc(daemon, "status")?;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        let read =
            |name: &str| field(name).map(|kib| kib * 1024.0).with_context(|| format!("{name} of {daemon}"));
        Ok((read("VmRSS:")?, read("VmHWM:")?))
    }
}

/// The label of a write of a status.
const STATUS: &str = r#"subresource="status""#;

/// Counters and gauges of an API server, by name and labels as it writes them.
struct Metrics(BTreeMap<String, f64>);

impl Metrics {
    fn parse(text: &str) -> Metrics {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        Metrics(
            lines
                .filter_map(|line| line.rsplit_once(' '))
                .filter_map(|(key, value)| Some((key.to_owned(), value.parse().ok()?)))
                .collect(),
        )
    }

    fn sum(&self, name: &str, has: impl Fn(&str) -> bool) -> f64 {
        let prefix = format!("{name}{{");
        self.0
            .range(prefix.clone()..)
            .take_while(|(key, _)| key.starts_with(&prefix))
            .filter(|(key, _)| has(key))
            .map(|(_, value)| value)
            .sum()
    }

    /// Writes of objects of ours, and of Events.
    fn writes(&self) -> f64 {
        self.writes_of(|_| true)
    }

    /// Those that sum many nodes up: statuses.
    fn sums(&self) -> f64 {
        self.writes_of(|key| key.contains(STATUS))
    }

    /// Those of one resource, without statuses.
    fn writes_of_objects(&self, resource: &str) -> f64 {
        self.writes_of(|key| key.contains(&format!(r#"resource="{resource}""#)) && !key.contains(STATUS))
    }

    fn writes_of(&self, counts: impl Fn(&str) -> bool) -> f64 {
        let verbs = ["POST", "PUT", "PATCH", "APPLY", "DELETE", "DELETECOLLECTION"];
        self.sum("apiserver_request_total", |key| {
            let ours = key.contains(r#"group="causeway.dev""#) || key.contains(r#"resource="events""#);
            ours && counts(key)
                && key.contains(r#"code="2"#)
                && verbs.iter().any(|verb| key.contains(&format!(r#"verb="{verb}""#)))
        })
    }

    /// Bytes of events of our objects that watches were told.
    fn watch_bytes(&self) -> f64 {
        self.sum("apiserver_watch_events_sizes_sum", |key| key.contains(r#"group="causeway.dev""#))
    }

    fn watches(&self) -> f64 {
        self.sum("apiserver_longrunning_requests", |key| {
            key.contains(r#"group="causeway.dev""#) && key.contains(r#"verb="WATCH""#)
        })
    }
}
