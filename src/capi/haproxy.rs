//! For HAProxy's shims, whose C does parts of a master's start itself.

use super::error::{ERR_ABSENT, Failure, OK};
use super::handle::{Handle, MasterSide, done, enter_master};
use super::host;
use super::list::Row;
use super::master::{IN_MASTER, IN_WORKER};
use crate::core::handover;
use crate::core::lifecycle::{Event, Hardness};
use crate::core::reexec;
use crate::core::table::Table;
use crate::sys::environment;
use crate::sys::exec::c_strings;
use crate::sys::limits::OpenFiles;
use crate::sys::signal_safe::Program;
use crate::sys::signals::{self, Set};
use std::ffi::{CStr, CString, c_char, c_int};
use std::io;
use std::ptr::NonNull;

/// Sets the command line that next images are started with: `argv` (not NULL,
/// ends with NULL; copied) as the first start got it, without what masters add
/// to it, and where listeners are to be asked for, or NULL: up to 2.4 the path
/// of a stats socket, later "/dev/null" if `-x` named that, as all else is
/// known. Masters.
///
/// # Safety
/// `mw` is NULL or a handle, `argv` such an array, `listeners_from` NULL or a C
/// string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_set_argv(
    mw: *mut Handle,
    argv: *const *const c_char,
    listeners_from: *const c_char,
) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let argv = environment::strings(argv);
            if argv.is_empty() {
                return Err(Failure::invalid("argv is NULL or empty"));
            }
            side.master.boot.argv = argv;
            let from = (!listeners_from.is_null()).then(|| CStr::from_ptr(listeners_from));
            side.master.boot.listeners_from = from.map(|from| from.to_bytes().to_vec());
            Ok(OK)
        })
    }
}

/// Sets the environment that next images are started with (ends with NULL;
/// copied), or for NULL: the one that there is at the time. Masters.
///
/// # Safety
/// `mw` is NULL or a handle, `environment` NULL or such an array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_set_environment(
    mw: *mut Handle,
    environment: *const *const c_char,
) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let copy = (!environment.is_null()).then(|| environment::strings(environment));
            done(|| side.master.boot.environment = copy)
        })
    }
}

/// Sets the RLIMIT_NOFILE that next images are started with; without it the one
/// at mworker_new(). What an image got on top of it for the descriptors of old
/// workers doesn't count. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_set_open_files(mw: *mut Handle, soft: u64, hard: u64) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let boot = &mut side.master.boot;
            let soft = boot.first_soft_limit.unwrap_or(soft);
            done(|| boot.open_files = Some(OpenFiles { soft, hard }))
        })
    }
}

/// `fd` stays open over reloads. It stays the caller's. Those of the process
/// table and what was open at mworker_new() do so anyway. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_keep_fd(mw: *mut Handle, fd: c_int) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            if fd < 0 {
                return Err(Failure::invalid(format!("{fd} is no descriptor")));
            }
            let keep = &mut side.master.boot.keep;
            if !keep.contains(&fd) {
                keep.push(fd);
            }
            Ok(OK)
        })
    }
}

/// Reads the process table that a former master left in the environment, adds
/// its rows to the table, and makes sure that there is one of the master.
/// Stores in `*descriptors` (unless NULL) how many descriptors came with them.
/// Returns MWORKER_ERR_HANDOVER when the master's is missing. Masters.
///
/// # Safety
/// `mw` is NULL or a handle, `descriptors` NULL or points to a size; the
/// process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_read_table(mw: *mut Handle, descriptors: *mut usize) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let count = side.master.read_table()?;
            if !descriptors.is_null() {
                *descriptors = count;
            }
            Ok(OK)
        })
    }
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
pub unsafe extern "C" fn mworker_take_over_pids(
    mw: *mut Handle,
    pids: *const c_int,
    count: usize,
) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            if pids.is_null() && count > 0 {
                return Err(Failure::invalid("pids is NULL"));
            }
            let pids = if count == 0 { &[] } else { std::slice::from_raw_parts(pids, count) };
            signals::reset_dispositions();
            signals::block(&Set::over_exec());
            side.master.take_over_pids(pids)?;
            Ok(OK)
        })
    }
}

