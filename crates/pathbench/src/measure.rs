//! The end that asks.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv6Addr, Shutdown, SocketAddr, TcpStream, UdpSocket};
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::schedule::{Turn, schedule};
use crate::serve::{COUNT, ECHO};
use crate::statistics::{Estimate, median};

/// How long an answer may take before the path counts as broken.
const LIMIT: Duration = Duration::from_secs(2);
/// Round trips before those that count: connections are known on every hop then, and caches are warm.
const PRIME: u32 = 50;
/// How long one slice of round trips or connections is.
const SLICE: Duration = Duration::from_millis(50);
/// How far the first path may be from itself for figures to be trusted.
const CONTROL: f64 = 0.02;
/// From which the order of slices follows.
const SEED: u64 = 1;

/// An address of the other end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Path {
    /// What it is called.
    pub name: String,
    /// Where to send to.
    pub address: IpAddr,
}

/// What to measure.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Asking {
    /// The paths; others are compared with the first.
    pub paths: Vec<Path>,
    /// The port that is served.
    pub port: u16,
    /// How long round trips of each kind, and connections, are measured.
    pub lasting: Duration,
    /// Bytes of one transfer; 0 for none.
    pub transfer: u64,
    /// How many transfers each path has.
    pub transfers: u32,
}

/// Why nothing was measured.
#[derive(Debug, thiserror::Error)]
pub enum MeasureError {
    /// There is nothing to compare.
    #[error("at least two paths are needed")]
    Paths,
    /// A path carries nothing.
    #[error("{name} ({address}): {what}: {source}")]
    Broken {
        /// Its name.
        name: String,
        /// Its address.
        address: SocketAddr,
        /// What was tried.
        what: &'static str,
        /// What came of it.
        source: io::Error,
    },
}

/// A kind of figure.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum What {
    /// A byte and its answer on a standing TCP connection, in seconds.
    TcpRoundTrip,
    /// A datagram of one byte and its answer, in seconds.
    UdpRoundTrip,
    /// A TCP connection from its opening until the answer to its first bytes, in seconds.
    TcpConnection,
    /// Bytes on one TCP connection, in bits per second.
    Throughput,
}

impl What {
    /// In words.
    pub fn words(self) -> &'static str {
        match self {
            What::TcpRoundTrip => "round trip, TCP",
            What::UdpRoundTrip => "round trip, UDP",
            What::TcpConnection => "new connection, TCP",
            What::Throughput => "throughput, one connection",
        }
    }
}

/// All paths by one kind of figure.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Compared {
    /// Which kind.
    pub what: What,
    /// The first path, measured under a second name, as a quotient of itself.
    pub control: Estimate,
    /// Whether the control is within 2 % of 1.
    pub trusted: bool,
    /// A figure for each path.
    pub figures: Vec<Figure>,
}

/// One path.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Figure {
    /// Its name.
    pub path: String,
    /// Its address.
    pub address: IpAddr,
    /// Median of all slices: seconds, or bits per second.
    pub value: f64,
    /// This path's figure as a quotient of the first path's, median of all rounds with its 95 % interval; none for
    /// the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub ratio: Option<Estimate>,
    /// This path's figure less the first path's, median of all rounds; none for the first.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub difference: Option<f64>,
}

/// Measures all paths. `progress` is told how many slices of how many are done.
///
/// # Errors
/// [`MeasureError`] if there is nothing to compare, or a path carries nothing.
pub fn measure(
    asking: &Asking,
    mut progress: impl FnMut(usize, usize),
) -> Result<Vec<Compared>, MeasureError> {
    if asking.paths.len() < 2 {
        return Err(MeasureError::Paths);
    }
    // The first path has two places: the last one is the control.
    let places = asking.paths.len() + 1;
    let rounds = (asking.lasting.as_millis() / (SLICE.as_millis() * places as u128)).clamp(3, 10_000) as u32;
    let kinds = [What::TcpRoundTrip, What::UdpRoundTrip, What::TcpConnection, What::Throughput];
    let kinds: Vec<(What, u32)> = kinds
        .into_iter()
        .map(|what| (what, if what == What::Throughput { asking.transfers } else { rounds }))
        .filter(|(what, rounds)| *rounds > 0 && (*what != What::Throughput || asking.transfer > 0))
        .collect();
    let total = kinds.iter().map(|(_, rounds)| *rounds as usize * places).sum();
    let (mut done, mut all) = (0, Vec::new());
    for (what, rounds) in kinds {
        let mut slices = vec![vec![0.0; rounds as usize]; places];
        for Turn { round, path: place } in schedule(rounds, places, SEED) {
            let path = &asking.paths[place % asking.paths.len()];
            slices[place][round as usize] = asking.slice(what, path)?;
            done += 1;
            progress(done, total);
        }
        all.push(compare(what, &asking.paths, &slices));
    }
    Ok(all)
}

/// `slices` has those of each path, and last those of the control.
fn compare(what: What, paths: &[Path], slices: &[Vec<f64>]) -> Compared {
    let with_first = |slices: &[f64], first: &[f64], of: fn(f64, f64) -> f64| -> Vec<f64> {
        slices.iter().zip(first).map(|(slice, first)| of(*slice, *first)).collect()
    };
    let first = &slices[0];
    let ratio = |slices: &[f64]| Estimate::of(&with_first(slices, first, |slice, first| slice / first));
    let control = ratio(&slices[paths.len()]);
    let figure = |(place, path): (usize, &Path)| Figure {
        path: path.name.clone(),
        address: path.address,
        value: median(&slices[place]),
        ratio: (place > 0).then(|| ratio(&slices[place])),
        difference: (place > 0)
            .then(|| median(&with_first(&slices[place], first, |slice, first| slice - first))),
    };
    let figures = paths.iter().enumerate().map(figure).collect();
    Compared { what, trusted: (control.median - 1.0).abs() <= CONTROL, control, figures }
}

