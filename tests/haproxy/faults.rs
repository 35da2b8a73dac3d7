//! Faults of HAProxy's own module that ours doesn't have. Each test shows both.

use std::fs;
use std::os::unix::fs::chown;
use std::process::Command;

use mworker_kit::{PATIENCE, Pid, Signal, http, wait_until};

use crate::compare::{OURS, STOCK, binary};
use crate::run::Run;

/// Who answers a request, if anybody does.
pub fn answering(run: &Run) -> Option<Pid> {
    http::get(run.http.addr(), "/", PATIENCE).ok()?.body.trim().parse().ok()
}

/// A user nobody else runs as, so that a limit of its processes is a limit for HAProxy only.
const USER: u32 = 54321;

const AS_USER: [&str; 4] = ["--reuid=54321", "--regid=54321", "--clear-groups", "--"];

/// Starts as that user, for whom the kernel doesn't waive the limit as it does for root.
fn start_as_user(run: &mut Run) {
    let dir = run.host.dir().to_owned();
    let copy = dir.join("haproxy");
    fs::copy(run.binary(), &copy).expect("a copy of the binary");
    chown(&dir, Some(USER), Some(USER)).expect("chown, as root");
    run.write_usual_config();
    let launch = run.host.launch("setpriv").args(AS_USER).arg(copy);
    let launch = launch.args(["-W", "-S", &run.master_socket(), "-f"]);
    let launch = launch.arg(dir.join("haproxy.cfg"));
    run.start_as(launch);
}

/// Of that user, for which this process needs to be that user's too.
fn limit_processes(pid: Pid, most: u32) {
    let arguments = [format!("--pid={pid}"), format!("--nproc={most}:")];
    let mut command = Command::new("setpriv");
    let status = command.args(AS_USER).arg("prlimit").args(arguments).status();
    assert!(status.as_ref().is_ok_and(|status| status.success()), "prlimit: {status:?}");
}

/// No process can be forked at a reload: the worker in service goes on.
#[test]
fn fork_fails_at_a_reload() {
    let mut run = Run::new(&binary(OURS));
    start_as_user(&mut run);
    let worker = run.worker();
    let held = run.hold();
    for number in 1..=3 {
        limit_processes(run.master(), 1);
        run.reload(Signal::USR2);
        limit_processes(run.master(), 1000);
        assert_eq!(answering(&run), Some(worker), "failure {number}");
        assert_eq!(run.worker(), worker, "failure {number}");
        let table = run.cli().ask("show proc");
        assert!(table.contains(&format!("[failed: {number}]")), "{table}");
    }
    run.reload(Signal::USR2);
    assert_ne!(run.worker(), worker, "a reload works again");
    let table = run.cli().ask("show proc");
    assert!(table.contains("[failed: 0]"), "{table}");
    drop(held);
    run.wait_old_workers(0);

    // Its own module has told the worker to leave by then.
    let mut run = Run::new(&binary(STOCK));
    start_as_user(&mut run);
    limit_processes(run.master(), 1);
    Signal::USR2.send(run.master());
    wait_until(PATIENCE, "the end of stock's service", || answering(&run).is_none());
}

/// What a process table has open is counted. A scenario compares this for later versions; with
/// 2.6 it is ours alone, as a stock one has been seen to lose workers at this number.
#[test]
fn thirty_old_workers() {
    let mut run = Run::new(&binary(OURS));
    run.start();
    let mut held = Vec::new();
    for _ in 0..30 {
        held.push(run.hold());
        run.reload(Signal::USR2);
    }
    let working = held.iter_mut().filter_map(|held| held.works().then_some(())).count();
    assert_eq!((working, run.rows_of("# old workers").len()), (30, 30));
}
