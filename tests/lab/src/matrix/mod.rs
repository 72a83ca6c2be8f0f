//! The fault matrix: every fault that the network is to bear, each made in a bed with packets under way, and
//! what became of the packets.
//!
//! ```text
//! rows (data: inject, expect, mend) ─▶ run: streams, inject, wait, mend ─▶ Measured
//!                                                  judge: Measured, Expect ─▶ Outcome ─▶ report
//! ```
//!
//! The rows are the same in tests and in `make faults`. A test asks whether what is expected comes about; the
//! report also asks whether it does in time.

mod act;
mod command;
mod drift;
mod failover;
mod hitless;
mod judge;
mod kills;
mod load;
mod moved;
mod paths;
mod report;
mod row;
mod run;
mod underlay;
mod users;

pub(crate) use command::{FaultsArgs, main};
pub use judge::{Gaps, Outcome};
pub(crate) use load::burn;
pub use report::MatrixReport;
pub use row::{Bound, Class, Row};
pub use run::{Matrix, Settings};

/// All rows, in the order in which they are run.
pub fn rows() -> Vec<Row> {
    [failover::ROWS, &drift::rows(), hitless::ROWS, underlay::ROWS, load::ROWS].concat()
}
