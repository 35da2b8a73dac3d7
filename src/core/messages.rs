//! What is told to people in the log. Wire texts of HAProxy's where it has one:
//! people and scripts search logs for them.

use super::generation::Words;
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

/// A process of the table, as the log names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Named {
    pub pid: Pid,
    /// Which of the workers of one start.
    pub relative: i32,
    pub words: Words,
}

impl Named {
    fn exited(self, kind: &str, end: &Ending) -> String {
        let Self { pid, relative, words } = self;
        match words {
            Words::V1_8 => format!("{kind} {pid} exited with code {}", end.code),
            Words::V1_9 => {
                format!("{kind} #{relative} ({pid}) exited with code {} ({})", end.code, end.reason)
            }
            Words::V2_5 => format!("{kind} ({pid}) exited with code {} ({})", end.code, end.reason),
        }
    }
}

pub(super) fn reloading(product: &str, hard: bool, words: Words) -> (Level, String) {
    match words {
        Words::V2_5 => {
            let hard = if hard { " (hard-reload)" } else { "" };
            (Level::Notice, format!("Reloading {product}{hard}"))
        }
        Words::V1_8 | Words::V1_9 => (Level::Warning, REEXECUTING.to_owned()),
    }
}

const REEXECUTING: &str = "Reexecuting Master process";

/// The new configuration is refused, and the next image waits.
pub(super) const fn load_failure(words: Words) -> &'static [&'static str] {
    match words {
        Words::V2_5 => &["Loading failure!"],
        Words::V1_8 | Words::V1_9 => &["Reexecuting Master process in waitpid mode", REEXECUTING],
    }
}

pub(super) const LEAVING: &str = "Exiting Master process...";
pub(super) const LOAD_SUCCESS: &str = "Loading success.";

pub(super) const fn exit_on_failure(words: Words) -> &'static str {
    match words {
        Words::V1_8 => "exit-on-failure: killing every workers with SIGTERM",
        Words::V1_9 | Words::V2_5 => "exit-on-failure: killing every processes with SIGTERM",
    }
}

pub(super) fn unexpected_death(product: &str) -> String {
    format!(
        "A worker process unexpectedly died and this can only be explained by a bug in {} or its \
         dependencies.\nPlease check that you are running an up to date and maintained version of \
         {0} and open a bug report.",
        product.to_lowercase()
    )
}

pub(super) fn unknown_exited(pid: i32, end: &Ending, words: Words) -> String {
    match words {
        Words::V1_8 => format!("Worker {pid} exited with code {}", end.code),
        _ => format!("Process {pid} exited with code {} ({})", end.code, end.reason),
    }
}

/// Only an image of this library can be passed on more rows than the environment has room for.
pub const TABLE_TOO_LONG_FOR_ANOTHER: &str =
    "the process table is too long to pass it on to another binary: let old workers end first";

/// Stock HAProxy has room for as many descriptors as it reads rows.
pub const DESCRIPTORS_TOO_HIGH_FOR_ANOTHER: &str = "descriptors of the process table have higher \
     numbers than another binary may have room for: reload once with the binary that runs, which \
     lowers them, and then with the other one";

/// A process of the table that somebody else has reaped.
pub fn stranger(pid: Pid, signal: i32) -> String {
    format!("Process {pid} is no child of this master any more: it isn't sent signal {signal}.")
}

pub(super) fn current_worker_exited(worker: Named, end: &Ending) -> String {
    worker.exited("Current worker", end)
}

pub(super) fn current_program_exited(id: &str, pid: Pid, end: &Ending) -> String {
    format!("Current program '{id}' ({pid}) exited with code {} ({})", end.code, end.reason)
}

pub(super) fn former_worker_exited(worker: Named, end: &Ending, exceeded: Option<u32>) -> String {
    let head = worker.exited("Former worker", end);
    match exceeded {
        Some(max) => format!("{head}, as it exceeds max reloads ({max})"),
        None => head,
    }
}

pub(super) fn former_program_exited(id: &str, pid: Pid, end: &Ending) -> String {
    format!("Former program '{id}' ({pid}) exited with code {} ({})", end.code, end.reason)
}

pub(super) fn new_worker_failed(pid: Pid, end: &Ending, tells_who: bool) -> String {
    if tells_who {
        format!("Failed to load worker ({pid}) exited with code {} ({})", end.code, end.reason)
    } else {
        "Failed to load worker!".to_owned()
    }
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
