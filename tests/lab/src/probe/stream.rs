//! Probes that go on and on while something else happens: numbered packets at a steady pace over
//! several flows, and what was lost of them, when and for how long.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use causeway_model::Family;
use clap::Args;
use serde::{Deserialize, Serialize};

use super::Protocol;
use crate::bed::endpoint_namespace;
use crate::echo::{ECHO_PORT, roomy};
use crate::error::{LabError, Result};
use crate::topology::Endpoint;
use crate::wire::{HEADER, Header};

/// How long an answer is waited for after the last packet; later ones count as lost.
const DRAIN: Duration = Duration::from_millis(1000);
/// How long a TCP connection may be silent before it counts as broken.
const TCP_PATIENCE: Duration = Duration::from_secs(10);

/// A stream to send.
#[derive(Clone, PartialEq, Debug, Args, Serialize, Deserialize)]
pub struct StreamOptions {
    /// Who sends: CLUSTER/NODE or CLUSTER/NODE/POD
    #[arg(long)]
    pub from: Endpoint,
    /// Who answers
    #[arg(long)]
    pub to: Endpoint,
    /// IPv6 in place of IPv4
    #[arg(long)]
    pub ipv6: bool,
    /// Milliseconds between the packets of a flow
    #[arg(long, default_value_t = 5)]
    pub interval: u64,
    /// UDP flows, each from a port of its own
    #[arg(long, default_value_t = 8)]
    pub flows: u16,
    /// Also one TCP connection
    #[arg(long)]
    pub tcp: bool,
}

impl StreamOptions {
    /// Eight IPv4 UDP flows with a packet every 5 ms each, and one TCP connection.
    pub fn new(from: Endpoint, to: Endpoint) -> StreamOptions {
        StreamOptions { from, to, ipv6: false, interval: 5, flows: 8, tcp: true }
    }

    /// The family.
    pub fn family(&self) -> Family {
        if self.ipv6 { Family::V6 } else { Family::V4 }
    }
}

/// What became of a stream.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StreamReport {
    /// When it began, in microseconds of the Unix epoch; all other times count from here.
    pub began_unix_microseconds: u64,
    /// Its flows.
    pub flows: Vec<FlowReport>,
}

/// Which flow.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Flow {
    /// UDP or TCP.
    pub protocol: Protocol,
    /// Its source port; of TCP that of the first connection.
    pub port: u16,
}

/// What became of a flow.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowReport {
    /// Which flow.
    pub flow: Flow,
    /// Packets sent; of TCP, requests.
    pub sent: u64,
    /// Packets without an answer; of TCP, connections that broke.
    pub lost: u64,
    /// The longest time in microseconds between the sending of two answered packets that follow each
    /// other; of TCP, between two answers.
    pub longest_gap_microseconds: u64,
    /// Each time that packets were lost in a row: when the first of them was sent, when the next
    /// answered one was sent, and how many were lost; times in microseconds.
    pub outages: Vec<Outage>,
}

/// Packets lost in a row.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Outage {
    /// When the first lost packet was sent.
    pub from_microseconds: u64,
    /// When the next answered packet was sent; the end of the stream if there was none.
    pub to_microseconds: u64,
    /// Packets lost.
    pub lost: u64,
    /// Whether an answered packet followed.
    pub ended: bool,
}

impl StreamReport {
    /// Packets sent over UDP.
    pub fn sent(&self) -> u64 {
        self.udp().map(|f| f.sent).sum()
    }

    /// Packets lost over UDP.
    pub fn lost(&self) -> u64 {
        self.udp().map(|f| f.lost).sum()
    }

    /// TCP connections that broke.
    pub fn broken_connections(&self) -> u64 {
        self.flows.iter().filter(|f| f.flow.protocol == Protocol::Tcp).map(|f| f.lost).sum()
    }

    /// The longest gap of any flow.
    pub fn longest_gap(&self) -> Duration {
        Duration::from_micros(self.flows.iter().map(|f| f.longest_gap_microseconds).max().unwrap_or(0))
    }

