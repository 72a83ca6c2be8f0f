//! Rules as nf_tables expressions, in the very form that `nft` compiles their text to, so that
//! `nft list` shows them as written.

use std::net::IpAddr;

use causeway_model::{Family, Prefix};

mod flow;

pub use flow::{PORTS, length_field};

use super::foreign::{Direction, ForeignAccept, ForeignChainId};
use super::ruleset::{Action, Address, Link, MARK, Match, Rule};
use super::uapi::*;
use crate::device::Overlay;
use crate::netlink::wire::Body;

/// Where the VXLAN network identifier stands behind the beginning of the UDP header, in bytes.
pub const VNI: u32 = 8 + 4;
/// Where the source MAC of the packet inside stands behind it, in bytes: after the headers of UDP and VXLAN, and the
/// destination MAC.
pub const INNER_SOURCE_MAC: u32 = 8 + 8 + 6;
/// Where the source MAC stands in an Ethernet header, in bytes.
const SOURCE_MAC: u32 = 6;
/// Bytes of a MAC.
pub const MAC_LENGTH: u32 = 6;
/// The same in the key of a set, where each part takes whole words of four bytes.
pub const PADDED_MAC: u32 = 8;
/// `ARPHRD_ETHER`.
const ETHERNET: u16 = 1;
/// Writes the expressions of `rule` as list elements.
pub fn write(body: &mut Body<'_>, rule: &Rule) {
    let mut writer = Writer { body, family: None };
    for condition in &rule.matches {
        writer.condition(condition);
    }
    writer.action(&rule.action);
}

/// Writes a rule of ours for `chain`, in the form that `iptables-nft` reads as `-i NAME -j ACCEPT`, `-o`,
/// or `-m mark`.
pub fn write_foreign_accept(body: &mut Body<'_>, accept: ForeignAccept, chain: &ForeignChainId) {
    let mut writer = Writer { body, family: None };
    match accept {
        ForeignAccept::Crossing { direction, device } => {
            writer.meta(match direction {
                Direction::In => NFT_META_IIFNAME,
                Direction::Out => NFT_META_OIFNAME,
            });
            writer.compare(NFT_CMP_EQ, &[device.name().as_bytes(), &[0]].concat());
        }
        // iptables-nft before 1.8.8 passes over the native form without a word and so takes the rule
        // for an accept of everything: https://github.com/kubernetes/kubernetes/issues/112477
        ForeignAccept::Marked if chain.is_of_iptables() => writer.expression("match", |body| {
            text(body, NFTA_MATCH_NAME, XT_MARK);
            be32(body, NFTA_MATCH_REV, XT_MARK_REVISION);
            body.attribute(NFTA_MATCH_INFO, &xt_mark_info());
        }),
        ForeignAccept::Marked => writer.condition(&Match::Marked),
    }
    writer.expression("counter", |_| {});
    writer.verdict(NF_ACCEPT);
}

/// The extension of iptables that matches marks.
pub const XT_MARK: &str = "mark";
/// The revision of it that we write.
pub const XT_MARK_REVISION: u32 = 1;

/// `struct xt_mark_mtinfo1`, for `--mark 0x1000/0x1000`: mark, mask, not inverted, and padding up to a
/// multiple of 8 bytes, which the kernel insists on (`XT_ALIGN`).
pub fn xt_mark_info() -> [u8; 16] {
    let mut info = [0; 16];
    info[..4].copy_from_slice(&MARK.to_ne_bytes());
    info[4..8].copy_from_slice(&MARK.to_ne_bytes());
    info
}

/// Appends a number in network byte order.
pub fn be32(body: &mut Body<'_>, kind: u16, value: u32) {
    body.attribute(kind, &value.to_be_bytes());
}

/// Appends a text with the zero byte that ends it.
pub fn text(body: &mut Body<'_>, kind: u16, value: &str) {
    body.attribute(kind, &[value.as_bytes(), &[0]].concat());
}

/// The bytes of an address in network order.
pub fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(a) => a.octets().to_vec(),
        IpAddr::V6(a) => a.octets().to_vec(),
    }
}

/// Which address of a packet.
#[derive(Clone, Copy)]
enum Field {
    Source,
    Destination,
}

