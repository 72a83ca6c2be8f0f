//! The kernel behind two methods: read what is there, do what was decided.

use crate::state::Observed;
use crate::step::Step;

/// A kernel: Linux in one network namespace, or a model of it.
pub trait Kernel {
    /// Reads the state that concerns us. What comes back is whole: an interrupted dump is read
    /// again, a failed one is an error and never an empty state.
    ///
    /// # Errors
    /// [`KernelError`] if any part could not be read.
    fn observe(&mut self) -> Result<Observed, KernelError>;

    /// Does the steps in order, in batches. A step that fails does not stop the others; the caller
    /// observes again and decides anew.
    ///
    /// # Errors
    /// [`ApplyError`] with every step that failed.
    fn apply(&mut self, steps: &[Step]) -> Result<(), ApplyError>;
}

/// The kernel could not be read or spoken to.
#[derive(Debug, thiserror::Error)]
pub enum KernelError {
    /// A socket operation failed.
    #[error("netlink {operation}: {source}; the agent needs CAP_NET_ADMIN in its network namespace")]
    Socket {
        /// What was tried.
        operation: &'static str,
        /// What the system said.
        source: std::io::Error,
    },
    /// The kernel answered a request with an error.
    #[error("kernel refused {operation}: {source}{detail}")]
    Refused {
        /// What was asked.
        operation: &'static str,
        /// Its error number.
        source: std::io::Error,
        /// Its own words (extended acknowledgement), empty or beginning with ": ".
        detail: String,
    },
    /// An answer could not be understood.
    #[error("netlink answer to {operation} is malformed: {detail}")]
    Malformed {
        /// What was asked.
        operation: &'static str,
        /// What is wrong with it.
        detail: String,
    },
    /// A dump was interrupted by changes again and again.
    #[error("{operation}: state changed during each of {attempts} reads")]
    Interrupted {
        /// What was read.
        operation: &'static str,
        /// How often.
        attempts: u32,
    },
    /// A sysctl could not be read or written.
    #[error("/proc/sys/{path}: {source}")]
    Sysctl {
        /// Its path below `/proc/sys`.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Some steps failed.
#[derive(Debug, thiserror::Error)]
#[error("{} of {attempted} kernel changes failed, first: {first}", .failed.len())]
pub struct ApplyError {
    /// How many steps there were.
    pub attempted: usize,
    /// The first failure in words.
    pub first: String,
    /// The failures in order.
    pub failed: Vec<FailedStep>,
}

/// A step that failed.
#[derive(Debug)]
pub struct FailedStep {
    /// Its place among the steps.
    pub index: usize,
    /// Why.
    pub error: KernelError,
}
