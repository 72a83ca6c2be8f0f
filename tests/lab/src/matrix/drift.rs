//! Every kind of thing that is ours, removed, changed or doubled by somebody else.

use super::row::{Act, Case, Class, Expect, Heard, Kind, Row};

/// Where all of it happens: a node with devices, forwarding entries, single routes, groups, rules and nftables.
const NODE: &str = "alpha/n1";

const fn drift(name: &'static str, fault: &'static str, inject: &'static [Act]) -> Row {
    Row { name, fault, class: Class::Drift, kind: Kind::Once(Case::drift(NODE, inject)) }
}

macro_rules! drifts {
    ($($name:literal: $fault:literal, $script:literal;)*) => {
        &[$(drift($name, $fault, &[Act::Run(NODE, $script)])),*]
    };
}

/// Entries are those of `gamma/n1`, which has the underlay address 172.16.8.11 and the pods 10.3.0.0/24: a path leads there.
const EACH: &[Row] = drifts![
    "device-deleted": "tunnel device deleted", "ip link del vx-bridge";
    "device-address-removed": "addresses of the tunnel device removed", "ip address flush dev vx-bridge";
    "device-address-added": "another address on the tunnel device", "ip address add 198.51.100.7/32 dev vx-bridge";
    "device-mtu-changed": "MTU of the tunnel device changed", "ip link set vx-bridge mtu 1300";
    "device-set-down": "tunnel device set down", "ip link set vx-bridge down";
    "device-mac-changed": "MAC of the tunnel device changed", "ip link set vx-bridge address 02:00:00:00:00:77";
    "device-alias-changed": "link alias of the tunnel device changed", "ip link set vx-bridge alias other";
    "device-group-changed": "group of the tunnel device changed", "ip link set vx-bridge group 7";
    "fdb-removed": "forwarding entry removed",
        "mac=$(bridge fdb show dev vx-bridge | awk '/dst 172.16.8.11 / {print $1; exit}'); bridge fdb del $mac dev vx-bridge";
    "fdb-changed": "forwarding entry changed",
        "mac=$(bridge fdb show dev vx-bridge | awk '/dst 172.16.8.11 / {print $1; exit}'); bridge fdb replace $mac dev vx-bridge dst 192.0.2.9";
    "fdb-doubled": "forwarding entry for floods added",
        "bridge fdb append 00:00:00:00:00:00 dev vx-bridge dst 192.0.2.9";
    "neighbour-removed": "neighbour removed",
        "mac=$(bridge fdb show dev vx-bridge | awk '/dst 172.16.8.11 / {print $1; exit}'); to=$(ip neighbour show dev vx-bridge nud permanent | awk -v mac=$mac '$3 == mac {print $1; exit}'); ip neighbour del $to dev vx-bridge";
    "neighbour-changed": "neighbour changed",
        "mac=$(bridge fdb show dev vx-bridge | awk '/dst 172.16.8.11 / {print $1; exit}'); to=$(ip neighbour show dev vx-bridge nud permanent | awk -v mac=$mac '$3 == mac {print $1; exit}'); ip neighbour replace $to dev vx-bridge lladdr 02:00:00:00:00:99 nud permanent";
    "neighbours-flushed": "all neighbours flushed", "ip neighbour flush dev vx-bridge nud permanent";
    "route-removed": "route removed",
        "ip route del 10.3.0.0/24 table 4876";
    "route-changed": "route changed",
        "to=10.3.0.0/24; line=$(ip -o route show $to table 4876)
metric=$(echo \"$line\" | sed 's/.*metric \\([0-9]*\\).*/\\1/'); ip route replace $to dev eth0 metric $metric table 4876 proto 197";
    "route-doubled": "route doubled with another metric",
        "ip route add 10.3.0.0/24 dev vx-bridge metric 77 table 4876 proto 197";
    "route6-removed": "IPv6 routes removed",
        "for to in $(ip -6 -o route show table 4876 | cut -d' ' -f1); do ip -6 route del $to table 4876; done";
    "nexthop-removed": "next hop of a group removed",
        "ip nexthop del id $(ip nexthop show protocol 197 | awk '/via/ {print $2; exit}')";
    "group-removed": "next-hop group removed, and with it its routes",
        "ip nexthop del id $(ip nexthop show protocol 197 | awk '/group/ {print $2; exit}')";
    "group-changed": "members of a next-hop group changed",
        "line=$(ip nexthop show protocol 197 | grep 'group [0-9]*/' | head -n1); id=$(echo $line | cut -d' ' -f2)
members=$(echo $line | cut -d' ' -f4); ip nexthop replace id $id group ${members%%/*} type resilient protocol 197";
    "rule-removed": "policy rule removed", "ip rule del priority 4876";
    "rule-doubled": "policy rule doubled", "ip rule add priority 4877 table 4876 protocol 197";
    "nft-table-deleted": "nftables table deleted", "nft delete table inet causeway";
    "nft-chain-flushed": "every nftables chain flushed",
        "for c in $(nft list table inet causeway | awk '/chain/ {print $2}'); do nft flush chain inet causeway $c; done";
    "nft-rule-deleted": "nftables rule deleted",
        "line=$(nft -a list table inet causeway | awk '/chain/ {chain=$2} /handle/ && !/chain|set|table/ {print chain, $NF; exit}'); nft delete rule inet causeway ${line% *} handle ${line#* }";
    "nft-rule-added": "nftables rule added to our table",
        "chain=$(nft list table inet causeway | awk '/chain/ {print $2; exit}'); nft insert rule inet causeway $chain ip saddr 192.0.2.1 counter";
    "nft-element-deleted": "element of an nftables set deleted",
        "of=$(nft list set inet causeway bridge_vteps4 | grep -o '172[0-9.]* [.] 0x[0-9a-f]*' | head -n1); nft delete element inet causeway bridge_vteps4 \"{ $of }\"";
    "nft-element-added": "element added to an nftables set", "nft add element inet causeway bridge_vteps4 '{ 192.0.2.77 . 0x02c5c6120077 }'";
    "sysctl-changed": "reverse path filter of the tunnel device made strict",
        "sysctl -qw net.ipv4.conf.vx-bridge.rp_filter=1";
    "sysctl-forwarding": "forwarding switched off", "sysctl -qw net.ipv4.ip_forward=0";
    "sysctl-redirects": "redirects of the tunnel device switched on",
        "sysctl -qw net.ipv4.conf.vx-bridge.send_redirects=1";
    "nft-flushed": "all of nftables flushed, others load theirs again (firewalld)",
        "nft list tables | grep -v ' causeway$' | while read word table; do nft -s list table $table; done >/run/causeway-lab/others
nft flush ruleset; nft -f /run/causeway-lab/others";
    "routes-and-rules-flushed": "our routing table and all rules flushed (NetworkManager)",
        "for v in -4 -6; do
ip $v route flush table 4876 2>/dev/null || ip $v -o route show table 4876 | cut -d' ' -f1 | while read to; do ip $v route del $to table 4876; done
ip $v rule flush
done
ip rule add priority 32766 lookup main protocol kernel; ip rule add priority 32767 lookup default protocol kernel; ip -6 rule add priority 32766 lookup main protocol kernel";
];

/// Faults of which the kernel notifies the agent, and more of them than it has room for.
const MANY: Row = Row {
    name: "notifications-overrun",
    fault: "thousands of changes at once while the agent is held up",
    class: Class::Drift,
    kind: Kind::Once(Case {
        expect: Expect::Repaired(NODE, Heard::Overrun),
        ..Case::drift(NODE, &[Act::Run(NODE, OVERRUN)])
    }),
};

const OVERRUN: &str =
        "pid=$(cat /run/causeway-lab/pid/agent_alpha_n1); kill -STOP $pid
for n in $(seq 1 6000); do echo \"route add 203.0.113.$((n % 250 + 1))/32 dev eth0 metric $n table 77\"; done | ip -batch -
ip route flush table 77
ip route del 10.3.0.0/24 table 4876; kill -CONT $pid";

/// What is not ours stays while what is ours is put right, however much alike it looks.
const FOREIGN: Row = Row {
    name: "foreign-things",
    fault: "things of others that look like ours, and one of ours changed",
    class: Class::Drift,
    kind: Kind::Once(Case {
        // The reverse path filter of another's tunnel is loosened by us, as a CNI's tunnel may need: so it is loose before.
        before: &[Act::Run(
            NODE,
            "ip route add 203.0.113.0/24 dev eth0 table 4876
ip rule add priority 4870 table 4876
ip nexthop add id 4876 dev eth0
ip link add vx-other type vxlan id 77 dstport 4999 local 127.0.0.1
sysctl -qw net.ipv4.conf.vx-other.rp_filter=2
nft add table ip causeway; nft add chain ip causeway prerouting",
        )],
        mend: &[Act::Run(
            NODE,
            "nft delete table ip causeway; ip link del vx-other; ip nexthop del id 4876
ip rule del priority 4870; ip route del 203.0.113.0/24 dev eth0 table 4876",
        )],
        ..Case::drift(NODE, &[Act::Run(NODE, "ip link set vx-bridge mtu 1300; ip rule del priority 4876")])
    }),
};

pub(super) fn rows() -> Vec<Row> {
    [EACH, &[MANY, FOREIGN]].concat()
}
