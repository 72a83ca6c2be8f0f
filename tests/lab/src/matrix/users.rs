//! The nodes that use gateways, as seen from outside: which gateway carries which flow, who is in their groups,
//! and what their agents have logged and reported.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::net::IpAddr;

use causeway_model::{Family, NodeId};
use serde_json::Value;

use super::act;
use super::paths::Path;
use crate::error::{LabError, Result};
use crate::lab::Lab;
use crate::state::from_json;

/// The gateways of the bed.
pub const GATEWAYS: [&str; 3] = ["beta/g1", "beta/g2", "beta/g3"];
/// The nodes that send what is followed: from inside the gateways' cluster, and from two others.
pub const USERS: [&str; 3] = ["alpha/n1", "beta/in", "gamma/n1"];

/// What an agent logs of a gateway that it takes out of use.
const DIED: &str = "it leaves its groups";
/// What an agent logs when it has written to the kernel.
const WROTE: &str = "kernel changed";
/// What an agent logs when the kernel has thrown notifications away.
pub const OVERRUN: &str = "notifications were lost";

/// A flow by its ends, and the overlay address of the gateway that carries it.
pub type Carried = BTreeMap<(IpAddr, IpAddr), IpAddr>;

/// The name of a node, parsed.
pub fn id(node: &str) -> Result<NodeId> {
    node.parse().map_err(|_| LabError::UnknownEndpoint(node.to_owned()))
}

/// The overlay addresses of a gateway.
pub fn overlay(lab: &Lab, gateway: &str) -> Result<Vec<IpAddr>> {
    let id = id(gateway)?;
    let config = lab.objects().read(&lab.objects().file("nodeconfigs", &id.cluster, id.node.as_str()))?;
    let listed = config["spec"]["overlay"].as_array().into_iter().flatten();
    Ok(listed.filter_map(|address| address.as_str()?.parse().ok()).collect())
}

/// Which gateways are, in both families, in groups of a node, and which in none.
fn in_groups(lab: &Lab, node: &str) -> Result<(BTreeSet<&'static str>, BTreeSet<&'static str>)> {
    let shown = act::run(lab, node, "ip -j nexthop show protocol 197")?;
    let shown = if shown.trim().is_empty() { "[]" } else { shown.as_str() };
    let hops: Vec<Value> = from_json(shown, "next hops")?;
    let members = hops.iter().filter_map(|hop| hop["group"].as_array()).flatten();
    let members: BTreeSet<u64> = members.filter_map(|member| member["id"].as_u64()).collect();
    let member = hops.iter().filter(|hop| hop["id"].as_u64().is_some_and(|id| members.contains(&id)));
    let used: BTreeSet<IpAddr> = member.filter_map(|hop| hop["gateway"].as_str()?.parse().ok()).collect();
    let (mut all, mut none) = (BTreeSet::new(), BTreeSet::new());
    for gateway in GATEWAYS {
        let own = overlay(lab, gateway)?;
        match own.iter().filter(|address| used.contains(address)).count() {
            0 => drop(none.insert(gateway)),
            some if some == own.len() => drop(all.insert(gateway)),
            _ => {}
        }
    }
    Ok((all, none))
}

/// Whether all users have all gateways in their groups; if not, who lacks some.
pub fn all_in_groups(lab: &Lab) -> Result<std::result::Result<(), String>> {
    for user in USERS {
        let (all, _) = in_groups(lab, user)?;
        if all.len() != GATEWAYS.len() {
            return Ok(Err(format!("{user} uses {all:?}")));
        }
    }
    Ok(Ok(()))
}

/// What the agent of a node has logged.
fn agent_log(lab: &Lab, id: &NodeId) -> Result<String> {
    let path = lab.directory().join(format!("log/agent_{}_{}.log", id.cluster, id.node));
    fs::read_to_string(&path).map_err(LabError::file("read", &path))
}

/// Whether no user's kernel has a next hop over the gateway, and its agent has said that it wrote that; if not, whose.
/// Nothing is left to be done about the gateway then.
pub fn forgotten(lab: &Lab, gateway: &str) -> Result<std::result::Result<(), String>> {
    let own = overlay(lab, gateway)?;
    for user in USERS {
        let shown = act::run(lab, user, "ip nexthop show protocol 197")?;
        if shown.split_whitespace().any(|word| own.iter().any(|address| word == address.to_string())) {
            return Ok(Err(format!("{user} still has a next hop over {gateway}")));
        }
        let log = agent_log(lab, &id(user)?)?;
        if log.rfind(DIED).is_none_or(|death| !log[death..].contains(WROTE)) {
            return Ok(Err(format!("the agent of {user} has not dealt with it")));
        }
    }
    Ok(Ok(()))
}

