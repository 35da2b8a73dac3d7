//! Reloads that succeed, and what that means.

use mworker_kit::{Load, PATIENCE, Plan, procfs, wait_until};

use crate::on_each_proxy;
use crate::scene::{Kind, Scene, pid, start};

on_each_proxy! {
    the_next_connection_is_answered_by_the_new_configuration
    a_reload_tells_what_it_did
    old_connections_are_not_waited_for
    a_hard_reload_ends_them
    several_at_once
}

fn load(scene: &Scene) -> Load {
    Plan::http(scene.addr(), None).start()
}

fn the_next_connection_is_answered_by_the_new_configuration(kind: Kind) {
    let scene = Scene::serving(kind);
    let load = load(&scene);
    for round in 1..=200 {
        scene.configure(round % 2);
        let args = format!("--pid {} reload", scene.master());
        start(&args).end().expect(0);
        assert_eq!(scene.answer(), (round % 2).to_string(), "round {round}");
    }
    assert_eq!(scene.ask("status")["master"]["reloads"], 200);
    load.stop().assert_clean();
}

fn a_reload_tells_what_it_did(kind: Kind) {
    let scene = Scene::serving(kind);
    let before = scene.worker();
    let told = scene.ask("reload");
    let after = scene.worker();
    assert_ne!(before, after);
    for (name, value) in [
        ("command", "reload".into()),
        ("success", true.into()),
        ("reason", serde_json::Value::Null),
        ("master", scene.master().into()),
        ("worker_before", before.into()),
        ("worker", after.into()),
        ("reloads", 1.into()),
        ("failed", 0.into()),
        ("unverified", serde_json::json!([])),
    ] {
        assert_eq!(told[name], value, "{name}: {told}");
    }
    assert!(told["duration_ms"].is_u64() && told["log"].is_array(), "{told}");
    assert_eq!(told.as_object().map(serde_json::Map::len), Some(11), "{told}");

    let quiet = scene.ctl("--quiet reload").expect(0);
    assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
    let loud = scene.ctl("reload").expect(0);
    assert!(loud.stdout.starts_with("Reloaded: worker "), "{loud:?}");
    // It isn't a terminal that it writes to.
    assert_eq!(loud.stderr, "");
}

fn old_connections_are_not_waited_for(kind: Kind) {
    let scene = Scene::serving(kind);
    let old = scene.worker();
    let held = scene.hold();
    scene.configure(1);
    scene.ctl("reload").expect(0);
    assert_eq!(scene.answer(), "1");
    assert_eq!(scene.workers("stopping"), [old]);
    drop(held);
}

fn a_hard_reload_ends_them(kind: Kind) {
    let scene = Scene::serving(kind);
    let old = scene.worker();
    let _held = scene.hold();
    scene.configure(1);
    let told = scene.ask("hard-reload");
    assert_eq!((&told["command"], pid(&told["worker_before"])), (&"hard-reload".into(), old));
    assert_eq!(scene.answer(), "1");
    wait_until(PATIENCE, "the old worker to be gone", || !procfs::alive(old));
}

/// Those that come while another is under way wait for it, and reload once more: who changed
/// the configuration last sees it in service.
fn several_at_once(kind: Kind) {
    let scene = Scene::serving(kind);
    let load = load(&scene);
    for round in 1..=5 {
        scene.configure((round + 1) % 2);
        let mut running: Vec<_> = (0..3).map(|_| scene.start_ctl("reload")).collect();
        scene.configure(round % 2);
        running.push(scene.start_ctl("reload"));
        let last = running.pop().expect("the last one");
        last.end().expect(0);
        assert_eq!(scene.answer(), (round % 2).to_string(), "round {round}");
        for other in running {
            other.end().expect(0);
        }
    }
    load.stop().assert_clean();
}

mod with_grace {
    use super::*;

    /// HAProxy says that it stops, and takes connections for half a second more.
    fn the_listeners_of_the_old_one_are_waited_for(kind: Kind) {
        let scene = Scene::new(kind);
        let mut scene = scene;
        scene.configure_with(0, "grace 500ms", "");
        scene.start();
        scene.ctl("wait-ready").expect(0);
        scene.configure_with(1, "grace 500ms", "");
        scene.ctl("reload").expect(0);
        for _ in 0..50 {
            assert_eq!(scene.answer(), "1");
        }
    }

    #[test]
    fn stock() {
        the_listeners_of_the_old_one_are_waited_for(Kind::Stock);
    }

    #[test]
    fn ours() {
        the_listeners_of_the_old_one_are_waited_for(Kind::Ours);
    }
}
