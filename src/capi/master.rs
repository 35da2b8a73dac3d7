//! Being a master.

use super::error::{ERR_BUSY, ERR_HANDOVER, ERR_INVALID, ERR_LEAVING, ERR_SYSTEMD, Failure, OK};
use super::guard::guard;
use super::handle::{Handle, MasterSide, Side, WorkerSide, done, enter, enter_master};
use super::host::{self, Host, LOG_ALERT, LOG_NOTICE, LOG_WARNING};
use super::list::{Layout, ListTable};
use crate::core::lifecycle::{Event, Hardness, Refusal};
use crate::core::process::{Process, options};
use crate::core::reexec::CommandLine;
use crate::core::settings;
use crate::core::table::Table;
use crate::core::texts::Level;
use crate::sys::run::{Runner, Server};
use crate::sys::shared::Page;
use crate::sys::signals::{self, Set};
use crate::sys::worker::Worker;
use crate::sys::{daemon, environment, fd};
use std::ffi::{CStr, CString, c_char, c_int, c_uint};
use std::io;
use std::os::fd::{AsRawFd, IntoRawFd, OwnedFd};
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
pub unsafe extern "C" fn mworker_new(host: *const Host, out: *mut *mut Handle) -> c_int {
    guard(super::ERR_INTERNAL, || {
        if out.is_null() {
            return ERR_INVALID;
        }
        // SAFETY: not NULL, and a pointer by the caller's promise.
        unsafe { *out = std::ptr::null_mut() };
        // SAFETY: by the caller's promise.
        match unsafe { new_handle(host) } {
            Ok(handle) => {
                // SAFETY: as above.
                unsafe { *out = Box::into_raw(Box::new(handle)) };
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
    let inherited = fd::Inherited::snapshot();
    let mut master = crate::sys::master::Master::new(
        described.host,
        table,
        generation,
        &described.name,
        &described.version,
        inherited,
    );
    // SAFETY: a master has one thread, and only a former image gives descriptors
    // in that way.
    unsafe { master.find_former() };
    Ok(Handle::new(Side::Master(Box::new(MasterSide {
        master,
        runner: None,
        server: None,
        listeners_from: None,
        original_mask: None,
        page: None,
    }))))
}

/// Frees a handle; nothing for NULL. Processes and HAProxy's own table are left
/// as they are. Not safe in a signal handler.
///
/// # Safety
/// `mw` is NULL or a handle that isn't used any more.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_free(mw: *mut Handle) {
    guard((), || {
        if !mw.is_null() {
            // SAFETY: made by mworker_new(), and given up by the caller.
            drop(unsafe { Box::from_raw(mw) });
        }
    });
}

/// Returns what the last call that failed on `mw` met, for people: a string of
/// the library's, good until the next call. "" for NULL, or if none failed.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_error(mw: *const Handle) -> *const c_char {
    guard(c"".as_ptr(), || {
        // SAFETY: by the caller's promise.
        unsafe { mw.as_ref() }.map_or(c"".as_ptr(), Handle::error)
    })
}

/// Tells people by the host's log; `level` is one of MWORKER_LOG_. While a
/// start isn't done, `text` (not NULL, without a newline at its end) is also
/// part of the answer to `reload`, whether the master logs it or the worker
/// that starts. Masters and workers.
///
/// # Safety
/// `mw` is NULL or a handle, `text` NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_log(mw: *mut Handle, level: c_int, text: *const c_char) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter(mw, |side| {
            if text.is_null() {
                return Err(Failure::invalid("text is NULL"));
            }
            let text = host::text(text);
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
            Ok(OK)
        })
    }
}

