//! Being a master.

use super::error::{ERR_ABSENT, ERR_HANDOVER, ERR_INTERNAL, ERR_SYSTEMD, Failure, OK};
use super::guard::guard;
use super::handle::{Handle, MasterSide, Side, WorkerSide, enter, master, of_master};
use super::host::{self, Host, LOG_ALERT, LOG_NOTICE, LOG_WARNING};
use super::list::{Layout, ListTable};
use super::pointers::{Argv, Chars, ConstMw, Mw, Strings, wanted};
use crate::core::exec::CommandLine;
use crate::core::lifecycle::{Event, Hardness, Load};
use crate::core::messages::Level;
use crate::sys::master::Master;
use crate::sys::run::{Runner, Server};
use crate::sys::signals;
use std::ffi::{CStr, OsStr, c_char, c_int, c_uint};
use std::io::ErrorKind;
use std::mem::MaybeUninit;
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

/// What a version of the library promises. A host compares it with
/// MWORKER_ABI, which it was compiled with.
pub const ABI: c_int = 1;

/// mworker_start_worker() returned in the master.
pub const IN_MASTER: c_int = 0;
/// mworker_start_worker() returned in the new worker.
pub const IN_WORKER: c_int = 1;

/// Returns the MWORKER_ABI that the library was built with. Any process; safe
/// in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_abi() -> c_int {
    ABI
}

/// Returns the library's version, a constant string. Any process; safe in a
/// signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_version() -> *const c_char {
    const VERSION: &CStr =
        match CStr::from_bytes_with_nul(concat!(env!("CARGO_PKG_VERSION"), "\0").as_bytes()) {
            Ok(version) => version,
            Err(_) => c"",
        };
    VERSION.as_ptr()
}

/// Returns 1 if the library was built with USE_SYSTEMD, else 0. Any process;
/// safe in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_has_systemd() -> c_int {
    c_int::from(cfg!(feature = "USE_SYSTEMD"))
}

/// Makes a handle for this process and stores it in `*out`; it is the caller's,
/// to be freed with mworker_free(). To be called as early as possible: what is
/// open at that moment counts as inherited, and stays open over every reload.
///
/// `host` is copied, what it points to is not, except its strings. Returns
/// MWORKER_OK, or MWORKER_ERR_INVALID (then `*out` is NULL). Not safe in a
/// signal handler.
///
/// # Safety
/// `host` points to a table as its type tells, `out` to a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_new(
    host: *const Host,
    out: Option<&mut MaybeUninit<*mut Handle>>,
) -> c_int {
    guard(ERR_INTERNAL, || {
        let Ok(out) = wanted(out, "out") else { return super::ERR_INVALID };
        out.write(std::ptr::null_mut());
        // SAFETY: by the caller's promise.
        match unsafe { new_handle(host) } {
            Ok(handle) => {
                out.write(Box::into_raw(Box::new(handle)));
                OK
            }
            Err(failure) => {
                // There is no handle that could keep it.
                eprintln!("mworker_new: {}", failure.text);
                failure.code
            }
        }
    })
}

/// # Safety
/// As [`mworker_new`].
unsafe fn new_handle(host: *const Host) -> Result<Handle, Failure> {
    // SAFETY: by the caller's promise.
    let described = unsafe { host::describe(host) }?;
    let generation = described.host.generation();
    let layout = Layout::of(generation);
    let table = match described.table {
        // SAFETY: the host's list outlives the handle and has that generation's
        // rows, by its contract.
        Some(head) => unsafe { ListTable::of_host(head, layout) },
        None => ListTable::own(layout),
    };
    let (name, version) = (&described.name, &described.version);
    // SAFETY: a master has one thread, and a former image alone hands over descriptors.
    let master = unsafe { Master::new(described.host, table, generation, name, version) };
    let side = MasterSide { master, runner: None, server: None, page: None };
    Ok(Handle::new(Side::Master(Box::new(side))))
}

/// Frees a handle; nothing for NULL. Processes and HAProxy's own table are left
/// as they are. Not safe in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_free(mw: Option<Box<Handle>>) {
    guard((), || drop(mw));
}

