//! What keeps the kernel from being as planned, as obstacles.

use std::io;

use causeway_api::{Obstacle, ObstacleKind};
use causeway_dataplane::KernelError;
use causeway_dataplane::desired::Notice;
use causeway_dataplane::step::Step;

use crate::converge::{ConvergeError, Pass};

/// What the last pass over the kernel says.
pub fn obstacles(result: &Result<Pass, ConvergeError>) -> Vec<Obstacle> {
    match result {
        Ok(pass) => {
            let conflicts = pass.conflicts.iter().map(|device| Obstacle {
                kind: ObstacleKind::NotProgrammed,
                subject: device.to_string(),
                detail: format!("{device} is a link of another program"),
            });
            conflicts.chain(pass.notices.iter().filter_map(of_notice)).collect()
        }
        Err(ConvergeError::Apply(error)) => {
            roots(error.failed.iter().map(|step| of_error(&step.error)).collect())
        }
        Err(error) => vec![Obstacle {
            kind: ObstacleKind::NotProgrammed,
            subject: error.reason().to_owned(),
            detail: error.to_string(),
        }],
    }
}

/// What is left to do for the kernel to be as planned. Which gateways are used changes at any time and counts for nothing, nor does
/// the fast path, without which packets go the long way.
pub fn left_to_do(steps: &[Step]) -> Vec<Obstacle> {
    let counts = |step: &&Step| !matches!(step, Step::ReplaceGroup(..)) && step.kind() != Step::FAST_PATH;
    let left: Vec<&Step> = steps.iter().filter(counts).collect();
    let Some(first) = left.first() else { return Vec::new() };
    let settings: Option<Vec<Obstacle>> = left.iter().map(|step| of_setting(step)).collect();
    // Where more than settings of the host is missing, those are not what matters.
    settings.unwrap_or_else(|| {
        let detail = format!("{} steps are left to do, and nobody does them; the first: {first}", left.len());
        vec![Obstacle { kind: ObstacleKind::NotProgrammed, subject: "kernel".to_owned(), detail }]
    })
}

/// A setting of the host that is left to do, as far as it has a name of its own.
fn of_setting(step: &Step) -> Option<Obstacle> {
    let Step::SetSysctl(path, _) = step else { return None };
    let kind = kind_of_sysctl(&path.0)?;
    Some(Obstacle {
        kind,
        subject: path.0.clone(),
        detail: format!("left to do, and nobody does it: {step}"),
    })
}

/// What is wrong while a sysctl is not as it should be; `None` if that keeps no packet from passing.
fn kind_of_sysctl(path: &str) -> Option<ObstacleKind> {
    match path.rsplit('/').next()? {
        "rp_filter" => Some(ObstacleKind::StrictReversePathFilter),
        "ip_forward" | "forwarding" => Some(ObstacleKind::ForwardingOff),
        _ => None,
    }
}

/// A device that cannot come up fails everything that needs it: of several errors those count that say most, and once.
fn roots(mut all: Vec<Obstacle>) -> Vec<Obstacle> {
    let telling = [
        ObstacleKind::PortTaken,
        ObstacleKind::MissingFeature,
        ObstacleKind::ForwardingOff,
        ObstacleKind::StrictReversePathFilter,
    ];
    match telling.into_iter().find(|kind| all.iter().any(|one| one.kind == *kind)) {
        Some(kind) => all.retain(|one| one.kind == kind),
        // In the order of the steps, what is first is not a consequence.
        None => all.truncate(1),
    }
    all.dedup();
    all.truncate(8);
    all
}

fn of_notice(notice: &Notice) -> Option<Obstacle> {
    let kind = match notice {
        Notice::NoUnderlay | Notice::UnderlayNotOnHost(_) => ObstacleKind::UnderlayNotOnHost,
        Notice::HostWithoutIpv6 => ObstacleKind::MissingFeature,
        _ => return None,
    };
    Some(Obstacle { kind, subject: notice.reason().to_owned(), detail: notice.to_string() })
}

