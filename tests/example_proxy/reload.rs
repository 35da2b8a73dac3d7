//! Reloads that go well.

use mworker_kit::{PATIENCE, Plan, Signal, procfs, wait_until};

use crate::scene::{Held, READY, RELOADING, Scene, Starting, is_stopped, listens, pid_of_info};

/// The old worker serves what it has to the end, the new one what comes, whoever asks.
fn old_connections_are_served(reload: impl Fn(&mut Scene)) {
    let mut scene = Scene::serving();
    let mut held = scene.hold();
    let old = scene.worker();
    reload(&mut scene);
    let new = scene.worker();
    assert_ne!(old, new);
    assert_eq!(scene.table().old, [old]);
    wait_until(PATIENCE, "the old worker to stop listening", || !listens(old));
    assert!(held.works(), "the old connection is dead");
    let mut another = scene.hold();
    assert!(scene.ask("@1 show info").contains("CurrConns: 1\n"));
    assert!(scene.ask(&format!("@!{old} show info")).contains("CurrConns: 1\n"));
    drop(held);
    scene.wait_old(0);
    scene.assert_logged(&format!("Former worker ({old}) exited with code 0 (Exit)"));
    assert!(another.works(), "the new connection is dead");
    assert_eq!(scene.worker(), new);
    scene.stop();
}

#[test]
fn by_usr2() {
    old_connections_are_served(|scene| scene.reload(Signal::USR2));
}

#[test]
fn by_hup() {
    old_connections_are_served(|scene| scene.reload(Signal::HUP));
}

#[test]
fn over_the_cli() {
    old_connections_are_served(|scene| {
        let answer = scene.reload_over_cli("reload");
        let new = scene.worker();
        // Both in one answer: what the master and what the worker had to say.
        assert_eq!(
            answer,
            format!("Success=1\n--\nInitializing new worker ({new})\nLoading success.\n")
        );
    });
}

/// A hard reload doesn't wait for the connections of the old workers.
#[test]
fn hard() {
    let mut scene = Scene::serving();
    let mut oldest = scene.hold();
    scene.reload(Signal::USR2);
    let mut old = scene.hold();
    scene.reload_over_cli("hard-reload");
    scene.wait_old(0);
    assert!(!oldest.works() && !old.works(), "an old connection was spared");
    scene.assert_logged("Reloading proxy (hard-reload)");
    scene.assert_serves();
    let _held = scene.hold();
    // The next is as soft as ever.
    scene.reload(Signal::USR2);
    scene.wait_old(1);
    scene.stop();
}

/// The configuration is the new one: addresses come and go.
#[test]
fn addresses_come_and_go() {
    let mut scene = Scene::serving();
    let (first, second) = (scene.port.addr(), scene.spare.addr());
    let rule = |addr| format!("listen {addr} backend {}\n", scene.echo.addr());
    let (both, other) = (format!("{}{}", rule(first), rule(second)), rule(second));
    let serves = |addr| Held::connect(addr).is_ok_and(|mut held| held.works());
    assert!(serves(first) && !serves(second));
    scene.configure(&both);
    scene.reload(Signal::USR2);
    assert!(serves(first) && serves(second));
    scene.configure(&other);
    scene.reload(Signal::USR2);
    assert!(serves(second));
    wait_until(PATIENCE, "the first address to be given up", || !serves(first));
    scene.configure_well();
    scene.reload(Signal::USR2);
    assert!(serves(first));
    scene.stop();
}

/// A reload asked for while a worker starts is done after it, several become one, and on
/// the CLI it is refused.
#[test]
fn while_a_worker_starts() {
    let mut scene = Scene::serving();
    let starting = Starting::reload(&mut scene);
    let busy = "Success=0\n--\nAnother reload is still in progress.\n";
    for signal in [Signal::USR2, Signal::HUP, Signal::USR2] {
        scene.signal(signal);
        // Read by the loop before this is answered.
        assert_eq!(scene.table().reloads, 1);
        assert_eq!(scene.ask("reload"), busy);
    }
    scene.expect_nothing();
    starting.go_on();
    for message in [READY, RELOADING, READY] {
        scene.expect(message);
    }
    let table = scene.table();
    assert_eq!((table.reloads, table.failed), (2, 0));
    scene.wait_old(0);
    scene.assert_serves();
    scene.stop();
    assert_eq!(scene.stderr().matches("Reloading proxy").count(), 2);
}

