//! Very many old workers: the process table, the list of whom to tell to leave, and the
//! descriptors outgrow what one exec may carry.

use mworker_kit::{Launch, PATIENCE, Pid, Signal, Traces, procfs, wait_until};

use crate::scene::{FAILED, Held, READY, RELOADING, Scene, ShowProc, binary};

/// More rows than fit into one string of the environment.
const MANY: usize = 1_700;

impl Scene {
    fn launch_crowd(&self, count: usize) -> Launch {
        let launch = self.host.launch_with_crowd(count, binary()).args(["-Ws", "-f"]);
        let launch = launch.arg(self.config()).arg("-S").arg(self.master_socket());
        launch.env("NOTIFY_SOCKET", self.notify.address())
    }

    /// Of the image that runs.
    fn variable(&self, name: &str) -> String {
        let environ = procfs::environ(self.master()).expect("a living master");
        let found = environ.into_iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value).unwrap_or_default()
    }

    /// Nobody was lost, and nobody forgotten.
    #[track_caller]
    fn assert_complete(&self, table: &ShowProc, old: usize) {
        assert_eq!((table.old.len(), table.workers.len()), (old, 1));
        let mut known: Vec<Pid> = table.old.iter().chain(&table.workers).copied().collect();
        let mut children = procfs::children(self.master());
        known.sort_unstable();
        children.sort_unstable();
        assert_eq!(known, children);
    }
}

/// The table goes over in a file of the memory; what is beside it in the environment are the
/// newest rows, for those who don't know of the file.
#[test]
fn process_table_longer_than_a_string() {
    let mut scene = Scene::new();
    let launch = scene.launch_crowd(MANY).nofile(4096, 4096);
    scene.start_as(launch);
    scene.assert_complete(&scene.table(), MANY);
    let _held = scene.hold();
    for number in 1..=2 {
        let worker = scene.worker();
        scene.reload(Signal::USR2);
        wait_until(PATIENCE, "old workers to leave", || scene.table().old.len() == MANY + 1);
        let table = scene.table();
        scene.assert_complete(&table, MANY + 1);
        assert_eq!(table.reloads as usize, MANY + number);
        let (rows, state) = (scene.variable("HAPROXY_PROCESSES"), scene.variable("MWORKER_STATE"));
        assert!(rows.len() < 128 * 1024 && state.contains(";table="), "{state}");
        assert!(rows.contains(&format!(";pid={worker};")), "the newest is left out");
    }
    // A failed one carries as much.
    scene.configure_foreign();
    scene.signal(Signal::USR2);
    scene.expect(RELOADING);
    scene.expect(FAILED);
    scene.assert_complete(&scene.table(), MANY + 1);
    scene.assert_serves();
    // And all of them can be told to leave.
    scene.configure_well();
    scene.reload_over_cli("hard-reload");
    scene.wait_old(0);
    scene.reload(Signal::USR2);
    assert!(!scene.variable("MWORKER_STATE").contains(";table="));
    scene.stop();
}

/// With a small stack arguments and environment have 128 KiB together, of which the user's own
/// take most: the newest rows and the newest PIDs go there, and the next image tells the others
/// by the table.
#[test]
fn little_room_for_arguments() {
    let mut scene = Scene::new();
    let launch = scene.launch_crowd(MANY).nofile(4096, 4096).env("LONG", "x".repeat(100_000));
    scene.start_as(launch);
    procfs::limit_stack(scene.master(), 512 * 1024);
    let worker = scene.worker();
    scene.reload(Signal::USR2);
    scene.assert_complete(&scene.table(), MANY);
    let argv = procfs::cmdline(scene.master()).expect("a living master");
    let told = argv.iter().skip_while(|arg| *arg != "-sf").skip(1);
    let told = told.take_while(|arg| !arg.starts_with('-')).count();
    assert!(told > 100 && told < MANY, "{told}");
    assert!(argv.contains(&worker.to_string()), "the newest is left out");
    assert!(scene.variable("MWORKER_STATE").contains(";table="));
    scene.assert_serves();
    scene.reload_over_cli("hard-reload");
    scene.wait_old(0);
    scene.stop();
}

/// Reloads with a connection through each worker until one is refused; gives them and the
/// answer.
#[track_caller]
fn reload_until_refused(scene: &mut Scene) -> (Vec<Held>, String) {
    let mut held = Vec::new();
    loop {
        assert!(held.len() < 300, "no reload is refused");
        held.push(scene.hold());
        let answer = scene.ask("reload");
        scene.expect(RELOADING);
        if answer.starts_with("Success=0\n") {
            return (held, answer);
        }
        scene.expect(READY);
    }
}

/// What old workers take of the descriptors is not taken from the next image, as far as the
/// hard limit goes. Then the reload is refused before anything is given up. A worker has the
/// limit of the first start, and so has the master when nobody needs more any more.
#[test]
fn more_descriptors_than_there_are() {
    let mut scene = Scene::new();
    let launch = scene.launch_master("-Ws").nofile(64, 128);
    scene.start_as(launch);
    let (mut held, answer) = reload_until_refused(&mut scene);
    let why = "too many descriptors: ";
    assert!(answer.contains(why) && answer.contains("the hard limit is 128"), "{answer}");
    scene.expect(FAILED);
    assert!(held.len() > 90, "already after {}", held.len());
    let limit = |pid| procfs::nofile(pid).expect("a living process");
    assert_eq!((limit(scene.master()), limit(scene.worker())), ((128, 128), (64, 128)));
    let worker = scene.worker();
    scene.wait_cli_idle();
    let before = Traces::of(scene.master());
    for _ in 0..3 {
        scene.signal(Signal::USR2);
        scene.expect(RELOADING);
        scene.expect(FAILED);
        assert_eq!(scene.worker(), worker);
        scene.assert_serves();
    }
    scene.wait_cli_idle();
    assert_eq!(Traces::of(scene.master()), before);
    assert!(held.iter_mut().all(Held::works), "a connection is dead");
    drop(held);
    scene.wait_old(0);
    scene.reload(Signal::USR2);
    scene.reload(Signal::USR2);
    assert_eq!((limit(scene.master()), limit(scene.worker())), ((64, 128), (64, 128)));
    scene.stop();
}
