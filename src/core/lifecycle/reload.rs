//! From one worker to the next.

use super::*;
use crate::core::generation::Words;
use crate::core::process::Pid;

impl Lifecycle {
    pub(super) fn ask_reload<T: Table>(
        &mut self,
        table: &mut T,
        hardness: Hardness,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        match self.may_reload(table) {
            Err(Refusal::Leaving) => {
                out.push(Action::Log(Level::Warning, texts::RELOAD_WHILE_LEAVING.into()));
            }
            // Several become one, the hardest.
            Err(Refusal::InProgress) => self.pending = self.pending.max(Some(hardness)),
            Ok(()) => self.begin_reload(table, hardness, now, out),
        }
    }

    /// What was asked for meanwhile is done now.
    fn take_pending<T: Table>(&mut self, table: &mut T, now: Now, out: &mut Vec<Action<T::Row>>) {
        if let Some(hardness) = self.pending.take() {
            self.ask_reload(table, hardness, now, out);
        }
    }

    pub(super) fn begin_reload<T: Table>(
        &mut self,
        table: &mut T,
        hardness: Hardness,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        let hard = hardness == Hardness::Hard;
        let (level, text) = texts::reloading(&self.product, hard, self.generation.words);
        out.push(Action::Log(level, text.into()));
        if !self.generation.counts_reloads_on_reading {
            table.for_each(|p| p.reloads = p.reloads.saturating_add(1));
        }
        out.push(Action::Notify(Notice::Reloading { monotonic_usec: now.monotonic_usec }));
        self.times.status.was_replaced(now);
        if self.policy.watchdog.is_some() {
            // Nobody gives a sign of life while the next image loads.
            let usec = self.policy.start_timeout.unwrap_or(u64::MAX);
            out.push(Action::Notify(Notice::Extend { usec }));
        }
        drop_unborn(table, out);
        out.push(Action::Exec(ExecKind::Reload(hardness)));
    }

    pub(super) fn exec_failed<T: Table>(
        &mut self,
        table: &mut T,
        kind: ExecKind,
        why: &str,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        out.push(Action::Log(Level::Warning, texts::exec_failed(self.own_pid, why).into()));
        if let ExecKind::Reload(_) = kind {
            if !self.generation.counts_reloads_on_reading {
                table.for_each(|p| p.reloads = p.reloads.saturating_sub(1));
            }
            self.failed(table, Notice::ReloadFailed, why, now, out);
        } else if self.generation.counts_reloads_on_reading {
            table.for_each(|p| p.reloads = p.reloads.saturating_add(1));
        }
        if let Some(success) = self.loaded.filter(|_| !self.generation.ready_handshake) {
            // The image that would have answered is never to be.
            out.push(Action::Answer { success });
        }
        out.push(Action::Unblock);
        self.take_pending(table, now, out);
    }

    pub(super) fn forked<T: Table>(
        &mut self,
        table: &mut T,
        pid: Pid,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        if let Some(row) = table.find(|p| p.is(options::WORKER) && p.pid == -1) {
            let mut process = table.load(row);
            process.pid = pid.get();
            process.timestamp = seconds(now);
            table.store(row, process);
        }
        let handshake = self.generation.ready_handshake;
        if handshake {
            self.start_begins(table, now);
        }
        if self.generation.words != Words::V1_8 {
            out.push(Action::Log(Level::Notice, texts::worker_forked(pid, handshake).into()));
        }
    }

    pub(super) fn ready<T: Table>(
        &mut self,
        table: &mut T,
        pid: i32,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        let Some(row) = table.find(|p| p.is_starting() && p.pid == pid) else {
            return;
        };
        let mut process = table.load(row);
        process.options &= !options::INIT;
        table.store(row, process);
        self.retire(table, process.reloads, |other, _| other != row);
        self.record.vacant = false;
        if self.leaving {
            self.start_ends();
            // It may have been told so before it could listen.
            if let Some(pid) = process.target() {
                out.push(Action::Kill { pid, signal: Signal::Term });
            }
            return;
        }
        self.replace_old(table, out);
        out.push(Action::InService(row));
        out.push(Action::Log(Level::Notice, texts::LOAD_SUCCESS.into()));
        if let Some(pid) = Pid::new(self.own_pid) {
            out.push(Action::Notify(Notice::Ready { pid }));
        }
        self.succeeded(table, now, out);
    }

