//! What can go wrong in the lab, and which exit code it means.

use std::io;
use std::path::{Path, PathBuf};

use crate::topology::{InvalidEndpoint, TopologyError};

/// A failure of the lab itself; what a probe finds is no error but a result.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// The lab file cannot be used.
    #[error(transparent)]
    Topology(#[from] TopologyError),
    /// The lab file cannot be read.
    #[error("cannot read {}: {source}", .path.display())]
    Input {
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A text names no endpoint.
    #[error(transparent)]
    Endpoint(#[from] InvalidEndpoint),
    /// The bed has no such endpoint.
    #[error("the bed has no {0}; `causeway-lab list` shows what it has")]
    UnknownEndpoint(String),
    /// No program of that name has run.
    #[error(
        "{0} has logged nothing; a bed has `manager` and an agent for each CLUSTER/NODE, and with controlPlane: kubernetes a controller-manager for each CLUSTER"
    )]
    NoLog(String),
    /// The fault matrix has no such row.
    #[error("the fault matrix has no row \"{0}\"; `causeway-lab faults --list` shows them")]
    UnknownRow(String),
    /// A program that the lab runs is not installed.
    #[error("{program} is not installed; on Debian: apt-get install {package}")]
    MissingProgram {
        /// The program.
        program: &'static str,
        /// Debian's package.
        package: &'static str,
    },
    /// The browser does not do what it should.
    #[error("browser: {0}")]
    Browser(String),
    /// One of Causeway's own programs is not built.
    #[error(
        "{} does not exist; build it (cargo build --workspace), name its directory in CAUSEWAY_BIN_DIR, or run without agents (--no-agents)",
        .0.display()
    )]
    MissingBinary(PathBuf),
    /// Kubernetes' programs are not built.
    #[error(
        "{} has no programs of Kubernetes; build them (tests/kubernetes/build.sh), or name a folder that has them in KUBEBUILDER_ASSETS",
        .0.display()
    )]
    NoKubernetes(PathBuf),
    /// The kernel refuses the namespaces.
    #[error(
        "cannot make namespaces: {0}\nwithout root the lab needs user namespaces: kernel.unprivileged_userns_clone and user.max_user_namespaces must not be 0, and neither AppArmor (kernel.apparmor_restrict_unprivileged_userns) nor a container's seccomp profile may forbid them"
    )]
    MissingRights(String),
    /// There is no bed of that name.
    #[error("no bed{0} is up; `causeway-lab up FILE` makes one")]
    NoBed(String),
    /// Several beds are up and none was named.
    #[error("several beds are up ({}); say which with --name", .0.join(", "))]
    SeveralBeds(Vec<String>),
    /// A bed of that name is up already.
    #[error("a bed \"{0}\" is up already; `causeway-lab down --name {0}` ends it")]
    BedExists(String),
    /// The bed could not be built, or broke.
    #[error("the bed failed: {0}")]
    Bed(String),
    /// A file could not be read or written.
    #[error("cannot {operation} {}: {source}", .path.display())]
    File {
        /// What was tried.
        operation: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A program could not be started, or spoken to.
    #[error("cannot run {program}: {source}")]
    Run {
        /// The program.
        program: String,
        /// Why not.
        source: io::Error,
    },
    /// A program failed.
    #[error("{program} failed: {message}")]
    Failed {
        /// The program, with what it was to do.
        program: String,
        /// What it said.
        message: String,
    },
    /// A system call on a namespace failed.
    #[error("cannot {operation}: {source}")]
    Namespace {
        /// What was tried, and on which namespace.
        operation: String,
        /// Why not.
        source: nix::Error,
    },
    /// A socket of the prober failed.
    #[error("cannot open a socket in {namespace}: {source}")]
    Socket {
        /// The network namespace.
        namespace: String,
        /// Why not.
        source: io::Error,
    },
    /// Something that was waited for did not come about.
    #[error("gave up waiting for {what}: {last}")]
    Deadline {
        /// What was waited for.
        what: String,
        /// How things stood at the end.
        last: String,
    },
    /// A document that another part of the lab, or a daemon, wrote could not be read.
    #[error("cannot understand {what}: {message}")]
    Document {
        /// The document.
        what: String,
        /// Why not.
        message: String,
    },
}

impl LabError {
    /// 2 if the caller or the machine lacks something, 1 if the bed failed.
    pub fn exit_code(&self) -> u8 {
        match self {
            LabError::Topology(_)
            | LabError::Input { .. }
            | LabError::Endpoint(_)
            | LabError::UnknownEndpoint(_)
            | LabError::NoLog(_)
            | LabError::MissingProgram { .. }
            | LabError::MissingBinary(_)
            | LabError::NoKubernetes(_)
            | LabError::MissingRights(_)
            | LabError::NoBed(_)
            | LabError::SeveralBeds(_)
            | LabError::BedExists(_)
            | LabError::UnknownRow(_) => 2,
            _ => 1,
        }
    }

    pub(crate) fn file(operation: &'static str, path: &Path) -> impl FnOnce(io::Error) -> LabError {
        let path = path.to_owned();
        move |source| LabError::File { operation, path, source }
    }

    pub(crate) fn run(program: impl Into<String>) -> impl FnOnce(io::Error) -> LabError {
        let program = program.into();
        move |source| LabError::Run { program, source }
    }

    pub(crate) fn namespace(operation: impl Into<String>) -> impl FnOnce(nix::Error) -> LabError {
        let operation = operation.into();
        move |source| LabError::Namespace { operation, source }
    }
}

/// A result of the lab.
pub type Result<T> = std::result::Result<T, LabError>;
