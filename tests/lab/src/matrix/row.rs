//! What a row of the matrix is. Rows are data; none has code of its own.

use std::time::Duration;

use serde::{Serialize, Serializer};

use super::paths::Path;

/// What a fault is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Class {
    /// A gateway, or the way to it.
    Failover,
    /// Somebody else changes what is ours.
    Drift,
    /// Our own programs end and start.
    Hitless,
    /// The network below.
    Underlay,
    /// A machine that is busy.
    Load,
}

/// A fault and what is expected of it.
#[derive(Clone, Copy, PartialEq, Debug)]
pub struct Row {
    /// By what `--only` chooses it.
    pub name: &'static str,
    /// The fault in words.
    pub fault: &'static str,
    /// What it is about.
    pub class: Class,
    pub(super) kind: Kind,
}

/// How a row is run.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Kind {
    /// A fault, once.
    Once(Case),
    /// The gateway that carries most flows is killed, again and again.
    Kills,
    /// Which flows move when a gateway dies: of resilient groups by the agents, of plain ones by the kernel.
    Moved(Groups),
    /// Every processor is kept busy.
    Busy,
}

/// Kinds of next-hop groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Groups {
    Resilient,
    Plain,
}

/// One fault, what follows from it, and how it is mended.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct Case {
    /// What is done before packets are sent.
    pub before: &'static [Act],
    /// The fault.
    pub inject: &'static [Act],
    pub expect: Expect,
    /// What ends the fault; packets still flow.
    pub mend: &'static [Act],
    /// Paths that the fault may hit, for as long as the bound says.
    pub hit: &'static [Path],
    /// Paths that must not lose a packet.
    pub spared: &'static [Path],
    /// How long a packet may be without a way.
    pub bound: Bound,
}

/// One thing to do. `{gateway}` in a text is the gateway that carries most flows.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Act {
    /// The words of `causeway-lab fault …`.
    Fault(&'static str),
    /// A shell script in the network of an endpoint.
    Run(&'static str, &'static str),
    /// A JSON merge patch of the spec of a ClusterNode.
    Patch(&'static str, &'static str),
    /// Wait until nobody uses the gateway, and all that follows from that is done.
    Left,
}

/// How it shows that the network has dealt with a fault.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) enum Expect {
    /// The gateway leaves the groups of all nodes that use it, and is named in their status.
    FailsOver,
    /// The kernel state of this node is as it was, and its agent has written it.
    Repaired(&'static str, Heard),
    /// The kernel state of this node is as it was for all this time, and no agent has written anything.
    Untouched(&'static str, Duration),
    /// A script on this node succeeds.
    Holds(&'static str, &'static str),
    /// The condition GatewaysReachable of this node gets this reason, and no gateway leaves its groups.
    Reported(&'static str, &'static str),
}

/// How an agent hears of a change.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Heard {
    /// By a notification of it.
    Notified,
    /// By being told that notifications were lost.
    Overrun,
}

/// What a fault may cost.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Bound {
    /// No packet.
    Lossless,
    /// So many milliseconds from the first lost packet to the next answered one, and until the state is right.
    Within(u64),
    /// Packets are lost as long as the fault lasts; what counts is that it is dealt with.
    Reported,
}

impl Bound {
    pub(super) fn words(self) -> String {
        match self {
            Bound::Lossless => "0 lost".to_owned(),
            Bound::Within(milliseconds) => format!("≤ {milliseconds} ms"),
            Bound::Reported => "reported".to_owned(),
        }
    }
}

impl Serialize for Bound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.words())
    }
}

impl Case {
    /// A fault that a gateway's users must get away from.
    pub const fn failover(inject: &'static [Act], mend: &'static [Act]) -> Case {
        Case {
            before: &[],
            inject,
            expect: Expect::FailsOver,
            mend,
            hit: &[Path::Remote, Path::Internal],
            spared: &[Path::Elsewhere],
            bound: Bound::Within(1000),
        }
    }

    /// A script that changes what is ours on `node`.
    pub const fn drift(node: &'static str, inject: &'static [Act]) -> Case {
        Case {
            before: &[],
            inject,
            expect: Expect::Repaired(node, Heard::Notified),
            mend: &[],
            hit: &[Path::ToGateways, Path::ToNode],
            spared: &[Path::Elsewhere],
            bound: Bound::Within(1000),
        }
    }

    /// Nothing may be lost.
    pub const fn hitless(inject: &'static [Act], expect: Expect) -> Case {
        Case {
            before: &[],
            inject,
            expect,
            mend: &[],
            hit: &[],
            spared: &[Path::Remote, Path::Internal, Path::Elsewhere],
            bound: Bound::Lossless,
        }
    }
}