/// Returns what the last call that failed on `mw` met, for people: a string of
/// the library's, good until the next call. "" for NULL, or if none failed.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_error(mw: ConstMw) -> *const c_char {
    guard(c"".as_ptr(), || mw.get().map_or(c"".as_ptr(), Handle::error))
}

/// Tells people by the host's log; `level` is one of MWORKER_LOG_. While a
/// start isn't done, `text` (not NULL, without a newline at its end) is also
/// part of the answer to `reload`, whether the master logs it or the worker
/// that starts. Masters and workers.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_log(mw: Mw, level: c_int, text: Chars) -> c_int {
    enter(mw, |side| {
        let text = text.required("text")?;
        let level = match level {
            LOG_NOTICE => Level::Notice,
            LOG_WARNING => Level::Warning,
            LOG_ALERT => Level::Alert,
            _ => return Err(Failure::invalid(format!("there is no level {level}"))),
        };
        match side {
            Side::Master(side) => side.master.log(level, &text),
            Side::Worker(side) => {
                side.worker.tell_start_log(&text);
                side.host.tell(level, &text);
            }
        }
        Ok(())
    })
}

/// Takes out of the command line what a former master put there (`-sf` or `-st`
/// with PIDs, `-x` with an address) and remembers it and what is left, which
/// the next image will be started with. `*argc` and `argv` are changed in place.
/// Masters, before anything else.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_take_args(mw: Mw, argc: Option<&mut c_int>, argv: Argv) -> c_int {
    master(mw, |side| {
        let bad = || Failure::invalid("argc or argv is NULL or has too few arguments");
        let argc = argc.filter(|argc| **argc > 0).ok_or_else(bad)?;
        let mut line = CommandLine::default();
        let left = argv.retain(usize::try_from(*argc).unwrap_or(0), |arguments| {
            line = CommandLine::parse(arguments.iter().copied());
            // The same ones, in the same order.
            let mut kept = line.argv.iter().peekable();
            arguments.iter().map(|argument| kept.next_if(|k| k == argument).is_some()).collect()
        });
        *argc = left.and_then(|left| c_int::try_from(left).ok()).ok_or_else(bad)?;
        side.master.set_command_line(line);
        Ok(())
    })
}

/// Returns 1 if a former master re-executed itself into this process, else 0.
/// Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_is_reload(mw: ConstMw) -> c_int {
    of_master(mw, |side| side.master.is_after_reload())
}

/// Tells systemd from now on (`-Ws`): RELOADING, READY, STOPPING, STATUS.
/// Returns MWORKER_ERR_SYSTEMD if the library was built without. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_use_systemd(mw: Mw) -> c_int {
    master(mw, |side| {
        if !cfg!(feature = "USE_SYSTEMD") {
            return Err(Failure::new(
                ERR_SYSTEMD,
                "master-worker mode with systemd support (-Ws) was asked for, but mworker was \
                 built without it: use -W, or build with USE_SYSTEMD=1",
            ));
        }
        side.master.use_systemd();
        Ok(())
    })
}

/// Reads what an operator may set in the environment, for every proxy the same:
/// `MWORKER_START_TIMEOUT` as mworker_set_start_timeout(), in seconds or like
/// `5min`, and `MWORKER_RESTART` as mworker_set_restart(). A value that makes no
/// sense is logged and ignored. Masters, before the loop.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_read_settings(mw: Mw) -> c_int {
    of_master(mw, |side| side.master.read_settings())
}

/// How many milliseconds a worker may take to be READY: then it is killed, and
/// the start has failed like others. 5 minutes if it isn't called; 0: any time.
/// Masters, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_set_start_timeout(mw: Mw, milliseconds: c_uint) -> c_int {
    let usec = u64::from(milliseconds) * 1_000;
    of_master(mw, |side| side.master.life.policy.start_timeout = (usec > 0).then_some(usec))
}

