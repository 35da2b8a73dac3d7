//! RLIMIT_NOFILE, which a proxy raises and its next image must get as it was.

use super::check;
use std::io;

/// A limit on open descriptors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenFiles {
    /// In force.
    pub soft: u64,
    /// How far it may be raised.
    pub hard: u64,
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
