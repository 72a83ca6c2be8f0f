//! The machine as it is before and after a bed, to show that a bed leaves nothing behind.

use std::fs;
use std::process::Command;

use crate::outside::program;

/// What a bed could have changed on the machine.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct HostState {
    parts: Vec<(&'static str, String)>,
}

impl HostState {
    /// Looks at the machine.
    pub fn read() -> HostState {
        let said = |words: &[&str]| {
            let output = command(words).output();
            output
                .map(|o| String::from_utf8_lossy(&[o.stdout, o.stderr].concat()).into_owned())
                .unwrap_or_default()
        };
        let names = |directory: &str| -> String {
            let mut names: Vec<String> = fs::read_dir(directory)
                .map(|entries| {
                    entries.flatten().map(|e| e.file_name().to_string_lossy().into_owned()).collect()
                })
                .unwrap_or_default();
            names.sort();
            names.join("\n")
        };
        let parts = vec![
            ("links (ip link)", said(&["ip", "-oneline", "link", "show"])),
            ("routes (ip route show table all)", said(&["ip", "route", "show", "table", "all"])),
            ("firewall (nft list ruleset)", said(&["nft", "--stateless", "list", "ruleset"])),
            ("mounts (/proc/self/mountinfo)", fs::read_to_string("/proc/self/mountinfo").unwrap_or_default()),
            ("named network namespaces (/run/netns)", names("/run/netns")),
            ("files of a bed (/run/causeway-lab)", names("/run/causeway-lab")),
        ];
        HostState { parts }
    }

    /// Each part of the machine, and whether it is the same in `later`.
    pub fn compare(&self, later: &HostState) -> Vec<(&'static str, bool)> {
        self.parts.iter().zip(&later.parts).map(|((name, a), (_, b))| (*name, a == b)).collect()
    }
}

fn command(words: &[&str]) -> Command {
    let mut command = program(words[0]);
    command.args(&words[1..]);
    command
}

/// Processes that are in the pid namespace of inode `namespace`.
pub(super) fn processes_in(namespace: &str) -> usize {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    processes
        .filter(|p| pid_namespace(&p.file_name().to_string_lossy()).as_deref() == Some(namespace))
        .count()
}

/// The pid namespace of a process, as `/proc` writes it.
pub(super) fn pid_namespace(process: &str) -> Option<String> {
    let link = fs::read_link(format!("/proc/{process}/ns/pid")).ok()?;
    Some(link.to_string_lossy().into_owned())
}
