//! What each version of HAProxy does, as questions on its version; and what of some versions
//! can't be compared at all.

use std::io::Write;
use std::ops::RangeInclusive;

/// Major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub u32, pub u32);

pub type Versions = RangeInclusive<Version>;

pub const ALL: Versions = Version(0, 0)..=LAST;
const LAST: Version = Version(9, 9);

pub const fn since(major: u32, minor: u32) -> Versions {
    Version(major, minor)..=LAST
}

pub const fn until(major: u32, minor: u32) -> Versions {
    Version(0, 0)..=Version(major, minor)
}

pub const fn between(from: (u32, u32), to: (u32, u32)) -> Versions {
    Version(from.0, from.1)..=Version(to.0, to.1)
}

impl Version {
    /// `http-request return`.
    pub fn answers_by_itself(self) -> bool {
        since(2, 2).contains(&self)
    }

    /// A worker that is told to leave closes connections that are idle, with a request that has
    /// just come if there is one.
    pub fn resets_idle_connections(self) -> bool {
        between((2, 4), (2, 4)).contains(&self)
    }

    /// A worker that leaves doesn't see a client's connection of mode tcp end, unless by a reset.
    pub fn misses_the_end_of_connections(self) -> bool {
        between((2, 0), (2, 0)).contains(&self)
    }

    /// Users and groups of programs.
    pub fn has_users_of_programs(self) -> bool {
        since(2, 4).contains(&self)
    }

    /// `show version` on the CLI.
    pub fn tells_its_version(self) -> bool {
        since(2, 1).contains(&self)
    }

    /// `localpeer`.
    pub fn names_its_peer(self) -> bool {
        since(2, 3).contains(&self)
    }

    /// The end of the last connection of a worker that leaves wakes its own thread only.
    pub fn leaves_threads_asleep(self) -> bool {
        until(2, 0).contains(&self)
    }

    /// A service in Lua, by which workers tell their PID there, may leave its stream undone with
    /// the new representation of HTTP.
    pub fn services_hang_in_htx(self) -> bool {
        between((2, 0), (2, 0)).contains(&self)
    }

    /// A new worker asks the old one's stats socket for its listeners, not the master's pair.
    pub fn takes_listeners_by_stats_socket(self) -> bool {
        until(2, 4).contains(&self)
    }

    /// It is the new worker that reads the configuration, not the new image of the master.
    pub fn loads_in_the_worker(self) -> bool {
        since(3, 1).contains(&self)
    }

    /// TERM and INT just end the master until a new worker is ready.
    pub fn dies_of_term_while_a_worker_starts(self) -> bool {
        since(3, 3).contains(&self)
    }

    /// `nbproc`.
    pub fn has_several_workers(self) -> bool {
        until(2, 4).contains(&self)
    }

    /// The loop may wait for events, up to a minute, when a signal has come.
    pub fn sleeps_over_signals(self) -> bool {
        until(2, 4).contains(&self)
    }

    /// Rows are handed over as they are, and have lived through one reload more once read.
    pub fn counts_reloads_on_reading(self) -> bool {
        until(2, 4).contains(&self)
    }

    /// The variable of the process table is cut up, where it is, by who reads it.
    pub fn cuts_up_its_environment(self) -> bool {
        until(2, 4).contains(&self)
    }

    /// With a crowd of old workers there is no room for a new one's descriptors.
    pub fn has_no_room_for_a_crowd(self) -> bool {
        until(2, 4).contains(&self)
    }

    /// `show proc` says how many reloads have failed.
    pub fn shows_failed_reloads(self) -> bool {
        since(2, 5).contains(&self)
    }

    /// The log says how a load went.
    pub fn tells_of_success(self) -> bool {
        since(2, 5).contains(&self)
    }

    /// The master acts on signals before its worker does.
    pub fn is_ready_before_its_worker(self) -> bool {
        until(2, 4).contains(&self)
    }

    /// `hard-reload`.
    pub fn reloads_hard(self) -> bool {
        since(2, 9).contains(&self)
    }

    /// `-S` without `-W` is refused, not warned of.
    pub fn refuses_cli_without_master(self) -> bool {
        since(3, 0).contains(&self)
    }

    /// What the process table has open doesn't count in the limit of descriptors at all, and
    /// stock has been seen to lose workers for want of numbers.
    pub fn loses_workers_for_want_of_numbers(self) -> bool {
        until(2, 6).contains(&self)
    }

    /// The limit of descriptors is that of the configuration, and what the table has open.
    pub fn counts_descriptors_of_the_table(self) -> bool {
        since(3, 0).contains(&self)
    }

    /// The master that has loaded re-executes itself, to wait.
    pub fn executes_itself_to_wait(self) -> bool {
        between((2, 5), (3, 0)).contains(&self)
    }

    /// `no-exit-on-failure` is read by the image that loads, not by the one that waits.
    pub fn forgets_no_exit_on_failure(self) -> bool {
        between((2, 5), (3, 0)).contains(&self)
    }

    /// A program that isn't to be started anew is told to leave by a reload all the same, and
    /// when it does so the service ends.
    pub fn ends_with_a_program_that_is_told_to_leave(self) -> bool {
        until(2, 4).contains(&self)
    }

    /// A reload or a stop that is asked for the moment the new worker answers is lost.
    pub fn loses_signals_of_the_moment(self) -> bool {
        between((2, 5), (3, 0)).contains(&self)
    }

    /// `program` sections.
    pub fn has_programs(self) -> bool {
        until(3, 2).contains(&self)
    }

