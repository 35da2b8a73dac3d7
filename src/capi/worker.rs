//! Being a worker.

use super::error::{ERR_ABSENT, Failure};
use super::handle::worker;
use super::pointers::{Chars, ConstMw, Mw, wanted};
use crate::sys::listeners::LONGEST_NAME;
use crate::sys::worker::Said;
use std::ffi::c_int;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, IntoRawFd};

fn name_of(name: &Chars) -> Result<String, Failure> {
    let name = name.text().filter(|name| !name.is_empty() && name.len() <= LONGEST_NAME);
    let expected = || format!("a name of 1 to {LONGEST_NAME} bytes is expected");
    name.ok_or_else(|| Failure::invalid(expected()))
}

/// Returns the listening socket that the former worker published as `name` (not
/// NULL, at most 255 bytes); it is the caller's from now on, closed by an exec.
/// Both workers then listen on one queue, so no connection is lost.
///
/// Returns MWORKER_ERR_ABSENT if there is none, or MWORKER_ERR_SYSTEM if the
/// former worker doesn't answer (a worker needs a spare descriptor to): then
/// bind. Workers, before mworker_ready(); may
/// wait up to 2 seconds.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_inherit_listener(mw: Mw, name: Chars) -> c_int {
    worker(mw, |side| {
        let name = name_of(&name)?;
        match side.worker.inherit(&name) {
            Ok(Some(socket)) => Ok(socket.into_raw_fd()),
            Ok(None) => Err(Failure::new(ERR_ABSENT, format!("no listener '{name}'"))),
            Err(error) => Err(Failure::of("the former worker gives no listeners")(error)),
        }
    })
}

/// Offers the listening socket `fd` to the next worker, as `name` (not NULL, at
/// most 255 bytes; copied). `fd` stays the caller's and has to stay open until
/// it is taken back with -1. Workers.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_publish_listener(mw: Mw, name: Chars, fd: c_int) -> c_int {
    worker(mw, |side| {
        side.worker.publish(&name_of(&name)?, fd);
        Ok(())
    })
}

/// Tells the master that this worker serves: the old ones are told to leave,
/// and whoever asked for the reload is answered. Listeners that were not
/// inherited are closed. Workers, once.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_ready(mw: Mw) -> c_int {
    worker(mw, |side| side.worker.say_ready().map_err(Failure::of("the master can't be told")))
}

/// Returns a descriptor to poll for reading, for mworker_worker_dispatch(). It
/// is the library's. Workers.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_worker_fd(mw: ConstMw) -> c_int {
    worker(mw, |side| Ok(side.worker.fd().as_raw_fd()))
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
#[unsafe(no_mangle)]
pub extern "C" fn mworker_worker_dispatch(
    mw: Mw,
    cli_fd: Option<&mut MaybeUninit<c_int>>,
) -> c_int {
    worker(mw, |side| {
        let cli_fd = wanted(cli_fd, "cli_fd")?;
        cli_fd.write(-1);
        match side.worker.receive().map_err(Failure::of("the master"))? {
            Said::Nothing => Ok(true),
            Said::Connection(connection) => {
                cli_fd.write(connection.into_raw_fd());
                Ok(true)
            }
            Said::MasterGone => Ok(false),
        }
    })
}
