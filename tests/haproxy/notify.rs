//! What is sent to systemd's socket, and where that socket may be.

use mworker_kit::notify::monotonic;
use mworker_kit::{NotifySocket, Signal};

use crate::compare::scenario;
use crate::run::Run;

fn whole_life(run: &mut Run) {
    run.note_notify();
    run.reload(Signal::USR2);
    run.wait_old_workers(0);
    run.note_notify();
    run.write_broken_config();
    run.reload(Signal::USR2);
    run.note_notify();
    run.proxy().signal(Signal::TERM);
    run.note_exit();
}

#[test]
fn path_socket() {
    scenario("path_socket", |run| {
        run.start();
        whole_life(run);
    });
}

#[test]
fn abstract_socket() {
    scenario("abstract_socket", |run| {
        run.notify = NotifySocket::abstract_name(&run.host);
        run.start();
        whole_life(run);
    });
}

/// `-W` does not notify, whatever the environment says.
#[test]
fn plain_master_worker() {
    scenario("plain_master_worker", |run| {
        run.write_usual_config();
        let launch = run.launch(&["-W", "-S", &run.master_socket()]);
        run.start_as(launch);
        whole_life(run);
    });
}

/// An address nobody listens at, or that is none: the proxy lives on.
#[test]
fn odd_addresses() {
    scenario("odd_addresses", |run| {
        run.write_usual_config();
        let long = format!("/{}", "x".repeat(200));
        for address in ["", "garbage", "/nonexistent/notify", "@nobody-there", "vsock:2:1", &long] {
            run.step(&format!("NOTIFY_SOCKET={address}"));
            let launch =
                run.launch(&["-Ws", "-S", &run.master_socket()]).env("NOTIFY_SOCKET", address);
            run.restart_as(launch);
            run.note_request();
            run.reload(Signal::USR2);
            run.wait_old_workers(0);
            run.note_request();
            run.note_cli("show proc");
            run.proxy().signal(Signal::TERM);
            run.note_exit();
        }
    });
}

/// systemd compares `MONOTONIC_USEC` with its own clock.
#[test]
fn monotonic_time() {
    scenario("monotonic_time", |run| {
        run.start();
        run.notify.take();
        let before = monotonic().as_micros();
        run.reload(Signal::USR2);
        let after = monotonic().as_micros();
        for message in run.notify.take() {
            let time = message.get("MONOTONIC_USEC");
            let within = time
                .and_then(|time| time.parse().ok())
                .map(|time: u128| before <= time && time <= after);
            run.note("time within the reload", format!("{within:?}"));
        }
    });
}

/// Each message comes from the master itself: `NotifyAccess=main` drops others.
#[test]
fn sender() {
    scenario("sender", |run| {
        run.start();
        run.reload(Signal::HUP);
        run.reload_over_cli_and_drain("reload");
        run.proxy().signal(Signal::USR1);
        let (master, mut others) = (run.master(), 0);
        run.proxy().wait_exit(mworker_kit::PATIENCE);
        for message in run.notify.take() {
            others += usize::from(message.sender != master);
        }
        run.note("messages from others", others);
    });
}
