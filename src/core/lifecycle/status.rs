//! The line that `systemctl status` shows.

use super::*;
use crate::core::figures::Figures;
use std::fmt::Write;
use std::time::{Duration, UNIX_EPOCH};

/// At most one in this time.
const EVERY: u64 = 1_000_000;

/// What systemd shows, as far as this image knows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Told {
    /// `None`: this image hasn't looked yet, and leaves the last one's standing
    /// for as long as one does.
    at: Option<u64>,
    text: String,
}

impl Told {
    /// When there may be another one.
    pub fn due(&self) -> u64 {
        self.at.map_or(0, |at| at.saturating_add(EVERY))
    }

    /// A message of another kind has brought a line of its own.
    pub fn was_replaced(&mut self, now: Now) {
        self.at = Some(now.monotonic_usec);
        self.text.clear();
    }
}

impl Lifecycle {
    pub(super) fn tell_status<T: Table>(&mut self, step: &mut Step<'_, T>, figures: &Figures) {
        if !self.policy.systemd || step.now.monotonic_usec < self.times.status.due() {
            return;
        }
        let at = self.times.status.at.replace(step.now.monotonic_usec);
        if at.is_none() || self.starts_silently(step.now) {
            return;
        }
        let text = self.status(step.table, figures, step.now);
        if text != self.times.status.text {
            step.notify(Notice::Status(text.clone()));
            self.times.status.text = text;
        }
    }

    /// How the service is, in one line.
    pub fn status<T: Table>(&self, table: &T, figures: &Figures, now: Now) -> String {
        let mut text = self.condition(table, now);
        // Writing into a string can't fail.
        if let Some(connections) = figures.connections() {
            let _ = write!(text, " Connections: {connections}.");
        }
        let [current, old, starting] = workers(table);
        let _ = write!(text, " Workers: {current} current, {old} old, {starting} starting.");
        let reloads = table.master().map_or(0, |row| table.load(row).reloads);
        let _ = write!(text, " Reloads: {reloads}, failed: {}", self.state.failed);
        if let Some(failure) = &self.state.last_failure {
            let _ = write!(text, " (last {}: {})", date(failure.when), failure.why);
        }
        text.push('.');
        for (name, sum) in figures.counters() {
            let _ = write!(text, " {name}: {sum}.");
        }
        text
    }

    fn condition<T: Table>(&self, table: &T, now: Now) -> String {
        if self.leaving {
            return "Leaving.".into();
        }
        if let Some((pid, usec)) = self.times.watch.frozen_for(now.monotonic_usec) {
            return messages::status_frozen(pid, usec);
        }
        match (time::in_service(table), self.policy.restart) {
            (Some(_), _) => "Ready.".into(),
            (None, Some(limit)) if self.state.restarts > 0 => {
                messages::status_restarting(self.state.restarts, limit)
            }
            (None, _) => "Starting.".into(),
        }
    }
}

/// How many are current, old and starting.
fn workers<T: Table>(table: &T) -> [usize; 3] {
    let count = |wanted: fn(&Process) -> bool| table.rows().filter(|(_, p)| wanted(p)).count();
    [
        count(Process::is_in_service),
        count(|p| p.is(options::WORKER) && p.is(options::LEAVING) && p.pid > 0),
        count(|p| p.is_starting() && p.pid > 0),
    ]
}

/// A time in UTC, as RFC 3339 has it.
fn date(wall: i64) -> String {
    let since = Duration::from_secs(u64::try_from(wall).unwrap_or(0).min(YEAR_9999));
    let time = UNIX_EPOCH.checked_add(since).unwrap_or(UNIX_EPOCH);
    humantime::format_rfc3339_seconds(time).to_string()
}

/// No format reaches further.
const YEAR_9999: u64 = 253_402_300_799;
