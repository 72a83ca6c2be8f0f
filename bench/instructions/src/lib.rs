//! The hot paths of planner, diff and encoder on fixed inputs, to be run where instructions are counted.
//!
//! Each path prepares its input and then does the same work as often as it is told. The difference between two
//! numbers of repetitions is the work alone: preparation, start and end of the program fall out.

use std::hint::black_box;

use anyhow::{Context, Result, ensure};
use causeway_dataplane::desired::{HostFacts, desired, sysctls};
use causeway_dataplane::diff::diff;
use causeway_dataplane::model_kernel::ModelKernel;
use causeway_dataplane::netlink::LinuxKernel;
use causeway_dataplane::state::{Capabilities, HostAddress, HostLink, Observed};
use causeway_dataplane::{Desired, Kernel, Step};
use causeway_model::{Families, LinkPlan, NodePlan, SlicePlan};
use causeway_planner::synth::{Modes, Shape};
use causeway_planner::{Event, Plan, Planner};

/// A hot path.
pub struct HotPath {
    /// Its name.
    pub name: &'static str,
    run: fn(usize) -> Result<()>,
}

impl HotPath {
    /// All of them.
    pub const ALL: [HotPath; 6] = [
        HotPath { name: "planner: full plan", run: full_plan },
        HotPath { name: "planner: a node joins and leaves", run: node_comes_and_goes },
        HotPath { name: "data plane: desired state", run: desired_state },
        HotPath { name: "data plane: diff from an empty kernel", run: diff_from_empty },
        HotPath { name: "data plane: diff without a change", run: diff_without_change },
        HotPath { name: "data plane: entries to netlink messages", run: encode },
    ];

    /// The one of that name.
    pub fn named(name: &str) -> Option<HotPath> {
        HotPath::ALL.into_iter().find(|path| path.name == name)
    }

    /// Prepares, and does the work so many times.
    ///
    /// # Errors
    /// If the input does not come to what it should, or, of the path that writes to a kernel, if this network
    /// namespace may not be written to or already has a device of ours.
    pub fn run(&self, repetitions: usize) -> Result<()> {
        (self.run)(repetitions)
    }
}

fn shape(modes: Modes) -> Shape {
    Shape { clusters: 10, nodes: 1_000, modes, families: Families::DUAL }
}

fn full_plan(repetitions: usize) -> Result<()> {
    let events: Vec<Event> = shape(Modes::Half).events().collect();
    for _ in 0..repetitions {
        black_box(planned(&events));
    }
    Ok(())
}

fn planned(events: &[Event]) -> (Planner, Plan) {
    let (mut planner, mut plan) = (Planner::new(), Plan::default());
    events.iter().cloned().for_each(|event| planner.handle(event));
    plan.apply(planner.plan());
    (planner, plan)
}

fn node_comes_and_goes(repetitions: usize) -> Result<()> {
    let shape = shape(Modes::Half);
    let (mut planner, _) = planned(&shape.events().collect::<Vec<_>>());
    let node = shape.node(0, shape.nodes_of(0));
    // One plan more is little against what is prepared, and fifty of them are much against what varies.
    for _ in 0..50 * repetitions {
        planner.handle(Event::Node(node.clone()));
        black_box(planner.plan());
        planner.handle(Event::NodeGone(node.id.clone()));
        black_box(planner.plan());
    }
    Ok(())
}

/// A P2P node of a clusterset, with the plans that concern it and a host without anything of ours.
struct Agent {
    node: NodePlan,
    links: Vec<LinkPlan>,
    slices: Vec<SlicePlan>,
    empty: Observed,
}

impl Agent {
    fn new() -> Result<Agent> {
        let shape = shape(Modes::P2p);
        let (_, plan) = planned(&shape.events().collect::<Vec<_>>());
        let id = shape.node(0, 0).id;
        let node = plan.nodes.get(&id).context("the node has no plan")?.clone();
        let address = |address| HostAddress { address, link: "eth0".to_owned(), mtu: 1500 };
        let settings = sysctls::all(["eth0"]).into_iter().filter(|path| sysctls::device_of(path).is_none());
        let empty = Observed {
            sysctls: settings.map(|path| (path, "0".to_owned())).collect(),
            host_addresses: node.vtep.underlay.addresses().map(address).collect(),
            host_links: vec![HostLink {
                index: 2,
                master: None,
                mac: None,
                mtu: 1500,
                name: "eth0".to_owned(),
                kind: String::new(),
                rp_filter: 0,
            }],
            capabilities: Capabilities {
                resilient_groups: true,
                ipv6: true,
                iptables_legacy: false,
                fast_path: false,
            },
            ..Observed::default()
        };
        let links = plan.links.into_values().filter(|link| link.id.source == id.cluster).collect();
        Ok(Agent { node, links, slices: plan.slices.into_values().collect(), empty })
    }

    fn desired(&self) -> Desired {
        desired(&self.node, &self.links, &self.slices, &HostFacts::from(&self.empty)).0
    }
}

fn desired_state(repetitions: usize) -> Result<()> {
    let agent = Agent::new()?;
    for _ in 0..repetitions {
        black_box(agent.desired());
    }
    Ok(())
}

fn diff_from_empty(repetitions: usize) -> Result<()> {
    let agent = Agent::new()?;
    let desired = agent.desired();
    for _ in 0..repetitions {
        let steps = black_box(diff(&desired, &agent.empty));
        // 900 peers, each with a forwarding entry, and of both families a neighbour and a route.
        ensure!(steps.len() > 4_500, "only {} steps", steps.len());
    }
    Ok(())
}

fn diff_without_change(repetitions: usize) -> Result<()> {
    let agent = Agent::new()?;
    let desired = agent.desired();
    let mut kernel = ModelKernel::new(agent.empty.clone());
    for step in diff(&desired, &agent.empty) {
        kernel.step(&step)?;
    }
    let observed = kernel.state();
    for _ in 0..repetitions {
        let steps = black_box(diff(&desired, &observed));
        ensure!(steps.is_empty(), "{} steps are left", steps.len());
    }
    Ok(())
}

fn encode(repetitions: usize) -> Result<()> {
    let agent = Agent::new()?;
    let steps = diff(&agent.desired(), &agent.empty);
    let is_device = |step: &&Step| matches!(step, Step::AddDevice(..) | Step::AddAddress(..));
    let is_entry = |step: &&Step| {
        matches!(step, Step::ReplaceFdb(..) | Step::ReplaceNeighbour(..))
            || matches!(step, Step::ReplaceRoute(.., route) if matches!(route.hop, causeway_dataplane::state::Hop::Gateway(_)))
    };
    let devices: Vec<Step> = steps.iter().filter(is_device).cloned().collect();
    let entries: Vec<Step> = steps.iter().filter(is_entry).cloned().collect();
    ensure!(entries.len() > 4_000, "only {} entries", entries.len());
    let mut kernel = LinuxKernel::open(Vec::new())?;
    kernel.apply(&devices)?;
    for _ in 0..repetitions {
        kernel.apply(black_box(&entries))?;
    }
    Ok(())
}
