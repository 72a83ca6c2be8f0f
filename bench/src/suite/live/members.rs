//! A large member.

use std::time::{Duration, Instant};

use anyhow::Result;
use causeway_lab::{Action, Fault, wait_until};

use super::{Bed, LIMIT, QUIET};
use crate::args::Options;
use crate::measure::Written;
use crate::report::Section;
use crate::row::{MIB, Row, Unit};
use crate::suite::plan::grouped;

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
    if !options.quick {
        // Most of these nodes have no agent. That is told by Events once it has lasted, which no heartbeat causes.
        for server in servers {
            let events = ["get", "events", "-A", "-o", "name", "--field-selector", "reason=AgentSilent"];
            wait_until("nodes without agents to be told of", LIMIT, || {
                let found = bed.lab.kubectl(server, &events)?.stdout;
                Ok(if found.trim().is_empty() { Err(format!("none at {server}")) } else { Ok(()) })
            })?;
        }
    }
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
