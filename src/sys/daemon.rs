//! Going into the background: the launching process stays until a worker
//! serves, and leaves with a status that says whether one does.

use super::fd;
use super::fork::{Forked, fork};
use super::signals::{Set, set_mask};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

/// The background process's line to the launching one.
pub struct Launcher(OwnedFd);

/// Forks; returns in the background process. The launching one waits, and ends
/// with 0 once [`Launcher::release`] is called, or with 1.
///
/// # Errors
/// The system's.
///
/// # Safety
/// No other thread exists.
pub unsafe fn go_into_background() -> io::Result<Launcher> {
    let (mine, theirs) = fd::stream_pair()?;
    // SAFETY: by the caller's promise.
    unsafe {
        fork(move |side| match side {
            Forked::Child => {
                drop(mine);
                // Fails only for a group leader, which a new child isn't.
                libc::setsid();
                Launcher(theirs)
            }
            Forked::Parent(_) => {
                drop(theirs);
                // It only waits now, and may be stopped like anything else.
                set_mask(&Set::none());
                let told = fd::receive(mine.as_fd(), 1, true);
                let serves = told.is_ok_and(|(text, _)| text == b"1");
                libc::_exit(i32::from(!serves))
            }
        })
    }
}

impl Launcher {
    /// A worker serves: the launching process ends well, and this one lets go
    /// of the terminal.
    pub fn release(self) {
        // If it was killed meanwhile there is nobody to tell.
        let _ = fd::send(self.0.as_fd(), b"1", None);
        detach();
    }
}

/// Standard input, output and error become /dev/null.
fn detach() {
    if let Ok(null) = std::fs::File::options().read(true).write(true).open("/dev/null") {
        for standard in 0..=2 {
            // SAFETY: both are open; dup2 replaces the standard one at once.
            unsafe { libc::dup2(std::os::fd::AsRawFd::as_raw_fd(&null), standard) };
        }
    }
}
