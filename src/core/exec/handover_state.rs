//! What a master knows besides its table, and tells the next image.
//!
//! One variable of the environment, `key=value` joined by `;`. A master of
//! HAProxy's own passes it on unread, so it lasts there and back.

use super::pending_notifications::PendingNotifications;
use crate::core::lifecycle::Hardness;
use crate::core::table::Table;

/// The variable.
pub const STATE: &str = "MWORKER_STATE";

/// Longer reasons are cut.
const LONGEST_REASON: usize = 512;

/// A reload that failed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Failure {
    /// When, in seconds since 1970.
    pub when: i64,
    /// Why, for people: one line.
    pub why: String,
}

/// What is remembered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct HandoverState {
    /// Reloads that failed since the first start.
    pub failed: u32,
    /// The last of them.
    pub last_failure: Option<Failure>,
    /// New workers that were started in a row, each because the last one died.
    pub restarts: u32,
    /// The status that the last one died with.
    pub status: i32,
    /// Nobody serves since the last one died.
    pub vacant: bool,
    /// The descriptor of the memory that is shared with workers.
    pub memory: Option<i32>,
    /// What systemd is still to be told.
    pub missed: PendingNotifications,
    /// The descriptor of the whole process table, where it is too long for a
    /// variable.
    pub table: Option<i32>,
    /// How many of the PIDs after `-sf`, from the first on, are in service; where
    /// no table is handed over.
    pub serving: Option<u32>,
    /// How many reloads there were; where no table is handed over.
    pub reloads: Option<u32>,
    /// There was no room to name all that are to leave, in this way.
    pub untold: Option<Hardness>,
    /// The soft limit of descriptors of the first start, where the next image gets
    /// another one.
    pub open_files: Option<u64>,
    /// The two ends in which the client of a `reload` waits, each with its inode.
    /// They are in the process table as well, but who is in between may forget
    /// one and leave it open.
    pub pair: Option<[(i32, u64); 2]>,
    /// The descriptors that stay open besides the table's and those above; `None`: they are too
    /// many to name.
    pub inherited: Option<Vec<i32>>,
}

/// Fewer than so many inherited descriptors are named.
pub const MANY_INHERITED: usize = 256;

impl HandoverState {
    /// The descriptors of [`Self::pair`], with their inodes, that are not in `table` any more.
    pub fn lost<T: Table>(&self, table: &T) -> Vec<(i32, u64)> {
        let known = |fd: i32| table.rows().any(|(_, p)| p.ipc_fd.contains(&fd));
        self.pair.into_iter().flatten().filter(|(fd, _)| !known(*fd)).collect()
    }

    /// A reload failed.
    pub fn fail(&mut self, when: i64, why: &str) {
        self.failed = self.failed.saturating_add(1);
        let why = one_line(why).chars().take(LONGEST_REASON).collect();
        self.last_failure = Some(Failure { when, why });
    }

    /// As it is handed over, beside the process table `beside`.
    pub fn write(&self, beside: &[u8]) -> String {
        let mut text = format!(
            "beside={:x};failed={};restarts={};status={}",
            mark(beside),
            self.failed,
            self.restarts,
            self.status
        );
        if self.vacant {
            text.push_str(";vacant=1");
        }
        if let Some(fd) = self.memory {
            text.push_str(&format!(";memory={fd}"));
        }
        if let Some(fd) = self.table {
            text.push_str(&format!(";table={fd}"));
        }
        if let Some(count) = self.serving {
            text.push_str(&format!(";serving={count}"));
        }
        if let Some(count) = self.reloads {
            text.push_str(&format!(";reloads={count}"));
        }
        if let Some(hardness) = self.untold {
            text.push_str(if hardness == Hardness::Hard { ";untold=st" } else { ";untold=sf" });
        }
        if let Some(soft) = self.open_files {
            text.push_str(&format!(";files={soft}"));
        }
        if let Some([(a, a_inode), (b, b_inode)]) = self.pair {
            text.push_str(&format!(";pair={a}:{a_inode},{b}:{b_inode}"));
        }
        if let Some(fds) = &self.inherited {
            let fds: Vec<String> = fds.iter().map(i32::to_string).collect();
            text.push_str(&format!(";inherited={}", fds.join(",")));
        }
        if !self.missed.is_empty() {
            text.push_str(&format!(";missed={}", self.missed.write()));
        }
        // The last one, since anything may be in it.
        if let Some(failure) = &self.last_failure {
            text.push_str(&format!(";when={};why={}", failure.when, failure.why));
        }
        text
    }

    /// What a former image wrote, and whether that was the last one: a master of
    /// HAProxy's own may have been in between, which writes another process table
    /// than the one it stood beside. Then only what lasts is taken.
    ///
    /// Unknown keys are left out, as a newer one may have more; a value that
    /// makes no sense is as if it weren't there.
    pub fn read(text: &str, beside: &[u8]) -> (Self, bool) {
        let (mut record, of) = Self::parse(text);
        let fresh = of == Some(mark(beside));
        if !fresh {
            record.missed = PendingNotifications::default();
            record.restarts = 0;
            record.vacant = false;
            record.untold = None;
            record.open_files = None;
            record.inherited = None;
        }
        (record, fresh)
    }

