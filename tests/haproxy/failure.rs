//! Workers that die, and what the master makes of it.

use mworker_kit::{PATIENCE, Pid, Signal, procfs};

use crate::compare::{OURS, binary, scenario};
use crate::faults::answering;
use crate::run::{Run, Section};

#[test]
fn current_worker_killed() {
    scenario("current_worker_killed", |run| {
        run.start();
        run.note_events();
        Signal::KILL.send(run.worker());
        run.note_exit();
    });
}

/// The old ones go too: exit-on-failure spares nobody.
#[test]
fn current_worker_killed_with_old_ones() {
    scenario("current_worker_killed_with_old_ones", |run| {
        run.start();
        let held = run.hold();
        run.reload(Signal::USR2);
        run.note_events();
        Signal::KILL.send(run.worker());
        run.note_exit();
        drop(held);
    });
}

#[test]
fn old_worker_killed() {
    scenario("old_worker_killed", |run| {
        run.start();
        let held = run.hold();
        run.reload(Signal::USR2);
        run.note_events();
        Signal::KILL.send(run.rows_of(Section::OldWorkers)[0].pid);
        run.wait_old_workers(0);
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
        run.reload(Signal::USR2);
        run.wait_old_workers(0);
        run.note_events();
        run.note_request();
        drop(held);
    });
}

/// Ends by a signal sent to the worker, past its master.
fn worker_gets(name: &str, signal: Signal) {
    scenario(name, |run| {
        run.start();
        run.note_events();
        signal.send(run.worker());
        run.note_exit();
    });
}

#[test]
fn worker_gets_term() {
    worker_gets("worker_gets_term", Signal::TERM);
}

#[test]
fn worker_gets_int() {
    worker_gets("worker_gets_int", Signal::INT);
}

#[test]
fn worker_gets_usr1() {
    worker_gets("worker_gets_usr1", Signal::USR1);
}

/// The last worker is gone, so the master goes, whatever the option says.
#[test]
fn no_exit_on_failure_alone() {
    scenario("no_exit_on_failure_alone", |run| {
        run.write_config(&run.config("    master-worker no-exit-on-failure", ""));
        run.start();
        run.note_events();
        Signal::KILL.send(run.worker());
        run.note_exit();
    });
}

/// 3.0 forgets the option: the image which waits does not read the configuration.
#[test]
fn no_exit_on_failure_with_old_worker() {
    scenario("no_exit_on_failure_with_old_worker", |run| {
        run.write_config(&run.config("    master-worker no-exit-on-failure", ""));
        run.start();
        let held = run.hold();
        run.reload(Signal::USR2);
        run.note_events();
        Signal::KILL.send(run.worker());
        if run.version().rules().forgets_no_exit_on_failure {
            run.note_exit();
            drop(held);
            return;
        }
        run.wait_stderr("Current worker");
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
        drop(held);
        run.note_exit();
    });
}

/// A master that is killed leaves no worker behind, not even one with connections.
#[test]
fn master_killed_with_connections() {
    scenario("master_killed_with_connections", |run| {
        run.start();
        let held = run.hold();
        run.reload(Signal::USR2);
        run.note_events();
        run.proxy().signal(Signal::KILL);
        run.note_exit();
        drop(held);
    });
}

/// A worker stopped for a while is neither lost nor taken for dead.
#[test]
fn stopped_worker() {
    scenario("stopped_worker", |run| {
        run.start();
        run.note_events();
        let worker = run.worker();
        Signal::STOP.send(worker);
        mworker_kit::wait_until(mworker_kit::PATIENCE, "the worker to be stopped", || {
            procfs::stat(worker).is_ok_and(|stat| stat.state == 'T')
        });
        run.note_cli("show proc");
        run.note_events();
        Signal::CONT.send(worker);
        run.note_request();
    });
}

/// By choice another one comes. Where a start has several (`nbproc`), all are started anew, and
/// the others serve until then.
#[test]
fn dead_worker_is_replaced() {
    let mut run = Run::new(&binary(OURS));
    let mut config = run.config("", "");
    let mut count = 1;
    if run.version().rules().has_several_workers {
        // Several of both is too much for HAProxy.
        config = config
            .replace("nbthread 2", "nbthread 1")
            .replace("global\n", "global\n    nbproc 2\n");
        count = 2;
    }
    run.write_config(&config);
    let launch = run.launch(&["-Ws", "-S", &run.master_socket()]).env("MWORKER_RESTART", "3");
    run.start_as(launch);
    let mut before: Vec<Pid> = Vec::new();
    for number in 0..=2 {
        let workers: Vec<Pid> = run.rows_of(Section::Workers).iter().map(|row| row.pid).collect();
        assert_eq!(workers.len(), count, "after {number}");
        assert!(workers.iter().all(|pid| !before.contains(pid)), "{workers:?} after {before:?}");
        assert!(answering(&run).is_some_and(|pid| workers.contains(&pid)), "after {number}");
        if number < 2 {
            Signal::KILL.send(workers[count - 1]);
            run.count_reloads(1);
            run.settle();
            run.wait_old_workers(0);
        }
        before = workers;
    }
    run.proxy().signal(Signal::TERM);
    let status = run.proxy().wait_exit(PATIENCE);
    assert_eq!(status.code(), Some(0), "{status}");
}
