//! The numbers of a VXLAN tunnel (RFC 7348).

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::Family;

/// A VXLAN network identifier, 1 to 16,777,215.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Vni(pub u32);

/// A UDP port, 1 to 65,535.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct UdpPort(pub u16);

impl fmt::Display for Vni {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for UdpPort {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What both ends of a tunnel must agree on.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Tunnel {
    /// The network identifier.
    pub vni: Vni,
    /// The UDP destination port.
    pub port: UdpPort,
}

/// The two overlays of a clusterset.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TunnelPair {
    /// Between clusters: device `vx-bridge`. Default VNI 54, port 4876.
    pub bridge: Tunnel,
    /// Between a Gateway cluster's internal nodes and its gateways: device `vx-local`. Default VNI
    /// 55, port 4877.
    pub local: Tunnel,
}

impl Default for TunnelPair {
    fn default() -> Self {
        TunnelPair {
            bridge: Tunnel { vni: Vni(54), port: UdpPort(4876) },
            local: Tunnel { vni: Vni(55), port: UdpPort(4877) },
        }
    }
}

/// Bytes that VXLAN adds to an inner IP packet over an underlay of this family: outer IP, UDP,
/// VXLAN and inner Ethernet headers. 50 over IPv4, 70 over IPv6.
pub fn vxlan_overhead(underlay: Family) -> u32 {
    match underlay {
        Family::V4 => 20 + 8 + 8 + 14,
        Family::V6 => 40 + 8 + 8 + 14,
    }
}
