//! A start that hangs: who reads the configuration, a new worker or up to 3.0 the new image of
//! the master, waits for a file that nobody writes.

use std::fs::{self, File};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use mworker_kit::{PATIENCE, Signal, procfs, wait_for};

use crate::compare::{OURS, STOCK, binary};
use crate::faults::answering;
use crate::run::Run;

/// What stock doesn't know.
const LIMIT: (&str, &str) = ("MWORKER_START_TIMEOUT", "1");

fn started(binary: &Path) -> Run {
    let mut run = Run::new(binary);
    run.write_usual_config();
    let launch = run.launch(&["-Ws", "-S", &run.master_socket()]).env(LIMIT.0, LIMIT.1);
    run.start_as(launch);
    run
}

/// Reloads, and comes back when the start hangs: for as long as the pipe isn't dropped.
#[must_use]
fn hang(run: &mut Run) -> File {
    let pipe = run.host.path("paths");
    let _ = fs::remove_file(&pipe);
    let status = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(status.success(), "mkfifo: {status}");
    let section =
        format!("backend hangs\n    mode http\n    acl listed path -f {}", pipe.display());
    run.write_config(&run.config("", &section));
    run.count_reloads(1);
    Signal::USR2.send(run.master());
    wait_for(PATIENCE, "somebody to read the file", || {
        // Without a reader it is refused.
        File::options().write(true).custom_flags(libc::O_NONBLOCK).open(&pipe).ok()
    })
}

/// There is an end to it, it is a failed reload, and the next one works. With stock there is
/// no next one.
#[test]
fn reload_that_hangs() {
    let mut stock = started(&binary(STOCK));
    // 3.1 and 3.2 say READY a moment before they serve.
    let worker_of_stock = wait_for(PATIENCE, "an answer", || answering(&stock));
    let hanging = hang(&mut stock);

    let mut run = started(&binary(OURS));
    let worker = run.worker();
    let mut held = run.hold();
    for number in 1..=2 {
        let pipe = hang(&mut run);
        run.settle();
        drop(pipe);
        assert_eq!(answering(&run), Some(worker), "failure {number}");
        assert_eq!(procfs::children(run.master()), [worker], "failure {number}");
        assert_eq!(run.worker(), worker, "failure {number}");
        run.assert_failed(number);
    }
    run.write_usual_config();
    run.reload(Signal::USR2);
    assert_ne!(run.worker(), worker, "a reload works again");
    assert!(held.works(), "the old connection is dead");

    // By now ours has given up twice.
    if stock.version().rules().loads_in_the_worker {
        stock.write_usual_config();
        let answer = stock.cli().ask("reload");
        assert!(answer.contains("Another reload is still in progress."), "{answer}");
    } else {
        let cli = stock.cli().within(Duration::from_secs(1));
        assert!(cli.try_ask("show proc").is_err(), "stock has ended it");
    }
    assert_eq!(answering(&stock), Some(worker_of_stock));
    drop(hanging);
}

/// TERM ends it, and all there is. From 3.3 on stock leaves a worker that hangs behind: its
/// master is gone before it could tell anybody.
#[test]
fn stop_while_a_start_hangs() {
    let mut run = started(&binary(OURS));
    let hanging = hang(&mut run);
    Signal::TERM.send(run.master());
    let status = run.proxy().wait_exit(PATIENCE);
    run.host.wait_empty(PATIENCE);
    if run.version().rules().loads_in_the_worker {
        assert!(status.success(), "{status}");
        assert_eq!(run.notify.count("STOPPING", "1"), 1);
    }
    drop(hanging);

    let mut stock = started(&binary(STOCK));
    let hanging = hang(&mut stock);
    Signal::TERM.send(stock.master());
    let status = stock.proxy().wait_exit(PATIENCE);
    if stock.version().rules().dies_of_term_while_a_worker_starts {
        assert_eq!(status.signal(), Some(libc::SIGTERM), "{status}");
        assert_eq!(stock.notify.count("STOPPING", "1"), 0);
        assert_ne!(stock.host.processes(), [], "the worker that hangs");
    }
    drop(hanging);
}
