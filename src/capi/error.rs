//! Results.

use crate::core::lifecycle::Refusal;
use std::ffi::CStr;
use std::os::raw::{c_char, c_int};

/// Success, where a function has nothing else to say.
pub const OK: c_int = 0;
/// An argument is NULL or makes no sense.
pub const ERR_INVALID: c_int = -1;
/// A system call failed; errno is set.
pub const ERR_SYSTEM: c_int = -2;
/// A worker is starting, or the library was called back from a callback.
pub const ERR_BUSY: c_int = -3;
/// The master has been told to leave.
pub const ERR_LEAVING: c_int = -4;
/// This library was built without USE_SYSTEMD.
pub const ERR_SYSTEMD: c_int = -5;
/// The process table of the former master can't be used.
pub const ERR_HANDOVER: c_int = -6;
/// Out of memory.
pub const ERR_MEMORY: c_int = -7;
/// The function isn't for this process: it is for masters, or for workers.
pub const ERR_ROLE: c_int = -8;
/// A bug in the library, which was contained.
pub const ERR_INTERNAL: c_int = -9;
/// What was asked for isn't there.
pub const ERR_ABSENT: c_int = -10;

/// Why a call can't do what it should.
#[derive(Debug)]
pub(super) struct Failure {
    pub(super) code: c_int,
    pub(super) text: String,
    pub(super) errno: Option<c_int>,
}

impl Failure {
    pub(super) fn new(code: c_int, text: impl Into<String>) -> Self {
        Self { code, text: text.into(), errno: None }
    }

    pub(super) fn invalid(text: impl Into<String>) -> Self {
        Self::new(ERR_INVALID, text)
    }

    fn system(what: &str, error: &std::io::Error) -> Self {
        let text = format!("{what}: {}", crate::sys::describe(error));
        Self { code: ERR_SYSTEM, text, errno: Some(error.raw_os_error().unwrap_or(libc::EIO)) }
    }
}

impl Failure {
    /// Of a system call of `what`.
    pub(super) fn of(what: &str) -> impl Fn(std::io::Error) -> Self {
        move |error| Self::system(what, &error)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::InProgress => ERR_BUSY,
            Refusal::Leaving => ERR_LEAVING,
        };
        Self::new(code, refusal.text())
    }
}

impl From<crate::core::table::OutOfMemory> for Failure {
    fn from(_: crate::core::table::OutOfMemory) -> Self {
        Self::new(ERR_MEMORY, "out of memory")
    }
}

impl From<crate::core::handover::Error> for Failure {
    fn from(error: crate::core::handover::Error) -> Self {
        use crate::core::handover::Error;
        match error {
            Error::OutOfMemory => crate::core::table::OutOfMemory.into(),
            Error::NoMaster => Self::new(
                ERR_HANDOVER,
                "the process table that the former master handed over has no row of the master",
            ),
        }
    }
}

/// Names a result. Any process; safe in a signal handler.
///
/// Returns a constant string, never NULL, whatever `result` is.
#[unsafe(no_mangle)]
pub extern "C" fn mworker_strerror(result: c_int) -> *const c_char {
    let text: &CStr = match result {
        OK.. => c"success",
        ERR_INVALID => c"An argument is NULL or makes no sense.",
        ERR_SYSTEM => c"A system call failed.",
        ERR_BUSY => c"Another reload is still in progress.",
        ERR_LEAVING => c"The master process is leaving: the reload is ignored.",
        ERR_SYSTEMD => c"This library was built without USE_SYSTEMD.",
        ERR_HANDOVER => c"The process table of the former master can't be used.",
        ERR_MEMORY => c"Out of memory.",
        ERR_ROLE => c"Not for this process.",
        ERR_INTERNAL => c"A bug in mworker.",
        ERR_ABSENT => c"What was asked for isn't there.",
        _ => c"unknown result",
    };
    text.as_ptr()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::messages;

    /// Refusals read the same, however they are told.
    #[test]
    fn refusals_are_the_cores() {
        for (code, text) in [
            (ERR_BUSY, messages::RELOAD_IN_PROGRESS),
            (ERR_LEAVING, messages::RELOAD_WHILE_LEAVING),
        ] {
            // SAFETY: a constant C string.
            let named = unsafe { CStr::from_ptr(mworker_strerror(code)) };
            assert_eq!(named.to_str(), Ok(text));
        }
    }
}
