//! Namespaces beside each other, joined by links, and questions asked between them.

use std::collections::BTreeMap;
use std::io::{Read as _, Write as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::time::Duration;

use causeway_dataplane::Device;
use causeway_dataplane::desired::fast_path::Ends;
use causeway_dataplane::desired::firewall::{Inputs, firewall};
use causeway_dataplane::nft::{Origin, Ruleset};
use causeway_dataplane::state::Vxlan;
use causeway_dataplane::table::Table;
use causeway_model::{
    DualStack, Families, Mac, NodePlan, OverlayAddresses, OwnPrefixes, Prefix, Role, Translation, TunnelPair,
    Tunnels, Vtep,
};

use super::{address, converge, enter_new_namespace, nft_text, prefix, prefixes, run};

/// How long a question may take that is answered.
const ANSWERED: Duration = Duration::from_secs(5);
/// How long to wait for an answer that does not come.
const UNANSWERED: Duration = Duration::from_millis(400);
/// Where all servers listen.
pub const PORT: u16 = 7000;

type Job = Box<dyn FnOnce() + Send>;

/// A network namespace with a thread that lives in it; it ends with the value.
pub struct Namespace {
    name: &'static str,
    jobs: Option<mpsc::Sender<Job>>,
    thread: Option<std::thread::JoinHandle<()>>,
    /// Under which path others find it.
    path: String,
}

impl Namespace {
    pub fn new(name: &'static str) -> Namespace {
        let (jobs, todo) = mpsc::channel::<Job>();
        let (ready, path) = mpsc::channel();
        let thread = std::thread::spawn(move || {
            enter_new_namespace();
            let path = format!("/proc/{}/task/{}/ns/net", std::process::id(), nix::unistd::gettid());
            ready.send(path).expect("somebody waits");
            todo.iter().for_each(|job| job());
        });
        let path = path.recv().expect("a namespace");
        let namespace = Namespace { name, jobs: Some(jobs), thread: Some(thread), path };
        for setting in ["ipv4.ip_forward=1", "ipv6.conf.all.forwarding=1", "ipv4.conf.all.rp_filter=0"] {
            namespace.run(&format!("sysctl -qw net.{setting}"));
        }
        namespace.run("sysctl -qw net.ipv4.conf.default.rp_filter=0");
        namespace
    }

    /// Does something in the namespace and waits for it.
    pub fn call<T: Send + 'static>(&self, job: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = mpsc::channel();
        let job: Job = Box::new(move || drop(done.send(job())));
        self.jobs.as_ref().expect("it lives").send(job).expect("its thread lives");
        result.recv().unwrap_or_else(|_| panic!("failed in namespace {}", self.name))
    }

    /// Runs commands, one a line.
    pub fn run(&self, commands: &str) -> String {
        let commands = commands.to_owned();
        self.call(move || commands.lines().map(str::trim).filter(|line| !line.is_empty()).map(run).collect())
    }

    pub fn nft(&self, text: &str) {
        let text = text.to_owned();
        self.call(move || nft_text(&text));
    }

    /// Gives the namespace our table.
    pub fn converge(&self, desired: Option<Ruleset>) {
        self.call(move || converge(desired.as_ref()));
    }

    /// How many packets were dropped by the rules with this condition or comment.
    pub fn drops(&self, meant: &str) -> u64 {
        let text = self.run("nft list table inet causeway");
        text.lines().filter(|line| line.contains(meant)).filter_map(packets).sum()
    }

    /// How many packets the rules of a chain counted.
    pub fn counted(&self, table: &str, chain: &str) -> u64 {
        self.run(&format!("nft list chain {table} {chain}")).lines().filter_map(packets).sum()
    }

    /// Answers every question to `at` with the address that asked, over TCP and UDP.
    pub fn answer(&self, at: &str) {
        let at = SocketAddr::new(address(at), PORT);
        let (tcp, udp) = self.call(move || (TcpListener::bind(at), UdpSocket::bind(at)));
        let (tcp, udp) = (tcp.expect("a listener"), udp.expect("a socket"));
        std::thread::spawn(move || {
            while let Ok((mut stream, from)) = tcp.accept() {
                let _ = stream.write_all(from.ip().to_string().as_bytes());
            }
        });
        std::thread::spawn(move || {
            let mut buffer = [0; 64];
            while let Ok((_, from)) = udp.recv_from(&mut buffer) {
                let _ = udp.send_to(from.ip().to_string().as_bytes(), from);
            }
        });
    }

    /// As whom the server at `to` sees us over TCP, if it is reached.
    pub fn ask_tcp(&self, to: &str, wait: Duration) -> Option<String> {
        let to = SocketAddr::new(address(to), PORT);
        self.call(move || {
            let mut stream = TcpStream::connect_timeout(&to, wait).ok()?;
            stream.set_read_timeout(Some(wait)).expect("a timeout");
            let mut text = String::new();
            stream.read_to_string(&mut text).ok()?;
            Some(text)
        })
    }

    /// As whom the server at `to` sees us over UDP, asked from `from`.
    pub fn ask_udp(&self, from: &str, to: &str, wait: Duration) -> Option<String> {
        let (from, to) = (SocketAddr::new(address(from), 0), SocketAddr::new(address(to), PORT));
        self.call(move || {
            let socket = UdpSocket::bind(from).expect("a socket");
            socket.connect(to).ok()?;
            socket.set_read_timeout(Some(wait)).expect("a timeout");
            socket.send(b"who").ok()?;
            let mut buffer = [0; 64];
            let length = socket.recv(&mut buffer).ok()?;
            Some(String::from_utf8_lossy(&buffer[..length]).into_owned())
        })
    }

    /// Whether `to` answers an echo request.
    pub fn ping(&self, to: &str) -> bool {
        let command = format!("ping -n -c 1 -W 5 {to}");
        self.call(move || {
            let mut words = command.split(' ');
            let output = std::process::Command::new(words.next().expect("a program")).args(words).output();
            output.expect("ping is needed").status.success()
        })
    }

    /// That the server at `to` is reached over TCP, UDP and ICMP, and sees `seen` asking.
    #[track_caller]
    pub fn assert_seen_as(&self, to: &str, seen: &str) {
        assert_eq!(self.ask_tcp(to, ANSWERED).as_deref(), Some(seen), "TCP from {} to {to}", self.name);
        let any = if seen.contains(':') { "::" } else { "0.0.0.0" };
        assert_eq!(self.ask_udp(any, to, ANSWERED).as_deref(), Some(seen), "UDP from {} to {to}", self.name);
    }

    /// That a packet to `to` does not arrive, or its answer not.
    #[track_caller]
    pub fn assert_lost(&self, to: &str) {
        assert_eq!(self.ask_tcp(to, UNANSWERED), None, "TCP from {} to {to}", self.name);
    }
}

