//! On what machine the figures were taken, and how busy it was.

use std::fs;

use serde::{Deserialize, Serialize};

/// Facts without which a figure means nothing.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Machine {
    /// Kernel release.
    pub kernel: String,
    /// Processor model.
    pub cpu: String,
    /// Processors that this process may use.
    pub cores: usize,
    /// Memory of the machine in bytes.
    pub memory: u64,
    /// Whether the machine is a virtual one.
    pub hypervisor: bool,
    /// Load average of one minute before the first measurement.
    pub load_before: f64,
    /// The same after the last.
    pub load_after: f64,
    /// Share of processor time that the hypervisor gave to others meanwhile, 0 to 1.
    pub steal: f64,
    /// Share of processor time that was idle meanwhile, 0 to 1. Every measurement keeps one
    /// processor busy, so on a quiet machine with two of them it is about a half.
    pub idle: f64,
}

/// The machine's counters at the beginning of a run.
pub struct Watch {
    load: f64,
    ticks: Ticks,
}

impl Watch {
    /// Begins.
    pub fn start() -> Watch {
        Watch { load: load_average(), ticks: Ticks::now() }
    }

    /// The facts of the machine, with what happened since the beginning.
    pub fn finish(&self) -> Machine {
        let cpuinfo = read("/proc/cpuinfo");
        let line = |name: &str| cpuinfo.lines().find(|line| line.starts_with(name));
        let value = |line: &str| line.split_once(':').map(|(_, value)| value.trim().to_owned());
        let ticks = Ticks::now().since(&self.ticks);
        Machine {
            kernel: read("/proc/sys/kernel/osrelease").trim().to_owned(),
            cpu: line("model name").and_then(value).unwrap_or_else(|| std::env::consts::ARCH.to_owned()),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            memory: total_memory(&read("/proc/meminfo")),
            hypervisor: line("flags").is_some_and(|flags| flags.split(' ').any(|f| f == "hypervisor")),
            load_before: self.load,
            load_after: load_average(),
            steal: ticks.share(ticks.steal),
            idle: ticks.share(ticks.idle),
        }
    }
}

impl Machine {
    /// All of it in a sentence.
    pub fn words(&self) -> String {
        let kind = if self.hypervisor { "virtual machine" } else { "machine" };
        format!(
            "Linux {} on a {kind}, {} × {}, {:.1} GiB; load average {:.2} before and {:.2} after, {:.1} % of the processor time stolen, {:.0} % idle.",
            self.kernel,
            self.cores,
            self.cpu,
            self.memory as f64 / (1u64 << 30) as f64,
            self.load_before,
            self.load_after,
            self.steal * 100.0,
            self.idle * 100.0
        )
    }

    /// Why figures of this run deserve little trust, if so.
    pub fn doubts(&self) -> Vec<String> {
        let mut doubts = Vec::new();
        let most = 1.5 * self.cores as f64;
        if self.load_before > most {
            doubts.push(format!(
                "the load average was {:.1} at the start; more than {most:.1} for {} processors makes times meaningless",
                self.load_before, self.cores
            ));
        }
        if self.steal > 0.02 {
            doubts.push(format!("the hypervisor took {:.0} % of the processor time", self.steal * 100.0));
        }
        doubts
    }
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_default()
}

/// Load average of the last minute.
pub fn load_average() -> f64 {
    let text = read("/proc/loadavg");
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or(f64::NAN)
}

fn total_memory(meminfo: &str) -> u64 {
    let line = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:"));
    let kib = line.and_then(|rest| rest.trim().trim_end_matches(" kB").parse::<u64>().ok());
    kib.unwrap_or_default() * 1024
}

/// Ticks of `/proc/stat` in a second: USER_HZ, which is 100 on every architecture that Linux has today.
const USER_HZ: f64 = 100.0;

/// Seconds that all processors have worked since the start of the machine, in user space, in the kernel and in
/// interrupts; without what ran with lowered priority.
pub fn busy_seconds() -> f64 {
    busy_ticks(&read("/proc/stat")) as f64 / USER_HZ
}

fn busy_ticks(stat: &str) -> u64 {
    let numbers = numbers(stat);
    // user, system, irq, softirq; 1 is nice.
    [0, 2, 5, 6].iter().filter_map(|index| numbers.get(*index)).sum()
}

fn numbers(stat: &str) -> Vec<u64> {
    let line = stat.lines().next().unwrap_or_default();
    line.split_whitespace().skip(1).take(8).flat_map(str::parse).collect()
}

/// Processor time of all processors in ticks (first line of `/proc/stat`).
#[derive(Clone, Copy, Default, PartialEq, Debug)]
struct Ticks {
    total: u64,
    idle: u64,
    steal: u64,
}

impl Ticks {
    fn now() -> Ticks {
        Ticks::parse(&read("/proc/stat"))
    }

    /// user nice system idle iowait irq softirq steal; what follows is counted in user and nice.
    fn parse(stat: &str) -> Ticks {
        let numbers = numbers(stat);
        let at = |index: usize| numbers.get(index).copied().unwrap_or_default();
        Ticks { total: numbers.iter().sum(), idle: at(3) + at(4), steal: at(7) }
    }

    fn since(&self, earlier: &Ticks) -> Ticks {
        Ticks {
            total: self.total.saturating_sub(earlier.total),
            idle: self.idle.saturating_sub(earlier.idle),
            steal: self.steal.saturating_sub(earlier.steal),
        }
    }

    fn share(&self, part: u64) -> f64 {
        part as f64 / self.total.max(1) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_are_read_from_the_first_line() {
        let before = Ticks::parse("cpu  100 0 50 800 20 0 5 25 7 0\ncpu0 1 2 3\n");
        assert_eq!(before, Ticks { total: 1000, idle: 820, steal: 25 });
        let after = Ticks::parse("cpu  150 0 70 820 20 0 5 35 7 0\n");
        let between = after.since(&before);
        assert_eq!(between, Ticks { total: 100, idle: 20, steal: 10 });
        assert_eq!(between.share(between.steal), 0.1);
    }

    #[test]
    fn what_ran_with_lowered_priority_is_not_counted_as_busy() {
        assert_eq!(busy_ticks("cpu  100 1000 50 800 20 3 5 25 7 0\ncpu0 1 2 3\n"), 158);
    }

    #[test]
    fn a_busy_machine_raises_doubts() {
        let quiet = Machine { load_before: 0.5, steal: 0.0, cores: 2, ..Watch::start().finish() };
        assert!(quiet.doubts().is_empty());
        assert_eq!(Machine { load_before: 3.5, ..quiet.clone() }.doubts().len(), 1);
        assert_eq!(Machine { load_before: 3.5, steal: 0.1, ..quiet }.doubts().len(), 2);
    }

    #[test]
    fn this_machine_has_a_kernel_and_memory() {
        let machine = Watch::start().finish();
        assert!(!machine.kernel.is_empty() && machine.memory > 0 && machine.cores > 0, "{machine:?}");
    }
}
