//! Very many old workers: the process table, the list of whom to tell to leave, and the
//! descriptors outgrow what one exec may carry.

use mworker_kit::{Launch, PATIENCE, Pid, Signal, procfs, wait_until};

use crate::scene::{FAILED, RELOADING, Scene, Table, binary};

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
    fn assert_complete(&self, table: &Table, old: usize) {
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
