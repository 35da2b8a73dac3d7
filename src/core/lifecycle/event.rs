//! What can happen to a master, and what it can do about it.

use crate::core::figures::Figures;
use crate::core::messages::Level;
use crate::core::notify::Notice;
use crate::core::process::Pid;
use crate::core::signal::{Ending, Signal};
use std::borrow::Cow;

/// The time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Seconds since 1970.
    pub wall: i64,
    /// CLOCK_MONOTONIC in microseconds.
    pub monotonic_usec: u64,
}

/// How the workers that are replaced leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Hardness {
    /// When their connections have ended (SIGUSR1, `-sf`).
    Soft,
    /// At once (SIGTERM, `-st`).
    Hard,
}

/// Why the master re-executes itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExecKind {
    /// A reload.
    Reload(Hardness),
    /// To wait with a small memory, until 3.0: after a start, failed or not.
    Wait,
}

/// How the load of a configuration ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Load {
    /// A new worker serves, and the embedder's own code has reported that: in HAProxy up to 3.0
    /// its main(), later its CLI.
    Succeeded,
    /// There is no new worker: the configuration was refused, or the fork failed.
    Failed,
    /// There is no new worker, and the embedder's own code has counted and reported that
    /// (HAProxy 3.1 and later, for what the master itself refuses).
    FailureReported,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The master was sent a signal.
    Signal(Signal),
    /// A reload was asked for by other means. It is postponed while another is in progress.
    Reload(Hardness),
    /// A client asked for a reload and waits for its end. It is refused while another is in
    /// progress.
    ReloadNow(Hardness),
    /// A worker was forked: the process of the row without a PID.
    Forked {
        /// Its PID.
        pid: Pid,
    },
    /// The load of a configuration ended.
    LoadEnded {
        /// How.
        result: Load,
        /// Why it failed, for people.
        why: &'a str,
    },
    /// A worker said READY.
    Ready {
        /// Which says so of itself.
        pid: i32,
    },
    /// The image that waits for what the former one has forked is ready to
    /// (HAProxy up to 3.0).
    Waits,
    /// The host gives up on the processes that it has rows for and has not forked.
    UnbornDropped,
    /// The programs of the new configuration have been forked, and those that they
    /// replace are to leave like this.
    ProgramsStarted(Hardness),
    /// The host's start has come to where workers that lived through too many
    /// reloads are told to leave (HAProxy up to 3.0).
    EnforceMaxReloads,
    /// The exec returned, which it only does when it fails.
    ExecFailed {
        /// What it was for.
        kind: ExecKind,
        /// For people.
        why: &'a str,
    },
    /// A child was reaped.
    ChildExited {
        /// Its PID.
        pid: i32,
        /// How it ended.
        end: &'a Ending,
    },
    /// waitpid() said that there is no child.
    NoChildLeft,
    /// Time has passed: see [`Lifecycle::deadline`](super::Lifecycle::deadline).
    Tick {
        /// What workers tell of themselves.
        figures: &'a Figures,
    },
}

/// What a process was that is gone from the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gone {
    /// It was never forked.
    Unborn,
    /// It ended before it was READY.
    Starting,
    /// It was in service.
    Current,
    /// It had been replaced.
    Former,
}

/// Something to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action<Row> {
    /// Tell people.
    Log(Level, Cow<'static, str>),
    /// Tell systemd.
    Notify(Notice),
    /// Send a signal to a child of the table.
    Kill {
        /// Which.
        pid: Pid,
        /// What.
        signal: Signal,
    },
    /// Send a signal to a process that the user named: no child.
    KillStranger {
        /// Which.
        pid: Pid,
        /// What.
        signal: Signal,
    },
    /// Re-execute. Nothing may be given up for it: it can fail.
    Exec(ExecKind),
    /// A current worker died by itself: a bug to report.
    Crashed(Row),
    /// The row is out of the table: close its descriptors, free it.
    Release(Row, Gone),
    /// A worker is in service: write the pidfile, let the launching process go.
    InService(Row),
    /// Answer whoever asked for the reload.
    Answer {
        /// Whether the new worker serves.
        success: bool,
    },
    /// Let every signal through again.
    Unblock,
    /// Leave with this status.
    Exit(i32),
}
