//! The thread that sends probes and hears answers. It decides nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read, Write};
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;
use tokio::sync::watch;

use crate::roster::{Probe, Roster, Size, Turn};
use crate::socket::Sockets;
use crate::tally::Tally;
use crate::{Status, Target};

/// How often figures are published though no state changed.
const PUBLISH: Duration = Duration::from_secs(1);
/// How long a fault of the sockets is waited out.
const PAUSE: Duration = Duration::from_millis(100);

/// Why probing cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum ProberError {
    /// The sockets cannot be opened.
    #[error("raw ICMP sockets: {0}; the agent needs CAP_NET_RAW in its network namespace")]
    Sockets(io::Error),
    /// The thread cannot be started.
    #[error("thread for probing: {0}")]
    Thread(io::Error),
}

/// Probes targets until it is dropped.
#[derive(Debug)]
pub struct Prober {
    targets: Arc<Mutex<BTreeSet<Target>>>,
    /// Wakes the thread; closed, it ends it.
    wake: UnixStream,
    statuses: watch::Receiver<Vec<Status>>,
    tallies: watch::Receiver<Tallies>,
}

/// How the probes of each pool ended.
pub type Tallies = BTreeMap<Arc<str>, Tally>;

impl Prober {
    /// Starts in the network namespace of the calling thread, with nobody to probe. `interval` is the
    /// time between two probes of a target.
    ///
    /// # Errors
    /// [`ProberError`].
    pub fn start(interval: Duration) -> Result<Prober, ProberError> {
        let sockets = Sockets::open().map_err(ProberError::Sockets)?;
        let (wake, woken) = UnixStream::pair().map_err(ProberError::Thread)?;
        for end in [&wake, &woken] {
            end.set_nonblocking(true).map_err(ProberError::Thread)?;
        }
        let targets = Arc::new(Mutex::new(BTreeSet::new()));
        let (publish, statuses) = watch::channel(Vec::new());
        let (publish_tallies, tallies) = watch::channel(Tallies::new());
        let seed = u64::from(std::process::id()).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let roster = Roster::new(interval, seed, Instant::now());
        let work = Work {
            sockets,
            woken,
            targets: targets.clone(),
            roster,
            publish,
            publish_tallies,
            unsent: BTreeSet::new(),
        };
        let spawned =
            thread::Builder::new().name("probing".to_owned()).stack_size(256 << 10).spawn(|| work.run());
        spawned.map_err(ProberError::Thread)?;
        Ok(Prober { targets, wake, statuses, tallies })
    }

    /// Probes these and no others from now on.
    pub fn set_targets(&self, targets: BTreeSet<Target>) {
        let mut shared = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if *shared != targets {
            *shared = targets;
            // Full, it wakes the thread as well.
            let _ = (&self.wake).write(&[0]);
        }
    }

    /// How the targets are. It is marked as changed when the state of one changes, and renewed each
    /// second in any case.
    pub fn statuses(&self) -> watch::Receiver<Vec<Status>> {
        self.statuses.clone()
    }

    /// How the probes of each pool ended, renewed each second.
    pub fn tallies(&self) -> watch::Receiver<Tallies> {
        self.tallies.clone()
    }
}

struct Work {
    sockets: Sockets,
    woken: UnixStream,
    targets: Arc<Mutex<BTreeSet<Target>>>,
    roster: Roster,
    publish: watch::Sender<Vec<Status>>,
    publish_tallies: watch::Sender<Tallies>,
    /// To whom the last probe could not be sent.
    unsent: BTreeSet<IpAddr>,
}

impl Work {
    fn run(mut self) {
        let mut published = Instant::now();
        let mut due = None;
        loop {
            if let Err(error) = self.wait(due) {
                tracing::error!(%error, "waiting for answers to probes");
                thread::sleep(PAUSE);
            }
            // All that came before this moment is read after it. So nothing counts as lost whose
            // answer waits in a socket.
            let now = Instant::now();
            let Ok(woken) = self.woken() else { return };
            if woken {
                let targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner).clone();
                self.roster.set_targets(&targets, now);
                self.unsent.retain(|address| targets.iter().any(|target| target.address == *address));
            }
            let roster = &mut self.roster;
            if let Err(error) = self.sockets.answers(|from, seq| roster.answered(from, seq, now)) {
                tracing::warn!(%error, "answers to probes cannot be read");
                thread::sleep(PAUSE);
            }
            if woken || due.is_some_and(|due| due <= now) {
                self.turn(now, &mut published);
                due = self.roster.rest(Instant::now());
            }
        }
    }

    fn turn(&mut self, now: Instant, published: &mut Instant) {
        let Turn { probes, changed } = self.roster.turn(now);
        probes.iter().for_each(|probe| self.send(probe));
        if changed {
            self.publish.send_replace(self.roster.statuses(now));
        } else if now >= *published + PUBLISH {
            self.publish.send_if_modified(|statuses| {
                *statuses = self.roster.statuses(now);
                false
            });
            self.publish_tallies.send_if_modified(|tallies| {
                tallies.clone_from(self.roster.tallies());
                false
            });
        } else {
            return;
        }
        *published = now;
    }

    /// Waits for an answer, a word from the owner, or the time of the next turn.
    fn wait(&self, due: Option<Instant>) -> io::Result<()> {
        let mut fds = vec![PollFd::new(self.woken.as_fd(), PollFlags::POLLIN)];
        fds.extend(self.sockets.fds().map(|fd| PollFd::new(fd, PollFlags::POLLIN)));
        let left = due.map(|due| due.saturating_duration_since(Instant::now()));
        match ppoll(&mut fds, left.map(TimeSpec::from), None) {
            Ok(_) | Err(Errno::EINTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether there are other targets; an error if the owner is gone.
    fn woken(&mut self) -> io::Result<bool> {
        let mut words = [0; 64];
        let mut any = false;
        loop {
            match self.woken.read(&mut words) {
                Ok(0) => return Err(io::ErrorKind::BrokenPipe.into()),
                Ok(_) => any = true,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(any),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    fn send(&mut self, probe: &Probe) {
        let address = probe.target.address;
        match self.sockets.send(probe) {
            Ok(()) => {
                self.roster.sent(probe, Instant::now());
                self.unsent.remove(&address);
            }
            Err(error) => {
                self.roster.not_sent(probe, Instant::now());
                // A device that is too small for a while is put right by others.
                if probe.size == Size::Small && self.unsent.insert(address) {
                    tracing::warn!(%address, device = probe.target.device, %error, "probe not sent");
                }
            }
        }
    }
}
