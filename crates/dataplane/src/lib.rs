//! From a node's plan to its kernel state, and from there to the kernel.
//!
//! ```text
//! NodePlan, LinkPlans, SlicePlans ─ desired ─▶ Desired ─┐
//!                                                       ├─ diff ─▶ [Step] ─ apply ─▶ kernel
//! kernel ───────────────────────── observe ─▶ Observed ─┘
//! ```
//!
//! [`desired`] and [`diff`] decide and touch nothing; a [`Kernel`] acts and decides nothing. The
//! crate knows no Kubernetes object.

pub mod counters;
pub mod desired;
pub mod device;
pub mod diff;
pub mod kernel;
pub mod model_kernel;
pub mod netlink;
pub mod nft;
pub mod state;
pub mod step;
pub mod table;

pub use counters::{Counters, DeviceTraffic, Traffic};
pub use device::{Device, Overlay};
pub use kernel::{ApplyError, FailedStep, Kernel, KernelError};
pub use state::{Desired, Observed};
pub use step::Step;
