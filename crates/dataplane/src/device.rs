//! The tunnel devices of a node and the numbers that mark what is ours.

use std::fmt;

use causeway_model::Family;

/// Link alias of every device that is ours.
pub const LINK_ALIAS: &str = "causeway";
/// Routing table of all our routes.
pub const ROUTE_TABLE: u32 = 4876;
/// Priority of our rules: behind the local table (0), ahead of main (32766).
pub const RULE_PRIORITY: u32 = 4876;
/// Protocol number of our routes, rules and next hops; no other routing daemon is registered with
/// it in iproute2's `rt_protos`.
pub const PROTOCOL: u8 = 197;

/// What a tunnel device is for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub enum Overlay {
    /// Between clusters.
    Bridge,
    /// Between internal nodes and gateways of one cluster.
    Local,
}

impl Overlay {
    /// The device group of its devices (`ip link set … group`). Rules know devices by it: a number that a packet's
    /// device holds is compared faster than a name, and stays when a device is made anew.
    pub fn group(self) -> u32 {
        match self {
            Overlay::Bridge => 4876,
            Overlay::Local => 4877,
        }
    }
}

/// One of the four tunnel devices that a node may have.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct Device {
    /// What it is for.
    pub overlay: Overlay,
    /// The family of its outer packets.
    pub underlay: Family,
}

impl Device {
    /// All of them.
    pub const ALL: [Device; 4] = [
        Device { overlay: Overlay::Bridge, underlay: Family::V4 },
        Device { overlay: Overlay::Bridge, underlay: Family::V6 },
        Device { overlay: Overlay::Local, underlay: Family::V4 },
        Device { overlay: Overlay::Local, underlay: Family::V6 },
    ];

    /// The link name: `vx-bridge`, `vx-bridge6`, `vx-local` or `vx-local6`.
    pub fn name(self) -> &'static str {
        match (self.overlay, self.underlay) {
            (Overlay::Bridge, Family::V4) => "vx-bridge",
            (Overlay::Bridge, Family::V6) => "vx-bridge6",
            (Overlay::Local, Family::V4) => "vx-local",
            (Overlay::Local, Family::V6) => "vx-local6",
        }
    }

    /// The device with this link name.
    pub fn from_name(name: &str) -> Option<Device> {
        Device::ALL.into_iter().find(|device| device.name() == name)
    }
}

impl fmt::Display for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
