//! Becoming the next image.

use super::systemd::datagrams;
use super::{Host, Master, own_pid};
use crate::core::generation::Generation;
use crate::core::handover;
use crate::core::lifecycle::{ExecKind, PACE};
use crate::core::reexec;
use crate::core::table::{OutOfMemory, Table};
use crate::core::texts;
use crate::core::trial::Trial;
use crate::sys::shared::Memory;
use crate::sys::{clock, environment, exec, fd, load_guard, trial};
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// Looks after the load of a configuration that the master itself does
    /// (HAProxy up to 3.0), from now on: one that takes too long has failed. With
    /// the process table of the `former` image, at a reload.
    ///
    /// # Errors
    /// The system's, or out of memory.
    ///
    /// # Safety
    /// The process has one thread.
    pub unsafe fn guard_load(&mut self, former: Option<&[u8]>) -> io::Result<()> {
        let Some(timeout) = self.life.policy.start_timeout else { return Ok(()) };
        let generation = self.generation();
        let failed = match former {
            Some(text) => {
                let (record, now) = (&self.life.record, clock::now().wall);
                reexec::overdue_load(text, record, generation, timeout, now).map_err(memory_full)?
            }
            None => None,
        };
        let mut plan = None;
        let mut own = Vec::new();
        if let Some((table, mut record)) = failed {
            record.memory = self.memory.as_ref().map(Memory::fd);
            // For as long as this image: it can't be said when the load ends.
            let processes = write_table(&table, generation)?;
            record.table = sealed_if_long(&processes)?.map(IntoRawFd::into_raw_fd);
            own = record.memory.iter().chain(&record.table).copied().collect();
            // SAFETY: by the caller's promise.
            let environment = unsafe { environment::all() };
            let request = reexec::Request {
                argv: &self.boot.argv,
                no_listeners: self.boot.no_listeners,
                environment: &environment,
                kind: ExecKind::Wait,
                load_status: Some(false),
                processes: &processes,
                record: &record,
            };
            plan = Some(reexec::plan(&table, generation, &request).map_err(memory_full)?);
        }
        let kept = self.boot.keep.iter().copied().chain(own);
        load_guard::begin(&load_guard::Request {
            timeout,
            pace: PACE,
            messages: self.life.policy.systemd.then(|| datagrams(generation)).flatten(),
            log: &format!("[ALERT]    ({}) : {}\n", own_pid(), texts::load_overdue(timeout)),
            plan: plan.as_ref(),
            keep: self.inherited.still_open().chain(kept).collect(),
            limit: self.boot.open_files,
        })
    }

    /// Becomes the next image. Returns only if that fails, and says why.
    pub(super) fn exec(&mut self, kind: ExecKind) -> io::Error {
        load_guard::end();
        match self.try_exec(kind) {
            Ok(never) => match never {},
            Err(error) => error,
        }
    }

    fn try_exec(&mut self, kind: ExecKind) -> io::Result<Infallible> {
        let generation = self.generation();
        // SAFETY: a master has one thread.
        let now = || unsafe { environment::all() };
        let environment = self.boot.environment.clone().unwrap_or_else(now);
        let inherited: Vec<RawFd> = self.inherited.still_open().collect();
        self.try_binary(&environment, &inherited)?;

        let processes = write_table(&self.table, generation)?;
        // Closed again where the exec fails.
        let whole = sealed_if_long(&processes)?;
        self.life.record.table = whole.as_ref().map(AsRawFd::as_raw_fd);
        self.life.record.memory = self.memory.as_ref().map(Memory::fd);
        let record = &self.life.record;
        let request = reexec::Request {
            argv: &self.boot.argv,
            no_listeners: self.boot.no_listeners,
            environment: &environment,
            kind,
            load_status: self.life.load_status(),
            processes: &processes,
            record,
        };
        let plan = reexec::plan(&self.table, generation, &request).map_err(memory_full)?;
        let kept = self.boot.keep.iter().copied().chain(record.memory).chain(record.table);
        let keep: Vec<RawFd> = inherited.into_iter().chain(kept).collect();
        self.host.before_exec();
        let error = exec::execute(&plan, &keep, self.boot.open_files);
        self.host.after_failed_exec(&error);
        Err(error)
    }

    /// Nothing comes back from a binary that crashes, so one that isn't this is
    /// tried first.
    fn try_binary(&self, environment: &[Vec<u8>], inherited: &[RawFd]) -> io::Result<()> {
        let argv = &self.boot.argv;
        if !argv.first().is_some_and(|program| trial::is_another(program)) {
            return Ok(());
        }
        match Trial::new(self.generation(), argv, self.boot.trial.as_deref()) {
            // SAFETY: a master has one thread.
            Some(trial) => unsafe { trial::run(&trial, environment, inherited) },
            None => Ok(()),
        }
    }
}

fn write_table<T: Table>(table: &T, generation: Generation) -> io::Result<Vec<u8>> {
    handover::write(table, generation).map_err(memory_full)
}

/// The process table, where it is too long for the environment.
fn sealed_if_long(processes: &[u8]) -> io::Result<Option<OwnedFd>> {
    (processes.len() > handover::LONGEST).then(|| fd::sealed(processes)).transpose()
}

fn memory_full(_: OutOfMemory) -> io::Error {
    io::Error::from(io::ErrorKind::OutOfMemory)
}
