//! What differs between HAProxy's branches, as far as others can see it.
//!
//! One literal per generation: a new HAProxy branch that behaves differently is one more. No other
//! file compares version numbers.

use std::ops::Deref;

/// The generation that a HAProxy branch belongs to, or an embedder of another kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Generation(&'static Rules);

/// The rows that become LEAVING when the table is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeavingRule {
    /// All of them: only a reload makes an image that reads a table.
    All,
    /// Rows with more reloads than the newest.
    AboveNewest,
    /// Rows with any reload.
    AboveZero,
}

/// The fields of a row in `HAPROXY_PROCESSES`, named by the first branch that writes them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowFormat {
    /// `type fd pid rpid reloads timestamp`
    V1_9,
    /// adds `id version`
    V2_0,
    /// drops `rpid`, adds `failedreloads`
    V2_5,
    /// adds `cfd`
    V2_7,
}

/// The wording of the log, named by the first branch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Words {
    /// "Current worker 42 exited with code 1", since 1.8.2
    V1_8,
    /// "Current worker #1 (42) exited with code 1 (Exit)"
    V1_9,
    /// "Current worker (42) exited with code 1 (Exit)"
    V2_5,
}

/// How a generation's masters behave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Rules {
    /// The embedder is not HAProxy.
    pub native: bool,
    /// The worker says READY before it counts, and the master that forked it goes on. Without,
    /// the master re-executes itself to wait.
    pub ready_handshake: bool,
    /// The master re-executes itself to wait after a load that succeeded too, not only after one
    /// that failed.
    pub waits_after_success: bool,
    /// The library lets signals through after a load. Without, HAProxy's own loop does, or they
    /// are read from a descriptor.
    pub unblocks_signals: bool,
    /// The rows that become LEAVING when the table is read.
    pub leaving: LeavingRule,
    /// Reloads are counted when the table is read, not before the exec.
    pub counts_reloads_on_reading: bool,
    /// The process table is passed on. Without, only PIDs are, after `-sf`.
    pub passes_on_table: bool,
    /// The rows that are written.
    pub row_format: RowFormat,
    /// Both ends of a row's socketpair are passed on. Without, only the master's is, and the
    /// other would stay open unknown.
    pub passes_on_both_ends: bool,
    /// The result of a load is passed on in `HAPROXY_LOAD_SUCCESS`, and its log in a file.
    pub passes_on_load_status: bool,
    /// The table is kept in ascending order of reloads.
    pub sorts_table: bool,
    /// Without a master row in the table that was passed on, the master makes one up and warns.
    /// Without this rule it leaves.
    pub makes_up_master: bool,
    /// Old listeners are asked of the current worker by `-x sockpair@<fd>`. Without, `-x` names
    /// the path of its stats socket.
    pub asks_worker_for_listeners: bool,
    /// One start may have several workers (`nbproc`). Rows and `show proc` have their numbers.
    pub relative_pids: bool,
    /// Programs are part of the table.
    pub programs: bool,
    /// `show proc` has the number of failed reloads.
    pub shows_failed_reloads: bool,
    /// Messages to systemd have a STATUS.
    pub notifies_status: bool,
    /// The image that waits sends READY, after a load that failed too. Without, READY is sent
    /// before the exec.
    pub notifies_when_waiting: bool,
    /// RELOADING has MONOTONIC_USEC with it.
    pub notifies_monotonic: bool,
    /// The wording of the log.
    pub words: Words,
    /// The log has the PID and the status of a worker that fails while it starts.
    pub logs_failed_worker: bool,
    /// A current worker that leaves with a code of its own is a warning. Without, it is an alert
    /// like one that was killed.
    pub warns_of_exit_codes: bool,
    /// The master's exit status is the last child's. Without, it is that of the first current
    /// child that failed.
    pub leaves_with_last_status: bool,
    /// The log calls a worker's unexpected death a bug.
    pub logs_bug: bool,
    /// The log of a former worker's end says that it had exceeded the reloads allowed.
    pub logs_max_reloads: bool,
}

