//! Tunnels as somebody makes them with `ip`, `bridge` and a rule or two: what Causeway's own are compared with, and
//! the layout of the reference system.
//!
//! Both are lines for a shell that runs on a node. Nodes are VTEPs by number: addresses follow from it.

use std::fmt::Write;
use std::net::IpAddr;

use causeway_model::{Family, Prefix};

/// In whose manner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Manner {
    /// As lean as it can be: one forwarding entry for each peer, one table, and the CNI is told not to masquerade.
    Lean,
    /// The same, and protected: tunnel packets are taken from the peer only, what is in them must come from the peer's
    /// pods, nobody but own pods sends into the tunnel, and segments fit it.
    Guarded,
    /// The reference system's: two forwarding entries for each peer, of which one floods, routing table 200, forwarding
    /// accepted by device, and on gateways masquerading into the tunnel.
    Reference,
}

/// A node as an end of tunnels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Vtep {
    /// A number that no other node has.
    pub number: u8,
    /// Its IPv4 address on the underlay.
    pub underlay: IpAddr,
}

impl Vtep {
    fn overlay(&self, family: Family) -> String {
        match family {
            Family::V4 => format!("198.19.200.{}", self.number),
            Family::V6 => format!("fdc5:ffff::{:x}", self.number),
        }
    }

    fn mac(&self) -> String {
        format!("02:ca:00:00:00:{:02x}", self.number)
    }
}

/// Lines for one node.
pub struct Script {
    manner: Manner,
    own: Vtep,
    lines: String,
}

impl Script {
    /// A node without tunnels. Strict filtering of the return path is off: requests and replies take different devices.
    pub fn new(manner: Manner, own: Vtep) -> Script {
        let mut script = Script { manner, own, lines: "set -e\n".to_owned() };
        script.line("for f in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 2 >$f; done");
        let table = script.table();
        for family in ["-4", "-6"] {
            script.line(format!("ip {family} rule add priority 200 table {table}"));
        }
        script
    }

    fn table(&self) -> u32 {
        match self.manner {
            Manner::Lean | Manner::Guarded => 4876,
            Manner::Reference => 200,
        }
    }

    fn line(&mut self, line: impl AsRef<str>) {
        let _ = writeln!(self.lines, "{}", line.as_ref());
    }

    /// A VXLAN device with Causeway's name, identifier and port, and peers on it.
    pub fn device(&mut self, device: Device, peers: &[&Vtep]) {
        let (name, vni, port) = device.parts();
        let (mac, underlay, table) = (self.own.mac(), self.own.underlay, self.table());
        self.line(format!(
            "ip link add {name} address {mac} mtu 1450 type vxlan id {vni} dstport {port} local {underlay} nolearning"
        ));
        self.line(format!("ip link set {name} up"));
        for (family, length) in [(Family::V4, 32), (Family::V6, 128)] {
            let address = self.own.overlay(family);
            self.line(format!("ip address add {address}/{length} dev {name}"));
        }
        for peer in peers {
            let (mac, underlay) = (peer.mac(), peer.underlay);
            self.line(format!("bridge fdb append {mac} dev {name} dst {underlay} self permanent"));
            if self.manner == Manner::Reference {
                self.line(format!(
                    "bridge fdb append 00:00:00:00:00:00 dev {name} dst {underlay} self permanent"
                ));
            }
            for family in Family::BOTH {
                let address = peer.overlay(family);
                self.line(format!("ip neighbour add {address} lladdr {mac} dev {name} nud permanent"));
                self.line(format!("ip route add {address} dev {name} table {table}"));
            }
        }
        if self.manner == Manner::Reference {
            for table in ["ip", "ip6"] {
                self.line(format!("nft insert rule {table} filter FORWARD iifname {name} counter accept"));
                self.line(format!("nft insert rule {table} filter FORWARD oifname {name} counter accept"));
            }
        }
    }

    /// Routes to prefixes behind a peer.
    pub fn routes(&mut self, device: Device, peer: &Vtep, prefixes: &[Prefix]) {
        let (name, table) = (device.parts().0, self.table());
        for prefix in prefixes {
            let via = peer.overlay(prefix.family());
            self.line(format!("ip route add {prefix} via {via} dev {name} onlink table {table}"));
        }
    }

    /// What is between pods of here and of there is not to be masqueraded by the CNI.
    pub fn keep_addresses(&mut self, remote: &[Prefix]) {
        for prefix in remote {
            let table = if prefix.family() == Family::V4 { "ip" } else { "ip6" };
            for end in ["saddr", "daddr"] {
                self.line(format!(
                    "nft insert rule {table} nat FLANNEL-POSTRTG {table} {end} {prefix} counter return"
                ));
            }
        }
    }

