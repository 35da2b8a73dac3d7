//! Faults put into the core's answers on purpose: each has to be found, or the
//! exploration proves nothing.

use super::moves::Move;
use super::scenario::{self, Scenario};
use super::world::World;
use mworker::core::generation::Generation;
use mworker::core::lifecycle::{Action, ExecKind};
use mworker::core::notify::Notice;
use mworker::core::process::{Pid, options};
use mworker::core::signal::Signal;
use mworker::core::table::{PlainTable, Table};

/// One fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A reaped child's descriptors leak.
    DropsRelease,
    /// They are closed twice.
    ReleasesTwice,
    /// After a failure systemd waits forever.
    ForgetsReadyAfterFailure,
    /// systemd hears of no reload.
    ForgetsReloading,
    /// After a failure no signal comes through.
    ForgetsUnblock,
    /// Whoever asked for a reload waits forever.
    ForgetsAnswer,
    /// Whoever asked for a reload is told that it succeeded.
    PraisesFailure,
    /// A request made during a reload is lost.
    LosesRequest,
    /// A request is done twice as hard as asked.
    ReloadsHarder,
    /// A stop is told to nobody.
    StopsNobody,
    /// A child that was reaped is sent a signal.
    KillsReaped,
    /// The old worker stays.
    SparesOld,
    /// The worker in service is killed when a new one fails.
    KillsInServiceAfterFailure,
    /// READY is said once more while leaving.
    ReadyAfterStopping,
    /// STOPPING is said when a worker ends.
    StoppingUnasked,
    /// Leaves when one child does.
    LeavesEarly,
    /// Leaves with another status.
    LeavesWithWrongStatus,
    /// The master's row becomes LEAVING.
    MasterLeaving,
    /// Failures aren't counted.
    ForgetsFailure,
    /// An exec that failed counts as a reload.
    CountsFailedExec,
    /// A worker is in service as soon as it is forked.
    InServiceTooEarly,
    /// The worker in service is LEAVING after a failure.
    DisownsInService,
    /// Who takes too long to start may.
    SparesOverdue,
    /// Who starts is killed at once.
    KillsWhoStarts,
    /// No new worker comes for a dead one.
    ForgetsRestart,
    /// The master leaves while a new worker is due.
    LeavesBeforeRestart,
    /// Dead workers are replaced for ever.
    NeverGivesUp,
    /// Who only drains is taken for the one in service.
    ForgetsVacancy,
    /// systemd hears that a frozen service lives.
    PingsForFrozen,
    /// It doesn't hear that the service lives.
    ForgetsPing,
    /// It hears how the service is whenever something happens.
    RepeatsStatus,
}

