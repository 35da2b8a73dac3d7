//! What depends on the time: deadlines, figures, the watchdog, new workers for dead ones.

use std::fs;
use std::time::{Duration, Instant};

use mworker_kit::{Launch, Message, PATIENCE, Pid, Signal, compile, procfs, wait_for, wait_until};

use crate::scene::{FAILED, Held, READY, REFUSED, RELOADING, STOPPING, Scene, Starting};

/// A worker of a process with this in it hangs while it starts, for as long as a file is
/// there. Of the proxy only its workers have timers.
const HANGS: &str = r#"
    #define _GNU_SOURCE
    #include <stdlib.h>
    #include <sys/syscall.h>
    #include <unistd.h>

    int timerfd_create(int clock, int flags)
    {
        while (access(getenv("HANG"), F_OK) == 0)
            pause();
        return syscall(SYS_timerfd_create, clock, flags);
    }
"#;

impl Scene {
    /// A master whose workers can be told to hang, with a time limit for starting.
    fn launch_hanging(&self, limit: &str) -> Launch {
        self.launch_master("-Ws")
            .env("LD_PRELOAD", compile::library(&self.host, "hangs", HANGS))
            .env("HANG", self.host.path("hang"))
            .env("MWORKER_START_TIMEOUT", limit)
    }

    fn let_workers_hang(&self) {
        self.host.write("hang", "");
    }

    fn let_workers_start(&self) {
        fs::remove_file(self.host.path("hang")).expect("it was there");
    }

    /// Waits until STATUS is what `wanted` wants.
    #[track_caller]
    fn wait_status(&mut self, what: &str, wanted: impl Fn(&str) -> bool) -> usize {
        self.notify.wait_for_live(what, 0, |message| status(message).is_some_and(|s| wanted(&s)))
    }

    /// Waits until STATUS begins so.
    #[track_caller]
    fn wait_status_begins(&mut self, text: &str) -> usize {
        self.wait_status(text, |status| status.starts_with(text))
    }
}

fn status(message: &Message) -> Option<String> {
    message.get("STATUS")
}

fn is_ping(message: &Message) -> bool {
    message.has("WATCHDOG", "1")
}

fn extends(message: &Message) -> bool {
    message.has("EXTEND_TIMEOUT_USEC", "30000000")
}

// ----- deadlines

/// A worker that hangs while it starts is killed when its time is over; the reload has
/// failed, with the reason, and whoever served goes on.
#[test]
fn worker_that_hangs_while_it_starts() {
    let mut scene = Scene::new();
    let launch = scene.launch_hanging("3s");
    scene.start_as(launch);
    let worker = scene.worker();
    scene.let_workers_hang();
    let answer = scene.ask("reload");
    assert!(answer.starts_with("Success=0\n"), "{answer}");
    assert!(answer.contains("is not ready after 3 s: killing it with SIGKILL"), "{answer}");
    scene.expect(RELOADING);
    scene.expect(FAILED);
    assert_eq!(scene.worker(), worker);
    assert_eq!(scene.table().failed, 1);
    scene.assert_serves();

    let why = "was not ready within 3 s, and was killed).";
    scene.wait_status("the reason in the status", |status| {
        status.starts_with("Ready. ")
            && status.contains("failed: 1 (last 2")
            && status.contains(why)
    });

    scene.let_workers_start();
    scene.reload(Signal::USR2);
    // It has happened, and is told for as long as the master lives.
    scene.wait_status("two reloads", |status| {
        status.contains("Reloads: 2, failed: 1 (last 2") && status.contains(why)
    });
    scene.stop();
}

/// At the first start nobody goes on: the service has failed.
#[test]
fn first_worker_hangs() {
    let mut scene = Scene::new();
    scene.let_workers_hang();
    let launch = scene.launch_hanging("300ms");
    scene.spawn(launch);
    scene.expect_exit(137);
    scene.assert_logged("is not ready after 300 ms: killing it with SIGKILL");
    scene.expect_nothing();
}

/// A slow start is said to go on, before the unit's own limits end it.
#[test]
fn slow_start_is_extended() {
    let mut scene = Scene::serving();
    let starting = Starting::reload(&mut scene);
    let first = scene.notify.wait_for_live("more time for a slow start", 0, extends);
    Signal::KILL.send(starting.worker);
    scene.expect(FAILED);
    scene.assert_serves();
    // What is over needs no more time.
    scene.wait_status_begins("Ready.");
    assert_eq!(scene.notify.live().iter().filter(|m| extends(m)).count(), 1, "after {first}");
    scene.stop();
}

