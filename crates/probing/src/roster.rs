//! All targets of a node: which probes to send now, within a budget, and which targets are dead.
//!
//! Decides only. It is told what time it is, and its randomness follows from a seed.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::detector::{Detector, State};
use crate::impairment::{Impairment, LARGE, Large, period};
use crate::tally::Tally;
use crate::{Status, Target};

/// Probes a second that a node sends at most, to all targets together: 2,000 packets of 110 bytes, below
/// 2 Mbit/s. Regular probes take half of them at most: with more targets than fit, each is probed more
/// slowly, and found dead later in the same measure.
pub const PACKETS_PER_SECOND: u32 = 2_000;
/// Probes that may go out at once.
const BURST: f64 = 100.0;
/// A turn that comes so much later than it was due proves nothing about what was under way.
pub const LATE: Duration = Duration::from_millis(50);
/// Turns follow each other no faster.
const TICK: Duration = Duration::from_millis(1);
/// Regular probes come earlier than the interval by a random share of it, up to one part in this
/// many, so that nodes and targets do not fall into step.
const JITTER: u32 = 10;

/// How large a probe is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Size {
    /// As small as it can be.
    Small,
    /// As large as the target's MTU says.
    Full,
}

/// A probe to send now.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// To whom.
    pub target: Target,
    /// Its number.
    pub seq: u32,
    /// Its size.
    pub size: Size,
}

/// What a turn comes to.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Turn {
    /// What to send. Each is to be acknowledged by [`Roster::sent`] or [`Roster::not_sent`].
    pub probes: Vec<Probe>,
    /// Whether the state of a target, or what is wrong with it, is another than after the last turn.
    pub changed: bool,
}

/// Name and family of a pool.
type Pool = (Arc<str>, bool);

#[derive(Debug)]
struct Member {
    target: Target,
    detector: Detector,
    large: Large,
    /// Its state and what was wrong with it after the last turn.
    told: (State, BTreeSet<Impairment>),
    /// When there is something to do for it, unless it is touched before.
    due: Instant,
    /// Whether something was done for it since the last turn ended.
    touched: bool,
}

impl Member {
    /// The probes that are due, and since when.
    fn due_probes(&self, now: Instant) -> impl Iterator<Item = (Instant, Probe)> {
        let probe = |seq, size| Probe { target: self.target.clone(), seq, size };
        let small = self.detector.due_probe(now).map(|seq| (self.detector.due(now), probe(seq, Size::Small)));
        let is_due = self.large.due() <= now;
        let full = is_due.then(|| (self.large.due(), probe(self.large.next_seq(), Size::Full)));
        small.into_iter().chain(full)
    }

    /// What is wrong with it though it answers.
    fn impairments(&self) -> BTreeSet<Impairment> {
        let alive = self.detector.state() == State::Alive;
        let large = alive && self.large.loses();
        let all = [(self.detector.loses(), Impairment::Loss), (large, Impairment::LargePackets)];
        all.into_iter().filter(|(is, _)| *is).map(|(_, impairment)| impairment).collect()
    }
}

/// All targets of a node, by address.
#[derive(Debug)]
pub struct Roster {
    interval: Duration,
    members: BTreeMap<IpAddr, Member>,
    pools: BTreeMap<Pool, Vec<IpAddr>>,
    /// By the names of pools.
    tallies: BTreeMap<Arc<str>, Tally>,
    due: Option<Instant>,
    tokens: f64,
    filled: Instant,
    random: u64,
    changed: bool,
}

impl Roster {
    /// Nobody yet. `interval` is the time between two probes of a target; `seed` is for jitter.
    pub fn new(interval: Duration, seed: u64, now: Instant) -> Roster {
        Roster {
            interval,
            members: BTreeMap::new(),
            pools: BTreeMap::new(),
            tallies: BTreeMap::new(),
            due: None,
            tokens: BURST,
            filled: now,
            random: seed | 1,
            changed: false,
        }
    }

    /// Probes these targets and no others from now on. What is known of those that stay is kept.
    pub fn set_targets(&mut self, targets: &BTreeSet<Target>, now: Instant) {
        let before = self.members.len();
        let by_address: BTreeMap<IpAddr, &Target> =
            targets.iter().map(|target| (target.address, target)).collect();
        self.members.retain(|address, member| {
            let same = by_address.get(address).filter(|target| target.is_same(&member.target));
            same.is_some_and(|target| {
                member.target.mtu = target.mtu;
                true
            })
        });
        self.changed |= before != self.members.len();
        let many = u32::try_from(targets.len()).unwrap_or(u32::MAX);
        let interval = self.interval.max(Duration::from_secs(1) * many / (PACKETS_PER_SECOND / 2));
        for member in self.members.values_mut() {
            member.detector.set_interval(interval);
            member.touched = true;
        }
        for target in targets {
            if !self.members.contains_key(&target.address) {
                let due = now + self.random_below(interval);
                let mut detector = Detector::new(interval, due);
                if target.left_out {
                    detector.was_dead(now);
                }
                let member = Member {
                    target: target.clone(),
                    large: Large::new(now + self.random_below(period(many))),
                    told: (detector.state(), BTreeSet::new()),
                    detector,
                    due,
                    touched: false,
                };
                self.members.insert(target.address, member);
                self.changed = true;
            }
        }
        self.pools.clear();
        for target in targets {
            self.pools.entry(target.pool()).or_default().push(target.address);
            self.tallies.entry(target.pool.clone()).or_default();
        }
        self.tallies.retain(|pool, _| targets.iter().any(|target| target.pool == *pool));
    }

