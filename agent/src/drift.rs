//! Hears of changes that others make to the kernel. One thread per notification socket waits for the
//! kernel, so that the agent's own thread waits for everything at once.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use causeway_dataplane::KernelError;
use causeway_dataplane::netlink::{Event, LinuxKernel, Monitor};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::Notify;
use tokio::time::sleep;

/// How long to gather notifications, so that a burst of changes is repaired in one pass.
const GATHER: Duration = Duration::from_millis(30);

/// Tells when something of ours, or something that we depend on, may have changed.
#[derive(Debug)]
pub struct Drift(Arc<Shared>);

#[derive(Debug, Default)]
struct Shared {
    seen: Notify,
    lost: AtomicBool,
}

impl Drift {
    /// Listens in the network namespace of the calling thread. Changes that `kernel` makes itself are
    /// passed over.
    ///
    /// # Errors
    /// [`KernelError::Socket`] if the kernel cannot be listened to.
    pub fn listen(kernel: &LinuxKernel) -> Result<Drift, KernelError> {
        let shared = Arc::new(Shared::default());
        let sockets = [
            (Monitor::route()?, kernel.route_port()),
            (Monitor::nftables()?, kernel.nftables_port()?),
        ];
        for (mut monitor, own_port) in sockets {
            monitor.filter().own_ports([own_port]);
            let shared = shared.clone();
            let run = move || listen(&mut monitor, &shared);
            let spawned = thread::Builder::new().name("drift".to_owned()).spawn(run);
            spawned.map_err(|source| KernelError::Socket { operation: "listen", source })?;
        }
        Ok(Drift(shared))
    }

    /// Waits for a change, and a moment longer for those that come right behind it.
    ///
    /// # Errors
    /// [`KernelError::Socket`] if changes cannot be heard of any more.
    pub async fn seen(&self) -> Result<(), KernelError> {
        self.0.seen.notified().await;
        if self.0.lost.load(Ordering::Acquire) {
            let source = io::Error::other("the notification socket is lost");
            return Err(KernelError::Socket { operation: "listen", source });
        }
        sleep(GATHER).await;
        Ok(())
    }
}

fn listen(monitor: &mut Monitor, shared: &Shared) {
    loop {
        match monitor.recv() {
            Ok(Event::Relevant | Event::Overrun) => shared.seen.notify_one(),
            Ok(Event::Irrelevant) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                let mut fds = [PollFd::new(monitor.as_fd(), PollFlags::POLLIN)];
                match poll(&mut fds, PollTimeout::NONE) {
                    Ok(_) | Err(Errno::EINTR) => {}
                    Err(_) => break,
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    shared.lost.store(true, Ordering::Release);
    shared.seen.notify_one();
}
