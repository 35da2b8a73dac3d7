//! `-D` and `-p`.

use mworker_kit::{PATIENCE, Pid, Signal, procfs};

use crate::scene::{Held, READY, RELOADING, STOPPING, Scene};

fn daemon(scene: &Scene, mode: &str) -> mworker_kit::Launch {
    scene.launch_master(mode).arg("-D").arg("-p").arg(scene.host.path("proxy.pid"))
}

fn pidfile(scene: &Scene) -> Option<Pid> {
    scene.host.read("proxy.pid").strip_suffix('\n')?.parse().ok()
}

/// When the launching process ends with 0 the service is there: the pidfile names the
/// master, and clients are served.
#[test]
fn whole_life() {
    let mut scene = Scene::new();
    let launch = daemon(&scene, "-Ws");
    scene.spawn(launch);
    let launcher = scene.master();
    assert_eq!(scene.proxy().wait_exit(PATIENCE).code(), Some(0));
    let mut held = Held::connect(scene.port.addr()).expect("somebody who listens");
    assert!(held.works());
    let master = pidfile(&scene).expect("a number in the pidfile");
    assert_ne!(master, launcher);
    scene.proxy().follow(master);
    scene.expect(READY);

    let stat = procfs::stat(master).expect("a living master");
    assert_eq!(stat.session, master, "no session of its own");
    for fd in procfs::descriptors(master).expect("a living master").iter().take(3) {
        assert_eq!((fd.kind.as_str(), fd.fd < 3), ("/dev/null", true));
    }
    assert_eq!(scene.table().workers, scene.proxy().children());

    for signal in [Signal::USR2, Signal::HUP] {
        std::fs::remove_file(scene.host.path("proxy.pid")).expect("a pidfile");
        scene.signal(signal);
        scene.expect(RELOADING);
        scene.expect(READY);
        assert_eq!(pidfile(&scene), Some(master), "after {signal}");
    }
    scene.configure_foreign();
    assert!(scene.ask("reload").starts_with("Success=0\n"));
    assert_eq!(pidfile(&scene), Some(master));
    scene.skip_told();
    assert!(held.works(), "the old connection is dead");
    scene.assert_serves();
    scene.signal(Signal::TERM);
    scene.expect(STOPPING);
    scene.expect_exit(0);
}

#[test]
fn without_systemd() {
    let mut scene = Scene::new();
    let launch = daemon(&scene, "-W");
    scene.spawn(launch);
    assert_eq!(scene.proxy().wait_exit(PATIENCE).code(), Some(0));
    let master = pidfile(&scene).expect("a number in the pidfile");
    scene.proxy().follow(master);
    scene.assert_serves();
    assert!(scene.ask("reload").starts_with("Success=1\n"));
    scene.stop();
    scene.expect_nothing();
}

/// The launching process tells a start that fails, be it by the master or the worker, and
/// nothing is left of it.
#[test]
fn start_fails() {
    for configure in [Scene::configure_badly, Scene::configure_foreign] {
        let mut scene = Scene::new();
        configure(&scene);
        let launch = daemon(&scene, "-Ws");
        scene.spawn(launch);
        scene.expect_exit(1);
        assert_eq!(pidfile(&scene), None, "there is a pidfile");
        assert!(!scene.stderr().is_empty(), "nothing was said");
        scene.expect_nothing();
    }
}

/// In the foreground the pidfile comes with READY too, and one that can't be written is
/// worth a message and no more.
#[test]
fn pidfile_in_the_foreground() {
    let mut scene = Scene::new();
    let launch = scene.launch_master("-Ws").arg("-p").arg(scene.host.path("proxy.pid"));
    scene.start_as(launch);
    assert_eq!(pidfile(&scene), Some(scene.master()));
    scene.stop();

    let mut scene = Scene::new();
    let launch = scene.launch_master("-Ws").args(["-p", "/nonexistent/proxy.pid"]);
    scene.start_as(launch);
    scene.assert_logged("The pidfile /nonexistent/proxy.pid can't be written: ");
    scene.assert_serves();
    scene.stop();
}
