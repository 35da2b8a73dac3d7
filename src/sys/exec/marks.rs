//! Which descriptors an exec closes.
//!
//! All but those to keep are marked close-on-exec: the kernel closes them when, and only when, the
//! exec succeeds. Async-signal-safe but for [`Marks::new`].

use crate::sys::fd;
use std::os::fd::RawFd;
use std::sync::atomic::{AtomicU64, Ordering};

/// The marks for one exec.
pub struct Marks {
    /// In ascending order.
    keep: Vec<RawFd>,
    /// A bit for each descriptor whose mark was changed.
    changed: Vec<AtomicU64>,
}

/// Marks of higher descriptors aren't put back, unless they are to be kept.
const MOST: usize = 1 << 16;

impl Marks {
    /// Has an exec close every descriptor from 3 on but `keep`.
    pub fn new(mut keep: Vec<RawFd>) -> Self {
        keep.sort_unstable();
        keep.dedup();
        let highest = keep.last().and_then(|fd| usize::try_from(*fd).ok()).unwrap_or(0);
        let words = MOST.max(highest.saturating_add(1)).div_ceil(64);
        Self { keep, changed: (0..words).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Marks descriptors. Nothing is closed yet.
    pub fn set(&self) {
        fd::each_open(|fd| {
            let closes = self.keep.binary_search(&fd).is_err();
            let is = fd::is_close_on_exec(fd);
            if is.is_some_and(|is| is != closes) && fd::set_close_on_exec(fd, closes).is_ok() {
                if let Some((word, bit)) = self.bit(fd) {
                    word.fetch_or(bit, Ordering::Relaxed);
                }
            }
        });
    }

    /// Puts the marks back as they were.
    pub fn put_back(&self) {
        for (at, word) in self.changed.iter().enumerate() {
            let mut left = word.swap(0, Ordering::Relaxed);
            while left != 0 {
                let fd = at * 64 + left.trailing_zeros() as usize;
                left &= left - 1;
                if let Ok(fd) = RawFd::try_from(fd) {
                    // One may have been closed since: no matter.
                    let _ = fd::set_close_on_exec(fd, self.keep.binary_search(&fd).is_ok());
                }
            }
        }
    }

    fn bit(&self, fd: RawFd) -> Option<(&AtomicU64, u64)> {
        let fd = usize::try_from(fd).ok()?;
        Some((self.changed.get(fd / 64)?, 1 << (fd % 64)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::fd::{all_descriptors, is_close_on_exec, set_close_on_exec, stream_pair};
    use std::os::fd::AsRawFd;

    #[test]
    fn marks_are_put_back() {
        let _all = all_descriptors();
        let (a, b) = stream_pair().expect("a pair");
        let (a, b) = (a.as_raw_fd(), b.as_raw_fd());
        set_close_on_exec(a, false).expect("flag");
        let marks = Marks::new(vec![b]);
        marks.set();
        assert_eq!((is_close_on_exec(a), is_close_on_exec(b)), (Some(true), Some(false)));
        marks.put_back();
        assert_eq!((is_close_on_exec(a), is_close_on_exec(b)), (Some(false), Some(true)));
    }
}
