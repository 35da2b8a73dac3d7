//! `-D`: the parent leaves, the master lives in the background, its number in the pidfile.

use std::net::TcpListener;

use mworker_kit::{PATIENCE, Pid, Signal, wait_for};

use crate::compare::scenario;
use crate::run::{Run, describe};

fn start_daemon(run: &mut Run, args: &[&str]) {
    let (socket, pidfile) = (run.master_socket(), run.host.path("proxy.pid"));
    let launch = run.launch(args).args(["-S", &socket]).arg("-p").arg(pidfile);
    run.spawn(launch);
    let status = run.proxy().wait_exit(PATIENCE);
    run.note("parent's exit", describe(status));
}

fn whole_life(run: &mut Run, args: &[&str]) {
    run.write_usual_config();
    start_daemon(run, args);
    let master: Pid = wait_for(PATIENCE, "a number in the pidfile", || {
        run.host.read("proxy.pid").strip_suffix('\n')?.parse().ok()
    });
    run.follow(master);
    run.settle();
    run.note_pidfile();
    run.note_cli("show proc");
    run.note_request();
    run.note_events();
    run.note_cmdline(master);
    run.note_environ(master);
    run.note_descriptors(master);
    run.note_descriptors(run.worker());
    for (step, signal) in [("reload", Signal::USR2), ("by HUP", Signal::HUP)] {
        run.step(step);
        run.reload(signal);
        run.wait_old_workers(0);
        run.note_pidfile();
        run.note_request();
        run.note_events();
        run.note_cli("show proc");
    }
    run.step("broken");
    run.write_broken_config();
    run.reload(Signal::USR2);
    run.note_pidfile();
    run.note_events();
    run.note_cli("show proc");
    run.note_descriptors(master);
    run.step("stop");
    run.proxy().signal(Signal::TERM);
    run.note_exit();
    run.note_pidfile();
}

#[test]
fn plain() {
    scenario("plain", |run| whole_life(run, &["-W", "-D"]));
}

#[test]
fn notifying() {
    scenario("notifying", |run| whole_life(run, &["-Ws", "-D"]));
}

#[test]
fn quiet() {
    scenario("quiet", |run| whole_life(run, &["-W", "-D", "-q"]));
}

/// The pidfile without `-D`.
#[test]
fn pidfile_in_foreground() {
    scenario("pidfile_in_foreground", |run| {
        run.write_usual_config();
        let pidfile = run.host.path("proxy.pid");
        let launch = run.launch(&["-Ws", "-S", &run.master_socket()]).arg("-p").arg(pidfile);
        run.start_as(launch);
        run.note_pidfile();
        run.reload(Signal::USR2);
        run.wait_old_workers(0);
        run.note_pidfile();
        run.write_broken_config();
        run.reload(Signal::USR2);
        run.note_pidfile();
        run.proxy().signal(Signal::TERM);
        run.note_exit();
        run.note_pidfile();
    });
}

#[test]
fn broken_config() {
    scenario("daemon_broken_config", |run| {
        run.write_broken_config();
        start_daemon(run, &["-W", "-D"]);
        run.note_exit();
        run.note_pidfile();
    });
}

#[test]
fn address_taken() {
    scenario("daemon_address_taken", |run| {
        let _taken = TcpListener::bind(run.other.addr()).expect("bind to a reserved port");
        let section = format!("frontend more\n    mode http\n    bind {}", run.other.addr());
        run.write_config(&run.config("", &section));
        start_daemon(run, &["-W", "-D"]);
        run.note_exit();
        run.note_pidfile();
    });
}

/// A pidfile that can't be written.
#[test]
fn pidfile_impossible() {
    scenario("pidfile_impossible", |run| {
        run.write_usual_config();
        let launch = run.launch(&["-Ws", "-S", &run.master_socket(), "-p", "/nonexistent/pid"]);
        run.spawn(launch);
        run.note_exit();
    });
}
