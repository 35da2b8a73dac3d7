//! The ends of a master.

use mworker_kit::{PATIENCE, Signal, wait_until};

use crate::scene::{FAILED, READY, STOPPING, Scene, Starting, halt, listens};

/// TERM and INT don't wait for connections, be they of new or of old workers.
#[test]
fn at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut scene = Scene::serving();
        let mut old = scene.hold();
        scene.reload(Signal::USR2);
        let mut new = scene.hold();
        scene.signal(signal);
        scene.expect(STOPPING);
        scene.expect_exit(0);
        scene.expect_nothing();
        assert!(!old.works() && !new.works(), "a connection outlived its worker");
        assert!(!scene.master_socket().exists(), "the CLI's socket is left");
        scene.assert_logged("Exiting Master process...");
        scene.assert_logged("All workers exited. Exiting... (0)");
    }
}

/// USR1 waits for the connections of all workers.
#[test]
fn softly() {
    let mut scene = Scene::serving();
    let mut old = scene.hold();
    scene.reload(Signal::USR2);
    let mut new = scene.hold();
    let worker = scene.worker();
    scene.signal(Signal::USR1);
    scene.expect(STOPPING);
    wait_until(PATIENCE, "the worker to stop listening", || !listens(worker));
    assert!(!scene.serves(), "somebody still accepts");
    assert!(old.works() && new.works(), "a connection is dead");
    drop(new);
    wait_until(PATIENCE, "the current worker to leave", || scene.table().workers.is_empty());
    assert!(old.works(), "the old worker's connection is dead");
    drop(old);
    scene.expect_exit(0);
    scene.expect_nothing();
}

/// A soft stop can still be made a hard one.
#[test]
fn softly_then_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut scene = Scene::serving();
        let _held = scene.hold();
        scene.signal(Signal::USR1);
        scene.expect(STOPPING);
        scene.signal(signal);
        scene.expect(STOPPING);
        scene.expect_exit(0);
    }
}

/// Who leaves doesn't reload, whoever asks.
#[test]
fn no_reload_while_leaving() {
    const REFUSAL: &str = "The master process is leaving: the reload is ignored.";
    let mut scene = Scene::serving();
    let mut held = scene.hold();
    scene.signal(Signal::USR1);
    scene.expect(STOPPING);
    assert_eq!(scene.ask("reload"), format!("Success=0\n--\n{REFUSAL}\n"));
    assert_eq!(scene.ask("hard-reload"), format!("Success=0\n--\n{REFUSAL}\n"));
    assert!(!scene.stderr().contains(REFUSAL), "{}", scene.stderr());
    for (count, signal) in [Signal::USR2, Signal::HUP].into_iter().enumerate() {
        scene.signal(signal);
        wait_until(PATIENCE, "the refusal to be logged", || {
            scene.stderr().matches(REFUSAL).count() == count + 1
        });
    }
    let table = scene.table();
    assert_eq!((table.reloads, table.failed), (0, 0));
    assert!(held.works(), "the connection is dead");
    drop(held);
    scene.expect_exit(0);
    scene.expect_nothing();
}

/// A worker that starts is told to leave too, and a reload that was to follow is dropped.
#[test]
fn while_a_worker_starts() {
    for signal in [Signal::TERM, Signal::USR1] {
        let mut scene = Scene::serving();
        let starting = Starting::reload(&mut scene);
        scene.signal(Signal::HUP);
        scene.signal(signal);
        scene.expect(STOPPING);
        starting.go_on();
        // Whether it left by itself or the signal was deadly depends on how far it was.
        let status = scene.proxy().wait_exit(PATIENCE);
        let expected = if signal == Signal::TERM { vec![0, 143] } else { vec![0, 138] };
        assert!(status.code().is_some_and(|code| expected.contains(&code)), "{signal}: {status}");
        scene.host.wait_empty(PATIENCE);
        scene.expect_nothing();
    }
}

/// A master that was killed leaves no worker behind, not even one with connections.
#[test]
fn master_killed() {
    let mut scene = Scene::serving();
    let _old = scene.hold();
    scene.reload(Signal::USR2);
    let _new = scene.hold();
    scene.signal(Signal::KILL);
    scene.proxy().wait_exit(PATIENCE);
    scene.host.wait_empty(PATIENCE);
    scene.assert_logged("the master is gone, leaving");
}

/// exit-on-failure: a worker in service that dies takes everything with it, and the master
/// leaves with its status.
#[test]
fn worker_killed() {
    let mut scene = Scene::serving();
    let mut old = scene.hold();
    scene.reload(Signal::USR2);
    let worker = scene.worker();
    Signal::KILL.send(worker);
    scene.expect_exit(137);
    assert!(!old.works(), "the old worker goes on");
    scene.assert_logged(&format!("Current worker ({worker}) exited with code 137 (Killed)"));
    scene.assert_logged("exit-on-failure: killing every processes with SIGTERM");
    scene.assert_logged("All workers exited. Exiting... (137)");
    scene.expect_nothing();
}

/// An old worker's death is the end of its connections, and of nothing else.
#[test]
fn old_worker_killed() {
    let mut scene = Scene::serving();
    let mut first = scene.hold();
    scene.reload(Signal::USR2);
    let mut second = scene.hold();
    scene.reload(Signal::USR2);
    // The oldest comes last.
    let old = scene.table().old;
    assert_eq!(old.len(), 2);
    Signal::KILL.send(old[1]);
    scene.wait_old(1);
    scene.assert_logged(&format!("Former worker ({}) exited with code 137 (Killed)", old[1]));
    assert!(!first.works() && second.works(), "the wrong connection is dead");
    scene.assert_serves();
    scene.reload(Signal::USR2);
    assert!(second.works(), "the other old worker's connection is dead");
    drop(second);
    scene.wait_old(0);
    scene.stop();
}

/// A worker that leaves of its own accord is no failure, and yet the end.
#[test]
fn worker_sent_away() {
    for signal in [Signal::TERM, Signal::USR1] {
        let mut scene = Scene::serving();
        let worker = scene.worker();
        signal.send(worker);
        scene.expect_exit(0);
        scene.assert_logged(&format!("Current worker ({worker}) exited with code 0 (Exit)"));
    }
}

/// A worker that hangs can't hand its listeners on: the new one finds the address taken and
/// fails, which is told, and all is well once the old one goes on.
#[test]
fn worker_hangs() {
    let mut scene = Scene::serving();
    let worker = scene.worker();
    halt(worker);
    let answer = scene.ask("reload");
    assert!(answer.starts_with("Success=0\n--\n"), "{answer}");
    assert!(answer.contains(&format!("cannot listen on {}: ", scene.port.addr())), "{answer}");
    scene.expect(crate::scene::RELOADING);
    scene.expect(FAILED);
    Signal::CONT.send(worker);
    scene.assert_serves();
    assert_eq!(scene.worker(), worker);
    scene.signal(Signal::USR2);
    scene.expect(crate::scene::RELOADING);
    scene.expect(READY);
    scene.stop();
}
