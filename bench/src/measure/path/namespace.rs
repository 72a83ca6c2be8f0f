//! Threads in network namespaces of a bed.

use std::fs::File;
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, anyhow};
use nix::sched::{CloneFlags, CpuSet, sched_getaffinity, sched_setaffinity, setns};
use nix::unistd::Pid;

/// Moves the calling thread into the network namespace of that name. Sockets that it opens, and programs that it
/// starts, are in there.
///
/// # Errors
/// If there is no such namespace, or no right to enter it.
pub fn enter(name: &str) -> Result<()> {
    let path = Path::new("/run/netns").join(name);
    let file = File::open(&path).with_context(|| format!("opening {}", path.display()))?;
    setns(file, CloneFlags::CLONE_NEWNET).with_context(|| format!("entering {}", path.display()))
}

/// Does `work` in a thread inside the namespace.
///
/// # Errors
/// As [`enter`], and those of `work`.
pub fn within<T: Send>(name: &str, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    let inside = || {
        enter(name)?;
        work()
    };
    let done = thread::scope(|scope| scope.spawn(inside).join());
    done.unwrap_or_else(|_| Err(anyhow!("a thread in {name} panicked")))
}

/// The first and the last processor that this process may use: the same if there is only one.
///
/// # Errors
/// If the kernel does not say.
pub fn processors() -> Result<(usize, usize)> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).context("processors of this process")?;
    let mut cpus = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false));
    let first = cpus.next().context("a processor")?;
    Ok((first, cpus.next_back().unwrap_or(first)))
}

/// Lets the calling thread run on that processor only.
///
/// # Errors
/// If it is not this process's.
pub fn pin(cpu: usize) -> Result<()> {
    let mut only = CpuSet::new();
    only.set(cpu).context("number of a processor")?;
    sched_setaffinity(Pid::from_raw(0), &only).with_context(|| format!("pinning to processor {cpu}"))
}
