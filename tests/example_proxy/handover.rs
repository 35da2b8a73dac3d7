//! From one image of the master to the next: environment, descriptors, limits.

use std::fs;
use std::path::{Path, PathBuf};

use mworker_kit::{Launch, PATIENCE, Pid, Signal, compile, procfs, wait_for, wait_until};

use crate::scene::{FAILED, REFUSED, RELOADING, Scene, binary};

impl Scene {
    /// Waits until the master has closed the connections of our own questions. What a
    /// listener accepted bears its path.
    #[track_caller]
    pub fn wait_cli_idle(&self) {
        let accepted = format!("unix stream {}", self.master_socket().display());
        wait_until(PATIENCE, "the master to close the last CLI connection", || {
            procfs::descriptors(self.master()).is_ok_and(|all| {
                !all.iter().any(|descriptor| descriptor.kind.starts_with(&accepted))
            })
        });
    }

    /// The open descriptors of a process, by kind.
    #[track_caller]
    fn kinds(&self, pid: Pid) -> Vec<String> {
        self.wait_cli_idle();
        let all = procfs::descriptors(pid).expect("a living process");
        let mut kinds: Vec<String> = all.into_iter().map(|descriptor| descriptor.kind).collect();
        kinds.sort();
        kinds
    }

    /// A master started by a shell that does something first.
    pub fn launch_by_shell(&self, before: &str) -> Launch {
        let script = format!("{before}\nexec \"$@\"");
        self.host
            .launch("/bin/sh")
            .args(["-c", &script, "sh"])
            .arg(binary())
            .args(["-Ws", "-f"])
            .arg(self.config())
            .arg("-S")
            .arg(self.master_socket())
            .env("NOTIFY_SOCKET", self.notify.address())
    }
}

/// Twenty reloads, some of them failing, leave no descriptor that one doesn't.
#[test]
fn descriptors_do_not_grow() {
    let mut scene = Scene::serving();
    scene.reload(Signal::USR2);
    scene.wait_old(0);
    let (master, worker) = (scene.kinds(scene.master()), scene.kinds(scene.worker()));
    for number in 2..=20 {
        match number % 5 {
            0 => {
                scene.configure_badly();
                assert!(scene.ask("reload").starts_with("Success=0\n"));
                scene.expect(RELOADING);
                scene.expect(REFUSED);
            }
            1 => {
                scene.configure_foreign();
                scene.signal(Signal::USR2);
                scene.expect(RELOADING);
                scene.expect(FAILED);
            }
            2 => {
                scene.configure_well();
                scene.reload_over_cli("reload");
            }
            _ => scene.reload(Signal::HUP),
        }
        scene.wait_old(0);
    }
    scene.configure_well();
    scene.reload(Signal::USR2);
    scene.wait_old(0);
    assert_eq!(scene.kinds(scene.master()), master, "the master's");
    assert_eq!(scene.kinds(scene.worker()), worker, "the worker's");
    scene.stop();
}

/// What was open at the first start stays open in masters and workers, however they start
/// (socket activation lives on it), and nothing else does.
#[test]
fn inherited_descriptors_stay() {
    let mut scene = Scene::new();
    let inherited = scene.host.write("inherited", "");
    let launch = scene.launch_by_shell("exec 7<inherited 9<inherited");
    scene.start_as(launch);
    let check = |scene: &Scene, when: &str| {
        for pid in [scene.master(), scene.worker()] {
            let all = procfs::descriptors(pid).expect("a living process");
            let open: Vec<i32> = all
                .iter()
                .filter(|descriptor| Path::new(&descriptor.target) == inherited)
                .map(|descriptor| descriptor.fd)
                .collect();
            assert_eq!(open, [7, 9], "in {pid} {when}");
        }
    };
    check(&scene, "at first");
    for number in 1..=3 {
        scene.reload(Signal::USR2);
        check(&scene, &format!("after reload {number}"));
    }
    scene.configure_badly();
    scene.signal(Signal::USR2);
    scene.expect(RELOADING);
    scene.expect(REFUSED);
    scene.configure_well();
    scene.reload_over_cli("hard-reload");
    check(&scene, "after a failure");
    scene.stop();
}

/// The limit is handed on as it was given.
#[test]
fn limit_of_descriptors_stays() {
    let mut scene = Scene::new();
    let launch = scene.launch_master("-Ws").nofile(150, 3000);
    scene.start_as(launch);
    for _ in 0..3 {
        for pid in [scene.master(), scene.worker()] {
            assert_eq!(procfs::nofile(pid).expect("a living process"), (150, 3000));
        }
        scene.reload(Signal::USR2);
    }
    scene.stop();
}

