//! The netlink socket to nf_tables, and how a transaction is sent.

use std::io;

use netlink_sys::SocketAddr;
use netlink_sys::constants::NETLINK_NETFILTER;
use nix::sys::socket::{setsockopt, sockopt};

use super::message::{Batch, encode};
use super::transaction::Transaction;
use crate::kernel::KernelError;
use crate::netlink::ack::Answer;
use crate::netlink::batch::BatchSocket;
use crate::netlink::wire::{ERROR, Messages};

/// What a message is called in errors.
const OPERATION: &str = "nftables transaction";
/// What the kernel takes of the send buffer beside the message itself.
const OVERHEAD: usize = 4096;
/// Room for one datagram of answers.
const DATAGRAM: usize = 64 * 1024;
/// Receive buffer in bytes that is asked for: each refused message of a transaction is answered.
const RECEIVE: usize = 4 << 20;

/// A connection to nf_tables of the network namespace in which it was opened. Blocking calls that
/// never wait: the kernel answers at once.
#[derive(Debug)]
pub struct Socket {
    /// For reading.
    pub(super) queries: BatchSocket,
    /// For transactions, which the kernel takes in one datagram only.
    changes: netlink_sys::Socket,
    sequence: u32,
}

impl Socket {
    /// Opens it in the current network namespace.
    ///
    /// # Errors
    /// [`KernelError::Socket`].
    pub fn open() -> Result<Socket, KernelError> {
        let queries = BatchSocket::open(NETLINK_NETFILTER)?;
        let changes = open_changes()
            .map_err(|source| KernelError::Socket { operation: "open for nftables", source })?;
        Ok(Socket { queries, changes, sequence: 1 })
    }

    /// The number under which others see changes made through this socket.
    ///
    /// # Errors
    /// [`KernelError::Socket`].
    pub fn port(&self) -> Result<u32, KernelError> {
        let mut address = SocketAddr::new(0, 0);
        self.changes
            .get_address(&mut address)
            .map_err(|source| KernelError::Socket { operation: "nftables", source })?;
        Ok(address.port_number())
    }
}

fn open_changes() -> io::Result<netlink_sys::Socket> {
    let mut socket = netlink_sys::Socket::new(NETLINK_NETFILTER)?;
    socket.bind_auto()?;
    socket.set_cap_ack(true)?;
    socket.set_ext_ack(true)?;
    if setsockopt(&socket, sockopt::RcvBufForce, &RECEIVE).is_err() {
        setsockopt(&socket, sockopt::RcvBuf, &RECEIVE)?;
    }
    Ok(socket)
}

/// Does all of `transaction`, or nothing.
///
/// # Errors
/// [`KernelError::Refused`] with the first change that the kernel refused; [`KernelError::Socket`] if
/// it could not be sent: `EMSGSIZE` means that the send buffer may not grow (`net.core.wmem_max`).
pub fn apply(socket: &mut Socket, transaction: &Transaction) -> Result<(), KernelError> {
    let first = socket.sequence;
    let batch = encode(transaction, first);
    socket.sequence = first.wrapping_add(batch.changes.len() as u32 + 2);
    send(&socket.changes, &batch.bytes)
        .map_err(|source| KernelError::Socket { operation: "send of an nftables transaction", source })?;
    let answers = Answers { first, batch: &batch, transaction };
    answers.read(&socket.changes)
}

fn send(socket: &netlink_sys::Socket, bytes: &[u8]) -> io::Result<()> {
    let room = bytes.len() + OVERHEAD;
    if setsockopt(socket, sockopt::SndBufForce, &room).is_err() {
        setsockopt(socket, sockopt::SndBuf, &room)?;
    }
    let sent = retry(|| socket.send_to(bytes, &SocketAddr::new(0, 0), 0))?;
    if sent == bytes.len() { Ok(()) } else { Err(io::Error::from_raw_os_error(libc::EMSGSIZE)) }
}

fn retry<T>(mut call: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match call() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}

struct Answers<'a> {
    first: u32,
    batch: &'a Batch,
    transaction: &'a Transaction,
}

impl Answers<'_> {
    /// Reads all answers: they are there when the transaction was sent.
    fn read(&self, socket: &netlink_sys::Socket) -> Result<(), KernelError> {
        let mut datagram = Vec::with_capacity(DATAGRAM);
        let mut confirmed = false;
        let mut refused = None;
        loop {
            datagram.clear();
            let flags = libc::MSG_DONTWAIT | libc::MSG_TRUNC;
            let (length, from) = match retry(|| socket.recv_from(&mut datagram, flags)) {
                Ok(received) => received,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                // Some answers found no room. The first, which says why, came before them.
                Err(error) if error.raw_os_error() == Some(libc::ENOBUFS) && refused.is_some() => continue,
                Err(source) => {
                    return Err(KernelError::Socket { operation: "receive nftables answers", source });
                }
            };
            if length > datagram.len() {
                return Err(malformed("answer is longer than 64 KiB"));
            }
            if from.port_number() != 0 {
                continue;
            }
            for message in Messages::new(&datagram) {
                let message = message.map_err(|error| malformed(&error.to_string()))?;
                let at = message.sequence.wrapping_sub(self.first) as usize;
                if message.kind != ERROR || at > self.batch.changes.len() + 1 {
                    continue;
                }
                let answer = Answer::of_error(message.flags, message.payload)
                    .map_err(|error| malformed(&error.to_string()))?;
                if answer.code == 0 {
                    confirmed |= at == self.batch.changes.len();
                } else if refused.is_none() {
                    refused = Some(self.refusal(at, answer));
                }
            }
        }
        match refused {
            Some(error) => Err(error),
            None if confirmed => Ok(()),
            None => Err(malformed("no answer to the last change")),
        }
    }

    /// The error of the message `at` places after the first one.
    fn refusal(&self, at: usize, answer: Answer) -> KernelError {
        let change = at
            .checked_sub(1)
            .and_then(|at| self.batch.changes.get(at))
            .and_then(|at| self.transaction.changes().get(*at));
        let named = change
            .map(|change| format!(": {}", change.summary(self.transaction.table())))
            .unwrap_or_default();
        KernelError::Refused {
            operation: OPERATION,
            source: io::Error::from_raw_os_error(answer.code),
            detail: format!("{named}{}", answer.detail),
        }
    }
}

fn malformed(detail: &str) -> KernelError {
    KernelError::Malformed { operation: OPERATION, detail: detail.to_owned() }
}
