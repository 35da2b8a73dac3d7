//! The program is gone when it is to be executed anew, or is another one that can't run:
//! everything goes on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::process::Command;

use mworker_kit::{Refusal, Signal, Traces, procfs, traces};

use crate::scene::{FAILED, READY, RELOADING, Scene, Starting, binary};

/// A proxy that can be taken away.
struct Movable {
    scene: Scene,
    path: PathBuf,
}

impl Movable {
    fn serving() -> Movable {
        let mut scene = Scene::new();
        // A copy might be open for writing in a child of another test when it is executed.
        let path = scene.host.path("proxy");
        symlink(binary(), &path).expect("a link in the host's folder");
        let launch = scene
            .launch_program(path.clone(), ["-Ws"])
            .arg("-S")
            .arg(scene.master_socket())
            .arg("-p")
            .arg(scene.host.path("proxy.pid"));
        scene.start_as(launch);
        Movable { scene, path }
    }

    fn away(&self) -> PathBuf {
        self.path.with_extension("away")
    }

    fn take_away(&self) {
        fs::rename(&self.path, self.away()).expect("rename the program");
    }

    /// A script in its place. A shell writes it: an open file of this process might be in a
    /// child of another test when it is executed.
    fn replace(&self, script: &str) {
        let written = Command::new("sh")
            .args([
                "-c",
                r#"printf '#!/bin/sh\n%s\n' "$2" >"$1" && chmod +x "$1" && mv "$1" "$3""#,
                "-",
            ])
            .args([
                self.path.with_extension("new").as_os_str(),
                script.as_ref(),
                self.path.as_ref(),
            ])
            .status();
        assert!(written.expect("a shell").success());
    }

    fn put_back(&self) {
        fs::rename(self.away(), &self.path).expect("rename the program");
    }

    /// After a reload that failed: told, counted, and nothing else has changed.
    #[track_caller]
    fn goes_on(&mut self, worker: i32, failed: u32) {
        self.scene.expect(RELOADING);
        self.scene.expect(FAILED);
        let table = self.scene.table();
        assert_eq!((table.workers, table.old), (vec![worker], vec![]));
        // No reload has taken place, only failed.
        assert_eq!((table.reloads, table.failed), (0, failed));
        self.scene.assert_serves();
    }
}

#[test]
fn missing_at_reloads_over_the_cli() {
    let mut movable = Movable::serving();
    let master = movable.scene.master();
    let worker = movable.scene.worker();
    let mut held = movable.scene.hold();
    movable.take_away();
    for failed in 1..=2 {
        for command in ["reload", "hard-reload"] {
            let answer = movable.scene.ask(command);
            let head = format!("Failed to reexecute the master process [{master}]: ");
            assert!(answer.starts_with("Success=0\n--\n"), "{answer}");
            assert!(answer.contains(&head), "{answer}");
            assert!(answer.contains("No such file or directory"), "{answer}");
            movable.goes_on(worker, failed * 2 - u32::from(command == "reload"));
        }
    }
    movable.put_back();
    movable.scene.reload_over_cli("reload");
    assert!(held.works(), "the old connection is dead");
    let table = movable.scene.table();
    assert_eq!((table.reloads, table.failed), (1, 0));
    assert_eq!(table.old, [worker]);
    movable.scene.stop();
}

#[test]
fn missing_at_a_signal() {
    let mut movable = Movable::serving();
    let worker = movable.scene.worker();
    let mut held = movable.scene.hold();
    movable.take_away();
    movable.scene.signal(Signal::USR2);
    movable.goes_on(worker, 1);
    // Every signal still gets through.
    movable.scene.signal(Signal::HUP);
    movable.goes_on(worker, 2);
    movable.scene.assert_logged("Failed to reexecute the master process [");
    movable.put_back();
    movable.scene.reload(Signal::USR2);
    assert!(held.works(), "the old connection is dead");
    let table = movable.scene.table();
    assert_eq!((table.reloads, table.failed), (1, 0));
    drop(held);
    movable.scene.wait_old(0);
    movable.scene.stop();
}

