//! Starting, and failing to.

use std::net::TcpListener;

use mworker_kit::{PATIENCE, procfs, signal, wait_until};

use crate::compare::scenario;
use crate::run::Run;

/// What a fresh master and its worker are like in every respect.
#[test]
fn fresh_start() {
    scenario("fresh_start", |run| {
        run.start();
        run.step("started");
        run.note_events();
        run.note_cli("show proc");
        run.note_request();
        let (master, worker) = (run.master(), run.worker());
        for pid in [master, worker] {
            run.note_cmdline(pid);
            run.note_environ(pid);
            run.note_signals(pid);
            run.note_descriptors(pid);
            let stat = procfs::stat(pid).expect("a living process");
            run.note("session", stat.session);
            run.note("group", stat.group);
            run.note("parent", stat.parent);
        }
        run.note_cli("@1 show env");
    });
}

#[test]
fn broken_config() {
    scenario("broken_config", |run| {
        run.write_broken_config();
        let launch = run.launch(&["-Ws", "-S", &run.master_socket()]);
        run.spawn(launch);
        run.note_exit();
        run.note("master socket left", run.host.master_socket().exists());
    });
}

#[test]
fn address_taken() {
    scenario("address_taken", |run| {
        let _taken = TcpListener::bind(run.other.addr()).expect("bind to a reserved port");
        let section = format!("frontend more\n    mode http\n    bind {}", run.other.addr());
        run.write_config(&run.config("", &section));
        let launch = run.launch(&["-Ws", "-S", &run.master_socket()]);
        run.spawn(launch);
        run.note_exit();
        run.note("master socket left", run.host.master_socket().exists());
    });
}

/// `-c` looks at the configuration and no more: no fork, no socket, no notification.
#[test]
fn check_only() {
    scenario("check_only", |run| {
        for mode in [&["-c", "-Ws"][..], &["-c", "-W", "-D"], &["-W", "-c", "-q"]] {
            for broken in [false, true] {
                run.step(&format!("{mode:?} broken: {broken}"));
                if broken {
                    run.write_broken_config();
                } else {
                    run.write_usual_config();
                }
                let socket = run.master_socket();
                let launch = run.launch(mode).arg("-S").arg(&socket).named("check");
                let mut check = launch.spawn();
                let mut children = 0;
                wait_until(PATIENCE, "the check to end", || {
                    children += procfs::children(check.pid()).len();
                    check.try_exit().is_some()
                });
                let status = check.try_exit().expect("it has ended");
                run.note("exit", crate::run::describe(status));
                if !(run.version().rules().goes_into_background_first && mode.contains(&"-D")) {
                    run.note("children seen", children);
                }
                run.note("says it has forked", check.stderr().contains("forked"));
                run.note("master socket", run.host.master_socket().exists());
                run.note_text("stdout", &check.stdout());
            }
        }
        run.note_notify();
    });
}

/// `-W` without `-S`: no master CLI, so only `/proc` tells that it serves.
#[test]
fn without_master_cli() {
    scenario("without_master_cli", |run| {
        run.write_usual_config();
        let launch = run.launch(&["-W"]);
        run.spawn(launch);
        let master = run.master();
        let waits = run.version().rules().executes_itself_to_wait;
        wait_until(PATIENCE, "the master to be there for good", || {
            let env = procfs::environ(master).unwrap_or_default();
            let anew = env.iter().any(|(name, _)| name == "HAPROXY_MWORKER_REEXEC");
            signal::master_ready(master) && anew == waits
        });
        if run.version().rules().answers_when_worker_is_ready {
            run.wait_stderr("Loading success");
        }
        run.note_cmdline(master);
        run.note_environ(master);
        run.note_events();
        run.note_descriptors(master);
        let worker = procfs::children(master)[0];
        run.note_descriptors(worker);
        // Not before: its connection would be open a moment longer.
        run.note_request();
        run.proxy().signal(mworker_kit::Signal::TERM);
        run.note_exit();
    });
}

#[test]
fn master_socket_without_master() {
    scenario("master_socket_without_master", |run| {
        run.write_usual_config();
        let launch = run.launch(&["-S", &run.master_socket()]);
        run.spawn(launch);
        if !run.version().rules().refuses_cli_without_master {
            // It is a warning, and the proxy serves.
            let pid = run.master();
            wait_until(PATIENCE, "a proxy that listens", || crate::run::listens(pid));
            run.note_request();
            run.note_stderr();
            run.proxy().signal(mworker_kit::Signal::TERM);
        }
        run.note_exit();
    });
}

