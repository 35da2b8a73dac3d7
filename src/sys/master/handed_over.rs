//! What the former image handed over.

use super::{Host, Master, own_pid, variables};
use crate::core::exec::handover_state::{HandoverState, STATE};
use crate::core::exec::{self, PROCESSES, REEXEC, WAIT_ONLY};
use crate::core::handover;
use crate::core::messages::{self, Level};
use crate::core::process::{Pid, Process, options};
use crate::core::table::{OutOfMemory, Table};
use crate::sys::fd::Inherited;
use crate::sys::shared::Memory;
use crate::sys::signals::Set;
use crate::sys::{clock, describe, fd, signals, wait};
use std::collections::BTreeSet;
use std::io;
use std::os::fd::{IntoRawFd, RawFd};
use std::os::unix::ffi::OsStringExt;

/// The image before this one.
#[derive(Debug, Default)]
pub(super) struct Former {
    /// There was one: this is no first start.
    exists: bool,
    /// This one only waits (HAProxy up to 3.0).
    waits: bool,
    /// It was one of ours, which has kept the descriptors of its table open.
    fresh: bool,
    /// Its process table, where the environment has only a part.
    table: Option<Vec<u8>>,
    /// Its record, while it isn't known whether another image came after it.
    record: Option<String>,
}

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// Whether there was an image before this one.
    pub fn is_after_reload(&self) -> bool {
        self.former.exists
    }

    /// Finds in the environment what the former image left there, but for the
    /// process table; and what is open.
    pub(super) fn find_former(&mut self) {
        self.former.exists = std::env::var_os(REEXEC).is_some();
        self.former.waits = std::env::var_os(WAIT_ONLY).is_some();
        let state = std::env::var_os(STATE).map(|state| state.to_string_lossy().into_owned());
        variables::remove(STATE);
        let state = state.filter(|_| self.former.exists);
        if !self.generation().passes_on_table {
            self.inherited = Inherited::snapshot();
            self.former.record = state;
            return;
        }
        let read = |state: String| HandoverState::read(&state, &handed_over().unwrap_or_default());
        let mut former = state.map(read);
        let named = former.as_mut().and_then(|(state, _)| state.inherited.take());
        self.inherited = named.map_or_else(Inherited::snapshot, Inherited::named);
        if let Some((state, fresh)) = former {
            self.former.fresh = fresh;
            self.former.table = self.take_state(state, fresh);
        }
    }

    /// Takes over from a former image, or begins a new table. From now on a master's signals are
    /// blocked, but not TERM and INT.
    ///
    /// # Errors
    /// The master's row is missing, or out of memory.
    pub fn take_over(&mut self) -> Result<(), handover::Error> {
        signals::reset_dispositions();
        let original = signals::block(&Set::over_exec());
        // After a reload it is what the former image blocked.
        self.original_mask = if self.is_after_reload() { Set::none() } else { original };
        self.read_table().map(drop)
    }

    /// Adds the rows that the former image left, and sees to the master's. Gives how
    /// many descriptors came with them.
    ///
    /// # Errors
    /// The master's row is missing, or out of memory.
    pub fn read_table(&mut self) -> Result<usize, handover::Error> {
        let text = self.former.table.take().or_else(handed_over);
        let descriptors = match text {
            Some(text) => self.read_rows(&text)?,
            None => 0,
        };
        self.inherited.identify();
        variables::remove(PROCESSES);
        if self.former.exists {
            self.drop_foreign();
        }
        self.ensure_master()?;
        self.life.table_read(&mut self.table, self.former.waits);
        Ok(descriptors)
    }

    /// Writes the process table into the environment.
    ///
    /// # Errors
    /// The system's, or out of memory.
    pub fn write_table(&self) -> io::Result<()> {
        variables::set(PROCESSES, &handover::write(&self.table, self.generation())?)
    }

    /// The former image's process table, before it is read; `None` at a first start.
    ///
    /// # Errors
    /// Out of memory.
    pub(super) fn former_table(&self) -> Result<Option<Vec<u8>>, OutOfMemory> {
        if !self.former.exists {
            return Ok(None);
        }
        if !self.generation().passes_on_table {
            // What has been made of PIDs is all there is.
            return handover::write(&self.table, self.generation()).map(Some);
        }
        Ok(Some(self.former.table.clone().or_else(handed_over).unwrap_or_default()))
    }

    /// Takes what the former image knew. The process table, where it was too long
    /// for the environment: gives it.
    fn take_state(&mut self, state: HandoverState, fresh: bool) -> Option<Vec<u8>> {
        self.life.state = state;
        self.boot.first_soft_limit = self.life.state.open_files.take();
        if let (Some(limit), Some(soft)) = (&mut self.boot.open_files, self.boot.first_soft_limit) {
            limit.soft = soft;
        }
        let mut table = None;
        if let Some(fd) = self.life.state.table.take() {
            self.inherited.forget(&[fd]);
            // SAFETY: only the former image has named it.
            match unsafe { fd::unsealed(fd) } {
                Ok(text) => table = Some(text).filter(|_| fresh),
                Err(error) => {
                    let why = describe(&error);
                    let text = format!("The whole process table (descriptor {fd}): {why}.");
                    self.host.log(Level::Warning, &text);
                }
            }
        }
        let Some(fd) = self.life.state.memory.take() else { return table };
        self.inherited.forget(&[fd]);
        // SAFETY: as above.
        match unsafe { Memory::adopt(fd) } {
            Ok(memory) => self.memory = Some(memory),
            Err(error) => {
                let why = describe(&error);
                let text = format!("The memory shared with workers (descriptor {fd}): {why}.");
                self.host.log(Level::Warning, &text);
            }
        }
        table
    }

    /// Reads the table that a former master handed over in `text`, and says
    /// which rows were left out. The master's row may be missing: see
    /// [`Self::ensure_master`]. Gives how many descriptors the rows have.
    ///
    /// # Errors
    /// Out of memory.
    fn read_rows(&mut self, text: &[u8]) -> Result<usize, OutOfMemory> {
        let report = handover::read(text, self.generation(), &mut self.table)?;
        for bad in &report.bad {
            self.log(Level::Warning, &bad.to_string());
        }
        self.life.ready_is_left = report.leaves_ready;
        if !self.former.fresh {
            self.mend_descriptors();
        }
        self.close_what_nobody_uses();
        let forked = self.table.rows().filter(|(_, p)| p.pid > 0);
        let fds: Vec<RawFd> = forked.flat_map(|(_, p)| p.ipc_fd).filter(|fd| *fd >= 0).collect();
        self.inherited.forget(&fds);
        if !self.generation().native {
            self.lower_descriptors(fds.len());
        }
        self.release_figures();
        Ok(fds.len())
    }

    /// Takes over from a master that handed over PIDs only, those in service
    /// first: rows of those that are children, and the master's. From now on a master's signals
    /// are blocked, but not TERM and INT.
    ///
    /// # Errors
    /// Out of memory.
    pub fn take_over_pids(&mut self, pids: &[i32]) -> Result<(), handover::Error> {
        signals::reset_dispositions();
        signals::block(&Set::over_exec());
        if let Some(text) = self.former.record.take() {
            let (state, fresh) = HandoverState::read(&text, &exec::beside_pids(pids));
            self.take_state(state, fresh);
            self.life.state.inherited = None;
        }
        // What the user gives at a first start are no children.
        let pids = if self.former.exists { pids } else { &[] };
        // Nobody says how many if it was one of HAProxy's own.
        let serving = self.life.state.serving.take().unwrap_or(1);
        let first = usize::try_from(serving).unwrap_or(usize::MAX);
        let options = options::WORKER | options::LEAVING;
        for (at, pid) in pids.iter().enumerate() {
            if !Pid::new(*pid).is_some_and(wait::is_child) {
                continue;
            }
            let reloads = if at < first { 1 } else { 2 };
            let process = Process { pid: *pid, options, reloads, ..Process::default() };
            self.table.append(process, b"", b"")?;
        }
        self.inherited.identify();
        self.release_figures();
        self.ensure_master()?;
        self.life.table_read(&mut self.table, self.former.waits);
        Ok(())
    }

    /// Of those who are gone.
    fn release_figures(&self) {
        if let Some(memory) = &self.memory {
            let alive: BTreeSet<i32> = self.table.rows().map(|(_, p)| p.pid).collect();
            memory.release(|pid| !alive.contains(&pid));
        }
    }

    /// Stock HAProxy sizes its table of descriptors by the rows that it reads, `count` descriptors.
    /// So higher ones come down to numbers that ended workers have freed, for the way back. The
    /// argument of `-x` names that of the worker in service, which stays.
    fn lower_descriptors(&mut self, count: usize) {
        let Some(lowest) = lowest_high(count) else { return };
        self.table.for_each(|process| {
            let movable = process.is(options::MASTER | options::LEAVING);
            for fd in process.ipc_fd.iter_mut().filter(|fd| movable && **fd >= lowest) {
                // SAFETY: only the row has its number.
                *fd = unsafe { fd::lower(*fd) };
            }
        });
    }

    /// Whether a row's descriptor has a high number although lower ones are free: numbers that
    /// [`Self::lower_descriptors`] will lower once the table is read again. Without a free
    /// number there is nothing to lower, and another binary gets what there is.
    pub(super) fn has_high_descriptors(&self, count: usize) -> io::Result<bool> {
        let Some(lowest) = lowest_high(count) else { return Ok(false) };
        let is_high = self.table.rows().any(|(_, p)| p.ipc_fd.iter().any(|fd| *fd >= lowest));
        Ok(is_high && fd::lowest_free()? < lowest)
    }

    /// What is left of a pair that images in between didn't know both ends of.
    fn close_what_nobody_uses(&mut self) {
        let generation = self.generation();
        for fd in handover::take_useless_pair(&mut self.table, generation) {
            self.inherited.forget(&[fd]);
            // SAFETY: it was the row's, and nobody uses it.
            unsafe { fd::close_raw(fd) };
        }
        for (fd, inode) in self.life.state.lost(&self.table) {
            self.inherited.close_lost(fd, inode);
        }
        // After an image of another kind the same numbers may be of another pair.
        if !self.former.fresh {
            self.life.state.pair = None;
        }
    }

    /// What a former image of another generation left for its like goes.
    fn drop_foreign(&mut self) {
        for name in exec::foreign(self.generation()) {
            if name == exec::START_LOG {
                let number = std::env::var(name).ok().and_then(|fd| fd.parse().ok());
                if let Some(fd) = number {
                    self.inherited.close_left_file(fd);
                }
            }
            variables::remove(name);
        }
    }

    /// Descriptors that were handed over by number only are taken out of the
    /// table. A worker without one gets one that leads nowhere: its host would
    /// stumble over -1, and it still has to be told to leave and be reaped.
    fn mend_descriptors(&mut self) {
        let mut at = self.table.first();
        while let Some(row) = at {
            at = self.table.next(row);
            let mut process = self.table.load(row);
            if process.pid <= 0 {
                continue;
            }
            for fd in process.ipc_fd.iter_mut().filter(|fd| **fd >= 0 && !fd::is_open(**fd)) {
                let text =
                    format!("Process {}: descriptor {fd} of its row is not open.", process.pid);
                self.host.log(Level::Warning, &text);
                *fd = -1;
            }
            let unreachable = process.is(options::WORKER) && process.ipc_fd[0] < 0;
            if let Some((end, _)) = unreachable.then(fd::stream_pair).and_then(Result::ok) {
                let pid = process.pid;
                let text = format!("Worker {pid} can't be reached: its row has no descriptor.");
                self.host.log(Level::Warning, &text);
                process.ipc_fd[0] = end.into_raw_fd();
            }
            self.table.store(row, process);
        }
    }

    /// Makes the master's row up where it is missing, unless this generation
    /// can't do without.
    ///
    /// # Errors
    /// It can't, or out of memory.
    fn ensure_master(&mut self) -> Result<T::Row, handover::Error> {
        let after_reload = self.former.exists;
        if let Some(row) = self.table.master() {
            return Ok(row);
        }
        let mut timestamp = i32::try_from(clock::now().wall).unwrap_or(i32::MAX);
        // Where the table isn't handed over it never is there.
        if after_reload && self.generation().passes_on_table {
            if !self.generation().makes_up_master {
                self.log(Level::Alert, messages::MASTER_MISSING);
                return Err(handover::Error::NoMaster);
            }
            self.log(Level::Warning, messages::MASTER_MADE_UP);
            timestamp = 0;
        }
        let mut reloads = 0;
        if after_reload && !self.generation().passes_on_table {
            let former = self.life.state.reloads.take().unwrap_or(0);
            reloads = i32::try_from(former).unwrap_or(0).saturating_add(1);
        }
        let process = Process {
            pid: own_pid(),
            options: options::MASTER,
            reloads,
            timestamp,
            ..Process::default()
        };
        // HAProxy's own module leaves the version of its master out.
        let version: &[u8] = match self.generation().native {
            true => self.version.as_bytes(),
            false => b"",
        };
        Ok(self.table.append(process, b"", version)?)
    }
}

/// The process table in the environment.
fn handed_over() -> Option<Vec<u8>> {
    std::env::var_os(PROCESSES).map(OsStringExt::into_vec)
}

/// The first number that counts as high, in a table with this many descriptors.
fn lowest_high(count: usize) -> Option<RawFd> {
    /// Descriptors of a master that are in no row.
    const OTHERS: usize = 64;
    RawFd::try_from(count + OTHERS).ok()
}
