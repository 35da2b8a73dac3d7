//! Reloads that fail, and are told to.

use mworker_kit::{PATIENCE, Signal, wait_until};

use crate::on_each_proxy;
use crate::scene::{FOREIGN, Kind, Scene, Stuck, pid, start};

on_each_proxy! {
    broken_configuration
    failure_at_run_time
    out_of_time
    the_master_dies_meanwhile
}

/// Reloads twice, for people and for programs, which must fail for a reason that has `why`.
#[track_caller]
fn fails(scene: &Scene, why: &str) {
    let worker = scene.worker();
    let ended = scene.ctl("reload").expect(1);
    let head = format!("mworkerctl: the reload failed, worker {worker} goes on serving: ");
    let mut lines = ended.stderr.lines();
    let first = lines.next().unwrap_or_default();
    assert!(first.starts_with(&head) && first.contains(why), "'{why}' isn't in {ended:?}");
    assert!(lines.any(|line| line.contains(why)), "no log in {ended:?}");
    assert_eq!(ended.stdout, "");

    let ended = scene.ctl("--json reload").expect(1);
    let told = ended.json();
    assert_eq!(told["success"], false, "{told}");
    assert!(told["reason"].as_str().is_some_and(|reason| reason.contains(why)), "{told}");
    assert!(told["log"].as_array().is_some_and(|log| !log.is_empty()), "{told}");
    assert_eq!((pid(&told["worker_before"]), pid(&told["worker"])), (worker, worker), "{told}");
    assert_eq!((&told["reloads"], &told["failed"]), (&2.into(), &2.into()), "{told}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");

    assert_eq!(scene.answer(), "0");
    assert_eq!(scene.worker(), worker);
}

/// And then one that doesn't.
#[track_caller]
fn recovers(scene: &Scene) {
    scene.configure(1);
    scene.ctl("reload").expect(0);
    assert_eq!(scene.answer(), "1");
}

fn broken_configuration(kind: Kind) {
    let scene = Scene::serving(kind);
    scene.configure_badly();
    fails(&scene, "lisen");
    recovers(&scene);
}

fn failure_at_run_time(kind: Kind) {
    let scene = Scene::serving(kind);
    scene.configure_foreign();
    fails(&scene, FOREIGN);
    recovers(&scene);
}

/// A load that doesn't end; and who waits for longer sees it end.
fn out_of_time(kind: Kind) {
    let scene = Scene::serving(kind);
    let stuck = Stuck::next_load(&scene, 1);
    let late = scene.ctl("--timeout 0.7 reload").expect(4);
    let why = "not done after 700ms, waiting for the new configuration to be loaded";
    assert!(late.stderr.contains(why), "{late:?}");
    assert_eq!(late.stdout, "");

    // While it loads, HAProxy 3.0 doesn't listen; it is known to live by its PID. The example
    // proxy says that it is busy.
    let by_pid = |args: &str| start(&format!("--pid {} {args}", scene.master()));
    let told = by_pid("--timeout 0.7 --json reload").end().expect(4).json();
    let waited_for = match kind {
        Kind::Example => "another reload to end",
        _ => "the master",
    };
    let why = format!("not done after 700ms, waiting for {waited_for}");
    assert_eq!(told["success"], false);
    assert!(told["reason"].as_str().is_some_and(|reason| reason.starts_with(&why)), "{told}");

    let patient = by_pid("reload");
    scene.configure(1);
    stuck.go_on();
    patient.end().expect(0);
    assert_eq!(scene.answer(), "1");
}

fn the_master_dies_meanwhile(kind: Kind) {
    let scene = Scene::serving(kind);
    let _stuck = Stuck::next_load(&scene, 1);
    let running = scene.start_ctl("reload");
    wait_until(PATIENCE, "the reload to begin", || {
        let ended = scene.ctl("--timeout 0.3 --json show proc");
        ended.status != 0 || ended.json()["processes"].as_array().is_some_and(|all| all.len() > 2)
    });
    Signal::KILL.send(scene.master());
    let ended = running.end().expect(3);
    assert!(ended.stderr.contains(&format!("PID {}, is gone", scene.master())), "{ended:?}");
}