    /// Each time that UDP packets were lost in a row.
    pub fn outages(&self) -> impl Iterator<Item = &Outage> {
        self.udp().flat_map(|flow| &flow.outages)
    }

    fn udp(&self) -> impl Iterator<Item = &FlowReport> {
        self.flows.iter().filter(|f| f.flow.protocol == Protocol::Udp)
    }
}

/// Sends to `address` until `stop` is set; calls `begun` once the first answer of a flow has come.
pub(crate) fn run(
    options: &StreamOptions,
    address: IpAddr,
    stop: &AtomicBool,
    begun: impl Fn() + Sync,
) -> Result<StreamReport> {
    let namespace = endpoint_namespace(&options.from);
    let target = SocketAddr::new(address, ECHO_PORT);
    let first = AtomicBool::new(false);
    let answered = || {
        if !first.swap(true, Ordering::Relaxed) {
            begun();
        }
    };
    let began = Instant::now();
    let interval = Duration::from_millis(options.interval.max(1));
    let flows = namespace.within(|| {
        thread::scope(|scope| {
            let mut threads = Vec::new();
            for _ in 0..options.flows {
                threads.push(scope.spawn(|| udp_flow(target, interval, began, stop, &answered)));
            }
            if options.tcp {
                threads.push(scope.spawn(|| tcp_flow(target, interval, began, stop, &answered)));
            }
            let join = |t: thread::ScopedJoinHandle<'_, _>| {
                t.join().unwrap_or_else(|_| Err(std::io::Error::other("a flow panicked")))
            };
            let flows: std::io::Result<Vec<FlowReport>> = threads.into_iter().map(join).collect();
            flows.map_err(|source| LabError::Socket { namespace: namespace.name().to_owned(), source })
        })
    })?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let began_unix = now.saturating_sub(began.elapsed());
    Ok(StreamReport { began_unix_microseconds: began_unix.as_micros() as u64, flows })
}