/// `master-worker` in the configuration instead of `-W`.
#[test]
fn mode_from_config() {
    scenario("mode_from_config", |run| {
        run.write_config(&run.config("    master-worker", ""));
        let launch = run.launch(&["-S", &run.master_socket()]);
        if run.version().rules().needs_mode_for_cli {
            run.spawn(launch);
            run.note_exit();
            let launch = run.launch(&[]);
            run.respawn(launch);
            if run.version().rules().has_mode_in_config {
                run.wait_stderr("Loading success");
                run.note_request();
                run.proxy().signal(mworker_kit::Signal::TERM);
            }
            run.note_exit();
            return;
        }
        run.start_as(launch);
        run.note_cli("show proc");
        run.note_events();
        run.reload(mworker_kit::Signal::USR2);
        run.wait_old_workers(0);
        run.note_events();
        run.note_request();
    });
}

/// A process table that is no table, as if handed over by another master. The PIDs are none:
/// the kernel gives no number above 4194304.
#[test]
fn malformed_process_table() {
    scenario("malformed_process_table", |run| {
        run.write_usual_config();
        for table in [
            "",
            "|",
            "|type=w;pid=abc;fd=",
            "|unknown=1;type=?;pid=5000001;reloads=3;id=",
            "|type=e;fd=-1;cfd=-1;pid=5000002;reloads=1;failedreloads=0;timestamp=1;id=x;version=",
        ] {
            start_with_table(run, table);
            if run.version().rules().needs_row_of_master {
                start_with_table(run, &format!("{MASTER}|{table}"));
            }
        }
    });
}

/// A good row of a master.
const MASTER: &str =
    "|type=m;fd=-1;cfd=-1;pid=5000004;reloads=2;failedreloads=0;timestamp=1;id=;version=";

/// The same without anything that could be a row.
#[test]
fn process_table_without_rows() {
    scenario("process_table_without_rows", |run| {
        run.write_usual_config();
        for table in ["garbage", "|||;;;==="] {
            start_with_table(run, table);
            if run.version().rules().needs_row_of_master {
                start_with_table(run, &format!("{MASTER}|{table}"));
            }
        }
    });
}

/// The same, of the master's own row.
#[test]
fn malformed_row_of_the_master() {
    scenario("malformed_row_of_the_master", |run| {
        run.write_usual_config();
        start_with_table(run, "|type=m;pid=0;reloads=99999999999999999999;timestamp=-5");
    });
}

fn start_with_table(run: &mut Run, table: &str) {
    run.step(&format!("HAPROXY_PROCESSES={table}"));
    let launch = run
        .launch(&["-Ws", "-S", &run.master_socket()])
        .env("HAPROXY_MWORKER_REEXEC", "1")
        .env("HAPROXY_PROCESSES", table);
    run.start_odd(launch);
}

/// Tables with a worker that has no descriptor: 3.0.11 crashes over each.
#[test]
fn process_table_without_descriptors() {
    scenario("process_table_without_descriptors", |run| {
        run.write_usual_config();
        for table in [
            "|type=w",
            "|type=w;fd=-1;cfd=-1;pid=5000003;reloads=2;failedreloads=0;timestamp=1;id=;version=0",
        ] {
            run.step(&format!("HAPROXY_PROCESSES={table}"));
            let table = match run.version().rules().needs_row_of_master {
                true => format!("{MASTER}{table}"),
                false => table.to_owned(),
            };
            let launch = run
                .launch(&["-Ws", "-S", &run.master_socket()])
                .env("HAPROXY_MWORKER_REEXEC", "1")
                .env("HAPROXY_PROCESSES", table);
            run.start_doomed(launch);
        }
    });
}

/// The same, and no table at all.
#[test]
fn missing_process_table() {
    scenario("missing_process_table", |run| {
        run.write_usual_config();
        let launch =
            run.launch(&["-Ws", "-S", &run.master_socket()]).env("HAPROXY_MWORKER_REEXEC", "1");
        run.start_odd(launch);
    });
}