/// What the counter in a line of a listing shows.
fn packets(line: &str) -> Option<u64> {
    line.split_once("packets ")?.1.split(' ').next()?.parse().ok()
}

impl Drop for Namespace {
    fn drop(&mut self) {
        drop(self.jobs.take());
        if let Some(thread) = self.thread.take() {
            let failed = thread.join().is_err();
            assert!(!failed || std::thread::panicking(), "namespace {} failed", self.name);
        }
    }
}

/// One end of a link: a namespace, the name of the device there, and its number from 1 on, which makes
/// its MAC address: that of the VTEP 198.18.1.number.
pub type End<'a> = (&'a Namespace, &'a str, u8);

/// Joins two namespaces by a veth pair.
pub fn join(left: End<'_>, right: End<'_>) {
    let ((left, left_name, m), (right, right_name, n)) = (left, right);
    left.run(&format!(
        "ip link add {left_name} address 02:c5:c6:12:01:{m:02x} type veth peer name {right_name} address 02:c5:c6:12:01:{n:02x} netns {}
         ip link set {left_name} up",
        right.path
    ));
    right.run(&format!("ip link set {right_name} up"));
    // Rules know tunnels by their group.
    for (namespace, name) in [(left, left_name), (right, right_name)] {
        if let Some(device) = Device::from_name(name) {
            namespace.run(&format!("ip link set {name} group {}", device.overlay.group()));
        }
    }
}

/// Gives `namespace` the neighbour `address` behind `device`, without asking for it: nothing but known
/// sources comes out of a tunnel, no neighbour solicitation either.
pub fn neighbour(namespace: &Namespace, device: &str, address: &str, number: u8) {
    namespace.run(&format!("ip neighbour replace {address} lladdr 02:c5:c6:12:01:{number:02x} dev {device}"));
}

/// Adds addresses without waiting for duplicate address detection.
pub fn addresses(namespace: &Namespace, device: &str, addresses: &[&str]) {
    for address in addresses {
        let nodad = if address.contains(':') { "nodad" } else { "" };
        namespace.run(&format!("ip address add {address} dev {device} {nodad}"));
    }
}

