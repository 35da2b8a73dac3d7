//! What is told to people in the log. Wire texts of HAProxy's where it has one:
//! people and scripts search logs for them.

use super::process::Pid;
use super::signal::Ending;

/// How grave a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Level {
    /// For the record.
    Notice,
    /// Something to look at.
    Warning,
    /// Something is broken.
    Alert,
}

pub(super) fn reloading(product: &str, hard: bool) -> String {
    format!("Reloading {product}{}", if hard { " (hard-reload)" } else { "" })
}

pub(super) const LEAVING: &str = "Exiting Master process...";
pub(super) const LOAD_SUCCESS: &str = "Loading success.";
pub(super) const LOAD_FAILURE: &str = "Loading failure!";
pub(super) const EXIT_ON_FAILURE: &str = "exit-on-failure: killing every processes with SIGTERM";

pub(super) fn unexpected_death(product: &str) -> String {
    format!(
        "A worker process unexpectedly died and this can only be explained by a bug in {} or its \
         dependencies.\nPlease check that you are running an up to date and maintained version of \
         {0} and open a bug report.",
        product.to_lowercase()
    )
}

pub(super) fn unknown_exited(pid: i32, end: &Ending) -> String {
    format!("Process {pid} exited with code {} ({})", end.code, end.reason)
}

pub(super) fn current_worker_exited(pid: Pid, end: &Ending) -> String {
    format!("Current worker ({pid}) exited with code {} ({})", end.code, end.reason)
}

pub(super) fn current_program_exited(id: &str, pid: Pid, end: &Ending) -> String {
    format!("Current program '{id}' ({pid}) exited with code {} ({})", end.code, end.reason)
}

pub(super) fn former_worker_exited(pid: Pid, end: &Ending, exceeded: Option<u32>) -> String {
    let head = format!("Former worker ({pid}) exited with code {} ({})", end.code, end.reason);
    match exceeded {
        Some(max) => format!("{head}, as it exceeds max reloads ({max})"),
        None => head,
    }
}

pub(super) fn former_program_exited(id: &str, pid: Pid, end: &Ending) -> String {
    format!("Former program '{id}' ({pid}) exited with code {} ({})", end.code, end.reason)
}

pub(super) fn new_worker_failed(pid: Pid, end: &Ending) -> String {
    format!("Failed to load worker ({pid}) exited with code {} ({})", end.code, end.reason)
}

/// The same in the words of a status line.
pub(super) fn why_new_worker_failed(pid: Pid, end: &Ending, overdue: Option<u64>) -> String {
    match overdue {
        Some(usec) => {
            format!("worker {pid} was not ready within {}, and was killed", seconds(usec))
        }
        None => format!("worker {pid} exited with code {} ({})", end.code, end.reason),
    }
}

/// Microseconds, as people read them.
fn seconds(usec: u64) -> String {
    match usec {
        0..1_000_000 => format!("{} ms", usec / 1_000),
        _ => format!("{} s", usec / 1_000_000),
    }
}

pub(super) fn start_overdue(pid: Pid, usec: u64) -> String {
    format!(
        "New worker ({pid}) is not ready after {}: killing it with SIGKILL ({} sets how long one \
         may take)",
        seconds(usec),
        super::settings::START_TIMEOUT
    )
}

/// Why a load has failed that took too long, in the words of a status line.
pub fn why_load_overdue(usec: u64) -> String {
    format!("the new configuration was not loaded within {}", seconds(usec))
}

/// The same for the log.
pub fn load_overdue(usec: u64) -> String {
    format!(
        "The configuration is not loaded after {}: the load is given up ({} sets how long it may \
         take)",
        seconds(usec),
        super::settings::START_TIMEOUT
    )
}

pub(super) const REFUSED: &str = "the master refused the new configuration";

pub(super) fn restarting(count: u32, limit: u32, pause: u64) -> String {
    let when = if pause == 0 { "now".into() } else { format!("in {pause} s") };
    format!("Starting a new worker {when} ({count} of at most {limit} in a row)")
}

pub(super) fn restarts_exhausted(limit: u32) -> String {
    format!(
        "{limit} new workers in a row have died: no other one is started ({} sets how many)",
        super::settings::RESTART
    )
}

pub(super) fn frozen(pid: i32, still: u64, interval: u64) -> String {
    format!(
        "Current worker ({pid}) has given no sign of life for {}: it is frozen. systemd isn't told \
         any more that the service lives, and ends it {} after the last time",
        seconds(still),
        seconds(interval)
    )
}

pub(super) fn thawed(pid: i32, still: u64) -> String {
    format!("Current worker ({pid}) gives signs of life again, after {}", seconds(still))
}

pub(super) fn replaced(pid: i32) -> String {
    format!("Worker ({pid}), which was frozen, is not the current one any more")
}

pub(super) fn status_frozen(pid: i32, usec: u64) -> String {
    format!("Worker {pid} is frozen for {}.", seconds(usec))
}

pub(super) fn status_restarting(count: u32, limit: u32) -> String {
    format!("Starting a new worker ({count} of {limit}).")
}

pub(super) fn all_left(status: i32) -> String {
    format!("All workers exited. Exiting... ({status})")
}

pub(super) fn worker_forked(pid: Pid, handshake: bool) -> String {
    if handshake {
        format!("Initializing new worker ({pid})")
    } else {
        format!("New worker ({pid}) forked")
    }
}

/// A program was started.
pub fn program_forked(id: &str, pid: Pid) -> String {
    format!("New program '{id}' ({pid}) forked")
}

/// A program could not be started.
pub fn program_fork_failed(id: &str, why: &str) -> String {
    format!("Cannot fork program '{id}': {why}.")
}

pub(super) fn exec_failed(master: i32, why: &str) -> String {
    format!("Failed to reexecute the master process [{master}]: {why}")
}

pub(super) fn load_failed(why: &str) -> String {
    format!("Failed to start a new worker: {why}. The current workers go on.")
}

pub(super) fn first_load_failed(why: &str) -> String {
    format!("Failed to start: {why}.")
}

/// A reload came after the master was told to leave.
pub const RELOAD_WHILE_LEAVING: &str = "The master process is leaving: the reload is ignored.";

/// Answers a `reload` that came before the last one was done.
pub const RELOAD_IN_PROGRESS: &str = "Another reload is still in progress.";

/// The hand-over has no row of the master, and one was made up.
pub const MASTER_MADE_UP: &str = "The master internals are corrupted or it was started with a too \
     old version (< 1.9). Please restart the master process.";

/// The hand-over has no row of the master, which this version can't do without.
pub const MASTER_MISSING: &str =
    "Failed to deserialize data for the master process. Unrecoverable error, exiting.";