/// The command line is that of the first start, but for the PIDs and the pair to ask for
/// listeners, which don't pile up; the environment has everything once.
#[test]
fn command_line_and_environment_stay() {
    let mut scene = Scene::new();
    let launch = scene.launch_master("-Ws").env("GIVEN", "a=b;c|d");
    scene.start_as(launch);
    let first = procfs::cmdline(scene.master()).expect("a living master");
    let given = procfs::environ(scene.master()).expect("a living master");
    let _held = scene.hold();
    for number in 1..=3 {
        let replaced = scene.worker();
        if number == 3 {
            scene.reload_over_cli("hard-reload");
        } else {
            scene.reload(Signal::USR2);
        }
        let now = procfs::cmdline(scene.master()).expect("a living master");
        let (added, rest) = now[1..].split_at(now.len() - first.len());
        assert_eq!((&now[0], rest), (&first[0], &first[1..]));
        let option = if number == 3 { "-st" } else { "-sf" };
        assert_eq!(added.iter().filter(|arg| *arg == option).count(), 1, "{added:?}");
        assert_eq!(added.iter().filter(|arg| *arg == "-x").count(), 1, "{added:?}");
        assert!(added.contains(&replaced.to_string()), "{replaced} is not in {added:?}");

        let environ = procfs::environ(scene.master()).expect("a living master");
        let (theirs, ours): (Vec<_>, Vec<_>) = environ
            .into_iter()
            .partition(|(name, _)| name.starts_with("HAPROXY_") || name == "MWORKER_STATE");
        assert_eq!(ours, given);
        let mut names: Vec<String> = theirs.into_iter().map(|(name, _)| name).collect();
        names.sort();
        names.retain(|name| name != "HAPROXY_MWORKER");
        assert_eq!(names, ["HAPROXY_MWORKER_REEXEC", "HAPROXY_PROCESSES", "MWORKER_STATE"]);
    }
    scene.stop();
}

/// Workers are not to know what masters tell each other: a program that one of them starts
/// might be a master too.
#[test]
fn environment_of_a_worker() {
    let mut scene = Scene::new();
    let spy = spy(&scene);
    let launch = scene
        .launch_master("-Ws")
        .env("LD_PRELOAD", spy)
        .env("SPY", scene.host.path("spied"))
        .env("WATCHDOG_USEC", "60000000")
        .env("GIVEN", "yes");
    scene.start_as(launch);
    for _ in 0..2 {
        let worker = scene.worker();
        let before = scene.host.read(&format!("spied.{worker}"));
        assert_eq!(before, "", "the spy knows this worker");
        scene.assert_serves();
        let text = scene.host.read(&format!("spied.{worker}"));
        let names: Vec<&str> =
            text.lines().filter_map(|line| Some(line.split_once('=')?.0)).collect();
        assert!(names.contains(&"GIVEN"), "{text}");
        for name in names {
            let internal = ["HAPROXY_PROCESSES", "HAPROXY_MWORKER_REEXEC", "MWORKER_STATE"];
            let of_systemd = ["NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"];
            let hidden = internal.contains(&name) || of_systemd.contains(&name);
            assert!(!hidden, "the worker sees {name}");
        }
        scene.reload(Signal::USR2);
    }
    scene.stop();
}

/// A library which writes down the environment of who accepts a connection. What a process
/// has unset is still in `/proc/PID/environ`.
fn spy(scene: &Scene) -> PathBuf {
    const SOURCE: &str = r#"
        #define _GNU_SOURCE
        #include <stdio.h>
        #include <stdlib.h>
        #include <sys/socket.h>
        #include <sys/syscall.h>
        #include <unistd.h>

        extern char **environ;

        int accept4(int fd, struct sockaddr *addr, socklen_t *size, int flags)
        {
            char path[256];
            FILE *file;
            snprintf(path, sizeof(path), "%s.%ld", getenv("SPY"), (long)getpid());
            file = fopen(path, "w");
            for (char **entry = environ; file && *entry; entry++)
                fprintf(file, "%s\n", *entry);
            if (file)
                fclose(file);
            return syscall(SYS_accept4, fd, addr, size, flags);
        }
    "#;
    compile::library(&scene.host, "spy", SOURCE)
}

