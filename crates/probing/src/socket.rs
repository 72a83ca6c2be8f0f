//! Raw ICMP sockets: one for each family, never blocking.

use std::fs::File;
use std::io::{self, ErrorKind, IoSlice, Read};
use std::net::{IpAddr, SocketAddrV4, SocketAddrV6};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::net::if_::if_nametoindex;
use nix::sys::socket::{
    AddressFamily, ControlMessage, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, SockaddrIn6,
    recvfrom, sendmsg, socket,
};

use crate::packet::Secret;
use crate::roster::{Probe, Size};

/// Messages that are read in a row at most.
const MANY: usize = 1024;

/// The sockets of one process.
#[derive(Debug)]
pub(crate) struct Sockets {
    v4: OwnedFd,
    /// `None` on a host without IPv6.
    v6: Option<OwnedFd>,
    secret: Secret,
}

impl Sockets {
    /// Opens them in the network namespace of the calling thread.
    pub fn open() -> io::Result<Sockets> {
        let open = |family, protocol| {
            socket(family, SockType::Raw, SockFlag::SOCK_NONBLOCK | SockFlag::SOCK_CLOEXEC, Some(protocol))
        };
        let v6 = match open(AddressFamily::Inet6, SockProtocol::IcmpV6) {
            Err(Errno::EAFNOSUPPORT) => None,
            opened => Some(opened?),
        };
        let v4 = open(AddressFamily::Inet, SockProtocol::Icmp)?;
        let mut random = [0; 18];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let (mut ident, mut cookie) = ([0; 2], [0; 16]);
        ident.copy_from_slice(&random[..2]);
        cookie.copy_from_slice(&random[2..]);
        Ok(Sockets { v4, v6, secret: Secret { ident: u16::from_be_bytes(ident), cookie } })
    }

    /// What to wait for.
    pub fn fds(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        [Some(&self.v4), self.v6.as_ref()].into_iter().flatten().map(AsFd::as_fd)
    }

    /// Sends a probe through the target's device, from its source.
    pub fn send(&self, Probe { target, seq, size }: &Probe) -> io::Result<()> {
        let index = if_nametoindex(target.device)?;
        let length = if *size == Size::Full { target.mtu as usize } else { 0 };
        let packet = self.secret.request(target.address.is_ipv4(), *seq, length);
        let data = [IoSlice::new(&packet)];
        match (target.address, target.source) {
            (IpAddr::V4(to), IpAddr::V4(from)) => {
                let local = libc::in_addr { s_addr: u32::from_ne_bytes(from.octets()) };
                let info = libc::in_pktinfo {
                    ipi_ifindex: index as libc::c_int,
                    ipi_spec_dst: local,
                    ipi_addr: libc::in_addr { s_addr: 0 },
                };
                let to = SockaddrIn::from(SocketAddrV4::new(to, 0));
                let control = [ControlMessage::Ipv4PacketInfo(&info)];
                sendmsg(self.v4.as_raw_fd(), &data, &control, MsgFlags::empty(), Some(&to))?;
            }
            (IpAddr::V6(to), IpAddr::V6(from)) => {
                let v6 = self.v6.as_ref().ok_or(Errno::EAFNOSUPPORT)?;
                let info = libc::in6_pktinfo {
                    ipi6_addr: libc::in6_addr { s6_addr: from.octets() },
                    ipi6_ifindex: index,
                };
                let to = SockaddrIn6::from(SocketAddrV6::new(to, 0, 0, 0));
                let control = [ControlMessage::Ipv6PacketInfo(&info)];
                sendmsg(v6.as_raw_fd(), &data, &control, MsgFlags::empty(), Some(&to))?;
            }
            _ => return Err(io::Error::new(ErrorKind::InvalidInput, "source and target differ in family")),
        }
        Ok(())
    }

    /// Reads the answers that are there, [`MANY`] messages of each family at most.
    pub fn answers(&self, mut take: impl FnMut(IpAddr, u32)) -> io::Result<()> {
        let mut buffer = [0; 2048];
        for _ in 0..MANY {
            let Some((length, _)) = receive::<SockaddrIn>(&self.v4, &mut buffer)? else { break };
            if let Some((from, seq)) = self.secret.reply_in_ipv4(&buffer[..length]) {
                take(from, seq);
            }
        }
        let Some(v6) = &self.v6 else { return Ok(()) };
        for _ in 0..MANY {
            let Some((length, from)) = receive::<SockaddrIn6>(v6, &mut buffer)? else { break };
            if let (Some(from), Some(seq)) = (from, self.secret.reply(false, &buffer[..length])) {
                take(from.ip().into(), seq);
            }
        }
        Ok(())
    }
}

/// One message; `None` if there is none.
fn receive<A: nix::sys::socket::SockaddrLike>(
    socket: &OwnedFd,
    buffer: &mut [u8],
) -> io::Result<Option<(usize, Option<A>)>> {
    loop {
        return match recvfrom::<A>(socket.as_raw_fd(), buffer) {
            Ok(message) => Ok(Some(message)),
            Err(Errno::EAGAIN) => Ok(None),
            // Errors of single packets are no news: their probes count as lost.
            Err(Errno::EINTR | Errno::EHOSTUNREACH | Errno::ENETUNREACH | Errno::ECONNREFUSED) => continue,
            Err(error) => Err(error.into()),
        };
    }
}
