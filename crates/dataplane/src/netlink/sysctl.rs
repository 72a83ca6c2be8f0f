//! Sysctls, as files below `/proc/sys`.
//!
//! Container runtimes mount that read-only where a container is not privileged, and refuse mounts over it.
//! So a container gets the host's tree, or the part of it that it is to write, below `/host/proc/sys`.

use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Component, Path, PathBuf};

use crate::desired::sysctls::LIBERAL_TRACKING;
use crate::kernel::KernelError;
use crate::state::Sysctl;

const TREE: &str = "/proc/sys";
/// Where a container has what it may write.
const HOST_TREE: &str = "/host/proc/sys";

fn file(tree: &str, path: &str) -> Result<PathBuf, KernelError> {
    if Path::new(path).components().all(|part| matches!(part, Component::Normal(_))) {
        return Ok(Path::new(tree).join(path));
    }
    Err(failed(path, io::Error::from(io::ErrorKind::InvalidInput)))
}

fn failed(path: &str, source: io::Error) -> KernelError {
    KernelError::Sysctl { path: path.to_owned(), source }
}

/// Reads a sysctl; `None` if there is none of this path.
pub(super) fn read(Sysctl(path): &Sysctl) -> Result<Option<String>, KernelError> {
    match std::fs::read_to_string(file(TREE, path)?) {
        Ok(value) => Ok(Some(value.trim().to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

/// Writes a sysctl.
pub(super) fn write(Sysctl(path): &Sysctl, value: &str) -> Result<(), KernelError> {
    let open = |tree| Ok(OpenOptions::new().write(true).open(file(tree, path)?));
    let opened = match open(TREE)? {
        Err(error) if error.kind() == io::ErrorKind::ReadOnlyFilesystem => match open(HOST_TREE)? {
            // What was asked for is the first of the two.
            Err(missing) if missing.kind() == io::ErrorKind::NotFound => Err(error),
            opened => opened,
        },
        opened => opened,
    };
    opened.and_then(|mut file| file.write_all(value.as_bytes())).map_err(|error| failed(path, error))
}

/// The reverse path filter that every IPv4 link has at least.
pub(super) fn rp_filter_of_all() -> Result<u8, KernelError> {
    let value = read(&Sysctl("net/ipv4/conf/all/rp_filter".to_owned()))?;
    Ok(value.and_then(|value| value.parse().ok()).unwrap_or(0))
}

/// Whether the kernel has IPv6 at all.
pub(super) fn has_ipv6() -> bool {
    Path::new("/proc/sys/net/ipv6/conf").exists()
}

/// Whether IPv6 is there and not switched off.
pub(super) fn ipv6() -> Result<bool, KernelError> {
    let disabled = read(&Sysctl("net/ipv6/conf/all/disable_ipv6".to_owned()))?;
    Ok(disabled.is_some_and(|disabled| disabled == "0"))
}

/// Whether [`LIBERAL_TRACKING`] is on.
pub(super) fn tracking_is_liberal() -> Result<bool, KernelError> {
    let liberal = read(&Sysctl(LIBERAL_TRACKING.to_owned()))?;
    Ok(liberal.is_some_and(|liberal| liberal != "0"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_cannot_leave_the_tree() {
        for path in ["../etc/passwd", "/etc/passwd", "net/../../x"] {
            assert!(matches!(read(&Sysctl(path.to_owned())), Err(KernelError::Sysctl { .. })), "{path}");
        }
    }

    #[test]
    fn a_sysctl_that_is_not_there_has_no_value() {
        assert_eq!(read(&Sysctl("net/ipv4/conf/no-such-link/rp_filter".to_owned())).unwrap(), None);
    }
}