    /// A worker serves, and whoever had to know has been told.
    pub(super) fn succeeded<T: Table>(
        &mut self,
        table: &mut T,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        self.loaded = Some(true);
        self.record.vacant = false;
        self.tell_untold(table, out);
        self.start_ends();
        self.times.status.was_replaced(now);
        if let Some(master) = table.master() {
            let mut process = table.load(master);
            process.failed_reloads = 0;
            table.store(master, process);
        }
        if self.generation.ready_handshake {
            self.replace_overlooked(table, out);
            out.push(Action::Answer { success: true });
            out.push(Action::Unblock);
            self.take_pending(table, now, out);
        } else {
            // If it can't re-execute itself to wait it goes on with this table.
            if let Some(newest) = newest_workers(table) {
                self.retire(table, newest, |_, p| p.reloads > newest);
            }
            if self.generation.waits_after_success {
                out.push(Action::Exec(ExecKind::Wait));
            }
        }
    }

    /// New workers serve now, and nobody else: `others` have been replaced. Not all
    /// generations have set LEAVING on reading the table, as it might have failed.
    /// Programs go where the master has none any more. Who was replaced is older than
    /// the `newest`, which is all that is handed over of it.
    fn retire<T: Table>(
        &self,
        table: &mut T,
        newest: i32,
        others: impl Fn(T::Row, &Process) -> bool,
    ) {
        let gone = if self.generation.programs { options::WORKER } else { options::CHILD };
        let mut at = table.first();
        while let Some(row) = at {
            at = table.next(row);
            let mut process = table.load(row);
            if process.is(gone) && process.pid > 0 && others(row, &process) {
                process.options |= options::LEAVING;
                process.reloads = process.reloads.max(newest.saturating_add(1));
                table.store(row, process);
            }
        }
    }

    /// Up to 3.0 they are told with the workers, when one of the new ones is there. Those
    /// that aren't started again are told as well.
    pub(super) fn replace_programs<T: Table>(
        &self,
        table: &T,
        hardness: Hardness,
        out: &mut Vec<Action<T::Row>>,
    ) {
        if self.generation.ready_handshake {
            let replaced = |p: &Process| p.is(options::PROGRAM) && p.reloads > 0;
            kill_where(table, replaced, leave(hardness), out);
        }
    }

    /// A worker that counts as current beside the new one: of a master up to 3.0
    /// that was replaced, by one that doesn't wait, after it had forked it.
    fn replace_overlooked<T: Table>(&self, table: &mut T, out: &mut Vec<Action<T::Row>>) {
        let Some(newest) = newest_workers(table) else { return };
        // New rows come last.
        let up = table.rows().filter(|(_, p)| is_up(p) && p.reloads == newest);
        let Some((new, _)) = up.last() else { return };
        let overlooked = |(row, p): &(T::Row, Process)| *row != new && p.is_in_service();
        let pids: Vec<Pid> =
            table.rows().filter(overlooked).filter_map(|(_, p)| p.target()).collect();
        if pids.is_empty() {
            return;
        }
        self.retire(table, newest, |row, _| row != new);
        let signal = leave(self.old_pids_hardness);
        out.extend(pids.into_iter().map(|pid| Action::Kill { pid, signal }));
    }

    fn replace_old<T: Table>(&mut self, table: &T, out: &mut Vec<Action<T::Row>>) {
        let signal = leave(self.old_pids_hardness);
        kill_where(table, |p| p.is(options::LEAVING) && !self.exceeds_reloads(p), signal, out);
        kill_where(table, |p| p.is(options::LEAVING) && self.exceeds_reloads(p), Signal::Term, out);
        // After a reload a PID that is not in the table any more has been
        // reaped, and may be somebody else's.
        let first = self.is_before_reloads(table);
        for pid in std::mem::take(&mut self.old_pids) {
            if let Some(pid) = Pid::new(pid).filter(|_| first) {
                out.push(Action::KillStranger { pid, signal });
            }
        }
    }

    /// HAProxy's own code has told those to leave that its arguments name.
    fn tell_untold<T: Table>(&mut self, table: &T, out: &mut Vec<Action<T::Row>>) {
        if let Some(hardness) = self.record.untold.take().filter(|_| !self.generation.native) {
            kill_where(table, |p| p.reloads > 0, leave(hardness), out);
        }
    }

