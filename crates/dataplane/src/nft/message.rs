//! Transactions as one batch of netlink messages.

use std::net::IpAddr;

use causeway_model::{Family, Mac, Prefix};

use super::digest;
use super::expression::{self, INNER_SOURCE_MAC, MAC_LENGTH, PADDED_MAC, PORTS, be32, octets, text};
use super::foreign::{COMMENT, ForeignChainId, TableFamily};
use super::ruleset::*;
use super::transaction::{Change, Transaction};
use super::uapi::*;
use crate::netlink::wire::{self, ACK, Body, CREATE, EXCLUSIVE, REQUEST};

/// `NLM_F_APPEND`: last instead of first.
const APPEND: u16 = libc::NLM_F_APPEND as u16;
/// Addresses in one message. The list is an attribute, whose length has 16 bits; an IPv6 address
/// takes 28 bytes of it.
const MOST_ADDRESSES: usize = 2000;
/// Prefixes in one message; an IPv6 one takes 64 bytes.
const MOST_PREFIXES: usize = 900;
/// VTEPs in one message; one with an IPv6 address takes 36 bytes.
const MOST_VTEPS: usize = 1600;
/// Bytes that a shorter part of a key takes.
const WORD: u32 = 4;
/// Origins in one message; an IPv6 one takes 68 bytes.
const MOST_ORIGINS: usize = 800;

/// A transaction in the form in which it is sent.
#[derive(Debug)]
pub struct Batch {
    /// The messages.
    pub bytes: Vec<u8>,
    /// For each message between the first and the last one, which change it belongs to. The first
    /// of them has the number after that of the batch.
    pub changes: Vec<usize>,
}

/// Type and flags of a message and the family that it speaks of.
type Head = (u16, u16, u8);

const ADD: u16 = CREATE | EXCLUSIVE;

/// Writes `transaction`, its first message numbered `sequence`. The last change asks for an answer.
pub fn encode(transaction: &Transaction, sequence: u32) -> Batch {
    let batch = Batch { bytes: Vec::new(), changes: Vec::new() };
    let mut writer = Writer { batch, sequence, last: 0, table: own_family(transaction.table()) };
    writer.frame(NFNL_MSG_BATCH_BEGIN);
    for (at, change) in transaction.changes().iter().enumerate() {
        writer.change(at, change);
    }
    let flags_at = writer.last + 6;
    let flags = wire::u16_at(&writer.batch.bytes, flags_at) | ACK;
    writer.batch.bytes[flags_at..flags_at + 2].copy_from_slice(&flags.to_ne_bytes());
    writer.frame(NFNL_MSG_BATCH_END);
    writer.batch
}

/// Writes the fixed part of every message (`struct nfgenmsg`).
pub fn write_head(body: &mut Body<'_>, family: u8, resource: u16) {
    let [high, low] = resource.to_be_bytes();
    body.fixed(&[family, 0, high, low]);
}

/// The type of an nf_tables message.
pub fn kind(message: u16) -> u16 {
    NFNL_SUBSYS_NFTABLES << 8 | message
}

/// The number of the family of a table of ours.
pub fn own_family(table: TableKind) -> u8 {
    match table {
        TableKind::Inet => NFPROTO_INET,
        TableKind::Netdev => NFPROTO_NETDEV,
    }
}

/// The number of a family of tables.
pub fn family_number(family: TableFamily) -> u8 {
    match family {
        TableFamily::Ip => NFPROTO_IPV4,
        TableFamily::Ip6 => NFPROTO_IPV6,
        TableFamily::Inet => NFPROTO_INET,
    }
}

struct Writer {
    batch: Batch,
    sequence: u32,
    /// Where the latest message of a change begins.
    last: usize,
    /// The family of our table.
    table: u8,
}

impl Writer {
    /// Writes the message that begins or ends the batch.
    fn frame(&mut self, kind: u16) {
        let body = |body: &mut Body<'_>| write_head(body, 0, NFNL_SUBSYS_NFTABLES);
        wire::write_message(&mut self.batch.bytes, kind, REQUEST, self.sequence, body);
        self.sequence = self.sequence.wrapping_add(1);
    }

