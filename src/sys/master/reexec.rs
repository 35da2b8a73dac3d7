//! Becoming the next image.

use super::systemd::datagrams;
use super::{Host, Master, own_pid, variables};
use crate::core::handover;
use crate::core::lifecycle::{ExecKind, PACE};
use crate::core::record::Record;
use crate::core::reexec;
use crate::core::room;
use crate::core::table::{OutOfMemory, Table};
use crate::core::texts;
use crate::core::trial::Trial;
use crate::sys::limits::{self, OpenFiles};
use crate::sys::shared::Memory;
use crate::sys::{clock, exec, fd, load_guard, trial};
use std::convert::Infallible;
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd, RawFd};

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// Looks after the load of a configuration that the master itself does
    /// (HAProxy up to 3.0), from now on: one that takes too long has failed.
    ///
    /// # Errors
    /// The system's, or out of memory.
    pub fn guard_load(&mut self) -> io::Result<()> {
        let Some(timeout) = self.life.policy.start_timeout else { return Ok(()) };
        let generation = self.generation();
        let failed = match self.former_table().map_err(memory_full)? {
            Some(text) => {
                let (record, now) = (&self.life.record, clock::now().wall);
                reexec::overdue_load(&text, record, generation, timeout, now)
                    .map_err(memory_full)?
            }
            None => None,
        };
        let mut plan = None;
        let mut own = Vec::new();
        let mut limit = self.boot.open_files;
        if let Some((table, mut record)) = failed {
            record.memory = self.memory.as_ref().map(Memory::fd);
            limit = self.next_limit(&table, &mut record, ExecKind::Wait)?;
            own.extend(record.memory);
            let environment = variables::all();
            let (kind, load_status) = (ExecKind::Wait, Some(false));
            let given = Given { record, environment: &environment, kind, load_status };
            let text = self.text(&table)?;
            let draft = self.plan(&table, &text, &given, None)?;
            let next = self.complete(draft, &table, &text, &given)?;
            // Open for as long as this image: it can't be said when the load ends.
            own.extend(next.whole.map(IntoRawFd::into_raw_fd));
            plan = Some(next.plan);
        }
        let kept = self.boot.keep.iter().copied().chain(own);
        load_guard::begin(&load_guard::Request {
            timeout,
            pace: PACE,
            messages: self.life.policy.systemd.then(|| datagrams(generation)).flatten(),
            log: &format!("[ALERT]    ({}) : {}\n", own_pid(), texts::load_overdue(timeout)),
            plan: plan.as_ref(),
            keep: self.inherited.still_open().chain(kept).collect(),
            limit,
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
        let environment = self.boot.environment.clone().unwrap_or_else(variables::all);
        let inherited: Vec<RawFd> = self.inherited.still_open().collect();
        if self.is_another(&environment) {
            self.try_binary(&environment, &inherited)?;
            if let Some(notice) = self.life.tells_before(kind) {
                self.notify(&notice);
            }
        }

        let memory = self.memory.as_ref().map(Memory::fd);
        let mut record = Record { memory, pair: pair(&self.table), ..self.life.record.clone() };
        let limit = self.next_limit(&self.table, &mut record, kind)?;
        let load_status = self.life.load_status();
        let given = Given { record, environment: &environment, kind, load_status };
        let text = self.text(&self.table)?;
        let draft = self.plan(&self.table, &text, &given, None)?;
        let kept = self.boot.keep.iter().copied().chain(memory);
        let keep: Vec<RawFd> = inherited.into_iter().chain(kept).collect();
        self.park();
        self.host.before_exec();
        match self.execute(draft, &text, given, keep, limit) {
            Ok(never) => match never {},
            Err(error) => {
                self.host.after_failed_exec(&error);
                Err(error)
            }
        }
    }

    /// Executes what comes of `draft`, for the table whose text is `text`. All descriptors
    /// are as they were when it returns.
    fn execute(
        &self,
        draft: reexec::Plan,
        text: &[u8],
        mut given: Given<'_>,
        mut keep: Vec<RawFd>,
        limit: Option<OpenFiles>,
    ) -> io::Result<Infallible> {
        // SAFETY: a master has one thread, which is here until they are put back.
        let moved = unsafe { out_of_the_way(&draft) };
        let next = if let Some(moved) = &moved {
            let table = reexec::with_descriptors(&self.table, &moved.numbers);
            let table = table.map_err(memory_full)?;
            given.record.pair = pair(&table);
            self.complete(draft, &table, &self.text(&table)?, &given)?
        } else {
            self.complete(draft, &self.table, text, &given)?
        };
        keep.extend(next.whole.as_ref().map(AsRawFd::as_raw_fd));
        Err(exec::execute(&next.plan, &keep, limit))
    }

    /// The limit of descriptors for the next image, which learns from `record` if it
    /// isn't that of the first start.
    fn next_limit<Rows: Table>(
        &self,
        table: &Rows,
        record: &mut Record,
        kind: ExecKind,
    ) -> io::Result<Option<OpenFiles>> {
        let Some(first) = self.boot.open_files else { return Ok(None) };
        let kept = reexec::descriptors(table, self.generation()).len()
            + self.inherited.still_open().count()
            + self.boot.keep.len();
        let next = room::open_files(first, kept as u64, kind);
        let next = next.map_err(|why| io::Error::other(why.to_string()))?;
        record.open_files = (next != first).then_some(first.soft);
        Ok(Some(next))
    }

    /// The table as it is handed over; nothing where it isn't.
    fn text<Rows: Table>(&self, table: &Rows) -> io::Result<Vec<u8>> {
        let generation = self.generation();
        if !generation.passes_on_table {
            return Ok(Vec::new());
        }
        handover::write(table, generation).map_err(memory_full)
    }

    /// What the next image is given of `table`, whose text is `text`, or is `whole` if that
    /// is too long.
    fn plan<Rows: Table>(
        &self,
        table: &Rows,
        text: &[u8],
        given: &Given<'_>,
        whole: Option<RawFd>,
    ) -> io::Result<reexec::Plan> {
        let request = reexec::Request {
            argv: &self.boot.argv,
            listeners_from: self.boot.listeners_from.as_deref(),
            environment: given.environment,
            kind: given.kind,
            load_status: given.load_status,
            processes: text,
            room: room::arguments(limits::stack()),
            record: &Record { table: whole, ..given.record.clone() },
        };
        reexec::plan(table, self.generation(), &request).map_err(memory_full)
    }

    /// `draft`, or where that leaves rows out another one, with all of them in a file.
    fn complete<Rows: Table>(
        &self,
        draft: reexec::Plan,
        table: &Rows,
        text: &[u8],
        given: &Given<'_>,
    ) -> io::Result<Next> {
        if draft.left_out.is_none() {
            return Ok(Next { plan: draft, whole: None });
        }
        let whole = fd::sealed(text)?;
        let plan = self.plan(table, text, given, Some(whole.as_raw_fd()))?;
        Ok(Next { plan, whole: Some(whole) })
    }

    fn is_another(&self, environment: &[Vec<u8>]) -> bool {
        trial::is_another(&reexec::programs(&self.boot.argv, environment))
    }

    /// Nothing comes back from a binary that crashes, so one that isn't this is
    /// tried first.
    fn try_binary(&self, environment: &[Vec<u8>], inherited: &[RawFd]) -> io::Result<()> {
        let argv = &self.boot.argv;
        match Trial::new(self.generation(), argv, self.boot.trial.as_deref()) {
            // SAFETY: a master has one thread.
            Some(trial) => unsafe { trial::run(&trial, environment, inherited) },
            None => Ok(()),
        }
    }
}

/// Both ends of the master's own pair.
fn pair<Rows: Table>(table: &Rows) -> Option<[(RawFd, u64); 2]> {
    let [a, b] = table.load(table.master()?).ipc_fd;
    Some([(a, fd::inode(a)?), (b, fd::inode(b)?)])
}

/// An image of HAProxy's own doesn't know of the rows that it isn't given, and counts on as
/// many numbers as it knows of, the lowest: those of the other rows have to be among them.
///
/// # Safety
/// As [`fd::Moved::new`], with the rows' descriptors.
unsafe fn out_of_the_way(plan: &reexec::Plan) -> Option<fd::Moved> {
    let mut away = plan.left_out.clone().filter(|fds| !fds.is_empty())?;
    away.sort_unstable();
    let others = |fd: &RawFd| away.binary_search(fd).is_err();
    let kept: Vec<RawFd> = plan.keep.iter().copied().filter(others).collect();
    let now = OpenFiles::get().ok()?;
    let lowest = room::out_of_the_way(now, plan.keep.len() as u64, away.len() as u64)?;
    // SAFETY: by the caller's promise.
    Some(unsafe { fd::Moved::new(&away, &kept, RawFd::try_from(lowest).ok()?) })
}

/// What an image is given besides the table.
struct Given<'a> {
    record: Record,
    environment: &'a [Vec<u8>],
    kind: ExecKind,
    load_status: Option<bool>,
}

/// What an image is given.
struct Next {
    plan: reexec::Plan,
    /// The process table, where it is too long for the environment.
    whole: Option<OwnedFd>,
}

fn memory_full(_: OutOfMemory) -> io::Error {
    io::Error::from(io::ErrorKind::OutOfMemory)
}
