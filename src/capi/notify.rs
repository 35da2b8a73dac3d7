//! Notifying systemd.

use super::error::{ERR_INVALID, ERR_SYSTEMD, Failure};
use super::guard::guard;
use super::handle::{MasterSide, master, of_master};
use super::pointers::{Chars, Mw};
use crate::core::notify::Notice;
use crate::core::process::Pid;
use crate::sys::clock;
use std::ffi::c_int;

fn notify(mw: Mw, notice: impl FnOnce() -> Notice) -> c_int {
    master(mw, |side| {
        if !cfg!(feature = "USE_SYSTEMD") {
            return Err(Failure::new(ERR_SYSTEMD, "built without USE_SYSTEMD"));
        }
        side.master.notify(&notice());
        Ok(())
    })
}

/// Tells systemd that the service is up, or that a reload has ended: READY=1
/// with MAINPID. The library does so itself when a worker is READY; this is for
/// hosts that know better. Never waits; nothing happens without
/// mworker_use_systemd(). Returns MWORKER_ERR_SYSTEMD if built without. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_notify_ready(mw: Mw) -> c_int {
    notify(mw, || match Pid::new(crate::sys::master::own_pid()) {
        Some(pid) => Notice::Ready { pid },
        None => Notice::ReloadFailed,
    })
}

/// Tells systemd that a reload begins: RELOADING=1 with MONOTONIC_USEC. Else as
/// mworker_notify_ready(); mworker_reload() does so itself.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_notify_reloading(mw: Mw) -> c_int {
    let reloading = || Notice::Reloading { monotonic_usec: clock::now().monotonic_usec };
    notify(mw, reloading)
}

/// Tells systemd that the service leaves: STOPPING=1. Else as
/// mworker_notify_ready(); SIGTERM, SIGINT and SIGUSR1 do so by themselves.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_notify_stopping(mw: Mw) -> c_int {
    notify(mw, || Notice::Stopping)
}

/// Sets the line that `systemctl status` shows: STATUS=`text` (not NULL;
/// newlines become spaces). Else as mworker_notify_ready().
#[unsafe(no_mangle)]
pub extern "C" fn mworker_notify_status(mw: Mw, text: Chars) -> c_int {
    match text.text() {
        Some(text) => notify(mw, || Notice::Status(text)),
        None => ERR_INVALID,
    }
}

/// Sends `message` (fields, one a line; not NULL) to systemd as it is. If nobody
/// reads from the socket it is sent when there is room, unless a later message
/// makes it pointless. Never waits, and needs no mworker_use_systemd().
///
/// Returns above 0 when it was sent or waits, 0 when there is no NOTIFY_SOCKET,
/// below 0 an errno, negated. Built without USE_SYSTEMD: always 0. Masters.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_notify(mw: Mw, message: Chars) -> c_int {
    let mut result = -libc::EINVAL;
    of_master(mw, |side| {
        if let Some(message) = message.text() {
            result = send(side, message);
        }
    });
    result
}

#[cfg(feature = "USE_SYSTEMD")]
fn send(side: &mut MasterSide, message: String) -> c_int {
    match side.master.send(message) {
        Ok(sent) => c_int::from(sent),
        Err(error) if error.nobody_reads() => 1,
        Err(error) => -error.errno(),
    }
}

#[cfg(not(feature = "USE_SYSTEMD"))]
fn send(_side: &mut MasterSide, _message: String) -> c_int {
    0
}

/// sd_notify(3) for those who call it: sends `message` (fields, one a line) to
/// the socket in NOTIFY_SOCKET, which is unset afterwards if
/// `unset_environment` isn't 0. Never waits.
///
/// Returns above 0 when it was sent, 0 when there is no such variable, below 0
/// an errno, negated: -EAGAIN when nobody reads from the socket. Any process;
/// not safe in a signal handler. Built without USE_SYSTEMD: always 0.
///
/// # Safety
/// No other thread uses the environment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_sd_notify(unset_environment: c_int, message: Chars) -> c_int {
    guard(-libc::EIO, || {
        // SAFETY: by the caller's promise.
        unsafe { sd_notify(unset_environment, &message) }
    })
}

#[cfg(feature = "USE_SYSTEMD")]
unsafe fn sd_notify(unset_environment: c_int, message: &Chars) -> c_int {
    use crate::sys::notify;
    let result = match message.bytes().filter(|message| !message.is_empty()) {
        None => -libc::EINVAL,
        // SAFETY: by the caller's promise.
        Some(message) => match unsafe { notify::send(message) } {
            Ok(sent) => c_int::from(sent),
            Err(error) => -error.errno(),
        },
    };
    if unset_environment != 0 {
        // SAFETY: as above.
        unsafe { notify::forget() };
    }
    result
}

#[cfg(not(feature = "USE_SYSTEMD"))]
unsafe fn sd_notify(_unset_environment: c_int, _message: &Chars) -> c_int {
    0
}
