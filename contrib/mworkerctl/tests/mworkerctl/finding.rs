//! The master is found, or it is said which one wasn't.

use std::os::unix::net::UnixListener;
use std::time::Duration;

use mworker_kit::{Host, MasterCli, Port};

use crate::on_each_proxy;
use crate::scene::{Kind, Scene, start, start_with};

on_each_proxy! {
    by_socket_pid_or_environment
}

fn by_socket_pid_or_environment(kind: Kind) {
    let scene = Scene::serving(kind);
    let by_pid = start(&format!("-p {} --json status", scene.master())).end();
    let master = by_pid.expect(0).json()["master"]["pid"].clone();
    assert_eq!(master, scene.master());
    for address in [
        scene.socket().display().to_string(),
        format!("unix@{},level,admin", scene.socket().display()),
    ] {
        start(&format!("-s {address} status")).end().expect(0);
    }
    let socket = scene.socket().display().to_string();
    start_with("status", &[("MWORKER_SOCKET", &socket)]).end().expect(0);

    // A worker has the master's command line.
    let worker = scene.worker();
    let ended = start(&format!("--pid {worker} reload")).end().expect(3);
    let why = format!("PID {worker} is not the master");
    assert!(ended.stderr.contains(&why), "{ended:?}");
    assert_eq!(scene.worker(), worker);
}

/// HAProxy listens at addresses of other kinds as well.
#[test]
fn by_name_and_by_port() {
    let port = Port::reserve();
    for kind in ["abns@", "ipv4@", ""] {
        let mut scene = Scene::new(Kind::Stock);
        let address = match kind {
            "abns@" => format!("abns@{}", scene.host.marker()),
            _ => format!("{kind}{}", port.addr()),
        };
        scene.configure(0);
        scene.start_at(&format!("{address},level,admin"));
        start(&format!("-s {address} wait-ready")).end().expect(0);
        start(&format!("-p {} reload", scene.master())).end().expect(0);
        scene.stop();
    }
}

#[test]
fn a_socket_of_nobody() {
    let host = Host::new();
    let missing = host.path("no.sock");
    for command in ["reload", "hard-reload", "status", "show proc"] {
        let ended = start(&format!("-s {} {command}", missing.display())).end().expect(3);
        let name = missing.display().to_string();
        assert!(ended.stderr.contains(&name) && ended.stdout.is_empty(), "{ended:?}");
        let ended = start(&format!("-s {name} --json {command}")).end().expect(3);
        let told = ended.json();
        assert_eq!((&told["command"], &told["success"]), (&command.into(), &false.into()));
        assert!(told["reason"].as_str().is_some_and(|why| why.contains(&name)), "{told}");
    }
}

/// Its process is gone, and it isn't waited for as long as for a master.
#[test]
fn a_socket_that_was_left_behind() {
    let host = Host::new();
    let left = host.path("left.sock");
    drop(UnixListener::bind(&left).expect("bind"));
    assert!(MasterCli::new(&left).within(Duration::from_secs(1)).try_ask("x").is_err());
    let ended = start(&format!("-s {} reload", left.display())).end().expect(3);
    assert!(ended.stderr.contains("left.sock can't be reached"), "{ended:?}");
}

#[test]
fn processes_that_are_no_masters() {
    let host = Host::new();
    let own = std::process::id();
    let ended = start(&format!("-p {own} reload")).end().expect(3);
    assert!(ended.stderr.contains(&format!("process {own} has no -S")), "{ended:?}");
    let mut gone = host.launch("/bin/true").spawn();
    gone.wait_exit(mworker_kit::PATIENCE);
    let ended = start(&format!("-p {} reload", gone.pid())).end().expect(3);
    assert!(ended.stderr.contains(&format!("no process {}", gone.pid())), "{ended:?}");
}

#[test]
fn a_wrong_command_line() {
    for args in ["", "restart", "--pid x reload", "-s fd@3 reload", "-t 0 reload"] {
        let ended = start(args).end().expect(2);
        assert!(ended.stderr.starts_with("mworkerctl: ") && ended.stdout.is_empty(), "{ended:?}");
    }
}
