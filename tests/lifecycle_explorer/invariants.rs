//! What has to hold, each under a name that a violation is reported by.
//!
//! Two more live with what they are about: `systemd_accepts_the_order`
//! ([`super::systemd`]) and those of the exec ([`super::image`]).

use super::ledger::Expected;
use super::world::{GIVEN_BY_USER, MASTER, Phase, World};
use mworker::core::lifecycle::{Action, ExecKind};
use mworker::core::notify::Notice;
use mworker::core::process::{Process, options};
use mworker::core::table::Table;
use std::fmt::Debug;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub detail: String,
}

pub type Verdict = Result<(), Violation>;

/// `Ok` if `truth`, or else a violation of `invariant`.
pub fn hold(truth: bool, invariant: &'static str, detail: impl FnOnce() -> String) -> Verdict {
    if truth { Ok(()) } else { Err(Violation { invariant, detail: detail() }) }
}

/// The same things, in whatever order.
fn same<T: PartialEq + Debug>(invariant: &'static str, found: &[T], expected: &[T]) -> Verdict {
    let within = |a: &[T], b: &[T]| a.iter().all(|x| b.contains(x));
    let equal = found.len() == expected.len() && within(found, expected) && within(expected, found);
    hold(equal, invariant, || format!("{found:?}, where {expected:?} was due"))
}

type Step = [Action<u32>];

/// Everything about what one step did.
pub fn of_step(before: &World, actions: &Step, expected: &Expected) -> Verdict {
    kills_are_due(actions, expected)?;
    kills_reach_unreaped_children_only(before, actions)?;
    rows_are_released_once(actions, expected)?;
    crashes_are_told(actions, expected)?;
    only_a_ready_worker_goes_into_service(before, actions, expected)?;
    who_asked_is_answered(actions, expected)?;
    execs_are_due(actions, expected)?;
    reloading_goes_with_a_reload(actions)?;
    leaves_when_due_with_the_right_status(actions, expected)?;
    nothing_follows_an_exec_or_the_end(actions)
}

/// A step kills those whom the rules name, each with its signal, and nobody else.
fn kills_are_due(actions: &Step, expected: &Expected) -> Verdict {
    let found: Vec<_> = actions
        .iter()
        .filter_map(|a| match a {
            Action::Kill { pid, signal } | Action::KillStranger { pid, signal } => {
                Some((pid.get(), *signal))
            }
            _ => None,
        })
        .collect();
    same("kills_are_due", &found, &expected.kills)
}

/// Never 0, -1, a PID that was reaped or that was never ours; as strangers, the
/// PIDs which the user gave.
fn kills_reach_unreaped_children_only(before: &World, actions: &Step) -> Verdict {
    for action in actions {
        let (pid, allowed) = match action {
            Action::Kill { pid, .. } => (pid.get(), before.child(pid.get()).is_some()),
            Action::KillStranger { pid, .. } => {
                (pid.get(), pid.get() == GIVEN_BY_USER && before.ledger.first_start)
            }
            _ => continue,
        };
        hold(allowed, "kills_reach_unreaped_children_only", || pid.to_string())?;
    }
    Ok(())
}

/// The row of every child that is reaped, or that never came to be, is released
/// once, as what it was.
fn rows_are_released_once(actions: &Step, expected: &Expected) -> Verdict {
    let found: Vec<_> = actions
        .iter()
        .filter_map(|a| match a {
            Action::Release(row, gone) => Some((*row, *gone)),
            _ => None,
        })
        .collect();
    same("rows_are_released_once", &found, &expected.released)
}

/// A current worker that died is reported as a bug, and nothing else is.
fn crashes_are_told(actions: &Step, expected: &Expected) -> Verdict {
    let found: Vec<_> = actions
        .iter()
        .filter_map(|a| match a {
            Action::Crashed(row) => Some(*row),
            _ => None,
        })
        .collect();
    same("crashes_are_told", &found, &expected.crashed)
}

/// Nothing is routed to a worker that has not said READY.
fn only_a_ready_worker_goes_into_service(
    before: &World,
    actions: &Step,
    expected: &Expected,
) -> Verdict {
    let found: Vec<_> = actions
        .iter()
        .filter_map(|a| match a {
            Action::InService(row) => Some(*row),
            _ => None,
        })
        .collect();
    same("only_a_ready_worker_goes_into_service", &found, &expected.in_service)?;
    hold(
        found.iter().all(|row| before.table.load(*row).pid > 0),
        "only_a_ready_worker_goes_into_service",
        || "it was never forked".into(),
    )
}

