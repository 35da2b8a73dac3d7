//! `--check`.

use crate::on_each_proxy;
use crate::scene::{Kind, Scene};

on_each_proxy! {
    a_broken_configuration_never_reaches_the_master
    a_good_one_does
}

fn a_broken_configuration_never_reaches_the_master(kind: Kind) {
    let scene = Scene::serving(kind);
    // A master that has been executed anew has more arguments, and a process table in its
    // environment.
    scene.ctl("reload").expect(0);
    let worker = scene.worker();
    scene.configure_badly();
    let ended = scene.ctl("--check --json reload").expect(1);
    let told = ended.json();
    let why = told["reason"].as_str().unwrap_or_default();
    assert!(why.starts_with("the check ended with ") && why.contains("lisen"), "{told}");
    assert_eq!((&told["reloads"], &told["failed"]), (&1.into(), &0.into()), "{told}");
    assert_eq!(told["worker"], worker);
    assert_eq!(scene.worker(), worker);
    let ended = scene.ctl("--check reload").expect(1);
    let head = format!("mworkerctl: the reload failed, worker {worker} goes on serving: the check");
    assert!(ended.stderr.starts_with(&head), "{ended:?}");
}

fn a_good_one_does(kind: Kind) {
    let scene = Scene::serving(kind);
    for answer in [1, 0] {
        scene.configure(answer);
        scene.ctl("--check reload").expect(0);
        assert_eq!(scene.answer(), answer.to_string());
    }
    assert_eq!(scene.ask("status")["master"]["reloads"], 2);
}
