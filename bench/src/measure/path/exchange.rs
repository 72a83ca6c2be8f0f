//! Requests and their answers, one at a time: round trips of one connection, or a new connection for each.
//!
//! Client and server are threads of this process, so nothing but the network is between them. Round trips are
//! timed one by one; the median of a slice is little moved by what else runs on the machine.

use std::io::{self, Read, Write};
use std::net::{Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use causeway_lab::ECHO_PORT;
use serde::{Deserialize, Serialize};

use super::namespace::{enter, pin, processors, within};
use super::{Path, servers};
use crate::child::{Measurement, Place};
use crate::clock::thread_time;
use causeway_pathbench::measure::{connect, datagram_socket};
use causeway_pathbench::schedule::{Turn, schedule};
use causeway_pathbench::statistics::median;

/// Round trips before those that count: the connection is established on every hop then, and caches are warm.
const PRIME: u32 = 200;

/// What carries the requests.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Protocol {
    /// TCP without delay.
    Tcp,
    /// UDP.
    Udp,
}

/// Where the two ends run.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Placement {
    /// Both on one processor: the time is what the path costs.
    OneProcessor,
    /// Each on one of its own: what a user sees, waking the other processor included.
    TwoProcessors,
}

/// What is asked.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub enum Mode {
    /// Requests and answers of so many bytes on one connection.
    Exchange {
        /// What carries them.
        protocol: Protocol,
        /// Bytes of a request and of an answer; they fit into one packet.
        bytes: usize,
    },
    /// So many bytes on one TCP connection, and one byte back when all of them have come: what one stream carries.
    Block {
        /// Bytes of a request; many segments.
        bytes: usize,
    },
    /// A TCP connection for each request of one byte, from its opening to its end.
    Connect,
}

/// Slices of requests over several paths.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Exchanges {
    /// The paths.
    pub paths: Vec<Path>,
    /// What is asked.
    pub mode: Mode,
    /// Where the ends run.
    pub placement: Placement,
    /// How often each path has its turn.
    pub rounds: u32,
    /// How long a slice is, in milliseconds.
    pub slice: u64,
    /// From which the order follows.
    pub seed: u64,
}

/// One slice.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
pub struct Slice {
    /// The path, by its place in the list.
    pub path: usize,
    /// The round.
    pub round: u32,
    /// Median time of a request in seconds.
    pub median: f64,
    /// Mean time of a request in seconds.
    pub mean: f64,
    /// Processor time of a request in seconds: of both ends, and of the kernel on their behalf.
    pub cpu: f64,
}

impl Measurement for Exchanges {
    const NAME: &'static str = "path-exchanges";
    const PLACE: Place = Place::Here;
    type Outcome = Vec<Slice>;

    fn measure(&self) -> Result<Vec<Slice>> {
        let (first, last) = processors()?;
        let client = match self.placement {
            Placement::OneProcessor => first,
            Placement::TwoProcessors if first == last => bail!("there is only one processor"),
            Placement::TwoProcessors => last,
        };
        let server = |name| Ok((name, Server::start(name, self.mode, first)?));
        let servers: Vec<(&str, Server)> =
            servers(&self.paths).into_iter().map(server).collect::<Result<_>>()?;
        let turns = schedule(self.rounds, self.paths.len(), self.seed);
        let slice = |turn: Turn| {
            let path = &self.paths[turn.path];
            let server = servers.iter().find(|(name, _)| *name == path.to).context("a server")?;
            let taken = within(&path.from, || {
                pin(client)?;
                self.slice(path, &server.1)
            });
            let (times, cpu) = taken.with_context(|| format!("from {} to {}", path.from, path.address))?;
            let mean = times.iter().sum::<f64>() / times.len() as f64;
            let cpu = cpu / times.len() as f64;
            Ok(Slice { path: turn.path, round: turn.round, median: median(&times), mean, cpu })
        };
        turns.into_iter().map(slice).collect()
    }
}

impl Exchanges {
    /// Times of the requests of one slice in seconds, and the processor time of all of them.
    fn slice(&self, path: &Path, server: &Server) -> Result<(Vec<f64>, f64)> {
        let to = SocketAddr::new(path.address, ECHO_PORT);
        let mut ask: Box<dyn FnMut() -> Result<()>> = match self.mode {
            Mode::Connect => Box::new(move || connect_once(to)),
            Mode::Exchange { protocol: Protocol::Tcp, bytes } => {
                let (mut stream, mut buffer) = (connect(to)?, vec![1; bytes]);
                Box::new(move || {
                    stream.write_all(&buffer)?;
                    Ok(stream.read_exact(&mut buffer)?)
                })
            }
            Mode::Exchange { protocol: Protocol::Udp, bytes } => ask_by_datagram(to, bytes)?,
            Mode::Block { bytes } => {
                let (mut stream, block) = (connect(to)?, vec![1; bytes]);
                Box::new(move || {
                    stream.write_all(&block)?;
                    Ok(stream.read_exact(&mut [0])?)
                })
            }
        };
        let prime = match self.mode {
            Mode::Exchange { .. } => PRIME,
            // The congestion window is open by then.
            Mode::Block { .. } => PRIME / 10,
            Mode::Connect => 2,
        };
        (0..prime).try_for_each(|_| ask())?;
        let cpu = || Ok::<f64, anyhow::Error>(thread_time()?.as_secs_f64() + server.processor_time()?);
        let (before, began) = (cpu()?, Instant::now());
        let (mut times, mut last) = (Vec::new(), began);
        while last - began < Duration::from_millis(self.slice) {
            ask()?;
            let now = Instant::now();
            times.push((now - last).as_secs_f64());
            last = now;
        }
        ensure!(!times.is_empty(), "no request had an answer");
        Ok((times, cpu()? - before))
    }
}