/// Whether no user has the gateway in any group; if not, who has.
pub fn left_groups(lab: &Lab, gateway: &str) -> Result<std::result::Result<(), String>> {
    for user in USERS {
        let (_, none) = in_groups(lab, user)?;
        if !none.contains(gateway) {
            return Ok(Err(format!("{user} still uses {gateway}")));
        }
    }
    Ok(Ok(()))
}

/// Where each user's kernel sends each flow of the paths over gateways, both ways.
pub fn carried(lab: &Lab) -> Result<Carried> {
    let mut flows: BTreeMap<&str, Vec<(IpAddr, IpAddr)>> = BTreeMap::new();
    for (from, to) in [Path::Remote, Path::Internal].iter().flat_map(|path| path.pairs()) {
        for family in Family::BOTH {
            let (there, back) = (lab.address(from, to, family)?, lab.address(to, from, family)?);
            for (end, flow) in [(from, (back, there)), (to, (there, back))] {
                let user = end.rsplit_once('/').map_or(*end, |(node, _)| node);
                flows.entry(user).or_default().push(flow);
            }
        }
    }
    let mut carried = Carried::new();
    flows
        .iter()
        .try_for_each(|(user, flows)| look_up(lab, user, flows).map(|found| carried.extend(found)))?;
    Ok(carried)
}

/// Where the kernel of `node` sends packets of these flows, which come from its own pods.
pub fn look_up(lab: &Lab, node: &str, flows: &[(IpAddr, IpAddr)]) -> Result<Carried> {
    let mut devices = BTreeMap::new();
    for from in flows.iter().map(|(from, _)| *from).collect::<BTreeSet<IpAddr>>() {
        let shown = act::run(lab, node, &format!("ip -o route get {from}"))?;
        devices.insert(from, word_after(&shown, "dev").unwrap_or_default().to_owned());
    }
    let mut script = String::new();
    for (from, to) in flows {
        let device = &devices[from];
        script.push_str(&format!("route get {to} from {from} iif {device}\n"));
    }
    let shown = act::run(lab, node, &format!("ip -o -batch - <<END\n{script}END\n"))?;
    let gateways = shown.lines().map(|line| word_after(line, "via").and_then(|address| address.parse().ok()));
    Ok(flows.iter().zip(gateways).filter_map(|(flow, gateway)| Some((*flow, gateway?))).collect())
}

fn word_after<'a>(line: &'a str, word: &str) -> Option<&'a str> {
    line.split_whitespace().skip_while(|w| *w != word).nth(1)
}

/// The gateway that carries most of these flows.
pub fn busiest(lab: &Lab, carried: &Carried) -> Result<&'static str> {
    let mut most = (0, GATEWAYS[0]);
    for gateway in GATEWAYS {
        let own = overlay(lab, gateway)?;
        let flows = carried.values().filter(|via| own.contains(via)).count();
        most = most.max((flows, gateway));
    }
    Ok(most.1)
}

/// What the agents of all nodes have logged so far.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Logged {
    /// How often an agent has written to its kernel.
    pub writes: BTreeMap<String, usize>,
    /// How often one has taken a gateway out of use.
    pub deaths: usize,
    /// How often one has heard that notifications were lost.
    pub overruns: usize,
}

impl Logged {
    /// Reads the logs.
    pub fn read(lab: &Lab) -> Result<Logged> {
        let mut logged = Logged::default();
        for (cluster, node) in lab.topology()?.nodes() {
            let id = cluster.node_id(node);
            let text = agent_log(lab, &id)?;
            let count = |what: &str| text.lines().filter(|line| line.contains(what)).count();
            logged.writes.insert(id.to_string(), count(WROTE));
            logged.deaths += count(DIED);
            logged.overruns += count(OVERRUN);
        }
        Ok(logged)
    }

    /// What was logged since `earlier`.
    pub fn since(&self, earlier: &Logged) -> Logged {
        let before = |node: &String| earlier.writes.get(node).copied().unwrap_or_default();
        Logged {
            writes: self
                .writes
                .iter()
                .map(|(node, n)| (node.clone(), n.saturating_sub(before(node))))
                .collect(),
            deaths: self.deaths.saturating_sub(earlier.deaths),
            overruns: self.overruns.saturating_sub(earlier.overruns),
        }
    }

    /// How often any agent has written.
    pub fn all_writes(&self) -> usize {
        self.writes.values().sum()
    }
}

/// The reason and the message of the condition GatewaysReachable of a node.
pub fn gateways_reachable(lab: &Lab, node: &str) -> Result<(String, String)> {
    let id = id(node)?;
    let file = lab.objects().file("nodeconfigs", &id.cluster, &format!("{}.status", id.node));
    // It is written while it is read, or not yet.
    let status = lab.objects().read(&file).unwrap_or_default();
    let conditions = status["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let found = conditions.into_iter().find(|c| c["type"] == "GatewaysReachable").unwrap_or_default();
    let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
    Ok((text("reason"), text("message")))
}
