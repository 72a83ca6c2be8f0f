//! Whether one target answers: a state machine that is told what was sent and answered, and when.
//!
//! A probe goes out in each interval. One that stays unanswered for longer than usual begins a
//! *doubt*: probes then follow each other ten times as fast, until one is answered or [`DEAD_AFTER`]
//! of them in a row were lost, each after a wait of its own.
//!
//! Why so many. With independent loss of a share `q` of the round trips, a doubt begins with a lost
//! probe, 10 times a second at most, and ends wrongly with probability `q^17`. So there are at most
//! `36,000 · q^18` false deaths of a target in an hour:
//!
//! | loss | q | false deaths in an hour |
//! | --- | --- | --- |
//! | 20 % of round trips | 0.20 | 9e-9 |
//! | 20 % each way | 0.36 | 4e-4 |
//!
//! Three in a row at 20 % would be 288 in an hour. At an interval of 100 ms and a short round trip, a
//! dead target is known at most 100 (next probe) + 20 (doubt) + 16 · 10 (probes) + 50 (wait) = 330 ms
//! after its death, and no loss of less than 200 ms is taken for one.
//!
//! What was sent while the prober itself was late proves nothing: such probes are void.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::impairment::Recent;
use crate::loss::Loss;
use crate::rtt::Rtt;
use crate::tally::Outcomes;

/// So many probes in a row must be lost.
pub const DEAD_AFTER: usize = 18;
/// So many probes in a row must be answered by a dead target.
pub const ALIVE_AFTER: u32 = 5;
/// A target with so many losses in a row cannot vouch for the path from here.
const UNHEARD_AFTER: usize = 5;
/// How many times as fast probes follow each other in doubt.
const HASTE: u32 = 10;
/// A share of the interval after which a probe is missed at the earliest, as a divisor.
const DOUBT: u32 = 5;
/// How long an answer is recognised.
const REMEMBERED: Duration = Duration::from_secs(3);
/// How long a target that flapped stays dead at least: at the second death, and at most.
const HOLD: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));
/// A target that was alive for so long before it died does not flap.
const STEADY: Duration = Duration::from_secs(60);

/// What a target is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum State {
    /// It answers, or is not known not to.
    Alive,
    /// It does not answer, and nor does any other of its pool: the fault may be on this side.
    Silent,
    /// It does not answer, and another of its pool does.
    Dead,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Fate {
    Pending,
    Lost,
    /// Sent when the prober was late.
    Void,
}

#[derive(Clone, Copy, Debug)]
struct Sent {
    seq: u32,
    at: Instant,
    fate: Fate,
}

/// Watches one target.
#[derive(Clone, Debug)]
pub struct Detector {
    interval: Duration,
    rtt: Rtt,
    loss: Loss,
    recent: Recent,
    outcomes: Outcomes,
    /// Probes without an answer, oldest first.
    sent: VecDeque<Sent>,
    next_seq: u32,
    last_sent: Option<Instant>,
    /// When to send next while there is no doubt.
    regular: Instant,
    /// The newest probe that was answered.
    answered: Option<u32>,
    /// When the last losses in a row were sent, [`DEAD_AFTER`] at most.
    lost_run: VecDeque<Instant>,
    answered_run: u32,
    /// Since when it answers: when the first answered probe was sent.
    heard_since: Option<Instant>,
    silent: bool,
    died: Option<Instant>,
    recovered: Option<Instant>,
    hold: Duration,
}

impl Detector {
    /// A target whose first probe is due at `first`. It counts as alive until it is known better.
    pub fn new(interval: Duration, first: Instant) -> Detector {
        Detector {
            interval,
            rtt: Rtt::default(),
            loss: Loss::new(first),
            recent: Recent::default(),
            outcomes: Outcomes::default(),
            sent: VecDeque::new(),
            next_seq: 0,
            last_sent: None,
            regular: first,
            answered: None,
            lost_run: VecDeque::new(),
            answered_run: 0,
            heard_since: None,
            silent: false,
            died: None,
            recovered: None,
            hold: Duration::ZERO,
        }
    }

    /// It is known to have been dead before it was watched: it stays so until it answers.
    pub fn was_dead(&mut self, now: Instant) {
        self.died = Some(now);
    }

    /// Probes from now on at another interval.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// The number of the probe to send now, if one is due.
    pub fn due_probe(&self, now: Instant) -> Option<u32> {
        (self.next_send(now) <= now).then_some(self.next_seq)
    }

    /// The probe `seq` was sent at `at`, and the next one of the regular ones is due `jitter` earlier
    /// than an interval later.
    pub fn sent(&mut self, seq: u32, at: Instant, jitter: Duration) {
        self.sent.push_back(Sent { seq, at, fate: Fate::Pending });
        self.not_sent(at, jitter);
    }

    /// A probe could not be sent from here, which says nothing about the target.
    pub fn not_sent(&mut self, at: Instant, jitter: Duration) {
        self.next_seq = self.next_seq.wrapping_add(1);
        self.last_sent = Some(at);
        self.regular = at + self.interval.saturating_sub(jitter);
    }

    /// The answer to the probe `seq` came at `at`. A late one counts too. Returns whether there was
    /// such a probe.
    pub fn answered(&mut self, seq: u32, at: Instant) -> bool {
        let Some(place) = self.sent.iter().position(|sent| sent.seq == seq) else { return false };
        let Some(sent) = self.sent.remove(place) else { return false };
        if sent.fate != Fate::Void {
            let rtt = at.saturating_duration_since(sent.at);
            self.rtt.measured(rtt);
            self.outcomes.rtts.push(rtt);
        }
        if sent.fate != Fate::Lost {
            self.loss.count(at, false);
            self.recent.count(false);
        } else {
            self.recent.was_late();
        }
        if self.answered.is_none_or(|newest| newest < seq) {
            self.answered = Some(seq);
        }
        self.lost_run.clear();
        self.answered_run = self.answered_run.saturating_add(1);
        self.heard_since.get_or_insert(sent.at);
        self.silent = false;
        true
    }