/// Missing for good: the master can be stopped, and a worker's death is still seen.
#[test]
fn missing_until_the_end() {
    let mut movable = Movable::serving();
    let worker = movable.scene.worker();
    movable.take_away();
    movable.scene.signal(Signal::USR2);
    movable.goes_on(worker, 1);
    movable.scene.stop();

    let mut movable = Movable::serving();
    let worker = movable.scene.worker();
    movable.take_away();
    movable.scene.signal(Signal::USR2);
    movable.goes_on(worker, 1);
    Signal::KILL.send(worker);
    movable.scene.expect_exit(137);
}

/// A hundred failures in a row leave nothing behind: no descriptor or mark on one, no signal
/// held back, no limit, no variable, and no memory that grows.
#[test]
fn a_hundred_failures_leave_nothing() {
    let mut movable = Movable::serving();
    let (master, worker) = (movable.scene.master(), movable.scene.worker());
    let mut held = movable.scene.hold();
    let environment = handed_on(master);
    movable.take_away();
    let (mut before, mut memory) = (None, 0);
    for failed in 1..=100 {
        if failed % 2 == 0 {
            assert!(movable.scene.ask("reload").starts_with("Success=0\n"));
        } else {
            movable.scene.signal(Signal::USR2);
        }
        movable.scene.expect(RELOADING);
        movable.scene.expect(FAILED);
        if failed % 10 == 0 {
            movable.scene.wait_cli_idle();
            let now = Traces::of(master);
            assert_eq!(*before.get_or_insert_with(|| now.clone()), now, "after {failed}");
        }
        if failed == 20 {
            memory = traces::memory_kb(master);
        }
    }
    let more = traces::memory_kb(master).saturating_sub(memory);
    assert!(more < 512, "{more} kB more");
    let table = movable.scene.table();
    assert_eq!((table.failed, table.workers, table.old), (100, vec![worker], vec![]));
    movable.scene.assert_serves();
    movable.put_back();
    movable.scene.reload(Signal::USR2);
    assert_eq!(handed_on(master), environment);
    assert!(held.works(), "the old connection is dead");
    movable.scene.assert_serves();
    movable.scene.stop();
}

/// The variables of a master's image, without those that masters tell each other.
fn handed_on(master: i32) -> Vec<(String, String)> {
    let mut all = procfs::environ(master).expect("a living master");
    all.retain(|(name, _)| !name.starts_with("HAPROXY_") && name != "MWORKER_STATE");
    all
}

/// Whatever the reason is, out of memory for one: the same as with a program that is missing.
#[test]
fn refused_for_any_reason() {
    let mut scene = Scene::new();
    let refusal = Refusal::new(&scene.host);
    let launch = refusal.launch(scene.launch_master("-Ws"));
    scene.start_as(launch);
    let (master, worker) = (scene.master(), scene.worker());
    let mut held = scene.hold();
    scene.wait_cli_idle();
    let before = Traces::of(master);
    for (failed, number) in
        (1..).zip([libc::ENOMEM, libc::E2BIG, libc::ENOEXEC, libc::EACCES, libc::EIO, libc::EAGAIN])
    {
        let why = refusal.refuse(number);
        let answer = scene.ask("reload");
        assert!(answer.starts_with("Success=0\n--\n") && answer.contains(&why), "{why}: {answer}");
        scene.expect(RELOADING);
        scene.expect(FAILED);
        scene.assert_logged(&why);
        let table = scene.table();
        assert_eq!((table.failed, table.workers, table.old), (failed, vec![worker], vec![]));
        scene.assert_serves();
        scene.wait_cli_idle();
        assert_eq!(Traces::of(master), before, "{why}");
    }
    refusal.allow();
    scene.reload(Signal::USR2);
    assert_eq!(scene.table().failed, 0);
    assert!(held.works(), "the old connection is dead");
    scene.stop();
}