/// Takes out of the command line what a former master put there (`-sf` or `-st`
/// with PIDs, `-x` with an address) and remembers it and what is left, which
/// the next image will be started with. `*argc` and `argv` are changed in place.
/// Masters, before anything else.
///
/// # Safety
/// `mw` is NULL or a handle, `argc` and `argv` are main()'s.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_take_args(
    mw: *mut Handle,
    argc: *mut c_int,
    argv: *mut *mut c_char,
) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            if argc.is_null() || argv.is_null() || *argc < 1 {
                return Err(Failure::invalid("argc or argv is NULL, or there is no argument"));
            }
            let count = usize::try_from(*argc).unwrap_or(0);
            let arguments: Vec<*mut c_char> = (0..count).map(|i| *argv.add(i)).collect();
            if arguments.iter().any(|a| a.is_null()) {
                return Err(Failure::invalid("argv has fewer arguments than argc says"));
            }
            let bytes: Vec<&[u8]> =
                arguments.iter().map(|a| CStr::from_ptr(*a).to_bytes()).collect();
            let line = CommandLine::parse(bytes.iter().copied());
            // What is left, in the same order: keep those pointers.
            let mut kept = 0;
            for (pointer, text) in arguments.iter().zip(&bytes) {
                if line.argv.get(kept).is_some_and(|k| k == text) {
                    *argv.add(kept) = *pointer;
                    kept += 1;
                }
            }
            *argv.add(kept) = std::ptr::null_mut();
            *argc = kept as c_int;
            side.listeners_from = line.listeners_from.as_deref().and_then(socketpair_of);
            side.master.set_command_line(line);
            Ok(OK)
        })
    }
}

/// The descriptor in `sockpair@<fd>`.
fn socketpair_of(address: &[u8]) -> Option<i32> {
    std::str::from_utf8(address).ok()?.strip_prefix("sockpair@")?.parse().ok().filter(|fd| *fd >= 0)
}

/// Returns 1 if a former master re-executed itself into this process, else 0.
/// Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_is_reload(mw: *const Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_master(mw, |side| Ok(c_int::from(side.master.is_after_reload()))) }
}

/// Tells systemd from now on (`-Ws`): RELOADING, READY, STOPPING, STATUS.
/// Returns MWORKER_ERR_SYSTEMD if the library was built without. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_use_systemd(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            if !cfg!(feature = "USE_SYSTEMD") {
                return Err(Failure::new(
                    ERR_SYSTEMD,
                    "master-worker mode with systemd support (-Ws) was asked for, but mworker was \
                     built without it: use -W, or build with USE_SYSTEMD=1",
                ));
            }
            side.master.use_systemd(watchdog());
            Ok(OK)
        })
    }
}

/// How often systemd wants a sign of life.
///
/// # Safety
/// One thread.
unsafe fn watchdog() -> Option<u64> {
    let variable = |name| {
        // SAFETY: by the caller's promise.
        let value = unsafe { environment::get(name) };
        value.map(|value| String::from_utf8_lossy(&value).into_owned())
    };
    let (usec, whom) = (variable(c"WATCHDOG_USEC"), variable(c"WATCHDOG_PID"));
    settings::watchdog(usec.as_deref(), whom.as_deref(), crate::sys::master::own_pid())
}

/// Reads what an operator may set in the environment, for every proxy the same:
/// `MWORKER_START_TIMEOUT` as mworker_set_start_timeout(), in seconds or like
/// `5min`, and `MWORKER_RESTART` as mworker_set_restart(). A value that makes no
/// sense is logged and ignored. Masters, before the loop.
///
/// # Safety
/// `mw` is NULL or a handle; no other thread changes the environment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_read_settings(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            for name in settings::ALL {
                let Ok(c_name) = CString::new(name) else { continue };
                let Some(value) = environment::get(&c_name) else { continue };
                let value = String::from_utf8_lossy(&value);
                let policy = &mut side.master.life.policy;
                if let Err(why) = settings::apply(policy, name, &value) {
                    side.master.log(Level::Warning, &why);
                }
            }
            Ok(OK)
        })
    }
}

/// How many milliseconds a worker may take to be READY: then it is killed, and
/// the start has failed like others. 5 minutes if it isn't called; 0: any time.
/// Masters, at any time.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_set_start_timeout(mw: *mut Handle, milliseconds: c_uint) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let usec = u64::from(milliseconds) * 1_000;
            done(|| side.master.life.policy.start_timeout = (usec > 0).then_some(usec))
        })
    }
}

/// A reload executes the program by its name, which may be another binary by
/// now. Nothing would come back from one that can't run, so such a one is tried
/// first: in a child, with `arguments` (ends with NULL; copied; NULL: no trial,
/// the default) after its name instead of those of the master. They should have
/// it check what it needs and do nothing. The reload has failed unless it exits
/// with status 0 within 10 seconds, for which the master waits. Nothing is tried
/// while the binary is the same. HAProxy's masters know what to try. Masters, at
/// any time.
///
/// # Safety
/// `mw` is NULL or a handle, `arguments` NULL or such an array.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_set_trial(
    mw: *mut Handle,
    arguments: *const *const c_char,
) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let copy = (!arguments.is_null()).then(|| environment::strings(arguments));
            done(|| side.master.boot.trial = copy)
        })
    }
}

