//! Starting.

use mworker_kit::Signal;

use crate::inside::Scenario;
use crate::service::{ALL, OURS, Service};

pub fn scenarios() -> Vec<Scenario> {
    [
        Scenario::of("start", ALL, start),
        Scenario::of("restart", ALL, restart),
        Scenario::of("stop_during_start", ALL, stop_during_start),
        Scenario::of("term_during_start", ALL, term_during_start),
        Scenario::of("broken_config", OURS, broken_config),
        Scenario::of("foreign_address", OURS, foreign_address),
        Scenario::of("start_that_hangs", OURS, hangs),
    ]
    .concat()
}

/// What is active serves.
fn start(service: &Service) -> String {
    for _ in 0..5 {
        service.started();
        assert_eq!(service.unit.state(), "active (running)");
        service.unit.clear();
    }
    String::new()
}

fn restart(service: &Service) -> String {
    service.started();
    let before = service.unit.master();
    service.configure(2);
    service.unit.restart();
    service.assert_serves(2);
    assert_ne!(service.unit.master(), before);
    String::new()
}

fn stop_during_start(service: &Service) -> String {
    let gate = service.configure_behind_gate(1);
    let start = service.unit.begin("start");
    let reader = gate.wait_reader();
    assert_eq!(service.unit.state(), "activating (start)");
    service.unit.stop();
    start.wait().failed();
    assert_eq!(service.unit.state(), "inactive (dead)");
    assert_eq!(service.unit.processes(), []);
    drop(reader);
    String::new()
}

/// Not by systemd, which starts it again.
fn term_during_start(service: &Service) -> String {
    let gate = service.configure_behind_gate(1);
    let start = service.unit.begin("start");
    let reader = gate.wait_reader();
    service.configure(2);
    service.unit.signal(Signal::TERM);
    // Before 257 the job ends with the first attempt.
    start.wait();
    service.unit.wait_state("active (running)");
    assert_eq!(service.unit.property("NRestarts"), "1");
    service.assert_serves(2);
    drop(reader);
    String::new()
}

/// It doesn't become active, however often it is tried, and nothing is left.
#[track_caller]
fn fails(service: &Service) {
    service.unit.ask("start").failed();
    service.unit.wait_state("failed (failed)");
    assert_eq!(service.unit.processes(), []);
    service.assert_serves_not();
    service.unit.clear();
    service.configure(1);
    service.started();
}

fn broken_config(service: &Service) -> String {
    service.configure_badly(1);
    fails(service);
    String::new()
}

fn foreign_address(service: &Service) -> String {
    service.configure_foreign(1);
    fails(service);
    String::new()
}

/// It is ended, HAProxy's by itself and the example's by systemd, which tries again.
fn hangs(service: &Service) -> String {
    let limits = "Environment=MWORKER_START_TIMEOUT=1\nTimeoutStartSec=3";
    service.unit.drop_in(&format!("[Service]\n{limits}\n"));
    let gate = service.configure_behind_gate(1);
    let start = service.unit.begin("start");
    let reader = gate.wait_reader();
    service.configure(2);
    start.wait();
    service.unit.wait_property("NRestarts", "1");
    service.unit.wait_state("active (running)");
    service.assert_serves(2);
    drop(reader);
    String::new()
}
