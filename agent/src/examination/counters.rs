//! Counters of the kernel that tell why packets end here.

use std::collections::BTreeMap;

use causeway_api::CounterGrowth;
use causeway_dataplane::Counters;

/// Counters by name.
pub type Read = BTreeMap<String, u64>;

/// Those of `/proc/net/snmp` and `/proc/net/netstat` that matter here (the kernel's `snmp_counter.rst` explains them).
const WANTED: [(&str, &str); 9] = [
    ("TcpExt", "IPReversePathFilter"),
    ("Ip", "ReasmFails"),
    ("Ip", "InHdrErrors"),
    ("Ip", "OutNoRoutes"),
    ("Ip", "FragFails"),
    ("Icmp", "InCsumErrors"),
    ("Tcp", "InCsumErrors"),
    ("Udp", "InCsumErrors"),
    ("Udp", "NoPorts"),
];

/// Reads them now. What cannot be read is told.
pub fn read(unknown: &mut Vec<String>) -> Read {
    let mut all = Read::new();
    for file in ["snmp", "netstat"] {
        // Not /proc/net, which is that of the process's first thread.
        match std::fs::read_to_string(format!("/proc/thread-self/net/{file}")) {
            Ok(text) => all.extend(parse(&text)),
            Err(error) => unknown.push(format!("/proc/net/{file}: {error}")),
        }
    }
    let dropped = Counters::open().and_then(|mut counters| counters.drops());
    match dropped {
        Ok(drops) => all.extend(drops.into_iter().map(|(reason, n)| (format!("drop {reason}"), n))),
        Err(error) => unknown.push(format!("counters of the firewall: {error}")),
    }
    all
}

/// Two lines for each protocol: names, then numbers.
fn parse(text: &str) -> Read {
    let lines: Vec<&str> = text.lines().collect();
    let (pairs, _) = lines.as_chunks::<2>();
    let mut all = Read::new();
    for [names, numbers] in pairs {
        let Some((protocol, names)) = names.split_once(':') else { continue };
        let numbers = numbers.split_once(':').map_or("", |(_, numbers)| numbers);
        for (name, number) in names.split_whitespace().zip(numbers.split_whitespace()) {
            if let (true, Ok(number)) = (WANTED.contains(&(protocol, name)), number.parse()) {
                all.insert(format!("{protocol} {name}"), number);
            }
        }
    }
    all
}

/// Those that grew.
pub fn growth(before: &Read, after: &Read) -> Vec<CounterGrowth> {
    let grown = after.iter().filter_map(|(name, now)| {
        let growth = now.saturating_sub(before.get(name).copied().unwrap_or(0));
        (growth > 0).then(|| CounterGrowth { name: name.clone(), growth: growth as i64 })
    });
    grown.take(64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_told_by_protocol_and_only_those_that_grew_count() {
        let text = |filtered: u64| {
            format!(
                "TcpExt: SyncookiesSent IPReversePathFilter\nTcpExt: 5 {filtered}\nUdp: NoPorts InCsumErrors\nUdp: 1 2\n"
            )
        };
        let (before, after) = (parse(&text(3)), parse(&text(10)));
        assert_eq!(before["Udp InCsumErrors"], 2);
        let grown = growth(&before, &after);
        assert_eq!(grown.len(), 1, "{grown:?}");
        assert_eq!((grown[0].name.as_str(), grown[0].growth), ("TcpExt IPReversePathFilter", 7));
        assert!(parse("nonsense\nTcp").is_empty());
    }
}