/// A reload executes the program by its name, which may be another binary by
/// now. Nothing would come back from one that can't run, so such a one is tried
/// first: in a child, with `arguments` (ends with NULL; copied; NULL: no trial,
/// the default) after its name instead of those of the master. They should have
/// it check what it needs and do nothing. The reload has failed unless it exits
/// with status 0 within 10 seconds, for which the master waits. Nothing is tried
/// while the binary is the same. HAProxy's masters know what to try. Masters, at
/// any time.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_set_trial(mw: Mw, arguments: Strings) -> c_int {
    of_master(mw, |side| side.master.boot.trial = arguments.copy())
}

/// Has a new worker started for one in service that dies, instead of what
/// mworker_set_exit_on_failure() says: at once, and if it dies too after 1, 2,
/// 4 seconds up to 60, and `limit` times in a row; one that has served for a
/// minute begins a new row. It comes by a reload. 0, the default: none. Masters,
/// at any time.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_set_restart(mw: Mw, limit: c_uint) -> c_int {
    of_master(mw, |side| side.master.life.policy.restart = (limit > 0).then_some(limit))
}

/// Whether a worker in service that dies takes the service with it: then the
/// others are told to leave, and the master leaves with the dead one's status.
/// 1, the default, or 0. Masters, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_set_exit_on_failure(mw: Mw, on: c_int) -> c_int {
    of_master(mw, |side| side.master.life.policy.exit_on_failure = on != 0)
}

/// How many reloads a worker may live through; older ones are sent SIGTERM.
/// -1, the default: any number. Masters, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_set_max_reloads(mw: Mw, max: c_int) -> c_int {
    of_master(mw, |side| side.master.life.policy.max_reloads = u32::try_from(max).ok())
}

/// Takes over from a former master: reads its process table out of the
/// environment, or begins a new one. From now on a master's signals are held
/// back (TERM and INT are not) until the loop reads them. Rows that make no
/// sense are logged and left out.
///
/// Returns MWORKER_ERR_HANDOVER when there is no row of the master in it: then
/// nothing can be known of the old workers, and the process should leave.
/// Masters, after mworker_take_args().
#[unsafe(no_mangle)]
pub extern "C" fn mworker_take_over(mw: Mw) -> c_int {
    master(mw, |side| Ok(side.master.take_over()?))
}

/// Opens the master CLI on the unix socket `path` (not NULL; copied), for the
/// same user only. It answers `show proc`, `reload`, `help` and more, and leads
/// to workers with `@1` and `@!<pid>`. Served by the loop. Masters, after
/// mworker_take_over().
#[unsafe(no_mangle)]
pub extern "C" fn mworker_cli_listen(mw: Mw, path: Chars) -> c_int {
    master(mw, |side| {
        let path = path_of(&path)?;
        let what = format!("master CLI on {}", path.display());
        let failed = Failure::of(&what);
        side.master.make_parking().map_err(|error| match error.kind() {
            ErrorKind::NotFound => Failure::new(ERR_HANDOVER, "mworker_take_over() comes first"),
            _ => failed(error),
        })?;
        side.server = Some(Server::listen(&path).map_err(failed)?);
        Ok(())
    })
}

fn path_of(path: &Chars) -> Result<PathBuf, Failure> {
    let path = path.bytes().ok_or_else(|| Failure::invalid("path is NULL"))?;
    Ok(PathBuf::from(OsStr::from_bytes(path)))
}

/// Goes into the background (`-D`): returns there, as a new process in a
/// session of its own. The launching process stays until a worker is READY and
/// ends with 0 then, or with 1 if none will be. The terminal is let go when a
/// worker is READY. After a reload it does nothing. Masters, before
/// mworker_start_worker(); what was printed but not flushed would come twice.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_daemonize(mw: Mw) -> c_int {
    master(mw, |side| side.master.daemonize().map_err(Failure::of("fork")))
}

/// Names a file (not NULL; copied) that gets the master's PID once a worker is
/// READY, at each start and reload (`-p`). Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_set_pidfile(mw: Mw, path: Chars) -> c_int {
    master(mw, |side| {
        side.master.pidfile = Some(path_of(&path)?);
        Ok(())
    })
}

