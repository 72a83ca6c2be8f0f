//! The coded list of causes. A code never changes its meaning.

use std::fmt;

/// Why packets do not arrive, or may not.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Cause {
    /// An agent did not do what it was asked.
    AgentSilent,
    /// An agent cannot bring the kernel to its plan.
    NotProgrammed,
    /// Another program has the UDP port of a tunnel.
    PortTaken,
    /// The kernel lacks something.
    MissingFeature,
    /// What is asked at an API server is refused.
    RightsMissing,
    /// Clocks differ.
    ClockOff,
    /// Nothing at all gets from one node to another.
    UnderlayUnreachable,
    /// Tunnel packets are lost on the way, both ways.
    UdpBlocked,
    /// Tunnel packets are lost on the way, one way.
    OneDirection,
    /// A node is not at the underlay address that others are told.
    WrongUnderlay,
    /// Packets of full size are lost.
    Mtu,
    /// The node drops tunnel packets that its link received.
    NodeFirewall,
    /// A share of the packets is lost.
    Loss,
    /// The reverse path filter drops packets.
    ReversePathFilter,
    /// The node does not forward.
    ForwardingOff,
    /// The node drops what it should forward to its pods.
    ForwardDrop,
    /// Some pods are kept apart.
    NetworkPolicy,
    /// Sources are translated before they should be kept.
    EarlyMasquerade,
    /// Something is ahead of our routes.
    ForeignRoute,
    /// Checksums are wrong.
    Checksum,
    /// Requests to Services are not translated.
    ServiceUntranslated,
    /// The CNI carries nothing from a gateway to pods of its own cluster.
    CniPath,
    /// Two clusters have the same prefix.
    Overlap,
    /// Something is wrong that the evidence does not explain.
    Unexplained,
}

/// What there is to say of a cause.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Text {
    /// Its code.
    pub code: &'static str,
    /// In a few words.
    pub title: &'static str,
    /// What happens, and how it is told from other causes.
    pub explanation: &'static str,
    /// How to mend it: commands and fields. `{}` never occurs; names stand in capitals.
    pub mend: &'static [&'static str],
}

impl Cause {
    /// All causes, by code.
    pub const ALL: [Cause; 24] = [
        Cause::AgentSilent,
        Cause::NotProgrammed,
        Cause::PortTaken,
        Cause::MissingFeature,
        Cause::RightsMissing,
        Cause::ClockOff,
        Cause::UnderlayUnreachable,
        Cause::UdpBlocked,
        Cause::OneDirection,
        Cause::WrongUnderlay,
        Cause::Mtu,
        Cause::NodeFirewall,
        Cause::Loss,
        Cause::ReversePathFilter,
        Cause::ForwardingOff,
        Cause::ForwardDrop,
        Cause::NetworkPolicy,
        Cause::EarlyMasquerade,
        Cause::ForeignRoute,
        Cause::Checksum,
        Cause::ServiceUntranslated,
        Cause::CniPath,
        Cause::Overlap,
        Cause::Unexplained,
    ];

    /// The cause of this code, in any case.
    pub fn of_code(code: &str) -> Option<Cause> {
        Cause::ALL.into_iter().find(|cause| cause.code().eq_ignore_ascii_case(code))
    }

