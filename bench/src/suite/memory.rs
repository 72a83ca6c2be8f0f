//! Figures of the agent's memory.

use anyhow::Result;
use causeway_model::Role;

use crate::args::Options;
use crate::child::run;
use crate::measure::{AgentMemory, ClusterSet, Held, Mix, Stack};
use crate::report::Section;
use crate::row::{MIB, Row, Unit};
use crate::suite::plan::grouped;

/// Agents of a P2P node, an internal node and a gateway.
///
/// # Errors
/// If one cannot be measured.
pub fn section(options: &Options) -> Result<Section> {
    let nodes = if options.quick { 2_000 } else { 100_000 };
    let note = format!(
        "Peak memory of a process that reads a node's objects one by one, brings its kernel to what they say and checks \
         it, in a clusterset of {} nodes in 20 clusters: once from an empty kernel, once when all is as it should be. \
         An agent's HTTP client and runtime are not in it.",
        grouped(nodes)
    );
    let mut section = Section::new("Agent memory", note);
    let cases = [
        ("P2P node", Role::Node, Mix::P2p, Stack::Single, Some(64.0)),
        ("P2P node", Role::Node, Mix::P2p, Stack::Dual, Some(64.0)),
        ("internal node", Role::Internal, Mix::Gateway, Stack::Dual, Some(16.0)),
        ("gateway", Role::Gateway, Mix::Gateway, Stack::Dual, Some(16.0)),
        ("gateway, half of the clusters P2P", Role::Gateway, Mix::Half, Stack::Dual, Some(64.0)),
    ];
    for (name, role, mix, stack, bound) in cases {
        let clusterset = ClusterSet { nodes, mix, stack, ..ClusterSet::default() };
        let held = run(&AgentMemory { clusterset, role })?;
        section.rows.extend(rows(&format!("{name}, {}", stack.name()), &held, bound));
    }
    Ok(section)
}

fn rows(name: &str, held: &Held, bound: Option<f64>) -> Vec<Row> {
    let bytes = |what: &str, value: u64| Row::shown(format!("{name}: {what}"), value as f64, Unit::Bytes);
    let bounded = |row: Row| {
        match bound {
        Some(mib) => row.at_most(mib * MIB).because(
            "what is wanted and what is found are held side by side, and with two families each is nearly twice as many entries",
        ),
        None => row,
    }
    };
    vec![
        Row::shown(format!("{name}: peers"), held.peers as f64, Unit::Count),
        bounded(bytes("peak, no change", held.checking.peak)),
        bounded(bytes("peak, from empty", held.filling.peak)),
        bytes("of that, the program before it reads anything", held.checking.start),
        bytes("of that, with all objects read", held.checking.inputs),
        bytes("between two checks", held.checking.standing),
    ]
}
