//! How fast entries get into the kernel: our batches against `ip -batch` and `bridge -batch`.
//!
//! All trials of a run stand in one namespace and follow each other in random order; each starts
//! without the entries and ends with the very same ones, which is checked. So their quotients mean
//! something on a machine whose speed changes, as single figures do not.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use causeway_dataplane::netlink::LinuxKernel;
use causeway_dataplane::state::{Hop, NextHop, NextHopId, Observed, Route, Vxlan, metric};
use causeway_dataplane::{Device, Kernel, Step};
use causeway_model::{Family, Mac, Prefix, UdpPort, Vni};
use serde::{Deserialize, Serialize};

use crate::child::{Measurement, Place};
use crate::clock::{Spent, timed, timed_children};
use crate::measure::network::{command, make_underlay};
use causeway_pathbench::statistics::Random;

const DEVICE: Device = Device::ALL[0];
const UNDERLAY: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 1);

/// What is written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Entry {
    /// Routes to distinct gateways, each with the metric of its prefix.
    RouteV4,
    /// The same for IPv6.
    RouteV6,
    /// Forwarding entries of a VXLAN device.
    Fdb,
    /// Permanent neighbours.
    NeighbourV4,
    /// The same for IPv6.
    NeighbourV6,
    /// Single next hops.
    NextHop,
}

impl Entry {
    /// All kinds.
    pub const ALL: [Entry; 6] =
        [Entry::RouteV4, Entry::RouteV6, Entry::Fdb, Entry::NeighbourV4, Entry::NeighbourV6, Entry::NextHop];

    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Entry::RouteV4 => "IPv4 routes",
            Entry::RouteV6 => "IPv6 routes",
            Entry::Fdb => "FDB entries",
            Entry::NeighbourV4 => "IPv4 neighbours",
            Entry::NeighbourV6 => "IPv6 neighbours",
            Entry::NextHop => "next hops",
        }
    }

    /// The steps that write entry `number` and remove it.
    fn steps(self, number: u32) -> (Step, Step) {
        let v4 = Ipv4Addr::from(u32::from(Ipv4Addr::new(198, 18, 0, 0)) + number);
        let v6 = |net, number: u32| {
            IpAddr::V6(Ipv6Addr::new(0xfdc5, net, 0, 0, 0, 0, (number >> 16) as u16, number as u16))
        };
        let mac = Mac::of_vtep(v4);
        let neighbour =
            |address| (Step::ReplaceNeighbour(DEVICE, address, mac), Step::DelNeighbour(DEVICE, address));
        let route = |prefix: Prefix, gateway, src| {
            let hop = Hop::Gateway(NextHop { device: DEVICE, gateway });
            let route = Route { hop, src: Some(src), mtu: None };
            (Step::ReplaceRoute(prefix, metric(&prefix), route), Step::DelRoute(prefix, metric(&prefix)))
        };
        match self {
            Entry::RouteV4 => {
                let pods = Ipv4Addr::from(u32::from(Ipv4Addr::new(10, 0, 0, 0)) + (number << 8));
                route(subnet(IpAddr::V4(pods), 24), IpAddr::V4(v4), own(Family::V4))
            }
            Entry::RouteV6 => {
                let pods = Ipv6Addr::new(0xfd10, 0, (number >> 16) as u16, number as u16, 0, 0, 0, 0);
                route(subnet(IpAddr::V6(pods), 64), v6(0, number), own(Family::V6))
            }
            Entry::Fdb => {
                let to = IpAddr::V4(Ipv4Addr::from(u32::from(Ipv4Addr::new(172, 16, 0, 0)) + number));
                (Step::ReplaceFdb(DEVICE, mac, to), Step::DelFdb(DEVICE, mac, to))
            }
            Entry::NeighbourV4 => neighbour(IpAddr::V4(v4)),
            Entry::NeighbourV6 => neighbour(v6(0, number)),
            Entry::NextHop => {
                let hop = NextHop { device: DEVICE, gateway: IpAddr::V4(v4) };
                (Step::AddNextHop(NextHopId(number), hop), Step::DelNextHop(NextHopId(number)))
            }
        }
    }

    /// How many of these entries there are.
    fn count(self, observed: &Observed) -> usize {
        match self {
            Entry::RouteV4 | Entry::RouteV6 => observed.routes.len(),
            Entry::Fdb => observed.fdb.len(),
            Entry::NeighbourV4 | Entry::NeighbourV6 => observed.neighbours.len(),
            Entry::NextHop => observed.next_hops.len(),
        }
    }
}

fn own(family: Family) -> IpAddr {
    match family {
        Family::V4 => IpAddr::V4(Ipv4Addr::new(198, 19, 255, 254)),
        Family::V6 => IpAddr::V6(Ipv6Addr::new(0xfdc5, 0, 0, 0, 0, 0, 0xffff, 0xfffe)),
    }
}

fn subnet(address: IpAddr, length: u8) -> Prefix {
    Prefix::containing(address, length).unwrap_or_else(|| Prefix::host(address))
}