    /// After a failed reload `show proc` lists the worker in service as an old one.
    pub fn calls_worker_in_service_old(self) -> bool {
        until(2, 4).contains(&self) || since(3, 1).contains(&self)
    }

    /// After a failed reload HUP, USR1 and USR2 are held back for good.
    pub fn holds_signals_back_after_failure(self) -> bool {
        between((3, 3), (3, 3)).contains(&self)
    }

    /// `_loadstatus` answers when the worker has said READY. Before, the master is there for
    /// good when its worker is.
    pub fn tells_when_worker_is_ready(self) -> bool {
        since(3, 1).contains(&self)
    }

    /// `program` sections are refused unless `expose-deprecated-directives` allows them.
    pub fn deprecates_programs(self) -> bool {
        between((3, 1), (3, 2)).contains(&self)
    }

    /// With `-D` the parent leaves at once, successfully, before anything is read: a pidfile
    /// names a master that has not started, and a check has a child.
    pub fn goes_into_background_first(self) -> bool {
        between((3, 1), (3, 1)).contains(&self)
    }

    /// `master-worker` of the configuration doesn't do for `-S`.
    pub fn wants_mode_for_cli(self) -> bool {
        since(3, 1).contains(&self)
    }

    /// `master-worker` of the configuration.
    pub fn has_mode_in_config(self) -> bool {
        until(3, 4).contains(&self)
    }

    /// `show proc` is for operators.
    pub fn show_proc_is_for_operators(self) -> bool {
        since(3, 1).contains(&self)
    }

    /// Old workers are ended after 50 reloads, unless `mworker-max-reloads` says otherwise.
    pub fn ends_workers_after_50_reloads(self) -> bool {
        since(3, 3).contains(&self)
    }

    /// A table without a row of the master, or none, ends a reloaded master.
    pub fn wants_row_of_master(self) -> bool {
        since(3, 4).contains(&self)
    }

    /// The master ends when its configuration file is gone.
    pub fn ends_without_configuration(self) -> bool {
        since(3, 1).contains(&self)
    }

    /// Signals are held back, none is lost, from the exec until the master waits; ours has a
    /// loop of its own, where they stay held back.
    pub fn holds_signals_back(self) -> bool {
        until(1, 8).contains(&self)
    }

    /// READY comes from the image that waits, once it can act on signals.
    pub fn says_ready_last(self) -> bool {
        until(2, 6).contains(&self)
    }
}

/// A scenario that stock of some versions can't go through. Ours has to.
pub struct NotCompared {
    pub scenario: &'static str,
    pub versions: Versions,
    /// What stock does instead.
    pub why: &'static str,
}

/// All of them. They are said on stderr as they come up.
pub const NOT_COMPARED: &[NotCompared] = &[
    NotCompared {
        scenario: "malformed_row_of_the_master",
        versions: since(3, 1),
        why: "stock goes on with the row that it has freed, and uses what is in that memory",
    },
    NotCompared {
        scenario: "not_started_anew",
        versions: between((3, 1), (3, 2)),
        why: "stock takes the end of a program that it has told to leave for a failure, and ends",
    },
    NotCompared {
        scenario: "process_table_without_rows",
        versions: between((3, 1), (3, 3)),
        why: "stock's worker ends while it starts, and its master with it",
    },
    NotCompared {
        scenario: "pidfile_impossible",
        versions: between((3, 3), (3, 3)),
        why: "stock leaves its worker behind",
    },
    NotCompared { scenario: "missing_process_table", versions: until(2, 4), why: "stock crashes" },
    NotCompared {
        scenario: "class_master_cli",
        versions: until(2, 4),
        why: "stock crashes at a line for a worker that has gone",
    },
    NotCompared {
        scenario: "as_another_user",
        versions: until(2, 0),
        why: "stock crashes over the options, which it doesn't know",
    },
    NotCompared {
        scenario: "argv_with_files_at_the_end",
        versions: until(2, 0),
        why: "stock puts -sf behind the files, takes it for one of them, and the reload fails",
    },
    NotCompared {
        scenario: "pause_and_resume",
        versions: between((2, 0), (2, 0)),
        why: "stock's master pauses its own listener, and the worker isn't told",
    },
    NotCompared {
        scenario: "malformed_process_table",
        versions: until(2, 4),
        why: "stock crashes without a row of the master",
    },
    NotCompared {
        scenario: "process_table_without_rows",
        versions: until(2, 4),
        why: "stock crashes without a row of the master",
    },
    NotCompared {
        scenario: "address_taken_then_free",
        versions: until(2, 4),
        why: "stock ends: \"Failed to get the sockets from the old process!\"",
    },
    NotCompared {
        scenario: "address_taken_then_free",
        versions: between((2, 8), (2, 8)),
        why: "stock 2.8.0 ends at the refusal: \"Non-recoverable mworker wait-mode error\"",
    },
];

/// Why this scenario isn't compared with this version, if so. Says it, too: past what
/// captures the output of a test that passes.
pub fn not_compared(scenario: &str, version: Version) -> Option<&'static str> {
    let listed = NOT_COMPARED
        .iter()
        .find(|listed| listed.scenario == scenario && listed.versions.contains(&version))?;
    let Version(major, minor) = version;
    let text = format!("not compared with {major}.{minor}: {scenario}: {}\n", listed.why);
    let _ = std::io::stderr().write_all(text.as_bytes());
    Some(listed.why)
}
