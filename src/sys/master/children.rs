//! Forking workers and programs.

use super::{Host, Master, own_pid, variables};
use crate::core::exec;
use crate::core::lifecycle::{Event, Gone, Hardness, Load};
use crate::core::messages::{self, Level};
use crate::core::process::{Pid, Process, options};
use crate::core::programs::{self, Decision};
use crate::core::signal::Signal;
use crate::core::table::Table;
use crate::sys::exec::{Child, Image, Prepared, load_guard};
use crate::sys::fork::{Forked, fork};
use crate::sys::shared::{Memory, Page, Reserved};
use crate::sys::worker::Worker;
use crate::sys::{clock, describe, fd, signals, wait};
use std::io;
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd, RawFd};

/// A program of the configuration.
pub struct ProgramToStart {
    /// The program and its arguments.
    pub command: Vec<Vec<u8>>,
    /// Its user, where it isn't the master's.
    pub user: Option<libc::uid_t>,
    /// Its group, where it isn't the master's.
    pub group: Option<libc::gid_t>,
}

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// Forks the programs that the configuration named, but not those that go on
    /// over a reload. `program` makes of a row what is to be executed. Those that
    /// they replace leave by `hardness`.
    ///
    /// # Errors
    /// The first fork's that failed; it has been logged.
    pub fn start_programs(
        &mut self,
        hardness: Hardness,
        program: impl Fn(T::Row) -> ProgramToStart,
    ) -> io::Result<()> {
        let after_reload = self.is_after_reload();
        for row in programs::configured(&self.table) {
            if programs::decide(&mut self.table, row, after_reload) == Decision::KeepOld {
                self.table.unlink(row);
                self.host.release(row, Gone::Unborn);
                continue;
            }
            let name = String::from_utf8_lossy(self.table.id(row)).into_owned();
            let started = self.start_program(program(row));
            match started {
                Ok(pid) => {
                    self.forked.push(pid);
                    let mut process = self.table.load(row);
                    process.pid = pid.get();
                    process.timestamp = i32::try_from(clock::now().wall).unwrap_or(i32::MAX);
                    self.table.store(row, process);
                    self.log(Level::Notice, &messages::program_forked(&name, pid));
                }
                Err(error) => {
                    let why = describe(&error);
                    self.log(Level::Alert, &messages::program_fork_failed(&name, &why));
                    return Err(error);
                }
            }
        }
        self.happens(Event::ProgramsStarted(hardness));
        Ok(())
    }

    fn start_program(&self, program: ProgramToStart) -> io::Result<Pid> {
        let prepared = Prepared::new(Image {
            places: Vec::new(),
            arguments: program.command,
            environment: exec::for_programs(&variables::all()),
            // A program gets what was inherited, and nothing that is the master's.
            keep: self.inherited.still_open().collect(),
        })?;
        let child = Child { user: program.user, group: program.group, output: None };
        // SAFETY: a master has one thread; the child only becomes the program.
        unsafe {
            fork(|side| match side {
                Forked::Parent(pid) => pid,
                Forked::Child => prepared.become_program(&child),
            })
        }
    }

    /// Forks the process of the row that has none yet. `child` runs in it.
    ///
    /// # Errors
    /// The system's; the row is still there.
    fn fork_worker<R>(
        &mut self,
        child: impl FnOnce(&mut Self, Option<&'static Page>) -> R,
    ) -> io::Result<Option<R>> {
        self.fork_process(|master, side| match side {
            Ok(pid) => {
                master.happens(Event::Forked { pid });
                None
            }
            Err(page) => Some(child(master, page)),
        })
    }

    /// Adds the row of a worker that is to be forked, which has both ends of a socketpair.
    ///
    /// # Errors
    /// The system's, or out of memory.
    pub fn add_worker(&mut self) -> io::Result<()> {
        let (ours, theirs) = fd::stream_pair()?;
        self.add_worker_row([ours.into_raw_fd(), theirs.into_raw_fd()], 0)
    }

    /// The row owns `ipc_fd`.
    fn add_worker_row(&mut self, ipc_fd: [RawFd; 2], relative_pid: i32) -> io::Result<()> {
        self.life.add_worker(&mut self.table, ipc_fd, relative_pid, &self.version)?;
        Ok(())
    }

    /// Forks a worker of its own kind. `None` in the master, where a fork that fails at a reload
    /// is a failed reload.
    ///
    /// # Errors
    /// The system's, at the first start.
    pub fn start_worker(&mut self) -> io::Result<Option<(Worker, Option<&'static Page>)>> {
        let started = self.try_start_worker();
        match started {
            Err(error) if self.load_ended(Load::Failed, &fork_failed(&error)) => Ok(None),
            started => started,
        }
    }

    fn try_start_worker(&mut self) -> io::Result<Option<(Worker, Option<&'static Page>)>> {
        let (ours, theirs) = fd::message_pair()?;
        self.add_worker_row([ours.into_raw_fd(), -1], 0)?;
        let forked = self.fork_worker(|master, page| {
            let previous = master.listeners_from.and_then(|fd| master.take_end(fd));
            master.launcher = None;
            (Worker::new(theirs, previous), page)
        })?;
        // Not before: fork() puts back the mask from before it when its closure has returned.
        if forked.is_some() {
            signals::set_mask(&self.original_mask);
        }
        Ok(forked)
    }

    /// Takes the master's end of a pair out of the row that has it.
    fn take_end(&mut self, fd: RawFd) -> Option<OwnedFd> {
        let row = self.table.find(|p| p.is(options::WORKER) && p.ipc_fd[0] == fd)?;
        let mut process = self.table.load(row);
        process.ipc_fd[0] = -1;
        self.table.store(row, process);
        // SAFETY: the row has given it up.
        Some(unsafe { OwnedFd::from_raw_fd(fd) })
    }

    /// Forks the process of the row that has none yet; a fork that fails is a load that failed.
    /// `child` runs in it.
    ///
    /// # Errors
    /// The system's.
    pub fn fork_worker_or_fail<R>(
        &mut self,
        child: impl FnOnce(&mut Self, Option<&'static Page>) -> R,
    ) -> io::Result<Option<R>> {
        self.fork_worker(child).inspect_err(|error| {
            self.load_ended(Load::Failed, &fork_failed(error));
        })
    }

    /// Forks a worker that is number `relative_pid` of this start, and makes its row.
    /// `child` runs in it.
    ///
    /// # Errors
    /// The system's; the row is there, without a process.
    pub fn fork_new_worker<R>(
        &mut self,
        relative_pid: i32,
        child: impl FnOnce(&mut Self, Option<&'static Page>) -> R,
    ) -> io::Result<Option<R>> {
        self.add_worker_row([-1, -1], relative_pid)?;
        self.fork_worker(child)
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
    pub fn fork_process<R>(
        &mut self,
        then: impl FnOnce(&mut Self, Result<Pid, Option<&'static Page>>) -> R,
    ) -> io::Result<R> {
        load_guard::end();
        // HAProxy's own code may have gone into the background.
        self.life.set_own_pid(own_pid());
        let page = self.reserve_page();
        let own_limit = self.boot.first_soft_limit.is_some() && self.generation().native;
        // SAFETY: a master has one thread.
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
                    for name in exec::not_for_workers() {
                        variables::remove(name);
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

fn fork_failed(error: &io::Error) -> String {
    format!("fork: {}", describe(error))
}
