//! Stopping.

use std::time::{Duration, Instant};

use mworker_kit::{PATIENCE, wait_until};

use crate::inside::Scenario;
use crate::service::{ALL, Kind, OURS, Service};

pub fn scenarios() -> Vec<Scenario> {
    [
        Scenario::of("stop", ALL, stop),
        Scenario::of("stop_during_reload", OURS, stop_during_reload),
        Scenario::of("soft_stop", ALL, soft_stop),
        Scenario::of("soft_stop_past_the_limit", OURS, soft_stop_past_the_limit),
        Scenario::of("soft_stop_past_the_limit", &[Kind::Stock], soft_stop_is_cut_off),
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
    assert_stopped(service);
    drop(reader);
    String::new()
}

const SOFT: &str = "[Service]\nKillSignal=SIGUSR1\n";

/// It waits for the last connection.
fn soft_stop(service: &Service) -> String {
    service.unit.drop_in(SOFT);
    service.started();
    service.wait_signals();
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

const LIMITED: &str = "[Service]\nKillSignal=SIGUSR1\nTimeoutStopSec=3\n";

/// systemd is told that it goes on.
fn soft_stop_past_the_limit(service: &Service) -> String {
    service.unit.drop_in(LIMITED);
    service.started();
    service.wait_signals();
    let mut held = service.hold();
    let begun = Instant::now();
    let mut stop = service.unit.begin("stop");
    service.wait_serves_not();
    let mut works = true;
    wait_until(PATIENCE, "the limit to pass", || {
        works &= held.works() && stop.is_running();
        !works || begun.elapsed() > Duration::from_secs(5)
    });
    assert!(works, "it was cut off: {}", service.unit.state());
    drop(held);
    stop.wait().succeeded();
    assert_stopped(service);
    String::new()
}

fn soft_stop_is_cut_off(service: &Service) -> String {
    service.unit.drop_in(LIMITED);
    service.started();
    service.wait_signals();
    let mut held = service.hold();
    let stop = service.unit.begin("stop");
    service.wait_serves_not();
    assert!(held.works());
    stop.wait().succeeded();
    assert!(!held.works());
    assert_eq!(service.unit.state(), "failed (failed)");
    assert_eq!(service.unit.property("Result"), "timeout");
    assert_eq!(service.unit.processes(), []);
    "cut off".to_owned()
}
