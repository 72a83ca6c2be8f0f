//! Running rows in a bed.

use std::path::Path as FilePath;
use std::thread;
use std::time::{Duration, Instant};

use super::act::{perform, run};
use super::judge::{Measured, Moved, Outcome, judge};
use super::paths::{Path, Streams};
use super::row::{Act, Bound, Case, Expect, Groups, Heard, Kind, Row};
use super::users::{self, Carried, Logged, USERS};
use super::{kills, load, moved};
use crate::deadline::wait_until;
use crate::error::{LabError, Result};
use crate::lab::{Lab, Programs, Snapshot};
use crate::probe::plan::CheckOptions;
use crate::topology::{CniKind, Topology};

const TOPOLOGY: &str = include_str!("../../topologies/faults.yaml");

/// How long the bed may take to be linked.
const READY: Duration = Duration::from_secs(60);
/// How long anything that is expected may take; whether it came in time is another question.
pub(super) const DEADLINE: Duration = Duration::from_secs(30);
/// How long agents that have just started measure round trips before a gateway dies: before the first answer they wait
/// a second for each.
const WARM: Duration = Duration::from_millis(1500);
/// How long packets go on after the fault was dealt with.
const AFTER: Duration = Duration::from_millis(300);

/// How much is done.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Settings {
    /// How often the row of many kills kills a gateway.
    pub kills: usize,
    /// How long the machine is kept busy.
    pub busy: Duration,
}

/// A bed for the matrix.
pub struct Matrix {
    pub(super) lab: Lab,
    pub(super) settings: Settings,
}

impl Matrix {
    /// Brings the bed up under this name, and waits until all is linked.
    ///
    /// # Errors
    /// The bed does not come up, or not everybody reaches whom they should.
    pub fn up(program: &FilePath, programs: Programs, name: &str, settings: Settings) -> Result<Matrix> {
        let mut topology = Topology::parse(TOPOLOGY, "faults.yaml")?;
        name.clone_into(&mut topology.name);
        let lab = Lab::up(program, topology, programs)?;
        let report = lab.wait_until_ready(&CheckOptions { quick: true, ..CheckOptions::default() }, READY)?;
        if !report.is_fine() {
            return Err(LabError::Bed(format!("not all is linked:\n{}", report.to_table())));
        }
        let matrix = Matrix { lab, settings };
        matrix.open_fast_paths()?;
        Ok(matrix)
    }

    /// Has connection tracking of all nodes take TCP's sequence numbers as they come, and waits for the fast path of those that
    /// are to have one: the nodes of CNIs with a bridge.
    fn open_fast_paths(&self) -> Result<()> {
        let topology = self.lab.topology()?;
        for (cluster, node) in topology.nodes() {
            let name = format!("{}/{}", cluster.name, node.name);
            self.lab.track_liberally(&name, true)?;
            if cluster.cni.kind == CniKind::Vxlan {
                self.lab.wait_for_fast_path(&name, READY)?;
            }
        }
        Ok(())
    }

    /// The bed.
    pub fn lab(&self) -> &Lab {
        &self.lab
    }

    /// Runs a row. What goes wrong with it is part of the outcome.
    pub fn run(&self, row: &Row) -> Outcome {
        let (bound, repaired, measured) = match row.kind {
            Kind::Once(case) => (case.bound, matches!(case.expect, Expect::Repaired(..)), self.once(&case)),
            Kind::Kills => (kills::BOUND, false, kills::run(self)),
            Kind::Moved(Groups::Resilient) => (Bound::Within(1000), false, moved::resilient(self)),
            Kind::Moved(Groups::Plain) => (Bound::Reported, false, moved::plain(&self.lab)),
            Kind::Busy => (Bound::Reported, false, load::run(self)),
        };
        match measured {
            Ok(measured) => judge(row, bound, repaired, measured),
            Err(error) => {
                // What is still broken must not spoil the next row; if it cannot be mended, that one says so.
                let mend = match row.kind {
                    Kind::Once(case) => case.mend,
                    _ => &[Act::Fault("heal")],
                };
                for gateway in users::GATEWAYS {
                    let _ = perform(&self.lab, mend, gateway);
                }
                Outcome::failed(row, bound, &error)
            }
        }
    }

    /// Lets the users' agents forget that gateways died, and waits until all gateways are in use and probed.
    pub(super) fn refresh_users(&self) -> Result<()> {
        for user in USERS {
            self.lab.run(&["fault", "agent", user, "restart"])?;
        }
        self.wait_for_groups()?;
        thread::sleep(WARM);
        Ok(())
    }

    pub(super) fn wait_for_groups(&self) -> Result<()> {
        wait_until("all gateways in all groups", DEADLINE, || users::all_in_groups(&self.lab))
    }

    /// Waits until no user uses the gateway.
    pub(super) fn wait_until_left(&self, gateway: &str) -> Result<()> {
        let what = format!("{gateway} to leave all groups");
        wait_until(&what, DEADLINE, || users::left_groups(&self.lab, gateway))
    }

