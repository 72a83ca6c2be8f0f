//! Remembers the values of host sysctls from before Causeway changed them, so that clean-up can put
//! them back. Sysctls of our own devices vanish with the devices and are not remembered.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use causeway_dataplane::desired::sysctls::device_of;
use causeway_dataplane::state::{Observed, Sysctl};
use causeway_dataplane::step::Step;
use serde::{Deserialize, Serialize};

use crate::atomic;

/// Where Linux says which boot this is; sysctls do not outlive it.
const BOOT_ID: &str = "/proc/sys/kernel/random/boot_id";

/// First values of host sysctls, kept in a file of the state directory.
#[derive(Debug)]
pub struct Restore {
    path: PathBuf,
    remembered: Remembered,
}

/// The file's content.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Remembered {
    boot: String,
    sysctls: BTreeMap<String, String>,
}

impl Restore {
    /// What nobody remembered anything in: for one who only looks.
    pub fn unknown() -> Restore {
        Restore { path: PathBuf::new(), remembered: Remembered::default() }
    }

    /// Reads what is remembered in `state_dir`. What another boot left is forgotten; a file that
    /// does not parse is reported and treated as empty.
    ///
    /// # Errors
    /// If the directory cannot be made, or the file is there and cannot be read: what it holds must not
    /// be written over.
    pub fn open(state_dir: &Path) -> io::Result<Restore> {
        fs::create_dir_all(state_dir)?;
        let path = state_dir.join("sysctls.json");
        let boot = fs::read_to_string(BOOT_ID).unwrap_or_default().trim().to_owned();
        let remembered = match fs::read(&path) {
            Ok(bytes) => serde_json::from_slice(&bytes).unwrap_or_else(|error| {
                tracing::warn!(path = %path.display(), %error, "forgetting unreadable original sysctls");
                Remembered::default()
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Remembered::default(),
            Err(error) => return Err(error),
        };
        let remembered =
            if remembered.boot == boot { remembered } else { Remembered { boot, ..Remembered::default() } };
        Ok(Restore { path, remembered })
    }

    /// Remembers the present value of each host sysctl that `steps` will change for the first time.
    /// Must be called, and must succeed, before the steps are applied.
    ///
    /// # Errors
    /// If the file cannot be written.
    pub fn remember(&mut self, steps: &[Step], observed: &Observed) -> io::Result<()> {
        let before = self.remembered.sysctls.len();
        for step in steps {
            let Step::SetSysctl(sysctl, _) = step else { continue };
            if let Some(value) = observed.sysctls.get(sysctl).filter(|_| outlives_our_devices(sysctl)) {
                self.remembered.sysctls.entry(sysctl.0.clone()).or_insert_with(|| value.clone());
            }
        }
        if self.remembered.sysctls.len() == before { Ok(()) } else { self.write() }
    }

    /// The remembered values.
    pub fn originals(&self) -> BTreeMap<Sysctl, String> {
        self.remembered.sysctls.iter().map(|(path, value)| (Sysctl(path.clone()), value.clone())).collect()
    }

    /// Forgets everything, after the values were put back.
    ///
    /// # Errors
    /// If the file cannot be removed.
    pub fn forget(&mut self) -> io::Result<()> {
        self.remembered.sysctls.clear();
        atomic::remove_with_attempts(&self.path)
    }

    fn write(&self) -> io::Result<()> {
        let bytes = serde_json::to_vec(&self.remembered)?;
        atomic::replace(&self.path, |file| file.write_all(&bytes))
    }
}

fn outlives_our_devices(sysctl: &Sysctl) -> bool {
    device_of(sysctl).is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn observed(sysctls: &[(&str, &str)]) -> Observed {
        Observed {
            sysctls: sysctls.iter().map(|(k, v)| (Sysctl((*k).to_owned()), (*v).to_owned())).collect(),
            ..Observed::default()
        }
    }

    fn set(path: &str) -> Step {
        Step::SetSysctl(Sysctl(path.to_owned()), "1".to_owned())
    }

    #[test]
    fn the_first_value_of_a_host_sysctl_survives_a_restart_and_a_second_change() {
        let dir = tempfile::tempdir().unwrap();
        let forward = "net/ipv4/ip_forward";
        let steps = [set(forward), set("net/ipv4/conf/vx-bridge/rp_filter")];
        let state = observed(&[(forward, "0"), ("net/ipv4/conf/vx-bridge/rp_filter", "1")]);
        Restore::open(dir.path()).unwrap().remember(&steps, &state).unwrap();

        let mut restarted = Restore::open(dir.path()).unwrap();
        restarted.remember(&steps, &observed(&[(forward, "1")])).unwrap();
        let expected = BTreeMap::from([(Sysctl(forward.to_owned()), "0".to_owned())]);
        assert_eq!(restarted.originals(), expected);

        restarted.forget().unwrap();
        assert!(Restore::open(dir.path()).unwrap().originals().is_empty());
    }

    #[test]
    fn what_another_boot_remembered_or_nobody_can_read_is_forgotten() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sysctls.json");
        for content in [r#"{"boot":"another","sysctls":{"net/ipv4/ip_forward":"0"}}"#, "{torn"] {
            fs::write(&path, content).unwrap();
            assert!(Restore::open(dir.path()).unwrap().originals().is_empty(), "{content}");
        }
    }
}
