//! What others change while nobody looks: multicast notifications, told apart into those that may
//! concern us and those that do not.
//!
//! It reads no state and repairs nothing; who hears of a relevant event observes again.

use std::collections::BTreeSet;
use std::hash::{Hash as _, Hasher as _};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

use netlink_sys::{Socket, protocols};
use rustc_hash::{FxHashMap, FxHasher};

use super::wire::{Attribute, Attributes, Malformed, Message, Messages, fixed, u16_at, u32_at};
use super::{address, nexthop};
use crate::device::{Device, PROTOCOL, ROUTE_TABLE};
use crate::kernel::KernelError;
use crate::nft::ruleset::TABLE;

/// Groups of `NETLINK_ROUTE` that are listened to: links, neighbours (and forwarding entries),
/// addresses, routes, rules, next hops, and the sysctls for forwarding and reverse path filtering.
pub const ROUTE_GROUPS: [u32; 11] = [
    libc::RTNLGRP_LINK,
    libc::RTNLGRP_NEIGH,
    libc::RTNLGRP_IPV4_IFADDR,
    libc::RTNLGRP_IPV6_IFADDR,
    libc::RTNLGRP_IPV4_ROUTE,
    libc::RTNLGRP_IPV6_ROUTE,
    libc::RTNLGRP_IPV4_RULE,
    libc::RTNLGRP_IPV6_RULE,
    libc::RTNLGRP_NEXTHOP,
    libc::RTNLGRP_IPV4_NETCONF,
    libc::RTNLGRP_IPV6_NETCONF,
];
/// Groups of `NETLINK_NETFILTER` that are listened to.
pub const NETFILTER_GROUPS: [u32; 1] = [libc::NFNLGRP_NFTABLES as u32];

/// `RTM_NEWNETCONF`.
const NEW_NETCONF: u16 = 80;
/// Room for one datagram of notifications.
const DATAGRAM: usize = 64 * 1024;
/// Receive buffer that is asked for, in bytes.
const RECEIVE: usize = 1 << 20;

/// What a [`Monitor`] received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// A change that may concern us.
    Relevant,
    /// Only changes that do not.
    Irrelevant,
    /// Notifications were lost: anything may have changed.
    Overrun,
}

/// A socket that hears of changes. It never blocks; wait for it to be readable (`AsyncFd`, `poll`).
#[derive(Debug)]
pub struct Monitor {
    socket: Socket,
    filter: Filter,
    datagram: Vec<u8>,
}

impl Monitor {
    /// Hears of links, addresses, neighbours, forwarding entries, routes, rules and next hops of the
    /// current network namespace.
    ///
    /// # Errors
    /// [`KernelError::Socket`].
    pub fn route() -> Result<Self, KernelError> {
        Monitor::open(protocols::NETLINK_ROUTE, &ROUTE_GROUPS)
    }

    /// Hears of nftables of the current network namespace.
    ///
    /// # Errors
    /// [`KernelError::Socket`].
    pub fn nftables() -> Result<Self, KernelError> {
        Monitor::open(protocols::NETLINK_NETFILTER, &NETFILTER_GROUPS)
    }

    fn open(protocol: isize, groups: &[u32]) -> Result<Self, KernelError> {
        let socket =
            join(protocol, groups).map_err(|source| KernelError::Socket { operation: "listen", source })?;
        let filter = Filter { netfilter: protocol == protocols::NETLINK_NETFILTER, ..Filter::default() };
        Ok(Monitor { socket, filter, datagram: Vec::with_capacity(DATAGRAM) })
    }

    /// What is relevant, to be told what belongs to us.
    pub fn filter(&mut self) -> &mut Filter {
        &mut self.filter
    }

    /// Receives one datagram.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if there is none; anything else means that the socket is lost.
    pub fn recv(&mut self) -> io::Result<Event> {
        self.datagram.clear();
        match self.socket.recv_from(&mut self.datagram, libc::MSG_DONTWAIT | libc::MSG_TRUNC) {
            Ok((length, from)) if from.port_number() == 0 && length <= self.datagram.len() => {
                let relevant = self.filter.is_relevant(&self.datagram);
                Ok(if relevant { Event::Relevant } else { Event::Irrelevant })
            }
            // Not from the kernel.
            Ok((_, from)) if from.port_number() != 0 => Ok(Event::Irrelevant),
            Ok(_) => Ok(Event::Overrun),
            Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) => {
                self.filter.links.clear();
                Ok(Event::Overrun)
            }
            Err(error) => Err(error),
        }
    }
}

