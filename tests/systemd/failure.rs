//! Processes that die.

use mworker_kit::{PATIENCE, Pid, Signal, procfs, wait_for, wait_until};

use crate::inside::Scenario;
use crate::service::{ALL, HAPROXYS, Kind, Service};

pub fn scenarios() -> Vec<Scenario> {
    [
        Scenario::of("worker_killed", ALL, worker_killed),
        Scenario::of("master_killed", ALL, master_killed),
        Scenario::of("worker_dies_while_starting", ALL, worker_dies_while_starting),
        Scenario::of("worker_dies_while_reloading", &[Kind::Example], worker_dies_while_reloading),
        Scenario::of("worker_dies_while_reloading", HAPROXYS, forked_worker_dies_while_reloading),
        Scenario::of(
            "worker_hangs_while_reloading",
            &[Kind::Example],
            worker_hangs_while_reloading,
        ),
    ]
    .concat()
}

/// systemd starts it again, and of the processes before nothing is left.
#[track_caller]
fn starts_again(service: &Service, before: &[Pid]) {
    service.unit.wait_property("NRestarts", "1");
    service.unit.wait_state("active (running)");
    service.assert_serves(1);
    for pid in service.unit.processes() {
        assert!(!before.contains(&pid), "{pid} is left of {before:?}");
    }
}

/// A current worker that dies ends the service.
fn worker_killed(service: &Service) -> String {
    service.started();
    let before = service.unit.processes();
    Signal::KILL.send(service.worker());
    starts_again(service, &before);
    String::new()
}

fn master_killed(service: &Service) -> String {
    service.started();
    let _held = service.hold();
    let before = service.unit.processes();
    service.unit.signal(Signal::KILL);
    starts_again(service, &before);
    String::new()
}

fn worker_dies_while_starting(service: &Service) -> String {
    service.configure_death(1);
    let start = service.unit.ask("start");
    service.unit.wait_state("failed (failed)");
    assert_eq!(service.unit.processes(), []);
    format!("systemctl start: {}", start.status)
}

/// The reload fails, and the old worker serves.
fn worker_dies_while_reloading(service: &Service) -> String {
    service.started();
    let mut held = service.hold();
    service.configure_death(2);
    service.unit.ask("reload").failed();
    service.assert_serves(1);
    assert_eq!(service.unit.state(), "active (running)");
    assert!(held.works());
    String::new()
}

/// HAProxy up to 3.0 makes the new worker the current one when it is forked, so its death ends
/// the service, in stock as in ours.
fn forked_worker_dies_while_reloading(service: &Service) -> String {
    service.started();
    service.configure_death(2);
    let reload = service.unit.ask("reload");
    if service.kind != Kind::Stock {
        reload.failed();
    }
    service.unit.wait_state("failed (failed)");
    assert_eq!(service.unit.processes(), []);
    format!("systemctl reload: {}; the service ends", reload.status)
}

/// It is killed when its time is up, and the old worker serves.
fn worker_hangs_while_reloading(service: &Service) -> String {
    service.unit.drop_in("[Service]\nEnvironment=MWORKER_START_TIMEOUT=1\n");
    service.started();
    let old = service.worker();
    let before = service.unit.processes();
    // The new worker waits for the listeners of the old one, until it is stopped itself.
    halt(old);
    service.configure(2);
    let reload = service.unit.begin("reload");
    let worker = wait_for(PATIENCE, "a new worker", || {
        let mut children = procfs::children(service.unit.master()).into_iter();
        children.find(|pid| !before.contains(pid))
    });
    halt(worker);
    Signal::CONT.send(old);
    reload.wait().failed();
    assert!(!procfs::alive(worker));
    service.assert_serves(1);
    assert_eq!(service.unit.state(), "active (running)");
    service.unit.reload();
    service.assert_serves(2);
    String::new()
}

#[track_caller]
fn halt(pid: Pid) {
    Signal::STOP.send(pid);
    wait_until(PATIENCE, "a process to be stopped", || {
        procfs::stat(pid).is_ok_and(|stat| stat.state == 'T')
    });
}
