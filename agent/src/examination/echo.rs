//! Echo requests over the routes that the kernel has, as any packet of this node takes them, and what of echo
//! messages comes in.

use std::fs::File;
use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use causeway_probing::packet::Secret;
use nix::sys::socket::{SockaddrIn, SockaddrIn6, getsockopt, recvfrom, sockopt::IpMtu};
use socket2::{Domain, Protocol, Socket, Type};

/// Bytes of an IPv4 header without options.
const IPV4_HEADER: usize = 20;
/// `IPPROTO_ICMP`.
const ICMP: u8 = 1;

/// Raw ICMP sockets of one test.
pub struct Echo {
    v4: Socket,
    /// `None` on a host without IPv6.
    v6: Option<Socket>,
    secret: Secret,
}

/// An echo message that came in.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Heard {
    /// The answer to the request of this number.
    Answer {
        /// From whom.
        from: IpAddr,
        /// To which request.
        seq: u32,
    },
    /// Somebody else's message.
    Other {
        /// From whom.
        from: IpAddr,
    },
}

impl Echo {
    /// Opens them in the network namespace of the calling thread.
    ///
    /// # Errors
    /// Without CAP_NET_RAW.
    pub fn open() -> io::Result<Echo> {
        let open = |domain, protocol| {
            let socket = Socket::new(domain, Type::RAW, Some(protocol))?;
            socket.set_nonblocking(true)?;
            Ok::<Socket, io::Error>(socket)
        };
        let v6 = open(Domain::IPV6, Protocol::ICMPV6).ok();
        let v4 = open(Domain::IPV4, Protocol::ICMPV4)?;
        let mut random = [0; 18];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let (mut ident, mut cookie) = ([0; 2], [0; 16]);
        ident.copy_from_slice(&random[..2]);
        cookie.copy_from_slice(&random[2..]);
        Ok(Echo { v4, v6, secret: Secret { ident: u16::from_be_bytes(ident), cookie } })
    }

    /// Sends the request `seq` as an IP packet of `length` bytes, or of as many as it needs.
    ///
    /// # Errors
    /// What the kernel says, for example that there is no route.
    pub fn send(&self, to: IpAddr, seq: u32, length: usize) -> io::Result<()> {
        let packet = self.secret.request(to.is_ipv4(), seq, length);
        let socket = match to {
            IpAddr::V4(_) => &self.v4,
            IpAddr::V6(_) => self.v6.as_ref().ok_or(io::ErrorKind::Unsupported)?,
        };
        socket.send_to(&packet, &SocketAddr::new(to, 0).into()).map(drop)
    }

    /// Everything that came in since the last call.
    pub fn heard(&self, mut take: impl FnMut(Heard)) {
        let mut buffer = [0; 2048];
        // Whatever the error is, there is nothing more to read now.
        while let Ok((length, _)) = recvfrom::<SockaddrIn>(self.v4.as_raw_fd(), &mut buffer) {
            let packet = &buffer[..length];
            match self.secret.reply_in_ipv4(packet) {
                Some((from, seq)) => take(Heard::Answer { from, seq }),
                None => source_of_ipv4(packet).into_iter().for_each(|from| take(Heard::Other { from })),
            }
        }
        let Some(v6) = &self.v6 else { return };
        while let Ok((length, Some(from))) = recvfrom::<SockaddrIn6>(v6.as_raw_fd(), &mut buffer) {
            let from = IpAddr::V6(from.ip());
            // 128 and 129: echo; all else is neighbour discovery and the like.
            match (self.secret.reply(false, &buffer[..length]), buffer[0]) {
                (Some(seq), _) => take(Heard::Answer { from, seq }),
                (None, 128 | 129) => take(Heard::Other { from }),
                _ => {}
            }
        }
    }
}

fn source_of_ipv4(packet: &[u8]) -> Option<IpAddr> {
    let header = usize::from(packet.first()? & 15) * 4;
    let is_echo = matches!(packet.get(header)?, 0 | 8);
    if packet.len() < IPV4_HEADER || packet[9] != ICMP || !is_echo {
        return None;
    }
    let source: [u8; 4] = packet[12..16].try_into().ok()?;
    Some(IpAddr::from(source))
}

/// How the kernel would send to an address.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Way {
    /// The source that it would use.
    pub source: IpAddr,
    /// The largest packet that it would send, in bytes; `None` for IPv6, of which it does not say.
    pub mtu: Option<usize>,
}

/// Asks the kernel without sending anything.
///
/// # Errors
/// There is no route.
pub fn way(to: IpAddr) -> io::Result<Way> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => std::net::Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => std::net::Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind((any, 0))?;
    // Discard; nothing is sent.
    socket.connect((to, 9))?;
    let mtu = to.is_ipv4().then(|| getsockopt(&socket, IpMtu)).transpose()?;
    Ok(Way { source: socket.local_addr()?.ip(), mtu: mtu.and_then(|mtu| usize::try_from(mtu).ok()) })
}
