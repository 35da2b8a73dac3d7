//! Reloads that come to nothing: what was goes on, and everybody is told.

use std::fs;
use std::net::TcpListener;

use mworker_kit::{Pid, Signal};

use crate::scene::{FAILED, FOREIGN, READY, REFUSED, RELOADING, Scene};

/// Reloads over the CLI, which must fail with these words and this message to systemd, and
/// leave the worker and its connections alone.
#[track_caller]
fn fails(scene: &mut Scene, failed: u32, message: &str, why: &str) {
    let worker = scene.worker();
    let mut held = scene.hold();
    let before = scene.table();
    let answer = scene.ask("reload");
    assert!(answer.starts_with("Success=0\n--\n"), "{answer}");
    assert!(answer.contains(why), "'{why}' isn't in the answer: {answer}");
    scene.expect(RELOADING);
    scene.expect(message);
    goes_on(scene, worker);
    let after = scene.table();
    assert_eq!((after.reloads, after.failed), (before.reloads + 1, failed));
    assert!(held.works(), "the connection is dead");
}

#[track_caller]
fn goes_on(scene: &Scene, worker: Pid) {
    assert_eq!(scene.table().workers, [worker]);
    assert_eq!(scene.table().old, []);
    assert_eq!(crate::scene::pid_of_info(&scene.ask("@1 show info")), Some(worker));
    scene.assert_serves();
}

/// A good reload forgets those that failed.
#[track_caller]
fn goes_well(scene: &mut Scene) {
    scene.configure_well();
    scene.reload_over_cli("reload");
    assert_eq!(scene.table().failed, 0);
    scene.wait_old(0);
    scene.assert_serves();
}

#[test]
fn configuration_refused() {
    let mut scene = Scene::serving();
    scene.configure_badly();
    let why = format!(
        "Failed to start a new worker: {}:2: unknown word 'lisen', expected 'listen'. \
         The current workers go on.\n",
        scene.config().display()
    );
    fails(&mut scene, 1, REFUSED, &why);
    assert!(scene.ask("show proc").contains(" 1 [failed: 1] "), "{}", scene.ask("show proc"));
    fails(&mut scene, 2, REFUSED, &why);
    let worker = scene.worker();
    scene.signal(Signal::USR2);
    scene.expect(RELOADING);
    scene.expect(REFUSED);
    goes_on(&scene, worker);
    assert_eq!(scene.table().failed, 3);
    goes_well(&mut scene);
    scene.stop();
}

#[test]
fn configuration_missing() {
    let mut scene = Scene::serving();
    fs::remove_file(scene.config()).expect("a configuration file");
    fails(&mut scene, 1, REFUSED, "No such file or directory");
    goes_well(&mut scene);
    fs::remove_file(scene.config()).expect("a configuration file");
    fs::create_dir(scene.config()).expect("a folder");
    fails(&mut scene, 1, REFUSED, "Is a directory");
    fs::remove_dir(scene.config()).expect("a folder");
    goes_well(&mut scene);
    scene.stop();
}

/// The new worker dies of what it meets: the answer has its own words.
#[test]
fn worker_dies_while_it_starts() {
    let mut scene = Scene::serving();
    scene.configure_foreign();
    fails(&mut scene, 1, FAILED, &format!("\ncannot listen on {FOREIGN}: "));
    let worker = scene.worker();
    scene.signal(Signal::HUP);
    scene.expect(RELOADING);
    scene.expect(FAILED);
    goes_on(&scene, worker);
    assert_eq!(scene.table().failed, 2);
    goes_well(&mut scene);
    scene.stop();
}

/// An address that somebody else has, and gives up later.
#[test]
fn address_taken() {
    let mut scene = Scene::serving();
    let address = scene.spare.addr();
    let taken = TcpListener::bind(address).expect("bind to a reserved port");
    let rules = format!("{}listen {address} backend {}\n", scene.rule(), scene.echo.addr());
    scene.configure(&rules);
    let why = format!("\ncannot listen on {address}: Address already in use\n");
    fails(&mut scene, 1, FAILED, &why);
    drop(taken);
    scene.reload(Signal::USR2);
    assert_eq!(scene.table().failed, 0);
    assert!(crate::scene::Held::connect(address).is_ok_and(|mut held| held.works()));
    scene.stop();
}

/// Failures between good reloads, with old workers that hold connections: nobody is told to
/// leave who shouldn't, and nobody is forgotten.
#[test]
fn between_good_ones() {
    let mut scene = Scene::serving();
    let mut held = Vec::new();
    for _ in 0..3 {
        held.push(scene.hold());
        scene.reload(Signal::USR2);
        scene.configure_foreign();
        scene.signal(Signal::USR2);
        scene.expect(RELOADING);
        scene.expect(FAILED);
        scene.configure_badly();
        scene.signal(Signal::USR2);
        scene.expect(RELOADING);
        scene.expect(REFUSED);
        scene.configure_well();
    }
    let table = scene.table();
    assert_eq!((table.reloads, table.failed), (9, 2));
    assert_eq!((table.workers.len(), table.old.len()), (1, 3));
    assert!(held.iter_mut().all(|held| held.works()), "a connection is dead");
    scene.signal(Signal::USR2);
    scene.expect(RELOADING);
    scene.expect(READY);
    assert_eq!(scene.table().failed, 0);
    drop(held);
    scene.wait_old(0);
    scene.stop();
}
