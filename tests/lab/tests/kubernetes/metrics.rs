//! Live scrapes of all programs: what alert rules and dashboard speak of is there, and moves with what it measures.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use causeway_lab::{Forged, Lab};
use causeway_model::Mac;
use serde_json::{Value, json};

use crate::bed::{eventually, get, kubectl, well};
use crate::common::in_bed;

const NODES: [(&str, &str); 4] = [("east", "n1"), ("east", "n2"), ("west", "n1"), ("west", "n2")];
/// network-manager, and the controller-managers of both clusters.
const MANAGERS: [u16; 3] = [8080, 8081, 8082];

/// Samples by name and labels.
type Samples = BTreeMap<String, f64>;

fn samples(text: &str) -> Samples {
    let numbers = text.lines().filter(|line| !line.starts_with('#'));
    let split = |line: &str| {
        let (name, value) = line.rsplit_once(' ').unwrap();
        (name.to_owned(), value.parse().unwrap())
    };
    numbers.map(split).collect()
}

fn scrape(lab: &Lab, at: &str, port: u16) -> String {
    in_bed(lab, at, &["curl", "-sf", &format!("http://127.0.0.1:{port}/metrics")])
}

fn of_agent(lab: &Lab, cluster: &str, node: &str) -> Samples {
    samples(&scrape(lab, &format!("{cluster}/{node}"), 4880))
}

/// Everything that a program says of itself, of all of them.
fn everything(lab: &Lab) -> Vec<String> {
    let agents = NODES.iter().map(|(cluster, node)| scrape(lab, &format!("{cluster}/{node}"), 4880));
    agents.chain(MANAGERS.iter().map(|port| scrape(lab, "underlay", *port))).collect()
}

/// Names of metrics in the expressions of the shipped rules and panels.
fn named() -> BTreeSet<String> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/monitoring");
    let text =
        ["alerts.yaml", "dashboard.json"].map(|file| fs::read_to_string(folder.join(file)).unwrap()).concat();
    let words = text.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
    words
        .filter(|word| word.starts_with("causeway_") || word.starts_with("process_"))
        .map(str::to_owned)
        .collect()
}

fn config(lab: &Lab, cluster: &str, node: &str) -> Value {
    get(lab, cluster, &["nodeconfig", node, "-n", "causeway-system"])
}

#[test]
fn what_rules_and_panels_name_is_in_a_scrape_and_follows_what_happens() {
    let lab = well(
        "metrics",
        "
clusters:
  - {name: east, nodes: 2}
  - {name: west, nodes: 2, spec: {mode: Gateway}}
",
    );
    // Something that is refused: a cluster without nodes.
    let ghost = json!({"apiVersion": "causeway.dev/v1alpha1", "kind": "Cluster", "metadata": {"name": "ghost"}, "spec": {
        "podCIDRs": ["10.77.0.0/16"], "serviceCIDRs": ["10.78.0.0/16"],
    }});
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), ghost.to_string()).unwrap();
    kubectl(&lab, "hub", &["apply", "-f", file.path().to_str().unwrap()]);
    eventually("all that rules and panels name to be told", || {
        let told: BTreeSet<String> = everything(&lab)
            .iter()
            .flat_map(|text| samples(text).into_keys())
            .map(|sample| sample.split('{').next().unwrap().to_owned())
            .collect();
        let lacking: Vec<String> = named().difference(&told).cloned().collect();
        if lacking.is_empty() { Ok(()) } else { Err(format!("{lacking:?}")) }
    });
    for text in everything(&lab) {
        assert!(text.len() < 50_000 && text.ends_with("# EOF\n"), "{text}");
    }
    links_are_up_and_their_times_are_told(&lab);
    what_the_kernel_counts_is_told(&lab);
    repairs_are_counted(&lab);
}

fn links_are_up_and_their_times_are_told(lab: &Lab) {
    eventually("links to be up and measured", || {
        let told = of_agent(lab, "east", "n1");
        let value = |name: &str| told.get(name).copied().unwrap_or_default();
        let (up, answered) = (
            value("causeway_link_up{remote=\"west\"}"),
            value("causeway_link_rtt_seconds_count{remote=\"west\"}"),
        );
        if up == 1.0 && answered >= 20.0 { Ok(()) } else { Err(format!("{told:?}")) }
    });
    eventually("statuses to tell round-trip times", || {
        let node = config(lab, "east", "n1")["status"]["links"].clone();
        let of_west =
            node.as_array().and_then(|links| links.iter().find(|link| link["remoteCluster"] == "west"));
        let link =
            get(lab, "hub", &["clusterlink", "west", "-n", "causeway-cluster-east"])["status"]["rtt"].clone();
        match (of_west.and_then(|link| link["rttMicroseconds"].as_u64()), link.as_str()) {
            (Some(microseconds), Some(text)) if microseconds > 0 && text.ends_with("ms") => Ok(()),
            _ => Err(format!("{node} {link}")),
        }
    });
}

fn what_the_kernel_counts_is_told(lab: &Lab) {
    const DROPS: &str = "causeway_firewall_dropped_packets_total{reason=\"unknown VTEP\"}";
    const SENT: &str =
        "causeway_device_packets_total{device=\"vx-bridge\",encapsulation=\"vxlan\",direction=\"transmit\"}";
    // Probes of gateways at least.
    const CAME: &str = "causeway_link_receive_packets_total{remote=\"west\"}";
    let before = of_agent(lab, "east", "n1");
    let underlay = config(lab, "east", "n1")["spec"]["underlay"][0].as_str().unwrap().parse().unwrap();
    let packet = Forged {
        at: "underlay".to_owned(),
        outer_from: "198.51.100.7".parse().unwrap(),
        outer_to: underlay,
        port: 4876,
        vni: 54,
        inner_from_mac: Mac([2, 0xc5, 1, 2, 3, 4]),
        inner_to_mac: Mac([2, 0xc5, 1, 2, 3, 5]),
        inner_from: "10.9.9.9".parse().unwrap(),
        inner_to: "10.9.9.8".parse().unwrap(),
        inner_port: 9,
    };
    (0..10).for_each(|_| lab.forge(&packet).unwrap());
    eventually("drops and packets to be told", || {
        let now = of_agent(lab, "east", "n1");
        let grown = |name: &str| now[name] - before[name];
        if grown(DROPS) >= 10.0 && grown(SENT) > 0.0 && grown(CAME) > 0.0 {
            Ok(())
        } else {
            Err(format!("{now:?}"))
        }
    });
}

fn repairs_are_counted(lab: &Lab) {
    const REPAIRS: &str = "causeway_reconcile_repairs_total";
    let before = of_agent(lab, "east", "n2")[REPAIRS];
    in_bed(lab, "east/n2", &["ip", "link", "set", "vx-bridge", "mtu", "1300"]);
    eventually("a repair to be counted", || {
        let now = of_agent(lab, "east", "n2")[REPAIRS];
        if now > before { Ok(()) } else { Err(format!("{before} then, {now} now")) }
    });
}
