//! The bed in which all layouts stand at once: nodes of all clusters on one segment, with connection tracking,
//! kube-proxy's rules and a CNI on each.

use std::fmt::Write;
use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use causeway_lab::{CheckOptions, Endpoint, Lab, Programs, Topology};
use causeway_model::{Family, Prefix};

use super::by_hand::{Device, Manner, Script, Vtep};
use super::layout::Layout;
use crate::measure::Path;

/// How long the bed may take to become well.
const WELL: Duration = Duration::from_secs(120);

/// A cluster of the bed: its name, its number of nodes, and the rest of what the lab file says of it.
type Section = (&'static str, u8, &'static str);

const VXLAN: &str = "cni: vxlan, linked: false";
/// Clusters whose nodes are to have a fast path.
const FAST: [&str; 6] = ["east", "west", "one-a", "one-b", "two-a", "two-b"];
const P2P: &str = "cni: vxlan";
/// Its pod CIDRs follow from its place in the list.
const GLOBAL: &str = "cni: vxlan, spec: {globalCIDRs: {mode: Map, map: [{cidr: 10.5.0.0/16, global: 100.70.0.0/16}, {cidr: 'fd10:5::/48', global: 'fd64:70::/48'}]}}";
const ONE_GATEWAY: &str =
    "cni: vxlan, spec: {mode: Gateway, gateways: {count: 1, nodeSelector: {matchLabels: {gateway: 'yes'}}}}";
const TWO_GATEWAYS: &str =
    "cni: vxlan, spec: {mode: Gateway, gateways: {count: 2, nodeSelector: {matchLabels: {gateway: 'yes'}}}}";

const CLUSTERS: [Section; 21] = [
    ("plain", 2, VXLAN),
    ("routed", 2, "cni: routed, linked: false"),
    ("east", 2, P2P),
    ("west", 1, P2P),
    ("global", 1, GLOBAL),
    ("hooked-a", 1, P2P),
    ("hooked-b", 1, P2P),
    ("one-a", 2, ONE_GATEWAY),
    ("one-b", 2, ONE_GATEWAY),
    ("two-a", 3, TWO_GATEWAYS),
    ("two-b", 3, TWO_GATEWAYS),
    ("hand-a", 1, VXLAN),
    ("hand-b", 1, VXLAN),
    ("guard-a", 1, VXLAN),
    ("guard-b", 1, VXLAN),
    ("hand-gw-a", 2, VXLAN),
    ("hand-gw-b", 2, VXLAN),
    ("ref-a", 1, VXLAN),
    ("ref-b", 1, VXLAN),
    ("ref-gw-a", 2, VXLAN),
    ("ref-gw-b", 2, VXLAN),
];

/// The lab file.
fn lab_file() -> String {
    let mut text = "clusters:\n".to_owned();
    let mut host = 11;
    for (name, nodes, more) in CLUSTERS {
        let _ =
            writeln!(text, "- name: {name}\n  underlay: {{subnets: [172.16.0.0/22, 'fd20::/64']}}\n  nodes:");
        for node in 1..=nodes {
            // The last node of a cluster with gateways is none.
            let gateway = more.contains("Gateway") && node < nodes;
            let labels = if gateway { ", labels: {gateway: 'yes'}" } else { "" };
            let _ = writeln!(text, "  - {{addresses: [172.16.0.{host}, 'fd20::{host:x}']{labels}}}");
            host += 1;
        }
        let more = more.replacen(", ", "\n  ", usize::from(!more.contains('{')));
        let more = more.replacen(", spec", "\n  spec", 1);
        let _ = writeln!(text, "  {more}");
    }
    text
}

/// A bed that is up, with every layout in it.
pub struct Bed {
    lab: Lab,
}