    /// Its code, such as `CW1103`.
    pub fn code(self) -> &'static str {
        self.text().code
    }

    /// What there is to say of it.
    pub fn text(self) -> Text {
        match self {
            Cause::AgentSilent => Text {
                code: "CW1001",
                title: "agent does not answer",
                explanation: "The node was asked for a test and did not write what it found. Its agent does not run, \
                    was not told (by controller-manager, which passes requests on; from the hub, if it and network-manager are new enough), cannot reach the API server of its cluster (or its directory), or is older than this command. What \
                    the kernel holds stays in force meanwhile, but nothing new is programmed and no dead gateway is left.",
                mend: &[
                    "kubectl -n causeway-system get pods -o wide",
                    "kubectl -n causeway-system get nodeconfigs -L causeway.dev/asked   # whom requests were passed on to",
                    "kubectl -n causeway-system logs -l app.kubernetes.io/component=agent --tail=100",
                ],
            },
            Cause::NotProgrammed => Text {
                code: "CW1002",
                title: "kernel is not as planned",
                explanation: "The agent runs and the kernel refuses changes, or another program undoes them. The \
                    evidence holds the kernel's own words.",
                mend: &[
                    "kubectl -n causeway-system get nodeconfigs NODE -o yaml   # condition Programmed",
                    "ip -d link show type vxlan; nft list table inet causeway   # on the node",
                ],
            },
            Cause::PortTaken => Text {
                code: "CW1003",
                title: "UDP port of a tunnel is taken",
                explanation: "A socket of another program on the node has the UDP port, so that the tunnel's device \
                    cannot come up.",
                mend: &[
                    "ss -lunp 'sport = :4876 or sport = :4877'   # on the node: who has it",
                    "kubectl patch clusterset default --type merge -p '{\"spec\":{\"tunnels\":{\"bridge\":{\"port\":PORT}}}}'   # another port, for all nodes",
                ],
            },
            Cause::MissingFeature => Text {
                code: "CW1004",
                title: "kernel lacks a feature",
                explanation: "The kernel does not know what it was asked for: a module is not there (vxlan, nf_tables), \
                    or IPv6 is switched off while the plan uses it.",
                mend: &[
                    "modprobe vxlan; modprobe nf_tables   # on the node",
                    "sysctl -w net.ipv6.conf.all.disable_ipv6=0   # if it is IPv6 that is missing",
                ],
            },
            Cause::RightsMissing => Text {
                code: "CW1005",
                title: "rights are missing",
                explanation: "An API server refuses what this command asks, or what an agent writes.",
                mend: &[
                    "kubectl auth can-i create diagnoses.causeway.dev -n causeway-system   # at a member",
                    "kubectl auth can-i create diagnoses.causeway.dev -n causeway-cluster-CLUSTER   # at the hub",
                ],
            },
            Cause::ClockOff => Text {
                code: "CW1006",
                title: "clock is wrong",
                explanation: "The clock of a node and the clock of this machine differ by more than a minute. Leases, \
                    certificates and tokens fail when clocks are wrong.",
                mend: &["timedatectl status; chronyc tracking   # on the node, and on this machine"],
            },
            Cause::UnderlayUnreachable => Text {
                code: "CW1101",
                title: "node cannot be reached over the underlay",
                explanation: "Neither tunnel packets nor plain echo requests get from one node to the other's underlay \
                    address, either way: there is no route between the two networks, a link is down, or a firewall drops \
                    all.",
                mend: &[
                    "ip route get ADDRESS; ping -c3 ADDRESS   # on each node, to the other's underlay address",
                    "kubectl get clusternodes -n causeway-cluster-CLUSTER   # are the underlay addresses right?",
                ],
            },
            Cause::UdpBlocked => Text {
                code: "CW1102",
                title: "UDP port is blocked between nodes",
                explanation: "Both nodes send tunnel packets, and no link of the other one receives any, though plain \
                    echo requests pass: a firewall or a security group between the nodes drops the UDP port.",
                mend: &[
                    "allow UDP 4876 between the underlay addresses, both ways, in security groups and firewalls",
                ],
            },
            Cause::OneDirection => Text {
                code: "CW1103",
                title: "tunnel packets pass one way only",
                explanation: "The link of one node receives tunnel packets of the other, and none arrive the other way: \
                    a firewall allows one direction only, a NAT stands between the nodes, or the sending node has no way to the other's address.",
                mend: &[
                    "ip route get ADDRESS   # on the node that sends: whether it has a way to the other's underlay address",
                    "allow UDP 4876 also in the direction that the evidence names",
                ],
            },
            Cause::WrongUnderlay => Text {
                code: "CW1104",
                title: "wrong underlay address or interface",
                explanation: "Other nodes send tunnel packets to an underlay address that no link of the node has, or \
                    the node sends from another address than they expect. The address in its ClusterNode is not the one \
                    at which it is reached.",
                mend: &[
                    "kubectl patch cluster CLUSTER --type merge -p '{\"spec\":{\"underlay\":{\"source\":\"Interface\",\"interface\":\"NAME\"}}}'",
                    "kubectl get clusternode NODE -n causeway-cluster-CLUSTER -o yaml   # spec.underlay",
                ],
            },
            Cause::Mtu => Text {
                code: "CW1105",
                title: "packets of full size are lost",
                explanation: "Small packets are answered and those of the size that the route allows are not: the \
                    underlay carries less than its links say, or drops fragments, and tells nobody.",
                mend: &[
                    "ping -M do -s SIZE ADDRESS   # between nodes: what the underlay carries",
                    "ip link set dev LINK mtu BYTES   # on the nodes; the tunnels follow",
                ],
            },
            Cause::NodeFirewall => Text {
                code: "CW1106",
                title: "node drops tunnel packets that it received",
                explanation: "The link of the node receives the tunnel packets and they do not come out of the tunnel: a \
                    rule of the node's own firewall drops them (input, or prerouting). Chains of several programs are asked one \
                    after the other and each of them may drop: an accept in one undoes no drop in another, so the rule itself has to change.",
                mend: &[
                    "nft -a list ruleset   # on the node: in tables other than causeway's, a drop or a policy drop in chains at the hooks input and prerouting",
                    "nft delete rule FAMILY TABLE CHAIN handle NUMBER   # that rule; or ahead of it, in the same chain:",
                    "nft insert rule FAMILY TABLE CHAIN udp dport { 4876, 4877 } accept   # for iptables' own: iptables -I INPUT -p udp -m multiport --dports 4876,4877 -j ACCEPT",
                ],
            },
            Cause::Loss => Text {
                code: "CW1107",
                title: "a share of the packets is lost",
                explanation: "At least a quarter of the small packets through the tunnel are not answered, and others are: \
                    a link or a queue on the way is overloaded or broken, or one of several paths is.",
                mend: &[
                    "ip -s link show dev LINK   # on both nodes: errors and drops",
                    "mtr -u -P 4876 ADDRESS   # between the nodes: where packets get lost",
                ],
            },
            Cause::ReversePathFilter => Text {
                code: "CW1201",
                title: "reverse path filter drops packets",
                explanation: "A link filters strictly by the way back (rp_filter 1), and packets of tunnels arrive over \
                    it whose sources are routed elsewhere. An agent that runs and may write sysctls loosens such links \
                    within a second, so this lasts only where it does not run or /proc/sys is read-only to it, its container lacking /host/proc/sys/net.",
                mend: &["sysctl -w net.ipv4.conf.LINK.rp_filter=2   # on the node; also in /etc/sysctl.d"],
            },
            Cause::ForwardingOff => Text {
                code: "CW1202",
                title: "node does not forward",
                explanation: "IP forwarding is switched off on the node, so that nothing gets from a tunnel to a pod. An agent \
                    that runs and may write sysctls switches it on within a second, so this lasts only where it does not run or /proc/sys \
                    is read-only to it, its container lacking /host/proc/sys/net.",
                mend: &[
                    "sysctl -w net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1   # also in /etc/sysctl.d",
                ],
            },
            Cause::ForwardDrop => Text {
                code: "CW1203",
                title: "node drops what it should forward to pods",
                explanation: "The node answers through the tunnel and its pods answer the node, but no pod is reached \
                    through the tunnel: a rule in a forward chain of another program drops it. In a cluster of mode Gateway packets come to \
                    the node by one of its gateways, and a rule there, or what lies between the two, looks the same from outside.",
                mend: &[
                    "nft -a list ruleset; iptables-legacy -S FORWARD   # on the node, and on the cluster's gateways: drops in chains at the hook forward",
                    "nft delete rule FAMILY TABLE CHAIN handle NUMBER   # that rule; or ahead of it, in the same chain:",
                    "nft insert rule FAMILY TABLE CHAIN iifname \"vx-*\" accept   # the same for oifname",
                ],
            },
            Cause::NetworkPolicy => Text {
                code: "CW1204",
                title: "pod is kept apart by a policy",
                explanation: "Other pods of the node are reached through the tunnel, and this one answers its own node \
                    only: a network policy that selects it does not allow the other cluster's addresses.",
                mend: &[
                    "kubectl get networkpolicies -A   # which select the pod",
                    "spec.ingress[].from[].ipBlock.cidr: POD-CIDR-OF-THE-OTHER-CLUSTER",
                ],
            },
            Cause::EarlyMasquerade => Text {
                code: "CW1205",
                title: "sources are masqueraded ahead of Causeway",
                explanation: "A chain of another program translates sources in postrouting, at a priority ahead of the \
                    chain that keeps the addresses of pods that speak to other clusters. The other end sees an address of \
                    this node instead of the pod's, or drops the packet since that address is not in the tunnel's prefixes.",
                mend: &[
                    "nft list chain FAMILY TABLE CHAIN   # on the node; the evidence names it",
                    "nft insert rule FAMILY TABLE CHAIN oifname \"vx-*\" return   # leave tunnels out",
                ],
            },
            Cause::ForeignRoute => Text {
                code: "CW1206",
                title: "another route catches remote addresses",
                explanation: "The kernel sends what is for the other cluster elsewhere: a rule or a route of another \
                    program (a VPN, an earlier overlay) is looked at before Causeway's table.",
                mend: &[
                    "ip rule; ip route get ADDRESS   # on the node",
                    "ip rule del pref NUMBER   # take out the rule that leads elsewhere",
                ],
            },
            Cause::Checksum => Text {
                code: "CW1207",
                title: "packets arrive with wrong checksums",
                explanation: "Packets came out of the tunnel with wrong checksums while small echo requests pass: a \
                    network card or a virtual switch does not compute inner checksums that the kernel leaves to it.",
                mend: &[
                    "ethtool -K LINK tx-udp_tnl-csum-segmentation off tx-checksum-ip-generic off   # on the sending node",
                    "ethtool -K vx-bridge tx-checksum-ip-generic off   # on the sending node",
                ],
            },
            Cause::ServiceUntranslated => Text {
                code: "CW1208",
                title: "requests to Services are not translated",
                explanation: "Requests for connections left the node with a Service's own address as destination, and \
                    were not answered: kube-proxy does not run there, has no rules for the Service, or its work is done by something \
                    that does not look at packets out of tunnels (a CNI that translates in sockets, for one). Pods are reached meanwhile. A Service that refuses, since \
                    it has no endpoints, is not this.",
                mend: &[
                    "kubectl -n kube-system get pods -l k8s-app=kube-proxy -o wide   # does it run on the node?",
                    "kubectl -n kube-system logs -l k8s-app=kube-proxy --tail=50",
                    "nft list table ip kube-proxy; iptables-save -t nat | grep KUBE-SERVICES; ipvsadm -Ln   # on the node",
                    "bpf.lbExternalClusterIP: true, and vx-bridge among devices   # values of Cilium's chart, where it replaces kube-proxy",
                ],
            },
            Cause::CniPath => Text {
                code: "CW1209",
                title: "gateway does not reach pods of its own cluster",
                explanation: "Pods answer their own node and not the gateway that packets from other clusters come by. From \
                    there on the cluster's CNI carries them, as it does between any nodes and pods of the cluster: a route or tunnel of it is \
                    missing, or a rule on one of the two nodes or between them drops what it carries.",
                mend: &[
                    "ip route get POD-ADDRESS   # on the gateway: the CNI's route to the pod's node",
                    "kubectl -n kube-system get pods -o wide   # does the CNI run on both nodes?",
                    "nft -a list ruleset   # on both: drops in chains at the hooks forward and input of programs other than Causeway",
                ],
            },
            Cause::Overlap => Text {
                code: "CW1301",
                title: "clusters have the same addresses",
                explanation: "A prefix of a cluster overlaps one of an older cluster, and so is not announced: its pods \
                    or Services cannot be reached from other clusters.",
                mend: &[
                    "kubectl patch cluster CLUSTER --type merge -p '{\"spec\":{\"globalCIDRs\":{\"mode\":\"Auto\"}}}'",
                ],
            },
            Cause::Unexplained => Text {
                code: "CW1901",
                title: "packets are lost and nothing says why",
                explanation: "Tunnel packets arrive and come through both ways, and still echo requests are not answered, \
                    perhaps in one IP family only: a firewall on the node drops echo, or the kernel does for a reason that \
                    is not counted.",
                mend: &[
                    "tcpdump -ni vx-bridge icmp or icmp6   # on both nodes, while doctor runs",
                    "causeway gather --node-state   # on both nodes, for a bug report",
                ],
            },
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code(), self.text().title)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_in_order_and_no_two_causes_share_one() {
        let codes: Vec<&str> = Cause::ALL.iter().map(|cause| cause.code()).collect();
        assert!(codes.is_sorted_by(|a, b| a < b), "{codes:?}");
        for cause in Cause::ALL {
            assert_eq!(Cause::of_code(&cause.code().to_lowercase()), Some(cause));
            let Text { title, explanation, mend, .. } = cause.text();
            assert!(!title.is_empty() && !explanation.is_empty() && !mend.is_empty());
        }
        assert_eq!(Cause::of_code("CW9999"), None);
    }
}
