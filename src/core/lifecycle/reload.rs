//! From one worker to the next.

use super::*;
use crate::core::generation::Words;
use crate::core::process::Pid;
use crate::core::table::OutOfMemory;

impl Lifecycle {
    pub(super) fn ask_reload<T: Table>(
        &mut self,
        step: &mut Step<'_, T>,
        hardness: Hardness,
    ) -> Result<(), Refusal> {
        let may = self.may_reload(step.table);
        match may {
            Err(Refusal::Leaving) => step.log(Level::Warning, messages::RELOAD_WHILE_LEAVING),
            // Several become one, the hardest.
            Err(Refusal::InProgress) => self.pending = self.pending.max(Some(hardness)),
            Ok(()) => self.begin_reload(step, hardness),
        }
        may
    }

    /// Adds the row of a worker that is to be forked.
    ///
    /// # Errors
    /// Out of memory.
    pub fn add_worker<T: Table>(
        &self,
        table: &mut T,
        ipc_fd: [i32; 2],
        relative_pid: i32,
        version: &str,
    ) -> Result<T::Row, OutOfMemory> {
        let init = if self.generation.ready_handshake { options::INIT } else { 0 };
        let options = options::WORKER | init;
        let process = Process { options, ipc_fd, relative_pid, ..Process::default() };
        table.append(process, b"", version.as_bytes())
    }

    /// What was asked for meanwhile is done now.
    fn take_pending<T: Table>(&mut self, step: &mut Step<'_, T>) {
        if let Some(hardness) = self.pending.take() {
            // A refusal is logged, or postpones the reload again.
            let _ = self.ask_reload(step, hardness);
        }
    }

    pub(super) fn begin_reload<T: Table>(&mut self, step: &mut Step<'_, T>, hardness: Hardness) {
        let hard = hardness == Hardness::Hard;
        let (level, text) = messages::reloading(&self.product, hard, self.generation.words);
        step.out.push(Action::Log(level, text.into()));
        if !self.generation.counts_reloads_on_reading {
            step.table.for_each(|p| p.reloads = p.reloads.saturating_add(1));
        }
        step.notify(Notice::Reloading { monotonic_usec: step.now.monotonic_usec });
        self.times.status.was_replaced(step.now);
        if self.policy.watchdog.is_some() {
            // Nobody gives a sign of life while the next image loads.
            let usec = self.policy.start_timeout.unwrap_or(u64::MAX);
            step.notify(Notice::Extend { usec });
        }
        drop_unborn(step);
        step.out.push(Action::Exec(ExecKind::Reload(hardness)));
    }

    pub(super) fn exec_failed<T: Table>(
        &mut self,
        step: &mut Step<'_, T>,
        kind: ExecKind,
        why: &str,
    ) {
        step.log(Level::Warning, messages::exec_failed(self.own_pid, why));
        if let ExecKind::Reload(_) = kind {
            if !self.generation.counts_reloads_on_reading {
                step.table.for_each(|p| p.reloads = p.reloads.saturating_sub(1));
            }
            self.failed(step, Notice::ReloadFailed, why);
        } else if self.generation.counts_reloads_on_reading {
            step.table.for_each(|p| p.reloads = p.reloads.saturating_add(1));
        }
        if let Some(success) = self.loaded.filter(|_| !self.generation.ready_handshake) {
            // The image that would have answered is never to be.
            step.out.push(Action::Answer { success });
        }
        step.out.push(Action::Unblock);
        self.take_pending(step);
    }

    pub(super) fn forked<T: Table>(&mut self, step: &mut Step<'_, T>, pid: Pid) {
        if let Some(row) = step.table.find(|p| p.is(options::WORKER) && p.pid == -1) {
            let mut process = step.table.load(row);
            process.pid = pid.get();
            process.timestamp = seconds(step.now);
            step.table.store(row, process);
        }
        let handshake = self.generation.ready_handshake;
        if handshake {
            self.start_begins(step.now);
        }
        if self.generation.words != Words::V1_8 {
            step.log(Level::Notice, messages::worker_forked(pid, handshake));
        }
    }

