//! Detectors and rosters in virtual time: hours of loss, deaths, stalls and faults on this side, all
//! from seeds.

#![allow(clippy::unwrap_used, reason = "a test ends at what it did not foresee")]

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use causeway_probing::impairment::LARGE_PER_SECOND;
use causeway_probing::roster::{PACKETS_PER_SECOND, Roster, Size};
use causeway_probing::{Impairment, State, Target};

const MS: Duration = Duration::from_millis(1);

/// A network between a node and its targets, and a clock.
struct World {
    start: Instant,
    now: Instant,
    roster: Roster,
    random: u64,
    /// Share of packets lost each way.
    loss: f64,
    rtt: Duration,
    /// Targets that answer nothing.
    dead: Vec<IpAddr>,
    /// Targets that large packets do not reach.
    narrow: Vec<IpAddr>,
    /// Nothing gets out.
    cut: bool,
    /// Answers under way.
    answers: BTreeMap<(Instant, u64), (IpAddr, u32)>,
    due: Option<Instant>,
    sent: u64,
    large: u64,
    /// Every state that a target took, and when.
    history: Vec<(Duration, IpAddr, State)>,
    states: BTreeMap<IpAddr, State>,
}

fn address(n: u16) -> IpAddr {
    [198, 18, (n >> 8) as u8, n as u8].into()
}

impl World {
    fn new(seed: u64, targets: u16) -> World {
        let start = Instant::now();
        let mut roster = Roster::new(100 * MS, seed, start);
        let target = |n| Target {
            address: address(n),
            source: address(0),
            device: "vx-bridge",
            mtu: 1450,
            pool: format!("c{}", (n - 1) / 8).into(),
            left_out: false,
        };
        roster.set_targets(&(1..=targets).map(target).collect(), start);
        let due = roster.rest(start);
        World {
            start,
            now: start,
            roster,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            loss: 0.0,
            rtt: MS,
            dead: Vec::new(),
            narrow: Vec::new(),
            cut: false,
            answers: BTreeMap::new(),
            due,
            sent: 0,
            large: 0,
            history: Vec::new(),
            states: BTreeMap::new(),
        }
    }

    /// Small probes that were sent.
    fn small(&self) -> u64 {
        self.sent - self.large
    }

    fn chance(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 11) as f64 / (1u64 << 53) as f64
    }

    /// Lets time pass on time.
    fn run(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(due) = self.due.filter(|due| *due <= end) {
            self.now = self.now.max(due);
            self.turn();
        }
        self.now = end;
    }

    /// Lets time pass while the prober does not run, and then runs it.
    fn stall(&mut self, time: Duration) {
        self.now += time;
        self.turn();
    }

    fn turn(&mut self) {
        let later = self.answers.split_off(&(self.now + Duration::from_nanos(1), 0));
        for ((at, _), (from, seq)) in std::mem::replace(&mut self.answers, later) {
            self.roster.answered(from, seq, at);
        }
        let turn = self.roster.turn(self.now);
        for probe in turn.probes {
            self.roster.sent(&probe, self.now);
            self.sent += 1;
            self.large += u64::from(probe.size == Size::Full);
            let address = probe.target.address;
            let narrow = probe.size == Size::Full && self.narrow.contains(&address);
            let lost = self.chance() < self.loss || self.chance() < self.loss;
            if !lost && !narrow && !self.cut && !self.dead.contains(&address) {
                self.answers.insert((self.now + self.rtt, self.sent), (address, probe.seq));
            }
        }
        if turn.changed {
            for status in self.roster.statuses(self.now) {
                let (address, state) = (status.target.address, status.state);
                if self.states.insert(address, state).unwrap_or(State::Alive) != state {
                    self.history.push((self.now - self.start, address, state));
                }
            }
        }
        self.due = self.roster.rest(self.now);
    }

    fn state(&self, n: u16) -> State {
        self.states[&address(n)]
    }

    fn impairments(&self, n: u16) -> BTreeSet<Impairment> {
        let statuses = self.roster.statuses(self.now);
        statuses.into_iter().find(|status| status.target.address == address(n)).unwrap().impairments
    }

    /// How long it takes until a target has a state.
    fn until(&mut self, n: u16, state: State, limit: Duration) -> Duration {
        let from = self.now;
        while self.state(n) != state {
            assert!(self.now - from < limit, "not {state:?} after {limit:?}: {:?}", self.history);
            self.run(MS);
        }
        self.now - from
    }
}

