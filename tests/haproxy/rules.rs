//! What each version of HAProxy does: one literal for each branch, by what it does unlike the one
//! before.

use crate::version::Version;

/// What scenarios ask of a version of HAProxy.
#[derive(Debug)]
pub struct Rules {
    /// It has `http-request return`.
    pub answers_by_itself: bool,
    /// A worker that leaves resets idle connections, also one whose next request has just come.
    pub resets_idle_connections: bool,
    /// A worker that leaves misses the end of a client's connection of mode tcp, unless it is a
    /// reset.
    pub misses_the_end_of_connections: bool,
    /// Programs can have a user and a group.
    pub has_users_of_programs: bool,
    /// The CLI has `show version`.
    pub shows_its_version: bool,
    /// It has `localpeer`.
    pub names_its_peer: bool,
    /// The end of the last connection of a worker that leaves wakes its own thread only.
    pub leaves_threads_asleep: bool,
    /// A Lua service, which answers with the PID up to 2.1, may leave its stream unfinished with
    /// HTX.
    pub services_hang_in_htx: bool,
    /// A new worker takes the listeners from the old one's stats socket, not from the master's
    /// pair.
    pub takes_listeners_by_stats_socket: bool,
    /// The new worker reads the configuration, not the new image of the master.
    pub loads_in_the_worker: bool,
    /// TERM and INT end the master at once until a new worker is ready.
    pub dies_of_term_while_a_worker_starts: bool,
    /// It has `nbproc`.
    pub has_several_workers: bool,
    /// The loop may wait for events, up to a minute, although a signal has come.
    pub sleeps_over_signals: bool,
    /// Rows are passed on as they are, and count one reload more when they are read.
    pub counts_reloads_on_reading: bool,
    /// The image that reads the process table cuts up the table's variable in place.
    pub cuts_up_its_environment: bool,
    /// With very many old workers no descriptors are left for a new one.
    pub cannot_pass_on_many_old_workers: bool,
    /// `show proc` has the number of failed reloads.
    pub shows_failed_reloads: bool,
    /// The log has the result of a load.
    pub logs_success: bool,
    /// The master acts on signals before its worker does.
    pub is_ready_before_its_worker: bool,
    /// It has `hard-reload`.
    pub reloads_hard: bool,
    /// `-S` without `-W` is an error, not a warning.
    pub refuses_cli_without_master: bool,
    /// Descriptors of the process table are not in the limit of descriptors; stock was seen to
    /// lose workers for want of numbers.
    pub loses_workers_for_want_of_numbers: bool,
    /// The limit of descriptors is that of the configuration and the table's descriptors.
    pub counts_descriptors_of_the_table: bool,
    /// The master that has loaded executes itself again, to wait.
    pub executes_itself_to_wait: bool,
    /// The image that loads reads `no-exit-on-failure`, the one that waits does not.
    pub forgets_no_exit_on_failure: bool,
    /// A reload stops a program also with `no option start-on-reload`, and its end ends the
    /// service.
    pub ends_with_a_stopped_program: bool,
    /// A reload or a stop asked for in the moment when the new worker answers is lost.
    pub loses_signals_of_the_moment: bool,
    /// It has `program` sections.
    pub has_programs: bool,
    /// After a failed reload `show proc` lists the worker in service as an old one.
    pub calls_worker_in_service_old: bool,
    /// After a failed reload HUP, USR1 and USR2 stay blocked.
    pub holds_signals_back_after_failure: bool,
    /// `_loadstatus` answers when the worker has sent READY; before, the master stays when its
    /// worker does.
    pub answers_when_worker_is_ready: bool,
    /// `program` sections need `expose-deprecated-directives`.
    pub deprecates_programs: bool,
    /// With `-D` the parent exits successfully before anything is read: a pidfile names a master
    /// that has not started, and a check has a child.
    pub goes_into_background_first: bool,
    /// `-S` needs `-W`; `master-worker` in the configuration is not enough.
    pub needs_mode_for_cli: bool,
    /// The configuration has `master-worker`.
    pub has_mode_in_config: bool,
    /// `show proc` needs the level operator.
    pub show_proc_is_for_operators: bool,
    /// Old workers end after 50 reloads, unless `mworker-max-reloads` says otherwise.
    pub ends_workers_after_50_reloads: bool,
    /// A reloaded master ends if the table has no row of a master.
    pub needs_row_of_master: bool,
    /// The master ends when its configuration file is gone.
    pub ends_without_configuration: bool,
    /// Signals are blocked, and none is lost, from the exec until the master waits; ours has a
    /// loop of its own, which keeps them blocked.
    pub holds_signals_back: bool,
    /// The image that waits sends READY, once it can act on signals.
    pub sends_ready_last: bool,
}