/// Writes the process table into this process's environment. Masters; reloads
/// do so by themselves.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_write_table(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let text = handover::write(&side.master.table, side.master.generation())?;
            let text = CString::new(text).map_err(|_| Failure::invalid("a NUL in the table"))?;
            if libc::setenv(c"HAPROXY_PROCESSES".as_ptr(), text.as_ptr(), 1) != 0 {
                return Err(Failure::system("setenv", &io::Error::last_os_error()));
            }
            Ok(OK)
        })
    }
}

/// HAProxy's own code has seen the new worker start, and told who had to be
/// told. Up to 3.0 the process re-executes itself to wait, so this returns only
/// when that failed. Masters.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_loaded(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_master(mw, |side| done(|| side.master.handle(Event::ReadyTakenByHost))) }
}

/// The image that waits, up to 3.0, is ready to: tells systemd so, where the
/// former image has left that to it. Masters, after mworker_read_table().
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_waits(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_master(mw, |side| done(|| side.master.handle(Event::Waits))) }
}

/// The new configuration can't be used, because of `why` (not NULL), or there
/// could be no worker: the reload failed, which is counted, logged and told. Up
/// to 3.0 the process re-executes itself to wait, so this returns only when
/// that failed. Masters.
///
/// # Safety
/// `mw` is NULL or a handle, `why` NULL or a C string; one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_refused(mw: *mut Handle, why: *const c_char) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            if why.is_null() {
                return Err(Failure::invalid("why is NULL"));
            }
            let why = host::text(why);
            done(|| side.master.handle(Event::StartFailed { why: &why }))
        })
    }
}

/// HAProxy's own code has refused the new configuration, and told who had to be
/// told: the old worker is the one in service again. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_not_loaded(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_master(mw, |side| done(|| side.master.handle(Event::RefusalTakenByHost))) }
}

/// Returns 1 if the last load succeeded, 0 if it failed, MWORKER_ERR_ABSENT
/// while that isn't known. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_load_status(mw: *const Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| match side.master.life.load_status() {
            Some(success) => Ok(c_int::from(success)),
            None => Err(Failure::new(ERR_ABSENT, "no load has ended")),
        })
    }
}

/// Sends SIGTERM to the workers that have lived through more reloads than
/// mworker_set_max_reloads() allows. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_enforce_max_reloads(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_master(mw, |side| done(|| side.master.handle(Event::EnforceMaxReloads))) }
}

/// kill(), but for a process of the table that is no child of this master any
/// more: its PID may be somebody else's by now, so that is logged instead.
/// Returns MWORKER_ERR_SYSTEM with errno as of kill(), ESRCH for such a one.
/// Masters, and workers that mworker_fork_process() made.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_signal_process(
    mw: *mut Handle,
    pid: c_int,
    signal: c_int,
) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let sent = side.master.kill_for_host(pid, signal);
            sent.map_err(|e| Failure::system("kill", &e)).map(|()| OK)
        })
    }
}

/// Releases the rows whose process was never forked. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_release_unborn(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_master(mw, |side| done(|| side.master.handle(Event::UnbornDropped))) }
}

/// Starts the programs whose rows have no PID, but not those that go on over a
/// reload. A row's `command` is executed under its `uid` and `gid`, with what
/// was open at mworker_new() and without the variables that masters tell each
/// other. From 3.1 on those of the last configuration are then told to leave, at
/// once if `hard` isn't 0 (`-st`); up to 3.0 `-sf` tells them. Returns
/// MWORKER_ERR_SYSTEM when one can't be forked. Masters.
///
/// # Safety
/// `mw` is NULL or a handle; rows of programs have a command; one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_start_programs(mw: *mut Handle, hard: c_int) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let master = &mut side.master;
            let hardness = if hard != 0 { Hardness::Hard } else { Hardness::Soft };
            master
                .start_programs(hardness, |row| program_of(row))
                .map_err(|e| Failure::system("a program can't be started", &e))
                .map(|()| OK)
        })
    }
}