    pub(super) fn ready<T: Table>(&mut self, step: &mut Step<'_, T>, pid: i32) {
        let Some(row) = step.table.find(|p| p.is_starting() && p.pid == pid) else {
            return;
        };
        let mut process = step.table.load(row);
        process.options &= !options::INIT;
        step.table.store(row, process);
        self.retire(step.table, process.reloads, |other, _| other != row);
        self.state.vacant = false;
        if self.leaving {
            self.start_ends();
            // It may have been told so before it could listen.
            if let Some(pid) = process.target() {
                step.kill(pid, Signal::Term);
            }
            return;
        }
        self.replace_old(step);
        step.out.push(Action::InService(row));
        step.log(Level::Notice, messages::LOAD_SUCCESS);
        if let Some(pid) = Pid::new(self.own_pid) {
            step.notify(Notice::Ready { pid });
        }
        self.succeeded(step);
    }

    /// A worker serves, and whoever had to know has been told.
    pub(super) fn succeeded<T: Table>(&mut self, step: &mut Step<'_, T>) {
        self.loaded = Some(true);
        self.state.vacant = false;
        self.tell_untold(step);
        self.start_ends();
        self.times.status.was_replaced(step.now);
        if let Some(master) = step.table.master() {
            let mut process = step.table.load(master);
            process.failed_reloads = 0;
            step.table.store(master, process);
        }
        if self.generation.ready_handshake {
            self.replace_overlooked(step);
            step.out.push(Action::Answer { success: true });
            step.out.push(Action::Unblock);
            self.take_pending(step);
        } else {
            // If it can't re-execute itself to wait it goes on with this table.
            if let Some(newest) = newest_workers(step.table) {
                self.retire(step.table, newest, |_, p| p.reloads > newest);
            }
            if self.generation.waits_after_success {
                step.out.push(Action::Exec(ExecKind::Wait));
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
    pub(super) fn replace_programs<T: Table>(&self, step: &mut Step<'_, T>, hardness: Hardness) {
        if self.generation.ready_handshake {
            let replaced = |p: &Process| p.is(options::PROGRAM) && p.reloads > 0;
            step.kill_where(replaced, leave(hardness));
        }
    }

    /// A worker that counts as current beside the new one: of a master up to 3.0
    /// that was replaced, by one that doesn't wait, after it had forked it.
    fn replace_overlooked<T: Table>(&self, step: &mut Step<'_, T>) {
        let Some(newest) = newest_workers(step.table) else { return };
        // New rows come last.
        let up = step.table.rows().filter(|(_, p)| is_up(p) && p.reloads == newest);
        let Some((new, _)) = up.last() else { return };
        let overlooked = |(row, p): &(T::Row, Process)| *row != new && p.is_in_service();
        let pids: Vec<Pid> =
            step.table.rows().filter(overlooked).filter_map(|(_, p)| p.target()).collect();
        if pids.is_empty() {
            return;
        }
        self.retire(step.table, newest, |row, _| row != new);
        let signal = leave(self.old_pids_hardness);
        step.out.extend(pids.into_iter().map(|pid| Action::Kill { pid, signal }));
    }

    fn replace_old<T: Table>(&mut self, step: &mut Step<'_, T>) {
        let signal = leave(self.old_pids_hardness);
        step.kill_where(|p| p.is(options::LEAVING) && !self.exceeds_reloads(p), signal);
        step.kill_where(|p| p.is(options::LEAVING) && self.exceeds_reloads(p), Signal::Term);
        // After a reload a PID that is not in the table any more has been
        // reaped, and may be somebody else's.
        let first = self.start == Start::First;
        for pid in std::mem::take(&mut self.old_pids) {
            if let Some(pid) = Pid::new(pid).filter(|_| first) {
                step.out.push(Action::KillStranger { pid, signal });
            }
        }
    }

    /// HAProxy's own code has told those to leave that its arguments name.
    fn tell_untold<T: Table>(&mut self, step: &mut Step<'_, T>) {
        if let Some(hardness) = self.state.untold.take().filter(|_| !self.generation.native) {
            step.kill_where(|p| p.reloads > 0, leave(hardness));
        }
    }

    pub(super) fn load_failed<T: Table>(&mut self, step: &mut Step<'_, T>, why: &str) {
        drop_unborn(step);
        if self.is_hopeless(step.table) {
            // Other embedders log it themselves: they are in the middle of their start.
            if !self.generation.native {
                step.log(Level::Alert, messages::first_load_failed(why));
            }
            self.exit(step, 1);
        } else if self.generation.ready_handshake {
            step.log(Level::Alert, messages::load_failed(why));
            self.failed(step, Notice::ConfigurationRefused, why);
            step.out.push(Action::Unblock);
            self.take_pending(step);
        } else {
            self.load_failed_before_wait(step, why);
        }
    }

    fn load_failed_before_wait<T: Table>(&mut self, step: &mut Step<'_, T>, why: &str) {
        for text in messages::load_failure(self.generation.words) {
            step.log(Level::Warning, *text);
        }
        if self.generation.notifies_when_waiting {
            self.count_failure(step, why);
        } else {
            self.failed(step, Notice::ReloadFailed, why);
        }
        if self.generation.counts_reloads_on_reading {
            // The image that waits counts as well, and it is one reload.
            step.table.for_each(|p| p.reloads = p.reloads.saturating_sub(1));
        }
        step.out.push(Action::Exec(ExecKind::Wait));
    }

    /// A reload failed, whyever.
    pub(super) fn failed<T: Table>(&mut self, step: &mut Step<'_, T>, notice: Notice, why: &str) {
        self.count_failure(step, why);
        if !self.leaving {
            step.notify(notice);
        }
        if self.generation.ready_handshake {
            step.out.push(Action::Answer { success: false });
        }
    }

    fn count_failure<T: Table>(&mut self, step: &mut Step<'_, T>, why: &str) {
        step.table.for_each(|p| p.failed_reloads = p.failed_reloads.saturating_add(1));
        self.nothing_new_serves(step, why);
    }

    /// No worker came of a reload: the worker in service goes on.
    pub(super) fn nothing_new_serves<T: Table>(&mut self, step: &mut Step<'_, T>, why: &str) {
        let why = if why.is_empty() { messages::REFUSED } else { why };
        self.loaded = Some(false);
        self.state.untold = None;
        self.state.fail(step.now.wall, why);
        self.times.status.was_replaced(step.now);
        if !self.state.vacant {
            keep_in_service(step.table);
        }
    }

    /// The new worker ended before it was READY.
    pub(super) fn new_worker_failed<T: Table>(
        &mut self,
        step: &mut Step<'_, T>,
        row: T::Row,
        pid: Pid,
        end: &Ending,
    ) {
        let tells_who = self.generation.logs_failed_worker;
        let text = messages::new_worker_failed(pid, end, tells_who);
        step.log(Level::Warning, text);
        let overdue = self.start_ends().then_some(self.policy.start_timeout).flatten();
        let why = messages::why_new_worker_failed(pid, end, overdue);
        let hopeless = self.is_hopeless(step.table);
        if hopeless {
            self.loaded = Some(false);
        } else {
            self.failed(step, Notice::ReloadFailed, &why);
        }
        step.out.push(Action::Release(row, Gone::Starting));
        if hopeless {
            self.exit(step, end.code);
            return;
        }
        step.out.push(Action::Unblock);
        self.take_pending(step);
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
pub(super) fn drop_unborn<T: Table>(step: &mut Step<'_, T>) {
    while let Some(row) = step.table.find(|p| p.pid == -1) {
        step.table.unlink(row);
        step.out.push(Action::Release(row, Gone::Unborn));
    }
}

/// The clock as the table keeps it.
fn seconds(now: Now) -> i32 {
    i32::try_from(now.wall).unwrap_or(i32::MAX)
}
