//! Connections to Services, as programs of this node open them, and an ear for requests that leave this node without having
//! been translated: those that kube-proxy, or whoever does its work, left alone.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsRawFd;

use causeway_api::{DiagnosisService, Ip, ServiceEvidence};
use causeway_dataplane::device::Device;
use causeway_model::ClusterName;
use nix::net::if_::if_indextoname;
use nix::sys::socket::{LinkAddr, recvfrom};
use socket2::{Domain, Protocol, Socket, Type};

use super::filters::{self, SNAP};
use super::overheard::ear;

/// Connections that are tried to each Service.
const TRIES: i64 = 3;
/// Services that are tried at most.
const SERVICES: usize = 16;
/// `PACKET_OUTGOING` of `packet(7)`.
const OUTGOING: u8 = 4;

/// The Services of one test.
pub struct Services {
    all: Vec<(SocketAddr, ServiceEvidence)>,
    under_way: Vec<Try>,
    /// Absent where links cannot be listened to.
    ear: Option<Socket>,
}

/// A connection that was not answered yet.
struct Try {
    service: usize,
    socket: Socket,
}

impl Services {
    /// Prepares for these. Of those of `own` cluster it is heard whether requests leave untranslated. What cannot be
    /// done is told.
    pub fn open(
        asked: &[DiagnosisService],
        own: Option<&ClusterName>,
        unknown: &mut Vec<String>,
    ) -> Services {
        let is_own = |cluster: &str| own.is_some_and(|own| own.as_str() == cluster);
        let ear = match asked.iter().any(|service| is_own(&service.cluster)).then(Services::listen) {
            Some(Err(error)) => {
                unknown.push(format!("listening for requests to Services: {error}"));
                None
            }
            Some(Ok(ear)) => Some(ear),
            None => None,
        };
        let all = asked.iter().filter_map(|service| {
            let DiagnosisService { cluster, name, address: Ip(address), port } = service;
            let evidence = ServiceEvidence {
                cluster: cluster.clone(),
                name: name.clone(),
                address: service.address.clone(),
                port: *port,
                untranslated: (ear.is_some() && is_own(cluster)).then_some(0),
                ..ServiceEvidence::default()
            };
            Some((SocketAddr::new(address.parse().ok()?, u16::try_from(*port).ok()?), evidence))
        });
        Services { all: all.take(SERVICES).collect(), under_way: Vec::new(), ear }
    }

    fn listen() -> io::Result<Socket> {
        let ear = ear(&filters::connection_requests())?;
        // What came in before the program stood.
        requests(&ear, |_, _| {});
        Ok(ear)
    }

    /// Tries all once more, if they were not tried often enough. Answers are taken by [`Services::take`].
    pub fn try_all(&mut self) {
        for (index, (address, evidence)) in self.all.iter_mut().enumerate() {
            if evidence.tried == TRIES {
                continue;
            }
            evidence.tried += 1;
            match connect(*address) {
                Ok(socket) => self.under_way.push(Try { service: index, socket }),
                Err(error) => note(evidence, &error),
            }
        }
    }

    /// Takes what was answered, and heard, since the last call.
    pub fn take(&mut self) {
        let Services { all, under_way, ear } = self;
        under_way.retain(|Try { service, socket }| {
            let evidence = &mut all[*service].1;
            match (socket.take_error(), socket.peer_addr()) {
                (Ok(Some(error)) | Err(error), _) => note(evidence, &error),
                (Ok(None), Ok(_)) => evidence.answered += 1,
                (Ok(None), Err(_)) => return true,
            }
            false
        });
        let Some(ear) = ear else { return };
        requests(ear, |to, link| {
            let untranslated = all.iter_mut().filter(|(address, _)| *address == to);
            for (_, evidence) in untranslated {
                let Some(count) = &mut evidence.untranslated else { continue };
                *count += 1;
                evidence.link = Some(link.to_owned());
            }
        });
    }

    /// How all of it ended.
    pub fn evidence(self) -> Vec<ServiceEvidence> {
        self.all.into_iter().map(|(_, evidence)| evidence).collect()
    }
}

/// Why a connection did not come about. A Service without endpoints refuses: so somebody knew it.
fn note(evidence: &mut ServiceEvidence, error: &io::Error) {
    if error.kind() == io::ErrorKind::ConnectionRefused {
        evidence.answered += 1;
    } else {
        evidence.refused = Some(error.to_string());
    }
}

