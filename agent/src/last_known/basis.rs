//! What the agent goes by: what its source says, or the last known state. Decides only.

use std::time::Duration;

use causeway_dataplane::nft::{Change, TableKind};
use causeway_dataplane::{Observed, Step};

/// How long an agent that starts waits for the API server before it takes the last known state. An API
/// server that is there tells the plan within a few hundred milliseconds; a node that has lost its network
/// in a reboot should not wait longer than that for one that is not.
pub const GRACE: Duration = Duration::from_secs(2);

/// What is known of the file.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Saved {
    /// Nobody looked.
    Unread,
    /// There is a plan in it.
    Plan,
    /// There is none, or it counts no more.
    Nothing,
}

/// What is to be gone by, or done to know it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Basis {
    /// What the source says, be it nothing.
    Source,
    /// The source may still answer in time: for so long.
    Wait(Duration),
    /// The file has to be read.
    Read,
    /// What was in the file.
    Saved,
}

/// Decides by whether the source has `told` all that there is, how long the agent runs, and what is known
/// of the file.
pub fn basis(told: bool, running: Duration, saved: Saved) -> Basis {
    match saved {
        _ if told => Basis::Source,
        Saved::Nothing => Basis::Source,
        Saved::Plan => Basis::Saved,
        Saved::Unread if running < GRACE => Basis::Wait(GRACE - running),
        Saved::Unread => Basis::Read,
    }
}

/// The first of `steps` that takes away or changes what was `observed`. The kernel may hold what an agent
/// was told after the file was last written, and no file is a reason to undo that; adding is safe.
pub fn first_loss<'s>(steps: &'s [Step], observed: &Observed) -> Option<&'s Step> {
    steps.iter().find(|step| match step {
        // Settings of the host, and of devices, say nothing about peers.
        Step::SetSysctl(..) => false,
        Step::AddDevice(..) | Step::AddAddress(..) | Step::AddNextHop(..) | Step::AddGroup(..) => false,
        Step::AddRule(..) => false,
        Step::ReplaceFdb(device, mac, _) => observed.fdb.get(&(*device, *mac)).is_some(),
        Step::ReplaceNeighbour(device, address, _) => observed.neighbours.get(&(*device, *address)).is_some(),
        Step::ReplaceRoute(prefix, metric, _) => observed.routes.get(&(*prefix, *metric)).is_some(),
        // It follows from the pods of the host, and whatever it lacks goes the long way.
        Step::Firewall(transaction) if transaction.table() == TableKind::Netdev => false,
        Step::Firewall(transaction) => transaction.changes().iter().any(takes_away),
        Step::SetDevice(..)
        | Step::SetMac(..)
        | Step::DelDevice(..)
        | Step::DelAddress(..)
        | Step::DelFdb(..)
        | Step::DelNeighbour(..)
        | Step::DelNextHop(..)
        | Step::ReplaceGroup(..)
        | Step::DelRoute(..)
        | Step::DelRule(..) => true,
    })
}

fn takes_away(change: &Change) -> bool {
    match change {
        Change::AddTable
        | Change::AddSet { .. }
        | Change::AddElements { .. }
        | Change::AddChain { .. }
        | Change::AddRule { .. }
        | Change::AddAccept { .. }
        | Change::ForgetFlows(_) => false,
        Change::DeleteTable
        | Change::DeleteSet(_)
        | Change::DeleteElements { .. }
        | Change::FlushChain(_)
        | Change::DeleteChain(_)
        | Change::DeleteAccept { .. } => true,
    }
}