const V1_8: Rules = Rules {
    native: false,
    ready_handshake: false,
    waits_after_success: false,
    unblocks_signals: false,
    leaving: LeavingRule::All,
    counts_reloads_on_reading: true,
    passes_on_table: false,
    row_format: RowFormat::V1_9,
    passes_on_both_ends: false,
    passes_on_load_status: false,
    sorts_table: false,
    makes_up_master: true,
    asks_worker_for_listeners: false,
    relative_pids: true,
    programs: true,
    shows_failed_reloads: false,
    notifies_status: false,
    notifies_when_waiting: true,
    notifies_monotonic: false,
    words: Words::V1_8,
    logs_failed_worker: false,
    warns_of_exit_codes: false,
    leaves_with_last_status: true,
    logs_bug: false,
    logs_max_reloads: false,
};

const V1_9: Rules =
    Rules { passes_on_table: true, words: Words::V1_9, leaves_with_last_status: false, ..V1_8 };

const V2_0: Rules = Rules { row_format: RowFormat::V2_0, ..V1_9 };

const V2_2: Rules = Rules { warns_of_exit_codes: true, ..V2_0 };

const V2_5: Rules = Rules {
    waits_after_success: true,
    leaving: LeavingRule::AboveNewest,
    counts_reloads_on_reading: false,
    row_format: RowFormat::V2_5,
    asks_worker_for_listeners: true,
    relative_pids: false,
    shows_failed_reloads: true,
    words: Words::V2_5,
    ..V2_2
};

const V2_7: Rules = Rules {
    row_format: RowFormat::V2_7,
    passes_on_both_ends: true,
    passes_on_load_status: true,
    notifies_status: true,
    notifies_when_waiting: false,
    ..V2_5
};

const V2_9: Rules = Rules { logs_bug: true, ..V2_7 };

const V3_0: Rules = Rules { notifies_monotonic: true, ..V2_9 };

const V3_1: Rules = Rules {
    ready_handshake: true,
    waits_after_success: false,
    unblocks_signals: true,
    leaving: LeavingRule::AboveZero,
    passes_on_load_status: false,
    logs_max_reloads: true,
    ..V3_0
};

const V3_3: Rules = Rules { programs: false, logs_failed_worker: true, ..V3_1 };

const V3_4: Rules = Rules { sorts_table: true, makes_up_master: false, ..V3_3 };

const NATIVE: Rules =
    Rules { native: true, unblocks_signals: false, leaving: LeavingRule::AboveNewest, ..V3_4 };

impl Generation {
    /// An embedder that is not HAProxy.
    pub const NATIVE: Self = Self(&NATIVE);

    /// The generation of HAProxy `major.minor`.
    pub const fn haproxy(major: u8, minor: u8) -> Self {
        Self(match (major, minor) {
            (0, _) | (1, ..=8) => &V1_8,
            (1, _) => &V1_9,
            (2, 0 | 1) => &V2_0,
            (2, 2..=4) => &V2_2,
            (2, 5 | 6) => &V2_5,
            (2, 7 | 8) => &V2_7,
            (2, _) => &V2_9,
            (3, 0) => &V3_0,
            (3, 1 | 2) => &V3_1,
            (3, 3) => &V3_3,
            _ => &V3_4,
        })
    }
}

impl Deref for Generation {
    type Target = Rules;

    fn deref(&self) -> &Rules {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::Generation;

    #[test]
    fn branches_share_the_rules_of_their_generation() {
        let is = Generation::haproxy;
        for ((a, b), (c, d)) in [
            ((2, 0), (2, 1)),
            ((2, 2), (2, 3)),
            ((2, 3), (2, 4)),
            ((2, 5), (2, 6)),
            ((2, 7), (2, 8)),
            ((3, 1), (3, 2)),
            ((3, 4), (3, 5)),
        ] {
            assert_eq!(is(a, b), is(c, d), "{a}.{b} and {c}.{d}");
        }
        for ((a, b), (c, d)) in [
            ((1, 8), (1, 9)),
            ((1, 9), (2, 0)),
            ((2, 1), (2, 2)),
            ((2, 4), (2, 5)),
            ((2, 6), (2, 7)),
            ((2, 8), (2, 9)),
            ((2, 9), (3, 0)),
            ((3, 0), (3, 1)),
            ((3, 2), (3, 3)),
            ((3, 3), (3, 4)),
        ] {
            assert_ne!(is(a, b), is(c, d), "{a}.{b} and {c}.{d}");
        }
        assert_ne!(is(3, 5), Generation::NATIVE);
    }
}
