//! How long `causeway doctor` takes to name a cause.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result};
use causeway_lab::{Action, Fault};
use serde_json::Value;

use super::Bed;
use crate::args::Options;
use crate::report::Section;
use crate::row::{Row, Unit};

const CLUSTERS: &str = "clusters: [{name: a, nodes: 4, services: [{name: web, addresses: [10.129.0.10]}]}, {name: b, spec: {mode: Gateway}, nodes: 4}]";
/// The Service of the bed.
const SERVICE: &str = "a/10.129.0.10:7007";
/// Seconds within which a cause is to be named.
const BOUND: f64 = 30.0;

/// Doctor in a network that is well, and with one fault after the other.
///
/// # Errors
/// If the bed does not come up, or doctor cannot be run.
pub fn doctor(options: &Options) -> Result<Section> {
    let note = "Two clusters of four nodes, one of them in Gateway mode, objects in files, all nodes asked. From `causeway doctor` being started \
                until it has printed its verdict; a verdict that does not name the code counts as not found.";
    let mut section = Section::new("Naming a cause", note);
    let bed = Bed::up(CLUSTERS)?;
    section.rows.push(named(&bed, "nothing, in a network that is well", None)?);
    if options.quick {
        return Ok(section);
    }
    let wall = |rule: &str| {
        format!(
            "nft add table inet wall && nft add chain inet wall f '{{ type filter hook forward priority 0; }}' && nft add rule inet wall f {rule} drop"
        )
    };
    let on_underlay = |script: &str| bed.lab.exec("underlay", &["sh", "-c", script]).map(drop);
    on_underlay(&wall("udp dport 4876"))?;
    section.rows.push(named(&bed, "a UDP port that is blocked", Some("CW1102"))?);
    on_underlay("nft delete table inet wall")?;
    let on_node = |script: &str| bed.lab.exec("a/n3", &["sh", "-c", script]).map(drop);
    on_node("nft list table ip kube-proxy > /run/services.nft && nft delete table ip kube-proxy")?;
    section.rows.push(named(&bed, "a node that translates no Services", Some("CW1208"))?);
    on_node("nft -f /run/services.nft")?;
    bed.lab.fault(&Fault::DropLarge { node: "a/n1".parse()?, longer_than: 1400 })?;
    section.rows.push(named(&bed, "packets of full size that vanish", Some("CW1105"))?);
    bed.lab.fault(&Fault::Heal)?;
    bed.lab.node("a/n2")?.agent(Action::Stop)?;
    section.rows.push(named(&bed, "an agent that does not run", Some("CW1001"))?);
    Ok(section)
}

/// Runs doctor once; `code` is what it has to say.
fn named(bed: &Bed, what: &str, code: Option<&str>) -> Result<Row> {
    let program = std::env::current_exe()?.with_file_name("causeway");
    let began = Instant::now();
    let mut command = Command::new(program);
    command
        .args(["doctor", "-o", "json", "--per-cluster", "4", "--service", SERVICE, "--objects"])
        .arg(bed.lab.objects_dir());
    let output = command.output().context("causeway doctor")?;
    let took = began.elapsed().as_secs_f64();
    let said: Value = serde_json::from_slice(&output.stdout).context("what doctor says")?;
    let codes: Vec<&str> =
        said["findings"].as_array().into_iter().flatten().filter_map(|one| one["code"].as_str()).collect();
    let row = Row::shown(format!("{what}: time to the verdict"), took, Unit::Seconds);
    Ok(match codes == Vec::from_iter(code) {
        true => row.at_most(BOUND),
        false => Row::shown(format!("{what}: not found; named: {}", codes.join(", ")), 1.0, Unit::Count)
            .at_most(0.0),
    })
}