impl Sabotage {
    /// All, each with the invariant that finds it.
    pub const ALL: [(Self, &'static str); 31] = [
        (Self::DropsRelease, "rows_are_released_once"),
        (Self::ReleasesTwice, "rows_are_released_once"),
        (Self::ForgetsReadyAfterFailure, "systemd_waits_for_nothing"),
        (Self::ForgetsReloading, "reloading_goes_with_a_reload"),
        (Self::ForgetsUnblock, "signals_come_through"),
        (Self::ForgetsAnswer, "who_asked_is_answered"),
        (Self::PraisesFailure, "who_asked_is_answered"),
        (Self::LosesRequest, "execs_are_due"),
        (Self::ReloadsHarder, "execs_are_due"),
        (Self::StopsNobody, "kills_are_due"),
        (Self::KillsReaped, "kills_are_due"),
        (Self::SparesOld, "kills_are_due"),
        (Self::KillsInServiceAfterFailure, "kills_are_due"),
        (Self::ReadyAfterStopping, "systemd_accepts_the_order"),
        (Self::StoppingUnasked, "stopping_only_when_asked"),
        (Self::LeavesEarly, "leaves_when_due_with_the_right_status"),
        (Self::LeavesWithWrongStatus, "leaves_when_due_with_the_right_status"),
        (Self::MasterLeaving, "one_master_that_never_leaves"),
        (Self::ForgetsFailure, "failures_are_counted"),
        (Self::CountsFailedExec, "reloads_are_counted"),
        (Self::InServiceTooEarly, "only_a_ready_worker_goes_into_service"),
        (Self::DisownsInService, "who_serves_is_current"),
        (Self::SparesOverdue, "kills_are_due"),
        (Self::KillsWhoStarts, "kills_are_due"),
        (Self::ForgetsRestart, "execs_are_due"),
        (Self::LeavesBeforeRestart, "leaves_when_due_with_the_right_status"),
        (Self::NeverGivesUp, "leaves_when_due_with_the_right_status"),
        (Self::ForgetsVacancy, "kills_are_due"),
        (Self::PingsForFrozen, "only_the_living_are_said_to_live"),
        (Self::ForgetsPing, "the_living_are_said_to_live"),
        (Self::RepeatsStatus, "status_is_limited"),
    ];

    /// A scenario in which it can do harm.
    pub fn scenario(self, generation: Generation) -> Scenario {
        let mut of = match self {
            Self::ForgetsRestart
            | Self::LeavesBeforeRestart
            | Self::NeverGivesUp
            | Self::ForgetsVacancy => scenario::restarts(generation),
            Self::PingsForFrozen | Self::ForgetsPing | Self::RepeatsStatus => {
                scenario::watched(generation)
            }
            _ => scenario::scenarios(generation),
        };
        of.swap_remove(0)
    }

    /// Spoils what the core decided about `event` in the state `before`.
    pub fn spoil(
        self,
        event: Move,
        before: &World,
        actions: &mut Vec<Action<u32>>,
        world: &mut World,
    ) {
        let table = &mut world.table;
        let failed = actions.iter().any(|a| matches!(a, Action::Answer { success: false }));
        match self {
            Self::DropsRelease => actions.retain(|a| !matches!(a, Action::Release(..))),
            Self::ReleasesTwice => {
                let releases = |a: &&Action<u32>| matches!(a, Action::Release(..));
                actions.extend(actions.iter().find(releases).cloned());
            }
            Self::ForgetsReadyAfterFailure => {
                let told =
                    |n: &Notice| matches!(n, Notice::ReloadFailed | Notice::ConfigurationRefused);
                actions.retain(|a| !matches!(a, Action::Notify(n) if told(n)));
            }
            Self::ForgetsReloading => {
                actions.retain(|a| !matches!(a, Action::Notify(Notice::Reloading { .. })));
            }
            Self::ForgetsUnblock => actions.retain(|a| !failed || *a != Action::Unblock),
            Self::ForgetsAnswer => actions.retain(|a| !matches!(a, Action::Answer { .. })),
            Self::PraisesFailure => {
                for action in actions {
                    if let Action::Answer { success } = action {
                        *success = true;
                    }
                }
            }
            Self::LosesRequest if matches!(event, Move::Ready(_)) => {
                actions.retain(|a| {
                    !matches!(a, Action::Exec(_) | Action::Notify(Notice::Reloading { .. }))
                });
            }
            Self::ReloadsHarder => {
                for action in actions {
                    if let Action::Exec(ExecKind::Reload(hardness)) = action {
                        *hardness = mworker::core::lifecycle::Hardness::Hard;
                    }
                }
            }
            Self::StopsNobody if matches!(event, Move::Signal(_)) => {
                actions.retain(|a| !matches!(a, Action::Kill { .. }));
            }
            Self::KillsReaped => {
                if let Move::Reaped(pid, _) = event {
                    actions.insert(0, kill(pid));
                }
            }
            Self::SparesOld if matches!(event, Move::Ready(_)) => {
                actions.retain(|a| !matches!(a, Action::Kill { .. }));
            }
            Self::KillsInServiceAfterFailure if failed => {
                actions.extend(before.ledger.in_service.map(kill));
            }
            Self::ReadyAfterStopping if before.ledger.stop_asked => {
                let pid = Pid::new(1).expect("above 0");
                actions.insert(0, Action::Notify(Notice::Ready { pid }));
            }
            Self::StoppingUnasked if matches!(event, Move::Reaped(..)) => {
                actions.insert(0, Action::Notify(Notice::Stopping));
            }
            Self::LeavesEarly if matches!(event, Move::Reaped(..)) => {
                actions.push(Action::Exit(0));
            }
            Self::LeavesWithWrongStatus => {
                for action in actions {
                    if let Action::Exit(status) = action {
                        *status += 1;
                    }
                }
            }
            Self::MasterLeaving if failed => mark(table, options::MASTER),
            Self::ForgetsFailure if failed => table.for_each(|p| p.failed_reloads = 0),
            Self::CountsFailedExec if event == Move::ExecFails => {
                table.for_each(|p| p.reloads += 1);
            }
            Self::InServiceTooEarly if event == Move::Forks => {
                actions.extend(table.starting().map(Action::InService));
            }
            Self::DisownsInService if failed => mark(table, options::WORKER),
            Self::SparesOverdue | Self::NeverGivesUp if event == Move::Tick => {
                let kind = |a: &Action<u32>| match self {
                    Self::SparesOverdue => matches!(a, Action::Kill { .. }),
                    _ => matches!(a, Action::Exit(_)),
                };
                actions.retain(|a| !kind(a));
            }
            Self::KillsWhoStarts if event == Move::Forks => {
                let starting = table.starting().map(|row| table.load(row).pid);
                actions.extend(starting.map(kill));
            }
            Self::ForgetsRestart if matches!(event, Move::Reaped(..)) => {
                actions.retain(|a| {
                    !matches!(a, Action::Exec(_) | Action::Notify(Notice::Reloading { .. }))
                });
            }
            Self::LeavesBeforeRestart if event == Move::NoChildLeft && actions.is_empty() => {
                actions.push(Action::Exit(0));
            }
            Self::ForgetsVacancy => world.life.state.vacant = false,
            Self::PingsForFrozen if event == Move::Tick => {
                actions.push(Action::Notify(Notice::Watchdog));
            }
            Self::ForgetsPing => {
                actions.retain(|a| !matches!(a, Action::Notify(Notice::Watchdog)));
            }
            Self::RepeatsStatus if event == Move::StrangerReaped => {
                actions.push(Action::Notify(Notice::Status("as ever".into())));
            }
            _ => {}
        }
    }
}

fn kill(pid: i32) -> Action<u32> {
    Action::Kill { pid: Pid::new(pid).expect("a child's PID"), signal: Signal::Term }
}

fn mark(table: &mut PlainTable, kind: i32) {
    table.for_each(|p| {
        if p.is(kind) {
            p.options |= options::LEAVING;
        }
    });
}
