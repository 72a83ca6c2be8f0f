//! Expressions of the fast path: which packets may take it, and how they do.

use causeway_model::{Family, Mac};

use super::{Field, MAC_LENGTH, SOURCE_MAC, Writer, be32, text};
use crate::nft::ruleset::{Link, Protocol};
use crate::nft::uapi::*;

/// Where the destination MAC stands in an Ethernet header, in bytes.
const DESTINATION_MAC: u32 = 0;
/// Bytes that a transport header begins with and that tell a connection: both ports of TCP and UDP.
pub const PORTS: u32 = 4;
/// Bytes of an IPv6 header that its length field does not count (RFC 8200 §3).
const IPV6_HEADER: u16 = 40;

/// Bytes of the checksum of TCP and UDP.
const CHECKSUM: u32 = 2;
/// The register that keeps the MAC of a flow: no key reaches it.
const FOUND: u32 = NFT_REG_4;

fn ether_type(family: Family) -> u16 {
    match family {
        Family::V4 => libc::ETH_P_IP as u16,
        Family::V6 => libc::ETH_P_IPV6 as u16,
    }
}

/// Where the protocol stands in an IP header, in bytes.
fn protocol_at(family: Family) -> u32 {
    match family {
        Family::V4 => 9,
        Family::V6 => 6,
    }
}

/// What the length field of a packet of so many bytes says.
pub fn length_field(family: Family, bytes: u16) -> u16 {
    match family {
        Family::V4 => bytes,
        Family::V6 => bytes.saturating_sub(IPV6_HEADER),
    }
}

impl Writer<'_, '_> {
    /// At a device no hook has said of which family a packet is.
    pub(super) fn protocol_of_header(&mut self, family: Family, protocol: Protocol) {
        let number = match protocol {
            Protocol::Tcp => libc::IPPROTO_TCP as u8,
            Protocol::Udp => libc::IPPROTO_UDP as u8,
        };
        self.family = Some(family);
        self.meta(NFT_META_PROTOCOL);
        self.compare(NFT_CMP_EQ, &ether_type(family).to_be_bytes());
        self.load(NFT_PAYLOAD_NETWORK_HEADER, protocol_at(family), 1);
        self.compare(NFT_CMP_EQ, &[number]);
    }

    pub(super) fn more_hops(&mut self, family: Family) {
        let at = match family {
            Family::V4 => 8,
            Family::V6 => 7,
        };
        self.load(NFT_PAYLOAD_NETWORK_HEADER, at, 1);
        self.compare(NFT_CMP_GT, &[1]);
    }

    /// Version 4, five words of header, no offset, nothing more to follow (RFC 791 §3.1).
    pub(super) fn plain_header(&mut self) {
        self.load(NFT_PAYLOAD_NETWORK_HEADER, 0, 1);
        self.compare(NFT_CMP_EQ, &[0x45]);
        self.load(NFT_PAYLOAD_NETWORK_HEADER, 6, 2);
        self.bitwise(&[0x3f, 0xff], &[0; 2]);
        self.compare(NFT_CMP_EQ, &[0; 2]);
    }

    pub(super) fn destination_mac(&mut self, mac: Mac) {
        self.of_ethernet();
        self.load(NFT_PAYLOAD_LL_HEADER, DESTINATION_MAC, MAC_LENGTH);
        self.compare(NFT_CMP_EQ, &mac.0);
    }

    pub(super) fn length_up_to(&mut self, family: Family, bytes: u16) {
        let at = match family {
            Family::V4 => 2,
            Family::V6 => 4,
        };
        self.load(NFT_PAYLOAD_NETWORK_HEADER, at, 2);
        self.compare(NFT_CMP_LTE, &length_field(family, bytes).to_be_bytes());
    }

    pub(super) fn tcp_goes_on(&mut self) {
        const FLAGS: u32 = 13;
        const FIN_SYN_RST: u8 = 7;
        self.load(NFT_PAYLOAD_TRANSPORT_HEADER, FLAGS, 1);
        self.bitwise(&[FIN_SYN_RST], &[0]);
        self.compare(NFT_CMP_EQ, &[0]);
    }

    /// Loads the direction of a connection from register 1 on. A packet without a transport header, as a later fragment, ends
    /// the rule.
    pub(super) fn load_flow(&mut self, family: Family) {
        let (destination, protocol, ports) = match family {
            Family::V4 => (NFT_REG32_01, NFT_REG32_02, NFT_REG32_03),
            Family::V6 => (NFT_REG_2, NFT_REG_3, NFT_REG32_09),
        };
        let length = super::address_length(family);
        self.load_address(Field::Source, family);
        self.load_into(destination, NFT_PAYLOAD_NETWORK_HEADER, Field::Destination.offset(family), length);
        self.load_into(protocol, NFT_PAYLOAD_NETWORK_HEADER, protocol_at(family), 1);
        self.load_into(ports, NFT_PAYLOAD_TRANSPORT_HEADER, 0, PORTS);
    }

    /// Keeps the MAC in [`FOUND`], which no other condition uses.
    pub(super) fn find_flow(&mut self, family: Family, map: &str) {
        self.load_flow(family);
        self.expression("lookup", |body| {
            text(body, NFTA_LOOKUP_SET, map);
            be32(body, NFTA_LOOKUP_SREG, NFT_REG_1);
            be32(body, NFTA_LOOKUP_DREG, FOUND);
        });
    }

