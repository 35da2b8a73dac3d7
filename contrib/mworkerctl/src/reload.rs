//! `reload` and `hard-reload`.

use crate::answer::{self, Answer};
use crate::args::Options;
use crate::check::{self, Outcome};
use crate::exit;
use crate::info::{Reply, Taking};
use crate::judge::{self, Before, Seen, Unverified, Verdict};
use crate::master::{Failure, Master};
use crate::output;
use crate::table::{Section, Table};
use serde_json::json;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// How long a worker may take to answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// For how long it may close connections without a word before that is its way.
const WORDLESS_FOR: Duration = Duration::from_secs(2);
const SHORTEST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// What is told in the end.
pub struct Report {
    started: Instant,
    command: &'static str,
    master: Option<i32>,
    before: Option<i32>,
    /// The one that serves now.
    worker: Option<i32>,
    reloads: Option<u64>,
    failed: Option<u64>,
    log: Vec<String>,
    unverified: Vec<Unverified>,
}

impl Report {
    pub fn new(hard: bool) -> Self {
        Self {
            started: Instant::now(),
            command: if hard { "hard-reload" } else { "reload" },
            master: None,
            before: None,
            worker: None,
            reloads: None,
            failed: None,
            log: Vec::new(),
            unverified: Vec::new(),
        }
    }

    fn look(&mut self, table: &Table) {
        let (reloads, failed) = table.reloads();
        self.master = table.master().map(|master| master.pid);
        self.reloads = Some(reloads);
        self.failed = failed;
    }

    /// Prints it, and gives the exit status.
    pub fn end(&self, options: &Options, result: Result<(), Failure>) -> u8 {
        let duration = self.started.elapsed();
        let (status, reason) = match &result {
            Ok(()) => (exit::OK, None),
            Err(failure) => (failure.status(), Some(failure.why())),
        };
        if options.json {
            let unverified = self.unverified.iter().map(|u| json!({"pid": u.pid, "why": u.why}));
            output::json(&json!({
                "command": self.command,
                "success": result.is_ok(),
                "reason": reason,
                "master": self.master,
                "worker_before": self.before,
                "worker": self.worker,
                "reloads": self.reloads,
                "failed": self.failed,
                "duration_ms": output::milliseconds(duration),
                "log": self.log,
                "unverified": unverified.collect::<Vec<_>>(),
            }));
        }
        match &result {
            Ok(()) => self.tell_success(options, duration),
            Err(failure) => self.tell_failure(options, failure),
        }
        status
    }

    fn tell_success(&self, options: &Options, duration: Duration) {
        if options.quiet {
            return;
        }
        for Unverified { pid, why } in &self.unverified {
            output::stderr(&format!(
                "mworkerctl: whether worker {pid} takes connections is not known: {why}\n"
            ));
        }
        if !options.json {
            let worker = self.worker.unwrap_or(0);
            let duration = output::milliseconds(duration);
            output::stdout(&format!("Reloaded: worker {worker} serves, after {duration} ms.\n"));
        }
    }

    fn tell_failure(&self, options: &Options, failure: &Failure) {
        let mut text = String::from("mworkerctl: ");
        if let Failure::Failed(why) = failure {
            text.push_str("the reload failed, ");
            match self.worker {
                Some(pid) => text.push_str(&format!("worker {pid} goes on serving")),
                None => text.push_str("and no worker was found that serves"),
            }
            text.push_str(&format!(": {why}\n"));
        } else {
            text.push_str(&format!("{}: {}\n", self.command, failure.why()));
        }
        if !options.json {
            for line in &self.log {
                text.push_str(line);
                text.push('\n');
            }
        }
        output::stderr(&text);
    }
}

/// Reloads, and is back when the new worker serves, alone.
pub fn run(master: &mut Master, options: &Options, report: &mut Report) -> Result<(), Failure> {
    let result = reload(master, options, report);
    master.done();
    result
}