    fn message(&mut self, change: usize, (message, flags, family): Head, body: impl FnOnce(&mut Body<'_>)) {
        self.last = self.batch.bytes.len();
        wire::write_message(&mut self.batch.bytes, kind(message), REQUEST | flags, self.sequence, |out| {
            write_head(out, family, 0);
            body(out);
        });
        self.sequence = self.sequence.wrapping_add(1);
        self.batch.changes.push(change);
    }

    fn ours(&mut self, change: usize, message: u16, flags: u16, body: impl FnOnce(&mut Body<'_>)) {
        // The name of our table is attribute 1 of tables, chains, rules, sets and lists of elements.
        self.message(change, (message, flags, self.table), |out| {
            text(out, NFTA_TABLE_NAME, TABLE);
            body(out);
        });
    }

    fn change(&mut self, at: usize, change: &Change) {
        match change {
            Change::AddTable => self.ours(at, NFT_MSG_NEWTABLE, ADD, |body| be32(body, NFTA_TABLE_FLAGS, 0)),
            Change::DeleteTable => self.ours(at, NFT_MSG_DELTABLE, 0, |_| {}),
            Change::AddSet { name, family, kind } => {
                self.ours(at, NFT_MSG_NEWSET, ADD, |body| write_set(body, name, *family, *kind, at));
            }
            Change::DeleteSet(name) => {
                self.ours(at, NFT_MSG_DELSET, 0, |body| text(body, NFTA_SET_NAME, name));
            }
            Change::AddElements { set, elements } => {
                self.elements(at, (NFT_MSG_NEWSETELEM, ADD), set, elements);
            }
            Change::DeleteElements { set, elements } => {
                self.elements(at, (NFT_MSG_DELSETELEM, 0), set, elements);
            }
            // Without a list it means all elements of the set.
            Change::ForgetFlows(map) => {
                self.ours(at, NFT_MSG_DELSETELEM, 0, |body| text(body, NFTA_SET_ELEM_LIST_SET, map));
            }
            Change::AddChain { name, base } => {
                self.ours(at, NFT_MSG_NEWCHAIN, ADD, |body| write_chain(body, name, base));
            }
            // Without a handle it means all rules of the chain.
            Change::FlushChain(name) => {
                self.ours(at, NFT_MSG_DELRULE, 0, |body| text(body, NFTA_RULE_CHAIN, name));
            }
            Change::DeleteChain(name) => {
                self.ours(at, NFT_MSG_DELCHAIN, 0, |body| text(body, NFTA_CHAIN_NAME, name));
            }
            Change::AddRule { chain, rule } => self.ours(at, NFT_MSG_NEWRULE, CREATE | APPEND, |body| {
                text(body, NFTA_RULE_CHAIN, chain);
                body.nested(NFTA_RULE_EXPRESSIONS, |body| expression::write(body, rule));
                write_comment(body, &digest::comment(rule));
            }),
            Change::AddAccept { chain, accept, before } => {
                let flags = if before.is_some() { CREATE } else { CREATE | APPEND };
                self.foreign(at, (NFT_MSG_NEWRULE, flags), chain, |body| {
                    if let Some(rule) = before {
                        body.attribute(NFTA_RULE_POSITION, &rule.0.to_be_bytes());
                    }
                    body.nested(NFTA_RULE_EXPRESSIONS, |body| {
                        expression::write_foreign_accept(body, *accept, chain);
                    });
                    write_comment(body, COMMENT);
                });
            }
            Change::DeleteAccept { chain, rule } => {
                self.foreign(at, (NFT_MSG_DELRULE, 0), chain, |body| {
                    body.attribute(NFTA_RULE_HANDLE, &rule.0.to_be_bytes());
                });
            }
        }
    }

    fn foreign(
        &mut self,
        at: usize,
        (message, flags): (u16, u16),
        chain: &ForeignChainId,
        body: impl FnOnce(&mut Body<'_>),
    ) {
        self.message(at, (message, flags, family_number(chain.family)), |out| {
            text(out, NFTA_RULE_TABLE, &chain.table);
            text(out, NFTA_RULE_CHAIN, &chain.chain);
            body(out);
        });
    }

    fn elements(&mut self, at: usize, head: (u16, u16), set: &str, elements: &Elements) {
        match elements {
            Elements::Addresses(addresses) => {
                self.list(at, head, set, addresses.chunks(MOST_ADDRESSES), |body, address| {
                    write_element(body, *address, 0);
                });
            }
            Elements::Prefixes(prefixes) => {
                self.list(at, head, set, prefixes.chunks(MOST_PREFIXES), write_interval);
            }
            Elements::Vteps(vteps) => {
                self.list(at, head, set, vteps.chunks(MOST_VTEPS), |body, (address, mac)| {
                    let key = pair(*address, *mac);
                    body.nested(NFTA_LIST_ELEM, |body| write_key(body, NFTA_SET_ELEM_KEY, &key));
                });
            }
            Elements::Origins(origins) => {
                self.list(at, head, set, origins.chunks(MOST_ORIGINS), write_origin);
            }
            Elements::Flows => {}
        }
    }

    fn list<'a, T: 'a>(
        &mut self,
        at: usize,
        (message, flags): (u16, u16),
        set: &str,
        chunks: impl Iterator<Item = &'a [T]>,
        write: impl Fn(&mut Body<'_>, &T),
    ) {
        for chunk in chunks {
            self.ours(at, message, flags, |body| {
                text(body, NFTA_SET_ELEM_LIST_SET, set);
                body.nested(NFTA_SET_ELEM_LIST_ELEMENTS, |body| {
                    chunk.iter().for_each(|item| write(body, item));
                });
            });
        }
    }
}

fn write_set(body: &mut Body<'_>, name: &str, family: Family, kind: SetKind, id: usize) {
    let (address, length) = address_type(family);
    let (key_type, key_length) = match kind {
        SetKind::Addresses | SetKind::Prefixes => (address, length),
        SetKind::Vteps => (concatenated(address, TYPE_INTEGER), length + PADDED_MAC),
        SetKind::Origins => (concatenated(address, TYPE_ETHERADDR), length + PADDED_MAC),
        SetKind::Flows => {
            let addresses = concatenated(address, address);
            let key = concatenated(concatenated(addresses, TYPE_INET_PROTOCOL), TYPE_INTEGER);
            (key, 2 * length + WORD + PORTS)
        }
    };
    let flags = match kind {
        SetKind::Addresses | SetKind::Vteps => 0,
        SetKind::Prefixes => NFT_SET_INTERVAL,
        SetKind::Origins => NFT_SET_INTERVAL | NFT_SET_CONCAT,
        SetKind::Flows => NFT_SET_MAP | NFT_SET_TIMEOUT | NFT_SET_EVAL,
    };
    text(body, NFTA_SET_NAME, name);
    be32(body, NFTA_SET_FLAGS, flags);
    be32(body, NFTA_SET_KEY_TYPE, key_type);
    be32(body, NFTA_SET_KEY_LEN, key_length);
    be32(body, NFTA_SET_ID, id as u32 + 1);
    if kind == SetKind::Origins {
        body.nested(NFTA_SET_DESC, |body| {
            body.nested(NFTA_SET_DESC_CONCAT, |body| {
                for field in [length, MAC_LENGTH] {
                    body.nested(NFTA_LIST_ELEM, |body| be32(body, NFTA_SET_FIELD_LEN, field));
                }
            });
        });
        body.nested(NFTA_SET_EXPR, |body| {
            text(body, NFTA_EXPR_NAME, "counter");
            body.nested(NFTA_EXPR_DATA, |_| {});
        });
    }
    if kind == SetKind::Flows {
        be32(body, NFTA_SET_DATA_TYPE, TYPE_ETHERADDR);
        be32(body, NFTA_SET_DATA_LEN, MAC_LENGTH);
        body.nested(NFTA_SET_DESC, |body| be32(body, NFTA_SET_DESC_SIZE, MOST_FLOWS));
        body.attribute(NFTA_SET_TIMEOUT, &(LEASE.as_millis() as u64).to_be_bytes());
    }
    body.attribute(NFTA_SET_USERDATA, &set_userdata(family, kind));
}

/// Type and length in bytes of an address in a set.
fn address_type(family: Family) -> (u32, u32) {
    match family {
        Family::V4 => (TYPE_IPADDR, 4),
        Family::V6 => (TYPE_IP6ADDR, 16),
    }
}

/// The type of two values one behind the other (`concat_subtype_add` of nft).
fn concatenated(first: u32, second: u32) -> u32 {
    first << 6 | second
}

/// What `nft` keeps beside a set, for itself: type, length and value of each item, numbers in host order.
fn set_userdata(family: Family, kind: SetKind) -> Vec<u8> {
    const KEY_BYTE_ORDER: u8 = 0;
    const DATA_BYTE_ORDER: u8 = 1;
    const KEY_TYPEOF: u8 = 3;
    const DATA_TYPEOF: u8 = 4;
    // `BYTEORDER_BIG_ENDIAN`: without it `nft` reads intervals with their bytes reversed. It says nothing of
    // concatenations.
    const BIG_ENDIAN: u32 = 2;
    let order = match kind {
        SetKind::Addresses | SetKind::Prefixes => BIG_ENDIAN,
        SetKind::Vteps | SetKind::Origins | SetKind::Flows => 0,
    };
    let mut userdata = item_of_number(KEY_BYTE_ORDER, order);
    match kind {
        SetKind::Addresses | SetKind::Prefixes | SetKind::Origins => {}
        SetKind::Vteps => userdata.extend(item(KEY_TYPEOF, &pair_of_fields(family))),
        SetKind::Flows => {
            userdata.extend(item_of_number(DATA_BYTE_ORDER, BIG_ENDIAN));
            userdata.extend(item(KEY_TYPEOF, &fields_of_flow(family)));
            // `PROTO_DESC_ETHER`, `ETHHDR_DADDR`.
            userdata.extend(item(DATA_TYPEOF, &field(17, 1)));
        }
    }
    userdata
}

/// An item of `nft`'s own data.
fn item(kind: u8, value: &[u8]) -> Vec<u8> {
    [&[kind, value.len() as u8], value].concat()
}

/// `typeof ip saddr . @th,176,48` in `nft`'s own data, so that it can show the set and take elements for it.
fn pair_of_fields(family: Family) -> Vec<u8> {
    let (header, source, ..) = header(family);
    concatenation(&[field(header, source), transport(INNER_SOURCE_MAC, MAC_LENGTH)])
}

/// The same for `typeof ip saddr . ip daddr . ip protocol . @th,0,32`.
fn fields_of_flow(family: Family) -> Vec<u8> {
    let (header, source, destination, protocol) = header(family);
    let of_header = [source, destination, protocol].map(|place| field(header, place));
    concatenation(&[&of_header[..], &[transport(0, PORTS)]].concat())
}

/// `nft`'s number of a header's description, and those of source, destination and protocol in it (`enum proto_desc_id`,
/// `proto_ip`, `proto_ip6`).
fn header(family: Family) -> (u32, u32, u32, u32) {
    match family {
        Family::V4 => (12, 11, 12, 9),
        Family::V6 => (13, 8, 9, 6),
    }
}

fn item_of_number(kind: u8, value: u32) -> Vec<u8> {
    item(kind, &value.to_ne_bytes())
}

/// The number of a kind of expression, then what that kind keeps of itself (`expr_ops.build_udata`).
fn typeof_expression(kind: u32, content: &[u8]) -> Vec<u8> {
    const EXPRESSION: u8 = 0;
    const CONTENT: u8 = 1;
    [item_of_number(EXPRESSION, kind), item(CONTENT, content)].concat()
}

const PAYLOAD: u32 = 7;

/// A field of a known header.
fn field(header: u32, place: u32) -> Vec<u8> {
    typeof_expression(PAYLOAD, &[item_of_number(0, header), item_of_number(1, place)].concat())
}

/// So many bytes at a place of the transport header, whichever that is: base, offset and length in bits.
fn transport(offset: u32, length: u32) -> Vec<u8> {
    let place = [0, 0, NFT_PAYLOAD_TRANSPORT_HEADER + 1, offset * 8, length * 8];
    let content: Vec<u8> = (0..).zip(place).flat_map(|(kind, value)| item_of_number(kind, value)).collect();
    typeof_expression(PAYLOAD, &content)
}

fn concatenation(parts: &[Vec<u8>]) -> Vec<u8> {
    const CONCATENATION: u32 = 13;
    let content: Vec<u8> = (0..).zip(parts).flat_map(|(place, part)| item(place, part)).collect();
    typeof_expression(CONCATENATION, &content)
}

fn write_chain(body: &mut Body<'_>, name: &str, base: &Base) {
    let hook = match base.hook {
        Hook::Prerouting => 0,
        Hook::Input => 1,
        Hook::Forward => 2,
        Hook::Output => 3,
        Hook::Postrouting => 4,
        Hook::Ingress => NF_NETDEV_INGRESS,
        Hook::Egress => NF_NETDEV_EGRESS,
    };
    let chain_type = match base.chain_type {
        ChainType::Filter => "filter",
        ChainType::Nat => "nat",
        ChainType::Route => "route",
    };
    text(body, NFTA_CHAIN_NAME, name);
    body.nested(NFTA_CHAIN_HOOK, |body| {
        be32(body, NFTA_HOOK_HOOKNUM, hook);
        be32(body, NFTA_HOOK_PRIORITY, base.priority as u32);
        if !base.devices.is_empty() {
            body.nested(NFTA_HOOK_DEVS, |body| {
                base.devices.iter().for_each(|device| text(body, NFTA_DEVICE_NAME, device));
            });
        }
    });
    be32(body, NFTA_CHAIN_POLICY, NF_ACCEPT);
    text(body, NFTA_CHAIN_TYPE, chain_type);
}

/// Userdata of a rule, as `nft` writes it: type, length, text with a zero byte.
fn write_comment(body: &mut Body<'_>, comment: &str) {
    let length = comment.len().min(254);
    let mut userdata = vec![NFTNL_UDATA_RULE_COMMENT, length as u8 + 1];
    userdata.extend_from_slice(&comment.as_bytes()[..length]);
    userdata.push(0);
    body.attribute(NFTA_RULE_USERDATA, &userdata);
}

/// An interval is two elements: where it begins, and, marked so, the first address behind it. One
/// that reaches to the last address of all has no end.
fn write_interval(body: &mut Body<'_>, prefix: &Prefix) {
    write_element(body, prefix.first(), 0);
    if let Some(end) = successor(prefix.last()) {
        write_element(body, end, NFT_SET_ELEM_INTERVAL_END);
    }
}

fn write_element(body: &mut Body<'_>, key: IpAddr, flags: u32) {
    body.nested(NFTA_LIST_ELEM, |body| {
        if flags != 0 {
            be32(body, NFTA_SET_ELEM_FLAGS, flags);
        }
        write_key(body, NFTA_SET_ELEM_KEY, &octets(key));
    });
}

/// From the first address and MAC to the last ones.
fn write_origin(body: &mut Body<'_>, origin: &Origin) {
    let Some((first, last)) = origin.macs() else { return };
    body.nested(NFTA_LIST_ELEM, |body| {
        write_key(body, NFTA_SET_ELEM_KEY, &pair(origin.sources.first(), first));
        write_key(body, NFTA_SET_ELEM_KEY_END, &pair(origin.sources.last(), last));
    });
}

fn write_key(body: &mut Body<'_>, kind: u16, key: &[u8]) {
    body.nested(kind, |body| body.attribute(NFTA_DATA_VALUE, key));
}

/// An address and a MAC one behind the other, each in whole words.
fn pair(address: IpAddr, mac: Mac) -> Vec<u8> {
    let mut bytes = octets(address);
    bytes.extend_from_slice(&mac.0);
    bytes.extend_from_slice(&[0; (PADDED_MAC - MAC_LENGTH) as usize]);
    bytes
}

/// The address after `address`.
fn successor(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(a) => u32::from(a).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(a) => u128::from(a).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}
