//! `status` and `show proc`.

use mworker_kit::{MasterCli, Signal};
use serde_json::json;

use crate::on_each_proxy;
use crate::scene::{Kind, Scene, pid};

on_each_proxy! {
    show_proc_is_the_masters
    show_proc_for_programs
    status_of_master_and_workers
    no_worker_in_service
}

/// Without the uptimes, which may differ between two looks.
fn without_uptimes(text: &str) -> String {
    let is_uptime = |word: &&str| word.ends_with('s') && word.contains("d0");
    let words = text.split_whitespace().filter(|word| !is_uptime(word));
    words.collect::<Vec<_>>().join(" ")
}

fn show_proc_is_the_masters(kind: Kind) {
    let scene = Scene::serving(kind);
    scene.ctl("reload").expect(0);
    let shown = scene.ctl("show proc").expect(0);
    let asked = MasterCli::new(scene.socket()).ask("show proc");
    assert_eq!(without_uptimes(&shown.stdout), without_uptimes(&asked));
    assert!(shown.stdout.starts_with("#<PID> "), "{shown:?}");
}

fn show_proc_for_programs(kind: Kind) {
    let scene = Scene::serving(kind);
    let old = scene.worker();
    let _held = scene.hold();
    scene.ctl("reload").expect(0);
    let worker = scene.worker();
    let told = scene.ask("show proc");
    let rows = told["processes"].as_array().expect("processes");
    let all: Vec<_> =
        rows.iter().map(|r| json!([r["section"], r["pid"], r["type"], r["reloads"]])).collect();
    let expected = [
        json!(["master", scene.master(), "master", 1]),
        json!(["workers", worker, "worker", 0]),
        json!(["old workers", old, "worker", 1]),
    ];
    assert_eq!(all, expected, "{told}");
    assert_eq!(rows[0]["failed"], 0, "{told}");
    for row in rows {
        assert!(row["uptime_seconds"].is_u64() && row["version"].is_string(), "{told}");
    }
}

fn status_of_master_and_workers(kind: Kind) {
    let scene = Scene::serving(kind);
    let old = scene.worker();
    let _held = scene.hold();
    scene.ctl("reload").expect(0);
    scene.configure_badly();
    scene.ctl("--quiet reload").expect(1);
    let told = scene.ask("status");
    assert_eq!((&told["command"], &told["success"]), (&"status".into(), &true.into()));
    let master = &told["master"];
    assert_eq!((&master["reloads"], &master["failed"]), (&2.into(), &1.into()), "{told}");
    assert_eq!(pid(&master["pid"]), scene.master());
    let workers = told["workers"].as_array().expect("workers");
    let find = |state: &str| workers.iter().find(|worker| worker["state"] == state);
    let stopping = find("stopping").expect("the old worker");
    assert_eq!((pid(&stopping["pid"]), &stopping["connections"]), (old, &1.into()), "{told}");
    assert!(find("in service").is_some() && workers.len() == 2, "{told}");
    let text = scene.ctl("status").expect(0).stdout;
    assert!(text.starts_with(&format!("master {}, version ", scene.master())), "{text}");
    assert!(text.contains(&format!("worker {old}, version ")), "{text}");
    assert_eq!(text.lines().count(), 3, "{text}");
}

/// One that doesn't answer isn't known to serve.
fn no_worker_in_service(kind: Kind) {
    let scene = Scene::serving(kind);
    let worker = scene.worker();
    Signal::STOP.send(worker);
    let ended = scene.ctl("--json status").expect(1);
    let told = ended.json();
    assert_eq!(
        (&told["success"], &told["workers"][0]["state"]),
        (&false.into(), &"not answering".into())
    );
    assert!(scene.ctl("status").expect(1).stderr.contains("no worker is in service"));
    Signal::CONT.send(worker);
    assert_eq!(scene.worker(), worker);
}
