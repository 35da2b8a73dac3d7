//! systemd's watchdog: it is told that the service lives only while it does.

use super::*;
use crate::core::figures::Figures;

/// Pings within one interval.
const PINGS: u64 = 4;

/// What is known of the life signs of the worker in service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Watch {
    /// When to look next.
    pub due: u64,
    /// Whose sign was last seen, which, and since when it is the same.
    seen: Option<Seen>,
    /// It has been the same for too long.
    frozen: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Seen {
    pid: i32,
    beat: u64,
    since: u64,
}

impl Watch {
    /// For how long who is frozen has been so.
    pub fn frozen_for(&self, now: u64) -> Option<(i32, u64)> {
        let seen = self.seen.filter(|_| self.frozen)?;
        Some((seen.pid, now.saturating_sub(seen.since)))
    }
}

impl Lifecycle {
    /// The loop runs, or nobody would have asked. A worker that gives no sign
    /// at all isn't judged: not every host's does.
    pub(super) fn watch<T: Table>(&mut self, step: &mut Step<'_, T>, figures: &Figures) {
        let Some(interval) = self.policy.watchdog else { return };
        let time = step.now.monotonic_usec;
        if time < self.times.watch.due {
            return;
        }
        let watch = &mut self.times.watch;
        watch.due = time.saturating_add((interval / PINGS).max(1));

        let sign = time::in_service(step.table).and_then(|pid| {
            Some(Seen { pid: pid.get(), beat: figures.beat(pid.get())?, since: time })
        });
        let same = watch
            .seen
            .filter(|was| sign.is_some_and(|is| is.pid == was.pid && is.beat == was.beat));
        let Some(was) = same else {
            if let Some((pid, usec)) = watch.frozen_for(time) {
                let moves = sign.is_some_and(|is| is.pid == pid);
                let text =
                    if moves { messages::thawed(pid, usec) } else { messages::replaced(pid) };
                step.log(Level::Warning, text);
            }
            watch.seen = sign;
            watch.frozen = false;
            step.notify(Notice::Watchdog);
            return;
        };
        let still = time.saturating_sub(was.since);
        if still < interval / 2 {
            step.notify(Notice::Watchdog);
        } else if !watch.frozen {
            watch.frozen = true;
            let text = messages::frozen(was.pid, still, interval);
            step.log(Level::Alert, text);
        }
    }
}
