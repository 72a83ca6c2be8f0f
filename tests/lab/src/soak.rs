//! Clusters that join and leave again and again, on nodes that others have filled with what is theirs. After each
//! leaving, in whichever way, every byte of a node's network state is what it was before.

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use causeway_model::ClusterName;
use clap::Args;

use crate::deadline::wait_until;
use crate::error::{LabError, Result};
use crate::lab::{Lab, Programs};
use crate::state::DIRECTORY;
use crate::topology::Topology;

/// How long to soak.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Args)]
pub struct SoakOptions {
    /// How often nodes join and leave
    #[arg(long, default_value_t = 1000)]
    pub joins: u32,
}

/// The bed: a CNI that tunnels and masquerades, and a cluster of gateways.
const BED: &str = "
clusters:
  - {name: a, nodes: 1, cni: vxlan, services: [{name: s}]}
  - name: b
    spec: {mode: Gateway, gateways: {count: 1, nodeSelector: {matchLabels: {gateway: \"yes\"}}}}
    nodes: [{name: gw, labels: {gateway: \"yes\"}}, {name: in}]";
const NODES: [&str; 3] = ["a/n1", "b/gw", "b/in"];

/// What Docker, kube-proxy in iptables mode and others leave on a node, beside what the bed's CNI and kube-proxy do.
const OTHERS: &str = r#"
ip link add docker0 address 02:42:0a:00:00:01 type bridge
ip address add 172.17.0.1/16 brd 172.17.255.255 dev docker0
ip link set docker0 up
ip link add veth-x address 02:00:00:00:00:01 type veth peer name veth-y address 02:00:00:00:00:02
ip link set veth-x master docker0 up
ip link set veth-y up
for table in iptables-nft ip6tables-nft; do
    $table -N DOCKER
    $table -N DOCKER-USER
    $table -N DOCKER-ISOLATION-STAGE-1
    $table -N KUBE-FORWARD
    $table -A DOCKER-USER -j RETURN
    $table -A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j RETURN
    $table -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP
    $table -I FORWARD -j DOCKER-USER
    $table -I FORWARD 2 -j DOCKER-ISOLATION-STAGE-1
    $table -A FORWARD -o docker0 -j DOCKER
    $table -A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
    $table -t nat -N KUBE-SERVICES
    $table -t nat -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
    $table -P FORWARD DROP
done
iptables-nft -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
ip route add 203.0.113.0/24 dev docker0 table 100 proto static
ip -6 route add 2001:db8:77::/64 dev docker0 table 100 proto static
ip rule add priority 5000 fwmark 0x77 lookup 100
ip -6 rule add priority 5000 fwmark 0x77 lookup 100
ip nexthop add id 7 via 172.17.0.9 dev docker0
ip nexthop add id 8 group 7
ip route add 203.0.114.0/24 nhid 8
ip neighbour add 172.17.0.9 lladdr 02:42:0a:00:00:09 dev docker0 nud permanent
ip link add vx-other address 02:00:00:00:00:03 type vxlan id 77 dstport 4999 local 127.0.0.1
bridge fdb append 02:00:00:00:00:04 dev vx-other dst 127.0.0.9
nft add table inet firewall
nft "add set inet firewall blocked { type ipv4_addr; flags interval; elements = { 198.51.100.0/24 }; }"
nft "add chain inet firewall input { type filter hook input priority 10; policy accept; }"
nft add rule inet firewall input ip saddr @blocked counter drop
sysctl -qw net.ipv4.conf.docker0.rp_filter=1 net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.docker0.route_localnet=1
"#;

/// All of a node's network state as text, but for what counts and ages by itself.
const STATE: &str = r#"
# Timers run, and the state of a link is known a moment after it is set up.
settled() { sed -E 's/[a-z_]+_timer +[0-9.]+//g; s/ state [A-Z]+//; s/NO-CARRIER,//'; }
ip -d link | settled
ip address | settled
for family in -4 -6; do
    ip -d $family route show table all
    ip $family rule
done
ip -d nexthop
ip neighbour show nud permanent
bridge -d fdb | grep permanent
nft -s -a list ruleset
# Others than those of the network's own age (stable secrets cannot be read, some are the whole machine's).
grep -rs "" /proc/sys/net/ipv4 /proc/sys/net/ipv6 /proc/sys/net/bridge | grep -v -e /flush -e stable_secret -e _mem | sort
"#;

/// How long nodes may take to come to rest.
const LIMIT: Duration = Duration::from_secs(30);

/// How nodes leave.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Leaving {
    /// Their agents are told to clean up, while the cluster is still planned.
    CleanUp,
    /// The cluster is taken out of the plan first: the others drop it at once.
    Cluster,
    /// It does not answer any more, and is taken out; its nodes are cleaned up long after the others have gone on.
    Forced,
}

/// A bed in which to soak.
pub struct Soak {
    lab: Lab,
    programs: String,
    /// What each node was before.
    before: Vec<String>,
}

/// Soaks, and says how far it is.
pub(crate) fn run(program: &Path, options: SoakOptions) -> Result<()> {
    let mut soak = Soak::begin(program, "soak")?;
    let mut joined = 0;
    while joined < options.joins {
        joined += soak.round()?;
        if joined % 30 == 0 {
            println!("{joined} nodes joined and left");
        }
    }
    println!("{joined} nodes joined and left; each was as before every time");
    soak.lab.down()
}

impl Soak {
    /// Brings a bed of this name up, without programs, with what others leave on its nodes. `program` is
    /// `causeway-lab`; the programs under test are beside it.
    ///
    /// # Errors
    /// The bed cannot be made.
    pub fn begin(program: &Path, name: &str) -> Result<Soak> {
        let mut topology = Topology::parse(BED, "soak")?;
        topology.name = format!("{name}-{}", std::process::id());
        let Programs::In(programs) = Programs::beside(program) else {
            return Err(LabError::MissingBinary(program.to_owned()));
        };
        let lab = Lab::up(program, topology, Programs::None)?;
        let mut soak = Soak { lab, programs: programs.display().to_string(), before: Vec::new() };
        for node in NODES {
            soak.shell(node, &format!("set -e\n{OTHERS}"))?;
        }
        // Addresses may be tentative for a moment.
        wait_until("the nodes to be at rest", LIMIT, || {
            let now = soak.states()?;
            let before = std::mem::replace(&mut soak.before, now);
            Ok(if before == soak.before { Ok(()) } else { Err("they still change".to_owned()) })
        })?;
        Ok(soak)
    }

    /// All nodes join, and leave, each time in another way. Returns how many did.
    ///
    /// # Errors
    /// A program failed, or some state of a node is not what it was before; the error says which lines.
    pub fn round(&mut self) -> Result<u32> {
        for leaving in [Leaving::CleanUp, Leaving::Cluster, Leaving::Forced] {
            self.join()?;
            self.leave(leaving)?;
            for ((node, before), after) in NODES.iter().zip(&self.before).zip(self.states()?) {
                let difference = difference(before, &after);
                if !difference.is_empty() {
                    let message = format!("{node} is not as before after {leaving:?}:\n{difference}");
                    return Err(LabError::Failed { program: "soak".to_owned(), message });
                }
            }
        }
        Ok(3 * NODES.len() as u32)
    }

    fn join(&self) -> Result<()> {
        self.plan()?;
        for (node, device, remote) in
            [("a/n1", "vx-bridge", "b"), ("b/gw", "vx-bridge", "a"), ("b/in", "vx-local", "a")]
        {
            self.agent(node, "--once")?;
            let linked = format!("ip link show {device} && ip route show table all | grep -q {device}");
            self.shell(node, &linked).map_err(|error| LabError::Failed {
                program: "soak".to_owned(),
                message: format!("{node} does not reach {remote}: {error}"),
            })?;
        }
        Ok(())
    }

    fn leave(&self, leaving: Leaving) -> Result<()> {
        if leaving == Leaving::CleanUp {
            NODES.iter().try_for_each(|node| self.agent(node, "cleanup"))?;
            return Ok(());
        }
        if leaving == Leaving::Cluster {
            self.agent("a/n1", "cleanup")?;
        }
        let facts = self.take_cluster_out("a")?;
        self.plan()?;
        for node in ["b/gw", "b/in"] {
            self.agent(node, "--once")?;
            self.shell(node, "! ip route show table 4876 | grep -q '^10[.]1[.]'").map_err(|error| {
                LabError::Failed {
                    program: "soak".to_owned(),
                    message: format!("{node} keeps routes to a cluster that left: {error}"),
                }
            })?;
            self.agent(node, "cleanup")?;
        }
        if leaving == Leaving::Forced {
            self.agent("a/n1", "cleanup")?;
        }
        facts
            .iter()
            .try_for_each(|(path, text)| std::fs::write(path, text).map_err(LabError::file("write", path)))
    }

    /// Removes the facts of a cluster; what was in which file.
    fn take_cluster_out(&self, cluster: &str) -> Result<Vec<(std::path::PathBuf, String)>> {
        let name: ClusterName = cluster.parse().map_err(|_| LabError::UnknownEndpoint(cluster.to_owned()))?;
        let objects = self.lab.objects();
        let files = [objects.cluster_file(&name), objects.file("clusternodes", &name, "n1")];
        let mut facts = Vec::new();
        for file in files {
            let text = std::fs::read_to_string(&file).map_err(LabError::file("read", &file))?;
            std::fs::remove_file(&file).map_err(LabError::file("remove", &file))?;
            facts.push((file, text));
        }
        Ok(facts)
    }

    fn plan(&self) -> Result<()> {
        let manager =
            format!("{}/causeway-network-manager --objects {DIRECTORY}/objects --once", self.programs);
        self.shell(NODES[0], &manager).map(drop)
    }

    fn agent(&self, node: &str, what: &str) -> Result<()> {
        let (cluster, name) = node.split_once('/').unwrap_or_default();
        let whose = match what {
            "cleanup" => String::new(),
            _ => format!("--objects {DIRECTORY}/objects --cluster {cluster} --node {name} "),
        };
        let state = format!("{DIRECTORY}/state/{node}");
        let command =
            format!("mkdir -p {state} && {}/causeway-agent {what} {whose}--state-dir {state}", self.programs);
        self.shell(node, &command).map(drop)
    }

    fn states(&self) -> Result<Vec<String>> {
        NODES.iter().map(|node| self.shell(node, STATE)).collect()
    }

    fn shell(&self, node: &str, script: &str) -> Result<String> {
        let output = self.lab.exec(node, &["bash", "-c", script])?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        let program = script.lines().find(|line| !line.is_empty()).unwrap_or_default().to_owned();
        Err(LabError::Failed { program: format!("{node}: {program}"), message: output.stderr })
    }
}

/// The first lines that two states do not have in common.
fn difference(before: &str, after: &str) -> String {
    const MOST: usize = 20;
    let (old, new): (Vec<&str>, Vec<&str>) = (before.lines().collect(), after.lines().collect());
    let mut text = String::new();
    for (sign, these, those) in [("-", &old, &new), ("+", &new, &old)] {
        for line in these.iter().filter(|line| !those.contains(line)).take(MOST) {
            let _ = writeln!(text, "{sign} {line}");
        }
    }
    if text.is_empty() && before != after {
        text.push_str("the same lines in another order or number\n");
    }
    text
}
