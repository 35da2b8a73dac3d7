//! The clock, and what workers tell in the memory that they share.
//!
//! An image's clock begins at 0, as nothing of it is handed over, and jumps to
//! where the core wants to be asked next.

use super::invariants::{Verdict, hold};
use super::moves::Move;
use super::world::{Phase, World};
use mworker::core::figures::{Figures, WorkerFigures};
use mworker::core::lifecycle::{Action, Now};
use mworker::core::notify::Notice;

/// systemd is told how the service is once in this time at most.
const STATUS_EVERY: u64 = 1_000_000;

/// What is known of the time, in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Time {
    /// This image's clock.
    pub clock: u64,
    /// The sign of life of the worker in service: one of two, by turns. 0: none
    /// was ever given.
    pub beat: u64,
    /// It is another one than the core has seen.
    pub beaten: bool,
    /// When that was given last, or looked at first by this image.
    pub alive: u64,
}

impl Time {
    pub fn now(&self) -> Now {
        Now { wall: 0, monotonic_usec: self.clock }
    }

    /// It is `deadline`, if that isn't past.
    pub fn reaches(&mut self, deadline: Option<u64>) {
        self.clock = self.clock.max(deadline.unwrap_or(0));
    }

    /// Another image looks, or another worker is in service.
    pub fn begins(&mut self, image: bool) {
        if image {
            self.clock = 0;
        } else {
            self.beat = 0;
        }
        self.beaten = false;
        self.alive = self.clock;
    }
}

impl World {
    /// Whether it matters that the worker in service lives, and it does.
    pub fn may_beat(&self) -> bool {
        let serves = self.ledger.in_service.and_then(|pid| self.child(pid));
        self.phase == Phase::Running
            && self.life.policy.watchdog.is_some()
            && serves.is_some_and(|child| child.alive)
    }

    pub fn beats(&mut self) {
        if !self.time.beaten {
            self.time.beat = if self.time.beat == 1 { 2 } else { 1 };
            self.time.beaten = true;
        }
        self.time.alive = self.time.clock;
    }

    /// What the core reads.
    pub fn figures(&self) -> Figures {
        let of = |pid| WorkerFigures { pid, beat: self.time.beat, ..WorkerFigures::default() };
        Figures(self.ledger.in_service.into_iter().map(of).collect())
    }

    /// Invariants: the watchdog hears four times in its interval that the service
    /// lives, while it does; not once a worker that has given signs of life has
    /// given none for half of the interval. STATUS is told by the clock only, and
    /// not too often.
    pub fn tells_systemd_in_time(&mut self, event: Move, actions: &[Action<u32>]) -> Verdict {
        let clock = self.time.clock;
        let told = |wanted: fn(&Notice) -> bool| {
            actions.iter().any(|a| matches!(a, Action::Notify(notice) if wanted(notice)))
        };
        if told(|notice| matches!(notice, Notice::Status(_))) {
            let early = self.ledger.status_at.is_some_and(|at| clock < at + STATUS_EVERY);
            hold(event == Move::Tick && !early, "status_is_limited", || {
                format!("at {clock}, last at {:?}", self.ledger.status_at)
            })?;
            self.ledger.status_at = Some(clock);
        }
        let pings = told(|notice| matches!(notice, Notice::Watchdog));
        let interval = self.life.policy.watchdog.filter(|_| event == Move::Tick);
        let Some(interval) = interval else {
            return hold(!pings, "only_the_living_are_said_to_live", || format!("{event:?}"));
        };
        let silent = clock - self.time.alive;
        let tells = self.time.beat != 0 && self.ledger.in_service.is_some();
        let why = || format!("at {clock}, after {silent} of silence");
        hold(!pings || !tells || silent <= interval / 2, "only_the_living_are_said_to_live", why)?;
        if clock >= self.ledger.look_due {
            self.ledger.look_due = clock + interval / 4;
            self.time.beaten = false;
            let lives = !tells || silent < interval / 2;
            hold(pings || !lives, "the_living_are_said_to_live", why)?;
        }
        Ok(())
    }
}
