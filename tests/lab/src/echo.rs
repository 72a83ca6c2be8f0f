//! The echo servers of a bed: one process that listens in the network of every node and pod, UDP and
//! TCP, both families, and says in each answer from where it saw the request come.

use std::io::{IoSlice, IoSliceMut, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::path::Path;
use std::thread;

use causeway_model::Family;
use nix::libc::{in_pktinfo, in6_pktinfo};
use nix::sys::socket::{
    ControlMessage, ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, sendmsg, setsockopt, sockopt,
};
use socket2::{Domain, Protocol, Socket, Type};

use crate::bed::endpoint_namespace;
use crate::error::{LabError, Result};
use crate::topology::Endpoint;
use crate::wire::{HEADER, Header};

/// The UDP and TCP port of the echo servers, and of the Services in front of them.
pub const ECHO_PORT: u16 = 7007;

/// The longest request over TCP; a longer one is taken for noise and the connection closed.
const LONGEST: usize = 4 << 20;
const STACK: usize = 128 << 10;

/// Serves for these endpoints until the process is ended. Makes the file `ready` once all listen.
pub(crate) fn serve(endpoints: &[Endpoint], ready: &Path) -> Result<()> {
    let mut threads = Vec::new();
    for endpoint in endpoints {
        let number = endpoint.number();
        let namespace = endpoint_namespace(endpoint);
        let sockets = namespace.within(|| {
            let listen = |family, kind| {
                listen(family, kind)
                    .map_err(|source| LabError::Socket { namespace: namespace.name().to_owned(), source })
            };
            let mut sockets = Vec::new();
            for family in Family::BOTH {
                sockets.push((listen(family, Type::DGRAM)?, listen(family, Type::STREAM)?));
            }
            Ok(sockets)
        })?;
        // A socket stays in the network that it was made in, whichever thread uses it.
        for (udp, tcp) in sockets {
            threads.push(spawn(move || serve_udp(&udp.into(), number))?);
            threads.push(spawn(move || serve_tcp(&tcp.into(), number))?);
        }
    }
    std::fs::write(ready, "").map_err(LabError::file("write", ready))?;
    for thread in threads {
        let _ = thread.join();
    }
    Ok(())
}

fn spawn(work: impl FnOnce() + Send + 'static) -> Result<thread::JoinHandle<()>> {
    thread::Builder::new().stack_size(STACK).spawn(work).map_err(LabError::run("a thread"))
}

fn listen(family: Family, kind: Type) -> std::io::Result<Socket> {
    let (domain, any) = match family {
        Family::V4 => (Domain::IPV4, IpAddr::V4(Ipv4Addr::UNSPECIFIED)),
        Family::V6 => (Domain::IPV6, IpAddr::V6(Ipv6Addr::UNSPECIFIED)),
    };
    let protocol = if kind == Type::DGRAM { Protocol::UDP } else { Protocol::TCP };
    let socket = Socket::new(domain, kind, Some(protocol))?;
    if family == Family::V6 {
        socket.set_only_v6(true)?;
    }
    if kind == Type::DGRAM {
        roomy(&socket)?;
        match family {
            Family::V4 => setsockopt(&socket, sockopt::Ipv4PacketInfo, &true)?,
            Family::V6 => setsockopt(&socket, sockopt::Ipv6RecvPacketInfo, &true)?,
        }
    }
    socket.set_reuse_address(true)?;
    socket.bind(&SocketAddr::new(any, ECHO_PORT).into())?;
    if kind == Type::STREAM {
        socket.listen(1024)?;
    }
    Ok(socket)
}

/// Gives a socket room for what comes while its thread waits for a CPU, so that a busy machine is
/// not taken for a path that loses packets: 16 MiB as root, else as much as the machine allows.
pub(crate) fn roomy(socket: &impl AsFd) -> std::io::Result<()> {
    const ROOM: usize = 16 << 20;
    match setsockopt(socket, sockopt::RcvBufForce, &ROOM) {
        Err(nix::errno::Errno::EPERM) => Ok(setsockopt(socket, sockopt::RcvBuf, &ROOM)?),
        result => Ok(result?),
    }
}

fn serve_udp(socket: &UdpSocket, number: u64) {
    let mut buffer = vec![0; 65_536];
    loop {
        // Errors here are ICMP errors of earlier answers: their clients are gone.
        let _ = echo_once(socket, number, &mut buffer);
    }
}

/// Answers one request from the address that it was sent to, as a node has several.
fn echo_once(socket: &UdpSocket, number: u64, buffer: &mut [u8]) -> nix::Result<()> {
    let mut control = nix::cmsg_space!(in6_pktinfo, in_pktinfo);
    let (len, peer, addressed) = {
        let mut parts = [IoSliceMut::new(buffer)];
        let flags = MsgFlags::empty();
        let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut parts, Some(&mut control), flags)?;
        (message.bytes, message.address, message.cmsgs()?.next())
    };
    let (Some(peer), Some(header)) = (peer, Header::read(&buffer[..len])) else { return Ok(()) };
    let Some(from) = socket_address(&peer) else { return Ok(()) };
    header.answer(from, number).write(buffer);
    let parts = [IoSlice::new(&buffer[..len])];
    let send = |control: &[ControlMessage<'_>]| {
        sendmsg(socket.as_raw_fd(), &parts, control, MsgFlags::empty(), Some(&peer)).map(drop)
    };
    match addressed {
        Some(ControlMessageOwned::Ipv4PacketInfo(info)) => {
            let info = in_pktinfo { ipi_ifindex: 0, ipi_spec_dst: info.ipi_addr, ipi_addr: info.ipi_addr };
            send(&[ControlMessage::Ipv4PacketInfo(&info)])
        }
        Some(ControlMessageOwned::Ipv6PacketInfo(info)) => {
            let info = in6_pktinfo { ipi6_ifindex: 0, ..info };
            send(&[ControlMessage::Ipv6PacketInfo(&info)])
        }
        _ => send(&[]),
    }
}

fn socket_address(peer: &SockaddrStorage) -> Option<SocketAddr> {
    let v4 = peer.as_sockaddr_in().map(|a| SocketAddr::new(IpAddr::V4(a.ip()), a.port()));
    v4.or_else(|| peer.as_sockaddr_in6().map(|a| SocketAddr::new(IpAddr::V6(a.ip()), a.port())))
}

fn serve_tcp(listener: &TcpListener, number: u64) {
    for stream in listener.incoming().flatten() {
        // A connection that gets no thread is closed, which the client sees.
        let _ = spawn(move || drop(serve_connection(stream, number)));
    }
}

fn serve_connection(mut stream: TcpStream, number: u64) -> std::io::Result<()> {
    let peer = stream.peer_addr()?;
    stream.set_nodelay(true)?;
    let mut buffer = vec![0; HEADER];
    loop {
        stream.read_exact(&mut buffer[..HEADER])?;
        let Some(header) = Header::read(&buffer).filter(|h| (HEADER..=LONGEST).contains(&(h.len as usize)))
        else {
            return Ok(());
        };
        buffer.resize(header.len as usize, 0);
        stream.read_exact(&mut buffer[HEADER..])?;
        header.answer(peer, number).write(&mut buffer);
        stream.write_all(&buffer)?;
    }
}