fn reload(master: &mut Master, options: &Options, report: &mut Report) -> Result<(), Failure> {
    master.waiting_for("the master");
    let mut table = master.table()?;
    if let Some(why) = refused_by_check(master, options, &table, report)? {
        report.before = in_service(&table);
        return Err(failed(master, &Before::of(&table), report, why));
    }
    let mut unanswered = false;
    let mut pause = SHORTEST_PAUSE;
    loop {
        report.look(&table);
        report.before = in_service(&table);
        report.worker = None;
        let before = Before::of(&table);
        master.waiting_for("the new configuration to be loaded");
        let text = master.reload(report.command, &table)?;
        match answer::parse(&text) {
            Answer::Done { success: true, log } => {
                report.log = log;
                return verify(master, &before, report);
            }
            Answer::Done { success: false, log } => {
                let why = answer::reason(&log);
                report.log = log;
                return Err(failed(master, &before, report, why));
            }
            Answer::Refused(text) => {
                report.log = text.lines().map(str::to_owned).collect();
                let first = report.log.first().map_or("", String::as_str);
                let why = format!("the master refuses it: {first}");
                return Err(failed(master, &before, report, why));
            }
            // That one may have read its configuration before it was changed.
            Answer::InProgress => {
                master.waiting_for("another reload to end");
                master.pause(pause)?;
                pause = longer(pause);
                table = master.table()?;
            }
            Answer::Nothing => {
                let then = table;
                table = master.table()?;
                match (without_answer(&then, &table), unanswered) {
                    (Unanswered::NotDone, _) => master.pause(SHORTEST_PAUSE)?,
                    // It may have been that of somebody else. To be sure, once more.
                    (_, false) => unanswered = true,
                    (Unanswered::Done, true) => return verify(master, &before, report),
                    (Unanswered::Failed, true) => {
                        let why = "the master gave no answer, and has no new worker".to_owned();
                        return Err(failed(master, &before, report, why));
                    }
                }
            }
        }
    }
}

/// Why the configuration is no good, if a check was asked for or is needed.
fn refused_by_check(
    master: &mut Master,
    options: &Options,
    table: &Table,
    report: &mut Report,
) -> Result<Option<String>, Failure> {
    let wanted = match options.check {
        Some(wanted) => wanted,
        None => is_check_needed(master, table)?,
    };
    if !wanted {
        return Ok(None);
    }
    match check::run(master)? {
        Outcome::Fine => Ok(None),
        Outcome::Refused(why, log) => {
            report.log = log;
            Ok(Some(why))
        }
        Outcome::Impossible(_) if options.check.is_none() => Ok(None),
        Outcome::Impossible(why) => {
            Err(Failure::Unreachable(format!("the check can't be run: {why}")))
        }
    }
}

fn is_check_needed(master: &mut Master, table: &Table) -> Result<bool, Failure> {
    let version = table.master().and_then(|row| row.version.as_deref()).unwrap_or_default();
    let Some(pid) = in_service(table).filter(|_| check::is_needed(version)) else {
        return Ok(false);
    };
    // Other proxies have such versions too, and maybe no -c.
    let reply = master.ask_worker(pid, ANSWER_WITHIN)?;
    Ok(matches!(reply, Some(Reply::Worker(info)) if info.name.as_deref() == Some("HAProxy")))
}

/// The worker that commands for `@1` go to: after a failed reload HAProxy 3.1 and later list it
/// as an old one.
fn in_service(table: &Table) -> Option<i32> {
    let current = table.workers().find(|row| row.section == Section::Workers);
    current.or_else(|| table.workers().min_by_key(|row| row.reloads)).map(|row| row.pid)
}

fn longer(pause: Duration) -> Duration {
    pause.saturating_mul(2).min(LONGEST_PAUSE)
}

/// What became of a reload that was not answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Unanswered {
    NotDone,
    Done,
    Failed,
}

fn without_answer(before: &Table, after: &Table) -> Unanswered {
    let ((reloads_before, failed_before), (reloads, failed)) = (before.reloads(), after.reloads());
    let is_new = |pid| before.workers().all(|row| row.pid != pid);
    if failed > failed_before {
        Unanswered::Failed
    } else if reloads == reloads_before {
        Unanswered::NotDone
    } else if after.workers().any(|row| is_new(row.pid)) {
        Unanswered::Done
    } else {
        Unanswered::Failed
    }
}

/// Waits until the new worker serves and no other takes new connections.
fn verify(master: &mut Master, before: &Before, report: &mut Report) -> Result<(), Failure> {
    let mut eyes = Eyes::default();
    let mut pause = SHORTEST_PAUSE;
    loop {
        let table = master.table()?;
        report.look(&table);
        if !table.workers().any(|row| !before.has(row.pid)) {
            let why = "the new worker ended right after its start".to_owned();
            return Err(failed(master, before, report, why));
        }
        for row in table.workers() {
            eyes.look_at(master, row.pid, before)?;
        }
        match judge::judge(&table, before, &eyes.seen) {
            Verdict::Over { worker, unverified } => {
                report.worker = Some(worker);
                report.unverified = unverified;
                return Ok(());
            }
            Verdict::Wait(what) => master.waiting_for(&what),
        }
        master.pause(pause)?;
        pause = longer(pause);
    }
}

