//! Faults: links that go down, nodes that die, packets that are lost, programs that end. Made inside
//! the bed and remembered in its state, so that checks expect nothing of what is down.
//!
//! Packets are dropped on the underlay router, never on a node: no node's own rules are touched.

use std::fmt::Write;

use causeway_model::{ClusterName, Family, NodeId, Prefix};
use clap::{Args, Subcommand, ValueEnum};
use serde::{Deserialize, Serialize};

use crate::bed::{self, port};
use crate::daemon::{self, Daemon};
use crate::error::{LabError, Result};
use crate::kubernetes::{self, Server, binaries};
use crate::namespace::Namespace;
use crate::state::State;
use crate::topology::{Endpoint, Node};

/// A fault to make, or to mend.
#[derive(Clone, Debug, Subcommand)]
pub enum Fault {
    /// Take a node's underlay link down, or up again
    Link {
        /// CLUSTER/NODE
        node: NodeId,
        /// What the link becomes
        state: LinkState,
    },
    /// Kill a node: its agent, and its link
    Kill {
        /// CLUSTER/NODE
        node: NodeId,
    },
    /// Bring a killed node back, as after a reboot with its kernel state kept
    Revive {
        /// CLUSTER/NODE
        node: NodeId,
    },
    /// Drop a share of a node's underlay packets
    Drop(PacketDrop),
    /// Drop a node's underlay packets that are long, both ways
    DropLarge {
        /// CLUSTER/NODE
        node: NodeId,
        /// The longest IP packet that passes, in bytes
        #[arg(long)]
        longer_than: u16,
    },
    /// Drop every underlay packet between two clusters
    Partition {
        /// One cluster
        one: ClusterName,
        /// The other
        other: ClusterName,
    },
    /// End every `drop`, `drop-large` and `partition`
    Heal,
    /// Stop (SIGTERM), kill, start or restart a node's agent
    Agent {
        /// CLUSTER/NODE
        node: NodeId,
        /// What to do with it
        action: Action,
    },
    /// Stop (SIGTERM), kill, start or restart network-manager
    Manager {
        /// What to do with it
        action: Action,
    },
    /// Stop (SIGTERM), kill, start or restart a cluster's controller-manager
    ControllerManager {
        /// The cluster
        cluster: ClusterName,
        /// What to do with it
        action: Action,
    },
    /// Stop, kill, start or restart the API server of a cluster, or of the `hub`; its objects stay
    ApiServer {
        /// The cluster, or `hub`
        server: String,
        /// What to do with it
        action: Action,
    },
}

/// A share of a node's underlay packets to be dropped.
#[derive(Clone, PartialEq, Eq, Debug, Args, Serialize, Deserialize)]
pub struct PacketDrop {
    /// CLUSTER/NODE
    #[serde(with = "crate::state::text")]
    pub node: NodeId,
    /// How many of a hundred packets
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u8).range(1..=100))]
    pub share: u8,
    /// Which packets, seen from the node
    #[arg(long, value_enum, default_value_t = Direction::Both)]
    pub direction: Direction,
}

/// A fault of packets, in force until healed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub(crate) enum PacketFault {
    Drop(PacketDrop),
    Large {
        #[serde(with = "crate::state::text")]
        node: NodeId,
        longer_than: u16,
    },
    Partition(ClusterName, ClusterName),
}

/// The state of a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum LinkState {
    /// It carries nothing.
    Down,
    /// It carries packets.
    Up,
}

/// A direction, seen from a node.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum, Serialize, Deserialize)]
pub enum Direction {
    /// What the node sends.
    From,
    /// What is sent to the node.
    To,
    /// Both.
    Both,
}

/// What to do with a program.
#[derive(Clone, Copy, PartialEq, Eq, Debug, ValueEnum)]
pub enum Action {
    /// Ask it to end (SIGTERM) and wait.
    Stop,
    /// Kill it (SIGKILL).
    Kill,
    /// Start it.
    Start,
    /// Stop and start it.
    Restart,
}

/// Makes or mends a fault, inside the bed.
pub(crate) fn apply(fault: &Fault) -> Result<()> {
    let mut state = State::load()?;
    match fault {
        Fault::Link { node, state: wanted } => set_link(&mut state, node, *wanted)?,
        Fault::Kill { node } => {
            Daemon::agent(node).kill()?;
            set_link(&mut state, node, LinkState::Down)?;
        }
        Fault::Revive { node } => {
            set_link(&mut state, node, LinkState::Up)?;
            if state.programs.is_some() {
                daemon::start_agent(&state, node)?;
            }
        }
        Fault::Drop(drop) => {
            known(&state, &drop.node)?;
            state.faults.push(PacketFault::Drop(drop.clone()));
        }
        Fault::DropLarge { node, longer_than } => {
            known(&state, node)?;
            state.faults.push(PacketFault::Large { node: node.clone(), longer_than: *longer_than });
        }
        Fault::Partition { one, other } => {
            for name in [one, other] {
                state.topology.cluster(name).ok_or_else(|| LabError::UnknownEndpoint(name.to_string()))?;
            }
            state.faults.push(PacketFault::Partition(one.clone(), other.clone()));
        }
        Fault::Heal => state.faults.clear(),
        Fault::Agent { node, action } => {
            known(&state, node)?;
            act(*action, &Daemon::agent(node), || daemon::start_agent(&state, node))?;
        }
        Fault::Manager { action } => {
            act(*action, &Daemon::manager(), || daemon::start_manager(&state))?;
        }
        Fault::ControllerManager { cluster, action } => {
            let found = state.topology.cluster(cluster);
            let found = found.ok_or_else(|| LabError::UnknownEndpoint(cluster.to_string()))?;
            let daemon = Daemon::controller_manager(cluster);
            act(*action, &daemon, || kubernetes::start_controller_manager(&state, found))?;
        }
        Fault::ApiServer { server, action } => {
            let server = Server::named(server)?;
            // One that is asked to end waits for those who watch.
            if *action != Action::Start {
                server.daemon().kill()?;
            }
            if matches!(action, Action::Start | Action::Restart) {
                server.start(&binaries(state.topology.kubernetes)?)?;
                server.wait_until_ready()?;
            }
        }
    }
    Namespace::underlay().nft(&script(&state))?;
    state.save()
}