fn join(protocol: isize, groups: &[u32]) -> io::Result<Socket> {
    use nix::sys::socket::{setsockopt, sockopt};
    let mut socket = Socket::new(protocol)?;
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE).is_err() {
        socket.set_rx_buf_sz(RECEIVE as libc::c_int)?;
    }
    socket.bind_auto()?;
    for group in groups {
        socket.add_membership(*group)?;
    }
    Ok(socket)
}

impl AsFd for Monitor {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl AsRawFd for Monitor {
    fn as_raw_fd(&self) -> RawFd {
        self.socket.as_raw_fd()
    }
}

/// Decides which notifications may concern us. What it cannot read may.
#[derive(Clone, Debug, Default)]
pub struct Filter {
    netfilter: bool,
    own_ports: BTreeSet<u32>,
    devices: Vec<u32>,
    chains: BTreeSet<(String, String)>,
    /// What matters of each link, hashed: links are notified of for much that does not matter.
    links: FxHashMap<u32, u64>,
}

impl Filter {
    /// Ports of sockets whose changes are our own, and therefore known. Forwarding entries and sysctls
    /// are notified without one, so what we change of these is heard of as if others did.
    pub fn own_ports(&mut self, ports: impl IntoIterator<Item = u32>) {
        self.own_ports = ports.into_iter().collect();
    }

    /// Interface indexes of our devices. Devices with our names are added as they appear.
    pub fn devices(&mut self, indexes: impl IntoIterator<Item = u32>) {
        self.devices = indexes.into_iter().collect();
    }

    /// Foreign nftables chains that hold a rule of ours, or may need one, as table and chain.
    pub fn chains(&mut self, chains: impl IntoIterator<Item = (String, String)>) {
        self.chains = chains.into_iter().collect();
    }

    /// Whether any message of a datagram may concern us.
    pub fn is_relevant(&mut self, datagram: &[u8]) -> bool {
        // No short circuit: every link has to be learned.
        Messages::new(datagram).fold(false, |relevant, message| {
            relevant | message.and_then(|message| self.concerns(&message)).unwrap_or(true)
        })
    }

    fn concerns(&mut self, message: &Message<'_>) -> Result<bool, Malformed> {
        if message.kind == libc::RTM_NEWLINK && !self.netfilter {
            let changed = self.link_changed(message.payload)?;
            return Ok(changed && !self.is_own(message));
        }
        if self.is_own(message) {
            return Ok(false);
        }
        if self.netfilter {
            return self.ruleset_changed(message);
        }
        let payload = message.payload;
        Ok(match message.kind {
            libc::RTM_DELLINK => self.link_gone(payload)?,
            libc::RTM_NEWNEIGH | libc::RTM_DELNEIGH => self.neighbour(message.kind, payload)?,
            libc::RTM_NEWADDR | libc::RTM_DELADDR => {
                address::parse(payload)?.is_some_and(|read| !read.link_local)
            }
            libc::RTM_NEWROUTE | libc::RTM_DELROUTE => {
                let (head, attributes) = fixed::<12>(payload)?;
                head[5] == PROTOCOL && has(attributes, libc::RTA_TABLE, &ROUTE_TABLE.to_ne_bytes())?
            }
            libc::RTM_NEWRULE | libc::RTM_DELRULE => {
                has(fixed::<12>(payload)?.1, super::rule::PROTOCOL_ATTRIBUTE, &[PROTOCOL])?
            }
            nexthop::NEW | nexthop::DELETE => nexthop::protocol(payload) == PROTOCOL,
            NEW_NETCONF => sysctl_changed(payload)?,
            _ => false,
        })
    }

    fn is_own(&self, message: &Message<'_>) -> bool {
        self.own_ports.contains(&message.port)
    }

