//! What differs between HAProxy's versions, as far as others can see it.
//!
//! Each question is asked by one name, so that no other file compares version
//! numbers. A host that is not HAProxy gets the newest behaviour.

/// A HAProxy branch, or a host of its own kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Generation(u16);

/// Which rows become LEAVING when the table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeavingRule {
    /// All of them: who reads has been asked to reload.
    All,
    /// Those that lived through more reloads than the newest.
    AboveNewest,
    /// Those that lived through any.
    AboveZero,
}

/// The fields of a hand-over row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RowFormat {
    /// `type fd pid rpid reloads timestamp`
    V1_9,
    /// adds `id version`
    V2_0,
    /// drops `rpid`, adds `failedreloads`
    V2_6,
    /// adds `cfd`
    V2_8,
}

/// How the log is worded.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Words {
    /// "Current worker 42 left with exit code 1"
    V1_8,
    /// "Current worker #1 (42) exited with code 1 (Exit)"
    V2_0,
    /// "Current worker (42) exited with code 1 (Exit)"
    V2_6,
}

impl Generation {
    /// A host that is not HAProxy.
    pub const NATIVE: Self = Self(u16::MAX);

    /// HAProxy `major.minor`.
    pub const fn haproxy(major: u8, minor: u8) -> Self {
        Self(((major as u16) << 8) | minor as u16)
    }

    const fn since(self, major: u8, minor: u8) -> bool {
        self.0 >= Self::haproxy(major, minor).0
    }

    /// Not HAProxy.
    pub const fn is_native(self) -> bool {
        self.0 == Self::NATIVE.0
    }

    /// The worker says READY before it counts, and the master that forked it
    /// goes on. Before, the master re-executed itself to wait.
    pub const fn has_ready_handshake(self) -> bool {
        self.since(3, 1)
    }

    /// The master re-executes itself to wait after a load that succeeded too,
    /// not only after one that failed.
    pub const fn waits_after_success(self) -> bool {
        self.since(2, 5) && !self.has_ready_handshake()
    }

    /// Who is LEAVING once the table is read.
    pub const fn leaving_rule(self) -> LeavingRule {
        if self.is_native() {
            LeavingRule::AboveNewest
        } else if self.since(3, 1) {
            LeavingRule::AboveZero
        } else if self.since(2, 5) {
            LeavingRule::AboveNewest
        } else {
            LeavingRule::All
        }
    }

    /// Reloads are counted when the table is read, not before the exec.
    pub const fn counts_reloads_on_reading(self) -> bool {
        !self.since(2, 5)
    }

    /// The rows that it writes.
    pub const fn row_format(self) -> RowFormat {
        if self.since(2, 7) {
            RowFormat::V2_8
        } else if self.since(2, 5) {
            RowFormat::V2_6
        } else if self.since(2, 0) {
            RowFormat::V2_0
        } else {
            RowFormat::V1_9
        }
    }

    /// Both ends of a row's socketpair go over the exec; earlier only the
    /// master's, and the other would stay open unknown.
    pub const fn hands_over_both_ends(self) -> bool {
        self.since(2, 7)
    }

    /// The table is kept in ascending order of reloads.
    pub const fn sorts_table(self) -> bool {
        self.since(3, 4)
    }

    /// Without a master row in the hand-over it makes one up and warns;
    /// later ones leave.
    pub const fn makes_up_master(self) -> bool {
        !self.since(3, 4)
    }

    /// The result of a load goes over the exec in `HAPROXY_LOAD_SUCCESS`.
    pub const fn hands_over_load_status(self) -> bool {
        self.since(2, 7) && !self.has_ready_handshake()
    }

    /// The log of a load goes over the exec that follows it, in a file of its own.
    pub const fn hands_over_start_log(self) -> bool {
        self.hands_over_load_status()
    }

    /// Old listeners are asked of the current worker by `-x sockpair@<fd>`;
    /// earlier ones by `-x` with the path of its stats socket.
    pub const fn asks_worker_for_listeners(self) -> bool {
        self.since(2, 5)
    }

    /// One start may have several workers (`nbproc`), each with a number, which
    /// rows and `show proc` have.
    pub const fn has_relative_pids(self) -> bool {
        !self.since(2, 5)
    }

    /// The process table goes over the exec. Earlier only PIDs do, after `-sf`.
    pub const fn hands_over_table(self) -> bool {
        self.since(1, 9)
    }

    /// Programs are part of the table.
    pub const fn has_programs(self) -> bool {
        !self.since(3, 3)
    }

    /// A worker that fails while it starts is told with its number and how it ended.
    pub const fn tells_who_failed(self) -> bool {
        self.since(3, 3)
    }

    /// `show proc` says how many reloads failed.
    pub const fn shows_failed_reloads(self) -> bool {
        self.since(2, 5)
    }

    /// Messages to systemd have a STATUS.
    pub const fn notifies_status(self) -> bool {
        self.since(2, 7)
    }

    /// The image that waits sends READY, after a load that failed too, so no
    /// image before it does. Later ones send it before they are replaced.
    pub const fn notifies_when_waiting(self) -> bool {
        !self.since(2, 7)
    }

    /// RELOADING has MONOTONIC_USEC with it.
    pub const fn notifies_monotonic(self) -> bool {
        self.since(3, 0)
    }

    /// The words of the log.
    pub const fn words(self) -> Words {
        if self.since(2, 5) {
            Words::V2_6
        } else if self.since(1, 9) {
            Words::V2_0
        } else {
            Words::V1_8
        }
    }

    /// A current worker that leaves with a code of its own is a warning, and
    /// only one that was killed an alert.
    pub const fn warns_of_exit_codes(self) -> bool {
        self.since(2, 4)
    }

    /// The master leaves with the status of the last child, not with the first
    /// of a current one that has to be told on.
    pub const fn leaves_with_last_status(self) -> bool {
        !self.since(1, 9)
    }

    /// A worker's unexpected death is called a bug.
    pub const fn tells_of_a_bug(self) -> bool {
        self.since(2, 9)
    }

    /// A former worker's end says when it had exceeded the reloads allowed.
    pub const fn tells_max_reloads(self) -> bool {
        self.since(3, 1)
    }
}
