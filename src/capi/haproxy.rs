//! For HAProxy's shims, whose C does parts of a master's start itself.

use super::error::{ERR_ABSENT, Failure};
use super::handle::{MasterSide, master, of_master};
use super::list::Row;
use super::master::{IN_MASTER, IN_WORKER};
use super::pointers::{Chars, ConstMw, Mw, Strings, store};
use crate::core::lifecycle::{Event, Hardness};
use crate::core::table::Table;
use crate::sys::environment;
use crate::sys::exec::limits::OpenFiles;
use crate::sys::master::ProgramToStart;
use crate::sys::signals::{self, Set};
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::ptr::NonNull;

/// Sets the command line that next images are started with: `argv` (not NULL,
/// ends with NULL; copied) as the first start got it, without what masters add
/// to it, and where listeners are to be asked for, or NULL: up to 2.4 the path
/// of a stats socket, later "/dev/null" if `-x` named that, as all else is
/// known. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_set_argv(mw: Mw, argv: Strings, listeners_from: Chars) -> c_int {
    master(mw, |side| {
        let argv = argv.copy().filter(|argv| !argv.is_empty());
        side.master.boot.argv = argv.ok_or_else(|| Failure::invalid("argv is NULL or empty"))?;
        side.master.boot.listeners_from = listeners_from.bytes().map(<[u8]>::to_vec);
        Ok(())
    })
}

/// Sets the environment that next images are started with (ends with NULL;
/// copied), or for NULL: the one that there is at the time. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_set_environment(mw: Mw, environment: Strings) -> c_int {
    of_master(mw, |side| side.master.boot.environment = environment.copy())
}

/// Sets the RLIMIT_NOFILE that next images are started with; without it the one
/// at mworker_new(). What an image got on top of it for the descriptors of old
/// workers doesn't count. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_set_open_files(mw: Mw, soft: u64, hard: u64) -> c_int {
    of_master(mw, |side| side.master.set_open_files(OpenFiles { soft, hard }))
}

/// `fd` stays open over reloads. It stays the caller's. Those of the process
/// table and what was open at mworker_new() do so anyway. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_keep_fd(mw: Mw, fd: c_int) -> c_int {
    master(mw, |side| {
        if fd < 0 {
            return Err(Failure::invalid(format!("{fd} is no descriptor")));
        }
        side.master.keep_fd(fd);
        Ok(())
    })
}

/// Reads the process table that a former master left in the environment, adds
/// its rows to the table, and makes sure that there is one of the master.
/// Stores in `*descriptors` (unless NULL) how many descriptors came with them.
/// Returns MWORKER_ERR_HANDOVER when the master's is missing. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_read_table(
    mw: Mw,
    descriptors: Option<&mut MaybeUninit<usize>>,
) -> c_int {
    master(mw, |side| {
        store(descriptors, side.master.read_table()?);
        Ok(())
    })
}

/// Takes over from a former master of HAProxy 1.8, which hands over the `count`
/// PIDs after `-sf` only (`pids`: not NULL unless `count` is 0): makes rows of
/// those that are children, and of the master. From now on a master's signals
/// are held back (TERM and INT are not). For hosts whose table the library
/// keeps. Masters.
///
/// # Safety
/// `mw` is NULL or a handle, `pids` an array of `count`; the process has one
/// thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_take_over_pids(mw: Mw, pids: *const c_int, count: usize) -> c_int {
    master(mw, |side| {
        let pids = match (pids.is_null(), count) {
            (_, 0) => &[],
            (true, _) => return Err(Failure::invalid("pids is NULL")),
            // SAFETY: by the caller's promise.
            (false, _) => unsafe { std::slice::from_raw_parts(pids, count) },
        };
        Ok(side.master.take_over_pids(pids)?)
    })
}

/// Writes the process table into this process's environment. Masters; reloads
/// do so by themselves.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_write_table(mw: Mw) -> c_int {
    master(mw, |side| side.master.write_table().map_err(Failure::of("setenv")))
}

/// The image that waits, up to 3.0, is ready to: tells systemd so, where the
/// former image has left that to it. Masters, after mworker_read_table().
#[unsafe(no_mangle)]
pub extern "C" fn mworker_waits(mw: Mw) -> c_int {
    of_master(mw, |side| side.master.happens(Event::Waits))
}

/// Returns 1 if the last load succeeded, 0 if it failed, MWORKER_ERR_ABSENT
/// while that isn't known. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_load_status(mw: ConstMw) -> c_int {
    master(mw, |side| {
        let status = side.master.life.load_status();
        status.ok_or_else(|| Failure::new(ERR_ABSENT, "no load has ended"))
    })
}

/// Sends SIGTERM to the workers that have lived through more reloads than
/// mworker_set_max_reloads() allows. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_enforce_max_reloads(mw: Mw) -> c_int {
    of_master(mw, |side| side.master.happens(Event::EnforceMaxReloads))
}

/// kill(), but for a process of the table that is no child of this master any
/// more: its PID may be somebody else's by now, so that is logged instead.
/// Returns MWORKER_ERR_SYSTEM with errno as of kill(), ESRCH for such a one.
/// Masters, and workers that mworker_fork_process() made.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_signal_process(mw: Mw, pid: c_int, signal: c_int) -> c_int {
    master(mw, |side| side.master.kill_for_host(pid, signal).map_err(Failure::of("kill")))
}

