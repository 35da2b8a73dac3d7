//! Faults of HAProxy's own module that ours doesn't have. Each test shows both.

use std::os::unix::fs::chown;
use std::process::Command;
use std::time::Duration;

use mworker_kit::signal::master_ready;
use mworker_kit::{PATIENCE, Pid, Signal, http, procfs, try_wait_for, wait_until};

use crate::compare::{OURS, STOCK, binary};
use crate::run::{Run, Section, rows};

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
    // By a process of its own: what another test forks meanwhile would have a copy of this
    // process's descriptor, and nobody can execute what is still open for writing.
    let copied = Command::new("cp").args([run.binary(), &copy]).status();
    assert!(copied.is_ok_and(|status| status.success()), "a copy of the binary");
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
        run.assert_failed(number);
    }
    run.reload(Signal::USR2);
    assert_ne!(run.worker(), worker, "a reload works again");
    run.assert_failed(0);
    drop(held);
    run.wait_old_workers(0);

    // Its own module has told the worker to leave by then.
    let mut run = Run::new(&binary(STOCK));
    start_as_user(&mut run);
    limit_processes(run.master(), 1);
    Signal::USR2.send(run.master());
    wait_until(PATIENCE, "the end of stock's service", || answering(&run).is_none());
}

/// A process table that names a stranger: its worker was reaped elsewhere, and the PID is
/// somebody else's. What stock does to it, and whether it lives on under ours.
#[test]
fn no_signal_to_a_stranger() {
    for variable in [STOCK, OURS] {
        let mut run = Run::new(&binary(variable));
        run.write_usual_config();
        let launch = run.host.launch_with_stranger(run.binary());
        let launch = launch.args(["-Ws", "-S", &run.master_socket()]);
        run.spawn(run.complete(launch));
        run.count_reloads_of_the_table(1);
        run.settle();
        let stranger: Pid = run.proxy().stdout().trim().parse().expect("a PID");
        assert!(procfs::alive(stranger));
        run.count_reloads(1);
        Signal::USR2.send(run.master());
        run.settle();
        if variable == STOCK {
            wait_until(PATIENCE, "stock to end the stranger", || !procfs::alive(stranger));
            continue;
        }
        let text = format!("Process {stranger} is no child of this master any more: it isn't sent");
        run.wait_stderr(&format!("{text} signal {}.", libc::SIGUSR1));
        Signal::TTOU.send(run.master());
        run.wait_stderr(&format!("{text} signal {}.", libc::SIGTTOU));
        Signal::TERM.send(run.master());
        run.proxy().wait_exit(PATIENCE);
        run.wait_stderr(&format!("{text} signal {}.", libc::SIGTERM));
        assert!(procfs::stat(stranger).is_ok_and(|stat| stat.state == 'S'), "it was told to leave");
    }
}

/// Nobody reads what systemd would: stock's master waits for that, and is deaf meanwhile. Ours
/// reloads, again and again, and says the last of it when there is room.
#[test]
fn notify_socket_that_nobody_reads() {
    let deaf = Duration::from_secs(1);
    let mut run = Run::new(&binary(OURS));
    run.start();
    let mut held = run.hold();
    run.notify.clog();
    for number in 1..=2 {
        let worker = answering(&run);
        Signal::USR2.send(run.master());
        let cli = run.cli().within(deaf);
        wait_until(PATIENCE, "a reload that nobody hears of", || {
            let table = master_ready(run.master()).then(|| cli.try_ask("show proc"));
            let table = rows(&table.and_then(Result::ok).unwrap_or_default());
            table.first().is_some_and(|row| row.reloads == number) && answering(&run) != worker
        });
    }
    assert!(held.works(), "the old connection is dead");
    run.notify.wait_for("what was missed", |messages| {
        messages.last().is_some_and(|message| message.has("READY", "1"))
    });
    drop(held);

    let mut run = Run::new(&binary(STOCK));
    run.start();
    run.notify.clog();
    Signal::USR2.send(run.master());
    let cli = run.cli().within(deaf);
    wait_until(PATIENCE, "stock to be deaf", || cli.try_ask("show proc").is_err());
    let answer = try_wait_for(deaf, || cli.try_ask("show proc").ok());
    assert_eq!(answer, None, "stock has not waited");
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
    assert_eq!((working, run.rows_of(Section::OldWorkers).len()), (30, 30));
}
