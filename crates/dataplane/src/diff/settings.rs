//! Sysctls: those of the host and those of our devices are set at different times.

use std::collections::BTreeMap;

use crate::desired::sysctls::device_of;
use crate::diff::links::Links;
use crate::state::Sysctl;
use crate::step::Step;

/// Sysctls as they should be and as they are.
pub(super) struct Settings<'a> {
    pub wanted: &'a BTreeMap<Sysctl, String>,
    pub now: &'a BTreeMap<Sysctl, String>,
    pub links: &'a Links<'a>,
}

impl Settings<'_> {
    /// Sets those that outlive our devices. One that is not there cannot be written.
    pub fn set_of_host(&self, take: &mut dyn FnMut(Step)) {
        for (path, value) in self.wanted.iter().filter(|(path, _)| device_of(path).is_none()) {
            if self.now.get(path).is_some_and(|now| now != value) {
                take(Step::SetSysctl(path.clone(), value.clone()));
            }
        }
    }

    /// Sets those of our devices, which are there when the device is.
    pub fn set_of_devices(&self, take: &mut dyn FnMut(Step)) {
        for (path, value) in self.wanted {
            let Some(device) = device_of(path) else { continue };
            let stale = match self.now.get(path) {
                Some(now) => now != value,
                None => self.links.settings_appear(device),
            };
            if stale {
                take(Step::SetSysctl(path.clone(), value.clone()));
            }
        }
    }
}