/// Forks the worker. Returns MWORKER_IN_MASTER, or in the new process
/// MWORKER_IN_WORKER: there the handle is a worker's, no signal is held back,
/// and no descriptor of the master is open. A worker has to handle SIGUSR1
/// (leave when the connections have ended), SIGTTOU and SIGTTIN (stop listening
/// for a while) by the time that it calls mworker_ready().
///
/// A fork that fails at a reload is a failed reload: it is logged and told, and
/// MWORKER_IN_MASTER is returned, for the old workers go on. At the first start
/// it is MWORKER_ERR_SYSTEM.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_start_worker(mw: Mw) -> c_int {
    enter(mw, |side| {
        let Side::Master(of_master) = side else {
            return Err(Failure::new(super::ERR_ROLE, "a worker can't start workers"));
        };
        let started = of_master.master.start_worker();
        let Some((worker, page)) = started.map_err(Failure::of("can't fork a worker"))? else {
            return Ok(IN_MASTER);
        };
        let host = of_master.master.host.clone();
        // This drops the master's descriptors and memory.
        *side = Side::Worker(WorkerSide { worker, host, page });
        Ok(IN_WORKER)
    })
}

/// The new worker serves, and the caller has reported that.
pub const LOAD_SUCCEEDED: c_int = 0;
/// There is none: the configuration was refused, or the fork failed.
pub const LOAD_FAILED: c_int = 1;
/// There is none, and the caller has counted and reported that.
pub const LOAD_FAILURE_REPORTED: c_int = 2;

/// Says how the load of the configuration ended: `result` is one of
/// MWORKER_LOAD_. `reason` says for people why it failed; only a failure that
/// isn't reported yet needs it, else it may be NULL. Masters.
///
/// At a reload MWORKER_LOAD_FAILED is counted, logged and notified. Go on with
/// the loop then: the old workers serve. At the first start there is nothing to
/// go on with: it returns MWORKER_ERR_ABSENT, and the process should leave.
/// Nothing is logged then, except in HAProxy, where it also leaves.
///
/// A worker that mworker_start_worker() has forked reports for itself: by
/// mworker_ready(), or by its end. The other results are for HAProxy, whose own
/// code reports. Up to 3.0 the process re-executes itself to wait, so the
/// function returns only when that failed.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_load_ended(mw: Mw, result: c_int, reason: Chars) -> c_int {
    master(mw, |side| {
        let reason = reason.text();
        let (result, why) = match (result, reason) {
            (LOAD_SUCCEEDED, why) => (Load::Succeeded, why.unwrap_or_default()),
            (LOAD_FAILED, Some(why)) => (Load::Failed, why),
            (LOAD_FAILED, None) => return Err(Failure::invalid("reason is NULL")),
            (LOAD_FAILURE_REPORTED, why) => (Load::FailureReported, why.unwrap_or_default()),
            _ => return Err(Failure::invalid(format!("there is no result {result}"))),
        };
        match side.master.load_ended(result, &why) {
            true => Ok(()),
            false => Err(Failure::new(ERR_ABSENT, why)),
        }
    })
}

/// Runs the master's loop until the master has to leave; returns the status to
/// leave with (0 to 255). The process's last call but for cleaning up: reloads
/// re-execute it from here. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_run(mw: Mw) -> c_int {
    master(mw, |side| {
        loop {
            if let Some(status) = turn(side, -1)? {
                return Ok(status);
            }
        }
    })
}

/// Returns a descriptor to poll for reading: when it is ready, and when
/// mworker_timeout() has passed, mworker_dispatch() has something to do. For
/// hosts with a loop of their own. It is the library's. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_fd(mw: Mw) -> c_int {
    master(mw, |side| Ok(ensure_runner(side)?.fd().as_raw_fd()))
}

/// Returns in how many milliseconds mworker_dispatch() has to be called even if
/// nothing is ready; -1: not at all. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_timeout(mw: ConstMw) -> c_int {
    let mut timeout = -1;
    // Of an error the host hears from mworker_dispatch().
    of_master(mw, |side| timeout = side.master.timeout());
    timeout
}