/// More variables than an image may have: nothing can be done but to say so.
#[test]
fn environment_too_long() {
    let mut scene = Scene::new();
    let mut launch = scene.launch_master("-Ws");
    for number in 1..=3 {
        launch = launch.env(format!("LONG{number}"), "x".repeat(100_000));
    }
    scene.start_as(launch);
    let (master, worker) = (scene.master(), scene.worker());
    // A quarter of it is what there is for arguments and environment, but 128 KiB at least.
    let before = procfs::limit_stack(master, 256 * 1024);
    let answer = scene.ask("reload");
    assert!(answer.starts_with("Success=0\n--\n"), "{answer}");
    assert!(answer.contains("Argument list too long"), "{answer}");
    scene.expect(RELOADING);
    scene.expect(FAILED);
    assert_eq!(scene.worker(), worker);
    scene.assert_serves();
    procfs::limit_stack(master, before);
    scene.reload(Signal::USR2);
    scene.assert_serves();
    scene.stop();
}

/// The one that was to follow a start fails: the worker that has started serves.
#[test]
fn missing_for_the_one_that_follows() {
    let mut movable = Movable::serving();
    let starting = Starting::reload(&mut movable.scene);
    let worker = starting.worker;
    movable.take_away();
    movable.scene.signal(Signal::USR2);
    assert_eq!(movable.scene.table().reloads, 1);
    starting.go_on();
    for message in [READY, RELOADING, FAILED] {
        movable.scene.expect(message);
    }
    assert_eq!(movable.scene.worker(), worker);
    assert_eq!(movable.scene.table().failed, 1);
    movable.scene.assert_serves();
    movable.put_back();
    movable.scene.reload(Signal::USR2);
    movable.scene.stop();
}

/// Who asked for the one that went well is not told that another failed.
#[test]
fn missing_for_the_one_that_follows_an_asked_one() {
    let mut movable = Movable::serving();
    let mut asking = movable.scene.cli().session().expect("a master CLI");
    let starting = Starting::reload_by(&mut movable.scene, |_| {
        asking.send("reload\n").expect("sent");
    });
    movable.take_away();
    movable.scene.signal(Signal::USR2);
    assert_eq!(movable.scene.table().reloads, 1);
    starting.go_on();
    let answer = asking.read_to_end().expect("an answer");
    for message in [READY, RELOADING, FAILED] {
        movable.scene.expect(message);
    }
    assert!(answer.starts_with("Success=1\n"), "{answer}");
    movable.scene.stop();
}

/// An upgrade in place: the next image is another program's, under the same name.
#[test]
fn replaced_by_another() {
    let mut movable = Movable::serving();
    let mut held = movable.scene.hold();
    movable.take_away();
    // Executed through another link, which is as good as another file.
    symlink(binary(), movable.scene.host.path("newer")).expect("a link");
    symlink("newer", &movable.path).expect("a link");
    movable.scene.reload(Signal::USR2);
    assert!(held.works(), "the old connection is dead");
    movable.scene.assert_serves();
    movable.scene.stop();
}

/// One that crashes at once, or is too old for what it is started with, would take the service
/// with it: it is found out before.
#[test]
fn replaced_by_one_that_cannot_run() {
    let mut movable = Movable::serving();
    let worker = movable.scene.worker();
    let mut held = movable.scene.hold();
    movable.take_away();
    let config = movable.scene.config().display().to_string();
    let tried = format!("'{} -c -f {config}'", movable.path.display());
    let mut failed = 0;
    for (script, how) in [
        ("kill -SEGV $$", "exited with code 139 (Segmentation fault)"),
        ("echo unknown option >&2; exit 1", "exited with code 1 (Exit), saying: unknown option"),
    ] {
        movable.replace(script);
        let why = format!("the binary is another one, which can't run: {tried} {how}");
        for command in ["reload", "hard-reload"] {
            let answer = movable.scene.ask(command);
            assert!(answer.starts_with("Success=0\n--\n") && answer.contains(&why), "{answer}");
            failed += 1;
            movable.goes_on(worker, failed);
        }
        movable.scene.signal(Signal::USR2);
        failed += 1;
        movable.goes_on(worker, failed);
        assert!(held.works(), "the connection is dead");
    }
    // One that can run.
    movable.replace(&format!("exec {} \"$@\"", binary().display()));
    movable.scene.reload_over_cli("reload");
    assert!(held.works(), "the old connection is dead");
    movable.scene.stop();
}
