//! Reaping.

use crate::core::signal::Ending;

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
    fn codes_are_a_shells() {
        assert_eq!(ending(0).code, 0);
        assert_eq!(ending(3 << 8), Ending { code: 3, reason: "Exit".into() });
        assert_eq!(ending(9), Ending { code: 137, reason: "Killed".into() });
        assert_eq!(ending(libc::SIGTERM).code, 143);
        assert_eq!(ending(libc::SIGSEGV | 0x80).code, 139, "with a core dump");
    }
}
