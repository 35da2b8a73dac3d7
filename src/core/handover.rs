//! `HAPROXY_PROCESSES`: the process table as it goes from one master to the next.
//!
//! One row a process, `|` before each, `key=value` joined by `;`, no escaping.
//! Every version's rows are read, those of the linked HAProxy are written.

use super::generation::{Generation, LeavingRule, RowFormat};
use super::process::{Process, options};
use super::table::{OutOfMemory, Table};
use std::collections::BTreeSet;
use std::fmt;
use std::io::Write;

/// A row that was left out, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadRow {
    /// Which, counted from 1.
    pub number: usize,
    /// Its text, cut where it is long.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl fmt::Display for BadRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "row {} of the process table is left out, {}: '{}'",
            self.number, self.why, self.text
        )
    }
}

/// Why the table could not be taken over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// No row is the master's.
    NoMaster,
    /// Out of memory.
    OutOfMemory,
}

impl From<OutOfMemory> for Error {
    fn from(_: OutOfMemory) -> Self {
        Self::OutOfMemory
    }
}

/// What was read.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// Rows that were left out.
    pub bad: Vec<BadRow>,
    /// Whether there was a row of the master.
    pub has_master: bool,
    /// Whether its writer is of those that leave it to the image that waits to
    /// tell systemd READY: their rows have one end of a socketpair only.
    pub leaves_ready: bool,
}

struct Row<'a> {
    process: Process,
    /// Its writer left it to the reader to count the reload: 2.4 and before.
    uncounted: bool,
    /// Its writer knows of one end: 2.6 and before.
    one_end: bool,
    id: &'a [u8],
    version: &'a [u8],
}

const LONGEST_SHOWN: usize = 80;

fn number(value: &[u8]) -> Option<i32> {
    std::str::from_utf8(value).ok()?.parse().ok()
}

fn parse_row(text: &[u8]) -> Result<Row<'_>, &'static str> {
    let mut process = Process::default();
    let (mut id, mut version): (&[u8], &[u8]) = (&[], &[]);
    let (mut uncounted, mut one_end) = (false, true);
    for field in text.split(|b| *b == b';').filter(|f| !f.is_empty()) {
        let Some(equals) = field.iter().position(|b| *b == b'=') else {
            return Err("a field has no '='");
        };
        let (key, value) = field.split_at(equals);
        let value = value.get(1..).unwrap_or_default();
        let into = match key {
            b"type" => {
                process.options |= match value {
                    b"m" => options::MASTER,
                    b"w" => options::WORKER,
                    b"e" => options::PROGRAM,
                    b"?" => 0,
                    _ => return Err("its type is unknown"),
                };
                continue;
            }
            b"id" => {
                id = value;
                continue;
            }
            b"version" => {
                version = value;
                continue;
            }
            b"rpid" => {
                uncounted = true;
                &mut process.relative_pid
            }
            b"pid" => &mut process.pid,
            b"fd" => &mut process.ipc_fd[0],
            b"cfd" => {
                one_end = false;
                &mut process.ipc_fd[1]
            }
            b"reloads" => &mut process.reloads,
            b"failedreloads" => &mut process.failed_reloads,
            b"timestamp" => &mut process.timestamp,
            // Newer versions may add keys, older ones had others.
            _ => continue,
        };
        *into = number(value).ok_or("a number is expected")?;
    }
    if process.pid <= 0 {
        return Err("its PID is missing or not above 0");
    }
    if process.ipc_fd.iter().any(|fd| *fd < -1) {
        return Err("a descriptor is below -1");
    }
    if process.reloads < 0 || process.failed_reloads < 0 {
        return Err("a count is below 0");
    }
    if process.is_child() {
        // The child's own end is not the master's. Up to 2.9 the number is that of a descriptor
        // which is closed, or of another one.
        process.ipc_fd[1] = -1;
    }
    Ok(Row { process, uncounted, one_end, id, version })
}

