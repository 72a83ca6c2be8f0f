//! What the system says of this process, under the names that Prometheus' own clients give it.

use std::fs;

use causeway_metrics::catalogue::{CPU, FILES, MEMORY, STARTED};
use causeway_metrics::{Page, Value};

/// `USER_HZ`: what `/proc` counts processor time in is a hundredth of a second on all architectures of ours.
const TICKS: f64 = 100.0;

/// Puts it on a page; what cannot be read is left out.
pub fn put(page: &mut Page) {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let (stat, system) = (read("/proc/self/stat"), read("/proc/stat"));
    if let Some((processor, started)) = times(&stat) {
        page.put(&CPU, &[], Value::Number(processor));
        if let Some(booted) = field(&system, "btime") {
            page.put(&STARTED, &[], Value::Number(booted + started));
        }
    }
    if let Some(kilobytes) = field(&read("/proc/self/status"), "VmRSS:") {
        page.put(&MEMORY, &[], Value::Number(kilobytes * 1024.0));
    }
    if let Ok(files) = fs::read_dir("/proc/self/fd") {
        // One of them is the directory's own.
        page.put(&FILES, &[], Value::Count((files.count() as u64).saturating_sub(1)));
    }
}

/// Processor time, and the start after the system's, in seconds (`proc_pid_stat(5)`: fields 14, 15 and 22).
fn times(stat: &str) -> Option<(f64, f64)> {
    // The name may hold anything.
    let (_, fields) = stat.rsplit_once(')')?;
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |number: usize| fields.get(number - 3)?.parse::<f64>().ok();
    Some(((ticks(14)? + ticks(15)?) / TICKS, ticks(22)? / TICKS))
}

/// The number behind a name at the beginning of a line.
fn field(text: &str, name: &str) -> Option<f64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_of_a_process_whatever_its_name() {
        let stat = "7 (a) b (c)) S 1 7 7 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 12345 1 2";
        assert_eq!(times(stat), Some((3.0, 123.45)));
        assert_eq!(times("7 (short) S 1"), None);
        assert_eq!(field("Name:\tx\nVmRSS:\t  2048 kB\n", "VmRSS:"), Some(2048.0));
    }

    #[test]
    fn this_process_has_all_of_them() {
        let mut page = Page::default();
        put(&mut page);
        let text = page.text().unwrap();
        for metric in [&CPU, &STARTED, &MEMORY, &FILES] {
            assert!(text.lines().any(|line| line.starts_with(&format!("{} ", metric.name))), "{text}");
        }
    }
}