const V1_8: Rules = Rules {
    answers_by_itself: false,
    resets_idle_connections: false,
    misses_the_end_of_connections: false,
    has_users_of_programs: false,
    shows_its_version: false,
    names_its_peer: false,
    leaves_threads_asleep: true,
    services_hang_in_htx: false,
    takes_listeners_by_stats_socket: true,
    loads_in_the_worker: false,
    dies_of_term_while_a_worker_starts: false,
    has_several_workers: true,
    sleeps_over_signals: true,
    counts_reloads_on_reading: true,
    cuts_up_its_environment: true,
    cannot_pass_on_many_old_workers: true,
    shows_failed_reloads: false,
    logs_success: false,
    is_ready_before_its_worker: true,
    reloads_hard: false,
    refuses_cli_without_master: false,
    loses_workers_for_want_of_numbers: true,
    counts_descriptors_of_the_table: false,
    executes_itself_to_wait: false,
    forgets_no_exit_on_failure: false,
    ends_with_a_stopped_program: true,
    loses_signals_of_the_moment: false,
    has_programs: true,
    calls_worker_in_service_old: true,
    holds_signals_back_after_failure: false,
    answers_when_worker_is_ready: false,
    deprecates_programs: false,
    goes_into_background_first: false,
    needs_mode_for_cli: false,
    has_mode_in_config: true,
    show_proc_is_for_operators: false,
    ends_workers_after_50_reloads: false,
    needs_row_of_master: false,
    ends_without_configuration: false,
    holds_signals_back: true,
    sends_ready_last: true,
};

const V2_0: Rules = Rules {
    misses_the_end_of_connections: true,
    services_hang_in_htx: true,
    holds_signals_back: false,
    ..V1_8
};

const V2_1: Rules = Rules {
    misses_the_end_of_connections: false,
    has_users_of_programs: true,
    shows_its_version: true,
    leaves_threads_asleep: false,
    services_hang_in_htx: false,
    ..V2_0
};

const V2_2: Rules = Rules { answers_by_itself: true, ..V2_1 };

const V2_3: Rules = Rules { names_its_peer: true, ..V2_2 };

const V2_4: Rules = Rules { resets_idle_connections: true, ..V2_3 };

const V2_5: Rules = Rules {
    resets_idle_connections: false,
    takes_listeners_by_stats_socket: false,
    has_several_workers: false,
    sleeps_over_signals: false,
    counts_reloads_on_reading: false,
    cuts_up_its_environment: false,
    cannot_pass_on_many_old_workers: false,
    shows_failed_reloads: true,
    logs_success: true,
    is_ready_before_its_worker: false,
    executes_itself_to_wait: true,
    forgets_no_exit_on_failure: true,
    ends_with_a_stopped_program: false,
    loses_signals_of_the_moment: true,
    calls_worker_in_service_old: false,
    ..V2_4
};

const V2_7: Rules =
    Rules { loses_workers_for_want_of_numbers: false, sends_ready_last: false, ..V2_5 };

const V2_9: Rules = Rules { reloads_hard: true, refuses_cli_without_master: true, ..V2_7 };

const V3_0: Rules = Rules { counts_descriptors_of_the_table: true, ..V2_9 };

const V3_1: Rules = Rules {
    loads_in_the_worker: true,
    executes_itself_to_wait: false,
    forgets_no_exit_on_failure: false,
    loses_signals_of_the_moment: false,
    calls_worker_in_service_old: true,
    answers_when_worker_is_ready: true,
    deprecates_programs: true,
    goes_into_background_first: true,
    needs_mode_for_cli: true,
    show_proc_is_for_operators: true,
    ends_without_configuration: true,
    ..V3_0
};

const V3_2: Rules = Rules { goes_into_background_first: false, ..V3_1 };

const V3_3: Rules = Rules {
    dies_of_term_while_a_worker_starts: true,
    has_programs: false,
    holds_signals_back_after_failure: true,
    deprecates_programs: false,
    ends_workers_after_50_reloads: true,
    ..V3_2
};

const V3_4: Rules =
    Rules { holds_signals_back_after_failure: false, needs_row_of_master: true, ..V3_3 };

const V3_5: Rules = Rules { has_mode_in_config: false, ..V3_4 };

/// From which version on each of them holds, up to the next.
const ALL: [(Version, &Rules); 15] = [
    (Version(1, 8, 0), &V1_8),
    (Version(2, 0, 0), &V2_0),
    (Version(2, 1, 0), &V2_1),
    (Version(2, 2, 0), &V2_2),
    (Version(2, 3, 0), &V2_3),
    (Version(2, 4, 0), &V2_4),
    (Version(2, 5, 0), &V2_5),
    (Version(2, 7, 0), &V2_7),
    (Version(2, 9, 0), &V2_9),
    (Version(3, 0, 0), &V3_0),
    (Version(3, 1, 0), &V3_1),
    (Version(3, 2, 0), &V3_2),
    (Version(3, 3, 0), &V3_3),
    (Version(3, 4, 0), &V3_4),
    (Version(3, 5, 0), &V3_5),
];

impl Version {
    /// What it does.
    pub fn rules(self) -> &'static Rules {
        let known = ALL.iter().rev().find(|(version, _)| *version <= self);
        known.unwrap_or_else(|| panic!("{self:?} is older than all that is known")).1
    }
}

mod tests {
    use super::*;

    #[test]
    fn a_version_has_the_rules_of_its_branch_or_the_one_before() {
        assert!(ALL.is_sorted_by_key(|(version, _)| *version));
        assert!(Version(2, 4, 0).rules().resets_idle_connections);
        assert!(!Version(2, 6, 0).rules().resets_idle_connections);
        assert!(
            Version(2, 6, 0).rules().sends_ready_last && !Version(2, 7, 0).rules().sends_ready_last
        );
        assert!(!Version(9, 0, 0).rules().has_mode_in_config);
    }
}
