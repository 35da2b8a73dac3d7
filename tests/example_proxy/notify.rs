//! What systemd is told, and what if it doesn't listen.

use mworker_kit::{Host, Master, NotifySocket, PATIENCE, Signal, notify, wait_until};

use crate::scene::{FAILED, READY, RELOADING, STOPPING, Scene, ShowProc, Starting, listens};

/// The first start, a reload and the stop. Whoever hears of READY finds it served.
fn whole_life(mut scene: Scene) {
    scene.start();
    scene.assert_serves();
    assert!(listens(scene.worker()));
    let before = notify::monotonic();
    scene.signal(Signal::USR2);
    scene.expect(RELOADING);
    scene.expect(READY);
    scene.assert_serves();
    let usec = scene.notify.messages()[1].get("MONOTONIC_USEC").expect("the time of the reload");
    let at = std::time::Duration::from_micros(usec.parse().expect("a number"));
    assert!(before <= at && at <= notify::monotonic(), "{before:?} {at:?}");
    scene.signal(Signal::TERM);
    scene.expect(STOPPING);
    scene.expect_exit(0);
    scene.expect_nothing();
}

#[test]
fn at_a_path() {
    whole_life(Scene::new());
}

#[test]
fn at_an_abstract_name() {
    let host = Host::new();
    let notify = NotifySocket::abstract_name(&host);
    whole_life(Scene::with(Master::with(host, notify)));
}

/// READY is about the worker: as long as it starts, a reload is under way.
#[test]
fn ready_waits_for_the_worker() {
    let mut scene = Scene::serving();
    let starting = Starting::reload(&mut scene);
    // Answered by the loop that would tell systemd.
    assert_eq!(scene.table().reloads, 1);
    scene.expect_nothing();
    starting.go_on();
    scene.expect(READY);
    scene.stop();
}

/// A worker that dies while it starts: told as well, for systemd waits for the end.
#[test]
fn worker_killed_while_it_starts() {
    let mut scene = Scene::serving();
    let worker = scene.worker();
    let starting = Starting::reload(&mut scene);
    Signal::KILL.send(starting.worker);
    scene.expect(FAILED);
    scene.assert_logged(&format!(
        "Failed to load worker ({}) exited with code 137 (Killed)",
        starting.worker
    ));
    assert_eq!(scene.worker(), worker);
    scene.assert_serves();
    scene.reload(Signal::USR2);
    scene.stop();
}

/// Nobody reads: the master logs it, and does not wait, neither to reload nor to leave. Once
/// there is room it says what has not been told: of four reloads the last one.
#[test]
fn nobody_reads() {
    let mut scene = Scene::serving();
    scene.notify.clog();
    let mut held = scene.hold();
    for number in 1..=3 {
        let answer = scene.ask("reload");
        assert!(answer.starts_with("Success=1\n"), "{answer}");
        let told = answer.matches("systemd can't be told: ").count();
        assert_eq!(told, 1, "once is enough for an image: {answer}");
        scene.assert_serves();
        assert_eq!(scene.table().reloads, number);
    }
    scene.signal(Signal::USR2);
    wait_until(PATIENCE, "the fourth reload", || {
        let answer = scene.cli().try_ask("show proc").unwrap_or_default();
        let table = ShowProc::read(&answer);
        table.reloads == 4 && table.workers.len() == 1
    });
    assert!(held.works(), "the old connection is dead");
    drop(held);
    scene.notify.wait_for("what was missed", |seen| {
        seen.last().is_some_and(|message| message.has("READY", "1"))
    });
    scene.told = scene.notify.messages().len() - 2;
    scene.expect(RELOADING);
    scene.expect(READY);
    scene.stop();
}

/// The same of the last message: said as long as there is somebody to say it.
#[test]
fn nobody_reads_until_the_end() {
    let mut scene = Scene::serving();
    let mut held = scene.hold();
    scene.notify.clog();
    scene.signal(Signal::USR1);
    scene.wait_logged("Exiting Master process...");
    scene.notify.wait_for("what was missed", |seen| {
        seen.last().is_some_and(|message| message.has("STOPPING", "1"))
    });
    assert!(held.works(), "the connection is dead");
    drop(held);
    scene.expect_exit(0);
    scene.told = scene.notify.messages().len() - 1;
    scene.expect(STOPPING);
    scene.expect_nothing();
}

/// A socket that has gone, or was never one.
#[test]
fn nobody_is_there() {
    for address in ["/nonexistent/notify.sock", "@mworker-nobody", "vsock:2:1", "nonsense", ""] {
        let mut scene = Scene::new();
        let launch = scene.launch_master("-Ws").env("NOTIFY_SOCKET", address);
        scene.spawn(launch);
        scene.wait_serving();
        let answer = scene.ask("reload");
        assert!(answer.starts_with("Success=1\n"), "{address}: {answer}");
        assert!(scene.stderr().contains("systemd can't be told: "), "{address}: not logged");
        scene.stop();
    }
}

/// Started by somebody else than systemd.
#[test]
fn nobody_asked() {
    let mut scene = Scene::new();
    let launch = scene.launch_without_systemd();
    scene.spawn(launch);
    scene.wait_serving();
    assert!(scene.ask("reload").starts_with("Success=1\n"));
    assert!(!scene.stderr().contains("systemd"), "{}", scene.stderr());
    scene.stop();
    scene.expect_nothing();
}

impl Scene {
    fn launch_without_systemd(&self) -> mworker_kit::Launch {
        self.host
            .launch(crate::scene::binary())
            .args(["-Ws", "-f"])
            .arg(self.config())
            .arg("-S")
            .arg(self.master_socket())
    }
}