/// Whoever asked for a reload is answered, although another one follows at once.
#[test]
fn the_first_is_answered_when_another_follows() {
    let mut scene = Scene::serving();
    let mut asking = scene.cli().session().expect("a master CLI");
    let starting = Starting::reload_by(&mut scene, |_| asking.send("reload\n").expect("sent"));
    scene.signal(Signal::USR2);
    assert_eq!(scene.table().reloads, 1);
    starting.go_on();
    let answer = asking.read_to_end().expect("an answer");
    assert!(answer.starts_with("Success=1\n--\n"), "the answer is {answer:?}");
    for message in [READY, RELOADING, READY] {
        scene.expect(message);
    }
    assert_eq!(scene.table().reloads, 2);
    scene.stop();
}

/// And if it came to nothing, by that.
#[test]
fn the_first_is_answered_when_it_failed_and_another_follows() {
    let mut scene = Scene::serving();
    let mut asking = scene.cli().session().expect("a master CLI");
    let starting = Starting::reload_by(&mut scene, |_| asking.send("reload\n").expect("sent"));
    scene.signal(Signal::USR2);
    assert_eq!(scene.table().reloads, 1);
    Signal::KILL.send(starting.worker);
    let answer = asking.read_to_end().expect("an answer");
    assert!(answer.starts_with("Success=0\n--\n"), "the answer is {answer:?}");
    for message in [crate::scene::FAILED, RELOADING, READY] {
        scene.expect(message);
    }
    scene.stop();
}

/// The same when the worker that starts comes to nothing.
#[test]
fn after_a_worker_that_fails() {
    let mut scene = Scene::serving();
    let starting = Starting::reload(&mut scene);
    scene.signal(Signal::USR2);
    assert_eq!(scene.table().reloads, 1);
    Signal::KILL.send(starting.worker);
    for message in [crate::scene::FAILED, RELOADING, READY] {
        scene.expect(message);
    }
    let table = scene.table();
    assert_eq!((table.reloads, table.failed), (2, 0));
    scene.assert_serves();
    scene.stop();
}

/// Nothing is asked of a worker that isn't READY, and TTOU would stop it for good.
#[test]
fn nothing_reaches_a_worker_that_starts() {
    let mut scene = Scene::serving();
    let old = scene.worker();
    let starting = Starting::reload(&mut scene);
    for signal in [Signal::TTOU, Signal::TTIN] {
        scene.signal(signal);
        let pending = wait_taken(&scene, starting.worker, signal);
        assert!(!pending, "{signal} was passed on");
    }
    let refusal = format!("There is no worker with PID {}.\n\n", starting.worker);
    assert_eq!(scene.ask(&format!("@!{} show info", starting.worker)), refusal);
    assert_eq!(pid_of_info(&scene.ask(&format!("@!{old} show info"))), Some(old));
    starting.go_on();
    scene.expect(READY);
    scene.assert_serves();
    scene.stop();
}

/// Waits until the master has read a signal, and says whether it is pending in `pid`.
#[track_caller]
fn wait_taken(scene: &Scene, pid: i32, signal: Signal) -> bool {
    wait_until(PATIENCE, "the master to take a signal", || {
        !procfs::signals(scene.master()).expect("a living master").pending.has(signal)
    });
    // The loop is through with it once it answers.
    scene.table();
    procfs::signals(pid).expect("a living worker").pending.has(signal)
}

/// TTOU pauses and TTIN resumes the worker in service.
#[test]
fn pause_and_resume() {
    let mut scene = Scene::serving();
    let worker = scene.worker();
    let mut held = scene.hold();
    scene.signal(Signal::TTOU);
    assert!(!wait_taken(&scene, scene.master(), Signal::TTOU));
    wait_until(PATIENCE, "the worker to take the signal", || {
        !procfs::signals(worker).expect("a living worker").pending.has(Signal::TTOU)
    });
    assert!(held.works(), "the old connection is dead");
    let mut waiting = Held::connect(scene.port.addr()).expect("connect");
    assert!(waiting.send());
    assert!(held.works(), "the old connection is dead");
    assert!(!waiting.comes_back(std::time::Duration::from_millis(50)), "served while paused");
    scene.signal(Signal::TTIN);
    assert!(waiting.comes_back(PATIENCE), "not served after the pause");
    assert_eq!(scene.worker(), worker);

    // A new worker is not paused, whatever the old one was.
    scene.signal(Signal::TTOU);
    assert!(!wait_taken(&scene, scene.master(), Signal::TTOU));
    scene.reload(Signal::USR2);
    scene.assert_serves();
    scene.stop();
}

