//! What a master does because time has passed.

use super::*;
use crate::core::figures::Figures;
use crate::core::process::Pid;

const SECOND: u64 = 1_000_000;

/// How systemd is told that something goes on, in microseconds.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// What takes longer than this is told.
    pub first: u64,
    /// How often from then on.
    pub every: u64,
    /// How long systemd is to wait each time.
    pub by: u64,
}

/// Of starts and soft stops.
pub const PACE: Pace = Pace { first: 2 * SECOND, every: 10 * SECOND, by: 30 * SECOND };

/// Of the first start. Who waits for READY before anything else may look at the first message
/// only, as HAProxy's own runner of its tests does: it is READY unless that takes long.
const FIRST_START: u64 = 10 * SECOND;

/// When what is due. All times are CLOCK_MONOTONIC in microseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Times {
    /// When the worker was forked that starts.
    pub started: Option<u64>,
    /// It took too long and was killed.
    pub overdue: bool,
    /// When systemd is told next that something goes on.
    pub extend: Option<u64>,
    /// When the next new worker is started for one that died.
    pub restart: Option<u64>,
    /// Since the last event it was looked whether one has to be.
    pub restart_looked: bool,
    pub watch: watchdog::Watch,
    pub status: status::Told,
}

impl Lifecycle {
    /// When [`Event::Tick`] is due, by CLOCK_MONOTONIC in microseconds; `None`:
    /// nothing depends on the time.
    pub fn deadline(&self) -> Option<u64> {
        if self.left {
            return None;
        }
        let times = &self.times;
        let overdue = match (times.started, self.policy.start_timeout) {
            (Some(since), Some(timeout)) if !times.overdue => Some(since.saturating_add(timeout)),
            _ => None,
        };
        let extend = times.extend.filter(|_| self.policy.systemd);
        let watch = self.policy.watchdog.map(|_| times.watch.due);
        let status = self.policy.systemd.then(|| times.status.due());
        let look = (self.awaits_restart() && !times.restart_looked).then_some(0);
        [overdue, extend, times.restart, look, watch, status].into_iter().flatten().min()
    }

    pub(super) fn tick<T: Table>(&mut self, step: &mut Step<'_, T>, figures: &Figures) {
        self.end_overdue_start(step);
        self.watch(step, figures);
        self.extend(step);
        self.tell_status(step, figures);
        self.restart_if_due(step);
        self.times.restart_looked = true;
    }

    /// A worker was forked, and is waited for.
    pub(super) fn start_begins(&mut self, now: Now) {
        self.times.started = Some(now.monotonic_usec);
        self.times.overdue = false;
        let silence = if self.start == Start::First { FIRST_START } else { PACE.first };
        self.times.extend = Some(now.monotonic_usec.saturating_add(silence));
    }

    /// In the first seconds of the first start.
    pub(super) fn starts_silently(&self, now: Now) -> bool {
        let since = self.times.started.filter(|_| self.start == Start::First);
        since.is_some_and(|since| now.monotonic_usec < since.saturating_add(FIRST_START))
    }

    /// It serves, or has ended. Gives whether it had to be killed.
    pub(super) fn start_ends(&mut self) -> bool {
        self.times.started = None;
        if !self.stops_softly {
            self.times.extend = None;
        }
        std::mem::take(&mut self.times.overdue)
    }

    /// The master leaves, and waits for connections to end.
    pub(super) fn soft_stop_begins(&mut self, now: Now) {
        self.times.extend = Some(now.monotonic_usec.saturating_add(PACE.first));
    }

    /// A worker that takes too long to be READY is killed, which is a failed
    /// start like others.
    fn end_overdue_start<T: Table>(&mut self, step: &mut Step<'_, T>) {
        let (Some(since), Some(timeout)) = (self.times.started, self.policy.start_timeout) else {
            return;
        };
        if self.times.overdue || step.now.monotonic_usec < since.saturating_add(timeout) {
            return;
        }
        self.times.overdue = true;
        let starting = step.table.starting().and_then(|row| Pid::new(step.table.load(row).pid));
        if let Some(pid) = starting {
            let text = messages::start_overdue(pid, timeout);
            step.log(Level::Alert, text);
            step.kill(pid, Signal::Kill);
        }
    }

    /// A slow start isn't to run into the unit's limits, as it has one of its
    /// own; nor a soft stop, for as long as there are workers.
    fn extend<T: Table>(&mut self, step: &mut Step<'_, T>) {
        let Some(due) = self.times.extend.filter(|due| step.now.monotonic_usec >= *due) else {
            return;
        };
        let starts = self.times.started.is_some() && !self.times.overdue;
        let stops = self.stops_softly && step.has_children();
        if !starts && !stops {
            self.times.extend = None;
            return;
        }
        self.times.extend = Some(due.max(step.now.monotonic_usec).saturating_add(PACE.every));
        if self.policy.systemd {
            step.notify(Notice::Extend { usec: PACE.by });
        }
    }
}

/// The worker that takes new connections.
pub(super) fn in_service<T: Table>(table: &T) -> Option<Pid> {
    table.rows().find(|(_, p)| p.is_in_service()).and_then(|(_, p)| Pid::new(p.pid))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::generation::Generation;
    use crate::core::table::PlainTable;

    /// What systemd hears of a start in half a minute: seconds, and what.
    fn heard(reloads: i32) -> Vec<(u64, &'static str)> {
        let mut table = PlainTable::default();
        for (options, pid) in [(options::MASTER, 1), (options::WORKER | options::INIT, -1)] {
            let row = Process { pid, options, reloads, ..Process::default() };
            table.append(row, b"", b"").expect("memory");
        }
        let mut life = Lifecycle::new(Generation::NATIVE, "Proxy", 1);
        life.table_read(&mut table, false);
        life.policy.systemd = true;
        let figures = Figures(Vec::new());
        let mut heard = Vec::new();
        let mut event = Event::Forked { pid: Pid::new(2).expect("above 0") };
        for second in 0..=30 {
            let now = Now { wall: 0, monotonic_usec: 100 * SECOND + second * SECOND };
            let mut actions = Vec::new();
            let _ = life.step(&mut table, event, now, &mut actions);
            for action in actions {
                match action {
                    Action::Notify(Notice::Status(_)) => heard.push((second, "status")),
                    Action::Notify(Notice::Extend { .. }) => heard.push((second, "extend")),
                    Action::Notify(_) => heard.push((second, "other")),
                    _ => {}
                }
            }
            let due = life.deadline().expect("there is always something due");
            let looked = second > 0;
            assert!(
                !looked || due > now.monotonic_usec,
                "the master would spin in second {second}"
            );
            event = Event::Tick { figures: &figures };
        }
        heard
    }

    #[test]
    fn the_first_start_is_silent_for_a_while() {
        let told_from = |second| {
            ["status", "extend"]
                .map(|what| (second, what))
                .into_iter()
                .chain([(second + 10, "extend"), (second + 20, "extend")])
        };
        let told = |reloads| {
            let mut told = heard(reloads);
            told.sort_by_key(|(second, what)| (*second, *what == "extend"));
            told
        };
        assert_eq!(told(0), told_from(10).collect::<Vec<_>>());
        assert_eq!(told(1), told_from(2).collect::<Vec<_>>());
    }
}
