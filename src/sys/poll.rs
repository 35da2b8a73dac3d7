//! Waiting for descriptors.

use super::{check, clock, uninterrupted};
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// What is ready.
#[derive(Clone, Copy, Debug)]
pub struct Ready {
    /// The number it was added under.
    pub token: u64,
    /// The other end is gone for good: nothing can be written any more.
    pub hung_up: bool,
}

/// Descriptors to wait for. Itself one that can be waited for.
pub struct Poll(OwnedFd);

impl Poll {
    /// An empty one.
    ///
    /// # Errors
    /// The system's.
    pub fn new() -> io::Result<Self> {
        // SAFETY: makes a descriptor.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: a new descriptor that nobody else owns.
        Ok(Self(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Waits for `fd` to have something to read, or room to write to. Both
    /// also mean that the other end is gone. May be called again to change.
    ///
    /// # Errors
    /// The system's.
    pub fn want(&self, fd: impl AsFd, token: u64, read: bool, write: bool) -> io::Result<()> {
        let mut events = 0;
        if read {
            events |= libc::EPOLLIN | libc::EPOLLRDHUP;
        }
        if write {
            events |= libc::EPOLLOUT;
        }
        let mut event = libc::epoll_event { events: events as u32, u64: token };
        let fd = fd.as_fd().as_raw_fd();
        let mut control = |operation| {
            // SAFETY: the event is ours and both descriptors are open.
            check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), operation, fd, &raw mut event) })
        };
        match control(libc::EPOLL_CTL_MOD) {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {
                control(libc::EPOLL_CTL_ADD).map(drop)
            }
            result => result.map(drop),
        }
    }

    /// No longer waits for `fd`.
    pub fn forget(&self, fd: RawFd) {
        // SAFETY: at worst the descriptor isn't there.
        unsafe {
            libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd, std::ptr::null_mut());
        }
    }

    /// Waits up to `timeout` milliseconds, -1 for ever.
    ///
    /// # Errors
    /// The system's.
    pub fn wait(&self, timeout: libc::c_int) -> io::Result<Vec<Ready>> {
        const MOST: usize = 64;
        let mut events = [libc::epoll_event { events: 0, u64: 0 }; MOST];
        let count = uninterrupted(|| {
            // SAFETY: at most MOST events are written.
            check(unsafe {
                libc::epoll_wait(
                    self.0.as_raw_fd(),
                    events.as_mut_ptr(),
                    MOST as libc::c_int,
                    timeout,
                )
            })
        })?;
        let count = usize::try_from(count).unwrap_or(0);
        let gone = (libc::EPOLLHUP | libc::EPOLLERR) as u32;
        let ready = events.iter().take(count);
        Ok(ready.map(|e| Ready { token: e.u64, hung_up: e.events & gone != 0 }).collect())
    }

    /// To wait for it with others.
    pub fn fd(&self) -> &OwnedFd {
        &self.0
    }
}

/// Waits for `fd` to have something to read, or its end, until the time `until`,
/// by CLOCK_MONOTONIC in microseconds. Gives whether it has.
///
/// # Errors
/// The system's.
pub fn readable(fd: impl AsFd, until: u64) -> io::Result<bool> {
    let fd = fd.as_fd().as_raw_fd();
    let ready = uninterrupted(|| {
        let left = until.saturating_sub(clock::now().monotonic_usec).div_ceil(1_000);
        let left = libc::c_int::try_from(left).unwrap_or(libc::c_int::MAX);
        let mut wanted = libc::pollfd { fd, events: libc::POLLIN, revents: 0 };
        // SAFETY: one element, which is ours.
        check(unsafe { libc::poll(&raw mut wanted, 1, left) })
    })?;
    Ok(ready > 0)
}