fn act(action: Action, daemon: &Daemon, start: impl Fn() -> Result<()>) -> Result<()> {
    match action {
        Action::Stop => daemon.stop(),
        Action::Kill => daemon.kill(),
        Action::Start => start(),
        Action::Restart => daemon.stop().and_then(|()| start()),
    }
}

fn known<'a>(state: &'a State, node: &NodeId) -> Result<&'a Node> {
    let found = state.topology.node(node).map(|(_, node)| node);
    found.ok_or_else(|| LabError::UnknownEndpoint(node.to_string()))
}

fn set_link(state: &mut State, id: &NodeId, wanted: LinkState) -> Result<()> {
    let port = port(known(state, id)?);
    let word = if wanted == LinkState::Up { "up" } else { "down" };
    Namespace::underlay().ip(&format!("link set {port} {word}\n"))?;
    let down = Endpoint::Node(id.clone());
    state.down.retain(|other| *other != down);
    if wanted == LinkState::Down {
        state.down.push(down);
    }
    let cluster = state.topology.cluster(&id.cluster);
    cluster.filter(|c| c.has_backend_on(id)).map_or(Ok(()), |c| bed::refresh_services(c, &state.down))
}

const TABLE: &str = "bridge causeway-lab-faults";

/// The rules of all packet faults, replacing those before. Every packet of the underlay enters the
/// router through a bridge port and leaves through one, whether it is bridged or routed between.
fn script(state: &State) -> String {
    let mut script = format!("table {TABLE}\ndelete table {TABLE}\n");
    if state.faults.is_empty() {
        return script;
    }
    let _ = writeln!(script, "table {TABLE} {{\n chain enter {{");
    script.push_str("  type filter hook prerouting priority -300; policy accept;\n");
    for fault in &state.faults {
        match fault {
            PacketFault::Drop(drop) if drop.direction != Direction::To => {
                drop_rule(&mut script, state, drop, "iifname");
            }
            PacketFault::Large { node, longer_than } => {
                large_rule(&mut script, state, node, *longer_than, "iifname");
            }
            PacketFault::Drop(_) => {}
            PacketFault::Partition(one, other) => {
                let subnets = |name| state.topology.cluster(name).map_or(&[][..], |c| &c.subnets);
                for (a, b) in pairs(subnets(one), subnets(other)) {
                    let ip = if a.family() == Family::V4 { "ip" } else { "ip6" };
                    let _ = writeln!(script, "  {ip} saddr {a} {ip} daddr {b} counter drop");
                    let _ = writeln!(script, "  {ip} saddr {b} {ip} daddr {a} counter drop");
                }
            }
        }
    }
    script.push_str(" }\n chain leave {\n  type filter hook postrouting priority 300; policy accept;\n");
    for fault in &state.faults {
        match fault {
            PacketFault::Drop(drop) if drop.direction != Direction::From => {
                drop_rule(&mut script, state, drop, "oifname");
            }
            PacketFault::Large { node, longer_than } => {
                large_rule(&mut script, state, node, *longer_than, "oifname");
            }
            PacketFault::Drop(_) | PacketFault::Partition(..) => {}
        }
    }
    script.push_str(" }\n}\n");
    script
}

fn drop_rule(script: &mut String, state: &State, drop: &PacketDrop, port_match: &str) {
    let Some((_, node)) = state.topology.node(&drop.node) else { return };
    let share = match drop.share {
        100 => String::new(),
        share => format!("numgen random mod 100 < {share} "),
    };
    let _ = writeln!(script, "  {port_match} {} {share}counter drop", port(node));
}

fn large_rule(script: &mut String, state: &State, node: &NodeId, longer_than: u16, port_match: &str) {
    let Some((_, node)) = state.topology.node(node) else { return };
    let _ = writeln!(script, "  {port_match} {} meta length > {longer_than} counter drop", port(node));
}

/// Every pair of prefixes of one family.
fn pairs<'a>(one: &'a [Prefix], other: &'a [Prefix]) -> impl Iterator<Item = (&'a Prefix, &'a Prefix)> {
    one.iter().flat_map(move |a| other.iter().filter(|b| b.family() == a.family()).map(move |b| (a, b)))
}
