//! The end that answers: bytes back over UDP and TCP, or, of a connection that begins so, a count of bytes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// The first byte of a connection whose bytes come back.
pub(crate) const ECHO: u8 = b'e';
/// The first byte of a connection whose bytes are counted: after the end of them comes their number.
pub(crate) const COUNT: u8 = b'c';
/// Connections at once; more wait.
const CONNECTIONS: usize = 64;
/// How often it is looked whether the time is over.
const TICK: Duration = Duration::from_millis(100);
/// How long accepting rests when nobody asks. Connections wait for it once, before they are measured.
const REST: Duration = Duration::from_millis(1);
/// How long a connection may be silent.
const SILENCE: Duration = Duration::from_secs(5);

/// What to serve.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Serving {
    /// Addresses, TCP and UDP. Answers to datagrams come from the address that was asked only if it is named here, or if
    /// the way back to who asked begins at it.
    pub listen: Vec<IpAddr>,
    /// The port; 0 takes one that is free.
    pub port: u16,
    /// Who is answered; nobody else is. Empty: everybody.
    pub from: Vec<IpAddr>,
    /// How long.
    pub lasting: Duration,
}

impl Serving {
    fn answers(&self, who: SocketAddr) -> bool {
        self.from.is_empty() || self.from.contains(&who.ip().to_canonical())
    }
}

/// Until when something lasts.
#[derive(Clone, Copy)]
struct Until<'a> {
    end: Instant,
    stop: &'a AtomicBool,
}

impl Until<'_> {
    fn is_over(self) -> bool {
        self.stop.load(Ordering::Relaxed) || Instant::now() >= self.end
    }
}

/// Serves until the time is over, or `stop` is set. `listening` is told the port when it listens.
///
/// # Errors
/// If it cannot listen, with the address.
pub fn serve(serving: &Serving, stop: &AtomicBool, listening: impl FnOnce(u16)) -> io::Result<()> {
    let until = Until { end: Instant::now() + serving.lasting, stop };
    let (mut port, mut sockets) = (serving.port, Vec::new());
    for address in &serving.listen {
        let both = bind(SocketAddr::new(*address, port));
        let both =
            both.map_err(|error| io::Error::new(error.kind(), format!("{address} port {port}: {error}")))?;
        port = both.0.local_addr()?.port();
        sockets.push(both);
    }
    listening(port);
    let connections = AtomicUsize::new(0);
    thread::scope(|scope| {
        for (listener, socket) in &sockets {
            scope.spawn(|| datagrams(socket, serving, until));
            scope.spawn(|| accept(listener, serving, &connections, until));
        }
    });
    Ok(())
}

fn bind(address: SocketAddr) -> io::Result<(TcpListener, UdpSocket)> {
    let listener = TcpListener::bind(address)?;
    let socket = UdpSocket::bind(listener.local_addr()?)?;
    listener.set_nonblocking(true)?;
    socket.set_read_timeout(Some(TICK))?;
    Ok((listener, socket))
}

fn accept(listener: &TcpListener, serving: &Serving, connections: &AtomicUsize, until: Until<'_>) {
    thread::scope(|scope| {
        while !until.is_over() {
            let room = connections.load(Ordering::Relaxed) < CONNECTIONS;
            let Some((stream, who)) = room.then(|| listener.accept().ok()).flatten() else {
                thread::sleep(REST);
                continue;
            };
            if serving.answers(who) {
                connections.fetch_add(1, Ordering::Relaxed);
                scope.spawn(move || {
                    // A client that went away ends its connection, not the server.
                    let _ = connection(stream, until);
                    connections.fetch_sub(1, Ordering::Relaxed);
                });
            }
        }
    });
}

fn datagrams(socket: &UdpSocket, serving: &Serving, until: Until<'_>) {
    let mut buffer = [0; 2048];
    while !until.is_over() {
        // Nothing came, or an ICMP error for an earlier answer.
        let Ok((length, who)) = socket.recv_from(&mut buffer) else { continue };
        if serving.answers(who) {
            let _ = socket.send_to(&buffer[..length], who);
        }
    }
}

fn connection(mut stream: TcpStream, until: Until<'_>) -> io::Result<()> {
    // Where accepted connections take over what the listener is.
    stream.set_nonblocking(false)?;
    stream.set_nodelay(true)?;
    stream.set_write_timeout(Some(SILENCE))?;
    stream.set_read_timeout(Some(SILENCE))?;
    let mut kind = [0];
    stream.read_exact(&mut kind)?;
    let mut buffer = vec![0; 64 * 1024];
    let mut count = 0u64;
    while !until.is_over() {
        let length = match stream.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        count += length as u64;
        if kind == [ECHO] {
            stream.write_all(&buffer[..length])?;
        }
    }
    if kind == [COUNT] {
        stream.write_all(&count.to_be_bytes())?;
    }
    Ok(())
}
