//! Gateways that die, and such that only seem to.

use std::time::Duration;

use super::paths::Path;
use super::row::{Act, Bound, Case, Class, Expect, Groups, Kind, Row};
use super::underlay::{KEEP_UPLINK, RESTORE_UPLINK};

const fn once(name: &'static str, fault: &'static str, case: Case) -> Row {
    Row { name, fault, class: Class::Failover, kind: Kind::Once(case) }
}

pub(super) const ROWS: &[Row] = &[
    Row { name: "gateway-killed", fault: "gateway killed", class: Class::Failover, kind: Kind::Kills },
    once(
        "gateway-sends-nothing",
        "what a gateway sends is lost",
        Case::failover(&[Act::Fault("drop {gateway} --direction from")], &[Act::Fault("heal")]),
    ),
    once(
        "gateway-receives-nothing",
        "what is sent to a gateway is lost",
        Case::failover(&[Act::Fault("drop {gateway} --direction to")], &[Act::Fault("heal")]),
    ),
    once(
        "gateway-link-down",
        "underlay link of a gateway down",
        Case::failover(&[Act::Fault("link {gateway} down")], &[Act::Fault("link {gateway} up")]),
    ),
    once(
        "gateway-device-down",
        "network device of a gateway set down",
        Case::failover(
            &[Act::Run("{gateway}", KEEP_UPLINK), Act::Run("{gateway}", "ip link set eth0 down")],
            &[Act::Run("{gateway}", RESTORE_UPLINK)],
        ),
    ),
    once(
        "gateway-agent-killed",
        "agent of a gateway killed, its kernel forwards",
        Case {
            mend: &[Act::Fault("agent {gateway} start")],
            ..Case::hitless(
                &[Act::Fault("agent {gateway} kill")],
                Expect::Untouched("beta/in", Duration::from_millis(2000)),
            )
        },
    ),
    once(
        "gateway-lossy",
        "20 % of the packets from and to a gateway lost",
        Case {
            before: &[],
            inject: &[Act::Fault("drop {gateway} --share 20")],
            expect: Expect::Reported("beta/in", "PacketsLost"),
            mend: &[Act::Fault("heal")],
            hit: &[Path::Remote, Path::Internal],
            spared: &[Path::Elsewhere],
            bound: Bound::Reported,
        },
    ),
    once(
        "gateway-large-lost",
        "packets of full size from and to a gateway lost, small ones not",
        Case {
            mend: &[Act::Fault("heal")],
            bound: Bound::Lossless,
            ..Case::hitless(
                &[Act::Fault("drop-large {gateway} --longer-than 1400")],
                Expect::Reported("beta/in", "LargePacketsLost"),
            )
        },
    ),
    once(
        "all-gateways-silent",
        "all gateways of a cluster look dead",
        Case {
            before: &[],
            inject: &[Act::Fault("partition alpha beta")],
            expect: Expect::Reported("alpha/n1", "AllGatewaysSilent"),
            mend: &[Act::Fault("heal")],
            hit: &[Path::Remote],
            spared: &[Path::Internal, Path::Elsewhere],
            bound: Bound::Reported,
        },
    ),
    Row {
        name: "flows-moved-resilient",
        fault: "gateway killed, resilient groups: flows of others",
        class: Class::Failover,
        kind: Kind::Moved(Groups::Resilient),
    },
    Row {
        name: "flows-moved-plain",
        fault: "gateway out of a plain group: flows of others",
        class: Class::Failover,
        kind: Kind::Moved(Groups::Plain),
    },
];