/// A connection that is being opened, and is reset when it is given up.
fn connect(to: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, Some(Protocol::TCP))?;
    socket.set_nonblocking(true)?;
    // Nothing is left of it, neither here nor at a backend.
    socket.set_linger(Some(std::time::Duration::ZERO))?;
    match socket.connect(&to.into()) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(socket),
    }
}

/// Requests that left over a link since the last call, other than our own tunnels: where to, and over which.
fn requests(ear: &Socket, mut take: impl FnMut(SocketAddr, &str)) {
    let mut buffer = [0; SNAP as usize];
    let mut names: BTreeMap<usize, String> = BTreeMap::new();
    // Whatever the error is, there is nothing more to read now.
    while let Ok((length, link)) = recvfrom::<LinkAddr>(ear.as_raw_fd(), &mut buffer) {
        let Some(link) = link.filter(|link| link.pkttype() == OUTGOING) else { continue };
        let Some(to) = destination(&buffer[..length.min(buffer.len())]) else { continue };
        let name = names.entry(link.ifindex()).or_insert_with(|| name(link.ifindex()));
        // What is for a Service of this cluster enters no tunnel of ours but those to own nodes.
        if name != "lo" && Device::from_name(name).is_none() {
            take(to, name);
        }
    }
}

fn name(index: usize) -> String {
    let name = u32::try_from(index).ok().and_then(|index| if_indextoname(index).ok());
    name.and_then(|name| name.into_string().ok()).unwrap_or_default()
}

/// The destination of a TCP packet.
fn destination(packet: &[u8]) -> Option<SocketAddr> {
    let (address, header) = match packet.first()? >> 4 {
        4 => (
            IpAddr::from(<[u8; 4]>::try_from(packet.get(16..20)?).ok()?),
            usize::from(packet.first()? & 15) * 4,
        ),
        6 => (IpAddr::from(<[u8; 16]>::try_from(packet.get(24..40)?).ok()?), 40),
        _ => return None,
    };
    let port = <[u8; 2]>::try_from(packet.get(header + 2..header + 4)?).ok()?;
    Some(SocketAddr::new(address, u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::time::{Duration, Instant};

    use super::*;

    fn asked(address: SocketAddr) -> DiagnosisService {
        let (address, port) = (Ip::from(address.ip()), address.port().into());
        DiagnosisService { cluster: "b".to_owned(), name: "default/web".to_owned(), address, port }
    }

    #[test]
    fn who_accepts_and_who_refuses_has_answered() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let there = listener.local_addr().unwrap();
        let gone = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let mut services = Services::open(&[asked(there), asked(gone)], None, &mut Vec::new());
        let limit = Instant::now() + Duration::from_secs(20);
        for _ in 0..5 {
            services.try_all();
        }
        while !services.under_way.is_empty() {
            assert!(Instant::now() < limit, "no answer");
            services.take();
        }
        for evidence in services.evidence() {
            assert_eq!((evidence.tried, evidence.answered), (TRIES, TRIES), "{evidence:?}");
            assert_eq!((evidence.untranslated, &evidence.refused), (None, &None));
        }
    }

    #[test]
    fn what_the_kernel_will_not_send_is_told_in_its_words() {
        // Without a broadcast option nothing goes to that address.
        let nowhere = asked("255.255.255.255:80".parse().unwrap());
        let mut services = Services::open(&[nowhere], None, &mut Vec::new());
        services.try_all();
        let evidence = services.evidence();
        assert_eq!((evidence[0].tried, evidence[0].answered), (1, 0));
        assert!(evidence[0].refused.is_some(), "{evidence:?}");
    }

    #[test]
    fn the_destination_is_told_of_both_families_and_of_nothing_else() {
        let mut v4 = vec![0x46; 24];
        v4[16..20].copy_from_slice(&[10, 96, 0, 1]);
        v4.extend([0xc0, 0, 1, 0xbb]);
        assert_eq!(destination(&v4), Some("10.96.0.1:443".parse().unwrap()));
        let mut v6 = vec![0x60; 24];
        v6.extend([0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0xc0, 0, 0, 80]);
        assert_eq!(destination(&v6), Some("[fd00::1]:80".parse().unwrap()));
        assert_eq!((destination(&[]), destination(&v4[..24]), destination(&v6[..40])), (None, None, None));
    }
}
