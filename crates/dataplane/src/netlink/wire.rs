//! The bytes of netlink: writing messages without an allocation each, reading them without trust.
//!
//! Everything that is read goes through here, and nothing here panics on any input. The typed
//! messages of `netlink-packet-route` are used to *write* the few messages that are not many; to
//! read, a parser that refuses a whole message for one attribute that it does not expect would let
//! any link of the host blind us, and would allocate for every entry of a large dump.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use causeway_model::Mac;
use netlink_packet_core::Emitable;

/// Length of `struct nlmsghdr`.
pub const HEADER: usize = 16;

/// `NLM_F_REQUEST`.
pub const REQUEST: u16 = libc::NLM_F_REQUEST as u16;
/// `NLM_F_ACK`: answer even when all went well.
pub const ACK: u16 = libc::NLM_F_ACK as u16;
/// `NLM_F_DUMP`: answer with all entries.
pub const DUMP: u16 = libc::NLM_F_DUMP as u16;
/// `NLM_F_CREATE`.
pub const CREATE: u16 = libc::NLM_F_CREATE as u16;
/// `NLM_F_EXCL`: fail if it exists.
pub const EXCLUSIVE: u16 = libc::NLM_F_EXCL as u16;
/// `NLM_F_REPLACE`: change it if it exists.
pub const REPLACE: u16 = libc::NLM_F_REPLACE as u16;
/// `NLM_F_DUMP_INTR`: the state changed while it was dumped.
pub const INTERRUPTED: u16 = libc::NLM_F_DUMP_INTR as u16;

/// `NLMSG_ERROR`: an error, or with number 0 an acknowledgement.
pub const ERROR: u16 = 2;
/// `NLMSG_DONE`: the end of a dump.
pub const DONE: u16 = 3;

/// What is wrong with bytes that should have been a message.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Malformed {
    /// A message ends early.
    #[error("message of {length} bytes in a buffer of {available}")]
    Message {
        /// Length that it states.
        length: usize,
        /// Bytes that there are.
        available: usize,
    },
    /// The fixed part of a message ends early.
    #[error("fixed part of {expected} bytes has only {available}")]
    Fixed {
        /// Length of the part.
        expected: usize,
        /// Bytes that there are.
        available: usize,
    },
    /// An attribute ends early.
    #[error("attribute of {length} bytes in {available}")]
    Attribute {
        /// Length that it states.
        length: usize,
        /// Bytes that there are.
        available: usize,
    },
    /// An attribute has a length that its type does not allow.
    #[error("attribute {kind} has {length} bytes")]
    Length {
        /// Type of the attribute.
        kind: u16,
        /// Bytes of its value.
        length: usize,
    },
    /// An attribute without which the message means nothing is absent.
    #[error("attribute {kind} is missing")]
    Missing {
        /// Type of the attribute.
        kind: u16,
    },
    /// A prefix is longer than its family's addresses.
    #[error("prefix length {length} is too long")]
    PrefixLength {
        /// The length.
        length: u8,
    },
}

/// Writes the part of a message behind its header.
pub struct Body<'a>(pub(super) &'a mut Vec<u8>);

impl Body<'_> {
    /// Appends a fixed part.
    pub fn fixed(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// Appends a typed message.
    pub fn typed(&mut self, message: &impl Emitable) {
        let start = self.0.len();
        self.0.resize(start + message.buffer_len(), 0);
        message.emit(&mut self.0[start..]);
    }

    /// Appends an attribute. A value of more than 65,531 bytes does not fit; no caller has one.
    pub fn attribute(&mut self, kind: u16, value: &[u8]) {
        let length = (value.len() + 4) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }

    /// Appends a number in host byte order.
    pub fn u32(&mut self, kind: u16, value: u32) {
        self.attribute(kind, &value.to_ne_bytes());
    }

    /// Appends an address of four or sixteen bytes.
    pub fn address(&mut self, kind: u16, address: IpAddr) {
        match address {
            IpAddr::V4(a) => self.attribute(kind, &a.octets()),
            IpAddr::V6(a) => self.attribute(kind, &a.octets()),
        }
    }

    /// Appends an attribute that holds attributes.
    pub fn nested(&mut self, kind: u16, inner: impl FnOnce(&mut Body<'_>)) {
        let start = self.0.len();
        self.attribute(kind | netlink_packet_core::NLA_F_NESTED, &[]);
        inner(&mut Body(self.0));
        let length = (self.0.len() - start) as u16;
        self.0[start..start + 2].copy_from_slice(&length.to_ne_bytes());
    }
}

/// Appends a whole message to `buffer`.
pub fn write_message(
    buffer: &mut Vec<u8>,
    kind: u16,
    flags: u16,
    sequence: u32,
    body: impl FnOnce(&mut Body<'_>),
) {
    let start = buffer.len();
    buffer.extend_from_slice(&[0; 4]);
    buffer.extend_from_slice(&kind.to_ne_bytes());
    buffer.extend_from_slice(&flags.to_ne_bytes());
    buffer.extend_from_slice(&sequence.to_ne_bytes());
    buffer.extend_from_slice(&[0; 4]);
    body(&mut Body(buffer));
    let length = (buffer.len() - start) as u32;
    buffer[start..start + 4].copy_from_slice(&length.to_ne_bytes());
    buffer.resize(buffer.len().next_multiple_of(4), 0);
}

/// A message as it was received.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Message<'a> {
    /// Its type.
    pub kind: u16,
    /// Its flags.
    pub flags: u16,
    /// The number of the request that it answers.
    pub sequence: u32,
    /// The socket that caused it; 0 for the kernel itself.
    pub port: u32,
    /// What follows the header.
    pub payload: &'a [u8],
}

/// The messages of one datagram.
#[derive(Clone, Debug)]
pub struct Messages<'a>(&'a [u8]);

