//! Hears of changes that others make to the kernel. One thread per notification socket waits for the
//! kernel, so that the agent's own thread waits for everything at once.

use std::os::fd::AsFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;
use std::{fs, io};

use causeway_dataplane::KernelError;
use causeway_dataplane::desired::sysctls;
use causeway_dataplane::netlink::{Event, LinuxKernel, Monitor};
use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use tokio::sync::Notify;
use tokio::time::sleep;

/// How long to gather notifications, so that a burst of changes is repaired in one pass.
const GATHER: Duration = Duration::from_millis(30);

/// How often sysctls are read: the kernel notifies of forwarding and reverse path filters only.
const SYSCTLS: Duration = Duration::from_millis(500);

/// Tells when something of ours, or something that we depend on, may have changed.
#[derive(Debug)]
pub struct Drift(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    routes: Mutex<Monitor>,
    nftables: Mutex<Monitor>,
    wake: Notify,
    /// Whether something changed that nobody has been told of.
    changed: AtomicBool,
    lost: AtomicBool,
}

impl Shared {
    fn tell(&self) {
        self.changed.store(true, Ordering::Release);
        self.wake.notify_one();
    }
}

/// What changes are to be told of.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Interests {
    /// Interface indexes of our devices.
    pub devices: Vec<u32>,
    /// Foreign nftables chains that hold a rule of ours or may need one, as table and chain.
    pub chains: Vec<(String, String)>,
}

impl Drift {
    /// Listens in the network namespace of the calling thread.
    ///
    /// # Errors
    /// [`KernelError::Socket`] if the kernel cannot be listened to.
    pub fn listen() -> Result<Drift, KernelError> {
        let shared = Arc::new(Shared {
            routes: Mutex::new(Monitor::route()?),
            nftables: Mutex::new(Monitor::nftables()?),
            wake: Notify::new(),
            changed: AtomicBool::new(false),
            lost: AtomicBool::new(false),
        });
        let monitors: [fn(&Shared) -> &Mutex<Monitor>; 2] =
            [|shared| &shared.routes, |shared| &shared.nftables];
        for monitor in monitors {
            let shared = shared.clone();
            let run = move || listen(monitor(&shared), &shared);
            let spawned = thread::Builder::new().name("drift".to_owned()).spawn(run);
            spawned.map_err(|source| KernelError::Socket { operation: "listen", source })?;
        }
        let told = shared.clone();
        let spawned = thread::Builder::new().name("sysctls".to_owned()).spawn(move || compare_sysctls(&told));
        spawned.map_err(|source| KernelError::Socket { operation: "listen", source })?;
        Ok(Drift(shared))
    }

    /// Says what matters now. Changes that `kernel` makes itself are passed over.
    ///
    /// # Errors
    /// [`KernelError::Socket`] if the kernel's sockets are lost.
    pub fn heed(&self, kernel: &LinuxKernel, interests: &Interests) -> Result<(), KernelError> {
        let mut routes = lock(&self.0.routes);
        routes.filter().own_ports([kernel.route_port()]);
        routes.filter().devices(interests.devices.iter().copied());
        let mut nftables = lock(&self.0.nftables);
        nftables.filter().own_ports([kernel.nftables_port()?]);
        nftables.filter().chains(interests.chains.iter().cloned());
        Ok(())
    }

    /// Waits for a change, and a moment longer for those that come right behind it.
    ///
    /// # Errors
    /// [`KernelError::Socket`] if changes cannot be heard of any more.
    pub async fn seen(&self) -> Result<(), KernelError> {
        // A wait that is given up half-way leaves the change to the next one.
        while !self.0.changed.load(Ordering::Acquire) {
            self.0.wake.notified().await;
        }
        if self.0.lost.load(Ordering::Acquire) {
            let source = io::Error::other("the notification socket is lost");
            return Err(KernelError::Socket { operation: "listen", source });
        }
        sleep(GATHER).await;
        self.0.changed.store(false, Ordering::Release);
        Ok(())
    }
}

fn lock(monitor: &Mutex<Monitor>) -> MutexGuard<'_, Monitor> {
    // A filter is whole between any two statements; a panic leaves nothing half-done.
    monitor.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells of each change of a sysctl that may be ours, or that we go by. A few short files, twice a second.
fn compare_sysctls(shared: &Shared) {
    let ours = sysctls::all([]);
    let paths = ours.iter().map(|sysctl| sysctl.0.as_str()).chain([sysctls::LIBERAL_TRACKING]);
    let paths: Vec<PathBuf> = paths.map(|path| Path::new("/proc/sys").join(path)).collect();
    let read = || -> Vec<Option<Vec<u8>>> { paths.iter().map(|path| fs::read(path).ok()).collect() };
    let mut before = read();
    loop {
        thread::sleep(SYSCTLS);
        let now = read();
        if now != before {
            shared.tell();
        }
        before = now;
    }
}

fn listen(monitor: &Mutex<Monitor>, shared: &Shared) {
    // The socket is waited for without the lock, by a descriptor of its own.
    let readable = lock(monitor).as_fd().try_clone_to_owned();
    let ended = readable.and_then(|readable| {
        loop {
            let received = lock(monitor).recv();
            match received {
                Ok(Event::Relevant) => shared.tell(),
                Ok(Event::Overrun) => {
                    tracing::info!("notifications were lost; the kernel is read anew");
                    shared.tell();
                }
                Ok(Event::Irrelevant) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let mut fds = [PollFd::new(readable.as_fd(), PollFlags::POLLIN)];
                    match poll(&mut fds, PollTimeout::NONE) {
                        Ok(_) | Err(Errno::EINTR) => {}
                        Err(error) => return Err::<(), io::Error>(error.into()),
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    });
    if let Err(error) = ended {
        tracing::error!(%error, "changes of the kernel cannot be heard of any more");
    }
    shared.lost.store(true, Ordering::Release);
    shared.tell();
}
