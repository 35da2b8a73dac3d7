//! Being a worker.

use super::error::{ERR_ABSENT, Failure, OK};
use super::handle::{Handle, enter_worker};
use super::host;
use crate::sys::listeners::LONGEST_NAME;
use crate::sys::worker::Said;
use std::ffi::{c_char, c_int};
use std::os::fd::{AsRawFd, IntoRawFd};

unsafe fn name_of(name: *const c_char) -> Result<String, Failure> {
    // SAFETY: by the caller's promise.
    let name = unsafe { host::text(name) };
    if name.is_empty() || name.len() > LONGEST_NAME {
        return Err(Failure::invalid(format!("a name of 1 to {LONGEST_NAME} bytes is expected")));
    }
    Ok(name)
}

/// Returns the listening socket that the former worker published as `name` (not
/// NULL, at most 255 bytes); it is the caller's from now on, closed by an exec.
/// Both workers then listen on one queue, so no connection is lost.
///
/// Returns MWORKER_ERR_ABSENT if there is none, or MWORKER_ERR_SYSTEM if the
/// former worker doesn't answer (a worker needs a spare descriptor to): then
/// bind. Workers, before mworker_ready(); may
/// wait up to 2 seconds.
///
/// # Safety
/// `mw` is NULL or a handle, `name` NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_inherit_listener(mw: *mut Handle, name: *const c_char) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_worker(mw, |side| {
            let name = name_of(name)?;
            match side.worker.inherit(&name) {
                Ok(Some(socket)) => Ok(socket.into_raw_fd()),
                Ok(None) => Err(Failure::new(ERR_ABSENT, format!("no listener '{name}'"))),
                Err(error) => Err(Failure::system("the former worker gives no listeners", &error)),
            }
        })
    }
}

/// Offers the listening socket `fd` to the next worker, as `name` (not NULL, at
/// most 255 bytes; copied). `fd` stays the caller's and has to stay open until
/// it is taken back with -1. Workers.
///
/// # Safety
/// `mw` is NULL or a handle, `name` NULL or a C string, `fd` open.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_publish_listener(
    mw: *mut Handle,
    name: *const c_char,
    fd: c_int,
) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_worker(mw, |side| {
            side.worker.publish(&name_of(name)?, fd);
            Ok(OK)
        })
    }
}

/// Tells the master that this worker serves: the old ones are told to leave,
/// and whoever asked for the reload is answered. Listeners that were not
/// inherited are closed. Workers, once.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_ready(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_worker(mw, |side| {
            if side.worker.is_ready() {
                return Ok(OK);
            }
            side.worker.say_ready().map_err(|e| Failure::system("the master can't be told", &e))?;
            Ok(OK)
        })
    }
}

/// Returns a descriptor to poll for reading, for mworker_worker_dispatch(). It
/// is the library's. Workers.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_worker_fd(mw: *const Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { enter_worker(mw, |side| Ok(side.worker.fd().as_raw_fd())) }
}

/// Does what the master asks for, without waiting; hands published listeners
/// to a new worker (which may wait, 2 seconds at most, if that one is slow).
///
/// Returns 1 to go on; then `*cli_fd` (not NULL) is -1, or a stream connection
/// of the master CLI: the caller's, to read one line from, to answer (the master
/// adds the empty line that ends an answer) and to close. The master has had it
/// open as well, so it should leave an epoll set before it is closed.
///
/// Returns 0 when the master is gone, and with it everybody who could tell this
/// worker to leave: it should leave. Workers.
///
/// # Safety
/// `mw` is NULL or a handle, `cli_fd` NULL or points to an int.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_worker_dispatch(mw: *mut Handle, cli_fd: *mut c_int) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_worker(mw, |side| {
            if cli_fd.is_null() {
                return Err(Failure::invalid("cli_fd is NULL"));
            }
            *cli_fd = -1;
            match side.worker.receive().map_err(|e| Failure::system("the master", &e))? {
                Said::Nothing => Ok(1),
                Said::Connection(connection) => {
                    *cli_fd = connection.into_raw_fd();
                    Ok(1)
                }
                Said::MasterGone => Ok(0),
            }
        })
    }
}
