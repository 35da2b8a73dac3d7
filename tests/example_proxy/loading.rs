//! While a new image of the master reads its configuration.

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::process::Command;

use mworker_kit::{PATIENCE, Signal, procfs, wait_for, wait_until};

use crate::scene::{READY, REFUSED, RELOADING, Scene};

/// A configuration file that can be read when the test wants it to be: a named pipe.
struct Gate {
    text: String,
}

/// Somebody reads from the pipe, and gets nothing yet.
struct Reading {
    pipe: File,
    text: String,
}

impl Gate {
    fn set_up(scene: &Scene, text: &str) -> Gate {
        let pipe = scene.host.path("proxy.conf.pipe");
        let status = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
        assert!(status.success(), "mkfifo: {status}");
        fs::rename(pipe, scene.config()).expect("rename within the host's folder");
        Gate { text: text.to_owned() }
    }

    /// Waits until somebody reads. Who comes later finds the usual configuration.
    #[track_caller]
    fn wait(self, scene: &Scene) -> Reading {
        let mut options = File::options();
        options.write(true).custom_flags(libc::O_NONBLOCK);
        let pipe = wait_for(PATIENCE, "the configuration to be read", || {
            options.open(scene.config()).ok()
        });
        scene.configure_well();
        Reading { pipe, text: self.text }
    }
}

impl Reading {
    fn go_on(mut self) {
        self.pipe.write_all(self.text.as_bytes()).expect("a reader");
    }
}

/// Reloads, and comes back when the new image reads its configuration.
#[track_caller]
fn reload_and_hold(scene: &mut Scene, text: &str) -> Reading {
    let gate = Gate::set_up(scene, text);
    scene.signal(Signal::USR2);
    scene.expect(RELOADING);
    gate.wait(scene)
}

/// A client that goes away while its reload is under way takes nothing with it.
#[test]
fn client_goes_away() {
    let mut scene = Scene::serving();
    let mut held = scene.hold();
    for text in [scene.rule(), "lisen to this\n".to_owned()] {
        let gate = Gate::set_up(&scene, &text);
        let mut client = scene.cli().session().expect("a master CLI");
        client.send("reload\n").expect("sent");
        scene.expect(RELOADING);
        let reading = gate.wait(&scene);
        drop(client);
        reading.go_on();
        scene.expect(if text == scene.rule() { READY } else { REFUSED });
        scene.assert_serves();
    }
    assert!(scene.reload_over_cli("reload").starts_with("Success=1\n"));
    let kinds = procfs::descriptors(scene.master()).expect("a living master");
    let clients = kinds.iter().filter(|descriptor| descriptor.kind.contains("master.sock"));
    assert_eq!(clients.count(), 1, "more than the listener is left: {kinds:?}");
    assert!(held.works(), "the old connection is dead");
    scene.stop();
}

/// The same for one that has sent its last, and waits.
#[test]
fn client_waits() {
    let mut scene = Scene::serving();
    let gate = Gate::set_up(&scene, &scene.rule());
    let mut client = scene.cli().session().expect("a master CLI");
    client.send("reload\n").expect("sent");
    client.finish_sending().expect("shutdown");
    scene.expect(RELOADING);
    let reading = gate.wait(&scene);
    // Others may come meanwhile, and wait too.
    let mut other = scene.cli().session().expect("a master CLI");
    other.send("show version\n").expect("sent");
    reading.go_on();
    scene.expect(READY);
    assert!(client.read_to_end().expect("an answer").starts_with("Success=1\n--\n"));
    assert_eq!(other.read_to_end().expect("an answer"), "1.0\n\n");
    scene.stop();
}

/// No signal is lost while nobody looks: it is done afterwards, be the load good or not.
#[test]
fn signals_wait() {
    for signal in [Signal::USR2, Signal::HUP] {
        for text in [None, Some("lisen to this\n")] {
            let mut scene = Scene::serving();
            let rule = scene.rule();
            let reading = reload_and_hold(&mut scene, text.unwrap_or(&rule));
            scene.assert_serves();
            scene.signal(signal);
            reading.go_on();
            scene.expect(if text.is_some() { REFUSED } else { READY });
            scene.expect(RELOADING);
            scene.expect(READY);
            assert_eq!((scene.table().reloads, scene.table().failed), (2, 0));
            scene.stop();
        }
    }
}

/// A soft stop as well; the worker that was about to be started leaves again.
#[test]
fn soft_stop_waits() {
    let mut scene = Scene::serving();
    let rule = scene.rule();
    let reading = reload_and_hold(&mut scene, &rule);
    scene.signal(Signal::USR1);
    reading.go_on();
    let status = scene.proxy().wait_exit(PATIENCE);
    assert!(matches!(status.code(), Some(0 | 138)), "{status}");
    scene.host.wait_empty(PATIENCE);
}

/// TERM isn't held back: a load that hangs must not make a service immortal. The workers
/// follow.
#[test]
fn term_ends_a_load_that_hangs() {
    let mut scene = Scene::serving();
    let _held = scene.hold();
    let rule = scene.rule();
    let reading = reload_and_hold(&mut scene, &rule);
    scene.signal(Signal::TERM);
    let status = scene.proxy().wait_exit(PATIENCE);
    assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
    scene.host.wait_empty(PATIENCE);
    drop(reading);
}

/// An old worker that dies meanwhile is noticed when the load is over.
#[test]
fn old_worker_killed_meanwhile() {
    let mut scene = Scene::serving();
    let mut held = scene.hold();
    let old = scene.worker();
    scene.reload(Signal::USR2);
    let rule = scene.rule();
    let reading = reload_and_hold(&mut scene, &rule);
    Signal::KILL.send(old);
    reading.go_on();
    scene.expect(READY);
    scene.wait_logged(&format!("Former worker ({old}) exited with code 137 (Killed)"));
    assert!(!held.works());
    scene.assert_serves();
    scene.stop();
}

/// The one in service is in service until the new one is READY: its death is the end, as it
/// is at any other time.
#[test]
fn worker_killed_meanwhile() {
    let mut scene = Scene::serving();
    let worker = scene.worker();
    let rule = scene.rule();
    let reading = reload_and_hold(&mut scene, &rule);
    Signal::KILL.send(worker);
    wait_until(PATIENCE, "the worker to be dead", || !procfs::alive(worker));
    reading.go_on();
    scene.expect_exit(137);
    scene.assert_logged(&format!("Current worker ({worker}) exited with code 137 (Killed)"));
}

/// `-c` is one process from its start to its end.
#[test]
fn check_of_the_configuration_forks_nothing() {
    let mut scene = Scene::new();
    let rule = scene.rule();
    let gate = Gate::set_up(&scene, &rule);
    let launch = scene.launch(["-c", "-Ws"]);
    scene.spawn(launch);
    let reading = gate.wait(&scene);
    assert!(scene.proxy().children().is_empty(), "it forked");
    reading.go_on();
    assert_eq!(scene.proxy().wait_exit(PATIENCE).code(), Some(0));
    assert!(scene.host.processes().is_empty());
}