    /// The probe was sent at `at`.
    pub fn sent(&mut self, probe: &Probe, at: Instant) {
        let jitter = self.random_below(self.interval / JITTER);
        let targets = self.targets();
        let Some(member) = self.members.get_mut(&probe.target.address) else { return };
        match probe.size {
            Size::Small => member.detector.sent(probe.seq, at, jitter),
            Size::Full => member.large.sent(at, targets, member.detector.is_heard()),
        }
    }

    /// The probe could not be sent: a fault of this host, which says nothing about the target.
    pub fn not_sent(&mut self, probe: &Probe, at: Instant) {
        let jitter = self.random_below(self.interval / JITTER);
        let targets = self.targets();
        let Some(member) = self.members.get_mut(&probe.target.address) else { return };
        match probe.size {
            Size::Small => member.detector.not_sent(at, jitter),
            Size::Full => member.large.not_sent(at, targets),
        }
    }

    fn targets(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX)
    }

    /// An answer came at `at`.
    pub fn answered(&mut self, from: IpAddr, seq: u32, at: Instant) {
        if let Some(member) = self.members.get_mut(&from) {
            member.touched |=
                if seq & LARGE == 0 { member.detector.answered(seq, at) } else { member.large.answered(seq) };
        }
    }

    /// Takes a turn at `now`, after all answers that came before `now` were told. To be closed by
    /// [`Roster::rest`].
    pub fn turn(&mut self, now: Instant) -> Turn {
        let late = self.due.is_some_and(|due| due + LATE < now);
        let mut pools = BTreeSet::new();
        for Member { target, detector, large, due, touched, .. } in self.members.values_mut() {
            if late {
                detector.stalled(now);
                large.stalled();
            }
            *touched |= late || *due <= now;
            if *touched {
                detector.tick(now);
                if let Some(tally) = self.tallies.get_mut(&target.pool) {
                    let used = detector.state() != State::Dead;
                    tally.take(detector.outcomes(), used);
                }
                pools.insert(target.pool());
            }
        }
        pools.iter().for_each(|pool| self.judge(pool, now));
        let probes = self.due_probes(now);
        Turn { probes, changed: std::mem::take(&mut self.changed) }
    }

    /// Ends a turn: when the next one is due; `None` if there is nobody to probe. With the budget used
    /// up, not before there is some again.
    pub fn rest(&mut self, now: Instant) -> Option<Instant> {
        for member in self.members.values_mut().filter(|member| member.touched) {
            member.due = member.detector.due(now).min(member.large.due());
            member.touched = false;
        }
        let due = self.members.values().map(|member| member.due).min();
        let wait = (1.0 - self.tokens).max(0.0) / f64::from(PACKETS_PER_SECOND);
        let earliest = (self.filled + Duration::from_secs_f64(wait)).max(now + TICK);
        self.due = due.map(|due| due.max(earliest));
        self.due
    }

    /// How all targets are.
    pub fn statuses(&self, now: Instant) -> Vec<Status> {
        let status = |member: &Member| {
            let Member { target, detector, .. } = member;
            let ((rtt, jitter), (sent, lost)) = (detector.rtt(), detector.loss(now));
            Status {
                target: target.clone(),
                state: detector.state(),
                rtt,
                jitter,
                sent,
                lost,
                lost_in_a_row: detector.lost_in_a_row(),
                impairments: member.impairments(),
            }
        };
        self.members.values().map(status).collect()
    }

    /// How the probes of each pool ended, both families together, since it has targets.
    pub fn tallies(&self) -> &BTreeMap<Arc<str>, Tally> {
        &self.tallies
    }

    /// Judges the targets of a pool by each other. One that is about to die has not been heard for
    /// long, so it vouches for nobody, and the order does not matter.
    fn judge(&mut self, pool: &Pool, now: Instant) {
        let Some(addresses) = self.pools.get(pool) else { return };
        // The two that were heard for longest: the second one vouches for the first.
        let mut witnesses: Vec<(Instant, IpAddr)> = Vec::with_capacity(3);
        for address in addresses {
            let detector = self.members.get(address).map(|member| &member.detector);
            let alive = detector.filter(|detector| detector.state() == State::Alive);
            witnesses.extend(alive.and_then(Detector::heard_since).map(|since| (since, *address)));
            witnesses.sort_unstable();
            witnesses.truncate(2);
        }
        for address in addresses {
            let another = witnesses.iter().find(|(_, witness)| witness != address);
            if let Some(member) = self.members.get_mut(address) {
                member.detector.judge(now, another.map(|(since, _)| *since));
                let state = (member.detector.state(), member.impairments());
                self.changed |= member.told != state;
                member.told = state;
                member.touched = true;
            }
        }
    }

    /// The probes that are due, those that wait longest first, as far as the budget goes.
    fn due_probes(&mut self, now: Instant) -> Vec<Probe> {
        let passed = now.saturating_duration_since(self.filled).as_secs_f64();
        self.tokens = (self.tokens + passed * f64::from(PACKETS_PER_SECOND)).min(BURST);
        self.filled = now;
        let touched = self.members.values().filter(|member| member.touched);
        let mut due: Vec<(Instant, Probe)> = touched.flat_map(|member| member.due_probes(now)).collect();
        due.sort_by_key(|(since, _)| *since);
        due.truncate(self.tokens as usize);
        self.tokens -= due.len() as f64;
        due.into_iter().map(|(_, probe)| probe).collect()
    }

    /// A random time below `limit` (xorshift; it only has to differ).
    fn random_below(&mut self, limit: Duration) -> Duration {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        limit.mul_f64((self.random >> 11) as f64 / (1u64 << 53) as f64)
    }
}
