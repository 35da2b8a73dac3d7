//! The ends of children.

use super::*;
use crate::core::process::Pid;

impl Lifecycle {
    pub(super) fn child_exited<T: Table>(
        &mut self,
        table: &mut T,
        pid: i32,
        end: &Ending,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        if self.generation.leaves_with_last_status {
            self.exit_code = Some(end.code);
        }
        let found = table.find(|p| p.is_child() && p.pid == pid);
        let (Some(row), Some(pid)) = (found, Pid::new(pid)) else {
            out.push(Action::Log(
                Level::Warning,
                texts::unknown_exited(pid, end, self.generation.words).into(),
            ));
            return;
        };
        let process = table.load(row);
        table.unlink(row);
        if process.is_starting() {
            self.new_worker_failed(table, row, pid, end, now, out);
        } else if process.is(options::LEAVING) {
            self.former_exited(table, row, pid, end, out);
        } else {
            self.current_exited(table, row, pid, end, now, out);
        }
    }

    fn current_exited<T: Table>(
        &mut self,
        table: &mut T,
        row: T::Row,
        pid: Pid,
        end: &Ending,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        let process = table.load(row);
        let worker = process.is(options::WORKER);
        // One that isn't started anew by a reload is current over it (from 3.1 on), and yet
        // HAProxy's own code tells it to leave: then that is no failure.
        let kept = !worker && process.reloads > 0 && self.generation.ready_handshake;
        let told = kept && end.is_of_soft_stop();
        if worker {
            let mild = end.code < 128 && self.generation.warns_of_exit_codes;
            let level = if mild { Level::Warning } else { Level::Alert };
            let text = texts::current_worker_exited(self.named(pid, &process), end);
            out.push(Action::Log(level, text.into()));
        } else {
            let text = texts::current_program_exited(&name(table, row), pid, end);
            out.push(Action::Log(Level::Alert, text.into()));
        }
        if !end.is_normal() && !told {
            if worker && self.generation.logs_bug {
                let text = texts::unexpected_death(&self.product);
                out.push(Action::Log(Level::Warning, text.into()));
                out.push(Action::Crashed(row));
            }
            if worker && self.restarts(table, &process, end, now, out) {
                out.push(Action::Release(row, Gone::Current));
                self.restart_if_due(table, now, out);
                return;
            }
            if self.policy.exit_on_failure {
                out.push(Action::Log(
                    Level::Alert,
                    texts::exit_on_failure(self.generation.words).into(),
                ));
                kill_children(table, Signal::Term, out);
            }
        }
        if worker {
            // Nobody is to take the place of who left by itself.
            self.record.restarts = 0;
        }
        if self.exit_code.is_none() && end.is_reported() && !told {
            self.exit_code = Some(end.code);
        }
        out.push(Action::Release(row, Gone::Current));
    }

    fn named(&self, pid: Pid, process: &Process) -> texts::Named {
        texts::Named { pid, relative: process.relative_pid, words: self.generation.words }
    }

    fn former_exited<T: Table>(
        &mut self,
        table: &mut T,
        row: T::Row,
        pid: Pid,
        end: &Ending,
        out: &mut Vec<Action<T::Row>>,
    ) {
        let process = table.load(row);
        let text = if process.is(options::WORKER) {
            let tells = self.generation.logs_max_reloads && self.exceeds_reloads(&process);
            let exceeded = self.policy.max_reloads.filter(|_| tells);
            texts::former_worker_exited(self.named(pid, &process), end, exceeded)
        } else {
            texts::former_program_exited(&name(table, row), pid, end)
        };
        out.push(Action::Log(Level::Warning, text.into()));
        out.push(Action::Release(row, Gone::Former));
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
        life.child_exited(&mut table, 6, &end, Now::default(), &mut out);
        out.iter().any(|action| matches!(action, Action::Kill { .. }))
    }

    #[test]
    fn a_program_that_was_told_to_leave_has_not_failed() {
        assert!(!takes_all(1, 138));
        assert!(takes_all(0, 138), "nobody has told it");
        assert!(takes_all(1, 137), "it was killed");
    }
}
