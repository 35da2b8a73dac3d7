//! Forking workers and programs.

use super::{Host, Master};
use crate::core::lifecycle::{Event, Gone, Hardness};
use crate::core::process::{Pid, Process, options};
use crate::core::programs::{self, Decision};
use crate::core::reexec;
use crate::core::signal::Signal;
use crate::core::table::{OutOfMemory, Table};
use crate::core::texts::{self, Level};
use crate::sys::fork::{Forked, fork};
use crate::sys::shared::{Memory, Page, Reserved};
use crate::sys::signal_safe::Program;
use crate::sys::{clock, describe, environment, fd, load_guard, wait};
use std::io;
use std::os::fd::RawFd;

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// Forks the programs that the configuration named, but not those that go on
    /// over a reload. `program` makes of a row what is to be executed. Those that
    /// they replace leave by `hardness`.
    ///
    /// # Errors
    /// The first fork's that failed; it has been logged.
    ///
    /// # Safety
    /// The process has one thread.
    pub unsafe fn start_programs(
        &mut self,
        hardness: Hardness,
        program: impl Fn(T::Row) -> io::Result<Program>,
    ) -> io::Result<()> {
        let after_reload = self.is_after_reload();
        for row in programs::configured(&self.table) {
            if programs::decide(&mut self.table, row, after_reload) == Decision::KeepOld {
                self.table.unlink(row);
                self.host.release(row, Gone::Unborn);
                continue;
            }
            let name = String::from_utf8_lossy(self.table.id(row)).into_owned();
            // SAFETY: by the caller's promise.
            let started = program(row).and_then(|program| unsafe { self.start_program(&program) });
            match started {
                Ok(pid) => {
                    self.forked.push(pid);
                    let mut process = self.table.load(row);
                    process.pid = pid.get();
                    process.timestamp = i32::try_from(clock::now().wall).unwrap_or(i32::MAX);
                    self.table.store(row, process);
                    self.log(Level::Notice, &texts::program_forked(&name, pid));
                }
                Err(error) => {
                    let why = describe(&error);
                    self.log(Level::Alert, &texts::program_fork_failed(&name, &why));
                    return Err(error);
                }
            }
        }
        self.handle(Event::ProgramsStarted(hardness));
        Ok(())
    }

    /// # Safety
    /// The process has one thread.
    unsafe fn start_program(&self, program: &Program) -> io::Result<Pid> {
        // A program gets what was inherited, and nothing that is the master's.
        let keep: Vec<RawFd> = self.inherited.still_open().collect();
        let _marked = fd::close_others_on_exec(&keep);
        let prepared = program.prepared();
        // SAFETY: by the caller's promise; the child only becomes the program.
        unsafe {
            fork(|side| match side {
                Forked::Parent(pid) => pid,
                Forked::Child => prepared.become_program(),
            })
        }
    }

    /// Forks the process of the row that has none yet. `child` runs in it.
    ///
    /// # Errors
    /// The system's; the row is still there.
    ///
    /// # Safety
    /// The process has one thread.
    pub unsafe fn fork_worker<R>(
        &mut self,
        child: impl FnOnce(&mut Self, Option<&'static Page>) -> R,
    ) -> io::Result<Option<R>> {
        // SAFETY: by the caller's promise.
        unsafe {
            self.fork_process(|master, side| match side {
                Ok(pid) => {
                    master.handle(Event::Forked { pid });
                    None
                }
                Err(page) => Some(child(master, page)),
            })
        }
    }

    /// Forks a worker that is number `relative_pid` of this start, and makes its row.
    /// `child` runs in it.
    ///
    /// # Errors
    /// The system's; the row is there, without a process.
    ///
    /// # Safety
    /// The process has one thread.
    pub unsafe fn fork_new_worker<R>(
        &mut self,
        relative_pid: i32,
        child: impl FnOnce(&mut Self, Option<&'static Page>) -> R,
    ) -> io::Result<Option<R>> {
        let version = self.version.clone();
        let process = Process { options: options::WORKER, relative_pid, ..Process::default() };
        self.table
            .append(process, b"", version.as_bytes())
            .map_err(|OutOfMemory| io::Error::from(io::ErrorKind::OutOfMemory))?;
        // SAFETY: by the caller's promise.
        unsafe { self.fork_worker(child) }
    }

    /// Ends the children that this image has forked for a start that failed, and
    /// waits for their end: they have done nothing yet that would be worth a grace.
    /// Their rows are left as if they had never been forked.
    pub fn stop_new(&mut self) {
        for pid in std::mem::take(&mut self.forked) {
            let Some(row) = self.table.find(|p| p.target() == Some(pid)) else { continue };
            self.kill(pid, Signal::Kill);
            // One that isn't a child any more has ended as well.
            let _ = wait::reap(pid);
            if let Some(memory) = &self.memory {
                memory.release(|owner| owner == pid.get());
            }
            let process = Process { pid: -1, ..self.table.load(row) };
            self.table.store(row, process);
        }
    }

    /// Forks a worker whose row is the caller's matter. `then` runs in both: with
    /// the new one's PID, or with its page.
    ///
    /// # Errors
    /// The system's.
    ///
    /// # Safety
    /// The process has one thread.
    pub unsafe fn fork_process<R>(
        &mut self,
        then: impl FnOnce(&mut Self, Result<Pid, Option<&'static Page>>) -> R,
    ) -> io::Result<R> {
        load_guard::end();
        let page = self.reserve_page();
        let own_limit = self.boot.first_soft_limit.is_some() && self.generation().native;
        // SAFETY: by the caller's promise.
        unsafe {
            fork(|side| match side {
                Forked::Parent(pid) => {
                    self.forked.push(pid);
                    if let (Some(memory), Some(page)) = (&self.memory, &page) {
                        memory.assign(page, pid.get());
                    }
                    then(self, Ok(pid))
                }
                Forked::Child => {
                    self.is_worker = true;
                    // What was added for old workers' descriptors is no worker's. HAProxy
                    // sets the limits of its own.
                    if let Some(first) = self.boot.open_files.filter(|_| own_limit) {
                        let _ = first.set();
                    }
                    // It has its page, and nothing to do with the others.
                    drop(self.memory.take());
                    for name in reexec::not_for_workers() {
                        environment::remove(name);
                    }
                    then(self, Err(page.map(Reserved::into_page)))
                }
            })
        }
    }

    /// Where the next worker tells how it is. It can do without.
    fn reserve_page(&mut self) -> Option<Reserved> {
        if !self.shares {
            return None;
        }
        let reserved = match &self.memory {
            Some(memory) => memory.reserve(),
            None => Memory::new().and_then(|new| self.memory.insert(new).reserve()),
        };
        match reserved {
            Ok(page) => Some(page),
            Err(error) => {
                let why = describe(&error);
                self.log(Level::Warning, &format!("No memory to share with the worker: {why}."));
                None
            }
        }
    }
}