/// So is a soft stop, for as long as connections go on.
#[test]
fn soft_stop_is_extended() {
    let mut scene = Scene::serving();
    let mut held = scene.hold();
    scene.signal(Signal::USR1);
    scene.expect(STOPPING);
    scene.notify.wait_for_live("more time for a soft stop", 0, extends);
    scene.wait_status_begins("Leaving. Connections: 1. Workers: 1 current, 0 old, 0 starting.");
    assert!(held.works());
    drop(held);
    scene.expect_exit(0);
    scene.expect_nothing();
}

// ----- figures

/// Connections, workers, reloads, counters: systemd shows what is, also after a reload.
#[test]
fn figures() {
    let mut scene = Scene::serving();
    scene.wait_status_begins(
        "Ready. Connections: 0. Workers: 1 current, 0 old, 0 starting. Reloads: 0, failed: 0. \
         relays: 0. bytes_in: 0. bytes_out: 0.",
    );
    let held = [scene.hold(), scene.hold()];
    scene.wait_status_begins(
        "Ready. Connections: 2. Workers: 1 current, 0 old, 0 starting. Reloads: 0, failed: 0. \
         relays: 2. bytes_in: 26. bytes_out: 26.",
    );
    scene.reload(Signal::USR2);
    // Of both workers.
    let third = scene.hold();
    scene.wait_status_begins(
        "Ready. Connections: 3. Workers: 1 current, 1 old, 0 starting. Reloads: 1, failed: 0. \
         relays: 3. bytes_in: 39. bytes_out: 39.",
    );
    drop(held);
    scene.wait_status_begins(
        "Ready. Connections: 1. Workers: 1 current, 0 old, 0 starting. Reloads: 1, failed: 0. \
         relays: 1. bytes_in: 13. bytes_out: 13.",
    );
    drop(third);
    scene.wait_status_begins(
        "Ready. Connections: 0. Workers: 1 current, 0 old, 0 starting. Reloads: 1,",
    );
    let starting = Starting::reload(&mut scene);
    scene.wait_status_begins(
        "Ready. Connections: 0. Workers: 1 current, 0 old, 1 starting. Reloads: 2,",
    );
    starting.go_on();
    scene.expect(READY);
    scene.stop();
}

/// At most one a second, however much happens.
#[test]
fn status_is_limited() {
    const SEEN: usize = 4;
    let mut scene = Scene::serving();
    let begin = Instant::now();
    let known = scene.notify.live().len();
    wait_until(PATIENCE, "some more messages", || {
        assert!(Held::connect(scene.port.addr()).is_ok_and(|mut held| held.works()));
        let later = &scene.notify.live()[known..];
        later.iter().filter(|message| status(message).is_some()).count() >= SEEN
    });
    // All of them were sent meanwhile; that it took longer than it might have says nothing.
    let least = Duration::from_secs(SEEN as u64 - 1);
    assert!(begin.elapsed() >= least, "{SEEN} messages within {:?}", begin.elapsed());
    scene.stop();
}

/// While nothing changes nothing is said. The watchdog's pings tell that time goes by: four
/// of them are three seconds.
#[test]
fn status_is_not_repeated() {
    const PINGS: usize = 4;
    let mut scene = Scene::serving_with("WATCHDOG_USEC", "4000000");
    let told = scene.wait_status_begins("Ready. Connections: 0.");
    wait_until(PATIENCE, "pings", || {
        scene.notify.live()[told..].iter().filter(|m| is_ping(m)).count() >= PINGS
    });
    let all = scene.notify.live();
    let more: Vec<_> = all[told + 1..].iter().filter_map(status).collect();
    assert!(more.is_empty(), "told once more: {more:?}");
    scene.stop();
}

/// How much a process has mapped of the memory that is shared, in bytes.
fn mapped(pid: Pid) -> u64 {
    let maps = fs::read_to_string(format!("/proc/{pid}/maps")).expect("a living process");
    let shared = maps.lines().filter(|line| line.contains("memfd:mworker"));
    let sizes = shared.map(|line| {
        let ends = line.split_whitespace().next().and_then(|range| range.split_once('-'));
        let address = |text: &str| u64::from_str_radix(text, 16).expect("an address");
        ends.map_or(0, |(from, to)| address(to) - address(from))
    });
    sizes.sum()
}

