//! Our own programs end and start, and nobody notices.

use std::time::Duration;

use super::row::{Act, Case, Class, Expect, Kind, Row};

/// How long nothing may happen: an agent that started has looked at its kernel long before.
const QUIET: Duration = Duration::from_millis(2000);

const fn row(name: &'static str, fault: &'static str, inject: &'static [Act]) -> Row {
    let case = Case::hitless(inject, Expect::Untouched("alpha/n1", QUIET));
    Row { name, fault, class: Class::Hitless, kind: Kind::Once(case) }
}

/// One agent of each role: on a node of a P2P cluster, on a gateway, behind gateways.
pub(super) const ROWS: &[Row] = &[
    row(
        "agents-restarted",
        "agents ended by SIGTERM and started",
        &[
            Act::Fault("agent alpha/n1 restart"),
            Act::Fault("agent {gateway} restart"),
            Act::Fault("agent beta/in restart"),
        ],
    ),
    row(
        "agents-killed",
        "agents killed and started",
        &[
            Act::Fault("agent alpha/n1 kill"),
            Act::Fault("agent {gateway} kill"),
            Act::Fault("agent beta/in kill"),
            Act::Fault("agent alpha/n1 start"),
            Act::Fault("agent {gateway} start"),
            Act::Fault("agent beta/in start"),
        ],
    ),
    Row {
        name: "agents-restarted-one-dead",
        fault: "agents killed and started while a gateway is dead",
        class: Class::Hitless,
        kind: Kind::Once(Case {
            before: &[Act::Fault("kill {gateway}"), Act::Left],
            mend: &[Act::Fault("revive {gateway}")],
            ..Case::hitless(
                &[
                    Act::Fault("agent alpha/n1 kill"),
                    Act::Fault("agent beta/in kill"),
                    Act::Fault("agent alpha/n1 start"),
                    Act::Fault("agent beta/in start"),
                ],
                Expect::Untouched("alpha/n1", QUIET),
            )
        }),
    },
    row(
        "manager-restarted",
        "network-manager ended by SIGTERM and started",
        &[Act::Fault("manager restart")],
    ),
    row(
        "manager-killed",
        "network-manager killed and started",
        &[Act::Fault("manager kill"), Act::Fault("manager start")],
    ),
];
