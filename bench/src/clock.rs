//! Time spent and memory held by this process.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::{TimeVal, TimeValLike};
use nix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

/// What something took.
#[derive(Clone, Copy, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Spent {
    /// Seconds that passed.
    pub wall: f64,
    /// Seconds that a processor worked for it, in user space and in the kernel. On a shared machine
    /// this says more than `wall`.
    pub cpu: f64,
}

/// Does `work` on this thread and says what it took.
///
/// # Errors
/// If the system has no clock of thread time.
pub fn timed<T>(work: impl FnOnce() -> T) -> Result<(T, Spent)> {
    let (cpu, wall) = (thread_time()?, Instant::now());
    let result = work();
    let spent = Spent { wall: wall.elapsed().as_secs_f64(), cpu: (thread_time()? - cpu).as_secs_f64() };
    Ok((result, spent))
}

/// As [`timed`] for work that runs and ends child processes: theirs is the processor time.
///
/// # Errors
/// If the system does not account for child processes.
pub fn timed_children<T>(work: impl FnOnce() -> T) -> Result<(T, Spent)> {
    let (cpu, wall) = (children_time()?, Instant::now());
    let result = work();
    let spent = Spent { wall: wall.elapsed().as_secs_f64(), cpu: children_time()? - cpu };
    Ok((result, spent))
}

/// Processor time of the calling thread, in user space and in the kernel. Where the kernel does not account for
/// interrupts apart, what it does for the thread's packets is in it.
///
/// # Errors
/// If the system has no such clock.
pub fn thread_time() -> Result<Duration> {
    let now = clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).context("CLOCK_THREAD_CPUTIME_ID")?;
    Ok(now.into())
}

fn children_time() -> Result<f64> {
    let usage = getrusage(UsageWho::RUSAGE_CHILDREN).context("getrusage of children")?;
    let seconds = |time: TimeVal| time.num_microseconds() as f64 / 1e6;
    Ok(seconds(usage.user_time()) + seconds(usage.system_time()))
}

/// The most memory in bytes that this process ever had in RAM (`VmHWM`).
///
/// # Errors
/// If `/proc/self/status` does not say it.
pub fn peak_memory() -> Result<u64> {
    status_bytes("VmHWM:")
}

/// The memory in bytes that this process has in RAM now (`VmRSS`).
///
/// # Errors
/// If `/proc/self/status` does not say it.
pub fn memory() -> Result<u64> {
    status_bytes("VmRSS:")
}

fn status_bytes(field: &str) -> Result<u64> {
    let status = std::fs::read_to_string("/proc/self/status").context("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(field));
    let line = line.with_context(|| format!("/proc/self/status has no {field}"))?;
    let kib: u64 = line.trim().trim_end_matches(" kB").parse().context("/proc/self/status")?;
    Ok(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_peak_is_at_least_what_is_held_now() {
        let held = vec![1u8; 8 << 20];
        // In this order: other tests of this process take memory meanwhile.
        let now = memory().unwrap();
        let peak = peak_memory().unwrap();
        assert!(peak >= now && now >= held.len() as u64, "peak {peak}, now {now}");
    }

    #[test]
    fn processor_time_of_work_counts_and_of_waiting_children_too() {
        let mut sum = 0u64;
        let (_, spent) =
            timed(|| (0..2_000_000u64).for_each(|i| sum = std::hint::black_box(sum ^ i))).unwrap();
        assert!(spent.cpu > 0.0 && spent.wall > 0.0, "{spent:?}");
        let (status, spent) = timed_children(|| std::process::Command::new("true").status()).unwrap();
        assert!(status.unwrap().success() && spent.wall > 0.0, "{spent:?}");
    }
}