/// The memory that is shared goes over every exec, and nobody else has it open; a worker has
/// one page.
#[test]
fn shared_memory() {
    let mut scene = Scene::serving();
    let has = |pid: Pid| {
        let all = procfs::descriptors(pid).expect("a living process");
        all.iter().filter(|descriptor| descriptor.target.contains("memfd:mworker")).count()
    };
    let held = scene.hold();
    for _ in 0..3 {
        assert_eq!(has(scene.master()), 1);
        let table = scene.table();
        for worker in table.workers.iter().chain(&table.old) {
            assert_eq!((has(*worker), mapped(*worker)), (0, 4096), "of {worker}");
        }
        scene.reload(Signal::USR2);
    }
    // What the first worker tells is read by the fourth image.
    scene.wait_status_begins("Ready. Connections: 1. Workers: 1 current, 1 old, 0 starting.");
    drop(held);
    scene.wait_status_begins("Ready. Connections: 0. Workers: 1 current, 0 old, 0 starting.");
    scene.stop();
}

// ----- the watchdog

/// systemd hears that the service lives only while its worker does. That one stopped is
/// logged and shown first.
#[test]
fn watchdog() {
    let mut scene = Scene::new();
    // Of this very process, whose PID the exec keeps.
    let launch = scene.launch_by_shell("export WATCHDOG_PID=$$").env("WATCHDOG_USEC", "4000000");
    scene.start_as(launch);
    scene.notify.wait_for_live("a ping", 0, is_ping);
    let worker = scene.worker();
    Signal::STOP.send(worker);
    let frozen = format!("Worker {worker} is frozen for ");
    let at = scene.wait_status_begins(&frozen);
    scene.assert_logged(&format!("Current worker ({worker}) has given no sign of life for "));
    let after = scene.notify.wait_for_live("the next status", at + 1, |m| status(m).is_some());
    let told = &scene.notify.live()[at..after];
    assert!(!told.iter().any(is_ping), "systemd was told that a frozen service lives");

    Signal::CONT.send(worker);
    let at = scene.notify.wait_for_live("a ping", after, is_ping);
    scene.assert_logged(&format!("Current worker ({worker}) gives signs of life again, after "));
    let ready = |m: &Message| status(m).is_some_and(|s| s.starts_with("Ready. "));
    let at = scene.notify.wait_for_live("that all is well", at, ready);

    // While the next one loads nobody can give a sign: the default limit of a start.
    scene.reload(Signal::USR2);
    let more = |m: &Message| m.has("EXTEND_TIMEOUT_USEC", "300000000");
    let at = scene.notify.wait_for_live("more time for the reload", at, more);
    scene.notify.wait_for_live("a ping of the next image", at, is_ping);
    scene.stop();
}

/// A frozen worker is no reason not to reload: the new one is well, and so is the service.
#[test]
fn frozen_worker_is_replaced() {
    let mut scene = Scene::serving_with("WATCHDOG_USEC", "4000000");
    let frozen = scene.worker();
    Signal::STOP.send(frozen);
    let at = scene.wait_status_begins(&format!("Worker {frozen} is frozen for "));
    // The listeners can't be had of it, and its address is taken.
    scene.configure(&format!("listen {} backend {}\n", scene.spare.addr(), scene.echo.addr()));
    scene.signal(Signal::USR2);
    scene.expect(RELOADING);
    scene.expect(READY);
    scene.notify.wait_for_live("a ping", at, is_ping);
    scene.wait_status_begins("Ready. Connections: 0. Workers: 1 current, 1 old, 0 starting.");
    Signal::CONT.send(frozen);
    scene.wait_old(0);
    scene.stop();
}

/// Who inherits the variables without being meant has nobody to tell.
#[test]
fn watchdog_of_another_process() {
    let mut scene = Scene::new();
    let launch = scene.launch_master("-Ws").env("WATCHDOG_USEC", "400000").env("WATCHDOG_PID", "1");
    scene.start_as(launch);
    // Ten pings would have come before.
    let told = scene.wait_status_begins("Ready. ");
    assert!(!scene.notify.live()[..told].iter().any(is_ping));
    scene.stop();
}

// ----- new workers for dead ones

/// By choice a worker that dies is no end of the service: another one comes at once.
#[test]
fn dead_worker_is_replaced() {
    let mut scene = Scene::serving_with("MWORKER_RESTART", "2");
    let first = scene.worker();
    Signal::KILL.send(first);
    scene.expect(RELOADING);
    scene.expect(READY);
    let second = scene.worker();
    assert_ne!(first, second);
    scene.assert_serves();
    scene.assert_logged("Starting a new worker now (1 of at most 2 in a row)");

    // The next one after a pause, during which there is none.
    Signal::KILL.send(second);
    scene.expect(RELOADING);
    scene.assert_logged("Starting a new worker in 1 s (2 of at most 2 in a row)");
    scene.expect(READY);
    scene.assert_serves();

    // These were enough: the service ends as ever.
    Signal::KILL.send(scene.worker());
    scene.expect_exit(137);
    scene.assert_logged("2 new workers in a row have died");
    scene.assert_logged("exit-on-failure: killing every processes with SIGTERM");
    scene.expect_nothing();
}