/// What the workers said so far.
#[derive(Default)]
struct Eyes {
    seen: BTreeMap<i32, Seen>,
    wordless_since: BTreeMap<i32, Instant>,
}

impl Eyes {
    fn look_at(&mut self, master: &mut Master, pid: i32, before: &Before) -> Result<(), Failure> {
        match self.seen.get(&pid) {
            // There is no way back from that, and there may be a thousand.
            Some(Seen::Answered(info)) if info.taking() == Taking::No => return Ok(()),
            Some(Seen::Mute) => return Ok(()),
            _ => {}
        }
        let seen = match master.ask_worker(pid, ANSWER_WITHIN)? {
            Some(Reply::Worker(info)) => Seen::Answered(info),
            Some(Reply::Unknown) => Seen::Unknown,
            Some(Reply::Nothing) => {
                let since = *self.wordless_since.entry(pid).or_insert_with(Instant::now);
                if since.elapsed() < WORDLESS_FOR { Seen::Silent } else { Seen::Mute }
            }
            // One that hung before can't hold up all reloads to come.
            None if before.old.contains(&pid) => Seen::Mute,
            None => Seen::Silent,
        };
        self.seen.insert(pid, seen);
        Ok(())
    }
}

/// Finds out who serves after a reload that failed.
fn failed(master: &mut Master, before: &Before, report: &mut Report, why: String) -> Failure {
    master.waiting_for("the old worker to answer");
    let mut look = || -> Result<(), Failure> {
        let table = master.table()?;
        report.look(&table);
        for pid in before.current.iter().chain(&before.old) {
            if let Some(Reply::Worker(info)) = master.ask_worker(*pid, ANSWER_WITHIN)? {
                if info.taking() != Taking::No {
                    report.worker = Some(*pid);
                    return Ok(());
                }
            }
        }
        Ok(())
    };
    match look() {
        Ok(()) | Err(Failure::Late(_)) => Failure::Failed(why),
        Err(other) => {
            Failure::Unreachable(format!("the reload failed ({why}), and {}", other.why()))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(reloads: u64, failed: u64, workers: &[i32]) -> Table {
        let mut text = format!(
            "#<PID> <type> <reloads> <uptime> <version>\n\
             1 master {reloads} [failed: {failed}] 0d00h00m01s 3.0\n# workers\n"
        );
        for pid in workers {
            text.push_str(&format!("{pid} worker 0 0d00h00m01s 3.0\n"));
        }
        Table::parse(&text).expect("a table")
    }

    #[test]
    fn the_table_tells_what_was_not_answered() {
        let before = table(3, 0, &[10]);
        let judged = |after| without_answer(&before, &after);
        assert_eq!(judged(table(3, 0, &[10])), Unanswered::NotDone);
        assert_eq!(judged(table(4, 0, &[11, 10])), Unanswered::Done);
        assert_eq!(judged(table(4, 0, &[10])), Unanswered::Failed);
        assert_eq!(judged(table(3, 1, &[10])), Unanswered::Failed);
        assert_eq!(judged(table(4, 1, &[11])), Unanswered::Failed);
    }

    #[test]
    fn the_worker_in_service_may_be_listed_as_old() {
        let text = "#<PID> <type> <reloads> <uptime> <version>\n1 master 3 0d00h00m01s 3.1\n\
                    # workers\n# old workers\n8 worker 3 0d00h00m01s 3.1\n\
                    9 worker 1 0d00h00m01s 3.1\n";
        assert_eq!(in_service(&Table::parse(text).expect("a table")), Some(9));
        assert_eq!(in_service(&table(3, 0, &[10])), Some(10));
        assert_eq!(in_service(&table(3, 0, &[])), None);
    }

    #[test]
    fn pauses_grow_up_to_a_limit() {
        assert_eq!(longer(SHORTEST_PAUSE), SHORTEST_PAUSE * 2);
        assert_eq!(longer(LONGEST_PAUSE), LONGEST_PAUSE);
    }
}
