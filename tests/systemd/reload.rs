//! Reloading.

use crate::inside::Scenario;
use crate::service::{ALL, Kind, OURS, Service};

pub fn scenarios() -> Vec<Scenario> {
    [
        Scenario::of("reload", ALL, reload),
        Scenario::of("reload_during_reload", OURS, reload_during_reload),
        Scenario::of("reload_of_a_broken_config", ALL, broken_config),
        Scenario::of("reload_onto_a_foreign_address", ALL, foreign_address),
        Scenario::of("reload_that_hangs", &[Kind::Haproxy], hangs),
        Scenario::since(253, Scenario::of("notify_reload", &[Kind::Haproxy], notify_reload)),
    ]
    .concat()
}

/// Again and again: who answers at the moment that it is said to be done?
fn reload(service: &Service) -> String {
    // Stock is only here to compare with.
    let reloads = if service.kind == Kind::Stock { 20 } else { 200 };
    service.started();
    let master = service.unit.master();
    let mut early = 0;
    for number in 2..2 + reloads {
        service.configure(number);
        service.unit.reload();
        if service.expect_number() != number {
            early += 1;
        }
    }
    assert_eq!(service.unit.master(), master);
    assert!(early == 0 || service.kind == Kind::Stock, "{early} of {reloads} returned early");
    format!("{early} of {reloads} returned while the old worker served")
}

/// Both are done, one after the other.
fn reload_during_reload(service: &Service) -> String {
    service.started();
    let gate = service.configure_behind_gate(2);
    let first = service.unit.begin("reload");
    let reader = gate.wait_reader();
    service.configure(3);
    let mut second = service.unit.begin("reload");
    service.assert_serves(1);
    assert!(second.is_running());
    reader.go_on();
    first.wait().succeeded();
    second.wait().succeeded();
    service.assert_serves(3);
    String::new()
}

/// The service goes on as it was, and is reloaded again once the reason is gone.
#[track_caller]
fn goes_on(service: &Service) {
    service.assert_serves(1);
    assert_eq!(service.unit.state(), "active (running)");
    service.configure(2);
    service.unit.reload();
    service.wait_serves(2);
}

fn broken_config(service: &Service) -> String {
    service.started();
    let mut held = service.hold();
    service.configure_badly(2);
    service.unit.ask("reload").failed();
    goes_on(service);
    assert!(held.works());
    String::new()
}

/// The configuration is fine, and the reload fails.
fn foreign_address(service: &Service) -> String {
    service.started();
    let mut held = service.hold();
    service.configure_foreign(2);
    let reload = service.unit.ask("reload");
    if service.kind == Kind::Stock {
        reload.succeeded();
        service.unit.wait_state("active (running)");
    } else {
        reload.failed();
    }
    goes_on(service);
    assert!(held.works());
    format!("systemctl reload: {}", reload.status)
}

/// The load is ended when its time is up, and has failed.
fn hangs(service: &Service) -> String {
    service.unit.drop_in("[Service]\nEnvironment=MWORKER_START_TIMEOUT=1\n");
    service.started();
    let mut held = service.hold();
    let gate = service.configure_behind_gate(2);
    let reload = service.unit.begin("reload");
    let reader = gate.wait_reader();
    reload.wait().failed();
    service.unit.wait_state("active (running)");
    goes_on(service);
    assert!(held.works());
    drop(reader);
    String::new()
}

/// The drop-in that is installed as an example: systemd sends the signal and waits.
fn notify_reload(service: &Service) -> String {
    const RELOADS: u16 = 50;
    let path = "/usr/share/mworker/systemd/notify-reload.conf";
    service.unit.drop_in(&std::fs::read_to_string(path).expect("the drop-in"));
    service.started();
    let mut early = 0;
    for number in 2..2 + RELOADS {
        service.configure(number);
        service.unit.reload();
        if service.expect_number() != number {
            early += 1;
        }
        service.wait_serves(number);
    }
    service.configure_foreign(100);
    // Nobody tells systemd.
    service.unit.reload();
    service.unit.wait_state("active (running)");
    service.assert_serves(1 + RELOADS);
    format!("{early} of {RELOADS} returned while the old worker served")
}