    pub(super) fn start_failed<T: Table>(
        &mut self,
        table: &mut T,
        why: &str,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        drop_unborn(table, out);
        if self.is_first_start(table) {
            out.push(Action::Log(Level::Alert, texts::first_load_failed(why).into()));
            self.exit(1, out);
        } else if !self.generation.ready_handshake {
            for text in texts::load_failure(self.generation.words) {
                out.push(Action::Log(Level::Warning, (*text).into()));
            }
            if self.generation.notifies_when_waiting {
                self.count_failure(table, why, now);
            } else {
                self.failed(table, Notice::ReloadFailed, why, now, out);
            }
            if self.generation.counts_reloads_on_reading {
                // The image that waits counts as well, and it is one reload.
                table.for_each(|p| p.reloads = p.reloads.saturating_sub(1));
            }
            out.push(Action::Exec(ExecKind::Wait));
        } else {
            out.push(Action::Log(Level::Alert, texts::load_failed(why).into()));
            self.failed(table, Notice::ConfigurationRefused, why, now, out);
            out.push(Action::Unblock);
            self.take_pending(table, now, out);
        }
    }

    /// A reload failed, whyever.
    pub(super) fn failed<T: Table>(
        &mut self,
        table: &mut T,
        notice: Notice,
        why: &str,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        self.count_failure(table, why, now);
        if !self.leaving {
            out.push(Action::Notify(notice));
        }
        if self.generation.ready_handshake {
            out.push(Action::Answer { success: false });
        }
    }

    fn count_failure<T: Table>(&mut self, table: &mut T, why: &str, now: Now) {
        table.for_each(|p| p.failed_reloads = p.failed_reloads.saturating_add(1));
        self.nothing_new_serves(table, why, now);
    }

    /// No worker came of a reload: who served goes on.
    pub(super) fn nothing_new_serves<T: Table>(&mut self, table: &mut T, why: &str, now: Now) {
        self.loaded = Some(false);
        self.record.untold = None;
        self.record.fail(now.wall, why);
        self.times.status.was_replaced(now);
        if !self.record.vacant {
            keep_in_service(table);
        }
    }

    /// The new worker ended before it was READY.
    pub(super) fn new_worker_failed<T: Table>(
        &mut self,
        table: &mut T,
        row: T::Row,
        pid: Pid,
        end: &Ending,
        now: Now,
        out: &mut Vec<Action<T::Row>>,
    ) {
        let tells_who = self.generation.logs_failed_worker;
        let text = texts::new_worker_failed(pid, end, tells_who);
        out.push(Action::Log(Level::Warning, text.into()));
        let overdue = self.start_ends().then_some(self.policy.start_timeout).flatten();
        let why = texts::why_new_worker_failed(pid, end, overdue);
        let first = self.is_first_start(table);
        if first {
            self.loaded = Some(false);
        } else {
            self.failed(table, Notice::ReloadFailed, &why, now, out);
        }
        out.push(Action::Release(row, Gone::Starting));
        if first {
            self.exit(end.code, out);
            return;
        }
        out.push(Action::Unblock);
        self.take_pending(table, now, out);
    }
}

/// How a worker is told to.
const fn leave(hardness: Hardness) -> Signal {
    match hardness {
        Hardness::Soft => Signal::Usr1,
        Hardness::Hard => Signal::Term,
    }
}

/// Who served goes on: some generations have set LEAVING on it when the table
/// was read.
pub fn keep_in_service<T: Table>(table: &mut T) {
    let Some(newest) = newest_workers(table) else { return };
    table.for_each(|p| {
        if is_up(p) && p.reloads == newest {
            p.options &= !options::LEAVING;
        }
    });
}

/// The reloads that the workers of the last success have lived through.
fn newest_workers<T: Table>(table: &T) -> Option<i32> {
    table.rows().filter(|(_, p)| is_up(p)).map(|(_, p)| p.reloads).min()
}

pub(super) fn is_up(p: &Process) -> bool {
    p.is(options::WORKER) && !p.is(options::INIT) && p.pid > 0
}

/// Rows whose process was never forked would go over as nonsense.
pub(super) fn drop_unborn<T: Table>(table: &mut T, out: &mut Vec<Action<T::Row>>) {
    while let Some(row) = table.find(|p| p.pid == -1) {
        table.unlink(row);
        out.push(Action::Release(row, Gone::Unborn));
    }
}

/// The clock as the table keeps it.
fn seconds(now: Now) -> i32 {
    i32::try_from(now.wall).unwrap_or(i32::MAX)
}
