//! What runs in a child between fork and exec.
//!
//! Only async-signal-safe calls: no allocation, no lock. All that is needed is
//! made before the fork.

use super::signals;
use std::ffi::{CStr, CString};
use std::os::raw::c_char;

/// A program to become.
pub struct Program {
    arguments: Vec<CString>,
    environment: Vec<CString>,
    user: Option<libc::uid_t>,
    group: Option<libc::gid_t>,
}

/// Exit status of a child that could not become its program, as HAProxy's.
const FAILED: libc::c_int = 1;

impl Program {
    /// `arguments` (the program first, looked for in PATH) with `environment`,
    /// under another user and group where they are given.
    pub fn new(
        arguments: Vec<CString>,
        environment: Vec<CString>,
        user: Option<libc::uid_t>,
        group: Option<libc::gid_t>,
    ) -> Self {
        Self { arguments, environment, user, group }
    }

    /// Its pointers as exec wants them. Before the fork, as it allocates.
    pub fn prepared(&self) -> Prepared<'_> {
        Prepared {
            program: self,
            arguments: pointers(&self.arguments),
            environment: pointers(&self.environment),
        }
    }
}

/// A program, ready for the child.
pub struct Prepared<'a> {
    program: &'a Program,
    arguments: Vec<*const c_char>,
    environment: Vec<*const c_char>,
}

/// A NULL-ended array of the strings.
pub fn pointers(strings: &[CString]) -> Vec<*const c_char> {
    strings.iter().map(|s| s.as_ptr()).chain([std::ptr::null()]).collect()
}

impl Prepared<'_> {
    /// Becomes the program. Says what went wrong on stderr and ends the child
    /// if it can't.
    ///
    /// # Safety
    /// To be called in a child right after a fork.
    pub unsafe fn become_program(&self) -> ! {
        signals::set_mask(&signals::Set::none());
        // SAFETY: plain system calls; the arrays end with NULL and their
        // strings are alive; `execvpe` doesn't allocate in glibc and musl.
        unsafe {
            if let Some(group) = self.program.group {
                // Only root can drop them; who isn't has none to drop.
                libc::setgroups(0, std::ptr::null());
                if libc::setgid(group) != 0 {
                    self.fail(c"Cannot set the group of");
                }
            }
            if let Some(user) = self.program.user {
                if libc::setuid(user) != 0 {
                    self.fail(c"Cannot set the user of");
                }
            }
            libc::execvpe(self.arguments[0], self.arguments.as_ptr(), self.environment.as_ptr());
            self.fail(c"Cannot execute")
        }
    }

    /// # Safety
    /// As [`Self::become_program`].
    unsafe fn fail(&self, what: &CStr) -> ! {
        // SAFETY: errno of this thread; write() and _exit() are
        // async-signal-safe, and every string is alive.
        unsafe {
            let why = reason(*libc::__errno_location());
            let mut digits = [0; 12];
            let pid = decimal(libc::getpid(), &mut digits);
            let name = CStr::from_ptr(self.arguments[0]).to_bytes();
            let what = what.to_bytes();
            for text in [b"[ALERT]    (", pid, b") : ", what, b" ", name, b": ", why, b"\n"] {
                libc::write(2, text.as_ptr().cast(), text.len());
            }
            libc::_exit(FAILED)
        }
    }
}

/// What errno says, where strerror() may not be called.
fn reason(errno: libc::c_int) -> &'static [u8] {
    match errno {
        libc::ENOENT => b"No such file or directory",
        libc::EACCES => b"Permission denied",
        libc::EPERM => b"Operation not permitted",
        libc::ENOEXEC => b"Exec format error",
        libc::E2BIG => b"Argument list too long",
        libc::ENOMEM => b"Cannot allocate memory",
        _ => b"it can't be executed",
    }
}

/// The decimal digits of a number above 0, without allocating.
fn decimal(mut number: libc::pid_t, digits: &mut [u8; 12]) -> &[u8] {
    let mut at = digits.len();
    while number > 0 && at > 0 {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
    }
    &digits[at..]
}

#[cfg(test)]
mod tests {
    #[test]
    fn digits() {
        let mut digits = [0; 12];
        assert_eq!(super::decimal(4_194_304, &mut digits), b"4194304");
        assert_eq!(super::decimal(i32::MAX, &mut digits), b"2147483647");
    }
}
