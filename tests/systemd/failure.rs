//! Processes that die.

use mworker_kit::{Pid, Signal, wait_until};

use crate::inside::Scenario;
use crate::service::{ALL, Service};

pub fn scenarios() -> Vec<Scenario> {
    [
        Scenario::of("worker_killed", ALL, worker_killed),
        Scenario::of("master_killed", ALL, master_killed),
        Scenario::of("worker_dies_while_starting", ALL, worker_dies_while_starting),
        Scenario::of("worker_dies_while_reloading", ALL, worker_dies_while_reloading),
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

fn worker_dies_while_reloading(service: &Service) -> String {
    service.started();
    service.configure_death(2);
    let reload = service.unit.ask("reload");
    let settled = || {
        let state = service.unit.state();
        state == "active (running)" || state == "failed (failed)"
    };
    wait_until(mworker_kit::PATIENCE, "the unit to settle", settled);
    format!("systemctl reload: {}; {}", reload.status, service.unit.state())
}
