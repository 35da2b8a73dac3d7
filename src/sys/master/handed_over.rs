//! What the former image handed over.

use super::{Host, Master, own_pid};
use crate::core::handover;
use crate::core::process::{Pid, Process, options};
use crate::core::record::Record;
use crate::core::reexec;
use crate::core::table::{OutOfMemory, Table};
use crate::core::texts::{self, Level};
use crate::sys::shared::Memory;
use crate::sys::{clock, describe, environment, fd, wait};
use std::collections::HashSet;
use std::os::fd::{IntoRawFd, RawFd};

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// Takes what the former image knew. The process table, where it was too long
    /// for the environment: gives it.
    ///
    /// # Safety
    /// The descriptors in it are the record's own, if they are open.
    pub unsafe fn take_record(&mut self, record: Record, fresh: bool) -> Option<Vec<u8>> {
        self.life.record = record;
        self.boot.first_soft_limit = self.life.record.open_files.take();
        if let (Some(limit), Some(soft)) = (&mut self.boot.open_files, self.boot.first_soft_limit) {
            limit.soft = soft;
        }
        let mut table = None;
        if let Some(fd) = self.life.record.table.take() {
            self.inherited.forget(&[fd]);
            // SAFETY: by the caller's promise.
            match unsafe { fd::unsealed(fd) } {
                Ok(text) => table = Some(text).filter(|_| fresh),
                Err(error) => {
                    let why = describe(&error);
                    let text = format!("The whole process table (descriptor {fd}): {why}.");
                    self.host.log(Level::Warning, &text);
                }
            }
        }
        let Some(fd) = self.life.record.memory.take() else { return table };
        self.inherited.forget(&[fd]);
        // SAFETY: by the caller's promise.
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
    /// [`Self::ensure_master`]. Gives how many descriptors the rows have. This image
    /// may be one that only `waits`.
    ///
    /// # Errors
    /// Out of memory.
    pub fn take_over(&mut self, text: &[u8], waits: bool) -> Result<usize, OutOfMemory> {
        let report = handover::read(text, self.generation(), &mut self.table)?;
        for bad in &report.bad {
            self.log(Level::Warning, &bad.to_string());
        }
        self.life.ready_is_left = report.leaves_ready;
        self.life.taken_over(&mut self.table, waits);
        self.mend_descriptors();
        self.close_what_nobody_uses();
        let forked = self.table.rows().filter(|(_, p)| p.pid > 0);
        let fds: Vec<RawFd> = forked.flat_map(|(_, p)| p.ipc_fd).filter(|fd| *fd >= 0).collect();
        self.inherited.forget(&fds);
        self.release_figures();
        Ok(fds.len())
    }

    /// Takes over from a master that handed over PIDs only, those in service
    /// first: rows of those that are children.
    ///
    /// # Errors
    /// Out of memory.
    pub fn take_over_pids(&mut self, pids: &[i32], waits: bool) -> Result<(), OutOfMemory> {
        // Nobody says how many if it was one of HAProxy's own.
        let serving = self.life.record.serving.take().unwrap_or(1);
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
        self.life.taken_over(&mut self.table, waits);
        self.release_figures();
        Ok(())
    }

    /// Of those who are gone.
    fn release_figures(&self) {
        if let Some(memory) = &self.memory {
            let alive: HashSet<i32> = self.table.rows().map(|(_, p)| p.pid).collect();
            memory.release(|pid| !alive.contains(&pid));
        }
    }

    /// What is left of a pair that images in between didn't know both ends of.
    fn close_what_nobody_uses(&mut self) {
        let generation = self.generation();
        for fd in handover::take_useless_pair(&mut self.table, generation) {
            self.inherited.forget(&[fd]);
            // SAFETY: it was the row's, and nobody uses it.
            unsafe { fd::close_raw(fd) };
        }
        for (fd, inode) in self.life.record.lost(&self.table) {
            self.inherited.close_lost(fd, inode);
        }
        self.life.record.pair = None;
    }

    /// What a former image of another generation left for its like goes.
    ///
    /// # Safety
    /// The process has one thread, and the table has been read.
    pub unsafe fn drop_foreign(&mut self) {
        for name in reexec::foreign(self.generation()) {
            if name == reexec::START_LOG {
                let number = std::env::var(name).ok().and_then(|fd| fd.parse().ok());
                if let Some(fd) = number {
                    self.inherited.close_left_file(fd);
                }
            }
            // SAFETY: by the caller's promise.
            unsafe { environment::remove(name) };
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
    pub fn ensure_master(&mut self, after_reload: bool) -> Result<T::Row, handover::Error> {
        if let Some(row) = self.table.master() {
            return Ok(row);
        }
        let mut timestamp = i32::try_from(clock::now().wall).unwrap_or(i32::MAX);
        // Where the table isn't handed over it never is there.
        if after_reload && self.generation().hands_over_table() {
            if !self.generation().makes_up_master() {
                self.log(Level::Alert, texts::MASTER_MISSING);
                return Err(handover::Error::NoMaster);
            }
            self.log(Level::Warning, texts::MASTER_MADE_UP);
            timestamp = 0;
        }
        let mut reloads = 0;
        if after_reload && !self.generation().hands_over_table() {
            let former = self.life.record.reloads.take().unwrap_or(0);
            reloads = i32::try_from(former).unwrap_or(0).saturating_add(1);
        }
        let process = Process {
            pid: own_pid(),
            options: options::MASTER,
            reloads,
            timestamp,
            ..Process::default()
        };
        Ok(self.table.append(process, b"", self.version.as_bytes())?)
    }
}