fn of_error(error: &KernelError) -> Obstacle {
    let (kind, subject) = match error {
        KernelError::Refused { operation, source, .. } => (kind_of(source), (*operation).to_owned()),
        KernelError::Sysctl { path, .. } => {
            (kind_of_sysctl(path).unwrap_or(ObstacleKind::NotProgrammed), path.clone())
        }
        _ => (ObstacleKind::NotProgrammed, String::new()),
    };
    Obstacle { kind, subject, detail: error.to_string().chars().take(1000).collect() }
}

fn kind_of(source: &io::Error) -> ObstacleKind {
    match source.raw_os_error() {
        Some(libc::EADDRINUSE) => ObstacleKind::PortTaken,
        Some(libc::EOPNOTSUPP | libc::EPROTONOSUPPORT | libc::EAFNOSUPPORT) => ObstacleKind::MissingFeature,
        _ => ObstacleKind::NotProgrammed,
    }
}

#[cfg(test)]
mod tests {
    use causeway_dataplane::device::Device;
    use causeway_dataplane::nft::{Change, TableKind, Transaction};
    use causeway_dataplane::state::{GroupKind, NextHopId, ObservedGroup, Sysctl};

    use super::*;

    #[test]
    fn errors_of_the_kernel_are_told_by_what_they_mean() {
        let of = |number| {
            let source = io::Error::from_raw_os_error(number);
            of_error(&KernelError::Refused { operation: "set link up", source, detail: String::new() }).kind
        };
        assert_eq!(of(libc::EADDRINUSE), ObstacleKind::PortTaken);
        assert_eq!(of(libc::EOPNOTSUPP), ObstacleKind::MissingFeature);
        assert_eq!(of(libc::EPERM), ObstacleKind::NotProgrammed);
        let of = |path: &str| {
            let source = io::Error::from_raw_os_error(libc::EROFS);
            of_error(&KernelError::Sysctl { path: path.to_owned(), source }).kind
        };
        assert_eq!(of("net/ipv4/conf/eth0/rp_filter"), ObstacleKind::StrictReversePathFilter);
        assert_eq!(of("net/ipv4/ip_forward"), ObstacleKind::ForwardingOff);
        assert_eq!(of("net/ipv6/conf/vx-bridge/forwarding"), ObstacleKind::ForwardingOff);
        assert_eq!(of("net/ipv4/conf/vx-bridge/send_redirects"), ObstacleKind::NotProgrammed);
    }

    #[test]
    fn settings_that_are_left_to_do_are_told_by_name_if_nothing_else_is_left() {
        let sysctl = |path: &str| Step::SetSysctl(Sysctl(path.to_owned()), "1".to_owned());
        let kinds = |steps: &[Step]| left_to_do(steps).iter().map(|one| one.kind).collect::<Vec<_>>();
        let forward = sysctl("net/ipv4/ip_forward");
        assert_eq!(kinds(&[]), []);
        assert_eq!(kinds(std::slice::from_ref(&forward)), [ObstacleKind::ForwardingOff]);
        let flows = Change::ForgetFlows("outbound4".to_owned());
        let forget = Transaction::of(TableKind::Netdev, vec![flows]).map(Step::Firewall);
        let group = ObservedGroup { kind: GroupKind::Multipath, members: Vec::new() };
        let failover = forget.into_iter().chain([Step::ReplaceGroup(NextHopId(7), group)]);
        assert_eq!(kinds(&failover.collect::<Vec<_>>()), [], "gateways are left at any time");
        let device = Step::DelDevice(Device::ALL[0]);
        assert_eq!(kinds(&[forward.clone(), device]), [ObstacleKind::NotProgrammed]);
        assert_eq!(
            kinds(&[forward, sysctl("net/ipv4/conf/vx-bridge/send_redirects")]),
            [ObstacleKind::NotProgrammed]
        );
    }

    #[test]
    fn of_many_errors_that_one_led_to_the_one_is_told() {
        let one = |kind| Obstacle { kind, ..Obstacle::default() };
        let (port, other) = (one(ObstacleKind::PortTaken), one(ObstacleKind::NotProgrammed));
        assert_eq!(roots(vec![other.clone(), port.clone(), port.clone()]), [port]);
        assert_eq!(roots(vec![other.clone(), other.clone()]), [other]);
    }
}
