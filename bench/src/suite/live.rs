//! Figures of whole clustersets on real API servers: a bed with control planes, the programs as they are shipped.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use causeway_lab::{Action, CheckOptions, Fault, Lab, Programs, Topology, wait_until};

use crate::args::Options;
use crate::child::run_in;
use crate::measure::{Writing, Written};
use crate::report::Section;
use crate::row::{MIB, Row, Unit};
use crate::statistics::{median, quantile};
use crate::suite::plan::grouped;

/// How long a bed may take to become well.
const WELL: Duration = Duration::from_secs(90);
/// How long a bed may take to become quiet.
const LIMIT: Duration = Duration::from_secs(1800);
/// How long nothing is written before all counts as done.
const QUIET: Duration = Duration::from_secs(6);

/// A bed with real control planes.
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

    /// A program's memory in bytes as the kernel counts it: resident now, and at most until now.
    fn memory(&self, daemon: &str) -> Result<(f64, f64)> {
        let script = r#"cat "/proc/$(cat "/run/causeway-lab/pid/$0")/status""#;
        let status = self.lab.exec("underlay", &["sh", "-c", script, daemon])?.stdout;
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name))?;
            line.split_whitespace().next()?.parse::<f64>().ok()
        };
        let read =
            |name: &str| field(name).map(|kib| kib * 1024.0).with_context(|| format!("{name} of {daemon}"));
        Ok((read("VmRSS:")?, read("VmHWM:")?))
    }
}

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
        self.writes_of(|key| key.contains(r#"subresource="status""#))
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

    fn watches(&self) -> f64 {
        self.sum("apiserver_longrunning_requests", |key| {
            key.contains(r#"group="causeway.dev""#) && key.contains(r#"verb="WATCH""#)
        })
    }
}

/// Nodes that join.
///
/// # Errors
/// If the bed does not come up.
pub fn joins(options: &Options) -> Result<Section> {
    let count = if options.quick { 5 } else { 50 };
    let note = format!(
        "A hub and two members, each with an API server of its own; {count} nodes join one after the other. Time from the \
         Node being written at its member until a pod on it has the first answer from a pod of the other cluster; the \
         node's agent is started as soon as the Node is there. Writes as the hub's API server counts them: Causeway's \
         objects and Events."
    );
    let mut section = Section::new("Joining nodes", note);
    let bed = Bed::up(
        "controlPlane: kubernetes\n\
         clusters:\n\
         - {name: east, nodes: 5, spec: {podCIDRs: [10.1.0.0/16, 'fd10:1::/48']}}\n\
         - {name: west, nodes: 1, spec: {podCIDRs: [10.2.0.0/16, 'fd10:2::/48']}}\n",
    )?;
    bed.wait_until_quiet(&["hub"])?;
    let before = bed.metrics("hub")?;
    let reach = "west/n1/p1".parse()?;
    let mut times = Vec::new();
    for _ in 0..count {
        let (_, took) = bed.lab.add_node_until(&"east".parse()?, "{}", &reach)?;
        times.push(took.as_secs_f64());
    }
    bed.wait_until_quiet(&["hub"])?;
    let after = bed.metrics("hub")?;
    let a_join = |of: fn(&Metrics) -> f64| (of(&after) - of(&before)) / f64::from(count);
    let sums = a_join(Metrics::sums);
    section.rows = vec![
        Row::shown("Node there → first answer: median", median(&times), Unit::Seconds),
        Row::shown("Node there → first answer: 99th percentile", quantile(&times, 0.99), Unit::Seconds)
            .at_most(1.0),
        Row::shown(
            "writes at the hub a join: its objects, and Events",
            a_join(Metrics::writes) - sums,
            Unit::Count,
        )
        .at_most(3.0),
        Row::shown(
            "and statuses of cluster and links, which sum up and rest between writes",
            sums,
            Unit::Count,
        ),
    ];
    Ok(section)
}

/// A member with many nodes.
///
/// # Errors
/// If the bed does not come up.
pub fn members(options: &Options) -> Result<Section> {
    let (count, beating, seconds) = if options.quick { (200, 100, 10) } else { (5_000, 1_000, 60) };
    let note = format!(
        "A Gateway cluster with two real nodes and {} more at its API server. Heartbeats: the status of {} of them with \
         another time, every 10 s for {seconds} s. Memory is resident, as the kernel counts it.",
        grouped(count as usize),
        grouped(beating as usize),
    );
    let mut section = Section::new("A large member", note);
    let bed = Bed::up(
        "controlPlane: kubernetes\n\
         clusters:\n\
         - name: east\n\
         \x20 spec: {mode: Gateway, gateways: {count: 1, nodeSelector: {matchLabels: {role: gateway}}}, podCIDRs: [10.1.0.0/16, 10.128.0.0/9]}\n\
         \x20 families: [IPv4]\n\
         \x20 serviceCIDRs: [192.168.1.0/24]\n\
         \x20 nodes: [{labels: {role: gateway}}, {}]\n\
         - {name: west, families: [IPv4], nodes: 1, serviceCIDRs: [192.168.2.0/24]}\n",
    )?;
    let began = Instant::now();
    bed.write("east", "", Written::Nodes, 0, count)?;
    bed.wait_until_quiet(&["hub", "east"])?;
    let took = (began.elapsed() - QUIET).as_secs_f64();
    let name = grouped(count as usize);
    section.rows.push(Row::shown(format!("{name} Nodes written until all is done"), took, Unit::Seconds));

    let servers = ["hub", "east"];
    let before = servers.map(|server| bed.writes(server));
    bed.write("east", "", Written::Heartbeats { seconds }, 0, beating)?;
    for (server, before) in servers.iter().zip(before) {
        let writes = bed.writes(server)? - before?;
        let what = format!("heartbeats of {} nodes: writes at {server}", grouped(beating as usize));
        section.rows.push(Row::shown(what, writes, Unit::Count).at_most(0.0));
    }

    let (resident, peak) = bed.memory("controller-manager_east")?;
    section.rows.push(
        Row::shown(format!("controller-manager, {name} nodes: memory"), resident, Unit::Bytes)
            .at_most(64.0 * MIB),
    );
    section.rows.push(Row::shown("its peak", peak, Unit::Bytes));
    bed.lab.fault(&Fault::ControllerManager { cluster: "east".parse()?, action: Action::Restart })?;
    bed.wait_until_quiet(&servers)?;
    let (resident, peak) = bed.memory("controller-manager_east")?;
    section
        .rows
        .push(Row::shown("the same, started anew: memory", resident, Unit::Bytes).at_most(64.0 * MIB));
    section.rows.push(Row::shown("its peak", peak, Unit::Bytes));

    let (resident, peak) = bed.memory("agent_east_n2")?;
    section
        .rows
        .push(Row::shown("agent of an internal node: memory", resident, Unit::Bytes).at_most(16.0 * MIB));
    section.rows.push(Row::shown("its peak", peak, Unit::Bytes));
    let with = bed.metrics("east")?.watches();
    bed.lab.node("east/n2")?.agent(Action::Stop)?;
    let mut without = with;
    wait_until("the agent's watches to end", LIMIT, || {
        without = bed.metrics("east").map_or(with, |metrics| metrics.watches());
        Ok(if without < with { Ok(()) } else { Err(format!("{without}")) })
    })?;
    // They end one after the other.
    std::thread::sleep(Duration::from_secs(1));
    let without = bed.metrics("east")?.watches();
    section.rows.push(Row::shown("watches of that agent", with - without, Unit::Count).at_most(4.0));
    Ok(section)
}

/// A hub with many nodes.
///
/// # Errors
/// If the bed does not come up.
pub fn hub(options: &Options) -> Result<Section> {
    const CLUSTERS: u32 = 20;
    /// Numbers of nodes of a cluster; their /28s are a /15.
    const NUMBERS: u32 = 1 << 13;
    let count = if options.quick { 1_000 } else { options.hub_nodes.get().min(CLUSTERS * NUMBERS) };
    let note = format!(
        "{} ClusterNodes of {CLUSTERS} clusters at the hub's API server, written while network-manager is away. Start: it is \
         stopped and started when all is planned; time until it says that all is as planned, memory then, and what it wrote.",
        grouped(count as usize)
    );
    let mut section = Section::new("A large hub", note);
    let bed = Bed::up(
        "controlPlane: kubernetes\nclusters:\n- {name: a, families: [IPv4], nodes: 1, serviceCIDRs: [192.168.1.0/24]}\n- {name: b, families: [IPv4], nodes: 1, serviceCIDRs: [192.168.2.0/24]}\n",
    )?;
    let each = count / CLUSTERS;
    let names: Vec<String> = (0..CLUSTERS).map(|cluster| format!("simulated-{cluster}")).collect();
    let namespace = |name: &str| format!("causeway-cluster-{name}");
    for (cluster, name) in (0..).zip(&names) {
        let pods = std::net::Ipv4Addr::from((10u32 << 24 | 1 << 23) + ((cluster * NUMBERS) << 4));
        let cluster_object = serde_json::json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": name},
            "spec": {"ipFamilies": ["IPv4"], "podCIDRs": [format!("{pods}/15")]},
        });
        bed.create("hub", &cluster_object)?;
        wait_until("the namespace of a cluster", LIMIT, || {
            Ok(bed
                .kubectl("hub", &["get", "namespace", &namespace(name)])
                .map(drop)
                .map_err(|error| error.to_string()))
        })?;
    }
    // Those of the two real nodes would each program as many peers, on the same processors.
    for cluster in ["a", "b"] {
        bed.lab.fault(&Fault::ControllerManager { cluster: cluster.parse()?, action: Action::Stop })?;
        bed.lab.node(&format!("{cluster}/n1"))?.agent(Action::Stop)?;
    }
    bed.lab.fault(&Fault::Manager { action: Action::Stop })?;
    let began = Instant::now();
    for (cluster, name) in (0..).zip(&names) {
        bed.write("hub", &namespace(name), Written::ClusterNodes, cluster * NUMBERS, each)?;
    }
    let wrote = began.elapsed().as_secs_f64();
    let start = || -> Result<f64> {
        let told = || bed.lab.log(None).map(|log| log.matches(" planned ").count()).unwrap_or_default();
        let earlier = told();
        let began = Instant::now();
        bed.lab.fault(&Fault::Manager { action: Action::Start })?;
        wait_until("network-manager to have planned", LIMIT, || {
            Ok(if told() > earlier { Ok(()) } else { Err("not yet".to_owned()) })
        })?;
        let took = began.elapsed().as_secs_f64();
        bed.wait_until_quiet(&["hub"])?;
        Ok(took)
    };
    let took = start()?;
    let nodes = grouped(count as usize);
    section.rows.push(Row::shown(format!("writing {nodes} ClusterNodes"), wrote, Unit::Seconds));
    section.rows.push(Row::shown(
        "network-manager started until all is planned and written",
        took,
        Unit::Seconds,
    ));
    let (resident, peak) = bed.memory("network-manager")?;
    section.rows.push(Row::shown("network-manager then: memory", resident, Unit::Bytes));
    section.rows.push(Row::shown("its peak", peak, Unit::Bytes).at_most(1024.0 * MIB));

    let before = bed.writes("hub")?;
    bed.lab.fault(&Fault::Manager { action: Action::Stop })?;
    let took = start()?;
    let (resident, peak) = bed.memory("network-manager")?;
    section
        .rows
        .push(Row::shown(format!("start with {nodes} ClusterNodes"), took, Unit::Seconds).at_most(30.0));
    section
        .rows
        .push(Row::shown("writes of that start", bed.writes("hub")? - before, Unit::Count).at_most(0.0));
    section.rows.push(Row::shown("memory then", resident, Unit::Bytes));
    section.rows.push(Row::shown("its peak", peak, Unit::Bytes).at_most(1024.0 * MIB));
    Ok(section)
}
