//! Very many old workers.

use mworker_kit::signal::master_ready;
use mworker_kit::{PATIENCE, Pid, Signal, procfs, try_wait_for, wait_until};
use std::time::Duration;

use crate::compare::{OURS, STOCK, binary};
use crate::exec::{Movable, fails};
use crate::faults::answering;
use crate::run::{Run, Section, rows};

/// More rows than fit into one string of the environment, whoever writes them.
const MANY: usize = 2_000;

/// A master with so many, and one that serves.
fn start(variable: &str, count: usize) -> Movable {
    let mut movable = Movable::new(variable);
    let run = &mut movable.run;
    if run.version().rules().ends_workers_after_50_reloads {
        run.write_config(&run.config("    mworker-max-reloads 100000", ""));
    }
    let launch = run.host.launch_with_crowd(count, &movable.path);
    let args = ["-Ws", "-S", &run.master_socket()];
    run.spawn(run.complete(launch.args(args)).nofile(8192, 8192));
    movable
}

/// Waits until the table has the old ones, one in service, and the master's row so many reloads.
#[track_caller]
fn wait_table(run: &Run, reloads: usize) -> Vec<Pid> {
    let cli = run.cli().within(Duration::from_secs(5));
    let on_reading = usize::from(run.version().rules().counts_reloads_on_reading);
    let found = try_wait_for(PATIENCE, || {
        let answer = master_ready(run.master()).then(|| cli.try_ask("show proc").ok())??;
        let rows = rows(&answer);
        let pids = |section| rows.iter().filter(move |row| row.section == section).map(|r| r.pid);
        let counted = rows.first()?.reloads as usize == reloads + on_reading;
        (counted && pids(Section::Workers).count() == 1)
            .then(|| pids(Section::OldWorkers).collect())
    });
    found.unwrap_or_else(|| panic!("no table after {reloads} reloads"))
}

/// Ours goes on with all of them, after an exec that fails as well, again and again, and can
/// tell them all to leave. The table is shown whole, in as many pieces as there have to be
/// (stock 3.0 cuts at one).
#[test]
fn process_table_longer_than_a_string() {
    let mut movable = start(OURS, MANY);
    let run = &mut movable.run;
    assert_eq!(wait_table(run, MANY).len(), MANY);
    let worker = run.worker();
    movable.take_away();
    fails(&mut movable.run, true, "No such file or directory");
    movable.put_back();
    let run = &mut movable.run;
    assert_eq!((wait_table(run, MANY).len(), run.worker()), (MANY, worker));
    for number in 1..=2 {
        Signal::USR2.send(run.master());
        run.notify.messages();
        wait_until(PATIENCE, "the worker before to leave", || {
            wait_table(run, MANY + number).len() == MANY
        });
        let worker = answering(run);
        assert!(worker.is_some() && run.rows_of(Section::Workers)[0].pid == worker.unwrap_or(0));
    }
    let state = procfs::environ(run.master()).expect("a living master");
    let state = state.iter().find(|(name, _)| name == "MWORKER_STATE");
    assert!(state.is_some_and(|(_, value)| value.contains(";table=")), "{state:?}");
    run.proxy().signal(Signal::TERM);
    let status = run.proxy().wait_exit(PATIENCE);
    assert_eq!(status.code(), Some(0), "{status}");
}

/// Reloads, until a new worker answers.
#[track_caller]
fn reload(run: &mut Run) {
    wait_until(PATIENCE, "a master in its loop", || master_ready(run.master()));
    let before = run.worker();
    Signal::USR2.send(run.master());
    wait_until(PATIENCE, "an answer of a new worker", || {
        run.notify.messages();
        answering(run).is_some_and(|next| next != before)
    });
}

/// On the way back: a stock image reads no more rows than one string of the environment has, and
/// would lose the others. So the reload is refused while there are more, and works once enough old
/// workers have ended. No image of stock up to 2.8 can have so many: it doesn't count their
/// descriptors in.
#[test]
fn another_binary_comes_once_the_table_fits() {
    let mut movable = start(OURS, MANY);
    if !movable.run.version().rules().counts_descriptors_of_the_table {
        return;
    }
    wait_table(&movable.run, MANY);
    let worker = answering(&movable.run);
    movable.replace_by(&binary(STOCK));
    let run = &mut movable.run;
    fails(run, true, "the process table is too long to pass it on to another binary");
    assert_eq!((wait_table(run, MANY).len(), answering(run)), (MANY, worker));

    let children = procfs::children(run.master());
    // Those of the crowd have the lowest PIDs, the oldest first.
    for old in &children[MANY / 2..MANY] {
        Signal::KILL.send(*old);
    }
    wait_until(PATIENCE, "the ends of old workers", || {
        run.notify.messages();
        wait_table(run, MANY).len() == MANY / 2
    });
    // Stock needs low descriptors, which only a reload by ours brings.
    let worker = answering(run);
    fails(run, true, "reload once with the binary that runs");
    assert_eq!(answering(run), worker);
    movable.put_back();
    reload(&mut movable.run);
    movable.replace_by(&binary(STOCK));
    reload(&mut movable.run);
    let run = &movable.run;
    let exe = std::fs::read_link(format!("/proc/{}/exe", run.master()));
    assert_eq!(exe.expect("a living master"), binary(STOCK));
    let rows = procfs::environ(run.master()).expect("a living master");
    let rows = rows.into_iter().find(|(name, _)| name == "HAPROXY_PROCESSES").map(|(_, v)| v);
    let rows = rows.unwrap_or_default();
    let all = children[..MANY / 2].iter().all(|pid| rows.contains(&format!(";pid={pid};")));
    assert!(all, "rows are missing: {rows}");
}

/// Stock itself ends, one way (1) or the other (SIGSEGV), and all of them with it. From 3.1 on
/// that begins with a reload, after which its CLI is gone.
#[test]
fn stock_ends() {
    let mut movable = start(STOCK, MANY);
    if movable.run.version().rules().cannot_pass_on_many_old_workers {
        // It fails, and can't be executed to wait. What is left is an image with nothing.
        let run = &mut movable.run;
        run.wait_stderr("Argument list too long");
        assert_eq!(answering(run), None);
        return;
    }
    if !movable.run.version().rules().executes_itself_to_wait {
        wait_table(&movable.run, MANY);
        let run = &mut movable.run;
        Signal::USR2.send(run.master());
        run.wait_stderr("Argument list too long");
        let cli = run.cli().within(Duration::from_secs(2));
        assert!(cli.try_ask("show proc").is_err(), "stock's CLI is still there");
        return;
    }
    let status = movable.run.proxy().wait_exit(PATIENCE);
    assert!(!status.success(), "{status}");
    movable.run.wait_stderr("Argument list too long");
    movable.run.host.wait_empty(PATIENCE);
}
