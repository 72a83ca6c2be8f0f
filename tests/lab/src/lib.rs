//! A lab for Causeway: clusters of nodes and pods in network namespaces, with what CNIs and
//! kube-proxy do there, faults to make, and probes to see what gets through.
//!
//! A *bed* is one set of clusters that is up. It lives in namespaces of its own (network, mount,
//! process, and user when not run by root), touches nothing of the machine's network, keeps nothing
//! on its disk, and ends without rest when its first process ends, however that comes about.
//!
//! This library is shared by tests, benches and the demo; the program `causeway-lab` is a thin
//! command line around it. It knows Causeway's programs by their command lines and their objects
//! only, and takes no part of them in.

mod bed;
pub mod browser;
mod cli;
mod daemon;
pub mod dashboard;
mod deadline;
mod demo;
mod echo;
mod error;
mod fast_path;
mod fault;
mod forge;
mod holder;
mod inside;
mod kubernetes;
mod lab;
pub mod machine;
pub mod matrix;
mod membership;
mod namespace;
mod objects;
mod outside;
mod probe;
mod snapshot;
mod soak;
mod state;
mod topology;
mod wire;

pub use cli::main;
pub use deadline::wait_until;
pub use echo::ECHO_PORT;
pub use error::{LabError, Result};
pub use fault::{Action, Direction, Fault, LinkState, PacketDrop};
pub use forge::Forged;
pub use lab::{Lab, LabNode, Output, Programs, Snapshot, Stream};
pub use objects::Objects;
pub use probe::plan::{CheckOptions, Expected};
pub use probe::stream::Outage;
pub use probe::{
    Answer, Check, Flow, FlowReport, Outcome, Probe, Protocol, Report, Size, StreamOptions, StreamReport,
    Verdict,
};
pub use soak::{Soak, SoakOptions};
pub use topology::{
    Cluster, Cni, CniKind, ControlPlane, Endpoint, Expectation, InvalidEndpoint, KubeProxy,
    KubernetesVersion, Node, Pod, PodId, Service, ServiceId, Topology, TopologyError,
};
