//! The program is gone when it is to be executed anew: everything goes on.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;

use mworker_kit::{Signal, procfs};

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

fn descriptors(pid: i32) -> Vec<(i32, String)> {
    let all = procfs::descriptors(pid).expect("a living process");
    all.into_iter().map(|descriptor| (descriptor.fd, descriptor.target)).collect()
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

/// Twenty failures in a row leave no descriptor behind, and twenty clients answered.
#[test]
fn twenty_failures_leave_nothing() {
    let mut movable = Movable::serving();
    let (master, worker) = (movable.scene.master(), movable.scene.worker());
    movable.take_away();
    let mut before = Vec::new();
    for failed in 1..=20 {
        if failed % 2 == 0 {
            assert!(movable.scene.ask("reload").starts_with("Success=0\n"));
        } else {
            movable.scene.signal(Signal::USR2);
        }
        movable.goes_on(worker, failed);
        movable.scene.wait_cli_idle();
        if failed == 1 {
            before = descriptors(master);
        }
    }
    assert_eq!(descriptors(master), before);
    movable.put_back();
    movable.scene.reload(Signal::USR2);
    movable.scene.assert_serves();
    movable.scene.stop();
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
