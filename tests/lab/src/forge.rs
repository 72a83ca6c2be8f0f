//! VXLAN packets made by hand, as somebody would send them who does not belong: any outer source, any
//! network identifier, any inner addresses. They leave a namespace of the bed through a raw socket.

use std::net::{IpAddr, SocketAddr};

use causeway_model::Mac;
use clap::Args;
use socket2::{Domain, Protocol, Socket, Type};

use crate::error::{LabError, Result};
use crate::namespace::Namespace;

/// One VXLAN packet (RFC 7348 §5) with an empty UDP datagram inside.
#[derive(Clone, PartialEq, Eq, Debug, Args)]
pub struct Forged {
    /// Where it leaves: CLUSTER/NODE, CLUSTER/NODE/POD or `underlay`
    #[arg(long)]
    pub at: String,
    /// Outer source address
    #[arg(long)]
    pub outer_from: IpAddr,
    /// Outer destination address
    #[arg(long)]
    pub outer_to: IpAddr,
    /// Outer UDP destination port
    #[arg(long)]
    pub port: u16,
    /// Network identifier
    #[arg(long)]
    pub vni: u32,
    /// Inner source MAC address
    #[arg(long)]
    pub inner_from_mac: Mac,
    /// Inner destination MAC address: that of the VTEP which is to take it
    #[arg(long)]
    pub inner_to_mac: Mac,
    /// Inner source address
    #[arg(long)]
    pub inner_from: IpAddr,
    /// Inner destination address
    #[arg(long)]
    pub inner_to: IpAddr,
    /// Inner UDP destination port
    #[arg(long)]
    pub inner_port: u16,
}

/// The UDP port that packets are sent from, outside and inside.
const FROM_PORT: u16 = 40_000;
/// Protocol number of UDP.
const UDP: u8 = 17;

impl Forged {
    /// As words of the command line.
    pub(crate) fn words(&self) -> Vec<String> {
        let Forged { at, outer_from, outer_to, port, vni, .. } = self;
        let Forged { inner_from_mac, inner_to_mac, inner_from, inner_to, inner_port, .. } = self;
        vec![
            format!("--at={at}"),
            format!("--outer-from={outer_from}"),
            format!("--outer-to={outer_to}"),
            format!("--port={port}"),
            format!("--vni={vni}"),
            format!("--inner-from-mac={inner_from_mac}"),
            format!("--inner-to-mac={inner_to_mac}"),
            format!("--inner-from={inner_from}"),
            format!("--inner-to={inner_to}"),
            format!("--inner-port={inner_port}"),
        ]
    }

    /// The whole packet from its outer IP header on.
    fn bytes(&self) -> Vec<u8> {
        let mut frame = [self.inner_to_mac.0, self.inner_from_mac.0].concat();
        let ether_type: u16 = if self.inner_from.is_ipv4() { 0x0800 } else { 0x86dd };
        frame.extend(ether_type.to_be_bytes());
        frame.extend(datagram(self.inner_from, self.inner_to, self.inner_port, &[]));
        // The flag says that the identifier, which has 24 bits, is valid.
        let mut vxlan = vec![0x08, 0, 0, 0];
        vxlan.extend((self.vni << 8).to_be_bytes());
        vxlan.extend(frame);
        datagram(self.outer_from, self.outer_to, self.port, &vxlan)
    }

    /// Sends it from `namespace`.
    pub(crate) fn send(&self, namespace: &Namespace) -> Result<()> {
        let domain = if self.outer_to.is_ipv4() { Domain::IPV4 } else { Domain::IPV6 };
        // The kernel takes what comes through a socket of this protocol with its header.
        let raw = Protocol::from(nix::libc::IPPROTO_RAW);
        namespace.within(|| {
            Socket::new(domain, Type::RAW, Some(raw))
                .and_then(|socket| socket.send_to(&self.bytes(), &SocketAddr::new(self.outer_to, 0).into()))
                .map(drop)
                .map_err(|source| LabError::Socket { namespace: namespace.name().to_owned(), source })
        })
    }
}

/// A UDP datagram with its IP header.
fn datagram(from: IpAddr, to: IpAddr, port: u16, content: &[u8]) -> Vec<u8> {
    let length = 8 + content.len() as u16;
    let mut udp = [FROM_PORT.to_be_bytes(), port.to_be_bytes(), length.to_be_bytes(), [0, 0]].concat();
    udp.extend(content);
    let pseudo =
        [octets(from), octets(to), vec![0, UDP], length.to_be_bytes().to_vec(), udp.clone()].concat();
    // 0 would mean that there is none (RFC 768).
    let sum = Some(checksum(&pseudo)).filter(|sum| *sum != 0).unwrap_or(u16::MAX);
    udp[6..8].copy_from_slice(&sum.to_be_bytes());
    [header(from, to, length), udp].concat()
}

fn header(from: IpAddr, to: IpAddr, length: u16) -> Vec<u8> {
    const TTL: u8 = 64;
    let addresses = [octets(from), octets(to)].concat();
    if from.is_ipv6() {
        return [&[0x60, 0, 0, 0], &length.to_be_bytes()[..], &[UDP, TTL], &addresses].concat();
    }
    let mut header =
        [&[0x45, 0], &(20 + length).to_be_bytes()[..], &[0, 0, 0, 0, TTL, UDP, 0, 0], &addresses].concat();
    let sum = checksum(&header);
    header[10..12].copy_from_slice(&sum.to_be_bytes());
    header
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words = bytes.chunks(2).map(|pair| u64::from(pair[0]) << 8 | u64::from(*pair.get(1).unwrap_or(&0)));
    let mut sum: u64 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_hold_their_own_checksums() {
        for (from, to) in [("192.0.2.1", "192.0.2.2"), ("fd00::1", "fd00::2")] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let bytes = datagram(from, to, 4876, b"odd");
            let (head, udp) = bytes.split_at(bytes.len() - 11);
            if from.is_ipv4() {
                assert_eq!(checksum(head), 0);
            }
            let length = (udp.len() as u16).to_be_bytes().to_vec();
            assert_eq!(checksum(&[octets(from), octets(to), vec![0, UDP], length, udp.to_vec()].concat()), 0);
        }
    }
}
