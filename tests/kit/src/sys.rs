//! The system calls std has no name for. All `unsafe` of the processes' side is here.

use std::io;
use std::mem;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Once;

use crate::Pid;

/// What a number from C says: itself, or errno when it is -1.
pub fn check(ret: libc::c_int) -> io::Result<libc::c_int> {
    if ret == -1 { Err(io::Error::last_os_error()) } else { Ok(ret) }
}

/// Makes this process the one that adopts orphans among its descendants: masters started
/// with `-D`, workers whose master was killed. Without it init would reap them, and their
/// exit status with them.
pub fn adopt_orphans() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: this prctl takes a plain number and touches no memory.
        let ret = unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) };
        check(ret).expect("prctl(PR_SET_CHILD_SUBREAPER)");
    });
}

/// Sends a signal to one process; refuses what would reach a group or everybody.
pub fn kill(pid: Pid, signal: libc::c_int) -> io::Result<()> {
    assert!(pid > 1, "kill({pid}) would reach more than one process");
    // SAFETY: kill touches no memory.
    check(unsafe { libc::kill(pid, signal) }).map(drop)
}

/// What waiting for a certain child gave.
pub enum Reaped {
    /// It lives.
    Running,
    /// It has ended so, and is gone now.
    Exited(ExitStatus),
    /// It is not a child of ours, or somebody has reaped it.
    NotOurs,
}

/// Reaps one child, if it has ended. Never any other: the processes of parallel tests are
/// not ours to take.
pub fn reap(pid: Pid) -> Reaped {
    assert!(pid > 1, "waitpid({pid}) would reap more than one process");
    let mut status = 0;
    // SAFETY: `status` is a valid place for the result.
    match unsafe { libc::waitpid(pid, &mut status, libc::WNOHANG) } {
        0 => Reaped::Running,
        -1 => Reaped::NotOurs,
        _ => Reaped::Exited(ExitStatus::from_raw(status)),
    }
}

/// For the child between fork and exec: a session of its own, no descriptor inherited but
/// the standard ones, a known umask and, if asked, a limit of descriptors. SIGINT and SIGQUIT have
/// their default action, which a shell that runs the tests in the background takes from them.
/// Only async-signal-safe calls.
pub fn prepare_child(nofile: Option<(u64, u64)>) -> io::Result<()> {
    // SAFETY: setsid, umask and signal touch no memory of ours; close_range only marks descriptors, those
    // of the standard library's own pipe included, to be closed by the exec to come.
    unsafe {
        check(libc::setsid())?;
        libc::umask(0o022);
        libc::signal(libc::SIGINT, libc::SIG_DFL);
        libc::signal(libc::SIGQUIT, libc::SIG_DFL);
        libc::syscall(libc::SYS_close_range, 3, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC);
    }
    if let Some((soft, hard)) = nofile {
        let limit = libc::rlimit { rlim_cur: soft, rlim_max: hard };
        // SAFETY: `limit` is a valid structure which the call only reads.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) })?;
    }
    Ok(())
}

/// Sets the soft limit of another process's stack; gives the one before.
pub fn limit_stack(pid: Pid, soft: u64) -> io::Result<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    let none = std::ptr::null_mut();
    // SAFETY: the structure is only written.
    check(unsafe { libc::prlimit(pid, libc::RLIMIT_STACK, none, &mut limit) })?;
    let before = std::mem::replace(&mut limit.rlim_cur, soft);
    // SAFETY: the structure is only read.
    check(unsafe { libc::prlimit(pid, libc::RLIMIT_STACK, &limit, none) })?;
    Ok(before)
}

/// A new named pipe.
#[cfg(test)]
pub fn fifo(path: &std::path::Path) {
    use std::os::unix::ffi::OsStrExt;
    let path = std::ffi::CString::new(path.as_os_str().as_bytes()).expect("no NUL");
    // SAFETY: a C string that outlives the call.
    check(unsafe { libc::mkfifo(path.as_ptr(), 0o600) }).expect("mkfifo");
}

/// A new socket, closed on exec.
pub fn socket(domain: libc::c_int, kind: libc::c_int) -> io::Result<OwnedFd> {
    // SAFETY: no memory is involved; the descriptor returned is new, hence ours.
    unsafe {
        let fd = check(libc::socket(domain, kind | libc::SOCK_CLOEXEC, 0))?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Sets an integer socket option.
pub fn set_option(
    fd: BorrowedFd<'_>,
    level: libc::c_int,
    name: libc::c_int,
    value: libc::c_int,
) -> io::Result<()> {
    let size = mem::size_of_val(&value) as libc::socklen_t;
    // SAFETY: the pointer and the size describe `value`, which outlives the call.
    let ret =
        unsafe { libc::setsockopt(fd.as_raw_fd(), level, name, (&raw const value).cast(), size) };
    check(ret).map(drop)
}
