//! A netlink socket that sends many changes in one system call.
//!
//! One acknowledgement is asked for per batch, that of its last message; before it come only errors,
//! matched by sequence number. Compared with one message at a time this halves the time and more:
//! what is left is the kernel's own.
//!
//! The kernel does the work of a request inside `sendmsg`, and goes on with a dump inside `recvmsg`.
//! So every answer is there when it is asked for, and nothing here waits: an answer that is not there
//! was lost.

use std::io;
use std::os::fd::{AsFd, BorrowedFd};

use netlink_sys::{Socket, SocketAddr};

use super::ack::Answer;
use super::wire::{self, ACK, Body, DONE, ERROR, INTERRUPTED, Malformed, Message, Messages, REQUEST};
use crate::kernel::KernelError;

/// A batch is sent when it has this many bytes. Larger ones gain nothing.
const BATCH: usize = 32 * 1024;
/// A batch has at most this many messages, and fewer where the receive buffer is small.
const MOST_MESSAGES: usize = 1024;
/// What the kernel charges the receive buffer for one error answer, rounded up.
const ANSWER_COST: usize = 2048;
/// Receive buffer that is asked for, in bytes; the kernel doubles it.
const RECEIVE: usize = 4 << 20;
/// Room for one datagram of answers. The kernel fills up to 32 KiB.
const DATAGRAM: usize = 64 * 1024;
/// How often an interrupted dump is read before that is an error.
const ATTEMPTS: u32 = 16;

/// A netlink socket for changes in batches and for dumps.
#[derive(Debug)]
pub struct BatchSocket {
    socket: Socket,
    protocol: isize,
    port: u32,
    most: usize,
    sequence: u32,
    out: Vec<u8>,
    last: usize,
    waiting: Vec<Waiting>,
    failed: Vec<(usize, KernelError)>,
    datagram: Vec<u8>,
}

/// A message of the batch that is being filled.
#[derive(Clone, Copy, Debug)]
struct Waiting {
    tag: usize,
    operation: &'static str,
    failed: bool,
}

impl BatchSocket {
    /// Opens a socket of `protocol` (`NETLINK_ROUTE`, …) in the current network namespace.
    ///
    /// # Errors
    /// [`KernelError::Socket`].
    pub fn open(protocol: isize) -> Result<Self, KernelError> {
        let (socket, port, most) =
            open(protocol).map_err(|source| KernelError::Socket { operation: "open", source })?;
        Ok(BatchSocket {
            socket,
            protocol,
            port,
            most,
            sequence: 1,
            out: Vec::with_capacity(BATCH + 4096),
            last: 0,
            waiting: Vec::new(),
            failed: Vec::new(),
            datagram: Vec::with_capacity(DATAGRAM),
        })
    }

    /// The number under which others see changes made through this socket. It changes when an answer
    /// could not be read and a new socket took this one's place.
    pub fn port(&self) -> u32 {
        self.port
    }

