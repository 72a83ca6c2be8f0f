//! What programs need while nothing happens.

use std::thread;
use std::time::Duration;

use anyhow::{Context, Result};

use super::Bed;
use crate::args::Options;
use crate::report::Section;
use crate::row::{MIB, Row, Unit};

/// Ticks of a second in `/proc/PID/stat`: `USER_HZ` of all that Linux runs on here.
const TICKS: f64 = 100.0;

/// Memory and processor time of each program in a small clusterset that has settled.
///
/// # Errors
/// If the bed does not come up.
pub fn idle(options: &Options) -> Result<Section> {
    let seconds = if options.quick { 5 } else { 30 };
    let note = format!(
        "A hub and two members with API servers: a Gateway cluster of two nodes and a P2P cluster of one. Memory is resident, as the \
         kernel counts it, after start and settling; processor time is what a program takes in {seconds} s in which nothing \
         changes, probes of gateways among it."
    );
    let mut section = Section::new("Idle programs", note);
    let bed = Bed::up(
        "controlPlane: kubernetes\n\
         clusters:\n\
         - name: east\n\
         \x20 spec: {mode: Gateway, gateways: {count: 1, nodeSelector: {matchLabels: {role: gateway}}}}\n\
         \x20 nodes: [{labels: {role: gateway}}, {}]\n\
         - {name: west, nodes: 1}\n",
    )?;
    bed.wait_until_quiet(&["hub", "east", "west"])?;
    let programs = [
        ("network-manager", "network-manager", None),
        ("controller-manager", "controller-manager_east", Some(64.0)),
        ("agent of a gateway", "agent_east_n1", Some(16.0)),
        ("agent of an internal node", "agent_east_n2", Some(16.0)),
        ("agent of a P2P node", "agent_west_n1", Some(64.0)),
    ];
    let spent = || programs.map(|(_, daemon, _)| processor_time(&bed, daemon));
    let before = spent();
    thread::sleep(Duration::from_secs(seconds));
    let after = spent();
    for (((name, daemon, bound), before), after) in programs.into_iter().zip(before).zip(after) {
        let (resident, peak) = bed.memory(daemon)?;
        let memory = Row::shown(format!("{name}: memory"), resident, Unit::Bytes);
        let memory = match bound {
            Some(mib) => memory.at_most(mib * MIB),
            None => memory,
        };
        let share = (after? - before?) / seconds as f64;
        section.rows.extend([
            memory,
            Row::shown(format!("{name}: its peak"), peak, Unit::Bytes),
            Row::shown(format!("{name}: processor time in a second"), share, Unit::Seconds),
        ]);
    }
    Ok(section)
}

/// Seconds of processor time that a program has taken, of its own and of the kernel for it (proc_pid_stat(5)).
fn processor_time(bed: &Bed, daemon: &str) -> Result<f64> {
    let stat = bed.proc(daemon, "stat")?;
    // After the name, which may hold anything: the state is field 3, utime field 14, stime field 15.
    let fields = stat.rsplit_once(") ").map(|(_, rest)| rest.split(' ')).context("the name in a stat")?;
    let ticks: Vec<f64> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
    Ok(ticks.iter().sum::<f64>() / TICKS)
}