/// It can't come from a configuration that has gone bad meanwhile: that counts too.
#[test]
fn replacement_is_refused() {
    for mode in ["-Ws", "-W"] {
        let mut scene = Scene::new();
        let launch = scene.launch_master(mode).env("MWORKER_RESTART", "2");
        scene.spawn(launch);
        let worker = scene.wait_serving();
        scene.configure("nonsense\n");
        Signal::KILL.send(worker);
        scene.wait_logged("Starting a new worker in 1 s (2 of at most 2 in a row)");
        scene.expect_exit(137);
        scene.assert_logged("2 new workers in a row have died");
        if mode == "-Ws" {
            for message in [READY, RELOADING, REFUSED, RELOADING, REFUSED] {
                scene.expect(message);
            }
            scene.wait_status_begins("Starting a new worker (2 of 2). Workers: 0 current,");
        }
        scene.expect_nothing();
    }
}

/// Who only ends its connections is no replacement, in none of the images to come.
#[test]
fn old_worker_is_no_replacement() {
    let mut scene = Scene::serving_with("MWORKER_RESTART", "9");
    let mut held = scene.hold();
    scene.reload(Signal::USR2);
    scene.configure("nonsense\n");
    Signal::KILL.send(scene.worker());
    scene.expect(RELOADING);
    scene.expect(REFUSED);
    scene.wait_status_begins(
        "Starting a new worker (2 of 9). Connections: 1. Workers: 0 current, 1 old, 0 starting.",
    );
    scene.configure_well();
    scene.notify.wait_for("a new worker", |seen| {
        seen.last().is_some_and(|message| message.has("STATUS", "Ready."))
    });
    scene.assert_serves();
    assert!(held.works(), "the old connection is dead");
    scene.wait_status_begins("Ready. Connections: 1. Workers: 1 current, 1 old, 0 starting.");
    drop(held);
    scene.stop();
}

/// A worker that dies before it serves is no better than one that is refused; a good one ends
/// the row.
#[test]
fn replacement_dies_while_it_starts() {
    let mut scene = Scene::new();
    let launch = scene.launch_hanging("300s").env("MWORKER_RESTART", "2");
    scene.start_as(launch);
    let first = scene.worker();
    scene.let_workers_hang();
    Signal::KILL.send(first);
    scene.expect(RELOADING);
    let starting = wait_for(PATIENCE, "a new worker", || {
        procfs::children(scene.master()).into_iter().find(|pid| *pid != first)
    });
    scene.let_workers_start();
    Signal::KILL.send(starting);
    scene.expect(FAILED);
    scene.expect(RELOADING);
    scene.assert_logged("Starting a new worker in 1 s (2 of at most 2 in a row)");
    scene.expect(READY);
    scene.assert_serves();
    scene.stop();
}

/// Somebody's own reload, with a better configuration, doesn't wait for the pause.
#[test]
fn reload_between_two_workers() {
    let mut scene = Scene::serving_with("MWORKER_RESTART", "9");
    scene.configure("nonsense\n");
    Signal::KILL.send(scene.worker());
    scene.wait_logged("Starting a new worker in 4 s (4 of at most 9 in a row)");
    scene.configure_well();
    scene.skip_told();
    scene.reload_over_cli("reload");
    scene.assert_serves();
    scene.wait_status_begins("Ready. Connections: 0. Workers: 1 current, 0 old, 0 starting.");
    scene.expect_nothing();
    scene.stop();
}

/// Told to leave while it waits for the next one, the master leaves.
#[test]
fn stop_between_two_workers() {
    let mut scene = Scene::serving_with("MWORKER_RESTART", "9");
    scene.configure("nonsense\n");
    Signal::KILL.send(scene.worker());
    // Long enough for the signal to come before it is over.
    scene.wait_logged("Starting a new worker in 4 s (4 of at most 9 in a row)");
    scene.skip_told();
    scene.signal(Signal::TERM);
    scene.expect(STOPPING);
    scene.expect_exit(0);
    scene.expect_nothing();
}

// ----- settings

/// A setting that makes no sense is named, and costs nothing.
#[test]
fn settings_that_make_no_sense() {
    let mut scene = Scene::new();
    let launch = scene
        .launch_master("-Ws")
        .env("MWORKER_START_TIMEOUT", "soon")
        .env("MWORKER_RESTART", "-1");
    scene.start_as(launch);
    scene.assert_logged("MWORKER_START_TIMEOUT=soon: a time like 90, 90s or 5min is expected");
    scene.assert_logged("MWORKER_RESTART=-1: how many times, or 0, is expected");
    scene.assert_serves();
    scene.reload(Signal::USR2);
    scene.stop();
}
