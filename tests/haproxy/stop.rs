//! Stopping, and the other signals a master passes on.

use mworker_kit::{PATIENCE, Signal, wait_until};

use crate::compare::scenario;
use crate::run::{Run, listens};

fn stop_idle(name: &str, signal: Signal) {
    scenario(name, |run| {
        run.start();
        run.note_events();
        run.proxy().signal(signal);
        run.note_exit();
        run.note("master socket left", run.host.master_socket().exists());
    });
}

#[test]
fn term() {
    stop_idle("term", Signal::TERM);
}

#[test]
fn int() {
    stop_idle("int", Signal::INT);
}

#[test]
fn usr1() {
    stop_idle("usr1", Signal::USR1);
}

/// A master killed outright takes its workers along: they see its end of the pair close.
#[test]
fn kill() {
    stop_idle("kill", Signal::KILL);
}

/// Held connections do not hold up TERM or INT.
fn stop_busy(name: &str, signal: Signal) {
    scenario(name, |run| {
        run.start();
        let mut first = run.hold();
        run.reload(Signal::USR2);
        let mut second = run.hold();
        run.note_events();
        run.proxy().signal(signal);
        run.note_exit();
        run.note("connections work", first.works() || second.works());
    });
}

#[test]
fn term_with_connections() {
    stop_busy("term_with_connections", Signal::TERM);
}

#[test]
fn int_with_connections() {
    stop_busy("int_with_connections", Signal::INT);
}

fn begin_soft_stop(run: &mut Run) -> mworker_kit::Held {
    run.start();
    let held = run.hold();
    run.note_events();
    let worker = run.worker();
    run.proxy().signal(Signal::USR1);
    wait_until(PATIENCE, "the worker to stop listening", || !listens(worker));
    run.note_events();
    run.note_request();
    run.note_cli("show proc");
    held
}

/// USR1 waits for the connections.
#[test]
fn soft_stop_waits() {
    scenario("soft_stop_waits", |run| {
        let mut held = begin_soft_stop(run);
        run.note("connection works", held.works());
        drop(held);
        run.note_exit();
    });
}

#[test]
fn soft_stop_then_term() {
    scenario("soft_stop_then_term", |run| {
        let held = begin_soft_stop(run);
        run.proxy().signal(Signal::TERM);
        run.note_exit();
        drop(held);
    });
}

#[test]
fn soft_stop_then_int() {
    scenario("soft_stop_then_int", |run| {
        let held = begin_soft_stop(run);
        run.proxy().signal(Signal::INT);
        run.note_exit();
        drop(held);
    });
}

/// A reload that comes while the worker drains: it may bring the service back.
#[test]
fn soft_stop_then_reload() {
    scenario("soft_stop_then_reload", |run| {
        let held = begin_soft_stop(run);
        let before = run.proxy().stderr().len();
        run.proxy().signal(Signal::USR2);
        let done = match run.version().rules().logs_success {
            true => "Loading success",
            false => "New worker",
        };
        let told = run.wait_stderr_one_of(before, &["the reload is ignored", done]);
        run.note("after the reload", told.replace(done, "done"));
        run.proxy().signal(Signal::TERM);
        drop(held);
        run.proxy().wait_exit(PATIENCE);
    });
}

/// An old worker which still holds a connection holds up a soft stop too.
#[test]
fn soft_stop_waits_for_old_workers() {
    scenario("soft_stop_waits_for_old_workers", |run| {
        run.start();
        let mut held = run.hold();
        run.reload(Signal::USR2);
        run.note_events();
        run.proxy().signal(Signal::USR1);
        run.wait_stderr("Current worker");
        run.note_events();
        run.note_cli("show proc");
        run.note("connection works", held.works());
        drop(held);
        run.note_exit();
    });
}

/// TTOU pauses the workers' listeners, TTIN resumes them.
#[test]
fn pause_and_resume() {
    scenario("pause_and_resume", |run| {
        run.start();
        run.note_events();
        let worker = run.worker();
        run.proxy().signal(Signal::TTOU);
        wait_until(PATIENCE, "the worker to pause", || !listens(worker));
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
        run.proxy().signal(Signal::TTIN);
        wait_until(PATIENCE, "the worker to resume", || listens(worker));
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
    });
}
