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

/// `IPPROTO_UDP`.
const UDP: u32 = 17;
/// Bytes of a packet that are looked at.
const SNAP: u32 = 64;

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
        let all = i32::from((libc::ETH_P_ALL as u16).to_be());
        let socket = Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(all)))?;
        let program = filter(ports)
            .iter()
            .map(|one| SockFilter::new(one.code, one.jt, one.jf, one.k))
            .collect::<Vec<_>>();
        socket.attach_filter(&program)?;
        socket.set_nonblocking(true)?;
        let overheard = Overheard { socket };
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

/// The source of an IP packet.
fn source(packet: &[u8]) -> Option<IpAddr> {
    match packet.first()? >> 4 {
        4 => <[u8; 4]>::try_from(packet.get(12..16)?).ok().map(IpAddr::from),
        6 => <[u8; 16]>::try_from(packet.get(8..24)?).ok().map(IpAddr::from),
        _ => None,
    }
}

/// A classic BPF program (`Documentation/networking/filter.rst`) that passes UDP packets to two ports, from the IP
/// header on: the first fragment of each.
fn filter(ports: [u16; 2]) -> Vec<sock_filter> {
    let op = |code: u32, k: u32| sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let jump = |code: u32, k: u32, jt: u8, jf: u8| sock_filter { code: code as u16, jt, jf, k };
    let load_byte = |at: u32| op(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, at);
    let equal = |k: u32, jt: u8, jf: u8| jump(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, k, jt, jf);
    let [one, other] = ports.map(u32::from);
    vec![
        /* 0 */ load_byte(0),
        /* 1 */ op(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0xf0),
        /* 2 */ equal(0x40, 0, 7),
        // IPv4: UDP, no later fragment, the port behind a header of any length.
        /* 3 */
        load_byte(9),
        /* 4 */ equal(UDP, 0, 12),
        /* 5 */ op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 6),
        /* 6 */ jump(libc::BPF_JMP | libc::BPF_JSET | libc::BPF_K, 0x1fff, 10, 0),
        /* 7 */ op(libc::BPF_LDX | libc::BPF_B | libc::BPF_MSH, 0),
        /* 8 */ op(libc::BPF_LD | libc::BPF_H | libc::BPF_IND, 2),
        /* 9 */ jump(libc::BPF_JMP | libc::BPF_JA, 4, 0, 0),
        // IPv6: UDP right behind the header.
        /* 10 */ equal(0x60, 0, 6),
        /* 11 */ load_byte(6),
        /* 12 */ equal(UDP, 0, 4),
        /* 13 */ op(libc::BPF_LD | libc::BPF_H | libc::BPF_ABS, 42),
        /* 14 */ equal(one, 1, 0),
        /* 15 */ equal(other, 0, 1),
        /* 16 */ op(libc::BPF_RET | libc::BPF_K, SNAP),
        /* 17 */ op(libc::BPF_RET | libc::BPF_K, 0),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Runs the program on a packet, as the kernel does: the bytes it passes.
    fn run(program: &[sock_filter], packet: &[u8]) -> u32 {
        let byte = |at: u32| packet.get(at as usize).copied().map(u32::from);
        let half = |at: u32| Some(byte(at)? << 8 | byte(at + 1)?);
        let (mut a, mut x, mut at) = (0u32, 0u32, 0usize);
        loop {
            let one = program[at];
            at += 1;
            let load = match u32::from(one.code) {
                0x30 => byte(one.k),
                0x28 => half(one.k),
                0x48 => half(x + one.k),
                0x54 => Some(a & one.k),
                0xb1 => {
                    let Some(first) = byte(one.k) else { return 0 };
                    x = (first & 15) * 4;
                    Some(a)
                }
                0x15 | 0x45 => {
                    let holds = if one.code == 0x15 { a == one.k } else { a & one.k != 0 };
                    at += usize::from(if holds { one.jt } else { one.jf });
                    Some(a)
                }
                0x05 => {
                    at += one.k as usize;
                    Some(a)
                }
                0x06 => return one.k,
                other => panic!("{other:#x}"),
            };
            let Some(value) = load else { return 0 };
            a = value;
        }
    }

    fn v4(protocol: u8, fragment: u16, options: usize, port: u16) -> Vec<u8> {
        let mut packet = vec![0x45 + options as u8, 0, 0, 0, 0, 0];
        packet.extend(fragment.to_be_bytes());
        packet.extend([64, protocol, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2]);
        packet.extend(vec![0; options * 4]);
        packet.extend([0, 1]);
        packet.extend(port.to_be_bytes());
        packet
    }

    #[test]
    fn the_filter_passes_udp_to_the_tunnels_ports_and_nothing_else() {
        let program = filter([4876, 4877]);
        for (packet, passes) in [
            (v4(17, 0, 0, 4876), true),
            (v4(17, 0, 3, 4877), true),
            (v4(17, 0x2000, 0, 4876), true),
            (v4(17, 0x0010, 0, 4876), false),
            (v4(17, 0, 0, 53), false),
            (v4(6, 0, 0, 4876), false),
        ] {
            assert_eq!(run(&program, &packet) > 0, passes, "{packet:?}");
            assert_eq!(source(&packet), Some("192.0.2.1".parse().unwrap()));
        }
        let mut v6 = vec![0x60, 0, 0, 0, 0, 0, 17, 64];
        v6.extend([0xfd; 32]);
        v6.extend([0, 1, 0x13, 0x0c]);
        assert!(run(&program, &v6) > 0);
        v6[6] = 6;
        assert_eq!(run(&program, &v6), 0);
        assert_eq!(run(&program, &[0; 60]), 0);
        assert_eq!(source(&[]), None);
    }
}
