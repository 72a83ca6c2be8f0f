//! UDP and ICMP probes: all of one source and family over one socket, answers matched by number.

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

use causeway_model::Family;
use rustix::net::sockopt::{self, Ipv4PathMtuDiscovery, Ipv6PathMtuDiscovery};
use socket2::{Domain, Protocol as Carrier, Socket, Type};

use super::{Answer, Outcome, Protocol};
use crate::echo::{ECHO_PORT, roomy};
use crate::wire::{HEADER, Header};

/// While answers come in this time, requests go out one by one, so that round trips are measured
/// one by one; after it the next request goes out, so that silence costs little.
const PATIENCE: Duration = Duration::from_millis(4);
/// Times after the first round at which what is unanswered is sent again.
const AGAIN: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(300), Duration::from_millis(700)];
/// The ICMP header of an echo request.
const ICMP_HEADER: usize = 8;

/// A request: where to, and how long its IP packet is.
#[derive(Clone, Copy)]
pub(super) struct Request {
    pub address: IpAddr,
    pub length: u32,
}

/// The path MTU is kept to strictly: a packet too long is an error, never fragments.
pub(super) fn open(family: Family, protocol: Protocol) -> std::io::Result<UdpSocket> {
    let domain = if family == Family::V4 { Domain::IPV4 } else { Domain::IPV6 };
    let carrier = match (protocol, family) {
        (Protocol::Icmp, Family::V4) => Carrier::ICMPV4,
        (Protocol::Icmp, Family::V6) => Carrier::ICMPV6,
        _ => Carrier::UDP,
    };
    let socket = Socket::new(domain, Type::DGRAM, Some(carrier))?;
    roomy(&socket)?;
    match family {
        Family::V4 => sockopt::set_ip_mtu_discover(socket.as_fd(), Ipv4PathMtuDiscovery::DO)?,
        Family::V6 => sockopt::set_ipv6_mtu_discover(socket.as_fd(), Ipv6PathMtuDiscovery::DO)?,
    }
    // An ICMP datagram socket takes the same calls as a UDP one.
    Ok(socket.into())
}

struct Batch<'a> {
    socket: UdpSocket,
    family: Family,
    protocol: Protocol,
    requests: &'a [Request],
    outcomes: Vec<Option<Outcome>>,
    attempts: Vec<u32>,
    errors: Vec<Option<String>>,
    begin: Instant,
}

/// Sends all requests and waits for their answers, at most `limit` after the last was sent.
pub(super) fn exchange(
    socket: UdpSocket,
    family: Family,
    protocol: Protocol,
    requests: &[Request],
    limit: Duration,
) -> Vec<Outcome> {
    let count = requests.len();
    let mut batch = Batch {
        socket,
        family,
        protocol,
        requests,
        outcomes: vec![None; count],
        attempts: vec![0; count],
        errors: vec![None; count],
        begin: Instant::now(),
    };
    for index in 0..count {
        batch.send(index);
        batch.receive_until(Instant::now() + PATIENCE, |b| b.outcomes[index].is_some());
    }
    let round = Instant::now();
    for again in AGAIN.into_iter().filter(|again| *again < limit) {
        batch.receive_until(round + again, Batch::complete);
        (0..count)
            .filter(|i| batch.outcomes[*i].is_none())
            .collect::<Vec<_>>()
            .into_iter()
            .for_each(|i| batch.send(i));
    }
    batch.receive_until(round + limit, Batch::complete);
    let errors = batch.errors;
    batch
        .outcomes
        .into_iter()
        .zip(errors)
        .map(|(outcome, error)| outcome.or(error.map(Outcome::Refused)).unwrap_or(Outcome::Silent))
        .collect()
}

impl Batch<'_> {
    fn complete(&self) -> bool {
        self.outcomes.iter().all(Option::is_some)
    }

    fn send(&mut self, index: usize) {
        let Request { address, length } = self.requests[index];
        let sent = self.begin.elapsed().as_nanos() as u64;
        let outer = if self.family == Family::V4 { 28 } else { 48 };
        let header = Header::request((length as usize).saturating_sub(outer).max(HEADER), index as u64, sent);
        let payload = header.packet();
        let (packet, port) = match self.protocol {
            Protocol::Icmp => (echo_request(self.family, index as u16, &payload), 0),
            _ => (payload, ECHO_PORT),
        };
        self.attempts[index] += 1;
        match self.socket.send_to(&packet, SocketAddr::new(address, port)) {
            Ok(_) => self.errors[index] = None,
            Err(error) => self.errors[index] = Some(error.to_string()),
        }
    }

    fn receive_until(&mut self, end: Instant, done: impl Fn(&Self) -> bool) {
        let mut buffer = vec![0; 65_536];
        while !done(self) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() || self.socket.set_read_timeout(Some(left)).is_err() {
                return;
            }
            match self.socket.recv_from(&mut buffer) {
                Ok((len, from)) => self.take(&buffer[..len], from.ip()),
                Err(error)
                    if error.kind() == ErrorKind::WouldBlock || error.kind() == ErrorKind::TimedOut =>
                {
                    return;
                }
                Err(_) => {}
            }
        }
    }

    fn take(&mut self, bytes: &[u8], from: IpAddr) {
        let payload = match self.protocol {
            Protocol::Icmp => bytes.get(ICMP_HEADER..).unwrap_or_default(),
            _ => bytes,
        };
        let Some(header) = Header::read(payload) else { return };
        let index = header.sequence as usize;
        if self.outcomes.get(index).is_none_or(Option::is_some) {
            return;
        }
        let now = self.begin.elapsed().as_nanos() as u64;
        self.outcomes[index] = Some(Outcome::Answered(Answer {
            rtt_microseconds: now.saturating_sub(header.sent) / 1000,
            attempts: self.attempts[index],
            seen: header.seen,
            from: from.to_canonical(),
            responder: header.responder,
        }));
    }
}

/// An ICMP echo request. Identifier and checksum are the kernel's to fill in.
fn echo_request(family: Family, sequence: u16, payload: &[u8]) -> Vec<u8> {
    let kind = if family == Family::V4 { 8 } else { 128 };
    let mut packet = vec![kind, 0, 0, 0, 0, 0, 0, 0];
    packet[6..8].copy_from_slice(&sequence.to_be_bytes());
    packet.extend_from_slice(payload);
    packet
}