    /// Adds a change to the batch, and sends the batch when it is full. `tag` names the change in
    /// [`BatchSocket::finish`].
    pub fn push(
        &mut self,
        tag: usize,
        operation: &'static str,
        (kind, flags): (u16, u16),
        body: impl FnOnce(&mut Body<'_>),
    ) {
        self.last = self.out.len();
        let sequence = self.sequence.wrapping_add(self.waiting.len() as u32);
        wire::write_message(&mut self.out, kind, REQUEST | flags, sequence, body);
        self.waiting.push(Waiting { tag, operation, failed: false });
        if self.out.len() >= BATCH || self.waiting.len() >= self.most {
            self.flush();
        }
    }

    /// Sends what is left and returns the changes that failed, each with its tag, in order. Where an
    /// answer was lost, its change counts as failed: whether it was done is not known.
    pub fn finish(&mut self) -> Vec<(usize, KernelError)> {
        self.flush();
        std::mem::take(&mut self.failed)
    }

    fn flush(&mut self) {
        if self.waiting.is_empty() {
            return;
        }
        let first = self.sequence;
        self.sequence = first.wrapping_add(self.waiting.len() as u32);
        let flags = wire::u16_at(&self.out, self.last + 6) | ACK;
        self.out[self.last + 6..self.last + 8].copy_from_slice(&flags.to_ne_bytes());
        let result = match self.send() {
            Ok(()) => self.answers(first),
            Err(source) => Err(KernelError::Socket { operation: "send", source }),
        };
        if let Err(error) = result {
            self.fail_rest(&error);
        }
        self.waiting.clear();
        self.out.clear();
    }

    /// Marks the changes of this batch that have no answer of their own as failed.
    fn fail_rest(&mut self, error: &KernelError) {
        let code = match error {
            KernelError::Socket { source, .. } => source.raw_os_error(),
            _ => None,
        };
        for waiting in self.waiting.iter().filter(|waiting| !waiting.failed) {
            let source = io::Error::from_raw_os_error(code.unwrap_or(libc::EBADMSG));
            self.failed.push((waiting.tag, KernelError::Socket { operation: waiting.operation, source }));
        }
    }

    /// Reads the answers to a batch, up to the one to its last message.
    fn answers(&mut self, first: u32) -> Result<(), KernelError> {
        let mut lost = None;
        loop {
            match self.receive() {
                Ok(true) => {}
                Ok(false) => continue,
                // The queue had no room for some answer. The others are there to be read.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) && lost.is_none() => {
                    lost = Some(error);
                    continue;
                }
                Err(source) => {
                    let source = lost.unwrap_or(source);
                    return Err(KernelError::Socket { operation: "receive answers", source });
                }
            }
            for message in Messages::new(&self.datagram) {
                let message = message.map_err(|m| malformed("change", m))?;
                let at = message.sequence.wrapping_sub(first) as usize;
                let Some(waiting) = self.waiting.get_mut(at).filter(|_| message.kind == ERROR) else {
                    continue;
                };
                let answer = Answer::of_error(message.flags, message.payload)
                    .map_err(|m| malformed(waiting.operation, m))?;
                let last = at + 1 == self.waiting.len();
                if answer.code != 0 {
                    let waiting = &mut self.waiting[at];
                    waiting.failed = true;
                    self.failed.push((waiting.tag, refused(waiting.operation, answer)));
                }
                if last {
                    return match lost.take() {
                        Some(source) => Err(KernelError::Socket { operation: "receive answers", source }),
                        None => Ok(()),
                    };
                }
            }
        }
    }