    /// Counts as lost what was waited for long enough.
    pub fn tick(&mut self, now: Instant) {
        let wait = self.rtt.wait();
        for place in 0..self.sent.len() {
            let Sent { seq, at, fate } = self.sent[place];
            if fate != Fate::Pending || at + wait > now {
                continue;
            }
            self.sent[place].fate = Fate::Lost;
            self.loss.count(now, true);
            self.recent.count(true);
            // One from before the newest answer was lost on its own.
            if self.answered.is_none_or(|newest| newest < seq) {
                self.lost(at);
            }
        }
        while self.sent.front().is_some_and(|sent| sent.at + REMEMBERED < now) {
            let forgotten = self.sent.pop_front();
            self.outcomes.lost += u32::from(forgotten.is_some_and(|sent| sent.fate == Fate::Lost));
        }
    }

    fn lost(&mut self, at: Instant) {
        self.answered_run = 0;
        if self.lost_run.len() == DEAD_AFTER {
            self.lost_run.pop_front();
        }
        self.lost_run.push_back(at);
        if self.lost_run.len() >= UNHEARD_AFTER {
            self.heard_since = None;
        }
        if self.lost_run.len() == DEAD_AFTER {
            self.silent = true;
            self.recent.forget();
        }
    }

    /// The prober was late: whatever is under way proves nothing if it is not answered, and is sent anew.
    pub fn stalled(&mut self, now: Instant) {
        for sent in self.sent.iter_mut().filter(|sent| sent.fate == Fate::Pending) {
            sent.fate = Fate::Void;
        }
        self.regular = self.regular.min(now);
    }

    /// Decides anew whether the target is dead. `heard`: since when another of its pool, that is not
    /// dead, answers without a pause. Returns whether the decision changed.
    pub fn judge(&mut self, now: Instant, heard: Option<Instant>) -> bool {
        if let Some(heard) = heard {
            // What was lost while nobody answered may have been lost on this side.
            while self.lost_run.front().is_some_and(|at| *at < heard) {
                self.lost_run.pop_front();
            }
        }
        match self.died {
            None if heard.is_some() && self.lost_run.len() == DEAD_AFTER => {
                let flaps = self.recovered.is_some_and(|at| now.saturating_duration_since(at) < STEADY);
                self.hold = if flaps { (self.hold * 2).clamp(HOLD.0, HOLD.1) } else { Duration::ZERO };
                self.died = Some(now);
                self.answered_run = 0;
                true
            }
            // With nobody else to take its place it is welcome at once.
            Some(died)
                if self.answered_run >= ALIVE_AFTER && (now >= died + self.hold || heard.is_none()) =>
            {
                self.died = None;
                self.recovered = Some(now);
                true
            }
            _ => false,
        }
    }

    /// What the target is.
    pub fn state(&self) -> State {
        match self.died {
            Some(_) => State::Dead,
            None if self.silent => State::Silent,
            None => State::Alive,
        }
    }

    /// Since when it answers without a pause.
    pub fn heard_since(&self) -> Option<Instant> {
        self.heard_since
    }

    /// When something has to be done next: a probe sent, or one counted as lost.
    pub fn due(&self, now: Instant) -> Instant {
        let wait = self.rtt.wait();
        let lost = self.sent.iter().find(|sent| sent.fate == Fate::Pending).map(|sent| sent.at + wait);
        let held = self.died.map(|died| died + self.hold).filter(|end| *end > now);
        let next = self.next_send(now);
        [lost, self.doubt_begins(), held]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .fold(next, Instant::min)
    }

    /// The smoothed round-trip time and its deviation.
    pub fn rtt(&self) -> (Option<Duration>, Option<Duration>) {
        (self.rtt.smooth(), self.rtt.jitter())
    }

    /// Probes decided in the last minute, and how many of them were lost.
    pub fn loss(&self, now: Instant) -> (u32, u32) {
        self.loss.totals(now)
    }

    /// How probes ended since it was last asked.
    pub(crate) fn outcomes(&mut self) -> &mut Outcomes {
        &mut self.outcomes
    }

    /// Whether it loses many probes, and is no more than that.
    pub fn loses(&self) -> bool {
        self.recent.loses() && self.state() == State::Alive
    }

    /// Whether it was heard just now.
    pub fn is_heard(&self) -> bool {
        self.lost_run.len() < UNHEARD_AFTER && self.state() == State::Alive
    }

    /// Probes lost in a row just now, [`DEAD_AFTER`] at most.
    pub fn lost_in_a_row(&self) -> usize {
        self.lost_run.len()
    }

    fn next_send(&self, now: Instant) -> Instant {
        match self.last_sent {
            Some(last) if self.in_doubt(now) => self.regular.min(last + self.interval / HASTE),
            _ => self.regular,
        }
    }

    fn in_doubt(&self, now: Instant) -> bool {
        let open = self.died.is_none() && self.lost_run.len() < DEAD_AFTER;
        open && (!self.lost_run.is_empty() || self.doubt_begins().is_some_and(|at| at <= now))
    }

    /// When the oldest probe since the newest answer is missed.
    fn doubt_begins(&self) -> Option<Instant> {
        let since =
            |sent: &&Sent| sent.fate == Fate::Pending && self.answered.is_none_or(|newest| newest < sent.seq);
        self.sent.iter().find(since).map(|sent| sent.at + self.rtt.doubt(self.interval / DOUBT))
    }
}