/// A table with rows that make no sense: those are reported and left out, the others used.
/// The shell's child becomes the master's, so it is an old worker like any other.
#[test]
fn malformed_rows_are_left_out() {
    let mut scene = Scene::new();
    let launch = scene.launch_by_shell(
        "/bin/sleep 1000 & old=$!
         export HAPROXY_MWORKER_REEXEC=1
         export HAPROXY_PROCESSES=\"\
         |type=m;fd=-1;cfd=-1;pid=$$;reloads=4;failedreloads=1;timestamp=1;id=;version=9.9\
         |type=w;fd=-1;cfd=-1;pid=$old;reloads=2;failedreloads=0;timestamp=1;id=;version=9.8\
         |type=w;fd=-1;cfd=-1;pid=none;reloads=1\
         |type=x;pid=5000001\
         |nonsense\
         |type=w;fd=-1;pid=-1;reloads=1\
         |type=w;fd=-7;pid=5000002;reloads=1\
         |type=w;pid=$old;reloads=3\
         |type=m;pid=5000003\
         |type=w;pid=5000004;reloads=99999999999999999999\
         ||\"
         echo $old",
    );
    scene.start_as(launch);
    let old: Pid = scene.proxy().stdout().trim().parse().expect("a PID");
    for (number, why) in [
        (3, "a number is expected"),
        (4, "its type is unknown"),
        (5, "a field has no '='"),
        (6, "its PID is missing or not above 0"),
        (7, "a descriptor is below -1"),
        (8, "its PID has a row already"),
        (9, "the master has a row already"),
        (10, "a number is expected"),
    ] {
        scene.assert_logged(&format!("row {number} of the process table is left out, {why}: "));
    }
    assert_eq!(scene.stderr().matches("is left out").count(), 8);
    scene.wait_logged(&format!("Former worker ({old}) exited with code 138 ("));
    let table = scene.table();
    assert_eq!((table.reloads, table.workers.len(), table.old.len()), (4, 1, 0));
    scene.assert_serves();
    scene.reload(Signal::USR2);
    scene.stop();
}

/// Without the master's own row nothing is known of the old workers: better no service than
/// two. Said clearly.
#[test]
fn table_without_the_master() {
    let worker = "|type=w;fd=-1;cfd=-1;pid=5000001;reloads=1";
    for table in [Some("garbage"), Some(worker), Some("|"), Some(""), None] {
        let mut scene = Scene::new();
        let mut launch = scene.launch_master("-Ws").env("HAPROXY_MWORKER_REEXEC", "1");
        if let Some(table) = table {
            launch = launch.env("HAPROXY_PROCESSES", table);
        }
        scene.spawn(launch);
        scene.expect_exit(1);
        scene.assert_logged(
            "Failed to deserialize data for the master process. Unrecoverable error, exiting.",
        );
        scene.assert_logged(
            "proxy: cannot become a master: the process table that the former master handed \
             over has no row of the master\n",
        );
        scene.expect_nothing();
        assert!(!scene.master_socket().exists());
    }
}

/// A marker of a reload that isn't one has no effect on a process without a master.
#[test]
fn environment_of_a_plain_process() {
    let mut scene = Scene::new();
    let launch = scene
        .launch([])
        .env("HAPROXY_MWORKER_REEXEC", "1")
        .env("HAPROXY_PROCESSES", "|type=w;pid=5000001;reloads=1");
    scene.spawn(launch);
    wait_until(PATIENCE, "the process to serve", || scene.serves());
    scene.stop();
}

/// A master that inherits signals held back and ignored is deaf to none.
#[test]
fn inherited_signal_dispositions() {
    let mut scene = Scene::new();
    let launch = scene.launch_by_shell("trap '' HUP USR1 USR2 TTIN TTOU CHLD TERM INT");
    scene.start_as(launch);
    let mut held = scene.hold();
    scene.reload(Signal::HUP);
    scene.reload(Signal::USR2);
    assert!(held.works(), "the old connection is dead");
    let old = scene.table().old[0];
    drop(held);
    scene.wait_old(0);
    wait_for(PATIENCE, "the old worker to be reaped", || {
        fs::metadata(format!("/proc/{old}")).is_err().then_some(())
    });
    scene.stop();
}

/// Kept for the case that `-x` and `-sf` are given by people: taken out, and no harm done.
#[test]
fn options_of_a_former_master() {
    let mut scene = Scene::new();
    let launch = scene.launch_master("-Ws").args(["-sf", "5000001", "5000002", "-x", "/dev/null"]);
    scene.start_as(launch);
    scene.assert_serves();
    scene.signal(Signal::USR2);
    scene.expect(RELOADING);
    // It forbids to take the sockets over, for good: the address is taken then.
    scene.expect(FAILED);
    scene.assert_serves();
    scene.stop();

    let mut scene = Scene::new();
    let launch = scene.launch_master("-Ws").args(["-x", "sockpair@63", "-st", "5000001"]);
    scene.start_as(launch);
    scene.reload(Signal::USR2);
    scene.assert_serves();
    scene.stop();
}