    /// Rules for a single peer, with as few chains, rules and look-ups as they can have.
    pub fn guard(&mut self, peer: &Vtep, own: &[Prefix], remote: &[Prefix]) {
        let (name, _, port) = Device::Bridge.parts();
        let mine = self.own.clone();
        let (local, underlay) = (mine.underlay, peer.underlay);
        self.line("nft add table inet guard");
        for (chain, hook, priority) in [
            ("arriving", "prerouting", -300),
            ("sent", "output", -300),
            ("taken", "input", -300),
            ("crossing", "forward", -150),
        ] {
            self.line(format!(
                "nft 'add chain inet guard {chain} {{ type filter hook {hook} priority {priority}; }}'"
            ));
        }
        let mut rule =
            |chain: &str, rule: String| self.line(format!("nft 'add rule inet guard {chain} {rule}'"));
        rule("arriving", format!("udp dport {port} ip daddr {local} notrack accept"));
        rule("arriving", format!("iifname != {name} accept"));
        rule("sent", format!("udp dport {port} ip saddr {local} notrack"));
        rule("taken", format!("udp dport {port} ip saddr != {underlay} counter drop"));
        rule("crossing", format!("iifname != {name} oifname != {name} accept"));
        rule("crossing", "ct status assured accept".to_owned());
        rule("crossing", "tcp flags syn tcp option maxseg size set rt mtu".to_owned());
        rule("crossing", format!("iifname {name} accept"));
        for family in Family::BOTH {
            let ip = if family == Family::V4 { "ip" } else { "ip6" };
            let of = |all: &[Prefix], overlay: String| {
                let all = all.iter().filter(|prefix| prefix.family() == family).map(ToString::to_string);
                all.chain([overlay]).collect::<Vec<_>>().join(", ")
            };
            let peers = of(remote, peer.overlay(family));
            rule("arriving", format!("{ip} saddr != {{ {peers} }} counter drop"));
            let ours = of(own, mine.overlay(family));
            rule("crossing", format!("{ip} saddr {{ {ours} }} accept"));
        }
        rule("crossing", "counter drop".to_owned());
    }

    /// The reference system's gateway: what enters the tunnel takes the gateway's address.
    pub fn masquerade(&mut self, device: Device) {
        let name = device.parts().0;
        for table in ["ip", "ip6"] {
            self.line(format!("nft insert rule {table} nat POSTROUTING oifname {name} counter masquerade"));
        }
    }

    /// The whole script.
    pub fn finish(self) -> String {
        self.lines
    }
}

/// A tunnel device.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Device {
    /// Between clusters.
    Bridge,
    /// Inside a cluster.
    Local,
}

impl Device {
    fn parts(self) -> (&'static str, u32, u16) {
        match self {
            Device::Bridge => ("vx-bridge", 54, 4876),
            Device::Local => ("vx-local", 55, 4877),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vtep(number: u8) -> Vtep {
        Vtep { number, underlay: IpAddr::V4([172, 16, 0, number].into()) }
    }

    fn script(manner: Manner) -> String {
        let mut script = Script::new(manner, vtep(7));
        script.device(Device::Bridge, &[&vtep(8)]);
        script.routes(Device::Bridge, &vtep(8), &["10.2.0.0/16".parse().unwrap()]);
        script.finish()
    }

    #[test]
    fn a_guard_takes_packets_of_its_peer_only() {
        let (lean, mut guarded) = (script(Manner::Lean), Script::new(Manner::Guarded, vtep(7)));
        guarded.guard(&vtep(8), &["10.1.0.0/16".parse().unwrap()], &["10.2.0.0/16".parse().unwrap()]);
        let guarded = guarded.finish();
        assert!(guarded.contains("ip saddr != 172.16.0.8 counter drop"), "{guarded}");
        assert!(guarded.contains("ip saddr != { 10.2.0.0/16, 198.19.200.8 } counter drop"), "{guarded}");
        assert!(!lean.contains("guard"), "{lean}");
    }

    #[test]
    fn the_reference_floods_has_table_200_and_accepts_by_device_and_the_lean_layout_does_not() {
        let (lean, reference) = (script(Manner::Lean), script(Manner::Reference));
        assert!(reference.contains("bridge fdb append 00:00:00:00:00:00 dev vx-bridge dst 172.16.0.8"));
        assert!(
            reference.contains("ip route add 10.2.0.0/16 via 198.19.200.8 dev vx-bridge onlink table 200")
        );
        assert!(reference.contains("filter FORWARD iifname vx-bridge"));
        for only in ["00:00:00:00:00:00", "table 200", "FORWARD"] {
            assert!(!lean.contains(only), "{lean}");
        }
        assert_eq!(lean.matches("bridge fdb append").count(), 1);
    }
}