/// Has a new worker started for one in service that dies, instead of what
/// mworker_set_exit_on_failure() says: at once, and if it dies too after 1, 2,
/// 4 seconds up to 60, and `limit` times in a row; one that has served for a
/// minute begins a new row. It comes by a reload. 0, the default: none. Masters,
/// at any time.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_set_restart(mw: *mut Handle, limit: c_uint) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            done(|| side.master.life.policy.restart = (limit > 0).then_some(limit))
        })
    }
}

/// Whether a worker in service that dies takes the service with it: then the
/// others are told to leave, and the master leaves with the dead one's status.
/// 1, the default, or 0. Masters, at any time.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_set_exit_on_failure(mw: *mut Handle, on: c_int) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_master(mw, |side| done(|| side.master.life.policy.exit_on_failure = on != 0)) }
}

/// How many reloads a worker may live through; older ones are sent SIGTERM.
/// -1, the default: any number. Masters, at any time.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_set_max_reloads(mw: *mut Handle, max: c_int) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            done(|| side.master.life.policy.max_reloads = u32::try_from(max).ok())
        })
    }
}

/// Takes over from a former master: reads its process table out of the
/// environment, or begins a new one. From now on a master's signals are held
/// back (TERM and INT are not) until the loop reads them. Rows that make no
/// sense are logged and left out.
///
/// Returns MWORKER_ERR_HANDOVER when there is no row of the master in it: then
/// nothing can be known of the old workers, and the process should leave.
/// Masters, after mworker_take_args().
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_take_over(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            signals::reset_dispositions();
            let original = signals::block(&Set::over_exec());
            // After a reload it is what the former master held back.
            side.original_mask =
                Some(if side.master.is_after_reload() { Set::none() } else { original });
            side.master.read_table()?;
            Ok(OK)
        })
    }
}

/// Opens the master CLI on the unix socket `path` (not NULL; copied), for the
/// same user only. It answers `show proc`, `reload`, `help` and more, and leads
/// to workers with `@1` and `@!<pid>`. Served by the loop. Masters, after
/// mworker_take_over().
///
/// # Safety
/// `mw` is NULL or a handle, `path` NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_cli_listen(mw: *mut Handle, path: *const c_char) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let path = path_of(path)?;
            let failed =
                |error| Failure::system(&format!("master CLI on {}", path.display()), &error);
            let Some(row) = side.master.table.master() else {
                return Err(Failure::new(ERR_HANDOVER, "mworker_take_over() comes first"));
            };
            let mut process = side.master.table.load(row);
            if process.ipc_fd.iter().any(|fd| *fd < 0) {
                let (a, b) = fd::message_pair().map_err(failed)?;
                process.ipc_fd = [a.into_raw_fd(), b.into_raw_fd()];
                side.master.table.store(row, process);
            }
            side.server = Some(Server::listen(&path).map_err(failed)?);
            Ok(OK)
        })
    }
}

unsafe fn path_of(path: *const c_char) -> Result<PathBuf, Failure> {
    use std::os::unix::ffi::OsStrExt;
    if path.is_null() {
        return Err(Failure::invalid("path is NULL"));
    }
    // SAFETY: a C string by the caller's promise.
    let path = unsafe { CStr::from_ptr(path) };
    Ok(PathBuf::from(std::ffi::OsStr::from_bytes(path.to_bytes())))
}

/// Goes into the background (`-D`): returns there, as a new process in a
/// session of its own. The launching process stays until a worker is READY and
/// ends with 0 then, or with 1 if none will be. The terminal is let go when a
/// worker is READY. After a reload it does nothing. Masters, before
/// mworker_start_worker(); what was printed but not flushed would come twice.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_daemonize(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            if side.master.is_after_reload() {
                return Ok(OK);
            }
            let launcher = daemon::go_into_background().map_err(|e| Failure::system("fork", &e))?;
            side.master.launcher = Some(launcher);
            let own = crate::sys::master::own_pid();
            if let Some(row) = side.master.table.master() {
                let mut process = side.master.table.load(row);
                process.pid = own;
                side.master.table.store(row, process);
            }
            Ok(OK)
        })
    }
}