/// Who writes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Writer {
    /// The data plane.
    Dataplane,
    /// The data plane a second time: what differs is noise.
    Again,
    /// `ip -batch` or `bridge -batch`, fed the lines that the steps are shown as.
    Batch,
}

/// Measures the rates of all kinds of entries.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rates {
    /// How many entries of a kind are written at once.
    pub entries: u32,
    /// How often.
    pub rounds: usize,
}

/// One trial.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Trial {
    /// What was written.
    pub entry: Entry,
    /// Who wrote it.
    pub writer: Writer,
    /// In which round.
    pub round: usize,
    /// What it took.
    pub spent: Spent,
}

impl Measurement for Rates {
    const NAME: &'static str = "rates";
    const PLACE: Place = Place::OwnNetwork;
    type Outcome = Vec<Trial>;

    fn measure(&self) -> Result<Vec<Trial>> {
        make_underlay(&[format!("{UNDERLAY}/24")])?;
        let mut bed = Bed::new(self.entries)?;
        let mut random = Random::new(2);
        let mut trials = Vec::new();
        for round in 0..self.rounds {
            let mut order: Vec<(Entry, Writer)> = Entry::ALL
                .into_iter()
                .flat_map(|entry| [Writer::Dataplane, Writer::Again, Writer::Batch].map(|w| (entry, w)))
                .collect();
            random.shuffle(&mut order);
            for (entry, writer) in order {
                trials.push(Trial { entry, writer, round, spent: bed.trial(entry, writer)? });
            }
        }
        Ok(trials)
    }
}

/// What one kind of entry is written from.
struct Material {
    add: Vec<Step>,
    remove: Vec<Step>,
    program: &'static str,
    batch: PathBuf,
}

impl Material {
    fn new(entry: Entry, entries: u32, directory: &Path) -> Result<Material> {
        let (add, remove): (Vec<Step>, Vec<Step>) = (1..=entries).map(|number| entry.steps(number)).unzip();
        let program = if entry == Entry::Fdb { "bridge" } else { "ip" };
        let mut text = String::new();
        for step in &add {
            let line = step.to_string();
            let line = line.strip_prefix(program).with_context(|| format!("{line}: no {program} command"))?;
            writeln!(text, "{}", line.trim_start())?;
        }
        let batch = directory.join(entry.name().replace(' ', "-"));
        std::fs::write(&batch, text).with_context(|| format!("writing {}", batch.display()))?;
        Ok(Material { add, remove, program, batch })
    }
}

/// The kernel with one device, and all that is written to it.
struct Bed {
    kernel: LinuxKernel,
    entries: u32,
    materials: BTreeMap<Entry, Material>,
    /// The state with entries of a kind, as it was the first time.
    states: BTreeMap<Entry, Observed>,
    _directory: tempfile::TempDir,
}

impl Bed {
    fn new(entries: u32) -> Result<Bed> {
        let directory = tempfile::tempdir().context("making a temporary directory")?;
        let materials = Entry::ALL
            .into_iter()
            .map(|entry| Ok((entry, Material::new(entry, entries, directory.path())?)))
            .collect::<Result<_>>()?;
        let mut kernel = LinuxKernel::open(Vec::new())?;
        let vxlan = Vxlan {
            vni: Vni(54),
            port: UdpPort(4876),
            local: IpAddr::V4(UNDERLAY),
            learning: false,
            mac: Mac::of_vtep(Ipv4Addr::new(198, 19, 255, 254)),
            mtu: 1450,
            up: true,
        };
        let addresses = Family::BOTH.map(|family| Step::AddAddress(DEVICE, own(family)));
        kernel.apply(&[Step::AddDevice(DEVICE, vxlan)])?;
        kernel.apply(&addresses)?;
        Ok(Bed { kernel, entries, materials, states: BTreeMap::new(), _directory: directory })
    }

    fn trial(&mut self, entry: Entry, writer: Writer) -> Result<Spent> {
        let material = &self.materials[&entry];
        let spent = match writer {
            Writer::Dataplane | Writer::Again => {
                let (done, spent) = timed(|| self.kernel.apply(&material.add))?;
                done?;
                spent
            }
            Writer::Batch => {
                let file = material.batch.to_string_lossy().into_owned();
                let (done, spent) = timed_children(|| command(material.program, &["-batch", &file]))?;
                done?;
                spent
            }
        };
        let observed = self.kernel.observe()?;
        ensure!(
            entry.count(&observed) == self.entries as usize,
            "{writer:?} did not write all {}",
            entry.name()
        );
        let expected = self.states.entry(entry).or_insert_with(|| observed.clone());
        ensure!(*expected == observed, "{writer:?} wrote other {} than the writer before", entry.name());
        self.kernel.apply(&material.remove)?;
        ensure!(entry.count(&self.kernel.observe()?) == 0, "{} are left over", entry.name());
        Ok(spent)
    }
}
