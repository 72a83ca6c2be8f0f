//! The network state of the node that the command runs on, as its own tools show it.

use std::process::Command;

use super::archive::Archive;

/// Programs, and the file that takes what they print. The table and the devices are Causeway's.
const COMMANDS: [(&str, &str); 15] = [
    ("uname.txt", "uname -a"),
    ("links.json", "ip -json -details -statistics link show"),
    ("addresses.json", "ip -json address show"),
    ("rules.json", "ip -json rule show"),
    ("rules6.json", "ip -6 -json rule show"),
    ("routes.json", "ip -json -details route show table 4876"),
    ("routes6.json", "ip -6 -json -details route show table 4876"),
    ("routes-main.json", "ip -json route show table main"),
    ("routes6-main.json", "ip -6 -json route show table main"),
    ("nexthops.json", "ip -json -details nexthop show"),
    ("neighbours.json", "ip -json neighbour show"),
    ("fdb.json", "bridge -json fdb show"),
    ("nftables.txt", "nft list table inet causeway"),
    ("nftables-chains.txt", "nft list chains"),
    ("counters.txt", "nstat -asz"),
];

/// Puts the state of this node in. What cannot be had is noted.
pub fn add(archive: &mut Archive) {
    for (file, line) in COMMANDS {
        let mut words = line.split(' ');
        let Some(program) = words.next() else { continue };
        match Command::new(program).args(words).output() {
            Ok(output) if output.status.success() => {
                archive.text(format!("node/{file}"), &String::from_utf8_lossy(&output.stdout));
            }
            Ok(output) => {
                archive.lacks(format!("{line}: {}", String::from_utf8_lossy(&output.stderr).trim()));
            }
            Err(error) => archive.lacks(format!("{line}: {error}")),
        }
    }
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let sysctls = [
        "ipv4/ip_forward",
        "ipv4/conf/all/rp_filter",
        "ipv4/conf/default/rp_filter",
        "ipv6/conf/all/forwarding",
    ];
    let lines: Vec<String> = sysctls
        .iter()
        .map(|name| format!("{name} = {}", read(&format!("/proc/sys/net/{name}")).trim()))
        .collect();
    archive.text("node/sysctls.txt", &lines.join("\n"));
}
