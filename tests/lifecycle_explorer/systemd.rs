//! systemd's side of the notifications, as far as their order matters.

use super::invariants::{Verdict, hold};
use mworker::core::notify::Notice;

/// The state of the unit, as systemd sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Systemd {
    Starting,
    Running,
    Reloading,
    Stopping,
}

impl Systemd {
    /// Invariant: READY, RELOADING and STOPPING come in an order that systemd
    /// accepts. READY ends a start or a reload; masters that re-execute to wait
    /// (`repeats_ready`) say it once more. RELOADING comes from a unit that
    /// runs. Nothing but STOPPING follows STOPPING. Who loads
    /// `unasked`, in place of one that was to wait, says how that ended as well.
    pub fn receive(&mut self, notice: &Notice, repeats_ready: bool, unasked: bool) -> Verdict {
        let next = match (*self, notice) {
            (_, Notice::Stopping) => Some(Self::Stopping),
            (was, Notice::Status(_) | Notice::Extend { .. } | Notice::Watchdog) => Some(was),
            (Self::Running, Notice::Reloading { .. }) => Some(Self::Reloading),
            (Self::Starting | Self::Reloading, Notice::Ready { .. }) => Some(Self::Running),
            (Self::Reloading, Notice::ReloadFailed | Notice::ConfigurationRefused) => {
                Some(Self::Running)
            }
            (
                Self::Starting | Self::Running,
                Notice::ReloadFailed | Notice::ConfigurationRefused,
            ) if unasked => Some(Self::Running),
            (Self::Running, Notice::Ready { .. }) if repeats_ready || unasked => {
                Some(Self::Running)
            }
            _ => None,
        };
        hold(next.is_some(), "systemd_accepts_the_order", || format!("{notice:?} while {self:?}"))?;
        *self = next.unwrap_or(*self);
        Ok(())
    }
}
