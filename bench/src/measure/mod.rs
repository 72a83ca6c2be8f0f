//! The measurements. Each runs in a process of its own and gives figures; none of them judges.

mod agent_memory;
mod clusterset;
mod full_plan;
mod network;
mod node;
mod path;
mod pipeline;
mod rate;
mod single_changes;
mod sizes;
mod stored;
mod totals;
mod writer;
mod yardstick;

use anyhow::Result;

use crate::child::{Measurement, measure};

pub use agent_memory::{AgentMemory, AgentProcess, Held};
pub use clusterset::{ClusterSet, Mix, Stack};
pub use full_plan::FullPlan;
pub use node::Convergence;
pub use path::{Bulk, Counter, Exchanges, Mode, Path, Placement, Protocol, Slice, Transfer, Walk};
pub use pipeline::{Pipeline, Round};
pub use rate::{Entry, Rates, Trial, Writer};
pub use single_changes::{Change, Changed, SingleChanges};
pub use sizes::Sizes;
pub use totals::{Counted, Totals};
pub use writer::{Writing, Written};
pub use yardstick::{Pace, Yardstick};

/// Does the measurement of this name; `None` if there is none.
pub fn by_name(name: &str, input: &str) -> Option<Result<String>> {
    Some(match name {
        AgentMemory::NAME => measure::<AgentMemory>(input),
        Bulk::NAME => measure::<Bulk>(input),
        Exchanges::NAME => measure::<Exchanges>(input),
        Walk::NAME => measure::<Walk>(input),
        AgentProcess::NAME => measure::<AgentProcess>(input),
        FullPlan::NAME => measure::<FullPlan>(input),
        Pipeline::NAME => measure::<Pipeline>(input),
        Rates::NAME => measure::<Rates>(input),
        SingleChanges::NAME => measure::<SingleChanges>(input),
        Sizes::NAME => measure::<Sizes>(input),
        Totals::NAME => measure::<Totals>(input),
        Writing::NAME => measure::<Writing>(input),
        Yardstick::NAME => measure::<Yardstick>(input),
        _ => return None,
    })
}