/// Reads the rows into `table`. Rows that make no sense are reported and left
/// out; whether the master's is there is said in the report.
///
/// # Errors
/// Out of memory.
pub fn read<T: Table>(
    text: &[u8],
    generation: Generation,
    table: &mut T,
) -> Result<Report, OutOfMemory> {
    let mut report = Report::default();
    let mut rows = Vec::new();
    let mut seen = BTreeSet::new();
    for (index, text) in text.split(|b| *b == b'|').filter(|r| !r.is_empty()).enumerate() {
        let row = parse_row(text).and_then(|row| {
            let master = row.process.is(options::MASTER);
            if !seen.insert(row.process.pid) {
                Err("its PID has a row already")
            } else if master && report.has_master {
                Err("the master has a row already")
            } else {
                report.has_master |= master;
                report.leaves_ready |= row.one_end;
                Ok(row)
            }
        });
        match row {
            Ok(mut row) => {
                if row.uncounted || generation.counts_reloads_on_reading {
                    row.process.reloads = row.process.reloads.saturating_add(1);
                }
                row.process.relative_pid = relative_pid(&row.process, generation);
                rows.try_reserve(1).map_err(|_| OutOfMemory)?;
                rows.push(row);
            }
            Err(why) => {
                let shown = text.get(..LONGEST_SHOWN).unwrap_or(text);
                let text = String::from_utf8_lossy(shown).into_owned();
                report.bad.push(BadRow { number: index.saturating_add(1), text, why });
            }
        }
    }
    if generation.sorts_table {
        // Stable, and linear where the rows come in order, as they do.
        rows.sort_by_key(|r| r.process.reloads);
    }
    for row in rows {
        table.append(row.process, row.id, row.version)?;
    }
    mark_leaving(table, generation);
    Ok(report)
}

/// Later masters have one worker at a time, and no number for it.
fn relative_pid(process: &Process, generation: Generation) -> i32 {
    if generation.relative_pids && process.is(options::WORKER) {
        process.relative_pid.max(1)
    } else {
        0
    }
}

/// Sets LEAVING on the children that a newer worker has replaced, or will.
fn mark_leaving<T: Table>(table: &mut T, generation: Generation) {
    let rule = generation.leaving;
    let newest =
        table.rows().filter(|(_, p)| p.pid > 0).map(|(_, p)| p.reloads).min().unwrap_or_default();
    table.for_each(|p| {
        let leaves = match rule {
            LeavingRule::All => true,
            LeavingRule::AboveNewest => p.reloads > newest,
            LeavingRule::AboveZero => p.reloads > 0,
        };
        // The master is never LEAVING.
        if leaves && p.pid > 0 && !p.is(options::MASTER) {
            p.options |= options::LEAVING;
        }
    });
}

/// The pair in which the client of a `reload` waits over the exec is of no use when an image in
/// between knew only one end, or if this generation makes no use of it. Takes it out of the table,
/// and gives what is there of it, to be closed.
pub fn take_useless_pair<T: Table>(table: &mut T, generation: Generation) -> Vec<i32> {
    let Some(row) = table.master() else { return Vec::new() };
    let mut process = table.load(row);
    let whole = process.ipc_fd.iter().all(|fd| *fd >= 0);
    if whole && generation.passes_on_both_ends {
        return Vec::new();
    }
    let left = std::mem::replace(&mut process.ipc_fd, [-1, -1]);
    table.store(row, process);
    left.into_iter().filter(|fd| *fd >= 0).collect()
}

/// The rows of `table`, as `generation` writes them. Those that were never
/// forked are not in it.
///
/// # Errors
/// Out of memory.
pub fn write<T: Table>(table: &T, generation: Generation) -> Result<Vec<u8>, OutOfMemory> {
    let mut text = Vec::new();
    for (row, p) in table.rows().filter(|(_, p)| p.pid > -1) {
        let (id, version) = (table.id(row), table.version(row));
        let room = id.len().saturating_add(version.len()).saturating_add(160);
        text.try_reserve(room).map_err(|_| OutOfMemory)?;
        write_row(&mut text, &p, id, version, generation.row_format);
    }
    Ok(text)
}

/// Longer tables are not for a variable: Linux takes strings of up to 128 KiB.
pub const LONGEST: usize = 126 * 1024;

/// Of `all`, which [`write`] made of the table, as many rows as fit into `room` bytes: the
/// master's, and the newest of the others.
///
/// # Errors
/// Out of memory.
pub fn newest<T: Table>(table: &T, all: &[u8], room: usize) -> Result<Vec<u8>, OutOfMemory> {
    let texts = all.split(|b| *b == b'|').filter(|r| !r.is_empty());
    let forked = table.rows().filter(|(_, p)| p.pid > -1);
    let ages = forked.map(|(_, p)| if p.is(options::MASTER) { -1 } else { p.reloads });
    let mut rows: Vec<(i32, usize, &[u8])> = Vec::new();
    for (at, (text, age)) in texts.zip(ages).enumerate() {
        rows.try_reserve(1).map_err(|_| OutOfMemory)?;
        rows.push((age, at, text));
    }
    rows.sort_unstable_by_key(|(age, at, _)| (*age, *at));
    let mut used: usize = 0;
    let fits = |(_, _, text): &&(i32, usize, &[u8])| {
        used = used.saturating_add(text.len()).saturating_add(1);
        used <= room
    };
    let fitting = rows.iter().take_while(fits).count();
    rows.truncate(fitting);
    rows.sort_unstable_by_key(|(_, at, _)| *at);
    let mut newest = Vec::new();
    newest.try_reserve(room).map_err(|_| OutOfMemory)?;
    for (_, _, text) in rows {
        newest.push(b'|');
        newest.extend_from_slice(text);
    }
    Ok(newest)
}

