//! Probes: real packets from one endpoint to another, and what became of them.
//!
//! [`plan`] decides who is to reach whom and what the other end must see, [`run`] sends, [`report`]
//! compares, [`stream`] sends on and on while something else happens.

mod connection;
mod datagram;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod run;
pub(crate) mod stream;
mod table;

use std::net::IpAddr;

use causeway_model::Family;
use serde::{Deserialize, Serialize};

use crate::topology::Endpoint;

pub use report::{Check, Report, Verdict};
pub use stream::{Flow, FlowReport, StreamOptions, StreamReport};

/// What a probe is carried in.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// A UDP request and its echo.
    Udp,
    /// A TCP connection, with a request and its echo.
    Tcp,
    /// An ICMP echo request and its reply.
    Icmp,
}

/// How large a probe is.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// As small as it can be.
    Small,
    /// UDP and ICMP: as large as the path should carry in one packet, never fragmented. TCP: 64 KiB
    /// each way.
    Full,
}

/// A probe to send.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Probe {
    /// Who sends.
    pub from: Endpoint,
    /// Who is to answer.
    pub to: Endpoint,
    /// The family.
    pub family: Family,
    /// What it is carried in.
    pub protocol: Protocol,
    /// Its size class.
    pub size: Size,
    /// Where it is sent to: as `from` sees `to`. `None` if that is not known, for example since the
    /// node has no overlay address.
    pub address: Option<IpAddr>,
    /// The length of its IP packet in bytes; of TCP, of the request.
    pub length: u32,
}

/// What became of a probe.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Outcome {
    /// It was answered.
    Answered(Answer),
    /// Nothing came back in time.
    Silent,
    /// It could not be sent, or was turned down: the error.
    Refused(String),
    /// There was no address to send it to.
    NoAddress,
}

/// An answer to a probe.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Time from request to answer, in microseconds.
    pub rtt_microseconds: u64,
    /// How many requests it took; more than 1 means that packets were lost.
    pub attempts: u32,
    /// The address that the other end saw the request come from; `None` for ICMP.
    pub seen: Option<IpAddr>,
    /// The address that the answer came from.
    pub from: IpAddr,
    /// Who answered, as a number; 0 for ICMP.
    pub responder: u64,
}
