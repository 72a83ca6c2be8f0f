//! Dumps that the kernel marks as interrupted (`NLM_F_DUMP_INTR`): next hops change between two datagrams of one dump.
//! The kernel fills the next datagram when this one is read, so a change that is made while the first is looked at falls
//! into the middle of every dump that takes more than one.

use std::cell::Cell;
use std::io::Write as _;
use std::process::{Command, Stdio};

use causeway_dataplane::KernelError;
use causeway_dataplane::netlink::{BatchSocket, wire};

use super::{in_namespace, run};

/// More than fit into one datagram, 32 KiB.
const NEXT_HOPS: u32 = 3_000;
/// `RTM_GETNEXTHOP`, `linux/rtnetlink.h`.
const RTM_GETNEXTHOP: u16 = 106;
/// `struct nhmsg` with no family: all next hops.
const ALL: [u8; 8] = [0; 8];

fn make_next_hops() {
    run("ip link add one type veth peer name other");
    run("ip link set other up");
    run("ip address add 192.0.2.1/24 dev one");
    run("ip link set one up");
    let mut batch = Command::new("ip").args(["-batch", "-"]).stdin(Stdio::piped()).spawn().expect("ip");
    let lines: String =
        (1..=NEXT_HOPS).map(|id| format!("nexthop add id {id} via 192.0.2.2 dev one\n")).collect();
    batch.stdin.take().expect("a pipe").write_all(lines.as_bytes()).expect("a batch");
    assert!(batch.wait().expect("ip").success());
}

/// Reads the ids of all next hops while another one comes or goes in the middle of each of the first `disturbed` dumps. What
/// was read, and how many dumps there were.
fn read(disturbed: u32) -> (Result<Vec<u32>, KernelError>, u32) {
    let mut socket = BatchSocket::open(libc::NETLINK_ROUTE as isize).expect("a socket");
    let (dumps, seen) = (Cell::new(0), Cell::new(0));
    let head = (RTM_GETNEXTHOP, wire::DUMP);
    let body = |body: &mut wire::Body<'_>| {
        dumps.set(dumps.get() + 1);
        seen.set(0);
        body.fixed(&ALL);
    };
    let ids = socket.query("reading next hops", head, body, |ids: &mut Vec<u32>, message| {
        if seen.get() == 0 && dumps.get() <= disturbed {
            let other = NEXT_HOPS + 1;
            match dumps.get() % 2 {
                1 => run(&format!("ip nexthop add id {other} blackhole")),
                _ => run(&format!("ip nexthop del id {other}")),
            };
        }
        seen.set(seen.get() + 1);
        let (_, attributes) = wire::fixed::<8>(message.payload)?;
        for attribute in attributes {
            let attribute = attribute?;
            // NHA_ID
            if attribute.kind == 1 {
                ids.push(attribute.u32()?);
            }
        }
        Ok(())
    });
    (ids, dumps.get())
}

#[test]
fn a_dump_that_is_interrupted_is_read_again_and_nothing_of_it_is_kept() {
    in_namespace(|| {
        make_next_hops();
        let (ids, dumps) = read(0);
        assert_eq!((ids.expect("all").len(), dumps), (NEXT_HOPS as usize, 1));
        // Twice interrupted: one that came, and that one gone again.
        let (ids, dumps) = read(2);
        let mut ids = ids.expect("the third dump is whole");
        ids.sort_unstable();
        assert_eq!((ids, dumps), ((1..=NEXT_HOPS).collect(), 3));
    });
}

#[test]
fn a_dump_that_is_interrupted_on_and_on_is_an_error_and_no_half_answer() {
    in_namespace(|| {
        make_next_hops();
        let (ids, dumps) = read(u32::MAX);
        match ids {
            Err(KernelError::Interrupted { operation, attempts }) => {
                assert_eq!((operation, attempts, dumps), ("reading next hops", 16, 16));
            }
            other => panic!("{:?}", other.map(|ids| ids.len())),
        }
    });
}