/// Names a file (not NULL; copied) that gets the master's PID once a worker is
/// READY, at each start and reload (`-p`). Masters.
///
/// # Safety
/// `mw` is NULL or a handle, `path` NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_set_pidfile(mw: *mut Handle, path: *const c_char) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            side.master.pidfile = Some(path_of(path)?);
            Ok(OK)
        })
    }
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
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_start_worker(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter(mw, |side| {
            let Side::Master(master_side) = side else {
                return Err(Failure::new(super::ERR_ROLE, "a worker can't start workers"));
            };
            match start_worker(master_side) {
                Ok(None) => Ok(IN_MASTER),
                Ok(Some(worker)) => {
                    *side = Side::Worker(worker);
                    Ok(IN_WORKER)
                }
                Err(error) if master_side.master.is_after_reload() => {
                    let why = format!("fork: {}", crate::sys::describe(&error));
                    master_side.master.handle(Event::StartFailed { why: &why });
                    Ok(IN_MASTER)
                }
                Err(error) => Err(Failure::system("can't fork a worker", &error)),
            }
        })
    }
}

/// # Safety
/// One thread.
unsafe fn start_worker(side: &mut MasterSide) -> io::Result<Option<WorkerSide>> {
    let (ours, theirs) = fd::message_pair()?;
    let process = Process {
        options: options::WORKER | options::INIT,
        // The row owns it from now on.
        ipc_fd: [ours.into_raw_fd(), -1],
        ..Process::default()
    };
    let version = side.master.version().to_owned();
    side.master
        .table
        .append(process, b"", version.as_bytes())
        .map_err(|_| io::Error::from(io::ErrorKind::OutOfMemory))?;
    // SAFETY: by the caller's promise.
    let Some(page) = (unsafe { side.master.fork_worker(|_, page| page) })? else {
        return Ok(None);
    };
    let worker = become_worker(side, theirs, page);
    signals::set_mask(&side.original_mask.unwrap_or_else(Set::none));
    Ok(Some(worker))
}

/// Gives up what is the master's. Its table goes with its side of the handle.
fn become_worker(side: &mut MasterSide, ipc: OwnedFd, page: Option<&'static Page>) -> WorkerSide {
    let previous = side.listeners_from.and_then(|fd| take_fd(&mut side.master.table, fd));
    side.server = None;
    side.runner = None;
    side.master.launcher = None;
    WorkerSide { worker: Worker::new(ipc, previous), host: side.master.host.clone(), page }
}

/// Takes the master's end of a pair out of the row that has it.
fn take_fd(table: &mut ListTable, fd: i32) -> Option<OwnedFd> {
    use std::os::fd::FromRawFd;
    let row = table.find(|p| p.is(options::WORKER) && p.ipc_fd[0] == fd)?;
    let mut process = table.load(row);
    process.ipc_fd[0] = -1;
    table.store(row, process);
    // SAFETY: the row has given it up.
    Some(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The new configuration is refused, because of `why` (not NULL; for people).
/// At a reload it counts as failed, is logged and told, and MWORKER_OK is
/// returned: go on with the loop, the old workers serve. At the first start
/// MWORKER_ERR_ABSENT: there is nothing to go on with, and nothing is logged.
/// Masters, instead of mworker_start_worker().
///
/// # Safety
/// `mw` is NULL or a handle, `why` NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_load_failed(mw: *mut Handle, why: *const c_char) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            if why.is_null() {
                return Err(Failure::invalid("why is NULL"));
            }
            let why = host::text(why);
            if !side.master.is_after_reload() {
                return Err(Failure::new(super::ERR_ABSENT, why));
            }
            side.master.handle(Event::StartFailed { why: &why });
            Ok(OK)
        })
    }
}

/// Runs the master's loop until the master has to leave; returns the status to
/// leave with (0 to 255). The process's last call but for cleaning up: reloads
/// re-execute it from here. Masters.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_run(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            ensure_runner(side)?;
            loop {
                if let Some(status) = turn(side, -1)? {
                    return Ok(status);
                }
            }
        })
    }
}

/// Returns a descriptor to poll for reading: when it is ready, and when
/// mworker_timeout() has passed, mworker_dispatch() has something to do. For
/// hosts with a loop of their own. It is the library's. Masters.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_fd(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_master(mw, |side| Ok(ensure_runner(side)?.fd().as_raw_fd())) }
}

