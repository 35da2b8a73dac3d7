//! A systemd, booted in a container, and services under it: HAProxy with mworker, from the unit
//! that `make install` puts in place, the example proxy, and stock HAProxy beside them.
//!
//! This program is both sides. Started by cargo it boots the container, of this machine's own
//! files or of the tree that `MWORKER_SYSTEMD_ROOT` names, and shows what comes of each scenario;
//! in there it is started again as a service, and runs them. `make test T=systemd` runs it, with
//! the variables that name the proxies. Arguments pick scenarios by a part of their name.

#[path = "systemd/failure.rs"]
mod failure;
#[path = "systemd/gate.rs"]
mod gate;
#[path = "systemd/inside.rs"]
mod inside;
#[path = "systemd/liveness.rs"]
mod liveness;
#[path = "systemd/measure.rs"]
mod measure;
#[path = "systemd/outside.rs"]
mod outside;
#[path = "systemd/reload.rs"]
mod reload;
#[path = "systemd/sandbox.rs"]
mod sandbox;
#[path = "systemd/service.rs"]
mod service;
#[path = "systemd/start.rs"]
mod start;
#[path = "systemd/stop.rs"]
mod stop;
#[path = "c/support.rs"]
mod support;
#[path = "systemd/traffic.rs"]
mod traffic;
#[path = "systemd/tree.rs"]
mod tree;
#[path = "systemd/unit.rs"]
mod unit;

use inside::Scenario;

/// All of them, in the order in which they are run.
fn scenarios() -> Vec<Scenario> {
    [
        start::scenarios(),
        stop::scenarios(),
        reload::scenarios(),
        failure::scenarios(),
        liveness::scenarios(),
        sandbox::scenarios(),
        measure::scenarios(),
    ]
    .concat()
}

fn main() -> std::process::ExitCode {
    if std::env::var_os(inside::VARIABLE).is_some() { inside::main() } else { outside::main() }
}
