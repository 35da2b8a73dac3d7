//! Forking, with every signal held back meanwhile.

use super::signals::Held;
use crate::core::process::Pid;
use std::io;

/// Which process goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// The one that forked; with the new one's PID.
    Parent(Pid),
    /// The new one.
    Child,
}

/// Forks. No handler of the parent can run in the child before the caller has
/// set it up: every signal is held back until the result, in both processes,
/// has been handled by `then`.
///
/// # Errors
/// The system's; `then` is not called.
///
/// # Safety
/// No other thread exists, or the child only does what is async-signal-safe.
pub unsafe fn fork<T>(then: impl FnOnce(Forked) -> T) -> io::Result<T> {
    let held = Held::all();
    // SAFETY: by the caller's promise the child can go on.
    let pid = unsafe { libc::fork() };
    if pid < 0 {
        return Err(io::Error::last_os_error());
    }
    let result = then(Pid::new(pid).map_or(Forked::Child, Forked::Parent));
    drop(held);
    Ok(result)
}