/// # Safety
/// `row` is a program's; no other thread changes the environment.
unsafe fn program_of(row: NonNull<Row>) -> io::Result<Program> {
    // SAFETY: by the caller's promise.
    let (command, environment, user, group) = unsafe {
        let row = row.as_ptr();
        let command = environment::strings((*row).command.cast_const().cast());
        (command, environment::all(), (*row).uid, (*row).gid)
    };
    if command.is_empty() {
        return Err(io::Error::from_raw_os_error(libc::EINVAL));
    }
    let environment = reexec::for_programs(&environment);
    // -1 is "the master's".
    let (user, group) = (libc::uid_t::try_from(user).ok(), libc::gid_t::try_from(group).ok());
    Ok(Program::new(c_strings(&command)?, c_strings(&environment)?, user, group))
}

/// Looks after the load of the configuration from now on, which masters of
/// HAProxy up to 3.0 do themselves. systemd is told that it goes on. One that
/// takes longer than mworker_set_start_timeout() allows has failed: at a reload
/// the image comes that waits, at a first start the process ends. Uses a timer
/// and the signal SIGRTMAX-1, until the worker is forked or the process
/// re-executed. Masters, after mworker_set_argv() and before
/// mworker_read_table().
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_guard_load(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            side.master
                .guard_load()
                .map_err(|e| Failure::system("the load can't be guarded", &e))
                .map(|()| OK)
        })
    }
}

/// fork(), for hosts whose own code keeps the worker's row. Returns the PID in
/// the master, 0 in the worker (see mworker_fork()), or MWORKER_ERR_SYSTEM.
/// Masters.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_fork_process(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let MasterSide { master, page, .. } = side;
            let forked = master.fork_process(|_, forked| forked);
            match forked.map_err(|e| Failure::system("can't fork a worker", &e))? {
                Ok(pid) => Ok(pid.get()),
                Err(its) => {
                    *page = its;
                    Ok(0)
                }
            }
        })
    }
}

/// Forks a worker of HAProxy 1.8, number `relative_pid` (from 1 on) of this
/// start, and makes its row. Returns the PID in the master, 0 in the worker (see
/// mworker_fork()), or MWORKER_ERR_SYSTEM; then mworker_refused() is due.
/// Masters.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_fork_new(mw: *mut Handle, relative_pid: c_int) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let MasterSide { master, page, .. } = side;
            let failed = |e| Failure::system("can't fork a worker", &e);
            if let Some(its) =
                master.fork_new_worker(relative_pid, |_, page| page).map_err(failed)?
            {
                *page = its;
                return Ok(0);
            }
            let forked = master.table.rows().last().map_or(-1, |(_, p)| p.pid);
            Ok(forked)
        })
    }
}

/// Ends the workers and programs that this image has forked, and waits for their
/// end: not all that belong together could be. They count as never forked;
/// mworker_refused() or mworker_release_unborn() is due. Masters.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_stop_new(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_master(mw, |side| done(|| side.master.stop_new())) }
}

/// Forks the process of the worker's row that has none yet. Returns
/// MWORKER_IN_MASTER or MWORKER_IN_WORKER; the worker may only use the handle to
/// tell its figures, and has to forget it otherwise. Returns MWORKER_ERR_SYSTEM
/// when the fork failed: after a reload that has been counted, logged and told,
/// the row has been released, and the old workers go on. Masters.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_fork(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| match side.master.fork_worker(|_, page| page) {
            Ok(None) => Ok(IN_MASTER),
            Ok(Some(page)) => {
                side.page = page;
                Ok(IN_WORKER)
            }
            Err(error) => {
                let why = format!("fork: {}", crate::sys::describe(&error));
                side.master.handle(Event::StartFailed { why: &why });
                Err(Failure::system("can't fork a worker", &error))
            }
        })
    }
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