#[test]
fn hours_of_loss_kill_nobody() {
    for (seed, loss, hours) in [(1, 0.1, 1), (2, 0.2, 2), (3, 0.2, 2)] {
        let mut world = World::new(seed, 3);
        world.loss = loss;
        world.run(Duration::from_secs(3600 * hours));
        assert_eq!(world.history, [], "{loss}");
        let status = &world.roster.statuses(world.now)[0];
        let share = f64::from(status.lost) / f64::from(status.sent);
        let expected = 1.0 - (1.0 - loss) * (1.0 - loss);
        assert!((share - expected).abs() < 0.1, "{share} of {} lost", status.sent);
    }
}

#[test]
fn a_target_that_loses_packets_is_told_of_until_it_does_no_more() {
    let mut world = World::new(20, 3);
    world.run(Duration::from_secs(30));
    assert!((1..=3).all(|n| world.impairments(n).is_empty()));
    world.loss = 0.1;
    world.run(Duration::from_secs(30));
    assert!((1..=3).all(|n| world.impairments(n) == [Impairment::Loss].into()));
    world.loss = 0.0;
    world.run(Duration::from_secs(30));
    assert!((1..=3).all(|n| world.impairments(n).is_empty()));
    assert_eq!(world.history, []);
}

#[test]
fn large_packets_that_are_lost_are_told_of_within_ten_seconds_and_kill_nobody() {
    let mut world = World::new(21, 3);
    world.run(Duration::from_secs(5));
    world.narrow = vec![address(2)];
    world.run(Duration::from_secs(10));
    assert_eq!(world.impairments(2), [Impairment::LargePackets].into());
    assert!(world.impairments(1).is_empty() && world.impairments(3).is_empty());
    world.narrow.clear();
    world.run(Duration::from_secs(5));
    assert!(world.impairments(2).is_empty());
    assert_eq!(world.history, []);
}

#[test]
fn a_dead_target_has_no_other_fault_and_none_when_it_comes_back() {
    let mut world = World::new(22, 3);
    world.run(Duration::from_secs(20));
    world.dead = vec![address(1)];
    for _ in 0..1000 {
        world.run(5 * MS);
        assert!(world.impairments(1).is_empty(), "{:?}", world.impairments(1));
    }
    world.run(Duration::from_secs(60));
    assert_eq!((world.state(1), world.impairments(1)), (State::Dead, BTreeSet::new()));
    world.dead.clear();
    for _ in 0..60 {
        world.run(Duration::from_secs(1));
        assert!(world.impairments(1).is_empty(), "{:?}", world.impairments(1));
    }
    assert_eq!(world.state(1), State::Alive);
}

#[test]
fn hours_of_loss_are_not_taken_for_lost_large_packets() {
    let mut world = World::new(23, 3);
    world.loss = 0.1;
    for _ in 0..3600 {
        world.run(Duration::from_secs(1));
        let large = (1..=3).any(|n| world.impairments(n).contains(&Impairment::LargePackets));
        assert!(!large, "after {:?}", world.now - world.start);
    }
}

#[test]
fn what_large_probes_cost_is_bounded_however_many_targets_there_are() {
    for targets in [1, 50, 300] {
        let mut world = World::new(24, targets);
        world.run(Duration::from_secs(100));
        let most = 100 * u64::from(targets).min(u64::from(LARGE_PER_SECOND));
        // Each may be in the middle of its period at the end.
        assert!(world.large <= most + u64::from(targets), "{targets}: {}", world.large);
        assert!(world.large * 2 >= most, "{targets}: {}", world.large);
    }
}

#[test]
fn a_target_whose_packets_may_be_larger_is_still_the_same() {
    let mut world = World::new(25, 2);
    world.run(Duration::from_secs(3));
    world.dead = vec![address(1)];
    world.until(1, State::Dead, Duration::from_secs(2));
    let wider = |status: causeway_probing::Status| Target { mtu: 8950, ..status.target };
    let targets = world.roster.statuses(world.now).into_iter().map(wider).collect();
    world.roster.set_targets(&targets, world.now);
    let statuses = world.roster.statuses(world.now);
    assert!(statuses.iter().all(|status| status.target.mtu == 8950 && status.rtt.is_some()));
    assert_eq!(statuses[0].state, State::Dead);
}

