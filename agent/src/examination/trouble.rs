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

/// What is left to do for the kernel to be as planned. Which gateways are used changes at any time and counts for nothing.
pub fn left_to_do(steps: &[Step]) -> Option<Obstacle> {
    let mut left = steps.iter().filter(|step| !matches!(step, Step::ReplaceGroup(..)));
    let first = left.next()?;
    Some(Obstacle {
        kind: ObstacleKind::NotProgrammed,
        subject: "kernel".to_owned(),
        detail: format!(
            "{} steps are left to do, and nobody does them; the first: {first}",
            1 + left.count()
        ),
    })
}

/// A device that cannot come up fails everything that needs it: of several errors those count that say most, and once.
fn roots(mut all: Vec<Obstacle>) -> Vec<Obstacle> {
    let telling = [ObstacleKind::PortTaken, ObstacleKind::MissingFeature];
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
    let kind = match error {
        KernelError::Refused { source, .. } => kind_of(source),
        _ => ObstacleKind::NotProgrammed,
    };
    let subject = match error {
        KernelError::Refused { operation, .. } => (*operation).to_owned(),
        _ => String::new(),
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
    }

    #[test]
    fn of_many_errors_that_one_led_to_the_one_is_told() {
        let one = |kind| Obstacle { kind, ..Obstacle::default() };
        let (port, other) = (one(ObstacleKind::PortTaken), one(ObstacleKind::NotProgrammed));
        assert_eq!(roots(vec![other.clone(), port.clone(), port.clone()]), [port]);
        assert_eq!(roots(vec![other.clone(), other.clone()]), [other]);
    }
}