/// Whoever asked for a reload is told once how it went.
fn who_asked_is_answered(actions: &Step, expected: &Expected) -> Verdict {
    let found: Vec<_> = actions
        .iter()
        .filter_map(|a| match a {
            Action::Answer { success } => Some(*success),
            _ => None,
        })
        .collect();
    same("who_asked_is_answered", &found, &expected.answers)
}

/// A reload begins when it was asked for and can be done, once, as hard as the
/// hardest request said; one asked for during another right after it.
fn execs_are_due(actions: &Step, expected: &Expected) -> Verdict {
    let found: Vec<_> = actions
        .iter()
        .filter_map(|a| match a {
            Action::Exec(kind) => Some(*kind),
            _ => None,
        })
        .collect();
    same("execs_are_due", &found, &Vec::from_iter(expected.exec))
}

/// systemd hears RELOADING before each exec of a reload, and at no other time.
fn reloading_goes_with_a_reload(actions: &Step) -> Verdict {
    let place = |wanted: &dyn Fn(&Action<u32>) -> bool| actions.iter().position(wanted);
    let told = place(&|a| matches!(a, Action::Notify(Notice::Reloading { .. })));
    let done = place(&|a| matches!(a, Action::Exec(ExecKind::Reload(_))));
    let right = match (told, done) {
        (None, None) => true,
        (Some(told), Some(done)) => told < done,
        _ => false,
    };
    hold(right, "reloading_goes_with_a_reload", || format!("{actions:?}"))
}

/// The master leaves only when all have left, with the first status that a
/// current child has to report, or 0; or with the worker's when its first start
/// fails (1 if there was none).
fn leaves_when_due_with_the_right_status(actions: &Step, expected: &Expected) -> Verdict {
    let found: Vec<_> = actions
        .iter()
        .filter_map(|a| match a {
            Action::Exit(status) => Some(*status),
            _ => None,
        })
        .collect();
    same("leaves_when_due_with_the_right_status", &found, &Vec::from_iter(expected.exit))
}

/// What comes after an exec in a step would be lost when the exec succeeds.
fn nothing_follows_an_exec_or_the_end(actions: &Step) -> Verdict {
    let ends = |a: &Action<u32>| matches!(a, Action::Exec(_) | Action::Exit(_));
    let before_last = actions.split_last().map_or(&[][..], |(_, rest)| rest);
    hold(!before_last.iter().any(ends), "nothing_follows_an_exec_or_the_end", || {
        format!("{actions:?}")
    })
}

/// Everything about where a step led.
pub fn of_state(world: &World) -> Verdict {
    nothing_is_left_unreleased(world)?;
    one_master_that_never_leaves(world)?;
    rows_are_children(world)?;
    at_most_one_starts(world)?;
    stopping_only_when_asked(world)?;
    nobody_is_left_behind(world)?;
    if world.is_quiet() {
        requests_are_begun(world)?;
        reloads_are_counted(world)?;
        failures_are_counted(world)?;
        the_result_is_known(world)?;
        if !world.ledger.leaves() {
            systemd_waits_for_nothing(world)?;
            signals_come_through(world)?;
            a_reload_is_possible(world)?;
            a_dead_worker_is_replaced(world)?;
        }
        who_serves_is_current(world)?;
        who_was_replaced_is_leaving(world)?;
        who_was_replaced_was_told(world)?;
    }
    Ok(())
}

/// No row hangs between the table and its release.
fn nothing_is_left_unreleased(world: &World) -> Verdict {
    hold(world.table.unreleased() == 0, "nothing_is_left_unreleased", || {
        format!("{} rows", world.table.unreleased())
    })
}

/// The table has one master, and it is never LEAVING nor INIT.
fn one_master_that_never_leaves(world: &World) -> Verdict {
    let masters: Vec<Process> =
        world.table.rows().map(|(_, p)| p).filter(|p| p.is(options::MASTER)).collect();
    let right = matches!(&masters[..], [m] if m.options == options::MASTER && m.pid == MASTER);
    hold(right, "one_master_that_never_leaves", || format!("{masters:?}"))
}

/// Every child that is not reaped has one row, and every forked row is a child.
fn rows_are_children(world: &World) -> Verdict {
    let mut rows: Vec<i32> = world.forked().map(|(_, p)| p.pid).collect();
    let mut children: Vec<i32> = world.children.iter().map(|c| c.pid).collect();
    rows.sort_unstable();
    children.sort_unstable();
    hold(rows == children, "rows_are_children", || format!("rows {rows:?}, children {children:?}"))
}

