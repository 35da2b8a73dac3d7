//! Reloads that go well, or are refused.

use std::net::TcpListener;

use mworker_kit::{Plan, Signal};

use crate::compare::scenario;
use crate::run::Section;

#[test]
fn by_usr2() {
    scenario("by_usr2", |run| {
        run.start();
        run.note_events();
        for number in 1..=5 {
            run.step(&format!("reload {number}"));
            run.reload(Signal::USR2);
            run.wait_old_workers(0);
            run.note_events();
            run.note_request();
        }
        run.note_cli("show proc");
    });
}

#[test]
fn by_hup() {
    scenario("by_hup", |run| {
        run.start();
        run.note_events();
        run.reload(Signal::HUP);
        run.wait_old_workers(0);
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
    });
}

/// The old worker serves its connection to the end.
#[test]
fn old_worker_drains() {
    scenario("old_worker_drains", |run| {
        run.start();
        let mut held = run.hold();
        run.note_events();
        run.reload(Signal::USR2);
        run.note_events();
        run.note_cli("show proc");
        run.note("old connection works", held.works());
        run.note_request();
        let old = run.rows_of(Section::OldWorkers)[0].pid;
        run.note_signals(old);
        run.note_descriptors(old);
        drop(held);
        run.wait_old_workers(0);
        run.note_events();
        run.note_cli("show proc");
    });
}

/// A refused configuration leaves the worker alone; a good one is taken afterwards.
#[test]
fn broken_config_then_good() {
    scenario("broken_config_then_good", |run| {
        run.start();
        run.note_events();
        for number in 1..=2 {
            run.step(&format!("broken {number}"));
            run.write_broken_config();
            run.reload(Signal::USR2);
            run.note_events();
            run.note_request();
            run.note_cli("show proc");
            run.note_cli("_loadstatus");
            let (master, worker) = (run.master(), run.worker());
            run.note_signals(master);
            run.note_descriptors(master);
            run.note_descriptors(worker);
        }
        run.step("good");
        run.write_usual_config();
        run.reload(Signal::USR2);
        run.wait_old_workers(0);
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
        run.note_cli("_loadstatus");
        run.note_descriptors(run.master());
    });
}

/// The same with an address that cannot be bound: the old worker is asked to pause, and must
/// have resumed in the end.
#[test]
fn address_taken_then_free() {
    scenario("address_taken_then_free", |run| {
        run.start();
        run.note_events();
        let taken = TcpListener::bind(run.other.addr()).expect("bind to a reserved port");
        let section = format!("frontend more\n    mode http\n    bind {}", run.other.addr());
        run.write_config(&run.config("", &section));
        run.step("taken");
        run.reload(Signal::USR2);
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
        run.note_descriptors(run.master());
        drop(taken);
        run.step("free");
        run.reload(Signal::USR2);
        run.wait_old_workers(0);
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
    });
}

/// The configuration file is gone.
#[test]
fn config_missing() {
    scenario("config_missing", |run| {
        run.start();
        run.note_events();
        let path = run.host.path("haproxy.cfg");
        std::fs::remove_file(path).expect("the configuration file was written");
        if run.version().rules().ends_without_configuration {
            Signal::USR2.send(run.master());
            run.note_exit();
            return;
        }
        run.reload(Signal::USR2);
        run.note_events();
        run.note_request();
        run.note_cli("show proc");
        run.write_usual_config();
        run.reload(Signal::USR2);
        run.wait_old_workers(0);
        run.note_events();
        run.note_request();
    });
}

/// Old workers which hold connections are put down once they are older than allowed.
#[test]
fn max_reloads() {
    scenario("max_reloads", |run| {
        run.write_config(&run.config("    mworker-max-reloads 2", ""));
        run.start();
        run.note_events();
        let mut held = vec![run.hold()];
        for number in 1..=4_usize {
            run.step(&format!("reload {number}"));
            run.reload(Signal::USR2);
            run.wait_old_workers(number.min(2));
            run.note_events();
            run.note_cli("show proc");
            let working = held.iter_mut().map(|held| held.works()).collect::<Vec<_>>();
            run.note("old connections work", format!("{working:?}"));
            held.push(run.hold());
        }
    });
}

/// None at all is allowed to stay.
#[test]
fn max_reloads_zero() {
    scenario("max_reloads_zero", |run| {
        run.write_config(&run.config("    mworker-max-reloads 0", ""));
        run.start();
        let mut held = run.hold();
        run.note_events();
        run.reload(Signal::USR2);
        run.wait_old_workers(0);
        run.note_events();
        run.note("old connection works", held.works());
        run.note_request();
        run.note_cli("show proc");
    });
}

/// No request fails, be it on a new or on a kept connection.
#[test]
fn under_http_load() {
    scenario("under_http_load", |run| {
        run.start();
        let load = Plan::http(run.http.addr(), None).start();
        load.wait_more(50);
        for _ in 0..15 {
            run.reload(Signal::USR2);
            load.wait_more(20);
        }
        let report = load.stop();
        let is_reset = |reason: &String| reason.contains("kept-alive request: Connection reset");
        let resets = report.reasons.iter().filter(|reason| is_reset(reason)).count() as u64;
        if !run.version().rules().resets_idle_connections || report.failures != resets {
            report.assert_clean();
        }
        run.note("failures", 0);
        run.wait_old_workers(0);
        run.note_cli("show proc");
    });
}

/// No line is lost, and no connection: old workers serve theirs until they end.
#[test]
fn under_tcp_load() {
    scenario("under_tcp_load", |run| {
        run.start();
        let load = Plan::echo(run.tcp.addr(), 40).start();
        load.wait_more(50);
        for _ in 0..10 {
            run.reload(Signal::USR2);
            load.wait_more(20);
        }
        let report = load.stop();
        report.assert_clean();
        run.note("failures", report.failures);
        if !run.version().rules().misses_the_end_of_connections {
            run.wait_old_workers(0);
            run.note_cli("show proc");
        }
    });
}
