//! Tunnel packets as links receive them, before any filter of this node: what is not among them was lost on the way.
//! The kernel hands over only UDP packets to the ports of tunnels, so that a busy node is not burdened.

use std::collections::BTreeMap;
use std::io;
use std::net::IpAddr;
use std::os::fd::AsRawFd;

use libc::sock_filter;
use nix::net::if_::if_indextoname;
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, SockFilter, Socket, Type};

use super::filters::{self, SNAP};

/// A socket that hears tunnel packets.
pub struct Overheard {
    socket: Socket,
}

/// How many packets of one source came in, and over which link.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Arrivals {
    /// Packets.
    pub packets: i64,
    /// The link that received the last of them.
    pub link: Option<String>,
}

impl Overheard {
    /// Listens in the network namespace of the calling thread for UDP packets to `ports`.
    ///
    /// # Errors
    /// Without CAP_NET_RAW.
    pub fn listen(ports: [u16; 2]) -> io::Result<Overheard> {
        let overheard = Overheard { socket: ear(&filters::tunnel_packets(ports))? };
        // What came in before the filter stood.
        overheard.take(&mut BTreeMap::new());
        Ok(overheard)
    }

    /// Adds what came in since the last call, by source.
    pub fn take(&self, arrivals: &mut BTreeMap<IpAddr, Arrivals>) {
        let mut buffer = [0; SNAP as usize];
        // Whatever the error is, there is nothing more to read now.
        while let Ok((length, from)) = recvfrom::<LinkAddr>(self.socket.as_raw_fd(), &mut buffer) {
            let Some(source) = source(&buffer[..length.min(buffer.len())]) else { continue };
            let heard = arrivals.entry(source).or_default();
            heard.packets += 1;
            let index = from.and_then(|from| u32::try_from(from.ifindex()).ok());
            let name = index.and_then(|index| if_indextoname(index).ok());
            heard.link = name.and_then(|name| name.into_string().ok()).or(heard.link.take());
        }
    }
}

/// A socket that hears what passes the links of the calling thread's network namespace and the program, both ways, from
/// the IP header on. What came in before the program stood may still be in it.
///
/// # Errors
/// Without CAP_NET_RAW.
pub fn ear(program: &[sock_filter]) -> io::Result<Socket> {
    let all = i32::from((libc::ETH_P_ALL as u16).to_be());
    let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(all)))?;
    let program: Vec<SockFilter> =
        program.iter().map(|one| SockFilter::new(one.code, one.jt, one.jf, one.k)).collect();
    socket.attach_filter(&program)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// The source of an IP packet.
fn source(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => <[u8; 4]>::try_from(packet.get(12..16)?).ok().map(IpAddr::from),
        6 => <[u8; 16]>::try_from(packet.get(8..24)?).ok().map(IpAddr::from),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_source_is_told_of_both_families_and_of_nothing_else() {
        let mut v4 = vec![0x45; 20];
        v4[12..16].copy_from_slice(&[192, 0, 2, 1]);
        assert_eq!(source(&v4), Some("192.0.2.1".parse().unwrap()));
        assert_eq!(source(&[0x60; 24]), Some("6060:6060:6060:6060:6060:6060:6060:6060".parse().unwrap()));
        assert_eq!((source(&[]), source(&[0x45; 12]), source(&[0; 40])), (None, None, None));
    }
}
