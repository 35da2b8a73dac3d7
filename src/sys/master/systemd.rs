//! What systemd is told, at once or once it reads.

use super::{Host, Master};
use crate::core::generation::Generation;
#[cfg(feature = "USE_SYSTEMD")]
use crate::core::lifecycle::PACE;
#[cfg(feature = "USE_SYSTEMD")]
use crate::core::messages::Level;
use crate::core::notify::Notice;
use crate::core::table::Table;

impl<T: Table, H: Host<T::Row>> Master<T, H> {
    /// Tells systemd, if it is there.
    #[cfg(feature = "USE_SYSTEMD")]
    pub fn notify(&mut self, notice: &Notice) {
        if self.life.policy.systemd {
            let sent = self.send(notice.datagram(self.generation()));
            match sent {
                // Once is enough.
                Err(error) if error.nobody_reads() && std::mem::replace(&mut self.waits, true) => {}
                Err(error) => {
                    self.log(Level::Warning, &format!("systemd can't be told: {error}"));
                }
                Ok(_) => self.waits = false,
            }
        }
    }

    /// Nobody to tell in this build.
    #[cfg(not(feature = "USE_SYSTEMD"))]
    pub fn notify(&mut self, _notice: &Notice) {}

    /// Sends a message to systemd. `Ok(false)`: not started by systemd.
    ///
    /// # Errors
    /// Why not. If nobody reads it is sent when there is room again, after
    /// those that wait already.
    #[cfg(feature = "USE_SYSTEMD")]
    pub fn send(&mut self, message: String) -> Result<bool, crate::sys::notify::Error> {
        let sent = match self.send_missed() {
            Err(error) => Err(error),
            // SAFETY: a master has one thread.
            Ok(()) => unsafe { crate::sys::notify::send(message.as_bytes()) },
        };
        if sent.as_ref().is_err_and(crate::sys::notify::Error::nobody_reads) {
            self.life.state.missed.push(message);
        }
        sent
    }

    /// Sends what there was no room for, if there is now.
    #[cfg(feature = "USE_SYSTEMD")]
    pub(super) fn send_missed(&mut self) -> Result<(), crate::sys::notify::Error> {
        let missed = &mut self.life.state.missed;
        while let Some(message) = missed.next() {
            // SAFETY: as above.
            match unsafe { crate::sys::notify::send(message.as_bytes()) } {
                Err(error) if error.nobody_reads() => return Err(error),
                // Sent, or never to be: it was told why then.
                _ => missed.sent(),
            }
        }
        Ok(())
    }
}

/// What systemd hears of a load: that it goes on, and that it has failed.
#[cfg(feature = "USE_SYSTEMD")]
pub(super) fn datagrams(generation: Generation) -> Option<[String; 2]> {
    let notices = [Notice::Extend { usec: PACE.by }, Notice::ReloadFailed];
    Some(notices.map(|notice| notice.datagram(generation)))
}

#[cfg(not(feature = "USE_SYSTEMD"))]
pub(super) fn datagrams(_generation: Generation) -> Option<[String; 2]> {
    None
}