    pub(super) fn learn(&mut self, family: Family, map: &str) {
        self.of_ethernet();
        self.load_flow(family);
        self.load_into(FOUND, NFT_PAYLOAD_LL_HEADER, DESTINATION_MAC, MAC_LENGTH);
        self.expression("dynset", |body| {
            be32(body, NFTA_DYNSET_SREG_KEY, NFT_REG_1);
            be32(body, NFTA_DYNSET_SREG_DATA, FOUND);
            be32(body, NFTA_DYNSET_OP, NFT_DYNSET_OP_ADD);
            text(body, NFTA_DYNSET_SET_NAME, map);
        });
    }

    /// `fwd` puts the link header in front, and who takes it away again at the other end of a veth pair takes its sum from that of the
    /// packet, where the kernel has one (`CHECKSUM_COMPLETE`): nobody has added it. So it is added here. What writes an address of the
    /// IP header has the kernel correct TCP's or UDP's checksum, and that sum along with it
    /// (`nft_payload_l4csum_update`): by what stood there, less what is written. So the destination MAC is put over the source address, and
    /// [`compensation`] over that, in this manner. Then address and checksum get back what they were.
    pub(super) fn add_link_header_to_sum(&mut self, family: Family, protocol: Protocol, source: Mac) {
        let at = match protocol {
            Protocol::Tcp => 16,
            Protocol::Udp => 6,
        };
        let checksum = (NFT_PAYLOAD_TRANSPORT_HEADER, at, CHECKSUM);
        let address = (NFT_PAYLOAD_NETWORK_HEADER, Field::Source.offset(family), MAC_LENGTH);
        self.load_into(NFT_REG_2, checksum.0, checksum.1, checksum.2);
        self.load_into(NFT_REG_3, address.0, address.1, address.2);
        self.write(FOUND, address, 0);
        self.immediate(&compensation(family, source));
        self.write(NFT_REG_1, address, NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
        self.write(NFT_REG_3, address, 0);
        self.write(NFT_REG_2, checksum, 0);
    }

    pub(super) fn write_macs(&mut self, source: Mac) {
        self.write(FOUND, (NFT_PAYLOAD_LL_HEADER, DESTINATION_MAC, MAC_LENGTH), 0);
        self.immediate(&source.0);
        self.write(NFT_REG_1, (NFT_PAYLOAD_LL_HEADER, SOURCE_MAC, MAC_LENGTH), 0);
    }

    pub(super) fn hand_to(&mut self, to: &Link) {
        self.immediate(&to.index.to_ne_bytes());
        self.expression("fwd", |body| be32(body, NFTA_FWD_SREG_DEV, NFT_REG_1));
    }

    /// Writes a register at base, offset and length.
    fn write(&mut self, register: u32, (base, offset, length): (u32, u32, u32), flags: u32) {
        self.expression("payload", |body| {
            be32(body, NFTA_PAYLOAD_SREG, register);
            be32(body, NFTA_PAYLOAD_BASE, base);
            be32(body, NFTA_PAYLOAD_OFFSET, offset);
            be32(body, NFTA_PAYLOAD_LEN, length);
            be32(body, NFTA_PAYLOAD_CSUM_TYPE, NFT_PAYLOAD_CSUM_NONE);
            be32(body, NFTA_PAYLOAD_CSUM_OFFSET, 0);
            be32(body, NFTA_PAYLOAD_CSUM_FLAGS, flags);
        });
    }
}

/// What takes away from a sum as much as a link header with this source has besides its destination: written over the destination
/// MAC it changes the sum by that MAC less itself, and so by the whole header (RFC 1071 §2).
fn compensation(family: Family, Mac(source): Mac) -> [u8; MAC_LENGTH as usize] {
    let words = [
        [source[0], source[1]],
        [source[2], source[3]],
        [source[4], source[5]],
        ether_type(family).to_be_bytes(),
    ];
    let sum: u32 = words.into_iter().map(|word| u32::from(u16::from_be_bytes(word))).sum();
    let folded = (sum & 0xffff) + (sum >> 16);
    let folded = (folded & 0xffff) + (folded >> 16);
    let [high, low] = (!(folded as u16)).to_be_bytes();
    [0, 0, 0, 0, high, low]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sum(bytes: &[u8]) -> u16 {
        let words = bytes.chunks(2).map(|word| u32::from(u16::from_be_bytes([word[0], word[1]])));
        let sum = words.sum::<u32>();
        let folded = (sum & 0xffff) + (sum >> 16);
        ((folded & 0xffff) + (folded >> 16)) as u16
    }

    #[test]
    fn the_link_header_and_what_compensates_for_it_sum_up_to_the_destination() {
        for source in [[2, 0xc5, 0xc6, 0x12, 0, 1], [0xff; 6], [0; 6], [0x26, 0x95, 0x97, 0xb6, 0x72, 0x88]] {
            for (family, ether_type) in [(Family::V4, [8, 0]), (Family::V6, [0x86, 0xdd])] {
                let rest = [&source[..], &ether_type, &compensation(family, Mac(source))].concat();
                assert_eq!(sum(&rest), 0xffff, "{source:?}");
            }
        }
    }
}