/// Returns in how many milliseconds mworker_dispatch() has to be called even if
/// nothing is ready; -1: not at all. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_timeout(mw: *const Handle) -> c_int {
    let mut timeout = -1;
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            // Of an error the host hears from mworker_dispatch().
            timeout = side.master.timeout();
            Ok(OK)
        })
    };
    timeout
}

/// Does what is due because time has passed; for hosts that have a loop of
/// their own and don't call mworker_dispatch(). To be called when
/// mworker_timeout() says so; too early does no harm. Masters.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_tick(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_master(mw, |side| done(|| side.master.tick())) }
}

/// Does what is due, without waiting. Returns 1 to go on, or 0 when the master
/// has to leave, with mworker_exit_status(). Masters.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_dispatch(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            ensure_runner(side)?;
            Ok(c_int::from(turn(side, 0)?.is_none()))
        })
    }
}

/// Returns the status to leave with, or MWORKER_ERR_ABSENT while the master
/// doesn't have to. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_exit_status(mw: *const Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            side.master
                .exit_status()
                .ok_or_else(|| Failure::new(super::ERR_ABSENT, "the master doesn't have to leave"))
        })
    }
}

fn ensure_runner(side: &mut MasterSide) -> Result<&mut Runner, Failure> {
    let MasterSide { runner, master, server, .. } = side;
    if runner.is_none() {
        master.host.returns = true;
        let mut new = Runner::new(server.take()).map_err(|e| Failure::system("epoll", &e))?;
        new.enter(master).map_err(|e| Failure::system("epoll", &e))?;
        *runner = Some(new);
    }
    runner.as_mut().ok_or_else(|| Failure::new(super::ERR_INTERNAL, "no loop"))
}

fn turn(side: &mut MasterSide, timeout: c_int) -> Result<Option<i32>, Failure> {
    let MasterSide { runner: Some(runner), master, .. } = side else {
        return Ok(None);
    };
    runner.turn(master, timeout).map_err(|e| Failure::system("epoll", &e))
}

/// Reloads: re-executes the process, whose next image starts a new worker and
/// tells the old ones to leave when their connections have ended. Does not
/// return when it works.
///
/// Returns MWORKER_ERR_BUSY while a worker is starting (the reload is done after
/// it), MWORKER_ERR_LEAVING, or MWORKER_ERR_SYSTEM when the exec failed; then
/// everything goes on as before, and the failure has been logged, counted and
/// told. Masters. Not safe in a signal handler.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_reload(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { reload(mw, Hardness::Soft) }
}

/// The same, and the old workers are told to leave at once.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_hard_reload(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { reload(mw, Hardness::Hard) }
}

/// # Safety
/// As [`mworker_reload`].
unsafe fn reload(mw: *mut Handle, hardness: Hardness) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            let refused = side.master.life.may_reload(&side.master.table).err();
            side.master.handle(Event::Reload(hardness));
            let error = side.master.take_exec_error();
            Err(match (refused, error) {
                (Some(refusal), _) => refusal_of(refusal),
                (None, Some(error)) => {
                    Failure::system("the master process could not re-execute itself", &error)
                }
                (None, None) => Failure::new(super::ERR_INTERNAL, "the reload was not begun"),
            })
        })
    }
}

fn refusal_of(refusal: Refusal) -> Failure {
    match refusal {
        Refusal::InProgress => Failure::new(ERR_BUSY, "another reload is still in progress"),
        Refusal::Leaving => Failure::new(ERR_LEAVING, "the master is leaving"),
    }
}

/// Returns MWORKER_OK if mworker_reload() could begin now, else what it would
/// return. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_may_reload(mw: *const Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            side.master.life.may_reload(&side.master.table).map_err(refusal_of).map(|()| OK)
        })
    }
}

/// Does what signal `signo` asks of a master: TERM, INT, USR1 (leave), USR2, HUP
/// (reload), TTIN, TTOU (passed on to the workers), CHLD (children are reaped).
/// For hosts that catch signals themselves; to be called from their loop, never
/// from the handler. Returns MWORKER_ERR_INVALID for another signal. Masters.
///
/// # Safety
/// `mw` is NULL or a handle; the process has one thread.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_signal(mw: *mut Handle, signo: c_int) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| match signals::of_number(signo) {
            Some(signal) => done(|| side.master.signal(signal)),
            None => Err(Failure::invalid(format!("signal {signo} means nothing to a master"))),
        })
    }
}