fn write_row(out: &mut Vec<u8>, p: &Process, id: &[u8], version: &[u8], format: RowFormat) {
    // Writing into a Vec can't fail.
    let mut field = |args: fmt::Arguments<'_>| {
        let _ = out.write_fmt(args);
    };
    field(format_args!("|type={};fd={}", p.letter(), p.ipc_fd[0]));
    if format == RowFormat::V2_7 {
        field(format_args!(";cfd={}", p.ipc_fd[1]));
    }
    field(format_args!(";pid={}", p.pid));
    if matches!(format, RowFormat::V1_9 | RowFormat::V2_0) {
        field(format_args!(";rpid={}", p.relative_pid));
    }
    field(format_args!(";reloads={}", p.reloads));
    if matches!(format, RowFormat::V2_5 | RowFormat::V2_7) {
        field(format_args!(";failedreloads={}", p.failed_reloads));
    }
    field(format_args!(";timestamp={}", p.timestamp));
    if format != RowFormat::V1_9 {
        out.extend_from_slice(b";id=");
        out.extend(id.iter().filter(|b| is_text(**b)));
        out.extend_from_slice(b";version=");
        out.extend(version.iter().filter(|b| is_text(**b)));
    }
}

/// What would end a field or a row can't be in one.
const fn is_text(byte: u8) -> bool {
    !matches!(byte, b'|' | b';' | 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::table::PlainTable;

    const V3_0: Generation = Generation::haproxy(3, 0);

    fn read_all(text: &str, generation: Generation) -> (PlainTable, Report) {
        let mut table = PlainTable::default();
        let report = read(text.as_bytes(), generation, &mut table).expect("memory");
        (table, report)
    }

    #[test]
    fn the_newest_rows_that_fit() {
        let mut table = PlainTable::default();
        for (pid, options, reloads) in
            [(1, options::MASTER, 9), (13, options::WORKER, 2), (12, options::WORKER, 0)]
        {
            let process = Process { pid, options, reloads, ..Process::default() };
            table.append(process, b"", b"3.0").expect("memory");
        }
        let all = write(&table, V3_0).expect("memory");
        assert_eq!(newest(&table, &all, all.len()), Ok(all.clone()));
        let cut = newest(&table, &all, all.len() - 1).expect("memory");
        let (read, report) = read_all(&String::from_utf8_lossy(&cut), V3_0);
        assert!(report.has_master && report.bad.is_empty());
        let pids: Vec<i32> = read.rows().map(|(_, p)| p.pid).collect();
        assert_eq!(pids, [1, 12], "the oldest one is left out");
    }

    #[test]
    fn reads_every_row_format() {
        for (text, fd, cfd, reloads, version) in [
            // These left it to the reader to count the reload.
            ("|type=w;fd=5;pid=11;rpid=1;reloads=2;timestamp=9", 5, -1, 3, ""),
            ("|type=w;fd=5;pid=11;rpid=1;reloads=2;timestamp=9;id=;version=2.0", 5, -1, 3, "2.0"),
            (
                "|type=w;fd=5;pid=11;reloads=2;failedreloads=3;timestamp=9;id=;version=2.6",
                5,
                -1,
                2,
                "2.6",
            ),
            (
                "|type=w;fd=5;cfd=6;pid=11;reloads=2;failedreloads=3;timestamp=9;id=;version=3.0",
                5,
                // The worker's.
                -1,
                2,
                "3.0",
            ),
            (
                "|type=m;fd=5;cfd=6;pid=11;reloads=2;failedreloads=3;timestamp=9;id=;version=3.0",
                5,
                6,
                2,
                "3.0",
            ),
        ] {
            let (table, report) = read_all(text, V3_0);
            assert!(report.bad.is_empty(), "{report:?}");
            assert_eq!(report.leaves_ready, !text.contains("cfd="));
            let (row, p) = table.rows().next().expect("a row");
            assert_eq!((p.ipc_fd, p.reloads, p.pid), ([fd, cfd], reloads, 11));
            assert_eq!(table.version(row), version.as_bytes());
        }
    }

    #[test]
    fn half_a_pair_is_closed() {
        let taken = |row: &str, generation| {
            let (mut table, _) = read_all(row, generation);
            let taken = take_useless_pair(&mut table, generation);
            (taken, table.rows().next().map(|(_, p)| p.ipc_fd))
        };
        let whole = "|type=m;fd=6;cfd=7;pid=1";
        assert_eq!(taken(whole, V3_0), (vec![], Some([6, 7])));
        assert_eq!(taken(whole, Generation::haproxy(2, 6)), (vec![6, 7], Some([-1, -1])));
        assert_eq!(taken("|type=m;fd=6;pid=1", V3_0), (vec![6], Some([-1, -1])));
        assert_eq!(taken("|type=m;fd=-1;cfd=-1;pid=1", V3_0), (vec![], Some([-1, -1])));
        assert_eq!(taken("|type=w;fd=6;pid=1", V3_0), (vec![], Some([6, -1])), "no master");
    }

    #[test]
    fn workers_of_one_start_keep_their_numbers() {
        let text = "|type=m;fd=-1;pid=1;rpid=0;reloads=3;timestamp=9;id=;version=\
                    |type=w;fd=5;pid=11;rpid=2;reloads=0;timestamp=9;id=;version=2.0";
        let v2_4 = Generation::haproxy(2, 4);
        let numbers = |text, generation| {
            let (table, _) = read_all(text, generation);
            table.rows().map(|(_, p)| p.relative_pid).collect::<Vec<_>>()
        };
        assert_eq!(numbers(text, v2_4), [0, 2]);
        assert_eq!(numbers(text, V3_0), [0, 0]);
        // From a later master, which has one worker at a time.
        assert_eq!(numbers("|type=m;pid=1|type=w;pid=11|type=e;pid=12", v2_4), [0, 1, 0]);
        let (table, _) = read_all(text, v2_4);
        let written = write(&table, v2_4).expect("memory");
        assert_eq!(
            String::from_utf8_lossy(&written),
            text.replace("reloads=3", "reloads=4").replace("reloads=0", "reloads=1")
        );
    }

    #[test]
    fn bad_rows_are_named_and_cost_no_other() {
        let text = "|type=m;pid=1|type=w;pid=abc|type=w|type=w;pid=-1|x|type=w;pid=7|type=w;pid=7\
                    |type=z;pid=8|type=w;pid=9;fd=-5|type=w;pid=10";
        let (table, report) = read_all(text, V3_0);
        let pids: Vec<i32> = table.rows().map(|(_, p)| p.pid).collect();
        assert_eq!(pids, [1, 7, 10]);
        let numbers: Vec<usize> = report.bad.iter().map(|b| b.number).collect();
        assert_eq!(numbers, [2, 3, 4, 5, 7, 8, 9]);
        assert_eq!(
            report.bad.first().map(ToString::to_string).as_deref(),
            Some("row 2 of the process table is left out, a number is expected: 'type=w;pid=abc'")
        );
        assert!(report.has_master);
    }

    #[test]
    fn who_leaves_is_each_generations_rule() {
        let text = "|type=m;pid=1;reloads=3|type=w;pid=2;reloads=3|type=w;pid=3;reloads=1";
        let leaving = |generation| {
            let (table, _) = read_all(text, generation);
            table
                .rows()
                .filter(|(_, p)| p.is(options::LEAVING))
                .map(|(_, p)| p.pid)
                .collect::<Vec<_>>()
        };
        assert_eq!(leaving(Generation::haproxy(2, 4)), [2, 3]);
        assert_eq!(leaving(V3_0), [2]);
        assert_eq!(leaving(Generation::haproxy(3, 1)), [2, 3]);
        assert_eq!(leaving(Generation::NATIVE), [2]);
    }

    #[test]
    fn newest_tables_are_sorted() {
        let text = "|type=w;pid=2;reloads=3|type=m;pid=1;reloads=3|type=w;pid=3;reloads=1";
        let pids = |generation| {
            let (table, _) = read_all(text, generation);
            table.rows().map(|(_, p)| p.pid).collect::<Vec<_>>()
        };
        assert_eq!(pids(Generation::haproxy(3, 5)), [3, 2, 1]);
        assert_eq!(pids(V3_0), [2, 1, 3]);
    }

    #[test]
    fn no_field_can_forge_a_row() {
        let mut table = PlainTable::default();
        let process = Process { pid: 4, options: options::PROGRAM, ..Process::default() };
        table.append(process, b"a;b|type=m;pid=1", b"v\0").expect("memory");
        let text = write(&table, V3_0).expect("memory");
        assert_eq!(
            String::from_utf8_lossy(&text),
            "|type=e;fd=-1;cfd=-1;pid=4;reloads=0;failedreloads=0;timestamp=-1;\
             id=abtype=mpid=1;version=v"
        );
    }
}