#[test]
fn a_target_that_was_out_of_use_is_dead_until_it_answers() {
    for answers in [false, true] {
        let mut world = World::new(26, 2);
        let statuses = world.roster.statuses(world.now);
        world.roster.set_targets(&BTreeSet::new(), world.now);
        let left_out = statuses.into_iter().map(|status| status.target);
        let left_out = left_out.map(|target| Target { left_out: target.address == address(1), ..target });
        world.roster.set_targets(&left_out.collect(), world.now);
        world.stall(MS);
        assert_eq!((world.state(1), world.state(2)), (State::Dead, State::Alive));
        if answers {
            assert!(world.until(1, State::Alive, Duration::from_secs(2)) <= Duration::from_secs(1));
        } else {
            world.dead.push(address(1));
            world.run(Duration::from_secs(10));
            assert_eq!((world.state(1), world.state(2)), (State::Dead, State::Alive));
        }
    }
}

#[test]
fn a_dead_target_is_known_after_350_ms_at_most() {
    for seed in 0..200 {
        let mut world = World::new(seed, 3);
        world.run(Duration::from_secs(5) + MS * (seed as u32 * 7));
        world.dead.push(address(1));
        let took = world.until(1, State::Dead, Duration::from_secs(2));
        assert!(took <= 350 * MS && took >= 200 * MS, "{took:?}");
        assert_eq!((world.state(2), world.state(3)), (State::Alive, State::Alive));
    }
}

#[test]
fn a_far_target_is_waited_for_as_long_as_it_needs() {
    let mut world = World::new(5, 2);
    world.rtt = 300 * MS;
    world.run(Duration::from_secs(60));
    assert_eq!(world.history, []);
    world.rtt = 600 * MS;
    world.run(Duration::from_secs(60));
    assert_eq!(world.history, []);
    let (rtt, jitter) = (world.roster.statuses(world.now)[0].rtt, world.roster.statuses(world.now)[0].jitter);
    assert!(rtt.unwrap() > 590 * MS && jitter.unwrap() < 20 * MS, "{rtt:?} {jitter:?}");
    world.dead.push(address(1));
    assert!(world.until(1, State::Dead, Duration::from_secs(3)) > 600 * MS);
}

#[test]
fn a_target_that_comes_back_answers_five_times_and_one_that_flaps_waits_longer_each_time() {
    let mut world = World::new(6, 2);
    world.run(Duration::from_secs(5));
    let mut waits = Vec::new();
    for _ in 0..8 {
        world.dead = vec![address(1)];
        world.until(1, State::Dead, Duration::from_secs(2));
        world.dead.clear();
        waits.push(world.until(1, State::Alive, Duration::from_secs(40)).as_millis());
    }
    assert!((400..=600).contains(&waits[0]), "{waits:?}");
    for (wait, hold) in waits[1..].iter().zip([1000, 2000, 4000, 8000, 16_000, 30_000, 30_000]) {
        assert!((hold - 50..=hold + 150).contains(wait), "{waits:?}");
    }
    world.run(Duration::from_secs(120));
    world.dead = vec![address(1)];
    world.until(1, State::Dead, Duration::from_secs(2));
    world.dead.clear();
    assert!(world.until(1, State::Alive, Duration::from_secs(2)) < 700 * MS, "a steady target is forgiven");
}

#[test]
fn a_target_that_comes_back_over_a_bad_path_is_used_again() {
    let mut world = World::new(7, 2);
    world.loss = 0.2;
    world.run(Duration::from_secs(3));
    world.dead = vec![address(1)];
    world.until(1, State::Dead, Duration::from_secs(60));
    world.dead.clear();
    world.until(1, State::Alive, Duration::from_secs(60));
}

#[test]
fn a_fault_on_this_side_kills_nobody_and_changes_nothing_when_it_ends() {
    for seed in 0..100 {
        let mut world = World::new(seed, 4);
        world.run(Duration::from_secs(3) + MS * (seed as u32 * 3));
        world.cut = true;
        world.run(MS * (100 + seed as u32 * 40));
        world.cut = false;
        world.run(Duration::from_secs(5));
        assert!(world.history.iter().all(|(.., state)| *state != State::Dead), "{:?}", world.history);
        assert_eq!(world.state(1), State::Alive);
    }
}

