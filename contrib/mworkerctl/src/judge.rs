//! Whether a reload is over: the new worker serves, and nobody else takes new connections.

use crate::info::{Info, Taking};
use crate::table::{Section, Table};
use std::collections::BTreeMap;

/// What is known of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    Answered(Info),
    /// The master sends no command there: it is gone, or not ready yet.
    Unknown,
    /// No answer yet, but waiting for one makes sense.
    Silent,
    /// No answer for so long that none is expected any more.
    Mute,
}

/// Something that can't be said of a worker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unverified {
    pub pid: i32,
    pub why: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// This one serves, alone.
    Over { worker: i32, unverified: Vec<Unverified> },
    /// Not yet; what is being waited for.
    Wait(String),
}

/// The workers when the reload was asked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Before {
    pub current: Vec<i32>,
    pub old: Vec<i32>,
}

impl Before {
    pub fn of(table: &Table) -> Self {
        let of = |section| {
            let rows = table.rows.iter().filter(|row| row.section == section);
            rows.map(|row| row.pid).collect()
        };
        Self { current: of(Section::Workers), old: of(Section::OldWorkers) }
    }

    pub fn has(&self, pid: i32) -> bool {
        self.current.contains(&pid) || self.old.contains(&pid)
    }
}

/// Judges by the table, and by what each of its workers said.
///
/// The section of a row says little: after a failed reload HAProxy 3.1 and later list the
/// worker in service as an old one. So who takes new connections is asked of the workers.
pub fn judge(table: &Table, before: &Before, seen: &BTreeMap<i32, Seen>) -> Verdict {
    let mut unverified = Vec::new();
    let mut serving = None;
    for row in table.workers() {
        let pid = row.pid;
        let current = row.section == Section::Workers;
        let is_new = !before.has(pid);
        let who = if is_new { "new" } else { "old" };
        let mut doubt = |why| unverified.push(Unverified { pid, why });
        let serves = match seen.get(&pid).unwrap_or(&Seen::Silent) {
            Seen::Answered(info) => match info.taking() {
                Taking::Yes => true,
                Taking::No if current => {
                    return Verdict::Wait(format!("worker {pid} is stopping, for one that isn't"));
                }
                Taking::No => false,
                Taking::Untold => {
                    doubt("its answer has no 'Stopping:' line");
                    current
                }
            },
            Seen::Mute => {
                doubt("it doesn't answer");
                current
            }
            Seen::Unknown if !current => false,
            Seen::Unknown | Seen::Silent => {
                return Verdict::Wait(format!("the {who} worker {pid} to answer"));
            }
        };
        if !serves {
            continue;
        }
        if !is_new {
            return Verdict::Wait(format!("the old worker {pid} to take no more connections"));
        }
        if let Some(other) = serving.replace(pid) {
            return Verdict::Wait(format!("one of workers {other} and {pid} to stop"));
        }
    }
    match serving {
        Some(worker) => Verdict::Over { worker, unverified },
        None => Verdict::Wait("a new worker".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::{self, Reply};
    use std::fmt::Write;

    fn table(workers: &[i32], old: &[i32]) -> Table {
        let mut text =
            "#<PID> <type> <reloads> <uptime> <version>\n1 master 2 0d00h00m01s 3\n".to_owned();
        for (title, pids) in [("# workers", workers), ("# old workers", old)] {
            let _ = writeln!(text, "{title}");
            for pid in pids {
                let _ = writeln!(text, "{pid} worker 0 0d00h00m01s 3");
            }
        }
        Table::parse(&text).expect("a table")
    }

    fn answered(text: &str) -> Seen {
        match info::parse(text) {
            Reply::Worker(info) => Seen::Answered(info),
            other => panic!("{other:?}"),
        }
    }

    fn serving() -> Seen {
        answered("Stopping: 0")
    }

    fn stopped() -> Seen {
        answered("Stopping: 1")
    }

    fn before(current: &[i32], old: &[i32]) -> Before {
        Before { current: current.into(), old: old.into() }
    }

    fn judged(table: &Table, before: &Before, seen: &[(i32, Seen)]) -> Verdict {
        judge(table, before, &seen.iter().cloned().collect())
    }

    fn waits(verdict: &Verdict) -> bool {
        matches!(verdict, Verdict::Wait(_))
    }

    #[test]
    fn over_when_the_new_one_serves_alone() {
        let table = table(&[5], &[4, 3]);
        let before = before(&[4], &[3]);
        let over = Verdict::Over { worker: 5, unverified: Vec::new() };
        let seen = |new, old, older| [(5, new), (4, old), (3, older)];
        assert_eq!(judged(&table, &before, &seen(serving(), stopped(), stopped())), over);
        assert_eq!(judged(&table, &before, &seen(serving(), Seen::Unknown, stopped())), over);
        for not_yet in [
            seen(serving(), serving(), stopped()),
            seen(serving(), stopped(), serving()),
            seen(serving(), Seen::Silent, stopped()),
            seen(Seen::Silent, stopped(), stopped()),
            seen(Seen::Unknown, stopped(), stopped()),
            seen(stopped(), stopped(), stopped()),
        ] {
            assert!(waits(&judged(&table, &before, &not_yet)), "{not_yet:?}");
        }
        assert!(waits(&judged(&table, &before, &[])));
    }

    #[test]
    fn the_same_worker_is_no_new_one() {
        let seen = [(4, serving())];
        assert!(waits(&judged(&table(&[4], &[]), &before(&[4], &[]), &seen)));
        // As HAProxy 3.1 and later list it after a failed reload.
        assert!(waits(&judged(&table(&[], &[4]), &before(&[4], &[]), &seen)));
        assert!(waits(&judged(&table(&[], &[]), &before(&[4], &[]), &[])));
    }

    #[test]
    fn another_reload_that_failed_meanwhile_changes_nothing() {
        let table = table(&[], &[5, 4]);
        let seen = [(5, serving()), (4, stopped())];
        let over = Verdict::Over { worker: 5, unverified: Vec::new() };
        assert_eq!(judged(&table, &before(&[4], &[]), &seen), over);
    }

    #[test]
    fn two_new_ones_are_one_too_many() {
        let table = table(&[6], &[5]);
        assert!(waits(&judged(&table, &before(&[4], &[]), &[(6, serving()), (5, serving())])));
    }

    #[test]
    fn who_does_not_tell_is_not_waited_for() {
        let table = table(&[5], &[4, 3]);
        let seen = [(5, answered("Hello: 1")), (4, answered("What?")), (3, Seen::Mute)];
        let Verdict::Over { worker: 5, unverified } = judged(&table, &before(&[4], &[3]), &seen)
        else {
            panic!("not over")
        };
        assert_eq!(unverified.iter().map(|u| u.pid).collect::<Vec<_>>(), [5, 4, 3]);
    }

    #[test]
    fn the_first_worker_of_all() {
        let over = Verdict::Over { worker: 5, unverified: Vec::new() };
        assert_eq!(judged(&table(&[5], &[]), &before(&[], &[]), &[(5, serving())]), over);
    }
}
