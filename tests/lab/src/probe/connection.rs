//! TCP probes: a connection each, a request and its echo.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::datagram::Request;
use super::{Answer, Outcome, Size};
use crate::echo::ECHO_PORT;
use crate::wire::{HEADER, Header};

/// The length of a large request.
pub(super) const BULK: usize = 64 << 10;

/// Connects, sends a request, reads its echo.
pub(super) fn exchange(request: Request, size: Size, limit: Duration) -> Outcome {
    let attempt = || -> std::io::Result<Answer> {
        let address = SocketAddr::new(request.address, ECHO_PORT);
        let mut stream = TcpStream::connect_timeout(&address, limit)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(limit))?;
        stream.set_write_timeout(Some(limit))?;
        let begin = Instant::now();
        let length = if size == Size::Small { HEADER } else { BULK };
        let mut packet = Header::request(length, 0, 0).packet();
        stream.write_all(&packet)?;
        stream.read_exact(&mut packet)?;
        let header = Header::read(&packet).ok_or_else(|| std::io::Error::other("the answer is no echo"))?;
        Ok(Answer {
            rtt_microseconds: begin.elapsed().as_micros() as u64,
            attempts: 1,
            seen: header.seen,
            from: address.ip(),
            responder: header.responder,
        })
    };
    match attempt() {
        Ok(answer) => Outcome::Answered(answer),
        Err(error) => match error.kind() {
            std::io::ErrorKind::TimedOut | std::io::ErrorKind::WouldBlock => Outcome::Silent,
            _ => Outcome::Refused(error.to_string()),
        },
    }
}
