//! Reaping.

use super::{check, uninterrupted};
use crate::core::process::Pid;
use crate::core::signal::Ending;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd, RawFd};

/// What waitpid() said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reaped {
    /// A child ended.
    Child {
        /// Its PID.
        pid: i32,
        /// How.
        end: Ending,
    },
    /// There are children, and none has ended.
    Running,
    /// There is no child.
    NoChild,
}

/// Reaps the next child that has ended, whichever it is. Never waits.
pub fn next() -> Reaped {
    loop {
        let mut status = 0;
        // SAFETY: `status` is ours.
        let pid = unsafe { libc::waitpid(-1, &raw mut status, libc::WNOHANG) };
        if pid > 0 {
            return Reaped::Child { pid, end: ending(status) };
        }
        if pid == 0 {
            return Reaped::Running;
        }
        if std::io::Error::last_os_error().raw_os_error() != Some(libc::EINTR) {
            return Reaped::NoChild;
        }
    }
}

/// Whether `pid` is a child that has not been reaped. Its PID can't become
/// somebody else's before that.
pub fn is_child(pid: Pid) -> bool {
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: an all-zero siginfo is a valid one.
    let mut info: libc::siginfo_t = unsafe { std::mem::zeroed() };
    let number = pid.get().unsigned_abs();
    // SAFETY: `info` is ours; with WNOWAIT nothing is reaped.
    unsafe { libc::waitid(libc::P_PID, number, &raw mut info, flags) == 0 }
}

/// Waits for the end of child `pid` until the time `until`, by CLOCK_MONOTONIC in
/// microseconds. `None`: it goes on.
///
/// # Errors
/// The system's.
pub fn until(pid: Pid, until: u64) -> io::Result<Option<Ending>> {
    // SAFETY: makes a descriptor.
    let fd = unsafe { libc::syscall(libc::SYS_pidfd_open, pid.get(), 0) };
    let fd = RawFd::try_from(fd).unwrap_or(-1);
    if fd >= 0 {
        // SAFETY: a new descriptor that nobody else owns.
        let fd = unsafe { OwnedFd::from_raw_fd(fd) };
        if !super::poll::readable(&fd, until)? {
            return Ok(None);
        }
    }
    // A kernel before 5.3 can't say: it is waited for.
    Ok(Some(reap(pid)?))
}

/// Waits for the end of child `pid`, however long it takes.
///
/// # Errors
/// It is no child.
pub fn reap(pid: Pid) -> io::Result<Ending> {
    let mut status = 0;
    // SAFETY: `status` is ours.
    uninterrupted(|| check(unsafe { libc::waitpid(pid.get(), &raw mut status, 0) }))?;
    Ok(ending(status))
}

fn ending(status: libc::c_int) -> Ending {
    let code = if libc::WIFEXITED(status) {
        libc::WEXITSTATUS(status)
    } else if libc::WIFSIGNALED(status) {
        128 + libc::WTERMSIG(status)
    } else {
        255
    };
    let reason = if code < 128 { "Exit".to_owned() } else { super::signals::name(code - 128) };
    Ending { code, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_children_are_children() {
        let pid = |number: u32| Pid::new(number.try_into().expect("a PID")).expect("above 0");
        let mut child = std::process::Command::new("cat")
            .stdin(std::process::Stdio::piped())
            .stdout(std::process::Stdio::null())
            .spawn()
            .expect("spawned");
        let own = pid(child.id());
        assert!(is_child(own), "one that lives");
        drop(child.stdin.take());
        child.wait().expect("reaped");
        assert!(!is_child(own), "one that was reaped");
        assert!(!is_child(pid(1)), "somebody else's");
    }

    #[test]
    fn codes_are_a_shells() {
        assert_eq!(ending(0).code, 0);
        assert_eq!(ending(3 << 8), Ending { code: 3, reason: "Exit".into() });
        assert_eq!(ending(9), Ending { code: 137, reason: "Killed".into() });
        assert_eq!(ending(libc::SIGTERM).code, 143);
        assert_eq!(ending(libc::SIGSEGV | 0x80).code, 139, "with a core dump");
    }
}