impl<'a> Messages<'a> {
    /// Reads `datagram`.
    pub fn new(datagram: &'a [u8]) -> Self {
        Messages(datagram)
    }
}

impl<'a> Iterator for Messages<'a> {
    type Item = Result<Message<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.0);
        let available = rest.len();
        let Some((header, _)) = rest.split_first_chunk::<HEADER>() else {
            return Some(Err(Malformed::Message { length: HEADER, available }));
        };
        let length = u32_at(header, 0) as usize;
        if length < HEADER || length > available {
            return Some(Err(Malformed::Message { length, available }));
        }
        self.0 = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some(Ok(Message {
            kind: u16_at(header, 4),
            flags: u16_at(header, 6),
            sequence: u32_at(header, 8),
            port: u32_at(header, 12),
            payload: &rest[HEADER..length],
        }))
    }
}

/// Splits the fixed part of `N` bytes off a payload.
///
/// # Errors
/// [`Malformed::Fixed`] if there are fewer.
pub fn fixed<const N: usize>(payload: &[u8]) -> Result<(&[u8; N], Attributes<'_>), Malformed> {
    let (head, rest) =
        payload.split_first_chunk::<N>().ok_or(Malformed::Fixed { expected: N, available: payload.len() })?;
    Ok((head, Attributes(rest)))
}

/// The number of two bytes at `at`; 0 behind the end.
pub fn u16_at(bytes: &[u8], at: usize) -> u16 {
    bytes.get(at..at + 2).and_then(|b| b.try_into().ok()).map_or(0, u16::from_ne_bytes)
}

/// The number of four bytes at `at`; 0 behind the end.
pub fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_ne_bytes)
}

/// One attribute.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Attribute<'a> {
    /// Its type, without the flags for nesting and byte order.
    pub kind: u16,
    /// Its value.
    pub value: &'a [u8],
}

/// Attributes in the order in which they stand.
#[derive(Clone, Copy, Debug)]
pub struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = Result<Attribute<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let rest = std::mem::take(&mut self.0);
        let available = rest.len();
        let length = usize::from(u16_at(rest, 0));
        if available < 4 || length < 4 || length > available {
            return Some(Err(Malformed::Attribute { length, available }));
        }
        self.0 = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        let kind = u16_at(rest, 2) & netlink_packet_core::NLA_TYPE_MASK;
        Some(Ok(Attribute { kind, value: &rest[4..length] }))
    }
}

impl<'a> Attribute<'a> {
    fn array<const N: usize>(&self) -> Result<[u8; N], Malformed> {
        let wrong = Malformed::Length { kind: self.kind, length: self.value.len() };
        self.value.try_into().map_err(|_| wrong)
    }

    /// The value as a byte.
    ///
    /// # Errors
    /// [`Malformed::Length`], as for all that follow.
    pub fn u8(&self) -> Result<u8, Malformed> {
        Ok(self.array::<1>()?[0])
    }

    /// The value as a number of two bytes in host byte order.
    ///
    /// # Errors
    /// [`Malformed::Length`].
    pub fn u16(&self) -> Result<u16, Malformed> {
        Ok(u16::from_ne_bytes(self.array()?))
    }

    /// The value as a number of two bytes in network byte order.
    ///
    /// # Errors
    /// [`Malformed::Length`].
    pub fn u16_be(&self) -> Result<u16, Malformed> {
        Ok(u16::from_be_bytes(self.array()?))
    }