#[test]
fn all_silent_is_said_and_none_is_dead_until_one_answers() {
    let mut world = World::new(8, 3);
    world.run(Duration::from_secs(3));
    world.cut = true;
    world.run(Duration::from_secs(2));
    assert!((1..=3).all(|n| world.state(n) == State::Silent));
    world.cut = false;
    world.dead = vec![address(1), address(2)];
    world.run(Duration::from_secs(2));
    assert_eq!([1, 2, 3].map(|n| world.state(n)), [State::Dead, State::Dead, State::Alive]);
    // The last one is never dead, and one that is held back takes its place as soon as it answers.
    world.dead = vec![address(2), address(3)];
    world.run(Duration::from_secs(2));
    assert_eq!([1, 2, 3].map(|n| world.state(n)), [State::Alive, State::Dead, State::Dead]);
}

#[test]
fn a_lone_target_is_silent_and_never_dead() {
    let mut world = World::new(9, 1);
    world.run(Duration::from_secs(3));
    world.dead = vec![address(1)];
    world.run(Duration::from_secs(60));
    assert_eq!(world.state(1), State::Silent);
}

#[test]
fn a_prober_that_does_not_run_on_time_proves_nothing() {
    let mut world = World::new(10, 2);
    world.run(Duration::from_secs(3));
    // The whole machine stops again and again, and with it the targets' answers.
    for _ in 0..2000 {
        world.cut = true;
        world.run(40 * MS);
        world.stall(200 * MS);
        world.cut = false;
        world.run(5 * MS);
    }
    assert_eq!(world.history, []);
}

#[test]
fn a_dead_target_is_found_between_stalls() {
    let mut world = World::new(11, 2);
    world.run(Duration::from_secs(3));
    world.dead = vec![address(1)];
    for _ in 0..30 {
        world.run(100 * MS);
        world.stall(120 * MS);
    }
    assert_eq!(world.state(1), State::Dead);
}

#[test]
fn many_targets_stay_within_the_budget_and_none_is_forgotten() {
    let mut world = World::new(12, 300);
    world.run(Duration::from_secs(10));
    let before = world.sent;
    world.cut = true;
    world.run(Duration::from_secs(10));
    assert!(world.sent - before <= u64::from(PACKETS_PER_SECOND) * 10 + 100, "{}", world.sent - before);
    world.cut = false;
    world.run(Duration::from_secs(20));
    assert!(world.roster.statuses(world.now).iter().all(|status| status.rtt.is_some()));
    world.dead = vec![address(1)];
    world.until(1, State::Dead, Duration::from_secs(20));
}

#[test]
fn every_probe_is_counted_once_as_answered_or_lost() {
    let mut world = World::new(7, 12);
    world.loss = 0.1;
    world.rtt = 3 * MS;
    world.run(60 * 1000 * MS);
    let far = 400 * MS;
    // Answers that come when they are not waited for any more count as answers.
    world.rtt = far;
    world.run(10 * 1000 * MS);
    let sent = world.small();
    world.loss = 0.0;
    // Until nothing of before is under way.
    world.run(5 * 1000 * MS);
    let after = world.small() - sent;
    let tallies = world.roster.tallies();
    assert_eq!(tallies.len(), 2, "two pools");
    let (answered, lost) = tallies
        .values()
        .fold((0, 0), |(answered, lost), tally| (answered + tally.rtts.count(), lost + tally.lost));
    let counted = answered + lost;
    assert!(counted >= sent && counted <= sent + after, "{answered} + {lost} of {sent} and {after}");
    let share = lost as f64 / sent as f64;
    assert!((0.17..0.21).contains(&share), "19 % of the round trips are lost, not {share}");
    let slow: u64 = tallies.values().map(|tally| tally.rtts.count() - tally.rtts.within(0.1024)).sum();
    assert!(slow > 600, "{slow}");
}

#[test]
fn a_pool_that_is_not_probed_any_more_is_not_counted_either() {
    let mut world = World::new(3, 9);
    world.run(1000 * MS);
    assert_eq!(world.roster.tallies().len(), 2);
    world.roster.set_targets(&BTreeSet::new(), world.now);
    assert!(world.roster.tallies().is_empty());
}