impl Bed {
    /// Brings it up, and waits until Causeway has linked what it is to link.
    ///
    /// # Errors
    /// If that fails, or the machine lacks something.
    pub fn up() -> Result<Bed> {
        let program = std::env::current_exe()?.with_file_name("causeway-lab");
        let mut topology = Topology::parse(&lab_file(), "path.yaml")?;
        topology.name = format!("bench-path-{}", std::process::id());
        let lab = Lab::up(&program, topology.clone(), Programs::beside(&program))?;
        let bed = Bed { lab };
        bed.open_fast_paths(&topology)?;
        let from = |layout: &Layout| layout.ends().0.to_owned();
        let layouts = [Layout::P2p, Layout::HookedP2p, Layout::Gateway, Layout::Gateways];
        let from = layouts.iter().map(from).collect();
        let report = bed.lab.wait_until_ready(&CheckOptions { from, ..CheckOptions::default() }, WELL)?;
        if !report.is_fine() {
            bail!("the bed is not well:\n{}", report.to_table());
        }
        let nodes = [
            ("hand-a", "hand-b", Manner::Lean),
            ("guard-a", "guard-b", Manner::Guarded),
            ("ref-a", "ref-b", Manner::Reference),
        ];
        for (a, b, manner) in nodes {
            bed.link_nodes(&topology, a, b, manner)?;
            bed.link_nodes(&topology, b, a, manner)?;
        }
        let gateways =
            [("hand-gw-a", "hand-gw-b", Manner::Lean), ("ref-gw-a", "ref-gw-b", Manner::Reference)];
        for (a, b, manner) in gateways {
            bed.link_gateways(&topology, a, b, manner)?;
            bed.link_gateways(&topology, b, a, manner)?;
        }
        // The servers of the measurements take the place of the lab's own.
        bed.shell("underlay", "kill $(cat /run/causeway-lab/pid/echo)")?;
        Ok(bed)
    }

    /// The bed.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// The path of a layout in a family; both families have every layout.
    ///
    /// # Errors
    /// If the bed does not know its address.
    pub fn path(&self, layout: Layout, family: Family) -> Result<Path> {
        let (from, to) = layout.ends();
        let address = self.lab.address(from, to, family)?;
        let own = to.parse::<Endpoint>()?.addresses(&self.lab.topology()?).contains(&address);
        if own == (layout == Layout::GlobalCidr) {
            bail!("{} is reached under {address}, which is not meant", layout.name());
        }
        Ok(Path { from: namespace(from)?, to: namespace(layout.server())?, address })
    }

    /// Has all nodes but those of [`Layout::HookedP2p`] take TCP's sequence numbers as they come, as kube-proxy does with
    /// `conntrack.tcpBeLiberal`: then Causeway's have a fast path where one is possible. Waits for those of
    /// [`Layout::P2p`], [`Layout::Gateway`] and [`Layout::Gateways`].
    fn open_fast_paths(&self, topology: &Topology) -> Result<()> {
        for (cluster, node) in
            topology.nodes().filter(|(cluster, _)| !cluster.name.as_str().starts_with("hooked"))
        {
            let name = format!("{}/{}", cluster.name, node.name);
            self.lab.track_liberally(&name, true)?;
        }
        for (cluster, node) in topology.nodes().filter(|(cluster, _)| FAST.contains(&cluster.name.as_str())) {
            self.lab.wait_for_fast_path(&format!("{}/{}", cluster.name, node.name), WELL)?;
        }
        Ok(())
    }

    /// One node of `here` straight to the one of `there`.
    fn link_nodes(&self, topology: &Topology, here: &str, there: &str, manner: Manner) -> Result<()> {
        let (own, peer) = (Member::find(topology, here, 0)?, Member::find(topology, there, 0)?);
        let mut script = Script::new(manner, own.vtep);
        script.device(Device::Bridge, &[&peer.vtep]);
        script.routes(Device::Bridge, &peer.vtep, &peer.pod_cidrs);
        script.keep_addresses(&peer.pod_cidrs);
        if manner == Manner::Guarded {
            script.guard(&peer.vtep, &own.pod_cidrs, &peer.pod_cidrs);
        }
        self.shell(&own.name, &script.finish())
    }

