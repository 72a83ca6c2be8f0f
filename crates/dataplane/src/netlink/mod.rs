//! The kernel of this network namespace, spoken to over netlink and `/proc/sys`.
//!
//! ```text
//! observe ─ strict, filtered dumps ─▶ wire ─▶ link, address, neighbour, route, rule, nexthop
//! apply   ─ link, address, … ─▶ batch (many messages per system call, errors by number)
//! monitor ─ what others change meanwhile
//! ```
//!
//! It reads and writes what it is told to and decides nothing. Nothing that the kernel says can make
//! it panic, and no part of a state is taken for the whole.

pub mod batch;
pub mod monitor;
pub mod wire;

pub(crate) mod ack;
mod address;
mod apply;
mod link;
mod neighbour;
mod nexthop;
mod observe;
mod route;
mod rule;
pub(crate) mod statistics;
mod sysctl;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::IpAddr;

pub use batch::BatchSocket;
pub use monitor::{Event, Monitor};

use crate::device::Device;
use crate::kernel::{ApplyError, Kernel, KernelError};
use crate::nft;
use crate::state::{Capabilities, Observed, ObservedNextHops, Sysctl};
use crate::step::Step;

/// Linux in the network namespace in which this was opened.
///
/// Belongs to one thread: `/proc/sys` shows the namespace of the thread that reads it.
#[derive(Debug)]
pub struct LinuxKernel {
    socket: BatchSocket,
    firewall: nft::Socket,
    sysctls: Vec<Sysctl>,
    /// Of our devices, by the last observation and what was made since.
    indexes: Indexes,
    /// Lengths of addresses on our devices that are no host prefixes, which we never write. The kernel
    /// removes an IPv6 address only by its right length.
    odd_lengths: BTreeMap<(Device, IpAddr), u8>,
    /// Read once: a kernel does not learn.
    resilient_groups: Option<bool>,
    fast_path: FastPath,
}

impl LinuxKernel {
    /// Opens the kernel of the current thread's network namespace. `sysctls` are those whose values
    /// belong to an observation, besides the `rp_filter` of every link: those that
    /// [`sysctls::all`](crate::desired::sysctls::all) names.
    ///
    /// # Errors
    /// [`KernelError::Socket`].
    pub fn open(sysctls: Vec<Sysctl>) -> Result<Self, KernelError> {
        Ok(LinuxKernel {
            socket: BatchSocket::open(netlink_sys::protocols::NETLINK_ROUTE)?,
            firewall: nft::Socket::open()?,
            sysctls,
            indexes: Indexes::default(),
            odd_lengths: BTreeMap::new(),
            resilient_groups: None,
            fast_path: FastPath::Unasked,
        })
    }

    /// Has this kernel as one that knows no fast path.
    pub fn forgo_fast_path(&mut self) {
        self.fast_path = FastPath::Forgone;
    }

    /// Has this kernel as one that knows a fast path if there is one: for who only looks.
    pub fn leave_fast_path(&mut self) {
        self.fast_path = FastPath::AsItIs;
    }

    /// The port under which [`Monitor::route`] sees the changes made through this kernel. Ask again
    /// after an observation or a change that failed.
    pub fn route_port(&self) -> u32 {
        self.socket.port()
    }

    /// The port under which [`Monitor::nftables`] sees the changes made through this kernel.
    ///
    /// # Errors
    /// [`KernelError::Socket`].
    pub fn nftables_port(&self) -> Result<u32, KernelError> {
        self.firewall.port()
    }

    /// Reads next hops and groups alone: a few, however many routes use them. Devices are those of the
    /// last observation.
    ///
    /// # Errors
    /// As of [`Kernel::observe`].
    pub fn observe_next_hops(&mut self) -> Result<ObservedNextHops, KernelError> {
        observe::next_hops(&mut self.socket, &self.indexes)
    }

    fn capabilities(&mut self) -> Result<Capabilities, KernelError> {
        let resilient_groups = match self.resilient_groups {
            Some(known) => known,
            None => observe::resilient_groups(&mut self.socket)?,
        };
        self.resilient_groups = Some(resilient_groups);
        let iptables_legacy = nft::iptables_legacy()?;
        // As it is, where it says so: that is read later.
        let fast_path = self.fast_path()?;
        Ok(Capabilities { resilient_groups, ipv6: sysctl::ipv6()?, iptables_legacy, fast_path })
    }

    /// Whether connection tracking lets packets pass by it, and nftables can have them do so.
    fn fast_path(&mut self) -> Result<bool, KernelError> {
        if matches!(self.fast_path, FastPath::Forgone | FastPath::AsItIs) || !sysctl::tracking_is_liberal()? {
            return Ok(false);
        }
        if self.fast_path == FastPath::Unasked
            && let Some(able) = nft::takes_fast_path(&mut self.firewall)?
        {
            self.fast_path = FastPath::Able(able);
        }
        Ok(self.fast_path == FastPath::Able(true))
    }
}

impl Kernel for LinuxKernel {
    fn observe(&mut self) -> Result<Observed, KernelError> {
        observe::observe(self)
    }

    fn apply(&mut self, steps: &[Step]) -> Result<(), ApplyError> {
        apply::apply(self, steps)
    }
}

/// What is to be thought of the fast path, where connection tracking is liberal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum FastPath {
    /// Whether nftables takes what it needs was not asked yet.
    Unasked,
    /// It does, or does not.
    Able(bool),
    /// It is not wanted.
    Forgone,
    /// It is possible if there is one, whatever tracking is like: for who only looks.
    AsItIs,
}

/// Interface indexes of our devices.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
struct Indexes(Vec<(Device, u32)>);

impl Indexes {
    fn device(&self, index: u32) -> Option<Device> {
        self.0.iter().find(|entry| entry.1 == index).map(|entry| entry.0)
    }

    fn index(&self, device: Device) -> Option<u32> {
        self.0.iter().find(|entry| entry.0 == device).map(|entry| entry.1)
    }

    fn set(&mut self, device: Device, index: Option<u32>) {
        self.0.retain(|entry| entry.0 != device);
        self.0.extend(index.map(|index| (device, index)));
    }
}