/// A node of a cluster with pods in 10.1.0.0/16 and fd00:1::/56, Services in 10.96.0.0/16 and
/// fd00:96::/112, overlay 198.18.0.0/24 and fd00:c5::/120, linked to one with pods in 10.2.0.0/16 and
/// fd00:2::/56 and overlay 198.18.1.0/24 and fd00:c5:1::/120, and to one with pods in 10.3.0.0/16 and fd00:3::/56 and
/// overlay 198.18.2.0/24. Several nodes carry 10.2.7.0/24 and fd00:2:0:7::/64.
pub struct Node {
    pub role: Role,
    pub local_pods: Vec<&'static str>,
    pub translations: Vec<(&'static str, &'static str)>,
    pub devices: Vec<&'static str>,
    pub vteps: Vec<&'static str>,
    pub mtu: u32,
    pub overlay: (&'static str, &'static str),
    /// The ends of its fast path.
    pub fast: Option<Ends>,
}

impl Default for Node {
    fn default() -> Self {
        Node {
            role: Role::Node,
            local_pods: vec!["10.1.1.0/24", "fd00:1:0:1::/64"],
            translations: Vec::new(),
            devices: vec!["vx-bridge"],
            vteps: Vec::new(),
            mtu: 1450,
            overlay: ("198.18.0.1", "fd00:c5::1"),
            fast: None,
        }
    }
}

impl Node {
    pub fn ruleset(&self) -> Ruleset {
        let TunnelPair { bridge, local } = TunnelPair::default();
        let translation =
            |(real, global): &(&str, &str)| Translation { real: prefix(real), global: prefix(global) };
        let (v4, v6) = self.overlay;
        let plan = NodePlan {
            id: causeway_model::NodeId {
                cluster: "one".parse().expect("a name"),
                node: "n1".parse().expect("a name"),
            },
            role: self.role,
            vtep: Vtep {
                underlay: DualStack { v4: Some(address("192.0.2.1")), v6: None },
                overlay: OverlayAddresses { v4: v4.parse().expect("IPv4"), v6: v6.parse().expect("IPv6") },
                families: Families::DUAL,
            },
            tunnels: Tunnels { bridge: Some(bridge), local: Some(local) },
            own: OwnPrefixes {
                pods: prefixes(&["10.1.0.0/16", "fd00:1::/56"]),
                services: prefixes(&["10.96.0.0/16", "fd00:96::/112"]),
                overlay: prefixes(&["198.18.0.0/24", "fd00:c5::/120"]),
            },
            local_pods: prefixes(&self.local_pods),
            translations: self.translations.iter().map(translation).collect(),
        };
        let vxlan = |name: &&str| {
            let device = Device::from_name(name).expect("a device");
            let tunnel = if name.starts_with("vx-bridge") { bridge } else { local };
            (
                device,
                Vxlan {
                    vni: tunnel.vni,
                    port: tunnel.port,
                    local: address("192.0.2.1"),
                    learning: false,
                    mac: plan.vtep.mac(),
                    mtu: self.mtu,
                    up: true,
                },
            )
        };
        let devices: BTreeMap<Device, Vxlan> = self.devices.iter().map(vxlan).collect();
        let peer = |(n, vtep): (u8, &&str)| {
            ((Device::ALL[0], Mac::of_vtep(Ipv4Addr::new(198, 18, 1, n))), address(vtep))
        };
        let fdb: Table<(Device, Mac), IpAddr> = (1..).zip(&self.vteps).map(peer).collect();
        let remote = prefixes(&["10.2.0.0/16", "fd00:2::/56", "198.18.1.0/24", "fd00:c5:1::/120"]);
        let others = prefixes(&["10.3.0.0/16", "fd00:3::/56", "198.18.2.0/24"]);
        let of = |sources: &[Prefix], senders: &str| -> Vec<Origin> {
            sources.iter().map(|sources| Origin { sources: *sources, senders: prefix(senders) }).collect()
        };
        let inputs = Inputs {
            node: &plan,
            families: Families::DUAL,
            origins: [of(&remote, "198.18.1.0/24"), of(&others, "198.18.2.0/24")].concat(),
            remote: remote.into_iter().chain(others).collect(),
            carried: prefixes(&["10.2.7.0/24", "fd00:2:0:7::/64"]).into_iter().collect(),
            devices: &devices,
            fdb: &fdb,
            link_mtu: None,
            fast: self.fast.as_ref(),
        };
        firewall(&inputs).expect("a table")
    }
}
