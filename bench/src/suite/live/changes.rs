//! Changes of clusters: a mode, a CIDR, a cluster that comes.

use std::path::PathBuf;
use std::thread;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use causeway_lab::{Action, Fault, StreamOptions, wait_until};
use causeway_model::{ClusterName, Family};
use serde_json::{Value, json};

use super::Bed;
use crate::args::Options;
use crate::report::Section;
use crate::row::{Row, Unit};
use causeway_pathbench::statistics::median;

/// How long a change may take.
const LIMIT: Duration = Duration::from_secs(60);
/// How long it is pinged before a change is made.
const AHEAD: Duration = Duration::from_millis(200);
/// Pings until the first answer, and prints when that came.
const FIRST_ANSWER: &str =
    r#"timeout 60 ping -D -n -i 0.005 "$0" | sed -n '/bytes from/{s/^\[\([0-9.]*\)\].*/\1/p;q}'"#;
/// The prefix that is added to east, with an address of its pod.
const ADDED: (&str, &str) = ("10.77.0.0/24", "10.77.0.1");
/// Gives the pod of east the address, and its node the way to it.
const GIVE_ADDRESS: &str =
    r#"ip route add "$0/32" dev "$(ip -o route get "$1" | sed 's/.* dev \([^ ]*\).*/\1/')""#;

const CLUSTERS: &str = "\
clusters:
- {name: east, families: [IPv4], nodes: 1, serviceCIDRs: [192.168.1.0/24], spec: {ipFamilies: [IPv4], podCIDRs: [10.1.0.0/16], serviceCIDRs: [192.168.1.0/24]}}
- {name: west, families: [IPv4], nodes: 1, serviceCIDRs: [192.168.2.0/24], spec: {ipFamilies: [IPv4], podCIDRs: [10.2.0.0/16], serviceCIDRs: [192.168.2.0/24]}}
";

/// Where objects are.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Plane {
    Files,
    Kubernetes,
}

/// Changes of clusters whose objects are files, and of clusters with API servers.
///
/// # Errors
/// If a bed does not come up, or a change has no effect.
pub fn changes(options: &Options) -> Result<Vec<Section>> {
    [Plane::Files, Plane::Kubernetes].into_iter().map(|plane| section(plane, options)).collect()
}

fn section(plane: Plane, options: &Options) -> Result<Section> {
    let (head, title, joining) = match plane {
        Plane::Files => {
            ("", "Changes of clusters, objects in files", "its Cluster and ClusterNode are written")
        }
        Plane::Kubernetes => (
            "controlPlane: kubernetes\n",
            "Changes of clusters, objects at API servers",
            "`causeway join` is called, its programs started after it",
        ),
    };
    let note = format!(
        "Two clusters of one node. Time from when a change begins to be written (by kubectl at an API server, which takes some \
         60 ms itself) until a pod has the first answer from a pod of the other cluster, or, where a mode is switched, until the \
         routes of the other cluster's node lead the other way. A cluster joins: {joining}.",
    );
    let mut section = Section::new(title, note);
    let world = World { bed: Bed::up(&format!("{head}{CLUSTERS}"))?, plane };
    let (times, joins) = if options.quick { (2, 1) } else { (10, 3) };
    section.rows.extend(world.modes(times)?);
    section.rows.extend(world.prefixes(times)?);
    section.rows.extend(world.joins(joins)?);
    Ok(section)
}

struct World {
    bed: Bed,
    plane: Plane,
}

impl World {
    fn patch(&self, cluster: &str, spec: &Value) -> Result<()> {
        match self.plane {
            Plane::Files => Ok(self.bed.lab.objects().patch_cluster(&cluster.parse()?, spec)?),
            Plane::Kubernetes => {
                let patch = json!({"spec": spec}).to_string();
                self.bed
                    .kubectl("hub", &["patch", "cluster", cluster, "--type=merge", "-p", &patch])
                    .map(drop)
            }
        }
    }

    /// What the hub's API server counted while something was done `times` times: writes and bytes told to watches, of one.
    fn counting(&self, name: &str, times: usize, act: impl FnOnce() -> Result<Vec<Row>>) -> Result<Vec<Row>> {
        if self.plane == Plane::Files {
            return act();
        }
        self.bed.wait_until_quiet(&["hub"])?;
        let before = self.bed.metrics("hub")?;
        let mut rows = act()?;
        self.bed.wait_until_quiet(&["hub"])?;
        let after = self.bed.metrics("hub")?;
        let each = |more: f64| more / times as f64;
        rows.extend([
            Row::shown(
                format!("{name}: writes at the hub"),
                each(after.writes() - before.writes()),
                Unit::Count,
            ),
            Row::shown(
                format!("{name}: bytes that the hub tells to watches"),
                each(after.watch_bytes() - before.watch_bytes()),
                Unit::Bytes,
            ),
        ]);
        Ok(rows)
    }

    fn modes(&self, times: usize) -> Result<Vec<Row>> {
        self.counting("a mode switched", 2 * times, || {
            let options = StreamOptions::new("west/n1/p1".parse()?, "east/n1/p1".parse()?);
            let stream = self.bed.lab.stream(&options)?;
            let mut took = Vec::new();
            for _ in 0..times {
                for (mode, gateways) in [("Gateway", true), ("P2P", false)] {
                    let began = SystemTime::now();
                    self.patch("east", &json!({"mode": mode}))?;
                    wait_until("the routes to lead the other way", LIMIT, || {
                        let routes =
                            self.bed.lab.exec("west/n1", &["ip", "route", "show", "table", "4876"])?;
                        let by_group = routes.stdout.lines().any(|route| route.starts_with("10.1.0.0/16 "));
                        Ok(if by_group == gateways { Ok(()) } else { Err(routes.stdout) })
                    })?;
                    took.push(since(began, SystemTime::now()));
                }
            }
            let report = stream.finish()?;
            let of = format!("of {} packets beside {} switches: lost", report.sent(), 2 * times);
            Ok(vec![
                Row::shown("a mode switched: median", median(&took), Unit::Seconds),
                Row::shown(of, report.lost() as f64, Unit::Count),
            ])
        })
    }