/// Two new workers at a time would fight for the listeners.
fn at_most_one_starts(world: &World) -> Verdict {
    let starting = world.table.rows().filter(|(_, p)| p.is_starting()).count();
    hold(starting <= 1, "at_most_one_starts", || format!("{starting} do"))
}

/// STOPPING starts systemd's timeout: never without a TERM, INT or USR1.
fn stopping_only_when_asked(world: &World) -> Verdict {
    let told = world.systemd == super::systemd::Systemd::Stopping;
    hold(told == world.ledger.stop_asked, "stopping_only_when_asked", || {
        format!("{:?}", world.systemd)
    })
}

/// Who leaves takes nobody's parent away.
fn nobody_is_left_behind(world: &World) -> Verdict {
    let left = matches!(world.phase, Phase::Left(_));
    hold(!left || world.children.is_empty(), "nobody_is_left_behind", || {
        format!("{:?}", world.children)
    })
}

/// No request waits when nothing is in its way.
fn requests_are_begun(world: &World) -> Verdict {
    let waiting = world.ledger.reload_asked;
    hold(waiting.is_none(), "requests_are_begun", || format!("{waiting:?}"))
}

/// The master's count of reloads is that of those carried out: an exec that
/// failed counts for nothing.
fn reloads_are_counted(world: &World) -> Verdict {
    let shown = world.table.master().map(|m| world.table.load(m).reloads);
    hold(shown == Some(world.ledger.reloads), "reloads_are_counted", || {
        format!("shown {shown:?}, happened {}", world.ledger.reloads)
    })
}

/// `failed: N` is the number of failures since the last success.
fn failures_are_counted(world: &World) -> Verdict {
    let shown = world.table.master().map(|m| world.table.load(m).failed_reloads);
    hold(shown == Some(world.ledger.failed), "failures_are_counted", || {
        format!("shown {shown:?}, happened {}", world.ledger.failed)
    })
}

/// The master knows how its last load ended.
fn the_result_is_known(world: &World) -> Verdict {
    let (said, is) = (world.life.load_status(), world.ledger.loaded);
    hold(said == is, "the_result_is_known", || format!("{said:?}, not {is:?}"))
}

/// A start or a reload that is over, however it ended, is over for systemd.
fn systemd_waits_for_nothing(world: &World) -> Verdict {
    let running = world.systemd == super::systemd::Systemd::Running;
    hold(running, "systemd_waits_for_nothing", || format!("{:?}", world.systemd))
}

/// After a start or a reload, however it ended, no signal is blocked.
fn signals_come_through(world: &World) -> Verdict {
    hold(!world.ledger.blocked, "signals_come_through", || "they are blocked".into())
}

/// After any failure a further reload is possible.
fn a_reload_is_possible(world: &World) -> Verdict {
    let may = world.life.may_reload(&world.table);
    hold(may.is_ok(), "a_reload_is_possible", || format!("{may:?}"))
}

/// With a new worker to come there is a time when it does.
fn a_dead_worker_is_replaced(world: &World) -> Verdict {
    let wanted = world.ledger.awaits_restart(world) && world.ledger.in_service.is_none();
    hold(!wanted || world.life.deadline().is_some(), "a_dead_worker_is_replaced", || {
        format!("{} in a row", world.ledger.restarts)
    })
}

/// The worker that connections go to is neither INIT nor LEAVING: after a
/// failure too, its death is the service's and its listeners are handed on.
fn who_serves_is_current(world: &World) -> Verdict {
    let Some((_, process)) = world.ledger.in_service.and_then(|pid| world.row_of(pid)) else {
        return Ok(());
    };
    let current = !process.is(options::LEAVING | options::INIT);
    hold(current, "who_serves_is_current", || format!("{process:?}"))
}

/// Beside the worker in service, every worker is LEAVING.
fn who_was_replaced_is_leaving(world: &World) -> Verdict {
    let Some(in_service) = world.ledger.in_service else {
        return Ok(());
    };
    for (_, p) in world.forked().filter(|(_, p)| p.is(options::WORKER) && p.pid != in_service) {
        hold(p.is(options::LEAVING), "who_was_replaced_is_leaving", || format!("{p:?}"))?;
    }
    Ok(())
}

/// Beside the worker in service, every worker has been told to leave.
fn who_was_replaced_was_told(world: &World) -> Verdict {
    let Some(in_service) = world.ledger.in_service else {
        return Ok(());
    };
    for (_, p) in world.forked().filter(|(_, p)| p.is(options::WORKER) && p.pid != in_service) {
        let told = world.child(p.pid).is_some_and(|c| c.told);
        hold(told, "who_was_replaced_was_told", || format!("{p:?}"))?;
    }
    Ok(())
}
