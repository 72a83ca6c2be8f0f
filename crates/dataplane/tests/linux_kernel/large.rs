//! Batches of thousands, and errors in the middle of them.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use super::*;
use causeway_dataplane::KernelError;
use causeway_dataplane::netlink::BatchSocket;
use causeway_dataplane::state::metric;

const MANY: u32 = 5_000;

/// Ends the other thread, also when this one fails.
struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

struct Peer {
    overlay: [IpAddr; 2],
    underlay: IpAddr,
    mac: Mac,
    pods: [Prefix; 2],
}

fn peer(number: u32) -> Peer {
    let overlay = Ipv4Addr::from(0xc612_1000 + number);
    let underlay = Ipv4Addr::from(0xac10_0000 + number);
    let at = |base: u128| IpAddr::V6((base + u128::from(number)).into());
    Peer {
        overlay: [IpAddr::V4(overlay), at(0xfd00_0000_0000_0000_0000_0000_0001_0000)],
        underlay: IpAddr::V4(underlay),
        mac: Mac::of_vtep(overlay),
        pods: [
            Prefix::host(IpAddr::V4(Ipv4Addr::from(0x0a80_0000 + number))),
            Prefix::host(at(0x2001_0db8_0000_0000_0000_0000_0000_0000)),
        ],
    }
}

fn steps_of(number: u32) -> Vec<Step> {
    let peer = peer(number);
    let mut steps = vec![Step::ReplaceFdb(BRIDGE, peer.mac, peer.underlay)];
    for (overlay, pods) in peer.overlay.into_iter().zip(peer.pods) {
        let hop = Hop::Gateway(NextHop { device: BRIDGE, gateway: overlay });
        steps.push(Step::ReplaceNeighbour(BRIDGE, overlay, peer.mac));
        steps.push(Step::ReplaceRoute(pods, metric(&pods), route(hop)));
    }
    steps
}

/// Observes until `whole` holds. All network namespaces share the kernel's neighbour table, and a dump
/// passes over an entry whose bucket another one changes just then.
fn observe_until(kernel: &mut LinuxKernel, whole: impl Fn(&Observed) -> bool) -> Observed {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let observed = observe(kernel);
        if whole(&observed) {
            return observed;
        }
        assert!(Instant::now() < deadline, "{} neighbours", observed.neighbours.len());
    }
}

#[test]
fn five_thousand_peers_are_written_read_written_again_and_removed() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        let steps: Vec<Step> = (0..MANY).flat_map(steps_of).collect();
        kernel.apply(&steps).unwrap();
        let many = MANY as usize;
        let observed = observe_until(&mut kernel, |observed| observed.neighbours.len() == 2 * many);
        assert_eq!((observed.fdb.len(), observed.routes.len()), (many, 2 * many));
        for number in 0..MANY {
            let peer = peer(number);
            assert_eq!(observed.fdb.get(&(BRIDGE, peer.mac)), Some(&peer.underlay));
            for (overlay, pods) in peer.overlay.into_iter().zip(peer.pods) {
                assert_eq!(observed.neighbours.get(&(BRIDGE, overlay)), Some(&peer.mac));
                let hop = Hop::Gateway(NextHop { device: BRIDGE, gateway: overlay });
                assert_eq!(observed.routes.get(&(pods, metric(&pods))), Some(&route(hop)));
            }
        }
        kernel.apply(&steps).unwrap();
        let again = observe(&mut kernel);
        assert_eq!((&again.fdb, &again.routes), (&observed.fdb, &observed.routes));

        let routes = observed.routes.iter();
        let mut remove: Vec<Step> = routes.map(|((p, metric), _)| Step::DelRoute(*p, *metric)).collect();
        remove.extend(observed.neighbours.iter().map(|((d, a), _)| Step::DelNeighbour(*d, *a)));
        remove.extend(observed.fdb.iter().map(|((d, m), to)| Step::DelFdb(*d, *m, *to)));
        kernel.apply(&remove).unwrap();
        let observed = observe(&mut kernel);
        assert!(observed.routes.is_empty() && observed.neighbours.is_empty() && observed.fdb.is_empty());
    });
}

