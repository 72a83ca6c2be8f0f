//! ICMP echo requests that only this process can have sent, and answers to them (RFC 792, RFC 4443 §4).

use std::net::{IpAddr, Ipv4Addr};

/// Bytes of an echo message before its data.
const HEADER: usize = 8;
/// Bytes of an IPv4 header without options.
const IPV4_HEADER: usize = 20;
/// Bytes of an IPv6 header.
const IPV6_HEADER: usize = 40;
/// `IPPROTO_ICMP`.
const ICMP: u8 = 1;

/// What marks the probes of one process: whoever does not see them cannot answer them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Secret {
    /// The identifier of its echo messages.
    pub ident: u16,
    /// The beginning of their data.
    pub cookie: [u8; 16],
}

/// Echo message types: request, reply.
fn types(v4: bool) -> (u8, u8) {
    if v4 { (8, 0) } else { (128, 129) }
}

impl Secret {
    /// An echo request that makes an IP packet of `length` bytes, or of as many as it needs. Linux fills in the checksum
    /// of ICMPv6 on a raw socket.
    pub fn request(&self, v4: bool, seq: u32, length: usize) -> Vec<u8> {
        let mut packet = vec![types(v4).0, 0, 0, 0];
        packet.extend_from_slice(&self.ident.to_be_bytes());
        packet.extend_from_slice(&(seq as u16).to_be_bytes());
        packet.extend_from_slice(&self.cookie);
        packet.extend_from_slice(&seq.to_be_bytes());
        let around = if v4 { IPV4_HEADER } else { IPV6_HEADER };
        packet.resize(packet.len().max(length.saturating_sub(around)), 0);
        if v4 {
            let sum = checksum(&packet);
            packet[2..4].copy_from_slice(&sum.to_be_bytes());
        }
        packet
    }

    /// The number of the request that an ICMP message answers; `None` if it answers none of ours.
    pub fn reply(&self, v4: bool, message: &[u8]) -> Option<u32> {
        let data = message.get(HEADER..)?;
        let ours = message[0] == types(v4).1
            && message[4..6] == self.ident.to_be_bytes()
            && data.get(..16)? == self.cookie;
        let seq = data.get(16..20).filter(|_| ours)?;
        Some(u32::from_be_bytes(seq.try_into().ok()?))
    }

    /// The same for an IPv4 packet as a raw socket receives it, with its source.
    pub fn reply_in_ipv4(&self, packet: &[u8]) -> Option<(IpAddr, u32)> {
        let header = usize::from(packet.first()? & 15) * 4;
        if packet.len() < IPV4_HEADER || header < IPV4_HEADER || packet[9] != ICMP {
            return None;
        }
        let source: [u8; 4] = packet[12..16].try_into().ok()?;
        Some((Ipv4Addr::from(source).into(), self.reply(true, packet.get(header..)?)?))
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let pair = |pair: &[u8]| u32::from(pair[0]) << 8 | u32::from(pair.get(1).copied().unwrap_or(0));
    let mut sum: u32 = bytes.chunks(2).map(pair).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: Secret = Secret { ident: 0xbeef, cookie: *b"0123456789abcdef" };

    fn answer(v4: bool, seq: u32) -> Vec<u8> {
        let mut packet = SECRET.request(v4, seq, 0);
        packet[0] = types(v4).1;
        packet
    }

    #[test]
    fn a_request_sums_to_nothing_and_its_answer_is_recognised() {
        assert_eq!(checksum(&SECRET.request(true, 70_000, 0)), 0);
        for v4 in [true, false] {
            assert_eq!(SECRET.reply(v4, &answer(v4, 70_000)), Some(70_000));
            assert_eq!(SECRET.reply(v4, &SECRET.request(v4, 70_000, 0)), None);
        }
        let mut ip =
            vec![0x46, 0, 0, 0, 0, 0, 0, 0, 64, ICMP, 0, 0, 198, 18, 0, 9, 198, 18, 0, 1, 1, 1, 1, 1];
        ip.extend(answer(true, 5));
        assert_eq!(SECRET.reply_in_ipv4(&ip), Some(("198.18.0.9".parse().unwrap(), 5)));
    }

    #[test]
    fn a_request_of_full_size_fills_its_packet_and_its_answer_is_recognised() {
        for (v4, header) in [(true, IPV4_HEADER), (false, IPV6_HEADER)] {
            let mut packet = SECRET.request(v4, 9, 1450);
            assert_eq!(packet.len(), 1450 - header);
            assert!(!v4 || checksum(&packet) == 0);
            packet[0] = types(v4).1;
            assert_eq!(SECRET.reply(v4, &packet), Some(9));
        }
    }

    #[test]
    fn what_others_send_is_passed_over_however_short_it_is() {
        let whole = answer(true, 5);
        for length in 0..whole.len() {
            assert_eq!(SECRET.reply(true, &whole[..length]), None);
            assert_eq!(SECRET.reply_in_ipv4(&whole[..length]), None);
        }
        for place in [0, 4, 8, 23] {
            let mut other = whole.clone();
            other[place] ^= 1;
            assert_eq!(SECRET.reply(true, &other), None);
        }
    }
}