    /// The gateway, which is the first node, and the other node of `here`, towards the gateway of `there`.
    fn link_gateways(&self, topology: &Topology, here: &str, there: &str, manner: Manner) -> Result<()> {
        let (gateway, internal) = (Member::find(topology, here, 0)?, Member::find(topology, here, 1)?);
        let peer = Member::find(topology, there, 0)?;
        let mut script = Script::new(manner, internal.vtep.clone());
        script.device(Device::Local, &[&gateway.vtep]);
        script.routes(Device::Local, &gateway.vtep, &peer.pod_cidrs);
        script.keep_addresses(&peer.pod_cidrs);
        self.shell(&internal.name, &script.finish())?;
        let mut script = Script::new(manner, gateway.vtep);
        script.device(Device::Bridge, &[&peer.vtep]);
        script.device(Device::Local, &[&internal.vtep]);
        script.routes(Device::Bridge, &peer.vtep, &peer.pod_cidrs);
        match manner {
            Manner::Lean | Manner::Guarded => script.keep_addresses(&peer.pod_cidrs),
            Manner::Reference => script.masquerade(Device::Bridge),
        }
        self.shell(&gateway.name, &script.finish())
    }

    fn shell(&self, endpoint: &str, script: &str) -> Result<()> {
        let output = self.lab.exec(endpoint, &["sh", "-c", script])?;
        if !output.status.success() {
            bail!("on {endpoint}: {}", output.stderr.trim());
        }
        Ok(())
    }
}

/// The network namespace of an endpoint.
pub fn namespace(endpoint: &str) -> Result<String> {
    let parsed: Endpoint = endpoint.parse()?;
    parsed.namespace().with_context(|| format!("{endpoint} has no namespace"))
}

/// A node of a cluster that is linked by hand.
struct Member {
    name: String,
    vtep: Vtep,
    /// Those of its cluster.
    pod_cidrs: Vec<Prefix>,
}

impl Member {
    fn find(topology: &Topology, cluster: &str, index: usize) -> Result<Member> {
        let found = topology.clusters.iter().find(|c| c.name.as_str() == cluster);
        let node = found.and_then(|cluster| cluster.nodes.get(index));
        let (cluster, node) = found.zip(node).with_context(|| format!("{cluster} has no node {index}"))?;
        let is_v4 = |address: &&IpAddr| Family::of(**address) == Family::V4;
        let underlay = *node.addresses.iter().find(is_v4).context("an IPv4 address of a node")?;
        let number = u8::try_from(node.number).context("numbers of nodes")?;
        let name = format!("{}/{}", cluster.name, node.name);
        Ok(Member { name, vtep: Vtep { number, underlay }, pod_cidrs: cluster.pod_cidrs.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bed_has_every_end_of_every_layout_on_one_segment() {
        let topology = Topology::parse(&lab_file(), "path.yaml").unwrap_or_else(|error| panic!("{error}"));
        assert!(topology.clusters.iter().all(|cluster| cluster.segment == 0));
        let endpoints: Vec<String> = topology.endpoints().iter().map(ToString::to_string).collect();
        for layout in Layout::ALL {
            let (from, to) = layout.ends();
            for end in [from, to, layout.server()] {
                assert!(endpoints.iter().any(|known| known == end), "{end} of {layout:?}");
            }
            for device in layout.way().devices() {
                let (node, _) = device.split_once(' ').unwrap();
                assert!(endpoints.iter().any(|known| known == node), "{node} of {layout:?}");
            }
        }
    }

    #[test]
    fn gateways_are_the_first_nodes_and_unlinked_clusters_are_those_made_by_hand() {
        let topology = Topology::parse(&lab_file(), "path.yaml").unwrap();
        let cluster = |name: &str| topology.clusters.iter().find(|c| c.name.as_str() == name).unwrap();
        let gateways = |name| cluster(name).nodes.iter().filter(|n| n.labels.contains_key("gateway")).count();
        assert_eq!((gateways("one-a"), gateways("two-b"), gateways("east")), (1, 2, 0));
        assert!(cluster("east").linked && !cluster("hand-a").linked && !cluster("ref-gw-b").linked);
    }
}
