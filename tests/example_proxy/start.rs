//! Options, starts that go well and starts that don't.

use std::net::TcpListener;

use mworker_kit::{PATIENCE, Port, Signal, procfs};

use crate::scene::{FOREIGN, Scene};

#[test]
fn under_a_master() {
    let mut scene = Scene::new();
    let launch = scene.launch_master("-W");
    scene.spawn(launch);
    let worker = scene.wait_serving();
    assert_eq!(scene.worker(), worker);
    assert_eq!(scene.proxy().children(), [worker]);
    scene.assert_serves();
    scene.stop();
    // Without the s of -Ws it's nobody's business.
    scene.expect_nothing();
}

/// The same without a CLI: nothing needs one.
#[test]
fn under_a_master_without_cli() {
    let mut scene = Scene::new();
    let launch = scene.launch(["-Ws"]);
    scene.start_as(launch);
    scene.assert_serves();
    let mut held = scene.hold();
    scene.reload(Signal::USR2);
    scene.assert_serves();
    assert!(held.works(), "the old connection is dead");
    drop(held);
    scene.stop();
}

/// Checks the configuration and does nothing else, whatever else was asked for.
#[test]
fn check_only() {
    let outcome = |configure: fn(&Scene), args: &[&str]| {
        let mut scene = Scene::new();
        configure(&scene);
        let launch = scene.launch(args.iter().copied());
        scene.spawn(launch);
        let status = scene.proxy().wait_exit(PATIENCE);
        assert!(scene.host.processes().is_empty(), "it forked: {:?}", scene.host.processes());
        let files: Vec<_> = std::fs::read_dir(scene.host.dir())
            .expect("the host's folder")
            .map(|entry| entry.expect("an entry").file_name())
            .filter(|name| name != "proxy.conf" && name != "notify.sock")
            .filter(|name| name != "proxy.out" && name != "proxy.err")
            .collect();
        assert!(files.is_empty(), "it left {files:?}");
        scene.expect_nothing();
        (status.code(), scene.proxy().stdout(), scene.stderr())
    };
    let valid = (Some(0), "Configuration file is valid\n".to_owned(), String::new());
    for args in [&["-c"][..], &["-c", "-Ws"], &["-c", "-Ws", "-D", "-S", "m.sock", "-p", "m.pid"]] {
        assert_eq!(outcome(Scene::configure_well, args), valid, "with {args:?}");
        // An address is only tried by a worker.
        assert_eq!(outcome(Scene::configure_foreign, args), valid, "with {args:?}");
        let (code, stdout, stderr) = outcome(Scene::configure_badly, args);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "with {args:?}");
        assert!(stderr.contains("proxy.conf:2: unknown word 'lisen'"), "{stderr}");
    }
}

/// A first start that fails ends the master with the worker's status, and says why.
#[test]
fn first_start_fails() {
    let failed = |configure: &dyn Fn(&Scene), why: &str| {
        let mut scene = Scene::new();
        configure(&scene);
        let launch = scene.launch_master("-Ws");
        scene.spawn(launch);
        scene.expect_exit(1);
        scene.assert_logged(why);
        scene.expect_nothing();
    };
    failed(&Scene::configure_badly, "proxy.conf:2: unknown word 'lisen', expected 'listen'");
    failed(&Scene::configure_foreign, &format!("cannot listen on {FOREIGN}: "));
    let port = Port::reserve();
    let _taken = TcpListener::bind(port.addr()).expect("bind to a reserved port");
    let taken = |scene: &Scene| {
        let rule = format!("listen {} backend {}\n", port.addr(), scene.echo.addr());
        scene.configure(&rule);
    };
    failed(&taken, &format!("cannot listen on {}: Address already in use", port.addr()));
    failed(
        &|scene| std::fs::remove_file(scene.config()).expect("a configuration file"),
        "No such file or directory",
    );
}

/// A master CLI that can't be had fails a first start, and no later one.
#[test]
fn master_socket_impossible() {
    let mut scene = Scene::new();
    let launch = scene.launch(["-Ws", "-S", "/nonexistent/master.sock"]);
    scene.spawn(launch);
    scene.expect_exit(1);
    scene.assert_logged("/nonexistent/master.sock");
    scene.expect_nothing();
}

/// A socket left over by somebody who was killed is no obstacle, and it is for its user only.
#[test]
fn master_socket_is_taken_over() {
    use std::os::unix::fs::PermissionsExt;
    let mut scene = Scene::new();
    drop(std::os::unix::net::UnixListener::bind(scene.master_socket()).expect("a socket"));
    scene.start();
    let mode = scene.master_socket().metadata().expect("the socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    scene.worker();
    scene.reload(Signal::USR2);
    scene.worker();
    scene.stop();
    assert!(!scene.master_socket().exists(), "the socket is left");
}

/// What makes no sense is refused before anything is started.
#[test]
fn options_that_make_no_sense() {
    for (args, why) in [
        (&["-Wx"][..], "unknown option -W..., known are -W and -Ws"),
        (&["-S", "m.sock"], "-S, -D and -p are the master's, they need -W or -Ws"),
        (&["-D"], "-S, -D and -p are the master's, they need -W or -Ws"),
        (&["-W", "more"], "usage: "),
        (&["-Z"], "usage: "),
    ] {
        let mut scene = Scene::new();
        let launch = scene.launch(args.iter().copied());
        scene.spawn(launch);
        scene.expect_exit(1);
        scene.assert_logged(why);
    }
}

/// No signal that a master gets is deadly for its worker, nor held back there.
#[test]
fn signals_of_a_worker() {
    let mut scene = Scene::serving();
    let worker = scene.worker();
    for signal in [Signal::USR2, Signal::HUP] {
        signal.send(worker);
    }
    assert_eq!(scene.worker(), worker);
    scene.assert_serves();
    let blocked = procfs::signals(worker).expect("a living process").blocked;
    assert!(!blocked.has(Signal(libc::SIGCHLD)), "SIGCHLD is held back in the worker");
    scene.stop();
}

/// The terminal's and the descriptors' owner is the master; a worker has none of its own.
#[test]
fn descriptors_of_a_worker() {
    let mut scene = Scene::serving();
    for _ in 0..2 {
        let worker = scene.worker();
        let kinds: Vec<String> = procfs::descriptors(worker)
            .expect("a living process")
            .into_iter()
            .map(|descriptor| descriptor.kind)
            .filter(|kind| kind.starts_with("unix"))
            .collect();
        // Its end of the pair with the master.
        assert_eq!(kinds.len(), 1, "the worker has {kinds:?}");
        scene.reload(Signal::USR2);
    }
    scene.stop();
}