impl Field {
    /// Its place in the network header in bytes.
    fn offset(self, family: Family) -> u32 {
        match (self, family) {
            (Field::Source, Family::V4) => 12,
            (Field::Destination, Family::V4) => 16,
            (Field::Source, Family::V6) => 8,
            (Field::Destination, Family::V6) => 24,
        }
    }
}

fn address_length(family: Family) -> u32 {
    u32::from(family.bits() / 8)
}

fn nfproto(family: Family) -> u8 {
    match family {
        Family::V4 => NFPROTO_IPV4,
        Family::V6 => NFPROTO_IPV6,
    }
}

struct Writer<'a, 'b> {
    body: &'a mut Body<'b>,
    /// The family that the expressions so far have made sure of.
    family: Option<Family>,
}

impl Writer<'_, '_> {
    fn expression(&mut self, name: &str, data: impl FnOnce(&mut Body<'_>)) {
        self.body.nested(NFTA_LIST_ELEM, |body| {
            text(body, NFTA_EXPR_NAME, name);
            body.nested(NFTA_EXPR_DATA, data);
        });
    }

    fn condition(&mut self, condition: &Match) {
        match condition {
            Match::In(overlay) => self.device(NFT_META_IIFGROUP, NFT_CMP_EQ, *overlay),
            Match::NotIn(overlay) => self.device(NFT_META_IIFGROUP, NFT_CMP_NEQ, *overlay),
            Match::Out(overlay) => self.device(NFT_META_OIFGROUP, NFT_CMP_EQ, *overlay),
            Match::NotOut(overlay) => self.device(NFT_META_OIFGROUP, NFT_CMP_NEQ, *overlay),
            Match::InFrom(link) => self.link(NFT_META_IIF, link),
            Match::OutTo(link) => self.link(NFT_META_OIF, link),
            Match::Of(family) => self.family(*family),
            Match::Source(family, address) => self.address(Field::Source, *family, address),
            Match::Destination(family, address) => self.address(Field::Destination, *family, address),
            Match::Origin(family, set) => self.origin(*family, set, 0),
            Match::OtherOrigin(family, set) => self.origin(*family, set, NFT_LOOKUP_F_INV),
            Match::OtherVtep(family, set) => {
                self.family(*family);
                let mac = (NFT_PAYLOAD_TRANSPORT_HEADER, INNER_SOURCE_MAC);
                self.look_up_pair(*family, mac, set, NFT_LOOKUP_F_INV);
            }
            Match::UdpTo(port) => {
                self.protocol(libc::IPPROTO_UDP as u8);
                self.load(NFT_PAYLOAD_TRANSPORT_HEADER, 2, 2);
                self.compare(NFT_CMP_EQ, &port.0.to_be_bytes());
            }
            Match::OtherVni(vni) => {
                let [_, identifier @ ..] = vni.0.to_be_bytes();
                self.load(NFT_PAYLOAD_TRANSPORT_HEADER, VNI, identifier.len() as u32);
                self.compare(NFT_CMP_NEQ, &identifier);
            }
            Match::TcpSyn => {
                const FLAGS: u32 = 13;
                const SYN: u8 = 2;
                self.protocol(libc::IPPROTO_TCP as u8);
                self.load(NFT_PAYLOAD_TRANSPORT_HEADER, FLAGS, 1);
                self.bitwise(&[SYN], &[0]);
                self.compare(NFT_CMP_NEQ, &[0]);
            }
            Match::Assured => {
                self.tracking(NFT_CT_STATUS);
                self.bitwise(&IPS_ASSURED.to_ne_bytes(), &[0; 4]);
                self.compare(NFT_CMP_NEQ, &[0; 4]);
            }
            Match::Settled => {
                let asked = IPS_SEEN_REPLY | IPS_SRC_NAT | IPS_DST_NAT;
                self.tracking(NFT_CT_STATUS);
                self.bitwise(&asked.to_ne_bytes(), &[0; 4]);
                self.compare(NFT_CMP_EQ, &IPS_SEEN_REPLY.to_ne_bytes());
            }
            Match::Untracked => {
                self.tracking(NFT_CT_STATE);
                self.bitwise(&NF_CT_STATE_UNTRACKED.to_ne_bytes(), &[0; 4]);
                self.compare(NFT_CMP_NEQ, &[0; 4]);
            }
            Match::Dnat => {
                self.tracking(NFT_CT_STATUS);
                self.bitwise(&IPS_DST_NAT.to_ne_bytes(), &[0; 4]);
                self.compare(NFT_CMP_NEQ, &[0; 4]);
            }
            Match::Marked => self.marked(MARK),
            Match::Unmarked => self.marked(0),
            Match::TcpGoesOn => self.tcp_goes_on(),
            Match::Protocol(family, protocol) => self.protocol_of_header(*family, *protocol),
            Match::MoreHops(family) => self.more_hops(*family),
            Match::PlainHeader => self.plain_header(),
            Match::ToMac(mac) => self.destination_mac(*mac),
            Match::LengthUpTo(family, bytes) => self.length_up_to(*family, *bytes),
            Match::Flow(family, map) => self.find_flow(*family, map),
        }
    }

    fn action(&mut self, action: &Action) {
        match action {
            Action::Accept => self.verdict(NF_ACCEPT),
            Action::Drop => {
                self.expression("counter", |_| {});
                self.verdict(NF_DROP);
            }
            Action::NoTrack => self.no_track(),
            Action::AcceptUntracked => {
                self.no_track();
                self.verdict(NF_ACCEPT);
            }
            Action::KeepSource(family) => {
                self.family(*family);
                self.load_address(Field::Source, *family);
                self.snat(*family);
            }
            Action::SnatTo(address) => {
                self.immediate(&octets(*address));
                self.snat(Family::of(*address));
            }
            Action::Masquerade => self.expression("masq", |_| {}),
            Action::RewriteSource(from, to) => self.rewrite(Field::Source, from, to),
            Action::RewriteDestination(from, to) => self.rewrite(Field::Destination, from, to),
            Action::ClearFlowLabel => self.clear_flow_label(),
            Action::ClampMss(bytes) => self.clamp_mss(*bytes),
            Action::Mark => self.set_mark(MARK),
            Action::Unmark => self.set_mark(0),
            Action::Learn(family, map) => {
                self.learn(*family, map);
                self.verdict(NF_ACCEPT);
            }
            Action::Encapsulate { source, to, clear_label } => {
                if *clear_label {
                    self.clear_flow_label();
                }
                self.write_macs(*source);
                self.hand_to(to);
            }
            Action::Deliver { family, protocol, source, to } => {
                self.write_macs(*source);
                self.add_link_header_to_sum(*family, *protocol, *source);
                self.hand_to(to);
            }
        }
    }

    fn marked(&mut self, bit: u32) {
        self.meta(NFT_META_MARK);
        self.bitwise(&MARK.to_ne_bytes(), &[0; 4]);
        self.compare(NFT_CMP_EQ, &bit.to_ne_bytes());
    }

    fn no_track(&mut self) {
        self.body.nested(NFTA_LIST_ELEM, |body| text(body, NFTA_EXPR_NAME, "notrack"));
    }

    /// Loads what connection tracking knows of the packet.
    fn tracking(&mut self, key: u32) {
        self.expression("ct", |body| {
            be32(body, NFTA_CT_KEY, key);
            be32(body, NFTA_CT_DREG, NFT_REG_1);
        });
    }

    fn device(&mut self, key: u32, operator: u32, overlay: Overlay) {
        self.meta(key);
        self.compare(operator, &overlay.group().to_ne_bytes());
    }

    fn link(&mut self, key: u32, link: &Link) {
        self.meta(key);
        self.compare(NFT_CMP_EQ, &link.index.to_ne_bytes());
    }

    /// Makes sure, once, that the packet is of `family`.
    fn family(&mut self, family: Family) {
        if self.family != Some(family) {
            self.family = Some(family);
            self.meta(NFT_META_NFPROTO);
            self.compare(NFT_CMP_EQ, &[nfproto(family)]);
        }
    }

    fn protocol(&mut self, number: u8) {
        self.meta(NFT_META_L4PROTO);
        self.compare(NFT_CMP_EQ, &[number]);
    }

    fn address(&mut self, field: Field, family: Family, address: &Address) {
        self.family(family);
        match address {
            Address::InSet(name) => self.lookup(field, family, name, 0),
            Address::NotInSet(name) => self.lookup(field, family, name, NFT_LOOKUP_F_INV),
            Address::Within(prefix) => self.prefix(field, prefix, NFT_CMP_EQ),
            Address::Outside(prefix) => self.prefix(field, prefix, NFT_CMP_NEQ),
        }
    }

    fn lookup(&mut self, field: Field, family: Family, set: &str, flags: u32) {
        self.load_address(field, family);
        self.look_up(set, flags);
    }

    fn look_up(&mut self, set: &str, flags: u32) {
        self.expression("lookup", |body| {
            text(body, NFTA_LOOKUP_SET, set);
            be32(body, NFTA_LOOKUP_SREG, NFT_REG_1);
            be32(body, NFTA_LOOKUP_FLAGS, flags);
        });
    }

    fn origin(&mut self, family: Family, set: &str, flags: u32) {
        self.family(family);
        self.of_ethernet();
        self.look_up_pair(family, (NFT_PAYLOAD_LL_HEADER, SOURCE_MAC), set, flags);
    }

    /// Makes sure that it has an Ethernet header.
    fn of_ethernet(&mut self) {
        self.meta(NFT_META_IIFTYPE);
        self.compare(NFT_CMP_EQ, &ETHERNET.to_ne_bytes());
    }

    /// Looks the source address and the MAC at a place of the packet, one behind the other, up in the set.
    fn look_up_pair(&mut self, family: Family, (base, offset): (u32, u32), set: &str, flags: u32) {
        self.load_address(Field::Source, family);
        let behind = match family {
            Family::V4 => NFT_REG32_01,
            Family::V6 => NFT_REG_2,
        };
        self.load_into(behind, base, offset, MAC_LENGTH);
        self.look_up(set, flags);
    }

    /// Whole bytes are compared as they are, which is the cheapest; others through a mask.
    fn prefix(&mut self, field: Field, prefix: &Prefix, operator: u32) {
        let (family, length) = (prefix.family(), prefix.len());
        let bytes = octets(prefix.first());
        if length != 0 && length % 8 == 0 {
            let whole = length / 8;
            self.load(NFT_PAYLOAD_NETWORK_HEADER, field.offset(family), u32::from(whole));
            self.compare(operator, &bytes[..usize::from(whole)]);
        } else {
            self.load_address(field, family);
            self.bitwise(&octets(prefix.mask()), &vec![0; bytes.len()]);
            self.compare(operator, &bytes);
        }
    }

    /// Network bits of `to`, host bits of the packet. The kernel repairs the checksums of the IPv4
    /// header and of TCP, UDP and ICMPv6 (`nft_payload_set_eval`).
    fn rewrite(&mut self, field: Field, from: &Prefix, to: &Prefix) {
        let family = from.family();
        self.family(family);
        if to.len() == family.bits() {
            self.immediate(&octets(to.first()));
        } else {
            let host: Vec<u8> = octets(to.mask()).iter().map(|byte| !byte).collect();
            self.load_address(field, family);
            self.bitwise(&host, &octets(to.first()));
        }
        let checksum = match family {
            Family::V4 => (NFT_PAYLOAD_CSUM_INET, 10),
            Family::V6 => (NFT_PAYLOAD_CSUM_NONE, 0),
        };
        self.store(field.offset(family), address_length(family), checksum, NFT_PAYLOAD_L4CSUM_PSEUDOHDR);
    }

    /// The label is the last 20 of the first 32 bits; no checksum covers it.
    fn clear_flow_label(&mut self) {
        self.family(Family::V6);
        self.load(NFT_PAYLOAD_NETWORK_HEADER, 1, 3);
        self.bitwise(&[0xf0, 0, 0], &[0; 3]);
        self.store(1, 3, (NFT_PAYLOAD_CSUM_NONE, 0), 0);
    }

    /// Writes the register into the IP header. `checksum` is its type and place.
    fn store(&mut self, offset: u32, length: u32, checksum: (u32, u32), flags: u32) {
        self.expression("payload", |body| {
            be32(body, NFTA_PAYLOAD_SREG, NFT_REG_1);
            be32(body, NFTA_PAYLOAD_BASE, NFT_PAYLOAD_NETWORK_HEADER);
            be32(body, NFTA_PAYLOAD_OFFSET, offset);
            be32(body, NFTA_PAYLOAD_LEN, length);
            be32(body, NFTA_PAYLOAD_CSUM_TYPE, checksum.0);
            be32(body, NFTA_PAYLOAD_CSUM_OFFSET, checksum.1);
            be32(body, NFTA_PAYLOAD_CSUM_FLAGS, flags);
        });
    }

    /// The kernel itself never raises the value (`nft_exthdr_tcp_set_eval`).
    fn clamp_mss(&mut self, bytes: u16) {
        const VALUE: u32 = 2;
        self.immediate(&bytes.to_be_bytes());
        self.expression("exthdr", |body| {
            be32(body, NFTA_EXTHDR_SREG, NFT_REG_1);
            body.attribute(NFTA_EXTHDR_TYPE, &[TCPOPT_MAXSEG]);
            be32(body, NFTA_EXTHDR_OFFSET, VALUE);
            be32(body, NFTA_EXTHDR_LEN, 2);
            be32(body, NFTA_EXTHDR_OP, NFT_EXTHDR_OP_TCPOPT);
        });
    }

    /// Gives our bit of the mark the value that it has in `bit`.
    fn set_mark(&mut self, bit: u32) {
        self.meta(NFT_META_MARK);
        self.bitwise(&(!MARK).to_ne_bytes(), &bit.to_ne_bytes());
        self.expression("meta", |body| {
            be32(body, NFTA_META_KEY, NFT_META_MARK);
            be32(body, NFTA_META_SREG, NFT_REG_1);
        });
    }

    fn snat(&mut self, family: Family) {
        self.expression("nat", |body| {
            be32(body, NFTA_NAT_TYPE, NFT_NAT_SNAT);
            be32(body, NFTA_NAT_FAMILY, u32::from(nfproto(family)));
            be32(body, NFTA_NAT_REG_ADDR_MIN, NFT_REG_1);
        });
    }

    /// Loads what `nft` calls `meta`.
    fn meta(&mut self, key: u32) {
        self.expression("meta", |body| {
            be32(body, NFTA_META_KEY, key);
            be32(body, NFTA_META_DREG, NFT_REG_1);
        });
    }

    fn load_address(&mut self, field: Field, family: Family) {
        self.load(NFT_PAYLOAD_NETWORK_HEADER, field.offset(family), address_length(family));
    }

    fn load(&mut self, base: u32, offset: u32, length: u32) {
        self.load_into(NFT_REG_1, base, offset, length);
    }

    fn load_into(&mut self, register: u32, base: u32, offset: u32, length: u32) {
        self.expression("payload", |body| {
            be32(body, NFTA_PAYLOAD_DREG, register);
            be32(body, NFTA_PAYLOAD_BASE, base);
            be32(body, NFTA_PAYLOAD_OFFSET, offset);
            be32(body, NFTA_PAYLOAD_LEN, length);
        });
    }

    fn compare(&mut self, operator: u32, value: &[u8]) {
        self.expression("cmp", |body| {
            be32(body, NFTA_CMP_SREG, NFT_REG_1);
            be32(body, NFTA_CMP_OP, operator);
            body.nested(NFTA_CMP_DATA, |body| body.attribute(NFTA_DATA_VALUE, value));
        });
    }

    fn bitwise(&mut self, mask: &[u8], xor: &[u8]) {
        self.expression("bitwise", |body| {
            be32(body, NFTA_BITWISE_SREG, NFT_REG_1);
            be32(body, NFTA_BITWISE_DREG, NFT_REG_1);
            be32(body, NFTA_BITWISE_LEN, mask.len() as u32);
            body.nested(NFTA_BITWISE_MASK, |body| body.attribute(NFTA_DATA_VALUE, mask));
            body.nested(NFTA_BITWISE_XOR, |body| body.attribute(NFTA_DATA_VALUE, xor));
        });
    }

    fn immediate(&mut self, value: &[u8]) {
        self.expression("immediate", |body| {
            be32(body, NFTA_IMMEDIATE_DREG, NFT_REG_1);
            body.nested(NFTA_IMMEDIATE_DATA, |body| body.attribute(NFTA_DATA_VALUE, value));
        });
    }

    fn verdict(&mut self, code: u32) {
        self.expression("immediate", |body| {
            be32(body, NFTA_IMMEDIATE_DREG, NFT_REG_VERDICT);
            body.nested(NFTA_IMMEDIATE_DATA, |body| {
                body.nested(NFTA_DATA_VERDICT, |body| be32(body, NFTA_VERDICT_CODE, code));
            });
        });
    }
}