    fn parse(text: &str) -> (Self, Option<u64>) {
        let mut record = Self::default();
        let (mut when, mut beside) = (None, None);
        let mut rest = text;
        loop {
            if let Some(why) = rest.strip_prefix("why=") {
                record.last_failure = when.map(|when| Failure { when, why: one_line(why) });
                return (record, beside);
            }
            let (field, others) = rest.split_once(';').unwrap_or((rest, ""));
            match field.split_once('=') {
                Some(("failed", value)) => record.failed = value.parse().unwrap_or_default(),
                Some(("restarts", value)) => record.restarts = value.parse().unwrap_or_default(),
                Some(("status", value)) => record.status = value.parse().unwrap_or_default(),
                Some(("beside", value)) => beside = u64::from_str_radix(value, 16).ok(),
                Some(("table", value)) => record.table = value.parse().ok().filter(|fd| *fd > 2),
                Some(("serving", value)) => record.serving = value.parse().ok(),
                Some(("reloads", value)) => record.reloads = value.parse().ok(),
                Some(("untold", "sf")) => record.untold = Some(Hardness::Soft),
                Some(("untold", "st")) => record.untold = Some(Hardness::Hard),
                Some(("files", value)) => record.open_files = value.parse().ok(),
                Some(("vacant", value)) => record.vacant = value == "1",
                Some(("memory", value)) => {
                    record.memory = value.parse().ok().filter(|fd| *fd > 2);
                }
                Some(("pair", value)) => record.pair = pair_of(value),
                Some(("inherited", value)) => record.inherited = descriptors_of(value),
                Some(("missed", value)) => record.missed = PendingNotifications::read(value),
                Some(("when", value)) => when = value.parse().ok(),
                _ => {}
            }
            if others.is_empty() {
                return (record, beside);
            }
            rest = others;
        }
    }
}

fn descriptors_of(text: &str) -> Option<Vec<i32>> {
    let fds = text.split(',').filter(|fd| !fd.is_empty());
    fds.map(|fd| fd.parse().ok().filter(|fd| *fd > 2)).collect()
}

fn pair_of(text: &str) -> Option<[(i32, u64); 2]> {
    let end = |text: &str| {
        let (fd, inode) = text.split_once(':')?;
        Some((fd.parse().ok().filter(|fd| *fd > 2)?, inode.parse().ok()?))
    };
    let (a, b) = text.split_once(',')?;
    Some([end(a)?, end(b)?])
}

/// FNV-1a: to tell one table from another, not from a forged one.
fn mark(text: &[u8]) -> u64 {
    text.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

/// Several lines become one; what a terminal would act on goes.
pub fn one_line(text: &str) -> String {
    let plain = text.lines().map(|line| line.replace(char::is_control, " ").trim().to_owned());
    let lines: Vec<String> = plain.filter(|line| !line.is_empty()).collect();
    lines.join(" - ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::process::Process;
    use crate::core::table::PlainTable;

    #[test]
    fn there_and_back() {
        let back = |record: &HandoverState| HandoverState::read(&record.write(b"|row"), b"|row");
        let mut record = HandoverState { restarts: 2, status: 139, ..HandoverState::default() };
        assert_eq!(back(&record), (record.clone(), true));
        record.memory = Some(7);
        record.table = Some(8);
        record.pair = Some([(5, 1234), (6, 1235)]);
        record.inherited = Some(Vec::new());
        assert_eq!(back(&record), (record.clone(), true));
        record.inherited = Some(vec![3, 250]);
        record.vacant = true;
        record.untold = Some(Hardness::Hard);
        record.open_files = Some(1024);
        record.missed.push("READY=1\nSTATUS=Ready.\n".into());
        record.fail(1_700_000_000, "a;b=c\n\nwhy=d\u{1b}[m");
        let Some(failure) = &record.last_failure else { panic!("a failure") };
        assert_eq!(failure.why, "a;b=c - why=d [m");
        assert_eq!(
            record.write(b""),
            "beside=cbf29ce484222325;failed=1;restarts=2;status=139;vacant=1;memory=7;\
             table=8;untold=st;files=1024;pair=5:1234,6:1235;\
             inherited=3,250;missed=READY=1%0aSTATUS=Ready.%0a;\
             when=1700000000;why=a;b=c - why=d [m"
        );
        assert_eq!(back(&record), (record.clone(), true));
    }

    #[test]
    fn another_master_was_in_between() {
        let mut record =
            HandoverState { failed: 3, restarts: 2, memory: Some(7), ..HandoverState::default() };
        record.missed.push("RELOADING=1".into());
        let (read, fresh) = HandoverState::read(&record.write(b"|ours"), b"|theirs");
        assert_eq!(read, HandoverState { failed: 3, memory: Some(7), ..HandoverState::default() });
        assert!(!fresh);
    }

    #[test]
    fn who_is_in_between_may_forget_a_descriptor() {
        let mut table = PlainTable::default();
        let mut process = Process { pid: 1, ipc_fd: [5, -1], ..Process::default() };
        let row = table.append(process, b"", b"").expect("memory");
        let record =
            HandoverState { pair: Some([(5, 1234), (6, 1235)]), ..HandoverState::default() };
        assert_eq!(record.lost(&table), [(6, 1235)]);
        process.ipc_fd[1] = 6;
        table.store(row, process);
        assert_eq!(record.lost(&table), []);
        assert_eq!(HandoverState::default().lost(&table), []);
    }

    #[test]
    fn nonsense_is_nothing() {
        for text in [
            "",
            ";",
            "pair=5:1",
            "inherited=2",
            "inherited=3,x",
            "pair=5:1,6",
            "pair=1:1,6:2",
            "x",
            "failed=-1;memory=1;restarts=x;vacant=no",
            "why=never",
            "when=1;what=2",
        ] {
            assert_eq!(HandoverState::read(text, b""), (HandoverState::default(), false), "{text}");
        }
    }
}