/// Releases the rows whose process was never forked. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_release_unborn(mw: Mw) -> c_int {
    of_master(mw, |side| side.master.happens(Event::UnbornDropped))
}

/// Starts the programs whose rows have no PID, but not those that go on over a
/// reload. A row's `command` is executed under its `uid` and `gid`, with what
/// was open at mworker_new() and without the variables that masters tell each
/// other. From 3.1 on those of the last configuration are then told to leave, at
/// once if `hard` isn't 0 (`-st`); up to 3.0 `-sf` tells them. Returns
/// MWORKER_ERR_SYSTEM when one can't be forked. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_start_programs(mw: Mw, hard: c_int) -> c_int {
    let hardness = if hard != 0 { Hardness::Hard } else { Hardness::Soft };
    master(mw, |side| {
        let started = side.master.start_programs(hardness, program_of);
        started.map_err(Failure::of("a program can't be started"))
    })
}

fn program_of(row: NonNull<Row>) -> ProgramToStart {
    let row = row.as_ptr();
    // SAFETY: a row of the table, whose command is NULL or ends with NULL.
    unsafe {
        let command = environment::strings((*row).command.cast_const().cast());
        // -1 is "the master's".
        let (user, group) = (id((*row).uid), id((*row).gid));
        ProgramToStart { command, user, group }
    }
}

/// Looks after the load of the configuration from now on, which masters of
/// HAProxy up to 3.0 do themselves. systemd is told that it goes on. One that
/// takes longer than mworker_set_start_timeout() allows has failed: at a reload
/// the image comes that waits, at a first start the process ends. Uses a timer
/// and the signal SIGRTMAX-1, until the worker is forked or the process
/// re-executed. Masters, after mworker_set_argv() and before
/// mworker_read_table().
#[unsafe(no_mangle)]
pub extern "C" fn mworker_guard_load(mw: Mw) -> c_int {
    master(mw, |side| side.master.guard_load().map_err(Failure::of("the load can't be guarded")))
}

/// fork(), for hosts whose own code keeps the worker's row. Returns the PID in
/// the master, 0 in the worker (see mworker_fork()), or MWORKER_ERR_SYSTEM.
/// Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_fork_process(mw: Mw) -> c_int {
    master(mw, |side| {
        let MasterSide { master, page, .. } = side;
        match master.fork_process(|_, forked| forked).map_err(Failure::of(CANT_FORK))? {
            Ok(pid) => Ok(pid.get()),
            Err(its) => {
                *page = its;
                Ok(0)
            }
        }
    })
}

const CANT_FORK: &str = "can't fork a worker";

/// Forks a worker of HAProxy 1.8, number `relative_pid` (from 1 on) of this
/// start, and makes its row. Returns the PID in the master, 0 in the worker (see
/// mworker_fork()), or MWORKER_ERR_SYSTEM; then mworker_load_ended() is due.
/// Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_fork_new(mw: Mw, relative_pid: c_int) -> c_int {
    master(mw, |side| {
        let MasterSide { master, page, .. } = side;
        let forked = master.fork_new_worker(relative_pid, |_, page| page);
        if let Some(its) = forked.map_err(Failure::of(CANT_FORK))? {
            *page = its;
            return Ok(0);
        }
        Ok(master.table.rows().last().map_or(-1, |(_, p)| p.pid))
    })
}

/// Ends the workers and programs that this image has forked, and waits for their
/// end: not all that belong together could be. They count as never forked;
/// mworker_load_ended() or mworker_release_unborn() is due. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_stop_new(mw: Mw) -> c_int {
    of_master(mw, |side| side.master.stop_new())
}

/// Adds the row of the worker that mworker_fork() is to fork, with both ends of
/// a socketpair. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_add_worker(mw: Mw) -> c_int {
    master(mw, |side| side.master.add_worker().map_err(Failure::of("a worker's socketpair")))
}

/// Forks the process of the worker's row that has none yet. Returns
/// MWORKER_IN_MASTER or MWORKER_IN_WORKER; the worker may only use the handle to
/// tell its figures, and has to forget it otherwise. Returns MWORKER_ERR_SYSTEM
/// when the fork failed: after a reload that has been counted, logged and told,
/// the row has been released, and the old workers go on. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_fork(mw: Mw) -> c_int {
    master(mw, |side| {
        let forked = side.master.fork_worker_or_fail(|_, page| page);
        let Some(page) = forked.map_err(Failure::of(CANT_FORK))? else { return Ok(IN_MASTER) };
        side.page = page;
        Ok(IN_WORKER)
    })
}

/// Holds back what is held back over a reload: USR1, USR2, HUP, TTIN, TTOU and
/// CHLD, and nothing else. Any process; safe in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_hold_signals() {
    signals::set_mask(&Set::over_exec());
}

/// Lets every signal through. Any process; safe in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_release_signals() {
    signals::set_mask(&Set::none());
}

/// Lets SIGCHLD through. Any process; safe in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_release_sigchld() {
    signals::unblock(&Set::child());
}

/// The user or group of a row; -1 stands for none. Numbers from 2^31 on are negative in the row.
fn id(value: c_int) -> Option<u32> {
    (value != -1).then(|| u32::from_ne_bytes(value.to_ne_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_user_but_minus_one_is_one() {
        assert_eq!(id(-1), None);
        assert_eq!(id(0), Some(0));
        assert_eq!(id(-2), Some(4_294_967_294), "nfsnobody of older systems");
        assert_eq!(id(i32::MIN), Some(1 << 31));
    }
}