    /// The value as a number of four bytes in host byte order.
    ///
    /// # Errors
    /// [`Malformed::Length`].
    pub fn u32(&self) -> Result<u32, Malformed> {
        Ok(u32::from_ne_bytes(self.array()?))
    }

    /// The value as an address, its family by its length.
    ///
    /// # Errors
    /// [`Malformed::Length`].
    pub fn address(&self) -> Result<IpAddr, Malformed> {
        match self.value.len() {
            4 => Ok(IpAddr::V4(Ipv4Addr::from(self.array::<4>()?))),
            _ => Ok(IpAddr::V6(Ipv6Addr::from(self.array::<16>()?))),
        }
    }

    /// The value as a MAC address.
    ///
    /// # Errors
    /// [`Malformed::Length`].
    pub fn mac(&self) -> Result<Mac, Malformed> {
        Ok(Mac(self.array()?))
    }

    /// The value as text up to its first zero byte; empty if it is not UTF-8. Link names may be any
    /// bytes, and none of ours has such.
    pub fn text(&self) -> &'a str {
        let end = self.value.iter().position(|b| *b == 0).unwrap_or(self.value.len());
        std::str::from_utf8(&self.value[..end]).unwrap_or_default()
    }

    /// The attributes inside.
    pub fn nested(&self) -> Attributes<'a> {
        Attributes(self.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_was_written_is_read() {
        let mut buffer = Vec::new();
        for sequence in [7, 8] {
            write_message(&mut buffer, 24, REQUEST | ACK, sequence, |body| {
                body.fixed(&[1, 2, 3, 4]);
                body.attribute(5, &[9]);
                body.nested(6, |inner| {
                    inner.u32(1, 77);
                    inner.address(2, "fd00::1".parse().unwrap());
                });
            });
        }
        let messages: Vec<Message<'_>> = Messages::new(&buffer).map(Result::unwrap).collect();
        assert_eq!(messages.iter().map(|m| m.sequence).collect::<Vec<_>>(), [7, 8]);
        let (head, attributes) = fixed::<4>(messages[1].payload).unwrap();
        assert_eq!(head, &[1, 2, 3, 4]);
        let attributes: Vec<Attribute<'_>> = attributes.map(Result::unwrap).collect();
        assert_eq!(attributes[0].u8(), Ok(9));
        let inner: Vec<Attribute<'_>> = attributes[1].nested().map(Result::unwrap).collect();
        assert_eq!(inner[0].u32(), Ok(77));
        assert_eq!(inner[1].address(), Ok("fd00::1".parse().unwrap()));
    }

    #[test]
    fn an_attribute_that_ends_early_is_named_and_ends_the_walk() {
        let bytes = [12, 0, 1, 0, 1, 2];
        let read: Vec<_> = Attributes(&bytes).collect();
        assert_eq!(read, [Err(Malformed::Attribute { length: 12, available: 6 })]);
        let zero = [0, 0, 1, 0, 1, 2, 3, 4];
        assert_eq!(
            Attributes(&zero).collect::<Vec<_>>(),
            [Err(Malformed::Attribute { length: 0, available: 8 })]
        );
    }

    #[test]
    fn an_empty_value_is_an_error_only_for_who_wants_one() {
        let bytes = [4, 0, 3, 0];
        let attribute = Attributes(&bytes).next().unwrap().unwrap();
        assert_eq!(attribute.text(), "");
        assert_eq!(attribute.u32(), Err(Malformed::Length { kind: 3, length: 0 }));
        assert_eq!(attribute.mac(), Err(Malformed::Length { kind: 3, length: 0 }));
    }

    #[test]
    fn a_message_longer_than_its_datagram_is_refused() {
        let mut buffer = Vec::new();
        write_message(&mut buffer, 24, 0, 1, |body| body.fixed(&[0; 8]));
        buffer.truncate(20);
        let read: Vec<_> = Messages::new(&buffer).collect();
        assert_eq!(read, [Err(Malformed::Message { length: 24, available: 20 })]);
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic_or_run_on(bytes in proptest::collection::vec(any::<u8>(), 0..256)) {
            prop_assert!(Messages::new(&bytes).count() <= bytes.len());
            for attribute in Attributes(&bytes) {
                let Ok(attribute) = attribute else { break };
                let _ = (attribute.u8(), attribute.u16(), attribute.u32(), attribute.address());
                let _ = (attribute.mac(), attribute.text(), attribute.nested().count());
            }
        }
    }
}
