//! Telling systemd.

use super::error::{ERR_INVALID, ERR_SYSTEMD, Failure, OK};
use super::guard::guard;
use super::handle::{Handle, MasterSide, enter_master};
use super::host;
use crate::core::notify::Notice;
use crate::core::process::Pid;
use crate::sys::clock;
use std::ffi::{c_char, c_int};

/// # Safety
/// `mw` is NULL or a handle.
unsafe fn notify(mw: *mut Handle, notice: impl FnOnce() -> Notice) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            if !cfg!(feature = "USE_SYSTEMD") {
                return Err(Failure::new(ERR_SYSTEMD, "built without USE_SYSTEMD"));
            }
            side.master.notify(&notice());
            Ok(OK)
        })
    }
}

/// Tells systemd that the service is up, or that a reload has ended: READY=1
/// with MAINPID. The library does so itself when a worker is READY; this is for
/// hosts that know better. Never waits; nothing happens without
/// mworker_use_systemd(). Returns MWORKER_ERR_SYSTEMD if built without. Masters.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_notify_ready(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe {
        notify(mw, || match Pid::new(crate::sys::master::own_pid()) {
            Some(pid) => Notice::Ready { pid },
            None => Notice::ReloadFailed,
        })
    }
}

/// Tells systemd that a reload begins: RELOADING=1 with MONOTONIC_USEC. Else as
/// mworker_notify_ready(); mworker_reload() does so itself.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_notify_reloading(mw: *mut Handle) -> c_int {
    let reloading = || Notice::Reloading { monotonic_usec: clock::now().monotonic_usec };
    // SAFETY: by the caller's promise.
    unsafe { notify(mw, reloading) }
}

/// Tells systemd that the service leaves: STOPPING=1. Else as
/// mworker_notify_ready(); SIGTERM, SIGINT and SIGUSR1 do so by themselves.
///
/// # Safety
/// `mw` is NULL or a handle.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_notify_stopping(mw: *mut Handle) -> c_int {
    // SAFETY: by the caller's promise.
    unsafe { notify(mw, || Notice::Stopping) }
}

/// Sets the line that `systemctl status` shows: STATUS=`text` (not NULL;
/// newlines become spaces). Else as mworker_notify_ready().
///
/// # Safety
/// `mw` is NULL or a handle, `text` NULL or a C string.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_notify_status(mw: *mut Handle, text: *const c_char) -> c_int {
    if text.is_null() {
        return ERR_INVALID;
    }
    // SAFETY: by the caller's promise.
    unsafe { notify(mw, || Notice::Status(host::text(text))) }
}

/// Sends `message` (fields, one a line; not NULL) to systemd as it is. If nobody
/// reads from the socket it is sent when there is room, unless a later message
/// makes it pointless. Never waits, and needs no mworker_use_systemd().
///
/// Returns above 0 when it was sent or waits, 0 when there is no NOTIFY_SOCKET,
/// below 0 an errno, negated. Built without USE_SYSTEMD: always 0. Masters.
///
/// # Safety
/// `mw` is NULL or a handle, `message` NULL or a C string; no other thread uses
/// the environment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_notify(mw: *mut Handle, message: *const c_char) -> c_int {
    let mut result = -libc::EINVAL;
    // SAFETY: by the caller's promise.
    unsafe {
        enter_master(mw, |side| {
            if !message.is_null() {
                result = send(side, &host::text(message));
            }
            Ok(OK)
        })
    };
    result
}

/// # Safety
/// No other thread uses the environment.
#[cfg(feature = "USE_SYSTEMD")]
unsafe fn send(side: &mut MasterSide, message: &str) -> c_int {
    // SAFETY: by the caller's promise.
    match unsafe { side.master.send(message.to_owned()) } {
        Ok(sent) => c_int::from(sent),
        Err(error) if error.nobody_reads() => 1,
        Err(error) => -error.errno(),
    }
}

#[cfg(not(feature = "USE_SYSTEMD"))]
unsafe fn send(_side: &mut MasterSide, _message: &str) -> c_int {
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
/// `message` is NULL or a C string; no other thread uses the environment.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn mworker_sd_notify(
    unset_environment: c_int,
    message: *const c_char,
) -> c_int {
    guard(-libc::EIO, || {
        // SAFETY: by the caller's promise.
        unsafe { sd_notify(unset_environment, message) }
    })
}

#[cfg(feature = "USE_SYSTEMD")]
unsafe fn sd_notify(unset_environment: c_int, message: *const c_char) -> c_int {
    use crate::sys::notify;
    // SAFETY: by the caller's promise.
    unsafe {
        let result = if message.is_null() || *message == 0 {
            -libc::EINVAL
        } else {
            match notify::send(std::ffi::CStr::from_ptr(message).to_bytes()) {
                Ok(sent) => c_int::from(sent),
                Err(error) => -error.errno(),
            }
        };
        if unset_environment != 0 {
            notify::forget();
        }
        result
    }
}

#[cfg(not(feature = "USE_SYSTEMD"))]
unsafe fn sd_notify(_unset_environment: c_int, _message: *const c_char) -> c_int {
    0
}