    fn link_changed(&mut self, payload: &[u8]) -> Result<bool, Malformed> {
        let (head, attributes) = fixed::<16>(payload)?;
        // A bridge speaks of its ports in the same message type.
        if head[0] != libc::AF_UNSPEC as u8 {
            return Ok(false);
        }
        let index = u32_at(head, 4);
        let mut hasher = FxHasher::default();
        let mut ours = false;
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                libc::IFLA_IFNAME => {
                    ours = Device::from_name(attribute.text()).is_some();
                    attribute.value.hash(&mut hasher);
                }
                libc::IFLA_MTU | libc::IFLA_MASTER | libc::IFLA_ADDRESS => attribute.value.hash(&mut hasher),
                // The name comes first (`rtnl_fill_ifinfo`).
                libc::IFLA_IFALIAS | libc::IFLA_GROUP | libc::IFLA_LINKINFO if ours => {
                    attribute.value.hash(&mut hasher);
                }
                // Of other links only the kind: a bridge's timers stand here.
                libc::IFLA_LINKINFO => kind_of(attribute)?.hash(&mut hasher),
                _ => {}
            }
        }
        if ours {
            (u32_at(head, 8) & libc::IFF_UP as u32).hash(&mut hasher);
        }
        if ours && !self.devices.contains(&index) {
            self.devices.push(index);
        }
        let hash = hasher.finish();
        Ok(self.links.insert(index, hash) != Some(hash))
    }

    fn link_gone(&mut self, payload: &[u8]) -> Result<bool, Malformed> {
        let (head, _) = fixed::<16>(payload)?;
        if head[0] != libc::AF_UNSPEC as u8 {
            return Ok(false);
        }
        let index = u32_at(head, 4);
        self.links.remove(&index);
        self.devices.retain(|device| *device != index);
        Ok(true)
    }

    fn neighbour(&self, kind: u16, payload: &[u8]) -> Result<bool, Malformed> {
        /// Passing states, which an attempt to reach nobody goes through.
        const PASSING: u16 = libc::NUD_INCOMPLETE | libc::NUD_STALE | libc::NUD_DELAY | libc::NUD_PROBE;
        let (head, _) = fixed::<12>(payload)?;
        let passing = kind == libc::RTM_NEWNEIGH && u16_at(head, 8) & PASSING != 0;
        Ok(self.devices.contains(&u32_at(head, 4)) && !passing)
    }

    fn ruleset_changed(&self, message: &Message<'_>) -> Result<bool, Malformed> {
        /// `NFT_MSG_…`, the low byte of the type.
        const NEW_CHAIN: u16 = 3;
        const DELETE_CHAIN: u16 = 5;
        const NEW_RULE: u16 = 6;
        const DELETE_RULE: u16 = 8;
        const NEW_GENERATION: u16 = 15;
        /// `NFTA_…_TABLE`, the same in all messages; `NFTA_RULE_CHAIN`; `NFTA_CHAIN_HOOK`.
        const NAME_OF_TABLE: u16 = 1;
        const RULE_CHAIN: u16 = 2;
        const CHAIN_HOOK: u16 = 4;
        let (_, attributes) = fixed::<4>(message.payload)?;
        let kind = message.kind & 0xff;
        let (mut table, mut chain, mut hooked) = ("", "", false);
        for attribute in attributes {
            let attribute = attribute?;
            match attribute.kind {
                NAME_OF_TABLE => table = attribute.text(),
                RULE_CHAIN => chain = attribute.text(),
                CHAIN_HOOK => hooked = true,
                _ => {}
            }
        }
        Ok(match kind {
            NEW_GENERATION => false,
            _ if table == TABLE => true,
            NEW_CHAIN | DELETE_CHAIN => hooked,
            NEW_RULE | DELETE_RULE => {
                chain.eq_ignore_ascii_case("forward")
                    || self.chains.iter().any(|(t, c)| t == table && c == chain)
            }
            _ => false,
        })
    }
}

/// Whether forwarding or a reverse path filter changed. A link that is new states all, but was heard
/// of as a link.
fn sysctl_changed(payload: &[u8]) -> Result<bool, Malformed> {
    /// `NETCONFA_FORWARDING` and `NETCONFA_RP_FILTER`.
    const FORWARDING: u16 = 2;
    const RP_FILTER: u16 = 3;
    let (mut watched, mut stated) = (false, 0);
    for attribute in fixed::<4>(payload)?.1 {
        stated += 1;
        watched |= [FORWARDING, RP_FILTER].contains(&attribute?.kind);
    }
    Ok(watched && stated <= 2)
}

fn kind_of(info: Attribute<'_>) -> Result<Option<&str>, Malformed> {
    for part in info.nested() {
        let part = part?;
        if part.kind == libc::IFLA_INFO_KIND {
            return Ok(Some(part.text()));
        }
    }
    Ok(None)
}

fn has(attributes: Attributes<'_>, kind: u16, value: &[u8]) -> Result<bool, Malformed> {
    for attribute in attributes {
        let attribute = attribute?;
        if attribute.kind == kind {
            return Ok(attribute.value == value);
        }
    }
    Ok(false)
}
