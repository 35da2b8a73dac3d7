//! What `systemctl status` shows, and what comes of a worker that freezes or dies.

use mworker_kit::{PATIENCE, Signal, wait_until};

use crate::inside::{Cursor, Scenario};
use crate::service::{OURS, Service};

pub fn scenarios() -> Vec<Scenario> {
    [
        Scenario::of("status", OURS, status),
        Scenario::of("frozen_worker", OURS, frozen_worker),
        Scenario::of("dead_worker_is_replaced", OURS, dead_worker_is_replaced),
    ]
    .concat()
}

#[track_caller]
fn wait_status(service: &Service, part: &str) {
    wait_until(PATIENCE, &format!("the status to say '{part}'"), || {
        service.unit.property("StatusText").contains(part)
    });
}

/// Connections, workers, reloads, and why the last one failed.
fn status(service: &Service) -> String {
    service.started();
    wait_status(service, "Ready. Connections: 0. Workers: 1 current, 0 old, 0 starting.");
    let held = service.hold();
    wait_status(service, "Ready. Connections: 1. ");
    service.configure(2);
    service.unit.reload();
    wait_status(
        service,
        "Connections: 1. Workers: 1 current, 1 old, 0 starting. Reloads: 1, failed: 0.",
    );
    drop(held);
    wait_status(
        service,
        "Connections: 0. Workers: 1 current, 0 old, 0 starting. Reloads: 1, failed: 0.",
    );
    service.configure_foreign(3);
    service.unit.ask("reload").failed();
    wait_status(service, "Reloads: 2, failed: 1 (last ");
    service.unit.property("StatusText")
}

/// It is logged first; then systemd hears nothing any more, and starts the service anew.
fn frozen_worker(service: &Service) -> String {
    service.unit.drop_in("[Service]\nWatchdogSec=2\n");
    service.started();
    let (master, cursor) = (service.unit.master(), Cursor::now());
    Signal::STOP.send(service.worker());
    wait_until(PATIENCE, "another master", || {
        service.unit.main_pid().is_some_and(|pid| pid != master)
    });
    service.unit.wait_state("active (running)");
    service.wait_serves(1);
    let journal = cursor.since();
    let logged = journal.find("has given no sign of life for");
    let ended = journal.find("Watchdog timeout");
    assert!(logged.is_some() && logged < ended, "{journal}");
    String::new()
}

/// By choice the service goes on with another one, under the same master.
fn dead_worker_is_replaced(service: &Service) -> String {
    service.unit.drop_in("[Service]\nEnvironment=MWORKER_RESTART=3\n");
    service.started();
    let (master, worker) = (service.unit.master(), service.worker());
    service.wait_signals();
    Signal::KILL.send(worker);
    wait_status(service, "Reloads: 1, failed: 0.");
    service.unit.wait_state("active (running)");
    service.wait_serves(1);
    assert_eq!(service.unit.master(), master);
    assert_ne!(service.worker(), worker);
    String::new()
}
