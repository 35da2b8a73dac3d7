//! A new worker for one that died, where the operator wants that.
//!
//! It comes by a reload, as a worker has no other way into the process. How
//! many there were in a row is part of the [`HandoverState`], which outlives the exec.
//!
//! [`HandoverState`]: crate::core::exec::handover_state::HandoverState

use super::*;
use crate::core::generation::LeavingRule;

/// Who served for so many seconds died of something else than the one before.
const STABLE: i64 = 60;
/// Seconds before the second one, doubled for each that follows.
const FIRST_PAUSE: u64 = 1;
const LONGEST_PAUSE: u64 = 60;
const SECOND: u64 = 1_000_000;

impl Lifecycle {
    /// The worker in service died: will there be another one?
    pub(super) fn restarts<T: Table>(
        &mut self,
        step: &mut Step<'_, T>,
        process: &Process,
        end: &Ending,
    ) -> bool {
        if self.leaving || self.policy.restart.is_none() {
            return false;
        }
        if step.now.wall.saturating_sub(i64::from(process.timestamp)) >= STABLE {
            self.state.restarts = 0;
        }
        self.state.status = end.code;
        self.state.vacant = true;
        // One that starts already takes its place.
        if step.table.starting().is_some() {
            self.state.restarts = self.state.restarts.max(1);
            return true;
        }
        self.plan_restart(step)
    }

    /// The table has been read. If this image only `waits`, the load before it may have failed:
    /// the worker in service goes on, though some generations set LEAVING on all. When nobody
    /// serves, no worker that drains may be taken for the one in service.
    pub fn table_read<T: Table>(&mut self, table: &mut T, waits: bool) {
        if waits && self.generation.leaving == LeavingRule::All {
            keep_in_service(table);
        }
        let reloads = table.master().map_or(0, |row| table.load(row).reloads);
        self.start = match (self.state.vacant, reloads) {
            (true, _) => Start::Restart,
            (false, 0) => Start::First,
            (false, _) => Start::Reload,
        };
        if self.start == Start::Restart {
            table.for_each(|p| {
                if p.is(options::WORKER) && p.pid > 0 {
                    p.options |= options::LEAVING;
                }
            });
        }
    }

    /// Whether children being gone is no reason to leave.
    pub(super) fn awaits_restart(&self) -> bool {
        !self.leaving && self.policy.restart.is_some() && self.state.restarts > 0
    }

    /// The next one of the row, after its pause. `false`: these were enough.
    fn plan_restart<T: Table>(&mut self, step: &mut Step<'_, T>) -> bool {
        let limit = self.policy.restart.unwrap_or(0);
        if self.state.restarts >= limit {
            step.log(Level::Alert, messages::restarts_exhausted(limit));
            return false;
        }
        let pause = pause(self.state.restarts);
        self.state.restarts = self.state.restarts.saturating_add(1);
        let text = messages::restarting(self.state.restarts, limit, pause);
        step.log(Level::Warning, text);
        self.times.restart =
            Some(step.now.monotonic_usec.saturating_add(pause.saturating_mul(SECOND)));
        true
    }

    pub(super) fn restart_if_due<T: Table>(&mut self, step: &mut Step<'_, T>) {
        if !self.awaits_restart() || step.table.starting().is_some() {
            return;
        }
        // With nbproc others may serve beside the dead one.
        let others = self.generation.relative_pids && self.state.vacant;
        if time::in_service(step.table).is_some() && !others {
            self.times.restart = None;
            return;
        }
        match self.times.restart {
            Some(due) if step.now.monotonic_usec >= due => {
                self.times.restart = None;
                self.begin_reload(step, Hardness::Soft);
            }
            Some(_) => {}
            // The last one failed before it served, maybe in another image.
            None => {
                if !self.plan_restart(step) {
                    self.give_up(step);
                }
            }
        }
    }

    /// The service ends as it does without restarts.
    fn give_up<T: Table>(&mut self, step: &mut Step<'_, T>) {
        self.state.restarts = 0;
        self.exit_code = Some(self.state.status);
        self.leaving = true;
        step.log(Level::Alert, messages::exit_on_failure(self.generation.words));
        step.kill_children(Signal::Term);
        if !step.has_children() {
            self.leave_if_alone(step);
        }
    }
}

/// Seconds before the next one, after `count` in a row.
fn pause(count: u32) -> u64 {
    match count.checked_sub(1) {
        None => 0,
        Some(doubled) => {
            FIRST_PAUSE.checked_shl(doubled).map_or(LONGEST_PAUSE, |p| p.clamp(1, LONGEST_PAUSE))
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn pauses_grow_up_to_a_limit() {
        let pauses: Vec<u64> = [0, 1, 2, 3, 6, 7, 8, 64, 65, u32::MAX].map(super::pause).to_vec();
        assert_eq!(pauses, [0, 1, 2, 4, 32, 60, 60, 60, 60, 60]);
    }
}