    /// Reads a state: sends one request and hands every message of the answer to `take`. If the state
    /// changed meanwhile (`NLM_F_DUMP_INTR`) all is read again, into a new `T`.
    ///
    /// `flags` is [`wire::DUMP`] for all entries, or [`ACK`] for one.
    ///
    /// # Errors
    /// [`KernelError`]; nothing is returned of an answer that was not whole.
    pub fn query<T: Default>(
        &mut self,
        operation: &'static str,
        head: (u16, u16),
        body: impl Fn(&mut Body<'_>),
        take: impl FnMut(&mut T, &Message<'_>) -> Result<(), Malformed>,
    ) -> Result<T, KernelError> {
        let mut state = T::default();
        self.read(operation, head, body, &mut state, |state| *state = T::default(), take)?;
        Ok(state)
    }

    /// As [`BatchSocket::query`], behind `entries` that were read before: a large table that comes in
    /// several dumps is never held twice.
    ///
    /// # Errors
    /// [`KernelError`]; then `entries` may end with some of an answer that was not whole.
    pub fn query_into<E>(
        &mut self,
        operation: &'static str,
        head: (u16, u16),
        body: impl Fn(&mut Body<'_>),
        entries: &mut Vec<E>,
        take: impl FnMut(&mut Vec<E>, &Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), KernelError> {
        let before = entries.len();
        self.read(operation, head, body, entries, |entries| entries.truncate(before), take)
    }

    /// Asks until an answer was whole; `begin` clears what an interrupted one left.
    fn read<T>(
        &mut self,
        operation: &'static str,
        (kind, flags): (u16, u16),
        body: impl Fn(&mut Body<'_>),
        state: &mut T,
        begin: impl Fn(&mut T),
        mut take: impl FnMut(&mut T, &Message<'_>) -> Result<(), Malformed>,
    ) -> Result<(), KernelError> {
        self.flush();
        for _ in 0..ATTEMPTS {
            let sequence = self.sequence;
            self.sequence = sequence.wrapping_add(1);
            self.out.clear();
            wire::write_message(&mut self.out, kind, REQUEST | flags, sequence, &body);
            begin(state);
            let result = self.converse(operation, sequence, |message| take(state, message));
            self.out.clear();
            match result {
                Ok(Whole::Yes) => return Ok(()),
                Ok(Whole::Interrupted) => {}
                Err(error) => return Err(error),
            }
        }
        Err(KernelError::Interrupted { operation, attempts: ATTEMPTS })
    }

    fn converse(
        &mut self,
        operation: &'static str,
        sequence: u32,
        take: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<Whole, KernelError> {
        let result = match self.send() {
            Ok(()) => self.read_answer(operation, sequence, take),
            Err(source) => Err(KernelError::Socket { operation, source }),
        };
        // A dump that was not read to its end would go on in this socket.
        if let Err(KernelError::Socket { .. } | KernelError::Malformed { .. }) = result {
            let reopened = open(self.protocol);
            (self.socket, self.port, self.most) =
                reopened.map_err(|source| KernelError::Socket { operation: "open", source })?;
        }
        result
    }

    fn read_answer(
        &mut self,
        operation: &'static str,
        sequence: u32,
        mut take: impl FnMut(&Message<'_>) -> Result<(), Malformed>,
    ) -> Result<Whole, KernelError> {
        let mut whole = Whole::Yes;
        loop {
            if !self.receive().map_err(|source| KernelError::Socket { operation, source })? {
                continue;
            }
            for message in Messages::new(&self.datagram) {
                let message = message.map_err(|m| malformed(operation, m))?;
                if message.sequence != sequence {
                    continue;
                }
                if message.flags & INTERRUPTED != 0 {
                    whole = Whole::Interrupted;
                }
                let answer = match message.kind {
                    DONE => Answer::of_done(message.flags, message.payload),
                    ERROR => Answer::of_error(message.flags, message.payload)
                        .map_err(|m| malformed(operation, m))?,
                    _ => {
                        take(&message).map_err(|m| malformed(operation, m))?;
                        continue;
                    }
                };
                return if answer.code == 0 { Ok(whole) } else { Err(refused(operation, answer)) };
            }
        }
    }

    fn send(&self) -> io::Result<()> {
        uninterrupted(|| self.socket.send_to(&self.out, &SocketAddr::new(0, 0), 0)).map(drop)
    }

    /// Receives one datagram; `false` if it is not the kernel's, to be ignored.
    fn receive(&mut self) -> io::Result<bool> {
        let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
        self.datagram.clear();
        let (length, from) = uninterrupted(|| self.socket.recv_from(&mut self.datagram, flags))?;
        if length > self.datagram.len() {
            return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
        }
        Ok(from.port_number() == 0)
    }
}

impl AsFd for BatchSocket {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

/// Whether a state was read whole.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Whole {
    Yes,
    Interrupted,
}

fn malformed(operation: &'static str, malformed: Malformed) -> KernelError {
    KernelError::Malformed { operation, detail: malformed.to_string() }
}

fn refused(operation: &'static str, answer: Answer) -> KernelError {
    let source = io::Error::from_raw_os_error(answer.code);
    KernelError::Refused { operation, source, detail: answer.detail }
}

fn uninterrupted<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

fn open(protocol: isize) -> io::Result<(Socket, u32, usize)> {
    use nix::sys::socket::{setsockopt, sockopt};
    let mut socket = Socket::new(protocol)?;
    let port = socket.bind_auto()?.port_number();
    socket.set_ext_ack(true)?;
    socket.set_cap_ack(true)?;
    // Before Linux 4.20 dumps cannot be filtered in the kernel; who reads them filters again anyway.
    if let Err(error) = socket.set_netlink_get_strict_chk(true) {
        tracing::debug!(%error, "no strict checking of netlink requests");
    }
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE).is_err() {
        socket.set_rx_buf_sz(RECEIVE as libc::c_int)?;
    }
    let most = (socket.get_rx_buf_sz()? / ANSWER_COST).clamp(16, MOST_MESSAGES);
    Ok((socket, port, most))
}