/// A few requests over UDP, to see which way they take.
///
/// # Errors
/// If one has no answer.
pub fn ask_some(path: &Path, count: u32) -> Result<()> {
    within(&path.from, || {
        let mut ask = ask_by_datagram(SocketAddr::new(path.address, ECHO_PORT), 64)?;
        (0..count).try_for_each(|_| ask())
    })
}

fn ask_by_datagram(to: SocketAddr, bytes: usize) -> Result<Box<dyn FnMut() -> Result<()>>> {
    let socket = datagram_socket(to)?;
    let mut buffer = vec![1; bytes];
    Ok(Box::new(move || {
        socket.send(&buffer)?;
        let length = socket.recv(&mut buffer)?;
        ensure!(length == buffer.len(), "an answer of {length} bytes");
        Ok(())
    }))
}

/// Opens, asks, and waits until the other end has closed, so that it and not this end keeps the address in TIME_WAIT.
fn connect_once(to: SocketAddr) -> Result<()> {
    let (mut stream, mut answer) = (connect(to)?, Vec::new());
    stream.write_all(&[1])?;
    stream.read_to_end(&mut answer)?;
    ensure!(answer.len() == 1, "an answer of {} bytes", answer.len());
    Ok(())
}

/// An echo server in a namespace. It runs until this process ends.
pub struct Server {
    /// What the kernel counts of its thread.
    schedstat: String,
}

impl Server {
    /// Starts one, and returns when it listens.
    ///
    /// # Errors
    /// If it cannot listen.
    pub fn start(namespace: &str, mode: Mode, cpu: usize) -> Result<Server> {
        let (tell, told) = mpsc::channel();
        let name = namespace.to_owned();
        thread::spawn(move || {
            let _ = match mode {
                Mode::Exchange { protocol: Protocol::Udp, .. } => serve_datagrams(&name, cpu, &tell),
                Mode::Exchange { .. } => serve_connections(&name, cpu, echo, &tell),
                Mode::Block { bytes } => {
                    serve_connections(&name, cpu, |stream| acknowledge(stream, bytes), &tell)
                }
                Mode::Connect => serve_connections(&name, cpu, echo_once, &tell),
            }
            .map_err(|error| tell.send(Err(error)));
        });
        let thread = told.recv().context("a server")?.with_context(|| format!("a server in {namespace}"))?;
        Ok(Server { schedstat: format!("/proc/self/task/{thread}/schedstat") })
    }

    /// Seconds that its thread has run. Up to date while it waits.
    fn processor_time(&self) -> Result<f64> {
        let text = std::fs::read_to_string(&self.schedstat).with_context(|| self.schedstat.clone())?;
        let first = text.split(' ').next().and_then(|nanoseconds| nanoseconds.parse::<f64>().ok());
        Ok(first.with_context(|| self.schedstat.clone())? / 1e9)
    }
}

type Listening = mpsc::Sender<Result<nix::unistd::Pid>>;

/// Of both families.
fn any() -> SocketAddr {
    (Ipv6Addr::UNSPECIFIED, ECHO_PORT).into()
}

fn serve_datagrams(namespace: &str, cpu: usize, listening: &Listening) -> Result<()> {
    enter(namespace)?;
    pin(cpu)?;
    let socket = UdpSocket::bind(any())?;
    let _ = listening.send(Ok(nix::unistd::gettid()));
    let mut buffer = [0; 2048];
    loop {
        let (length, from) = socket.recv_from(&mut buffer)?;
        socket.send_to(&buffer[..length], from)?;
    }
}

fn serve_connections(
    namespace: &str,
    cpu: usize,
    serve: impl Fn(&mut TcpStream) -> io::Result<()>,
    listening: &Listening,
) -> Result<()> {
    enter(namespace)?;
    pin(cpu)?;
    let listener = TcpListener::bind(any())?;
    let _ = listening.send(Ok(nix::unistd::gettid()));
    loop {
        let (mut stream, _) = listener.accept()?;
        stream.set_nodelay(true)?;
        // A client that went away ends its connection, not the server.
        let _ = serve(&mut stream);
    }
}

fn echo(stream: &mut TcpStream) -> io::Result<()> {
    let mut buffer = [0; 4096];
    loop {
        match stream.read(&mut buffer)? {
            0 => return Ok(()),
            length => stream.write_all(&buffer[..length])?,
        }
    }
}

fn echo_once(stream: &mut TcpStream) -> io::Result<()> {
    let mut byte = [0];
    stream.read_exact(&mut byte)?;
    stream.write_all(&byte)
}

fn acknowledge(stream: &mut TcpStream, bytes: usize) -> io::Result<()> {
    let mut block = vec![0; bytes];
    loop {
        stream.read_exact(&mut block)?;
        stream.write_all(&[1])?;
    }
}