    fn prefixes(&self, times: usize) -> Result<Vec<Row>> {
        let (prefix, address) = ADDED;
        let pod = self.bed.lab.address("west/n1/p1", "east/n1/p1", Family::V4)?.to_string();
        self.bed.lab.exec("east/n1/p1", &["ip", "address", "add", address, "dev", "lo"])?;
        self.bed.lab.exec("east/n1", &["sh", "-c", GIVE_ADDRESS, address, &pod])?;
        self.counting("a CIDR added and taken away", times, || {
            let mut took = Vec::new();
            for _ in 0..times {
                took.push(self.first_answer(address, || {
                    self.patch("east", &json!({"podCIDRs": ["10.1.0.0/16", prefix]}))
                })?);
                self.patch("east", &json!({"podCIDRs": ["10.1.0.0/16"]}))?;
            }
            Ok(vec![Row::shown("a CIDR added: median", median(&took), Unit::Seconds)])
        })
    }

    fn joins(&self, times: usize) -> Result<Vec<Row>> {
        let mut took = Vec::new();
        for _ in 0..times {
            let pod = self.bed.lab.address("west/n1/p1", "east/n1/p1", Family::V4)?.to_string();
            took.push(match self.plane {
                Plane::Files => self.files_join(&pod)?,
                Plane::Kubernetes => self.kubernetes_join(&pod)?,
            });
        }
        Ok(vec![Row::shown("a cluster joins: median", median(&took), Unit::Seconds)])
    }

    fn files_join(&self, pod: &str) -> Result<f64> {
        let objects = self.bed.lab.objects();
        let east: ClusterName = "east".parse()?;
        let files = [objects.cluster_file(&east), objects.file("clusternodes", &east, "n1")];
        let documents = files.iter().map(|file| Ok(objects.read(file)?)).collect::<Result<Vec<Value>>>()?;
        objects.remove_cluster(&east)?;
        self.first_answer(pod, || {
            Ok(files.iter().zip(&documents).try_for_each(|(file, document)| objects.write(file, document))?)
        })
    }

    fn kubernetes_join(&self, pod: &str) -> Result<f64> {
        let spec = self.bed.kubectl("hub", &["get", "cluster", "east", "-o", "jsonpath={.spec}"])?;
        let cluster = json!({
            "apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "east"},
            "spec": serde_json::from_str::<Value>(&spec)?,
        });
        let east: ClusterName = "east".parse()?;
        let controller_manager = |action| Fault::ControllerManager { cluster: east.clone(), action };
        self.causeway("leave")?;
        self.bed.lab.fault(&controller_manager(Action::Stop))?;
        self.bed.lab.node("east/n1")?.agent(Action::Stop)?;
        // Their accounts are gone with the namespace.
        let tokens = "rm -f /run/causeway-lab/kubernetes/cluster-east-causeway-*.conf";
        self.bed.lab.exec("underlay", &["sh", "-c", tokens])?;
        self.first_answer(pod, || {
            self.bed.create("hub", &cluster)?;
            self.causeway("join")?;
            self.bed.lab.fault(&controller_manager(Action::Start))?;
            Ok(self.bed.lab.node("east/n1")?.agent(Action::Start)?)
        })
    }

    fn causeway(&self, what: &str) -> Result<()> {
        let program: PathBuf = std::env::current_exe()?.with_file_name("causeway");
        let file = |name: &str| format!("/run/causeway-lab/kubernetes/{name}-admin.conf");
        let (member, hub) = (file("cluster-east"), file("hub"));
        let program = program.display().to_string();
        let words = [
            &program,
            what,
            "--cluster",
            "east",
            "--kubeconfig",
            &member,
            "--hub-kubeconfig",
            &hub,
            "--timeout",
            "60",
        ];
        let output = self.bed.lab.exec("underlay", &words)?;
        if !output.status.success() {
            bail!("causeway {what}: {}{}", output.stdout, output.stderr);
        }
        Ok(())
    }

    /// Seconds from when `act` began until the pod of west had an answer from an address that did not answer before.
    fn first_answer(&self, address: &str, act: impl FnOnce() -> Result<()>) -> Result<f64> {
        let lab = &self.bed.lab;
        wait_until("the address to be out of reach", LIMIT, || {
            let output = lab.exec("west/n1/p1", &["ping", "-n", "-c", "1", "-W", "1", address])?;
            Ok(if output.status.success() { Err(output.stdout) } else { Ok(()) })
        })?;
        thread::scope(|scope| {
            let pinging = scope.spawn(|| lab.exec("west/n1/p1", &["sh", "-c", FIRST_ANSWER, address]));
            thread::sleep(AHEAD);
            let began = SystemTime::now();
            act()?;
            let output = pinging.join().map_err(|_| anyhow::anyhow!("the thread that pings panicked"))??;
            let at: f64 =
                output.stdout.trim().parse().with_context(|| format!("{address} never answered"))?;
            Ok(at - since(UNIX_EPOCH, began))
        })
    }
}

/// Seconds between two times.
fn since(before: SystemTime, after: SystemTime) -> f64 {
    after.duration_since(before).unwrap_or_default().as_secs_f64()
}
