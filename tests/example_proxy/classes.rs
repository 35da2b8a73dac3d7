//! Classes of faults that only masters with a READY handshake can have: HAProxy from 3.1 on, and
//! the library's own. `docs/faults.md` has all classes and the tests of each.

use mworker_kit::{Signal, procfs};

use crate::scene::{FAILED, READY, RELOADING, Scene, Starting, pid_of_info};

/// A worker that has not said READY is asked for nothing and counts for nobody: commands go to
/// the one before it, a reload waits, and what it held open is closed when it ends.
#[test]
fn ready_handshake() {
    let mut scene = Scene::serving();
    let old = scene.worker();
    scene.wait_cli_idle();
    let open = |scene: &Scene| procfs::descriptors(scene.master()).expect("a living master").len();
    let before = open(&scene);
    let starting = Starting::reload(&mut scene);
    assert_eq!(pid_of_info(&scene.ask("@1 show info")), Some(old));
    let answer = scene.ask(&format!("@!{} show info", starting.worker));
    assert_eq!(pid_of_info(&answer), None, "an answer of a worker that starts: {answer}");
    assert!(scene.ask("reload").starts_with("Success=0\n"));
    // One that ends before it is READY is no worker at all.
    Signal::KILL.send(starting.worker);
    scene.expect(FAILED);
    scene.wait_cli_idle();
    assert_eq!((scene.worker(), open(&scene)), (old, before));

    let starting = Starting::reload(&mut scene);
    let worker = starting.worker;
    starting.go_on();
    scene.expect(READY);
    assert_eq!(pid_of_info(&scene.ask("@1 show info")), Some(worker));
    scene.wait_old(0);
    // Nobody but the one that starts says READY for it, and once is enough.
    scene.signal(Signal::USR2);
    scene.expect(RELOADING);
    scene.expect(READY);
    scene.expect_nothing();
    scene.stop();
}