/// Signals at any moment of a reload: no worker is ever stopped by them, and none is lost.
#[test]
fn a_hail_of_signals() {
    let mut scene = Scene::serving();
    let master = scene.master();
    for _ in 0..10 {
        scene.signal(Signal::USR2);
        for _ in 0..50 {
            Signal::TTOU.send(master);
            Signal::TTIN.send(master);
            std::thread::yield_now();
        }
        let stopped: Vec<_> =
            procfs::children(master).into_iter().filter(|pid| is_stopped(*pid)).collect();
        assert!(stopped.is_empty(), "workers {stopped:?} are stopped");
        scene.notify.messages();
    }
    // Two signals that wait together are not taken in the order they came, so one by one.
    reload_in_the_end(&mut scene);
    let worker = scene.worker();
    for pid in [master, worker] {
        wait_until(PATIENCE, "TTOU to be taken", || {
            !procfs::signals(pid).expect("a living process").pending.has(Signal::TTOU)
        });
        scene.table();
    }
    scene.signal(Signal::TTIN);
    scene.assert_serves();
    assert_eq!(scene.table().failed, 0);
    scene.stop();
}

/// Asks for a reload over the CLI until no other is under way, and until it went well.
#[track_caller]
fn reload_in_the_end(scene: &mut Scene) {
    wait_until(PATIENCE, "a reload that goes well", || {
        // Read along, or the queue fills up.
        scene.notify.messages();
        scene.cli().try_ask("reload").is_ok_and(|answer| answer.starts_with("Success=1\n"))
    });
}

/// Thirty old workers, each with a connection: shown, reached, and served to their end.
#[test]
fn thirty_old_workers() {
    let mut scene = Scene::serving();
    let mut held = Vec::new();
    for _ in 0..30 {
        held.push(scene.hold());
        scene.reload(Signal::USR2);
    }
    let table = scene.table();
    assert_eq!((table.reloads, table.workers.len(), table.old.len()), (30, 1, 30));
    for old in &table.old {
        assert_eq!(pid_of_info(&scene.ask(&format!("@!{old} show info"))), Some(*old));
    }
    for (number, held) in held.iter_mut().enumerate() {
        assert!(held.works(), "connection {number} is dead");
    }
    // One ends in the middle, the others don't notice.
    drop(held.swap_remove(15));
    scene.wait_old(29);
    assert!(held.iter_mut().all(Held::works), "a connection is dead");
    drop(held);
    scene.wait_old(0);
    scene.assert_serves();
    scene.stop();
}

/// Fifteen reloads under load: no connection is refused, none is cut.
#[test]
fn under_load() {
    let mut scene = Scene::serving();
    let load = Plan::echo(scene.port.addr(), 20).threads(3).start();
    load.wait_more(50);
    for number in 0..15 {
        match number % 3 {
            0 => drop(scene.reload_over_cli("reload")),
            1 => scene.reload(Signal::HUP),
            _ => scene.reload(Signal::USR2),
        }
        load.wait_more(20);
    }
    let report = load.stop();
    report.assert_clean();
    scene.wait_old(0);
    scene.stop();
}

/// The same with reloads that follow each other as fast as they can, some of them refused
/// or failing.
#[test]
fn under_load_without_a_pause() {
    let mut scene = Scene::serving();
    let load = Plan::echo(scene.port.addr(), 5).threads(2).start();
    load.wait_more(10);
    for number in 0..12 {
        match number % 4 {
            1 => scene.configure_badly(),
            3 => scene.configure_foreign(),
            _ => scene.configure_well(),
        }
        scene.signal(Signal::USR2);
        scene.notify.messages();
        load.wait_more(5);
    }
    scene.configure_well();
    reload_in_the_end(&mut scene);
    load.wait_more(10);
    load.stop().assert_clean();
    scene.wait_old(0);
    scene.stop();
}
