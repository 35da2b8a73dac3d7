//! `wait-ready`.

use mworker_kit::Host;

use crate::on_each_proxy;
use crate::scene::{Kind, Scene, pid, start};

on_each_proxy! {
    begun_before_there_is_a_master
}

fn begun_before_there_is_a_master(kind: Kind) {
    let mut scene = Scene::new(kind);
    scene.configure(0);
    let waiting = scene.start_ctl("--json wait-ready");
    scene.start();
    let told = waiting.end().expect(0).json();
    assert_eq!(scene.answer(), "0");
    assert_eq!((&told["command"], &told["success"]), (&"wait-ready".into(), &true.into()));
    assert_eq!((pid(&told["master"]), pid(&told["worker"])), (scene.master(), scene.worker()));
    assert!(told["duration_ms"].is_u64(), "{told}");
}

#[test]
fn nobody_comes() {
    let host = Host::new();
    let socket = host.path("no.sock");
    let ended = start(&format!("-s {} -t 0.3 wait-ready", socket.display())).end();
    let ended = ended.expect(4);
    assert!(ended.stderr.contains("waiting for the master"), "{ended:?}");
}