#[test]
fn errors_all_over_a_large_batch_are_each_matched_to_their_step() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        // Every third step and a long run of them remove what is not there.
        let fails = |number: u32| number.is_multiple_of(3) || (1_000..3_500).contains(&number);
        let steps: Vec<Step> = (0..MANY)
            .map(|number| {
                let peer = peer(number);
                if fails(number) {
                    Step::DelFdb(BRIDGE, peer.mac, peer.underlay)
                } else {
                    Step::ReplaceFdb(BRIDGE, peer.mac, peer.underlay)
                }
            })
            .collect();
        let error = kernel.apply(&steps).unwrap_err();
        let failed: Vec<u32> = error.failed.iter().map(|step| step.index as u32).collect();
        assert_eq!(failed, (0..MANY).filter(|number| fails(*number)).collect::<Vec<_>>());
        let refused = |error: &KernelError| {
            matches!(error, KernelError::Refused { source, .. }
                if source.raw_os_error() == Some(libc::ENOENT))
        };
        assert!(error.failed.iter().all(|step| refused(&step.error)));
        assert_eq!(observe(&mut kernel).fdb.len(), (0..MANY).filter(|number| !fails(*number)).count());
    });
}

#[test]
fn answers_that_found_no_room_make_their_changes_count_as_failed() {
    in_namespace(|| {
        use nix::sys::socket::{setsockopt, sockopt};
        let mut socket = BatchSocket::open(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
        setsockopt(&socket, sockopt::RcvBuf, &4096).unwrap();
        let remove_nothing = |socket: &mut BatchSocket, tag| {
            socket.push(tag, "removing a link", (libc::RTM_DELLINK, 0), |body| {
                body.fixed(&[0; 4]);
                body.fixed(&0x7fff_0000_u32.to_ne_bytes());
                body.fixed(&[0; 8]);
            });
        };
        (0..500).for_each(|tag| remove_nothing(&mut socket, tag));
        let mut failed = socket.finish();
        failed.sort_by_key(|(tag, _)| *tag);
        assert!(failed.iter().map(|(tag, _)| *tag).eq(0..500));
        let unknown = |error: &KernelError| {
            matches!(error, KernelError::Socket { source, .. }
                if source.raw_os_error() == Some(libc::ENOBUFS))
        };
        assert!(failed.iter().any(|(_, error)| unknown(error)));
        assert!(failed.iter().any(|(_, error)| matches!(error, KernelError::Refused { .. })));
        // What was lost does not disturb what follows.
        remove_nothing(&mut socket, 7);
        let failed = socket.finish();
        assert!(matches!(failed[..], [(7, KernelError::Refused { .. })]), "{failed:?}");
    });
}

#[test]
fn forwarding_entries_that_change_while_they_are_read_look_like_no_drift() {
    in_namespace(|| {
        let mut kernel = kernel();
        kernel.apply(&ground(BRIDGE)).unwrap();
        kernel.apply(&(0..MANY).flat_map(steps_of).collect::<Vec<_>>()).unwrap();
        let done = AtomicBool::new(false);
        let namespace = std::fs::File::open("/proc/thread-self/ns/net").unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                nix::sched::setns(&namespace, nix::sched::CloneFlags::CLONE_NEWNET).unwrap();
                let mut other = super::kernel();
                observe(&mut other);
                let flap = [
                    Step::ReplaceFdb(BRIDGE, mac(0xff), address("192.0.2.255")),
                    Step::DelFdb(BRIDGE, mac(0xff), address("192.0.2.255")),
                ];
                while !done.load(Ordering::Relaxed) {
                    other.apply(&flap).unwrap();
                }
            });
            let _end = End(&done);
            for _ in 0..20 {
                let observed = observe(&mut kernel);
                // Of a list that moves the kernel may leave entries out, and does not say so. What it
                // shows twice must not look like something to remove.
                assert_eq!(observed.extra_fdb, []);
                assert!(observed.fdb.len() > MANY as usize / 2);
                assert_eq!(observed.routes.len(), 2 * MANY as usize);
            }
        });
    });
}