    fn once(&self, case: &Case) -> Result<Measured> {
        let lab = &self.lab;
        match case.expect {
            Expect::FailsOver => self.refresh_users()?,
            _ => self.wait_for_groups()?,
        }
        let before = users::carried(lab)?;
        let gateway = users::busiest(lab, &before)?;
        perform(lab, case.before, gateway)?;
        let snapshot = match case.expect {
            Expect::Repaired(node, _) | Expect::Untouched(node, _) => Some(lab.node(node)?.snapshot()?),
            _ => None,
        };
        let logged = Logged::read(lab)?;
        let paths = case.hit.iter().chain(case.spared).copied();
        let streams = Streams::start(lab, paths, false)?;
        perform(lab, case.inject, gateway)?;
        let began = Instant::now();
        let mut measured = Measured::default();
        match self.wait_for(case.expect, gateway, snapshot.as_ref()) {
            Ok(at) => measured.took = Some(at.duration_since(began)),
            Err(LabError::Deadline { what, last }) => measured.misses.push(format!("{what}: {last}")),
            Err(error) => return Err(error),
        }
        thread::sleep(AFTER);
        if case.expect == Expect::FailsOver {
            measured.moved =
                Some(moved_besides(&before, &users::carried(lab)?, &users::overlay(lab, gateway)?));
        }
        let logged = Logged::read(lab)?.since(&logged);
        perform(lab, case.mend, gateway)?;
        if !case.mend.is_empty() {
            self.wait_for_groups()?;
            // The way back is a change too: a stream that ends in the middle of it would count its end as a gap.
            thread::sleep(AFTER);
        }
        let reports = streams.finish()?;
        let all: Vec<Path> = reports.0.iter().map(|(path, _)| *path).collect();
        measured.sent = reports.sent(&all);
        measured.lost = reports.lost(&all);
        measured.spared_lost = reports.lost(case.spared);
        measured.outages = vec![reports.longest_outage(if case.hit.is_empty() { &all } else { case.hit })];
        account(case.expect, &logged, &mut measured);
        Ok(measured)
    }

    /// Waits until what is expected has come about; when that was.
    fn wait_for(&self, expect: Expect, gateway: &str, before: Option<&Snapshot>) -> Result<Instant> {
        let lab = &self.lab;
        let now = |state: std::result::Result<(), String>| state.map(|()| Instant::now());
        match expect {
            Expect::FailsOver => {
                let what = format!("{gateway} to leave all groups");
                wait_until(&what, DEADLINE, || users::left_groups(lab, gateway).map(now))
            }
            Expect::Repaired(node, _) => wait_until(&format!("{node} to be as before"), DEADLINE, || {
                let differences = differences(lab, node, before)?;
                Ok(now(if differences.is_empty() { Ok(()) } else { Err(differences.join("\n")) }))
            }),
            Expect::Untouched(node, time) => {
                thread::sleep(time);
                let differences = differences(lab, node, before)?;
                let what = format!("{node} to stay as it was");
                let changed = LabError::Deadline { what, last: differences.join("\n") };
                if differences.is_empty() { Ok(Instant::now()) } else { Err(changed) }
            }
            Expect::Holds(node, script) => wait_until(script, DEADLINE, || match run(lab, node, script) {
                Ok(_) => Ok(Ok(Instant::now())),
                Err(LabError::Failed { message, .. }) => Ok(Err(message)),
                Err(error) => Err(error),
            }),
            Expect::Reported(node, reason) => {
                let what = format!("{node} to report {reason}");
                wait_until(&what, DEADLINE, || {
                    let (is, message) = users::gateways_reachable(lab, node)?;
                    Ok(now(if is == reason { Ok(()) } else { Err(format!("{is}: {message}")) }))
                })
            }
        }
    }
}

fn differences(lab: &Lab, node: &str, before: Option<&Snapshot>) -> Result<Vec<String>> {
    let now = lab.node(node)?.snapshot()?;
    Ok(before.map(|before| before.difference_but_numbers(&now)).unwrap_or_default())
}

/// Flows over other gateways than those with these overlay addresses, and how many took another one.
pub(super) fn moved_besides(before: &Carried, after: &Carried, gone: &[std::net::IpAddr]) -> Moved {
    let stayed = before.iter().filter(|(_, via)| !gone.contains(via));
    let mut moved = Moved::default();
    for (flow, via) in stayed {
        moved.stayed += 1;
        moved.moved += usize::from(after.get(flow) != Some(via));
    }
    moved
}

/// What the logs say about who dealt with the fault, and whether that is as expected.
fn account(expect: Expect, logged: &Logged, measured: &mut Measured) {
    let Measured { misses, by, .. } = measured;
    *by = match expect {
        Expect::FailsOver => "failover on each node".to_owned(),
        Expect::Repaired(_, Heard::Overrun) => "agent, after lost notifications".to_owned(),
        Expect::Repaired(_, Heard::Notified) => "agent".to_owned(),
        Expect::Untouched(..) => "nothing to do".to_owned(),
        Expect::Holds(..) => "new plan, agents".to_owned(),
        Expect::Reported(_, reason) => format!("reported: {reason}"),
    };
    match expect {
        Expect::FailsOver if logged.deaths < USERS.len() => {
            misses.push(format!("only {} agents say that a gateway died", logged.deaths));
        }
        Expect::Repaired(node, _) if logged.writes.get(node) == Some(&0) => {
            misses.push(format!("the agent of {node} has written nothing: the fault changed nothing"));
        }
        Expect::Repaired(_, Heard::Overrun) if logged.overruns == 0 => {
            misses.push("no notifications were lost".to_owned());
        }
        Expect::Untouched(..) if logged.all_writes() > 0 => {
            misses.push(format!("agents wrote to the kernel: {:?}", logged.writes));
        }
        _ => {}
    }
    if expect != Expect::FailsOver && logged.deaths > 0 {
        misses.push(format!("{} times a gateway was taken for dead", logged.deaths));
    }
}