impl Asking {
    /// The median of one slice.
    fn slice(&self, what: What, path: &Path) -> Result<f64, MeasureError> {
        let to = SocketAddr::new(path.address, self.port);
        let taken = match what {
            What::TcpRoundTrip => exchange(to),
            What::UdpRoundTrip => datagrams(to),
            What::TcpConnection => connections(to),
            What::Throughput => transfer(to, self.transfer),
        };
        taken.map_err(|source| MeasureError::Broken {
            name: path.name.clone(),
            address: to,
            what: what.words(),
            source,
        })
    }
}

/// Asks again and again for the time of a slice: the median time of a request in seconds.
fn repeat(prime: u32, mut ask: impl FnMut() -> io::Result<()>) -> io::Result<f64> {
    (0..prime).try_for_each(|_| ask())?;
    let began = Instant::now();
    let (mut times, mut last) = (Vec::new(), began);
    while last - began < SLICE || times.is_empty() {
        ask()?;
        let now = Instant::now();
        times.push((now - last).as_secs_f64());
        last = now;
    }
    Ok(median(&times))
}

/// A TCP connection without delay, which gives up what takes too long.
///
/// # Errors
/// If there is none in time.
pub fn connect(to: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect_timeout(&to, LIMIT)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(LIMIT))?;
    stream.set_write_timeout(Some(LIMIT))?;
    Ok(stream)
}

fn exchange(to: SocketAddr) -> io::Result<f64> {
    let mut stream = connect(to)?;
    stream.write_all(&[ECHO])?;
    let mut byte = [1];
    repeat(PRIME, || {
        stream.write_all(&byte)?;
        stream.read_exact(&mut byte)
    })
}

/// A UDP socket that sends to and hears of one address only, and gives up what takes too long.
///
/// # Errors
/// If there is no way to it.
pub fn datagram_socket(to: SocketAddr) -> io::Result<UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => ([0, 0, 0, 0], 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_read_timeout(Some(LIMIT))?;
    Ok(socket)
}

fn datagrams(to: SocketAddr) -> io::Result<f64> {
    let socket = datagram_socket(to)?;
    let mut byte = [1];
    repeat(PRIME, || {
        socket.send(&byte)?;
        socket.recv(&mut byte).map(drop)
    })
}

fn connections(to: SocketAddr) -> io::Result<f64> {
    repeat(1, || {
        let mut stream = connect(to)?;
        let mut byte = [1];
        stream.write_all(&[ECHO, 1])?;
        stream.read_exact(&mut byte)
    })
}

/// Bits per second until the other end has told that all is there.
fn transfer(to: SocketAddr, bytes: u64) -> io::Result<f64> {
    let mut stream = connect(to)?;
    stream.write_all(&[COUNT])?;
    let buffer = vec![0; 128 * 1024];
    let began = Instant::now();
    let mut left = bytes;
    while left > 0 {
        let part = buffer.len().min(usize::try_from(left).unwrap_or(usize::MAX));
        stream.write_all(&buffer[..part])?;
        left -= part as u64;
    }
    stream.shutdown(Shutdown::Write)?;
    let mut count = [0; 8];
    stream.read_exact(&mut count)?;
    let took = began.elapsed().as_secs_f64();
    if u64::from_be_bytes(count) != bytes {
        return Err(io::Error::other(format!("{} of {bytes} bytes arrived", u64::from_be_bytes(count))));
    }
    Ok(bytes as f64 * 8.0 / took)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn paths() -> Vec<Path> {
        let path =
            |name: &str, address: &str| Path { name: name.to_owned(), address: address.parse().unwrap() };
        vec![path("underlay", "192.0.2.1"), path("overlay", "198.18.0.1")]
    }

    #[test]
    fn a_path_that_takes_twice_as_long_in_each_round_is_twice_as_long_whatever_rounds_do() {
        let first: Vec<f64> = (1..=20).map(f64::from).collect();
        let second: Vec<f64> = first.iter().map(|slice| slice * 2.0).collect();
        let compared = compare(What::UdpRoundTrip, &paths(), &[first.clone(), second, first]);
        let ratio = compared.figures[1].ratio.unwrap();
        assert_eq!((ratio.low, ratio.median, ratio.high), (2.0, 2.0, 2.0));
        assert_eq!((compared.control.median, compared.trusted), (1.0, true));
        assert_eq!((compared.figures[0].ratio, compared.figures[0].difference), (None, None));
    }

    #[test]
    fn figures_of_a_path_that_differs_from_itself_are_not_trusted() {
        let first = vec![1.0; 9];
        let compared = compare(What::Throughput, &paths(), &[first, vec![2.0; 9], vec![1.03; 9]]);
        assert!(!compared.trusted);
    }

    #[test]
    fn one_path_alone_is_nothing_to_compare() {
        let asking = Asking {
            paths: paths()[..1].to_vec(),
            port: 1,
            lasting: Duration::ZERO,
            transfer: 0,
            transfers: 0,
        };
        assert!(matches!(measure(&asking, |_, _| {}), Err(MeasureError::Paths)));
    }
}
