//! What the kernel counts: packets and bytes through our devices, and packets that our firewall dropped. Read when
//! somebody asks; nothing follows from them.

use std::collections::{BTreeMap, BTreeSet};

use crate::device::Device;
use crate::kernel::KernelError;
use crate::netlink::{BatchSocket, statistics};
use crate::nft;

/// What went one way through a device.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Traffic {
    /// Packets.
    pub packets: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Packets with an error.
    pub errors: u64,
    /// Packets dropped.
    pub dropped: u64,
}

/// What went through a device, counted as the kernel does: inner packets.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct DeviceTraffic {
    /// What came out of the tunnel.
    pub received: Traffic,
    /// What went into it.
    pub sent: Traffic,
}

/// The counters of the network namespace in which this was opened.
#[derive(Debug)]
pub struct Counters {
    routes: BatchSocket,
    firewall: nft::Socket,
}

impl Counters {
    /// Opens sockets of its own: who changes the kernel is not disturbed.
    ///
    /// # Errors
    /// [`KernelError::Socket`].
    pub fn open() -> Result<Counters, KernelError> {
        let routes = BatchSocket::open(netlink_sys::protocols::NETLINK_ROUTE)?;
        Ok(Counters { routes, firewall: nft::Socket::open()? })
    }

    /// Of our devices.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn devices(&mut self) -> Result<BTreeMap<Device, DeviceTraffic>, KernelError> {
        statistics::read(&mut self.routes)
    }

    /// Chains of others that translate sources ahead of ours, as [`nft::early_source_nat`] finds them.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn early_source_nat(&mut self) -> Result<Vec<nft::foreign::ForeignChainId>, KernelError> {
        nft::early_source_nat(&mut self.firewall)
    }

    /// What of kube-proxy shows in nftables, as [`nft::kube_proxy`] finds it.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn kube_proxy(&mut self) -> Result<BTreeSet<String>, KernelError> {
        nft::kube_proxy(&mut self.firewall)
    }

    /// What came out of tunnels between clusters and was let in, by where it came from. An origin that is added anew begins
    /// at zero.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn received(&mut self) -> Result<Vec<nft::Received>, KernelError> {
        nft::received(&mut self.firewall)
    }

    /// Packets that rules of our table have dropped, by what their comment says. A rule that is written anew begins
    /// at zero.
    ///
    /// # Errors
    /// [`KernelError`].
    pub fn drops(&mut self) -> Result<BTreeMap<String, u64>, KernelError> {
        nft::drops(&mut self.firewall)
    }
}
