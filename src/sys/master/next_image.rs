//! Becoming the next image.

use super::systemd::datagrams;
use super::{Host, Master, own_pid, variables};
use crate::core::exec;
use crate::core::exec::handover_state::{HandoverState, MANY_INHERITED};
use crate::core::exec::preflight::Preflight;
use crate::core::handover;
use crate::core::lifecycle::{ExecKind, PACE};
use crate::core::messages;
use crate::core::table::Table;
use crate::sys::exec::load_guard::{self, Next};
use crate::sys::exec::{Image, Prepared, limits, preflight};
use crate::sys::shared::Memory;
use crate::sys::{clock, fd};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// Looks after the load of a configuration that the master itself does
    /// (HAProxy up to 3.0), from now on: one that takes too long has failed.
    ///
    /// # Errors
    /// The system's, or out of memory.
    pub fn guard_load(&mut self) -> io::Result<()> {
        let Some(timeout) = self.life.policy.start_timeout else { return Ok(()) };
        let generation = self.generation();
        let failed = match self.former_table()? {
            Some(text) => {
                let (state, now) = (&self.life.state, clock::now().wall);
                exec::overdue_load(&text, state, generation, timeout, now)?
            }
            None => None,
        };
        let next = match failed {
            Some((table, state)) => Some(self.next_image(
                &table,
                Given {
                    state,
                    environment: &variables::all(),
                    inherited: self.inherited.still_open().collect(),
                    kind: ExecKind::Wait,
                    load_status: Some(false),
                    is_another: false,
                },
            )?),
            None => None,
        };
        load_guard::begin(load_guard::Request {
            timeout,
            pace: PACE,
            messages: self.life.policy.systemd.then(|| datagrams(generation)).flatten(),
            log: &format!("[ALERT]    ({}) : {}\n", own_pid(), messages::load_overdue(timeout)),
            next,
        })
    }

    /// Becomes the next image. Returns only if that fails, and says why.
    pub(super) fn exec(&mut self, kind: ExecKind) -> io::Error {
        load_guard::end();
        let next = match self.prepare_exec(kind) {
            Ok(next) => next,
            Err(error) => return error,
        };
        self.park();
        self.host.before_exec();
        let error = io::Error::from_raw_os_error(next.image.replace_process(next.limit));
        self.host.after_failed_exec(&error);
        error
    }

    fn prepare_exec(&mut self, kind: ExecKind) -> io::Result<Next> {
        let environment = self.boot.environment.clone().unwrap_or_else(variables::all);
        let inherited: Vec<RawFd> = self.inherited.still_open().collect();
        let is_another = preflight::is_another(&exec::programs(&self.boot.argv, &environment));
        if is_another {
            self.try_binary(&environment, &inherited)?;
            if let Some(notice) = self.life.tells_before(kind) {
                self.notify(&notice);
            }
        }
        let mut state = self.life.state.clone();
        state.pair = pair(&self.table, state.pair);
        let load_status = self.life.load_status();
        let environment = &environment;
        let given = Given { state, environment, inherited, kind, load_status, is_another };
        self.next_image(&self.table, given)
    }

    /// The image that is given `table`, and what belongs to it.
    fn next_image<Rows: Table>(&self, table: &Rows, given: Given<'_>) -> io::Result<Next> {
        let Given { mut state, environment, inherited, kind, load_status, is_another } = given;
        let generation = self.generation();
        let descriptors = exec::descriptors(table, generation).len();
        if is_another && generation.passes_on_table && !generation.native {
            // "Cannot find out" is no reason to go on: nothing is given up by waiting.
            if self.has_high_descriptors(descriptors)? {
                return Err(io::Error::other(messages::DESCRIPTORS_TOO_HIGH_FOR_ANOTHER));
            }
        }
        let kept = descriptors + inherited.len() + self.boot.keep.len();
        let mut limit = None;
        if let Some(first) = self.boot.open_files {
            let next = exec::limits::open_files(first, kept as u64, kind);
            let next = next.map_err(|why| io::Error::other(why.to_string()))?;
            state.open_files = (next != first).then_some(first.soft);
            limit = Some(next);
        }
        let stays: Vec<RawFd> = inherited.into_iter().chain(self.boot.keep.clone()).collect();
        state.inherited = (stays.len() < MANY_INHERITED).then(|| stays.clone());
        state.memory = self.memory.as_ref().map(Memory::fd);
        let passes_on = generation.passes_on_table;
        let processes = if passes_on { handover::write(table, generation)? } else { Vec::new() };
        let request = exec::Request {
            argv: &self.boot.argv,
            listeners_from: self.boot.listeners_from.as_deref(),
            environment,
            kind,
            load_status,
            processes: &processes,
            room: self.room(table, environment, &processes),
            state: &state,
        };
        let mut whole: Option<OwnedFd> = None;
        let plan = exec::plan(table, generation, &request, |text| {
            // HAProxy's own masters read the environment only, and would lose the other rows.
            if is_another && !generation.native {
                return Err(io::Error::other(messages::TABLE_TOO_LONG_FOR_ANOTHER));
            }
            Ok(whole.insert(fd::sealed(text)?).as_raw_fd())
        })?;
        let mut keep = plan.keep;
        keep.extend(stays);
        keep.extend(state.memory.into_iter().chain(whole.as_ref().map(AsRawFd::as_raw_fd)));
        let (places, arguments, environment) = (plan.programs, plan.argv, plan.environment);
        let image = Prepared::new(Image { places, arguments, environment, keep })?;
        Ok(Next { image, limit, whole })
    }

    /// What arguments and environment may take. The system is asked only where that matters.
    fn room<Rows: Table>(&self, table: &Rows, environment: &[Vec<u8>], text: &[u8]) -> usize {
        const LONGEST_PID: usize = 32;
        let least = exec::limits::arguments(Some(0));
        let strings = environment.iter().chain(&self.boot.argv);
        let pids = table.rows().count() * LONGEST_PID;
        let used = exec::limits::total(strings) + text.len() + pids;
        if used < least / 2 { least } else { exec::limits::arguments(limits::stack()) }
    }

    /// Nothing comes back from a binary that crashes, so one that isn't this is
    /// tried first.
    fn try_binary(&self, environment: &[Vec<u8>], inherited: &[RawFd]) -> io::Result<()> {
        let argv = &self.boot.argv;
        match Preflight::new(self.generation(), argv, self.boot.trial.as_deref()) {
            // SAFETY: a master has one thread.
            Some(preflight) => unsafe { preflight::run(&preflight, environment, inherited) },
            None => Ok(()),
        }
    }
}

/// Both ends of the master's own pair, which may be the one that came with the table.
fn pair<Rows: Table>(table: &Rows, known: Option<[(RawFd, u64); 2]>) -> Option<[(RawFd, u64); 2]> {
    let [a, b] = table.load(table.master()?).ipc_fd;
    match known {
        Some(known) if known.map(|(fd, _)| fd) == [a, b] => Some(known),
        _ => Some([(a, fd::inode(a)?), (b, fd::inode(b)?)]),
    }
}

/// What an image is given besides the table.
struct Given<'a> {
    state: HandoverState,
    environment: &'a [Vec<u8>],
    inherited: Vec<RawFd>,
    kind: ExecKind,
    load_status: Option<bool>,
    /// The binary isn't the one that runs.
    is_another: bool,
}
