//! The probe packet, the same over UDP, TCP and ICMP.
//!
//! A request carries its length, a number and the time when it was sent. The echo server sends it
//! back with two fields filled in: the address that it saw the request come from, and who it is.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

/// The length of a request without filling.
pub(crate) const HEADER: usize = 64;

const MAGIC: [u8; 4] = *b"cwlb";

/// A probe packet without its filling.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Header {
    /// Bytes in all, header included.
    pub len: u32,
    /// Which request.
    pub sequence: u64,
    /// When it was sent, in nanoseconds of the sender's own reckoning.
    pub sent: u64,
    /// The address that the server saw; `None` in a request.
    pub seen: Option<IpAddr>,
    /// The number of the endpoint that answered; 0 in a request.
    pub responder: u64,
}

impl Header {
    pub fn request(len: usize, sequence: u64, sent: u64) -> Header {
        Header { len: len as u32, sequence, sent, seen: None, responder: 0 }
    }

    /// The packet, filled up to its length.
    pub fn packet(&self) -> Vec<u8> {
        let mut bytes = vec![0x5a; (self.len as usize).max(HEADER)];
        self.write(&mut bytes);
        bytes
    }

    /// Writes the header over the beginning of `bytes`, which must hold [`HEADER`] bytes.
    pub fn write(&self, bytes: &mut [u8]) {
        let seen = match self.seen {
            Some(IpAddr::V4(a)) => a.to_ipv6_mapped(),
            Some(IpAddr::V6(a)) => a,
            None => Ipv6Addr::UNSPECIFIED,
        };
        bytes[0..4].copy_from_slice(&MAGIC);
        bytes[4..8].copy_from_slice(&self.len.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.sequence.to_be_bytes());
        bytes[16..24].copy_from_slice(&self.sent.to_be_bytes());
        bytes[24..40].copy_from_slice(&seen.octets());
        bytes[40..48].copy_from_slice(&self.responder.to_be_bytes());
    }

    /// Reads a header; `None` if `bytes` do not begin with one.
    pub fn read(bytes: &[u8]) -> Option<Header> {
        if bytes.len() < HEADER || bytes[0..4] != MAGIC {
            return None;
        }
        let eight = |at: usize| bytes[at..at + 8].try_into().map(u64::from_be_bytes).ok();
        let seen: [u8; 16] = bytes[24..40].try_into().ok()?;
        let seen = Ipv6Addr::from(seen);
        Some(Header {
            len: u32::from_be_bytes(bytes[4..8].try_into().ok()?),
            sequence: eight(8)?,
            sent: eight(16)?,
            seen: (!seen.is_unspecified()).then(|| seen.to_canonical()),
            responder: eight(40)?,
        })
    }

    /// The answer of `responder` to this request from `peer`.
    pub fn answer(self, peer: SocketAddr, responder: u64) -> Header {
        Header { seen: Some(peer.ip().to_canonical()), responder, ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_read_as_it_was_written() {
        for seen in ["10.1.2.3", "fd00::1"] {
            let peer = SocketAddr::new(seen.parse().unwrap(), 7);
            let header = Header::request(1400, 9, 77).answer(peer, 5);
            let packet = header.packet();
            assert_eq!((packet.len(), Header::read(&packet)), (1400, Some(header)));
            assert_eq!(header.seen, Some(peer.ip()));
        }
        assert_eq!(Header::read(&Header::request(64, 1, 1).packet()).unwrap().seen, None);
        assert_eq!(Header::read(&[0; 64]), None);
        assert_eq!(Header::read(b"cwlb"), None);
    }
}