fn udp_flow(
    target: SocketAddr,
    interval: Duration,
    began: Instant,
    stop: &AtomicBool,
    answered: &(impl Fn() + Sync),
) -> std::io::Result<FlowReport> {
    let any: IpAddr = if target.is_ipv4() { [0, 0, 0, 0].into() } else { [0u16; 8].into() };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    roomy(&socket)?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let port = socket.local_addr()?.port();
    // How many were sent, once all were.
    let sent_all = OnceLock::new();
    let (times, answers) = thread::scope(|scope| {
        let receiver = scope.spawn(|| receive(&socket, &sent_all, answered));
        let mut times: Vec<u64> = Vec::new();
        let mut next = Instant::now();
        while !stop.load(Ordering::Relaxed) {
            let now = began.elapsed();
            let packet = Header::request(HEADER, times.len() as u64, now.as_nanos() as u64).packet();
            times.push(now.as_micros() as u64);
            // An error is an ICMP error for an earlier packet, or no route: this one is lost.
            let _ = socket.send(&packet);
            next += interval;
            thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        let _ = sent_all.set(times.len());
        (times, receiver.join().unwrap_or_default())
    });
    let end = began.elapsed().as_micros() as u64;
    Ok(udp_report(Flow { protocol: Protocol::Udp, port }, &times, &answers, end))
}

/// The numbers of the packets that were answered. Ends when all were, or after [`DRAIN`].
fn receive(socket: &UdpSocket, sent_all: &OnceLock<usize>, answered: &impl Fn()) -> Vec<u64> {
    let mut numbers = Vec::new();
    let mut buffer = [0; 2048];
    let mut end: Option<Instant> = None;
    loop {
        match socket.recv(&mut buffer) {
            Ok(len) => {
                answered();
                numbers.extend(Header::read(&buffer[..len]).map(|h| h.sequence));
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            // ICMP errors come without pause while a path is down.
            Err(_) => thread::sleep(Duration::from_millis(1)),
        }
        if let Some(sent) = sent_all.get() {
            let end = *end.get_or_insert_with(|| Instant::now() + DRAIN);
            if Instant::now() >= end || numbers.len() >= *sent {
                return numbers;
            }
        }
    }
}

fn udp_report(flow: Flow, times: &[u64], answers: &[u64], end: u64) -> FlowReport {
    let mut arrived = vec![false; times.len()];
    answers.iter().for_each(|n| arrived.get_mut(*n as usize).into_iter().for_each(|a| *a = true));
    let mut outages: Vec<Outage> = Vec::new();
    let mut gap = 0;
    let mut last: Option<u64> = None;
    let mut missing: Option<Outage> = None;
    for (time, arrived) in times.iter().zip(&arrived) {
        if *arrived {
            gap = gap.max(last.map_or(0, |last| time - last));
            last = Some(*time);
            outages.extend(missing.take().map(|outage| Outage {
                to_microseconds: *time,
                ended: true,
                ..outage
            }));
        } else {
            let outage = Outage { from_microseconds: *time, to_microseconds: end, lost: 0, ended: false };
            missing.get_or_insert(outage).lost += 1;
        }
    }
    if let Some(outage) = missing {
        gap = gap.max(end - last.unwrap_or(outage.from_microseconds));
        outages.push(outage);
    }
    let lost = outages.iter().map(|o| o.lost).sum();
    FlowReport { flow, sent: times.len() as u64, lost, longest_gap_microseconds: gap, outages }
}

fn tcp_flow(
    target: SocketAddr,
    interval: Duration,
    began: Instant,
    stop: &AtomicBool,
    answered: &(impl Fn() + Sync),
) -> std::io::Result<FlowReport> {
    let now = || began.elapsed().as_micros() as u64;
    let connect = || -> std::io::Result<TcpStream> {
        let stream = TcpStream::connect_timeout(&target, TCP_PATIENCE)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(TCP_PATIENCE))?;
        Ok(stream)
    };
    let mut stream = None;
    let mut report = FlowReport {
        flow: Flow { protocol: Protocol::Tcp, port: 0 },
        sent: 0,
        lost: 0,
        longest_gap_microseconds: 0,
        outages: Vec::new(),
    };
    let mut last = now();
    while !stop.load(Ordering::Relaxed) {
        let asked = now();
        let result = match stream.take() {
            Some(stream) => Ok(stream),
            None => connect(),
        };
        let result = result.and_then(|stream| request(stream, report.sent));
        report.sent += 1;
        report.longest_gap_microseconds = report.longest_gap_microseconds.max(now() - last);
        match result {
            Ok(connection) => {
                answered();
                report.outages.iter_mut().for_each(|outage| outage.ended = true);
                if report.flow.port == 0 {
                    report.flow.port = connection.local_addr()?.port();
                }
                last = now();
                stream = Some(connection);
            }
            Err(_) => {
                report.lost += 1;
                let (from_microseconds, to_microseconds) = (asked, now());
                report.outages.push(Outage { from_microseconds, to_microseconds, lost: 1, ended: false });
            }
        }
        thread::sleep(interval);
    }
    Ok(report)
}

fn request(mut stream: TcpStream, number: u64) -> std::io::Result<TcpStream> {
    let mut packet = Header::request(HEADER, number, 0).packet();
    stream.write_all(&packet)?;
    stream.read_exact(&mut packet)?;
    Ok(stream)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outage(from_microseconds: u64, to_microseconds: u64, ended: bool) -> Outage {
        Outage { from_microseconds, to_microseconds, lost: 2, ended }
    }

    #[test]
    fn an_outage_runs_from_the_first_lost_packet_to_the_next_answered_one() {
        let flow = Flow { protocol: Protocol::Udp, port: 1 };
        let report = udp_report(flow, &[0, 5, 10, 15, 20, 25], &[0, 1, 4, 5], 30);
        assert_eq!((report.sent, report.lost, report.longest_gap_microseconds), (6, 2, 15));
        assert_eq!(report.outages, [outage(10, 20, true)]);
        let report = udp_report(flow, &[0, 5, 10], &[0], 99);
        assert_eq!((report.lost, report.longest_gap_microseconds), (2, 99));
        assert_eq!(report.outages, [outage(5, 99, false)]);
    }
}
