//! Stopping.

use crate::inside::Scenario;
use crate::service::{ALL, OURS, Service};

pub fn scenarios() -> Vec<Scenario> {
    [
        Scenario::of("stop", ALL, stop),
        Scenario::of("stop_during_reload", OURS, stop_during_reload),
        Scenario::of("soft_stop", ALL, soft_stop),
        Scenario::of("soft_stop_takes_too_long", ALL, soft_stop_takes_too_long),
    ]
    .concat()
}

/// It was stopped, in order, and nothing is left.
#[track_caller]
fn assert_stopped(service: &Service) {
    assert_eq!(service.unit.state(), "inactive (dead)");
    assert_eq!(service.unit.property("Result"), "success");
    assert_eq!(service.unit.processes(), []);
    service.assert_serves_not();
}

/// Connections end with it.
fn stop(service: &Service) -> String {
    service.started();
    let mut held = service.hold();
    service.unit.stop();
    assert_stopped(service);
    assert!(!held.works());
    String::new()
}

fn stop_during_reload(service: &Service) -> String {
    service.started();
    let gate = service.configure_behind_gate(2);
    let reload = service.unit.begin("reload");
    let reader = gate.wait_reader();
    service.assert_serves(1);
    service.unit.stop();
    reload.wait().failed();
    assert_eq!(service.unit.processes(), []);
    service.assert_serves_not();
    drop(reader);
    String::new()
}

const SOFT: &str = "[Service]\nKillSignal=SIGUSR1\n";

/// It waits for the last connection.
fn soft_stop(service: &Service) -> String {
    service.unit.drop_in(SOFT);
    service.started();
    service.wait_settled();
    let mut held = service.hold();
    let mut stop = service.unit.begin("stop");
    service.wait_serves_not();
    assert!(held.works());
    assert!(stop.is_running());
    assert_eq!(service.unit.state(), "deactivating (stop-sigterm)");
    drop(held);
    stop.wait().succeeded();
    assert_stopped(service);
    String::new()
}

/// But not for ever.
fn soft_stop_takes_too_long(service: &Service) -> String {
    service.unit.drop_in(&format!("{SOFT}TimeoutStopSec=2\n"));
    service.started();
    service.wait_settled();
    let mut held = service.hold();
    let stop = service.unit.begin("stop");
    service.wait_serves_not();
    assert!(held.works());
    stop.wait().succeeded();
    assert!(!held.works());
    assert_eq!(service.unit.state(), "failed (failed)");
    assert_eq!(service.unit.property("Result"), "timeout");
    assert_eq!(service.unit.processes(), []);
    String::new()
}
