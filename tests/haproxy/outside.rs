//! What is seen from outside: messages to systemd, answers, children. There is no master CLI, as
//! in 1.8, which has none.

use mworker_kit::signal::master_ready;
use mworker_kit::{PATIENCE, Pid, Signal, http, procfs, wait_until};

use crate::compare::scenario;
use crate::run::Run;

const WAITS: &str = "HAPROXY_MWORKER_WAIT_ONLY";

/// With `nbproc` each worker has one thread.
fn write_config(run: &Run, global: &str) {
    let config = run.config(global, "");
    let threads = if global.contains("nbproc") { 1 } else { 2 };
    run.write_config(&config.replace("nbthread 2", &format!("nbthread {threads}")));
}

/// Starts, and waits until it serves.
fn start(run: &mut Run, global: &str) {
    write_config(run, global);
    let launch = run.launch(&["-Ws"]);
    run.spawn(launch);
    settle(run, &[], true);
}

/// Waits for READY, for the last image to act on signals, and for its children: if there are to
/// be new ones, for nobody else.
#[track_caller]
fn settle(run: &mut Run, before: &[Pid], success: bool) {
    let (master, version) = (run.master(), run.version());
    run.notify.wait_for("READY", |messages| messages.iter().any(|m| m.has("READY", "1")));
    let waits =
        version.rules().executes_itself_to_wait || !success && !version.rules().loads_in_the_worker;
    wait_until(PATIENCE, "the master to be there for good", || {
        let environ = procfs::environ(master).unwrap_or_default();
        let is_last = environ.iter().any(|(name, _)| name == WAITS) == waits;
        is_last && (version.rules().holds_signals_back || master_ready(master))
    });
    wait_until(PATIENCE, "the workers", || {
        let children = procfs::children(master);
        let are_old = |pid: &Pid| before.contains(pid);
        let right = if success { !children.iter().any(are_old) } else { children == before };
        right && !children.is_empty()
    });
}

/// Notes what systemd was told, how many workers there are, and who answers.
fn note(run: &mut Run) {
    run.note_notify();
    let children = procfs::children(run.master());
    run.note_raw("children", children.len());
    if children.len() == 1 {
        return run.note_request();
    }
    let answer = http::get(run.http.addr(), "/", PATIENCE).expect("an answer");
    let pid = answer.body.trim().parse().unwrap_or(0);
    run.note_raw("a child answers", children.contains(&pid));
}

/// Asks for a reload that succeeds or not.
fn reload(run: &mut Run, signal: Signal, success: bool) {
    let before = procfs::children(run.master());
    signal.send(run.master());
    settle(run, &before, success);
    note(run);
}

/// Reloads by either signal, two that are refused, others, and the stop.
fn life(run: &mut Run, global: &str, stop: Signal) {
    start(run, global);
    note(run);
    for signal in [Signal::USR2, Signal::HUP, Signal::USR2] {
        run.step("reload");
        reload(run, signal, true);
    }
    // Stock that acts on no signal afterwards has nothing to be compared with.
    if !run.version().rules().holds_signals_back_after_failure {
        for signal in [Signal::USR2, Signal::HUP] {
            run.step("refused");
            write_config(run, &format!("{global}\n    no-such-keyword"));
            reload(run, signal, false);
        }
        run.step("mended");
        write_config(run, global);
        reload(run, Signal::USR2, true);
    }
    run.step("stop");
    run.proxy().signal(stop);
    run.note_exit();
}

#[test]
fn until_terminated() {
    scenario("until_terminated", |run| life(run, "", Signal::TERM));
}

#[test]
fn until_interrupted() {
    scenario("until_interrupted", |run| life(run, "", Signal::INT));
}

#[test]
fn until_stopped_softly() {
    scenario("until_stopped_softly", |run| life(run, "", Signal::USR1));
}

/// `nbproc`, where there is such a thing.
#[test]
fn with_several_workers() {
    scenario("with_several_workers", |run| {
        let several = run.version().rules().has_several_workers;
        life(run, if several { "    nbproc 3" } else { "" }, Signal::TERM);
    });
}

/// The worker dies, and the service with it.
#[test]
fn until_the_worker_is_killed() {
    scenario("until_the_worker_is_killed", |run| {
        start(run, "");
        note(run);
        Signal::KILL.send(procfs::children(run.master())[0]);
        run.note_exit();
    });
}

/// The first configuration is refused.
#[test]
fn refused_at_the_start() {
    scenario("refused_at_the_start", |run| {
        run.write_broken_config();
        let launch = run.launch(&["-Ws"]);
        run.spawn(launch);
        run.note_exit();
    });
}
