//! The network below the tunnels changes.

use super::paths::Path;
use super::row::{Act, Bound, Case, Class, Expect, Kind, Row};

/// The node whose underlay changes.
const NODE: &str = "alpha/n1";
/// One whose CNI has no device that goes with the underlay's.
const OTHER: &str = "gamma/n1";

/// Keeps the addresses of a node's uplink, which go with it, and all routes: those that name such an address as their
/// source go as well.
pub(super) const KEEP_UPLINK: &str = r#"{
ip -o address show dev eth0 scope global | awk '{print "address replace", $4, "dev eth0", ($3 == "inet6") ? "nodad" : ""}'
for v in -4 -6; do ip -o $v route show | grep -v 'proto kernel' | sed 's/^/route replace /'; done
} >/run/causeway-lab/uplink"#;
/// Puts them back as whoever manages the node's network would.
pub(super) const RESTORE_UPLINK: &str = "ip link set eth0 up; ip -batch /run/causeway-lab/uplink";

const fn row(
    name: &'static str,
    fault: &'static str,
    inject: &'static [Act],
    holds: (&'static str, &'static str),
    mend: &'static [Act],
    bound: Bound,
) -> Row {
    let case = Case {
        before: &[],
        inject,
        expect: Expect::Holds(holds.0, holds.1),
        mend,
        hit: &[Path::ToGateways, Path::ToNode],
        spared: &[Path::Elsewhere],
        bound,
    };
    Row { name, fault, class: Class::Underlay, kind: Kind::Once(case) }
}

pub(super) const ROWS: &[Row] = &[
    row(
        "underlay-address-changed",
        "underlay address of a node changed",
        &[
            Act::Run(
                NODE,
                "ip address del 172.16.0.11/22 dev eth0; ip address add 172.16.0.99/22 dev eth0
ip route replace default via 172.16.0.1 dev eth0",
            ),
            Act::Patch(NODE, r#"{"underlay": ["172.16.0.99", "fd20::b"]}"#),
        ],
        ("gamma/n1", "bridge fdb show dev vx-bridge | grep -q 'dst 172.16.0.99'"),
        &[
            Act::Run(
                NODE,
                "ip address del 172.16.0.99/22 dev eth0; ip address add 172.16.0.11/22 dev eth0
ip route replace default via 172.16.0.1 dev eth0",
            ),
            Act::Patch(NODE, r#"{"underlay": ["172.16.0.11", "fd20::b"]}"#),
        ],
        Bound::Within(1000),
    ),
    row(
        "underlay-mtu-changed",
        "MTU of a node's underlay lowered",
        &[Act::Run(NODE, "ip link set eth0 mtu 1400")],
        (NODE, "ip link show vx-bridge | grep -q 'mtu 1350'"),
        &[Act::Run(NODE, "ip link set eth0 mtu 1500")],
        Bound::Within(1000),
    ),
    row(
        "underlay-device-gone",
        "underlay device of a node gone and back",
        &[
            Act::Run(OTHER, KEEP_UPLINK),
            // Into the underlay's network and back again.
            Act::Run(OTHER, "ip link set eth0 netns 1; nsenter --target 1 --net ip link set eth0 netns $$"),
            Act::Run(OTHER, RESTORE_UPLINK),
        ],
        (OTHER, "ip route get 172.16.4.1"),
        &[],
        Bound::Within(1000),
    ),
];
