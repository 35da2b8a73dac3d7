//! Limits of the process: RLIMIT_NOFILE, which a proxy raises and its next image
//! must get as it was, and what there is for its arguments.

pub use crate::core::exec::limits::OpenFiles;
use crate::sys::check;
use std::io;

/// The soft limit of the stack; `None`: there is none, or it can't be had.
pub fn stack() -> Option<u64> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the struct is ours.
    check(unsafe { libc::getrlimit(libc::RLIMIT_STACK, &raw mut limit) }).ok()?;
    (limit.rlim_cur != libc::RLIM_INFINITY).then_some(limit.rlim_cur)
}

impl OpenFiles {
    /// The limit now.
    ///
    /// # Errors
    /// The system's.
    pub fn get() -> io::Result<Self> {
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: the struct is ours.
        check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
        Ok(Self { soft: limit.rlim_cur, hard: limit.rlim_max })
    }

    /// Puts it in force.
    ///
    /// # Errors
    /// The system's: EPERM where a lowered hard limit would have to be raised.
    pub fn set(self) -> io::Result<()> {
        let limit = libc::rlimit { rlim_cur: self.soft, rlim_max: self.hard };
        // SAFETY: the struct is ours.
        check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) }).map(drop)
    }
}
