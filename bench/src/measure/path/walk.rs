//! Which devices the packets of a path pass.

use std::fs;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::exchange::{Mode, Protocol, Server, ask_some};
use super::namespace::{processors, within};
use super::{Path, servers};
use crate::child::{Measurement, Place};

/// A device of a node, by the name of the node's namespace.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
pub struct Counter {
    /// The namespace.
    pub namespace: String,
    /// The device.
    pub device: String,
}

/// Some requests over each path, and what devices counted meanwhile.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Walk {
    /// The paths, each with the devices to look at.
    pub paths: Vec<(Path, Vec<Counter>)>,
    /// How many requests; each has an answer.
    pub requests: u32,
}

impl Measurement for Walk {
    const NAME: &'static str = "path-walk";
    const PLACE: Place = Place::Here;
    /// Packets in both directions that each device counted, for each path.
    type Outcome = Vec<Vec<u64>>;

    fn measure(&self) -> Result<Vec<Vec<u64>>> {
        let (cpu, _) = processors()?;
        let mode = Mode::Exchange { protocol: Protocol::Udp, bytes: 64 };
        let paths: Vec<Path> = self.paths.iter().map(|(path, _)| path.clone()).collect();
        for namespace in servers(&paths) {
            Server::start(namespace, mode, cpu)?;
        }
        let mut all = Vec::new();
        for (path, counters) in &self.paths {
            // The first makes what the path needs: neighbours of the underlay, entries of connection tracking.
            let asked = |count| {
                ask_some(path, count).with_context(|| format!("from {} to {}", path.from, path.address))
            };
            asked(1)?;
            let before = read(counters)?;
            asked(self.requests)?;
            let after = read(counters)?;
            all.push(after.iter().zip(before).map(|(after, before)| after - before).collect());
        }
        Ok(all)
    }
}

fn read(counters: &[Counter]) -> Result<Vec<u64>> {
    counters
        .iter()
        .map(|counter| {
            // Of the namespace of the thread, as everything below /proc/net is.
            let table = within(&counter.namespace, || Ok(fs::read_to_string("/proc/thread-self/net/dev")?))?;
            packets(&table, &counter.device)
                .with_context(|| format!("{} has no device {}", counter.namespace, counter.device))
        })
        .collect()
}

/// Packets received and sent by a device, from the text of `/proc/net/dev`.
fn packets(table: &str, device: &str) -> Option<u64> {
    let (_, numbers) =
        table.lines().find_map(|line| line.split_once(':').filter(|(name, _)| name.trim() == device))?;
    let numbers: Vec<u64> = numbers.split_whitespace().filter_map(|number| number.parse().ok()).collect();
    Some(numbers.get(1)? + numbers.get(9)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_of_a_device_are_read_in_both_directions() {
        let table = "Inter-|   Receive  |  Transmit\n face |bytes packets errs drop fifo frame compressed multicast|bytes\n\
                     vx-bridge6:  1 2 0 0 0 0 0 0  3 4 0 0 0 0 0 0\n  vx-bridge: 700 7 0 0 0 0 0 0 1100 11 0 0 0 0 0 0\n";
        assert_eq!(packets(table, "vx-bridge"), Some(18));
        assert_eq!(packets(table, "vx-bridge6"), Some(6));
        assert_eq!(packets(table, "vx"), None);
    }
}
