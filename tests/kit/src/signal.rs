//! Signals: sending them, and sets of them as `/proc` prints them.

use std::fmt;
use std::io;
use std::time::Duration;

use crate::deadline::wait_until;
use crate::{Pid, procfs, sys};

/// A signal a master or a worker is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Signal(pub i32);

impl Signal {
    /// Reload, as systemd and scripts of old ask for it.
    pub const HUP: Signal = Signal(libc::SIGHUP);
    /// Stop now.
    pub const INT: Signal = Signal(libc::SIGINT);
    /// Die.
    pub const KILL: Signal = Signal(libc::SIGKILL);
    /// Stop when the connections have ended.
    pub const USR1: Signal = Signal(libc::SIGUSR1);
    /// Reload.
    pub const USR2: Signal = Signal(libc::SIGUSR2);
    /// Stop now.
    pub const TERM: Signal = Signal(libc::SIGTERM);
    /// Resume listening.
    pub const TTIN: Signal = Signal(libc::SIGTTIN);
    /// Pause listening.
    pub const TTOU: Signal = Signal(libc::SIGTTOU);
    /// Hold still.
    pub const STOP: Signal = Signal(libc::SIGSTOP);
    /// Go on.
    pub const CONT: Signal = Signal(libc::SIGCONT);

    /// Sends it to one process.
    pub fn try_send(self, pid: Pid) -> io::Result<()> {
        sys::kill(pid, self.0)
    }

    /// Sends it to one process, which must be there.
    #[track_caller]
    pub fn send(self, pid: Pid) {
        if let Err(err) = self.try_send(pid) {
            panic!("cannot send {self} to process {pid}: {err}");
        }
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match NAMES.iter().find(|(number, _)| *number == self.0) {
            Some((_, name)) => f.write_str(name),
            None => write!(f, "{}", self.0),
        }
    }
}

const NAMES: [(i32, &str); 31] = [
    (libc::SIGHUP, "HUP"),
    (libc::SIGINT, "INT"),
    (libc::SIGQUIT, "QUIT"),
    (libc::SIGILL, "ILL"),
    (libc::SIGTRAP, "TRAP"),
    (libc::SIGABRT, "ABRT"),
    (libc::SIGBUS, "BUS"),
    (libc::SIGFPE, "FPE"),
    (libc::SIGKILL, "KILL"),
    (libc::SIGUSR1, "USR1"),
    (libc::SIGSEGV, "SEGV"),
    (libc::SIGUSR2, "USR2"),
    (libc::SIGPIPE, "PIPE"),
    (libc::SIGALRM, "ALRM"),
    (libc::SIGTERM, "TERM"),
    (libc::SIGSTKFLT, "STKFLT"),
    (libc::SIGCHLD, "CHLD"),
    (libc::SIGCONT, "CONT"),
    (libc::SIGSTOP, "STOP"),
    (libc::SIGTSTP, "TSTP"),
    (libc::SIGTTIN, "TTIN"),
    (libc::SIGTTOU, "TTOU"),
    (libc::SIGURG, "URG"),
    (libc::SIGXCPU, "XCPU"),
    (libc::SIGXFSZ, "XFSZ"),
    (libc::SIGVTALRM, "VTALRM"),
    (libc::SIGPROF, "PROF"),
    (libc::SIGWINCH, "WINCH"),
    (libc::SIGIO, "IO"),
    (libc::SIGPWR, "PWR"),
    (libc::SIGSYS, "SYS"),
];

/// A set of signals, a bit each, as in `SigBlk:` of `/proc/PID/status`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignalSet(pub u64);

impl SignalSet {
    /// Whether it holds the signal.
    pub fn has(self, signal: Signal) -> bool {
        self.0 & (1 << (signal.0 - 1)) != 0
    }
}

impl fmt::Display for SignalSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 == 0 {
            return f.write_str("none");
        }
        let mut separator = "";
        for number in (1..=64).filter(|number| self.has(Signal(*number))) {
            write!(f, "{separator}{}", Signal(number))?;
            separator = " ";
        }
        Ok(())
    }
}

/// Whether a master would act on a SIGUSR2 sent now: caught, and not blocked. Up to 3.0 the
/// images a master goes through while it reloads lose what comes earlier.
pub fn master_ready(pid: Pid) -> bool {
    procfs::signals(pid)
        .is_ok_and(|sets| sets.caught.has(Signal::USR2) && !sets.blocked.has(Signal::USR2))
}

/// Waits until [`master_ready`].
#[track_caller]
pub fn wait_master_ready(pid: Pid, limit: Duration) {
    let what = format!("master {pid} to catch SIGUSR2 without blocking it");
    wait_until(limit, &what, || master_ready(pid));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_read_as_names() {
        assert_eq!(SignalSet(0).to_string(), "none");
        assert_eq!(SignalSet(0x801).to_string(), "HUP USR2");
        assert_eq!(SignalSet(1 << 33).to_string(), "34");
        assert!(SignalSet(0x800).has(Signal::USR2));
        assert!(!SignalSet(0x800).has(Signal::USR1));
    }

    #[test]
    #[should_panic(expected = "would reach more than one")]
    fn never_kills_everybody() {
        Signal::TERM.send(-1);
    }
}