/// Does what is due because time has passed; for hosts that have a loop of
/// their own and don't call mworker_dispatch(). To be called when
/// mworker_timeout() says so; too early does no harm. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_tick(mw: Mw) -> c_int {
    of_master(mw, |side| side.master.tick())
}

/// Does what is due, without waiting. Returns 1 to go on, or 0 when the master
/// has to leave, with mworker_exit_status(). Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_dispatch(mw: Mw) -> c_int {
    master(mw, |side| Ok(turn(side, 0)?.is_none()))
}

/// Returns the status to leave with, or MWORKER_ERR_ABSENT while the master
/// doesn't have to. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_exit_status(mw: ConstMw) -> c_int {
    master(mw, |side| {
        let status = side.master.exit_status();
        status.ok_or_else(|| Failure::new(ERR_ABSENT, "the master doesn't have to leave"))
    })
}

fn ensure_runner(side: &mut MasterSide) -> Result<&mut Runner, Failure> {
    let MasterSide { runner, master, server, .. } = side;
    if runner.is_none() {
        *runner = Some(Runner::new(server.take(), master).map_err(Failure::of("epoll"))?);
    }
    runner.as_mut().ok_or_else(|| Failure::new(ERR_INTERNAL, "no loop"))
}

fn turn(side: &mut MasterSide, timeout: c_int) -> Result<Option<i32>, Failure> {
    ensure_runner(side)?;
    let MasterSide { runner: Some(runner), master, .. } = side else { return Ok(None) };
    runner.turn(master, timeout).map_err(Failure::of("epoll"))
}

/// Reloads: re-executes the process, whose next image starts a new worker and
/// tells the old ones to leave when their connections have ended. Does not
/// return when it works.
///
/// Returns MWORKER_ERR_BUSY while a worker is starting (the reload is done after
/// it), MWORKER_ERR_LEAVING, or MWORKER_ERR_SYSTEM when the exec failed; then
/// everything goes on as before, and the failure has been logged, counted and
/// told. Masters. Not safe in a signal handler.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_reload(mw: Mw) -> c_int {
    reload(mw, Event::Reload(Hardness::Soft))
}

/// The same, and the old workers are told to leave at once.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_hard_reload(mw: Mw) -> c_int {
    reload(mw, Event::Reload(Hardness::Hard))
}

/// The same for a client of the master CLI that waits for the answer: while a
/// worker is starting the reload is refused instead of done later. The old
/// workers leave at once if `hard` isn't 0. When `before_exec` is called, the
/// client's connection has to go where the next image answers it.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_reload_for_client(mw: Mw, hard: c_int) -> c_int {
    reload(mw, Event::ReloadNow(if hard != 0 { Hardness::Hard } else { Hardness::Soft }))
}

fn reload(mw: Mw, event: Event<'_>) -> c_int {
    master(mw, |side| {
        side.master.handle(event)?;
        match side.master.take_exec_error() {
            Some(error) => {
                Err(Failure::of("the master process could not re-execute itself")(error))
            }
            None => Err::<(), _>(Failure::new(ERR_INTERNAL, "the reload was not begun")),
        }
    })
}

/// Returns MWORKER_OK if mworker_reload() could begin now, else what it would
/// return. For those who show it: a reload answers by itself. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_may_reload(mw: ConstMw) -> c_int {
    master(mw, |side| Ok(side.master.life.may_reload(&side.master.table)?))
}

/// Does what signal `signo` asks of a master: TERM, INT, USR1 (leave), USR2, HUP
/// (reload), TTIN, TTOU (passed on to the workers), CHLD (children are reaped).
/// For hosts that catch signals themselves; to be called from their loop, never
/// from the handler. Returns MWORKER_ERR_INVALID for another signal. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_signal(mw: Mw, signo: c_int) -> c_int {
    master(mw, |side| {
        let signal = signals::of_number(signo)
            .ok_or_else(|| Failure::invalid(format!("signal {signo} means nothing to a master")))?;
        side.master.signal(signal);
        Ok(())
    })
}
