//! The memory that a node's agent needs for its objects, its desired state and its checks.
//!
//! The objects are written to a file first, one line of JSON each, by a process that plans the whole
//! clusterset; a fresh process then reads them one by one, as an agent takes them from a watch, and
//! only its memory counts. It holds no HTTP client and no runtime, which an agent has besides.

use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use causeway_api::{ClusterLink, NodeConfig, PeerSlice};
use causeway_dataplane::desired::sysctls;
use causeway_dataplane::netlink::LinuxKernel;
use causeway_model::{NodeId, Role};
use causeway_planner::Plan;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::child::{Measurement, Place, run};
use crate::clock::{memory, peak_memory};
use crate::measure::clusterset::{ClusterSet, WATCHER};
use crate::measure::network::make_underlay;
use crate::measure::node::{Converged, Inputs, converge};
use crate::measure::pipeline::Check;

/// Measures the agent of one node of a clusterset.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentMemory {
    /// Which clusterset.
    pub clusterset: ClusterSet,
    /// What its node does: `Node` is a P2P node that sees all nodes of the clusterset as peers; the
    /// others are of the first Gateway cluster.
    pub role: Role,
}

/// What two agents held: the first begins with an empty kernel, the second finds all as it should be.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    /// Peers in its slices.
    pub peers: usize,
    /// The agent that fills an empty kernel.
    pub filling: Memory,
    /// The agent that starts when nothing has changed, and checks.
    pub checking: Memory,
}

/// Memory of one process in bytes.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Memory {
    /// Before it read anything.
    pub start: u64,
    /// With all objects read.
    pub inputs: u64,
    /// Between two checks.
    pub standing: u64,
    /// At most, at any time.
    pub peak: u64,
}

impl Measurement for AgentMemory {
    const NAME: &'static str = "agent-memory";
    const PLACE: Place = Place::OwnNetwork;
    type Outcome = Held;

    fn measure(&self) -> Result<Held> {
        let directory = tempfile::tempdir().context("making a temporary directory")?;
        let file = directory.path().join("objects");
        let (peers, underlay) = self.write_objects(&file)?;
        make_underlay(&underlay)?;
        let process = |work| run(&AgentProcess { objects: file.clone(), work });
        Ok(Held { peers, filling: process(Work::Fill)?, checking: process(Work::Check)? })
    }
}

impl AgentMemory {
    /// Writes the objects of the node into `file`; gives the count of peers and the node's addresses.
    fn write_objects(&self, file: &Path) -> Result<(usize, Vec<String>)> {
        let plan = self.clusterset.plan_with_watcher()?;
        let inputs = Inputs::of(&plan, &self.node(&plan)?).context("the node has no plan")?;
        drop(plan);
        let open = || format!("writing {}", file.display());
        let mut out = BufWriter::new(File::create(file).with_context(open)?);
        line(&mut out, &causeway_api::node_config(&inputs.node))?;
        inputs.links.iter().try_for_each(|link| line(&mut out, &causeway_api::cluster_link(link)))?;
        inputs.slices.iter().try_for_each(|slice| line(&mut out, &causeway_api::peer_slice(slice)))?;
        out.flush().with_context(open)?;
        Ok((inputs.peers(), inputs.underlay()))
    }

    fn node(&self, plan: &Plan) -> Result<NodeId> {
        if self.role == Role::Node {
            return WATCHER.id();
        }
        let mut nodes = plan.nodes.values();
        let found = nodes.find(|node| node.role == self.role).map(|node| node.id.clone());
        found.with_context(|| format!("no node has the role {:?}", self.role))
    }
}

fn line(out: &mut impl Write, object: &impl Serialize) -> Result<()> {
    serde_json::to_writer(&mut *out, object)?;
    Ok(out.write_all(b"\n")?)
}

/// What an agent finds.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Work {
    /// An empty kernel, which it fills.
    Fill,
    /// A kernel in which all is as it should be.
    Check,
}

/// The agent: reads objects from a file and works on the kernel of this namespace.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentProcess {
    /// The file.
    pub objects: PathBuf,
    /// What it finds.
    pub work: Work,
}

impl Measurement for AgentProcess {
    const NAME: &'static str = "agent-process";
    const PLACE: Place = Place::Here;
    type Outcome = Memory;

    fn measure(&self) -> Result<Memory> {
        let start = memory()?;
        let inputs = self.read_objects()?;
        let with_inputs = memory()?;
        let mut kernel = LinuxKernel::open(sysctls::all([]))?;
        let Converged { desired, took, .. } = converge(&mut kernel, |host| inputs.desired(host))?;
        ensure!((took.steps == 0) == (self.work == Work::Check), "{:?} took {} steps", self.work, took.steps);
        for _ in 0..3 {
            Check::of(&mut kernel, &desired)?;
        }
        Ok(Memory { start, inputs: with_inputs, standing: memory()?, peak: peak_memory()? })
    }
}

impl AgentProcess {
    fn read_objects(&self) -> Result<Inputs> {
        let open = || format!("reading {}", self.objects.display());
        let mut lines = BufReader::new(File::open(&self.objects).with_context(open)?).lines();
        let first = lines.next().context("the file of objects is empty")??;
        let node = causeway_api::node_plan(&object::<NodeConfig>(&first)?)?;
        ensure!(node.errors.is_empty(), "{:?}", node.errors);
        let (mut links, mut slices) = (Vec::new(), Vec::new());
        for line in lines {
            let line = line?;
            if line.contains("\"kind\":\"ClusterLink\"") {
                links.push(causeway_api::link_plan(&object::<ClusterLink>(&line)?)?.value);
            } else {
                slices.push(causeway_api::slice_plan(&object::<PeerSlice>(&line)?)?.value);
            }
        }
        Ok(Inputs { node: node.value, links, slices })
    }
}

fn object<T: DeserializeOwned>(line: &str) -> Result<T> {
    serde_json::from_str(line).context("an object that this program wrote")
}
