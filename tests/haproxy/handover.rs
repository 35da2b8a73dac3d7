//! What one image of the master hands to the next: argv, environment, limits, descriptors.

use mworker_kit::{Signal, procfs};

use crate::compare::scenario;
use crate::run::Run;

/// The master's argv and environment after each kind of reload.
fn follow_argv(run: &mut Run) {
    let master = run.master();
    run.step("first start");
    run.note_cmdline(master);
    run.note_environ(master);
    let mut held = Some(run.hold());
    run.step("reload with an old worker left");
    run.reload(Signal::USR2);
    run.note_cmdline(master);
    run.note_environ(master);
    run.note_cmdline(run.worker());
    run.note_environ(run.worker());
    if run.version().rules().reloads_hard {
        run.step("hard reload");
        run.reload_over_cli_and_drain("hard-reload");
        run.note_cmdline(master);
        run.note_cmdline(run.worker());
    } else {
        held = None;
        run.wait_old_workers(0);
    }
    run.step("failed reload");
    run.write_broken_config();
    run.reload(Signal::USR2);
    run.note_cmdline(master);
    run.note_environ(master);
    run.step("good again");
    run.write_usual_config();
    run.reload(Signal::USR2);
    run.wait_old_workers(0);
    run.note_cmdline(master);
    run.note_environ(master);
    run.note_cmdline(run.worker());
    run.note_cli("@1 show env");
    drop(held);
}

#[test]
fn argv() {
    scenario("argv", |run| {
        run.start();
        follow_argv(run);
    });
}

/// `-x /dev/null` forbids to take the sockets over, for good.
#[test]
fn argv_without_socket_transfer() {
    scenario("argv_without_socket_transfer", |run| {
        run.write_usual_config();
        let launch = run.launch(&["-Ws", "-x", "/dev/null", "-S", &run.master_socket()]);
        run.start_as(launch);
        follow_argv(run);
    });
}

/// PIDs and a socket given by the user count for the first start only. There is no such
/// process: the kernel gives no number above 4194304.
#[test]
fn argv_of_a_takeover() {
    scenario("argv_of_a_takeover", |run| {
        run.write_usual_config();
        let args =
            ["-Ws", "-sf", "5000001", "5000002", "-x", "/nonexistent", "-S", &run.master_socket()];
        let launch = run.launch(&args);
        run.start_as(launch);
        run.note_events();
        run.note_cmdline(run.master());
        run.note_cli("show proc");
        let held = run.hold();
        for number in 1..=2 {
            run.step(&format!("reload {number}"));
            run.reload(Signal::USR2);
            run.wait_old_workers(1);
            run.note_events();
            run.note_cmdline(run.master());
            run.note_cmdline(run.worker());
            run.note_cli("show proc");
        }
        drop(held);
    });
}

/// Files after `--` stay the last arguments.
#[test]
fn argv_with_files_at_the_end() {
    scenario("argv_with_files_at_the_end", |run| {
        run.write_usual_config();
        let config = run.host.path("haproxy.cfg");
        let launch = run
            .host
            .launch(run.binary())
            .args(["-Ws", "-S", &run.master_socket(), "--"])
            .arg(config)
            .env("NOTIFY_SOCKET", run.notify.address());
        run.start_as(launch);
        let held = run.hold();
        run.note_cmdline(run.master());
        run.reload(Signal::USR2);
        run.note_cmdline(run.master());
        run.note_cmdline(run.worker());
        run.note_cli("show proc");
        drop(held);
    });
}

/// The limit of descriptors the master raises for itself is not what it hands on: that is
/// the one it was started with.
#[test]
fn limit_of_descriptors() {
    scenario("limit_of_descriptors", |run| {
        run.write_usual_config();
        let launch = run.launch(&["-Ws", "-S", &run.master_socket()]).nofile(150, 3000);
        run.start_as(launch);
        for number in 0..=3 {
            if number > 0 {
                run.step(&format!("reload {number}"));
                if number == 2 {
                    run.write_broken_config();
                } else {
                    run.write_usual_config();
                }
                run.reload(Signal::USR2);
                run.wait_old_workers(0);
            }
            let [master, worker] = [run.master(), run.worker()]
                .map(|pid| procfs::nofile(pid).expect("a living process"));
            let name = run.called(run.worker());
            let limit = format!("limit of {name}");
            if run.version().rules().counts_descriptors_of_the_table {
                run.note_raw(&limit, format!("{worker:?}"));
            } else {
                // Stock doesn't count the descriptors of the process table in.
                run.note(&limit, worker.0 > 150 && worker.1 == 3000);
            }
            // Its own depends on how many processes it knows at that moment.
            run.note("the master has its worker's limit", master == worker);
        }
        run.note_stderr();
    });
}

/// Twenty reloads leave no descriptor behind that one does not, some of them failed, some
/// asked for over the CLI.
#[test]
fn descriptors_do_not_grow() {
    scenario("descriptors_do_not_grow", |run| {
        run.start();
        run.reload(Signal::USR2);
        run.wait_old_workers(0);
        run.step("after 1");
        run.note_descriptors(run.master());
        run.note_descriptors(run.worker());
        let master = run.descriptors(run.master());
        for number in 2..=20 {
            if number % 5 == 0 {
                run.write_broken_config();
                run.reload(Signal::USR2);
                run.write_usual_config();
            } else if number % 5 == 1 {
                run.reload_over_cli_and_drain("reload");
            } else {
                run.reload(Signal::USR2);
            }
            run.wait_old_workers(0);
        }
        run.step("after 20");
        run.note_descriptors(run.master());
        run.note_descriptors(run.worker());
        assert_eq!(run.descriptors(run.master()), master, "the master's descriptors grew");
    });
}
