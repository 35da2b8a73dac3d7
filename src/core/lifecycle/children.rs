//! The ends of children.

use super::*;
use crate::core::process::Pid;

impl Lifecycle {
    pub(super) fn child_exited<T: Table>(
        &mut self,
        step: &mut Step<'_, T>,
        pid: i32,
        end: &Ending,
    ) {
        if self.generation.leaves_with_last_status {
            self.exit_code = Some(end.code);
        }
        let found = step.table.find(|p| p.is_child() && p.pid == pid);
        let (Some(row), Some(pid)) = (found, Pid::new(pid)) else {
            step.log(Level::Warning, messages::unknown_exited(pid, end, self.generation.words));
            return;
        };
        let process = step.table.load(row);
        step.table.unlink(row);
        if process.is_starting() {
            self.new_worker_failed(step, row, pid, end);
        } else if process.is(options::LEAVING) {
            self.former_exited(step, row, pid, end);
        } else {
            self.current_exited(step, row, pid, end);
        }
    }

    fn current_exited<T: Table>(
        &mut self,
        step: &mut Step<'_, T>,
        row: T::Row,
        pid: Pid,
        end: &Ending,
    ) {
        let process = step.table.load(row);
        let worker = process.is(options::WORKER);
        // One that isn't started anew by a reload is current over it (from 3.1 on), and yet
        // HAProxy's own code tells it to leave: then that is no failure.
        let kept = !worker && process.reloads > 0 && self.generation.ready_handshake;
        let told = kept && end.is_of_soft_stop();
        if worker {
            let mild = end.code < 128 && self.generation.warns_of_exit_codes;
            let level = if mild { Level::Warning } else { Level::Alert };
            let text = messages::current_worker_exited(self.named(pid, &process), end);
            step.out.push(Action::Log(level, text.into()));
        } else {
            let text = messages::current_program_exited(&name(step.table, row), pid, end);
            step.log(Level::Alert, text);
        }
        if !end.is_normal() && !told {
            if worker && self.generation.logs_bug {
                let text = messages::unexpected_death(&self.product);
                step.log(Level::Warning, text);
                step.out.push(Action::Crashed(row));
            }
            if worker && self.restarts(step, &process, end) {
                step.out.push(Action::Release(row, Gone::Current));
                self.restart_if_due(step);
                return;
            }
            if self.policy.exit_on_failure {
                step.log(Level::Alert, messages::exit_on_failure(self.generation.words));
                step.kill_children(Signal::Term);
            }
        }
        if worker {
            // Nobody is to take the place of who left by itself.
            self.state.restarts = 0;
        }
        if self.exit_code.is_none() && end.is_reported() && !told {
            self.exit_code = Some(end.code);
        }
        step.out.push(Action::Release(row, Gone::Current));
    }

    fn named(&self, pid: Pid, process: &Process) -> messages::Named {
        messages::Named { pid, relative: process.relative_pid, words: self.generation.words }
    }

    fn former_exited<T: Table>(
        &mut self,
        step: &mut Step<'_, T>,
        row: T::Row,
        pid: Pid,
        end: &Ending,
    ) {
        let process = step.table.load(row);
        let text = if process.is(options::WORKER) {
            let tells = self.generation.logs_max_reloads && self.exceeds_reloads(&process);
            let exceeded = self.policy.max_reloads.filter(|_| tells);
            messages::former_worker_exited(self.named(pid, &process), end, exceeded)
        } else {
            messages::former_program_exited(&name(step.table, row), pid, end)
        };
        step.log(Level::Warning, text);
        step.out.push(Action::Release(row, Gone::Former));
    }
}

fn name<T: Table>(table: &T, row: T::Row) -> String {
    String::from_utf8_lossy(table.id(row)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::table::PlainTable;

    /// Whether the end of a program takes all others with it, after so many reloads.
    fn takes_all(reloads: i32, code: i32) -> bool {
        let mut life = Lifecycle::new(Generation::haproxy(3, 2), "HAProxy", 1);
        life.policy.exit_on_failure = true;
        let mut table = PlainTable::default();
        let worker = Process { pid: 5, options: options::WORKER, ..Process::default() };
        table.append(worker, b"", b"").expect("memory");
        let program = Process { pid: 6, options: options::PROGRAM, reloads, ..Process::default() };
        table.append(program, b"helper", b"").expect("memory");
        let mut out = Vec::new();
        let end = Ending { code, reason: String::new() };
        let step = &mut Step { table: &mut table, now: Now::default(), out: &mut out };
        life.child_exited(step, 6, &end);
        out.iter().any(|action| matches!(action, Action::Kill { .. }))
    }

    #[test]
    fn a_program_that_was_told_to_leave_has_not_failed() {
        assert!(!takes_all(1, 138));
        assert!(takes_all(0, 138), "nobody has told it");
        assert!(takes_all(1, 137), "it was killed");
    }
}
